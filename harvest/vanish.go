package harvest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A boxTally is what one look into a mailbox says about all of a tenant.
type boxTally struct {
	filling bool // its first reading is not over
	hit     bool // much of it vanished, and is not hidden yet
}

// A roundTally adds up a round.
type roundTally struct {
	looked, hit int // mailboxes
}

func (t *roundTally) add(b boxTally) {
	t.looked++
	if b.hit {
		t.hit++
	}
}

// rounded notes a round that is over.
func (t *tenant) rounded(route string, tally roundTally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[string]roundTally{}
	}
	t.last[route] = tally
}

// mayHide reports whether what vanished from a route's mailboxes may be hidden: only when a
// whole round has shown that not too much did.
func (t *tenant) mayHide(route string, p *Pace) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, known := t.last[route]
	return known && (last.hit < p.RouteBoxes || last.hit*100 < p.RoutePercent*last.looked)
}

// A lost mail is known here, and no folder of the groupware has it any more.
type lost struct {
	id    doppelboden.ID
	since time.Time
	rows  []store.Harvest
}

// vanished looks at what folders do not have any more: what lies in another one was moved,
// and what lies in none is hidden after a while, unless too much vanished at once.
func (v *visit) vanished(ctx context.Context) error {
	var gone []store.Harvest
	err := v.r.opts.Store.Harvested(ctx, store.HarvestFilter{Tenant: v.route.Tenant, Mailbox: v.box.ID, Gone: true}, func(h store.Harvest) error {
		gone = append(gone, h)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is gone: %w", err)
	}
	if len(gone) == 0 {
		v.lacks(nil)
		v.guard(nil, nil, false)
		return nil
	}
	if v.shelf.folders == nil {
		if err := v.shelves(ctx); err != nil {
			return err
		}
	}
	all, live, err := v.sort(ctx, gone)
	if err != nil {
		return err
	}
	known := v.complete() && !v.cut // else what is missing may be found still
	if known {
		if all, err = v.sought(ctx, all); err != nil {
			return err
		}
	}
	p := &v.r.opts.Pace
	lacking, rest := v.lacks(all)
	n, total := len(rest), len(all)+live
	v.seen.hit = n > 1 && n*100 >= p.HitPercent*total
	tooMuch := n > p.BoxMails && n*100 > p.BoxPercent*total
	ready := known && (v.state.Confirm || !tooMuch && v.t.mayHide(v.route.Key, p))
	stuck := n > 0 && !v.state.Confirm && (tooMuch || !v.t.mayHide(v.route.Key, p) && v.seen.hit && v.t.knows(v.route.Key))
	if v.state.Confirm {
		lacking, rest = nil, all
	}
	if !known {
		lacking = nil
	}
	v.guard(lacking, rest, stuck)
	if !ready {
		return nil
	}
	return v.hide(ctx, rest)
}

// complete reports whether every folder that is known was read to its end: before, what is
// missing in one may be found in another.
func (v *visit) complete() bool {
	for i := range v.known {
		if f := &v.known[i]; !f.Gone && !f.Filled {
			return false
		}
	}
	return true
}

// knows reports whether a round of a route is over.
func (t *tenant) knows(route string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.last[route]
	return known
}

// guard notes how much vanished and is not hidden: what a restore lost, and the rest when it is
// stuck, because it is too much.
func (v *visit) guard(lacking, rest []*lost, stuck bool) {
	v.state.Vanished = int64(len(lacking))
	if stuck {
		v.state.Vanished += int64(len(rest))
	}
	none := len(lacking)+len(rest) == 0
	if none {
		v.state.Confirm = false
	}
	v.t.mu.Lock()
	defer v.t.mu.Unlock()
	if none {
		delete(v.t.sought, v.box.ID)
	}
	note(&v.t.guarded, v.box.ID, len(rest), stuck)
	note(&v.t.lacking, v.box.ID, len(lacking), len(lacking) > 0)
}

// note notes how much of a mailbox is not hidden, or that all may be.
func note(in *map[doppelboden.MailboxID]int, m doppelboden.MailboxID, n int, is bool) {
	if !is {
		delete(*in, m)
		return
	}
	if *in == nil {
		*in = map[doppelboden.MailboxID]int{}
	}
	(*in)[m] = n
}

// sort parts what was moved from what is lost. It ends what is known of places that a mail
// has left for another one, takes copies away that show it there, and returns what is lost
// and how many mails are known to be there.
func (v *visit) sort(ctx context.Context, gone []store.Harvest) (all []*lost, live int, err error) {
	places := map[doppelboden.ID]map[int64]bool{} // where the groupware has it, as folders of ours
	err = v.r.opts.Store.Harvested(ctx, store.HarvestFilter{Tenant: v.route.Tenant, Mailbox: v.box.ID}, func(h store.Harvest) error {
		if !h.Gone.IsZero() {
			return nil
		}
		live++
		if places[h.Message] == nil {
			places[h.Message] = map[int64]bool{}
		}
		places[h.Message][v.oursOf(h.Folder)] = true
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read what is known of mails: %w", err)
	}
	byID := map[doppelboden.ID]*lost{}
	var ended []store.Harvest
	var todo []follow
	for _, h := range gone {
		if at := places[h.Message]; at != nil {
			busy, err := v.hasDeed(ctx, h.Message)
			if err != nil {
				return nil, 0, err
			}
			if ours := v.oursOf(h.Folder); !at[ours] && !busy && ours != 0 {
				todo = append(todo, follow{message: h.Message, at: ours, remove: true})
			}
			ended = append(ended, h)
			continue
		}
		one := byID[h.Message]
		if one == nil {
			one = &lost{id: h.Message, since: h.Gone}
			byID[h.Message] = one
			all = append(all, one)
		}
		if h.Gone.After(one.since) {
			one.since = h.Gone
		}
		one.rows = append(one.rows, h)
	}
	if err := v.follow(ctx, todo); err != nil {
		return nil, 0, err
	}
	if len(ended) > 0 {
		err = v.put(ctx, store.HarvestBatch{Ended: ended})
	}
	return all, live, err
}

// soughtAtOnce is how many mails are asked for together.
const soughtAtOnce = 500

// sought returns those lost mails that would have been found in another folder. What came before
// the window when it vanished was looked for nowhere: nothing is known of it any more, and it
// stays as it is. Each mail is looked at once, or once more after a start.
func (v *visit) sought(ctx context.Context, all []*lost) (left []*lost, err error) {
	v.t.mu.Lock()
	upTo := v.t.sought[v.box.ID]
	v.t.mu.Unlock()
	byID := map[doppelboden.ID]*lost{}
	var ids []doppelboden.ID
	for _, one := range all {
		if one.since.After(upTo) {
			byID[one.id] = one
			ids = append(ids, one.id)
		}
	}
	old := map[doppelboden.ID]bool{}
	var ended []store.Harvest
	for some := range slices.Chunk(ids, soughtAtOnce) {
		there, err := v.r.opts.Store.CopiesOf(ctx, v.route.Tenant, v.box.ID, some)
		if err != nil {
			return nil, fmt.Errorf("read copies: %w", err)
		}
		for _, c := range there {
			if one := byID[c.Message]; !old[c.Message] && c.Date.Before(one.since.AddDate(0, 0, -v.route.Days)) {
				old[c.Message] = true
				ended = append(ended, one.rows...)
			}
		}
	}
	if len(ended) > 0 {
		if err := v.put(ctx, store.HarvestBatch{Ended: ended}); err != nil {
			return nil, err
		}
	}
	v.t.mu.Lock()
	defer v.t.mu.Unlock()
	if v.t.sought == nil {
		v.t.sought = map[doppelboden.MailboxID]time.Time{}
	}
	v.t.sought[v.box.ID] = v.began
	return slices.DeleteFunc(all, func(one *lost) bool { return old[one.id] }), nil
}

// hide hides what vanished long enough ago. What people did something with stays as it is.
func (v *visit) hide(ctx context.Context, all []*lost) error {
	var todo []follow
	var ended []store.Harvest
	for _, one := range all {
		if !v.state.Confirm && v.began.Sub(one.since) < v.r.opts.Pace.Delay {
			continue
		}
		busy, err := v.hasDeed(ctx, one.id)
		if err != nil {
			return err
		}
		if busy {
			continue
		}
		there, err := v.r.opts.Store.CopiesOf(ctx, v.route.Tenant, v.box.ID, []doppelboden.ID{one.id})
		if err != nil {
			return fmt.Errorf("read copies: %w", err)
		}
		for _, c := range there {
			if at := v.shelf.number(c.Folder); at != 0 && c.Flags&doppelboden.Hidden == 0 {
				todo = append(todo, follow{message: one.id, at: at, set: doppelboden.Hidden})
			}
		}
		ended = append(ended, one.rows...)
	}
	if err := v.follow(ctx, todo); err != nil {
		return err
	}
	v.r.metrics.hidden.Add(float64(len(todo)))
	if len(ended) == 0 {
		return nil
	}
	if v.state.Confirm {
		v.state.Confirm, v.state.Restored = false, time.Time{}
	}
	return v.put(ctx, store.HarvestBatch{Ended: ended})
}

// Confirm says that what vanished from a mailbox may be hidden, however much it is.
func (r *Room) Confirm(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) error {
	yes := true
	err := r.opts.Store.Harvest(ctx, r.opts.Lease(), []store.HarvestBatch{{Tenant: t, Mailbox: m, Confirm: &yes}})
	if err != nil {
		return fmt.Errorf("note the confirmation: %w", err)
	}
	r.Sync(m)
	return nil
}
