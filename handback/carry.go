package handback

import (
	"context"
	"errors"
	"slices"

	"doppelboden"
	"doppelboden/store"
)

// mostFolders is how many folders are looked through for a mail that is not where it was.
const mostFolders = 60

// change carries out what was done with mails that the groupware has.
func (h *hand) change(ctx context.Context, tasks []*task) error {
	var todo []*task
	for _, t := range tasks {
		if t.open() && t.deed.Was != nil {
			todo = append(todo, t)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	if err := h.known(ctx, todo); err != nil {
		return err
	}
	was := map[string][]*task{}
	var order []string
	for _, t := range missing(todo) {
		folder := h.tree.theirs(t.deed.Was)
		if was[folder] == nil {
			order = append(order, folder)
		}
		was[folder] = append(was[folder], t)
	}
	for _, folder := range order {
		if err := h.look(ctx, folder, was[folder], false); err != nil {
			return err
		}
	}
	return h.elsewhere(ctx, todo)
}

// look finds mails in a folder and carries out what is to be done with them.
func (h *hand) look(ctx context.Context, folder string, tasks []*task, late bool) error {
	rest := missing(tasks)
	if err := h.find(ctx, folder, rest, late); err != nil {
		return err
	}
	return h.carry(ctx, folder, found(rest))
}

// elsewhere looks for mails that are not where they were: an earlier try may have moved them,
// or somebody has. What is nowhere is put there again when people here did more than mark it.
func (h *hand) elsewhere(ctx context.Context, tasks []*task) error {
	var folders []string
	for _, t := range missing(tasks) {
		folders = append(folders, h.target(t))
	}
	if len(folders) == 0 {
		return nil
	}
	folders = append(append(append(folders, h.tree.bin()), ""), h.tree.names...)
	looked := map[string]bool{}
	for _, folder := range folders {
		if looked[folder] || len(looked) == mostFolders {
			continue
		}
		looked[folder] = true
		if err := h.look(ctx, folder, tasks, true); err != nil {
			return err
		}
	}
	var again []*task
	for _, t := range missing(tasks) {
		switch {
		case t.deed.Is == nil:
			t.done = true // it is gone, as it was to be
		case t.moved():
			again = append(again, t)
		default:
			t.left = whyGone
		}
	}
	return h.putAll(ctx, again)
}

// A step is what is done alike with several mails of a folder.
type step struct {
	add, remove uint32
	to          string // "": see moves
	moves       bool
}

// carry carries out what was done here with mails of the entered folder.
func (h *hand) carry(ctx context.Context, folder string, tasks []*task) error {
	if len(tasks) == 0 {
		return nil
	}
	flags, ways := map[step][]*task{}, map[step][]*task{}
	var flagged, moved []step
	for _, t := range tasks {
		has := flagsOf(t.mark.Flags)
		add, remove := t.marks()
		if t.deed.Was == nil && t.deed.Is != nil { // we have put it there ourselves
			add, remove = t.deed.Is.Flags&shared, has&^t.deed.Is.Flags
		}
		if f := (step{add: add &^ has, remove: remove & has}); f.add|f.remove != 0 {
			if flags[f] == nil {
				flagged = append(flagged, f)
			}
			flags[f] = append(flags[f], t)
		}
		if to := h.target(t); to != folder && h.takes(t, folder) {
			w := step{to: to, moves: true}
			if ways[w] == nil {
				moved = append(moved, w)
			}
			ways[w] = append(ways[w], t)
		}
	}
	for _, f := range flagged {
		if err := h.stays(flags[f], h.s.Flag(ctx, uidsOf(flags[f]), flagNames(f.add), flagNames(f.remove))); err != nil {
			return err
		}
	}
	for _, w := range moved {
		group := slices.DeleteFunc(ways[w], func(t *task) bool { return !t.open() })
		if len(group) == 0 {
			continue
		}
		if err := h.stays(group, h.move(ctx, folder, w.to, group)); err != nil {
			return err
		}
	}
	for _, t := range tasks {
		t.done = t.open()
	}
	return nil
}

// takes reports whether people here took a mail out of the folder in which the groupware had
// it. One that only got a mark stays where somebody has moved it there.
func (h *hand) takes(t *task, folder string) bool {
	was, is := t.deed.Was, t.deed.Is
	return is == nil || was == nil || was.Folder != is.Folder
}

// move moves mails of the entered folder, and makes the other one when it is missing.
func (h *hand) move(ctx context.Context, folder, to string, tasks []*task) error {
	if moves, err := h.s.Moves(ctx); err != nil || !moves {
		if err != nil {
			return err
		}
		if tasks, err = h.copied(ctx, folder, to, tasks); err != nil || len(tasks) == 0 {
			return err
		}
	}
	err := h.s.Move(ctx, uidsOf(tasks), to)
	if err == nil || doppelboden.CodeOf(err) != doppelboden.NotFound {
		return err
	}
	if err := h.s.Make(ctx, to); err != nil {
		return err
	}
	return h.s.Move(ctx, uidsOf(tasks), to)
}

// copied removes those mails of a folder that an earlier try has copied to the other one
// already, and returns the rest.
func (h *hand) copied(ctx context.Context, folder, to string, tasks []*task) ([]*task, error) {
	twins := make([]*task, len(tasks))
	for i, t := range tasks {
		twins[i] = &task{deed: store.Deed{Message: t.deed.Message, Date: t.deed.Date, Size: t.deed.Size}, msg: t.msg, own: t.own}
	}
	if err := h.find(ctx, to, twins, true); err != nil {
		return nil, err
	}
	if there, err := h.enter(ctx, folder); err != nil || !there {
		return nil, errors.Join(err, errFolder)
	}
	var both, rest []*task
	for i, t := range tasks {
		if twins[i].mark != nil {
			both = append(both, t)
		} else {
			rest = append(rest, t)
		}
	}
	if len(both) == 0 {
		return rest, nil
	}
	return rest, h.s.Drop(ctx, uidsOf(both))
}

var errFolder = errors.New("a folder vanished while it was worked on")

// stays notes why a server does not do something with mails. Any other error ends the visit.
func (h *hand) stays(tasks []*task, err error) error {
	if err == nil {
		return nil
	}
	why, ok := refusal(err)
	if !ok {
		return err
	}
	for _, t := range tasks {
		t.stay = why
	}
	h.opts.Log.Warn("the groupware does not do what was done here", "mailbox", int64(h.box), "mails", len(tasks), "why", why, "err", err)
	return nil
}

func uidsOf(tasks []*task) []uint32 {
	uids := make([]uint32, len(tasks))
	for i, t := range tasks {
		uids[i] = t.mark.UID
	}
	slices.Sort(uids)
	return uids
}
