package queue

import (
	"context"

	"doppelboden"
	"doppelboden/store"
)

// A Toucher knows which mail people have done something with here while it waits. Such mail
// is put straight into the mailbox, as it lies here, however young it is.
type Toucher interface {
	// May reports whether anything was done in a mailbox. It is asked often, and costs nothing.
	May(m doppelboden.MailboxID) bool
	// Touched returns with which of the messages something was done in a mailbox.
	Touched(ctx context.Context, m doppelboden.MailboxID, ids []doppelboden.ID) (map[doppelboden.ID]bool, error)
}

// Touch tells that somebody has done something with mail that may wait for a mailbox. It
// never waits for disk or network.
func (q *Queue) Touch(m doppelboden.MailboxID) {
	id := doppelboden.BoxID(m)
	q.mu.RLock()
	defer q.mu.RUnlock()
	name, _, ok := q.opts.Router.Place(id)
	l := q.lanes[name]
	if !ok || l == nil || !l.conf.FileTouched {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.boxes[id]; b != nil {
		l.retouch(b)
	}
}

// retouch has the store asked again for what waits in a box, so that what was touched is
// known. What is in flight goes as it was begun.
func (l *lane) retouch(b *box) {
	switch {
	case b.loading:
		b.anew = true
	case b.place == busy:
	case len(b.items) > 0:
		l.lift(b)
		l.buffered -= len(b.items)
		b.items, b.more, b.after = nil, true, 0
		l.arrange(b)
	}
}

// touchedOf returns which of loaded items were touched. It reads from the database, so it is
// not called under lane.mu.
func (l *lane) touchedOf(ctx context.Context, items []store.Item) map[doppelboden.Ref]bool {
	t := l.q.opts.Toucher
	if t == nil || !l.conf.FileTouched || l.q.opts.Filer == nil {
		return nil
	}
	ids := map[doppelboden.MailboxID][]doppelboden.ID{}
	for i := range items {
		if m := ownMailbox(&items[i].Delivery); m != 0 && t.May(m) {
			ids[m] = append(ids[m], items[i].Delivery.Message)
		}
	}
	all := map[doppelboden.Ref]bool{}
	for m, list := range ids {
		touched, err := t.Touched(ctx, m, list)
		if err != nil {
			// It goes the usual way then, and what was done goes back afterwards.
			l.q.opts.Log.Warn("what people did with mail that waits cannot be read", "lane", l.conf.Route.Name, "err", err)
			continue
		}
		for i := range items {
			if d := &items[i].Delivery; ownMailbox(d) == m && touched[d.Message] {
				all[refOf(items[i])] = true
			}
		}
	}
	return all
}

// ownMailbox returns the mailbox of a delivery by its own route, or 0.
func ownMailbox(d *doppelboden.Delivery) doppelboden.MailboxID {
	if d.Box != doppelboden.BoxID(d.Mailbox) {
		return 0
	}
	return d.Mailbox
}
