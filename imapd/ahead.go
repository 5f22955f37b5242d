package imapd

import (
	"context"

	"doppelboden"
	"doppelboden/store"
)

// An opened is a mail, or why it could not be opened.
type opened struct {
	mail Mail
	err  error
}

// A queue opens mails before their turn, while the ones before are written.
type queue struct {
	mails  chan opened
	cancel context.CancelFunc
}

// open begins to open mails in their order.
func (f *fetch) open(rows []store.Shown) *queue {
	return openAll(f.s.ctx, f.s.view.box, rows)
}

// openAll begins to open mails of a mailbox in their order.
func openAll(ctx context.Context, box Mailbox, rows []store.Shown) *queue {
	ctx, cancel := context.WithCancel(ctx)
	q := &queue{mails: make(chan opened, fetchAhead), cancel: cancel}
	go func() {
		defer close(q.mails)
		for _, row := range rows {
			var o opened
			if readable(row) {
				o.mail, o.err = box.Open(ctx, row.Message)
			} else {
				o.err = &doppelboden.Error{Code: doppelboden.Policy, Public: sayHeld}
			}
			select {
			case q.mails <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	return q
}

// next returns the next mail.
func (q *queue) next() opened {
	o, ok := <-q.mails
	if !ok {
		o.err = context.Canceled
	}
	return o
}

// close ends it, and waits.
func (q *queue) close() {
	q.cancel()
	for range q.mails { // until it is closed
	}
}
