package appeal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

const (
	// mostOfBox bounds how much of one box is tried at once; the rest follows when that is
	// taken.
	mostOfBox = 200
	// mostAtOnce is how many deliveries one order to the queue names: one commit.
	mostAtOnce = 500
)

// carryOut does a task.
func (a *Appeals) carryOut(ctx context.Context, q Queue, t task) error {
	if t.back {
		return a.giveBack(ctx, q, t.boxes[0])
	}
	var items []store.Item
	total := 0
	for i, id := range t.boxes {
		if total >= a.opts.Pace.Most {
			a.untried(t.group, t.boxes[i:])
			break
		}
		some, err := a.heldIn(ctx, id, t)
		if err != nil {
			return err
		}
		items, total = append(items, some...), total+len(some)
		if len(items) >= mostAtOnce {
			if err := a.try(ctx, q, t, items); err != nil {
				return err
			}
			items = nil
		}
	}
	return a.try(ctx, q, t, items)
}

// heldIn reads what of a box a task is about, in its order. Where its mailbox was refused,
// all of that is one; what was refused for another reason waits for its own group.
func (a *Appeals) heldIn(ctx context.Context, id doppelboden.BoxID, t task) ([]store.Item, error) {
	limit := mostOfBox
	if t.single {
		limit = 1
	}
	var items []store.Item
	for _, g := range a.groupsOf(id, t) {
		found := 0
		f := store.Filter{Group: g, Box: id, States: []doppelboden.State{doppelboden.Held}, Limit: limit}
		err := a.opts.Store.Deliveries(ctx, f, func(it store.Item) error {
			found++
			items = append(items, it)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read what was refused: %w", err)
		}
		if found == 0 {
			a.gone(id, g)
		}
	}
	slices.SortFunc(items, func(x, y store.Item) int { return cmp.Compare(x.Delivery.Seq, y.Delivery.Seq) })
	return items[:min(len(items), limit)], nil
}

// groupsOf returns the groups in which a box is tried: those that are about its mailbox
// and about us, or the one whose round it is. Whether it goes back is about its mailbox alone.
func (a *Appeals) groupsOf(id doppelboden.BoxID, t task) (groups []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.boxes[id]
	if b == nil {
		return nil
	}
	if g := b.groups[t.group]; g != nil && g.hold.Reason == doppelboden.HeldMail {
		return []string{t.group}
	}
	for name, g := range b.groups {
		if (t.look || t.back) && g.hold.Reason != doppelboden.HeldAddress {
			continue
		}
		if g.hold.Reason != doppelboden.HeldMail || g.hold.Route != a.opts.Lane(id) {
			groups = append(groups, name)
		}
	}
	return groups
}

// untried puts boxes of a wave back that had become too much.
func (a *Appeals) untried(group string, boxes []doppelboden.BoxID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.groups[group]
	if g == nil {
		return
	}
	for _, id := range boxes {
		if _, member := g.members[id]; member {
			g.members[id] = g.round - 1
		}
	}
}

// gone notes that nothing of a box is held in a group any more.
func (a *Appeals) gone(id doppelboden.BoxID, group string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.boxes[id]
	if b == nil || b.groups[group] == nil {
		return
	}
	a.leave(b.groups[group], b)
}

// try has the queue try deliveries again. What comes of them may be told before it returns.
func (a *Appeals) try(ctx context.Context, q Queue, t task, items []store.Item) error {
	if len(items) == 0 {
		return nil
	}
	a.expect(t, items)
	tried, err := q.TryAgain(ctx, items)
	went := make(map[doppelboden.Ref]bool, len(tried))
	for _, it := range tried {
		went[refOf(it)] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, it := range items {
		tr := a.trials[refOf(it)]
		if went[refOf(it)] || tr == nil {
			continue
		}
		delete(a.trials, refOf(it))
		a.concluded(tr, false)
	}
	a.metrics.trials.WithLabelValues("begun").Add(float64(len(tried)))
	if err != nil {
		a.fenced = a.fenced || doppelboden.CodeOf(err) == doppelboden.Fenced
		a.putBack(t)
	}
	return err
}

// putBack has a task done again soon that could not be: nobody has refused anything.
func (a *Appeals) putBack(t task) {
	soon := a.opts.Clock().Add(lookOften)
	if g := a.groups[t.group]; g != nil {
		g.sent, g.out, g.took, g.wave, g.next = 0, 0, false, 0, soon
		return
	}
	for _, id := range t.boxes {
		if b := a.boxes[id]; b != nil {
			b.looking, b.next = time.Time{}, soon
			if !t.look {
				a.well[id] = true
			}
		}
	}
}

// expect notes deliveries before they go.
func (a *Appeals) expect(t task, items []store.Item) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.opts.Clock()
	if g := a.groups[t.group]; g != nil {
		g.sent, g.out = g.sent+len(items), g.out+len(items)
	}
	for _, it := range items {
		a.trials[refOf(it)] = &trial{group: t.group, lane: a.opts.Lane(it.Delivery.Box), at: now}
	}
}

// unlisted goes before a next server's words when a delivery goes back by itself.
const unlisted = "returned because other mailboxes take mail and the directory no longer lists this one"

// giveBack returns what is held in a box that was refused in its last look.
func (a *Appeals) giveBack(ctx context.Context, q Queue, id doppelboden.BoxID) error {
	items, err := a.heldIn(ctx, id, task{back: true})
	if err != nil {
		return err
	}
	// An alias may be listed although the mailbox's own address is not, and the other way round.
	items = slices.DeleteFunc(items, func(it store.Item) bool {
		d := &it.Delivery
		_, ok := a.opts.Unlisted(d.Tenant, d.Mailbox, d.Recipient)
		return !ok
	})
	if len(items) == 0 {
		a.acquit(id)
		return nil
	}
	n, err := q.Return(ctx, items, unlisted)
	a.metrics.returned.Add(float64(n))
	if doppelboden.CodeOf(err) == doppelboden.Policy {
		err = errors.Join(err, errNobodyTells)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		if b := a.boxes[id]; b != nil {
			b.retry = time.Time{} // there may be more
		}
		if n > 0 {
			a.opts.Log.InfoContext(ctx, "refused mail went back: its mailbox is not listed any more", "box", id, "deliveries", n)
		}
	}
	return err
}

var errNobodyTells = errors.New("it stays held for a person")

// acquit takes back that a box was refused in its last look.
func (a *Appeals) acquit(id doppelboden.BoxID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b := a.boxes[id]; b != nil {
		b.guilty = false
	}
}
