package handback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// A hand is one visit to one mailbox of the groupware.
type hand struct {
	*Room
	place Place
	box   doppelboden.MailboxID
	state *store.Handback
	s     mailbox.Changer
	tree  *tree
	in    string         // the folder that is entered; "" before, see entered
	at    mailbox.Folder // what it said
	open  bool           // whether a folder is entered
}

// visit opens a mailbox and hands back what tasks tell. Tasks say afterwards what became of
// them. What is done is written down as it goes on; an error says that the rest was not
// tried.
func (r *Room) visit(ctx context.Context, m doppelboden.MailboxID, place Place, state *store.Handback, tasks []*task) (err error) {
	if !slices.ContainsFunc(tasks, (*task).open) {
		return r.settle(ctx, state, tasks)
	}
	s, err := place.Backend.Change(ctx, place.Owner)
	if err != nil {
		return err
	}
	h := &hand{Room: r, place: place, box: m, state: state, s: s}
	defer func() { err = errors.Join(err, h.s.Close()) }()
	if err := h.learn(ctx); err != nil {
		return err
	}
	if err := h.intend(ctx, tasks); err != nil {
		return err
	}
	if err := h.compare(ctx, tasks); err != nil {
		return err
	}
	if err := h.lost(ctx, tasks); err != nil {
		return err
	}
	if err := r.settle(ctx, state, tasks); err != nil {
		return err
	}
	if err := h.put(ctx, tasks); err != nil {
		return err
	}
	if err := h.change(ctx, tasks); err != nil {
		return errors.Join(err, r.settle(ctx, state, tasks))
	}
	return r.settle(ctx, state, tasks)
}

// intend writes down what is about to be begun, so that nothing is forgotten of which nobody
// knows the end: people may take back here what was done there already.
func (h *hand) intend(ctx context.Context, tasks []*task) error {
	next := *h.state
	next.Route, next.Doing = h.place.Route, slices.Clone(h.state.Doing)
	changed := false
	for _, t := range tasks {
		if !t.open() {
			continue
		}
		i := slices.IndexFunc(next.Doing, func(d store.HandbackDoing) bool { return d.Number == t.deed.Number })
		if i < 0 {
			i = len(next.Doing)
			next.Doing = append(next.Doing, store.HandbackDoing{Number: t.deed.Number, Message: t.deed.Message, Date: t.deed.Date, Size: t.deed.Size, Was: t.deed.Was})
		}
		d := &next.Doing[i]
		if !slices.ContainsFunc(d.Tried, func(s *store.Spot) bool { return sameSpot(s, t.deed.Is) }) {
			d.Tried = append(slices.Clone(d.Tried), t.deed.Is)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return h.keep(ctx, h.state, next, nil)
}

// sameSpot reports whether two spots say the same.
func sameSpot(a, b *store.Spot) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// learn reads the folders.
func (h *hand) learn(ctx context.Context) error {
	list, err := h.s.Tree(ctx, mostBranches)
	if err != nil {
		return err
	}
	ours, err := h.opts.Store.Folders(ctx, h.place.Tenant, h.box)
	if err != nil {
		return fmt.Errorf("read our folders: %w", err)
	}
	found, err := h.opts.Store.HarvestFolders(ctx, h.place.Tenant, h.box)
	if err != nil {
		return fmt.Errorf("read what is known of the groupware's folders: %w", err)
	}
	h.tree = newTree(list, ours, found)
	return nil
}

// target is where a task's mail is to lie.
func (h *hand) target(t *task) string {
	if t.deed.Is == nil {
		return h.tree.bin()
	}
	return h.tree.theirs(t.deed.Is)
}

// may returns an error when nothing more may go to the groupware: this node may not, or attack
// mode or an outage has begun since the visit did.
func (h *hand) may() error {
	if !h.opts.Mail.MayDot() || !h.opts.Well(h.box) || h.opts.Stopped(h.place.Tenant) {
		return errMayNot
	}
	return nil
}

// enter opens a folder. there is false when the groupware has none.
func (h *hand) enter(ctx context.Context, folder string) (there bool, err error) {
	if err := h.may(); err != nil {
		return false, err
	}
	if h.open && h.in == folder {
		return true, nil
	}
	h.open = false
	f, err := h.s.Enter(ctx, folder)
	if err != nil && doppelboden.CodeOf(err) == doppelboden.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	h.in, h.at, h.open = folder, f, true
	return true, nil
}

// settle writes down what tasks have come to. Tasks that were written are not written again.
func (r *Room) settle(ctx context.Context, state *store.Handback, tasks []*task) error {
	var list []store.Returned
	next := *state
	next.Left, next.Doing = slices.Clone(state.Left), slices.Clone(state.Doing)
	for _, t := range tasks {
		if !t.done && t.left == "" || t.written {
			continue
		}
		list = append(list, t.returned())
		count(&next, t, r.opts.Clock())
		next.Doing = slices.DeleteFunc(next.Doing, func(d store.HandbackDoing) bool { return d.Number == t.deed.Number })
	}
	if len(list) == 0 {
		return nil
	}
	if !r.opts.Mail.MayDot() {
		return errMayNot
	}
	next.At = r.opts.Clock()
	if err := r.opts.Store.PutHandback(ctx, r.opts.Lease(), next, list); err != nil {
		return fmt.Errorf("write what went back: %w", err)
	}
	*state = next
	for _, t := range tasks {
		t.written = t.written || t.done || t.left != ""
	}
	r.metrics.deeds.Add(float64(len(list)))
	r.flowed(len(list))
	return nil
}

// errMayNot ends work when another node may have taken over, or when nothing may go to the
// groupware any more.
var errMayNot = errors.New("not handed back: nothing may be handed over at the moment")

// mostLeft bounds what is kept of what could not be done in one mailbox.
const mostLeft = 200

// count adds a task that has ended to what its owner will be told.
func count(state *store.Handback, t *task, now time.Time) {
	c, d := &state.Done, &t.deed
	if t.left != "" {
		if len(state.Left) >= mostLeft {
			state.More++
			return
		}
		state.Left = append(state.Left, store.HandbackLeft{Message: d.Message, Why: t.left, At: now})
		return
	}
	add, remove := t.marks()
	switch {
	case sameSpot(d.Was, d.Is): // it was taken back here
	case d.Is == nil && d.Was != nil:
		c.Binned++
	case d.Is == nil:
	case d.Was == nil && d.Is.Use == store.UseSent:
		c.Sent++
	case d.Was == nil:
		c.Put++
	case d.Is.Folder != d.Was.Folder:
		c.Moved++
	case add|remove != 0:
		c.Flagged++
	}
}

// aboutSpace reports whether an answer without a code says that a mailbox is full.
func aboutSpace(text string) bool {
	text = strings.ToLower(text)
	for _, word := range [...]string{"quota", "full", "space", "storage"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
