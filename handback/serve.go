package handback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

const (
	// mostTasks bounds what one visit works on, so that a mailbox does not keep a connection
	// from others for longer than some seconds.
	mostTasks = 300
	// pageDeeds is how many deeds are read at once.
	pageDeeds = 500
)

// A result is what a visit left behind.
type result struct {
	done    int           // that went back, or ended
	staying int           // that cannot go back for now
	waiting int           // that go with their mails
	why     string        // why some stay; "": none does
	keeps   []*task       // those that stay, and those that wait with mail that is held
	wait    time.Duration // before the next visit
	tell    bool          // the owner is still to be told
}

// serve does what is to be done for one mailbox now.
func (r *Room) serve(ctx context.Context, m doppelboden.MailboxID, place Place) (res result, err error) {
	state, err := r.state(ctx, place.Tenant, m)
	if err != nil {
		return res, err
	}
	if err := r.finish(ctx, m, place, &state); err != nil {
		return res, err
	}
	tasks, later, err := r.tasks(ctx, m, place, &state, &res)
	if err != nil {
		return res, err
	}
	if all := slices.Concat(tasks, res.keeps); len(all) > 0 {
		if err := r.begin(ctx, m, &state, all); err != nil {
			return res, err
		}
	}
	if len(tasks) > 0 {
		if place.Backend == nil {
			err = r.bring(ctx, m, place, &state, tasks, &res)
		} else {
			err = r.visit(ctx, m, place, &state, tasks)
		}
		r.sum(tasks, &res)
		if res.done > 0 {
			r.went(m)
		}
		if err != nil {
			return res, err
		}
	}
	stuck := !later && res.wait == 0 && len(res.keeps) > 0 && len(res.keeps) == res.staying+res.waiting
	r.stuck(m, stuck)
	switch {
	case later && res.wait == 0 && len(tasks) >= mostTasks:
	case stuck:
		return res, r.tellKept(ctx, m, place, &state, &res)
	case res.staying > 0:
		res.wait = max(res.wait, r.opts.Pace.Most/6)
	case res.waiting > 0:
		res.wait = max(res.wait, r.opts.Pace.First)
	case later:
		res.wait = max(res.wait, r.opts.Pace.Calm)
	case len(tasks) == 0:
		return res, r.tell(ctx, m, place, &state, &res)
	}
	res.tell = untold(&state)
	return res, nil
}

