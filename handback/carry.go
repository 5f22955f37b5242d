package handback

import (
	"context"
	"errors"
	"slices"

	"doppelboden"
)

// mostFolders is how many folders are looked through for a mail that is not where it was.
const mostFolders = 60

// change carries out what was done with mails that the groupware has.
func (h *hand) change(ctx context.Context, tasks []*task) error {
	var todo []*task
	for _, t := range tasks {
		if t.open() && !t.news() {
			todo = append(todo, t)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	if err := h.twofold(ctx, todo); err != nil {
		return err
	}
	if err := h.known(ctx, todo); err != nil {
		return err
	}
	was := map[string][]*task{}
	var order []string
	for _, t := range missing(todo) {
		if t.deed.Was == nil {
			continue // it may lie wherever it was put
		}
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
		may := slices.DeleteFunc(slices.Clone(tasks), func(t *task) bool { return !h.mayLie(t, folder) })
		if err := h.look(ctx, folder, may, true); err != nil {
			return err
		}
	}
	if bare, err := h.bare(ctx, missing(tasks)); bare || err != nil {
		return err
	}
	var again []*task
	for _, t := range missing(tasks) {
		switch {
		case t.deed.Is == nil:
			t.done = true // it is gone, as it was to be, or it never came
		case t.moved():
			again = append(again, t)
		default:
			t.left = whyGone
		}
	}
	return h.putAll(ctx, again)
}

// A step is a change of flags that is the same for several mails of a folder.
type step struct{ add, remove uint32 }

// carry carries out what was done here with mails of the entered folder.
func (h *hand) carry(ctx context.Context, folder string, tasks []*task) error {
	if len(tasks) == 0 {
		return nil
	}
	if err := h.sweep(ctx, folder, tasks); err != nil {
		return err
	}
	if err := h.flag(ctx, tasks); err != nil {
		return err
	}
	ways := map[string][]*task{}
	var order []string
	for _, t := range tasks {
		to := h.target(t)
		if to == folder || !t.takes() || !t.open() {
			continue
		}
		if ways[to] == nil {
			order = append(order, to)
		}
		ways[to] = append(ways[to], t)
	}
	for _, to := range order {
		if err := h.stays(ways[to], h.move(ctx, folder, to, ways[to])); err != nil {
			return err
		}
	}
	for _, t := range tasks {
		t.done = t.open()
	}
	return nil
}

// sweep removes copies that moves left behind which were broken off between copying a mail and
// removing it: the mail itself lies in the entered folder.
func (h *hand) sweep(ctx context.Context, folder string, tasks []*task) error {
	behind := map[string][]*task{}
	for _, t := range tasks {
		for _, s := range t.tried {
			name := h.tree.bin()
			if s != nil {
				name = h.tree.theirs(s)
			}
			if name != folder && name != h.target(t) {
				behind[name] = append(behind[name], t.twin())
			}
		}
	}
	if len(behind) == 0 {
		return nil
	}
	for name, twins := range behind {
		if err := h.find(ctx, name, twins, true); err != nil {
			return err
		}
		if left := found(twins); len(left) > 0 {
			if err := h.s.Drop(ctx, uidsOf(left)); err != nil {
				return err
			}
		}
	}
	if there, err := h.enter(ctx, folder); err != nil || !there {
		return errors.Join(err, errFolder)
	}
	return nil
}

// flag changes flags of mails of the entered folder.
func (h *hand) flag(ctx context.Context, tasks []*task) error {
	alike := map[step][]*task{}
	var order []step
	for _, t := range tasks {
		has := flagsOf(t.mark.Flags)
		add, remove := t.marks()
		f := step{add &^ has, remove & has}
		if f == (step{}) {
			continue
		}
		if alike[f] == nil {
			order = append(order, f)
		}
		alike[f] = append(alike[f], t)
	}
	for _, f := range order {
		if err := h.stays(alike[f], h.s.Flag(ctx, uidsOf(alike[f]), flagNames(f.add), flagNames(f.remove))); err != nil {
			return err
		}
	}
	return nil
}

// move moves mails of the entered folder, and makes the other one when it is missing.
func (h *hand) move(ctx context.Context, folder, to string, tasks []*task) error {
	moves, err := h.s.Moves(ctx)
	if err != nil {
		return err
	}
	// A server that dies while it moves may leave a mail in both folders, too.
	doubtful := slices.ContainsFunc(tasks, func(t *task) bool { return len(t.tried) > 0 })
	if !moves || doubtful {
		if tasks, err = h.copied(ctx, folder, to, tasks); err != nil || len(tasks) == 0 {
			return err
		}
	}
	err = h.s.Move(ctx, uidsOf(tasks), to)
	if err == nil || doppelboden.CodeOf(err) != doppelboden.NotFound {
		return err
	}
	if err := h.s.Make(ctx, to); err != nil {
		return err
	}
	return h.s.Move(ctx, uidsOf(tasks), to)
}

// copied removes those mails of a folder that an earlier try has copied to the other one
// already, and returns the rest. The copies get the marks that were set here since then.
func (h *hand) copied(ctx context.Context, folder, to string, tasks []*task) ([]*task, error) {
	twins := make([]*task, len(tasks))
	for i, t := range tasks {
		twins[i] = t.twin()
	}
	if err := h.find(ctx, to, twins, true); err != nil {
		return nil, err
	}
	var both, rest []*task
	for i, t := range tasks {
		switch {
		case twins[i].mark != nil:
			both = append(both, t)
		case twins[i].left != "": // several lie there already
			t.left = twins[i].left
		default:
			rest = append(rest, t)
		}
	}
	if err := h.flag(ctx, found(twins)); err != nil {
		return nil, err
	}
	if there, err := h.enter(ctx, folder); err != nil || !there {
		return nil, errors.Join(err, errFolder)
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
