package folder

import (
	"context"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

// A watcher waits for changes of one mailbox.
type watcher struct {
	tenant  doppelboden.TenantID
	changed chan struct{}
}

// Watch returns a channel that gets a value after anything in this mailbox changed; it
// holds at most one. stop ends it and may be called more than once.
func (b *Box) Watch() (changed <-chan struct{}, stop func()) {
	w := &watcher{tenant: b.tenant, changed: make(chan struct{}, 1)}
	r := b.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watchers[b.mailbox] == nil {
		r.watchers[b.mailbox] = map[*watcher]struct{}{}
	}
	r.watchers[b.mailbox][w] = struct{}{}
	return w.changed, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers[b.mailbox], w)
		if len(r.watchers[b.mailbox]) == 0 {
			delete(r.watchers, b.mailbox)
		}
	}
}

// Arrived wakes those who watch the mailboxes in which copies of messages came to lie.
// Landing tells what was drained, and so does who settles with copies.
func (r *Room) Arrived(list []*doppelboden.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.watchers) == 0 {
		return
	}
	for _, m := range list {
		for i := range m.Copies {
			r.wake(m.Copies[i].Mailbox)
		}
	}
}

// Changed wakes those who watch mailboxes in which somebody else than a Box changed
// something.
func (r *Room) Changed(mailboxes ...doppelboden.MailboxID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range mailboxes {
		r.wake(m)
	}
}

// wake wakes the watchers of a mailbox. The caller holds mu.
func (r *Room) wake(m doppelboden.MailboxID) {
	for w := range r.watchers[m] {
		select {
		case w.changed <- struct{}{}:
		default: // it has not come to look since the last one
		}
	}
}

// Run looks for what other nodes changed in watched mailboxes until ctx ends.
func (r *Room) Run(ctx context.Context) {
	if r.opts.Poll == 0 {
		return
	}
	seen := map[doppelboden.MailboxID]state{}
	clock.Every(ctx, r.opts.Timer, r.opts.Poll, func() { seen = r.poll(ctx, seen) })
}

// A state is what shows that something changed in a mailbox.
type state struct {
	tenant  doppelboden.TenantID
	changes int64
	fresh   int64
	folders int
}

// poll wakes the watchers of mailboxes that are not as they were seen last, and returns how
// they are.
func (r *Room) poll(ctx context.Context, seen map[doppelboden.MailboxID]state) map[doppelboden.MailboxID]state {
	r.mu.Lock()
	watched := make(map[doppelboden.MailboxID]doppelboden.TenantID, len(r.watchers))
	for id, list := range r.watchers {
		for w := range list {
			watched[id] = w.tenant
		}
	}
	r.mu.Unlock()
	next := make(map[doppelboden.MailboxID]state, len(watched))
	for id, tenant := range watched {
		list, err := r.opts.Store.Folders(ctx, tenant, id)
		if err != nil {
			if ctx.Err() == nil {
				r.opts.Log.Warn("it can't be seen what other nodes changed in a mailbox", "mailbox", int64(id), "err", err)
			}
			return seen // the database is away: the others would fail as well
		}
		now := stateOf(tenant, list)
		if was, known := seen[id]; known && was != now {
			r.Changed(id)
		}
		next[id] = now
	}
	return next
}

func stateOf(t doppelboden.TenantID, list []store.Folder) state {
	s := state{tenant: t, folders: len(list)}
	for _, f := range list {
		s.changes += f.Change
		s.fresh += f.Fresh
	}
	return s
}