// state returns what is known of a mailbox, or the beginning of it.
func (r *Room) state(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (store.Handback, error) {
	h, err := r.opts.Store.HandbackOf(ctx, m)
	if err != nil && doppelboden.CodeOf(err) == doppelboden.NotFound {
		return store.Handback{Tenant: t, Mailbox: m}, nil
	}
	if err != nil {
		return h, fmt.Errorf("read what is known of a mailbox: %w", err)
	}
	return h, nil
}

// tasks reads what can go back from a mailbox now, and what was begun before. later says that
// there is more.
func (r *Room) tasks(ctx context.Context, m doppelboden.MailboxID, place Place, state *store.Handback, res *result) (list []*task, later bool, err error) {
	begun := map[int64]*store.HandbackDoing{}
	if state.Route == place.Route {
		for i := range state.Doing {
			begun[state.Doing[i].Number] = &state.Doing[i]
		}
	} else { // of a groupware where it lay before
		state.Doing, state.Note = nil, nil
	}
	now := r.opts.Clock()
	for after, more := int64(0), true; more; {
		var page []store.Deed
		read := 0
		err := r.opts.Store.Deeds(ctx, store.DeedFilter{Tenant: place.Tenant, Mailbox: m, After: after, Limit: pageDeeds}, func(d store.Deed) error {
			read, after = read+1, d.Number
			if begun[d.Number] == nil && (now.Sub(d.At) < r.opts.Pace.Calm || len(list)+len(page) >= mostTasks) {
				later = true
				return nil
			}
			page = append(page, d)
			return nil
		})
		if err != nil {
			return nil, false, fmt.Errorf("read what was done: %w", err)
		}
		tasks, err := r.read(ctx, page, begun)
		if err != nil {
			return nil, false, fmt.Errorf("read messages: %w", err)
		}
		for _, t := range tasks {
			delete(begun, t.deed.Number)
			if t.stay == whyWaiting {
				res.waiting++
				if t.held {
					res.keeps = append(res.keeps, t)
				}
				continue
			}
			list = append(list, t)
		}
		more = read == pageDeeds && (len(list) < mostTasks || len(begun) > 0)
		later = later || read == pageDeeds && !more
	}
	var back []store.Deed // what was taken back here after it was begun
	for _, d := range state.Doing {
		if begun[d.Number] != nil {
			back = append(back, store.Deed{Number: d.Number, Tenant: place.Tenant, Mailbox: m, Message: d.Message, Was: d.Was, Is: d.Was,
				Date: d.Date, Size: d.Size, At: state.At})
		}
	}
	tasks, err := r.read(ctx, back, begun)
	if err != nil {
		return nil, false, fmt.Errorf("read messages: %w", err)
	}
	if err := r.passOver(ctx, m, place, tasks); err != nil {
		return nil, false, err
	}
	return append(list, tasks...), later, nil
}

// passOver ends tasks that look as if they were taken back here, and whose mails lie here no
// more: they were doubles of others, which have inherited what was done.
func (r *Room) passOver(ctx context.Context, m doppelboden.MailboxID, place Place, tasks []*task) error {
	if len(tasks) == 0 {
		return nil
	}
	ids := make([]doppelboden.ID, len(tasks))
	for i, t := range tasks {
		ids[i] = t.deed.Message
	}
	copies, err := r.opts.Store.CopiesOf(ctx, place.Tenant, m, ids)
	if err != nil {
		return fmt.Errorf("read where mails lie: %w", err)
	}
	for _, t := range tasks {
		lies := slices.ContainsFunc(copies, func(c doppelboden.Copy) bool { return c.Message == t.deed.Message })
		t.done = t.done || t.open() && t.deed.Was != nil && !lies
	}
	return nil
}

// begin notes in which event something was done first that its owner was not told of.
func (r *Room) begin(ctx context.Context, m doppelboden.MailboxID, state *store.Handback, tasks []*task) error {
	first, last := tasks[0].deed.At, tasks[0].deed.At
	for _, t := range tasks {
		if t.deed.At.Before(first) {
			first = t.deed.At
		}
		if t.deed.At.After(last) {
			last = t.deed.At
		}
	}
	number, _, err := r.opts.Event(ctx, m, first)
	if err != nil {
		return fmt.Errorf("find the event: %w", err)
	}
	// What is refused for good stays the oldest for ever: it hides no later event, and an event
	// that was told of is not told of again.
	if 0 <= number && number <= max(state.Told, 0) {
		known := max(state.Told, state.Event)
		if number > 0 {
			number = known
		}
		later, since, err := r.opts.Event(ctx, m, last)
		if err != nil {
			return fmt.Errorf("find the last event: %w", err)
		}
		if later > max(known, 0) {
			number, first = later, since
		}
	}
	told := state.Event != 0 && state.Told == state.Event
	if state.Since.IsZero() || told && number != state.Event {
		state.Done, state.Left, state.More, state.Since = store.HandbackCounts{}, nil, 0, first
	}
	if number != 0 {
		state.Event = number
	} else if told {
		state.Event = 0
	}
	return nil
}

// sum adds up what became of tasks.
func (r *Room) sum(tasks []*task, res *result) {
	for _, t := range tasks {
		switch {
		case t.done || t.left != "":
			res.done++
		case t.stay != "":
			res.staying++
			res.why = t.stay
			res.keeps = append(res.keeps, t)
		}
	}
}

// untold reports whether the owner of a mailbox is still to be told of something: of all that
// was done or came in an event, else only of what could not be done.
func untold(h *store.Handback) bool {
	if h.Letter != nil || len(h.Doing) > 0 {
		return true
	}
	if h.Event == 0 {
		return len(h.Left) > 0
	}
	return h.Told != h.Event && (h.Opened || !idle(h))
}

// tell writes the last letter of an event when nothing more is to come.
func (r *Room) tell(ctx context.Context, m doppelboden.MailboxID, place Place, state *store.Handback, res *result) error {
	res.tell = untold(state)
	if !res.tell {
		return nil
	}
	now := r.opts.Clock()
	if quiet := now.Sub(r.quietSince(m, state)); quiet < r.opts.Pace.Quiet {
		res.wait = r.opts.Pace.Quiet - quiet
		return nil
	}
	if !r.opts.Clear(m) {
		res.wait = r.opts.Pace.First
		return nil
	}
	if err := r.last(ctx, m, place, state, &store.HandbackLetter{}); err != nil {
		return err
	}
	res.tell = false
	return nil
}

// last makes the last letter of an event.
func (r *Room) last(ctx context.Context, m doppelboden.MailboxID, place Place, state *store.Handback, l *store.HandbackLetter) error {
	l.ID, l.Final = r.ids.New(r.opts.Clock()), true
	next := *state
	next.Letter = l
	if err := r.keep(ctx, state, next, nil); err != nil {
		return err
	}
	return r.finish(ctx, m, place, state)
}

// finish makes a letter that was begun, unless it was made already, and writes down what
// follows from it.
func (r *Room) finish(ctx context.Context, m doppelboden.MailboxID, place Place, state *store.Handback) error {
	l := state.Letter
	if l == nil {
		return nil
	}
	_, err := r.opts.Store.Message(ctx, l.ID)
	made := err == nil
	if err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound {
		return fmt.Errorf("look for a letter: %w", err)
	}
	next := *state
	next.Letter = nil
	switch {
	case made:
	case l.Final:
		if err := r.write(ctx, m, place, l.ID, func() (content, error) { return r.final(ctx, m, place, state) }); err != nil {
			return err
		}
		r.metrics.letters.WithLabelValues("final").Inc()
	default: // what it was to bring may have changed since
		return r.keep(ctx, state, next, nil)
	}
	if l.Final {
		next.Told, next.Opened = next.Event, false
		if next.Event == 0 {
			next.Done, next.Left, next.More, next.Since = store.HandbackCounts{}, nil, 0, time.Time{}
		}
		return r.keep(ctx, state, next, nil)
	}
	return r.brought(ctx, state, next, l.Covers)
}

// brought writes down that a letter has brought what it covers.
func (r *Room) brought(ctx context.Context, state *store.Handback, next store.Handback, covers []store.Returned) error {
	if err := r.keep(ctx, state, next, covers); err != nil {
		return err
	}
	r.metrics.deeds.Add(float64(len(covers)))
	r.flowed(len(covers))
	return nil
}

// keep writes what is known of a mailbox now.
func (r *Room) keep(ctx context.Context, state *store.Handback, next store.Handback, list []store.Returned) error {
	next.At = r.opts.Clock()
	return r.put(ctx, state, next, list)
}

// put writes what is known of a mailbox.
func (r *Room) put(ctx context.Context, state *store.Handback, next store.Handback, list []store.Returned) error {
	if !r.opts.Mail.MayDot() {
		return errMayNot
	}
	if err := r.opts.Store.PutHandback(ctx, r.opts.Lease(), next, list); err != nil {
		return fmt.Errorf("write what is known of a mailbox: %w", err)
	}
	*state = next
	return nil
}

var errNobody = errors.New("the tenant has no postmaster whom letters could come from")
