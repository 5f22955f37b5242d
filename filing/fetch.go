package filing

import (
	"context"

	"doppelboden"
	"doppelboden/mailbox"
)

// fetch brings what an earlier run has put into another folder to where it lies here now.
// People have moved it here between the two, and what they took back leaves no deed by which
// it would be moved later.
func (r *run) fetch(ctx context.Context) error {
	changer, ok := r.session.(mailbox.Changer)
	if !ok || r.opts.People == nil {
		return nil
	}
	var all []doppelboden.ID
	for folder, ids := range r.strays {
		ids = r.undone(ids)
		if len(ids) == 0 {
			continue
		}
		all = append(all, ids...)
		err := r.fetchFrom(ctx, changer, folder, ids)
		if said, refused := mailbox.Said(err); refused {
			// It is in the mailbox, only not where it belongs: that holds up nothing.
			r.opts.Courier.Log.Warn("mail of an earlier try stays in its folder", "lane", r.lane, "mails", len(ids), "reply", said.Text)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if len(all) == 0 {
		return nil
	}
	var err error
	if r.folder, err = r.session.Select(ctx, r.name); err != nil {
		return err
	}
	return r.find(ctx, all)
}

// undone returns those of mails that nothing else will move: they have no deed.
func (r *run) undone(ids []doppelboden.ID) (list []doppelboden.ID) {
	for _, id := range ids {
		if r.lying[id].Number == 0 {
			list = append(list, id)
		}
	}
	return list
}

// fetchFrom moves mails from a folder into that of this run. A server that died while it moved
// may have left them in both.
func (r *run) fetchFrom(ctx context.Context, s mailbox.Changer, folder string, ids []doppelboden.ID) error {
	if _, err := s.Select(ctx, r.name); err != nil {
		return err
	}
	here, err := s.Find(ctx, ids)
	if err != nil {
		return err
	}
	if _, err := s.Enter(ctx, folder); err != nil {
		return err
	}
	there, err := s.Find(ctx, ids)
	if err != nil {
		return err
	}
	var move, drop []uint32
	for _, id := range ids {
		seen, still := there[id]
		switch _, both := here[id]; {
		case !still:
		case both:
			drop = append(drop, seen.UID)
		default:
			move = append(move, seen.UID)
		}
	}
	if len(move) > 0 {
		if err := s.Move(ctx, move, r.name); err != nil {
			return err
		}
	}
	if len(drop) == 0 {
		return nil
	}
	return s.Drop(ctx, drop)
}
