package folder

import (
	"doppelboden"
)

// A watcher waits for changes of one mailbox.
type watcher struct {
	changed chan struct{}
}

// Watch returns a channel that gets a value after anything in this mailbox changed; it
// holds at most one. stop ends it and may be called more than once.
func (b *Box) Watch() (changed <-chan struct{}, stop func()) {
	w := &watcher{changed: make(chan struct{}, 1)}
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
