package harvest

import (
	"context"
	"fmt"
	"slices"

	"doppelboden"
	"doppelboden/store"
)

// merge takes doubles out of mailboxes: of one mail that came several ways a mailbox shows
// one copy in a folder. What came as a delivery stays, before what was read or reported;
// of two that are alike the earlier stays.
func (r *Room) merge(ctx context.Context, t *tenant, one *doppelboden.Message, same []doppelboden.ID) error {
	m, err := r.opts.Store.Message(ctx, one.ID)
	if err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	for _, id := range same {
		other, err := r.opts.Store.Message(ctx, id)
		if doppelboden.CodeOf(err) == doppelboden.NotFound && err != nil {
			continue
		}
		if err != nil {
			return fmt.Errorf("read a message: %w", err)
		}
		switch {
		case harvested(m.Door): // also when both are
			err = r.dissolve(ctx, t, m, other)
		case harvested(other.Door):
			err = r.dissolve(ctx, t, other, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dissolve takes copies of a message out of mailboxes that show another one which is the
// same mail.
func (r *Room) dissolve(ctx context.Context, t *tenant, gone, stays *doppelboden.Message) error {
	boxes := mailboxesOf(gone)
	removed := map[doppelboden.MailboxID][]store.Deed{}
	err := r.opts.Store.Deeds(ctx, store.DeedFilter{Tenant: t.id, Message: gone.ID}, func(d store.Deed) error {
		if d.Was != nil && d.Is == nil {
			removed[d.Mailbox] = append(removed[d.Mailbox], d)
			if !slices.Contains(boxes, d.Mailbox) {
				boxes = append(boxes, d.Mailbox)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what people did: %w", err)
	}
	for _, box := range boxes {
		there, err := r.opts.Store.CopiesOf(ctx, t.id, box, []doppelboden.ID{gone.ID, stays.ID})
		if err != nil {
			return fmt.Errorf("read copies: %w", err)
		}
		var lost, kept []doppelboden.Copy
		for _, c := range there {
			if c.Message == gone.ID {
				lost = append(lost, c)
			} else {
				kept = append(kept, c)
			}
		}
		if len(lost)+len(removed[box]) == 0 || len(kept) == 0 {
			continue
		}
		folders, err := r.opts.Store.Folders(ctx, t.id, box)
		if err != nil {
			return fmt.Errorf("read folders: %w", err)
		}
		b := &shelf{r: r, t: t.id, id: box, folders: folders}
		for _, c := range lost {
			if kept, err = b.replace(ctx, c, kept); err != nil {
				return err
			}
		}
		for _, d := range removed[box] {
			if kept, err = b.remove(ctx, &d, kept); err != nil {
				return err
			}
		}
	}
	return nil
}

// mailboxesOf returns the mailboxes that show a message.
func mailboxesOf(m *doppelboden.Message) (list []doppelboden.MailboxID) {
	seen := map[doppelboden.MailboxID]bool{}
	for _, c := range m.Copies {
		if !seen[c.Mailbox] {
			seen[c.Mailbox] = true
			list = append(list, c.Mailbox)
		}
	}
	return list
}

// A shelf is a mailbox of ours in which copies are changed.
type shelf struct {
	r       *Room
	t       doppelboden.TenantID
	id      doppelboden.MailboxID
	folders []store.Folder
}

// use returns what a folder is for.
func (b *shelf) use(name string) store.Use {
	for i := range b.folders {
		if b.folders[i].Name == name {
			return b.folders[i].Use
		}
	}
	return store.UseNone
}

// double returns the place of the copy among kept that makes one in a folder needless: one in
// the same folder, or one that its owner has put elsewhere; -1: none does. A mail that somebody
// sent to herself is two: one that was sent and one that came.
func (b *shelf) double(folder string, kept []doppelboden.Copy) int {
	if i := slices.IndexFunc(kept, func(k doppelboden.Copy) bool { return k.Folder == folder }); i >= 0 {
		return i
	}
	sent := b.use(folder) == store.UseSent
	return slices.IndexFunc(kept, func(k doppelboden.Copy) bool { return (b.use(k.Folder) == store.UseSent) == sent })
}

// replace takes a copy away that one of kept makes needless, and returns kept as it is then.
// What people did with it, and what the groupware said of it, is from now on said of the copy
// that stays.
func (b *shelf) replace(ctx context.Context, gone doppelboden.Copy, kept []doppelboden.Copy) ([]doppelboden.Copy, error) {
	i := b.double(gone.Folder, kept)
	if i < 0 {
		return kept, nil
	}
	from, ok := b.place(gone.Folder)
	to, there := b.place(kept[i].Folder)
	if !ok || !there {
		return kept, nil
	}
	stays := kept[i]
	kept, err := b.inherit(ctx, gone, kept, i, from, to)
	if err != nil {
		return kept, err
	}
	return kept, b.takeAway(ctx, gone, stays, from)
}

// takeAway takes a copy away for one that stays.
func (b *shelf) takeAway(ctx context.Context, gone, stays doppelboden.Copy, from store.Place) error {
	uid, _, err := b.find(ctx, from, gone.Message)
	if err != nil || uid == 0 {
		return err
	}
	_, err = b.r.opts.Store.Change(ctx, []store.Change{{Place: from, Action: store.ActRemove, UIDs: []uint32{uid}, At: b.r.opts.Clock()}})
	if err != nil {
		return fmt.Errorf("take a double away: %w", err)
	}
	b.r.metrics.doubles.Inc()
	b.r.opts.Changed(b.id)
	var again []store.Harvest
	err = b.r.opts.Store.Harvested(ctx, store.HarvestFilter{Tenant: b.t, Mailbox: b.id, Message: gone.Message}, func(h store.Harvest) error {
		h.Message = stays.Message
		again = append(again, h)
		return nil
	})
	if err == nil && len(again) > 0 {
		err = b.r.opts.Store.Harvest(ctx, b.r.opts.Lease(), []store.HarvestBatch{{Tenant: b.t, Mailbox: b.id, Mails: again}})
	}
	if err != nil {
		return fmt.Errorf("note what the groupware calls a double: %w", err)
	}
	return nil
}

// place returns where a folder is.
func (b *shelf) place(name string) (store.Place, bool) {
	for i := range b.folders {
		if b.folders[i].Name == name {
			return b.folders[i].Place, true
		}
	}
	return store.Place{}, false
}

// find returns the UID of a message in a folder, 0 when it does not lie there.
func (b *shelf) find(ctx context.Context, at store.Place, id doppelboden.ID) (uid, flags uint32, err error) {
	if _, err := b.r.opts.Store.Look(ctx, at); err != nil {
		return 0, 0, fmt.Errorf("look into a folder: %w", err)
	}
	err = b.r.opts.Store.Shown(ctx, at, store.ShownFilter{Message: id, Hidden: true}, func(s store.Shown) error {
		uid, flags = s.UID, s.Flags
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("find a mail in a folder: %w", err)
	}
	return uid, flags, nil
}
