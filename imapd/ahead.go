package imapd

import (
	"context"

	"doppelboden"
)

// An opened is a mail, or why it could not be opened.
type opened struct {
	uid  uint32
	mail Mail
	err  error
}

// A queue opens mails before their turn, while the ones before are written. They are handed
// over some at a time, for waking another goroutine costs as much as reading a mail.
type queue struct {
	batches chan []opened
	cancel  context.CancelFunc
	ready   []opened // came, and were not asked for yet
}

// openAll begins to open mails of the selected folder, by rising UID.
func (s *session) openAll(uids []uint32) *queue {
	ctx, cancel := context.WithCancel(s.ctx)
	q := &queue{batches: make(chan []opened, 1), cancel: cancel}
	box, folder := s.view.box, s.view.folder
	go func() {
		defer close(q.batches)
		var batch []opened
		size := 0
		err := box.Several(ctx, folder, uids, func(uid uint32, m Mail, err error) error {
			batch = append(batch, opened{uid, m, err})
			if m != nil {
				size += cap(m.Text()) // memory that is used again may be greater than its mail
			}
			if len(batch) < aheadMails && size < aheadBytes {
				return nil
			}
			full := batch
			batch, size = make([]opened, 0, aheadMails), 0
			return q.hand(ctx, full)
		})
		if err != nil {
			batch = append(batch, opened{err: err})
		}
		_ = q.hand(ctx, batch) // who closed the queue wants no more
	}()
	return q
}

// hand hands mails over, or returns what ended ctx.
func (q *queue) hand(ctx context.Context, batch []opened) error {
	select {
	case q.batches <- batch:
		return nil
	case <-ctx.Done():
		free(batch)
		return ctx.Err()
	}
}

// free frees mails that nobody asked for.
func free(batch []opened) {
	for _, o := range batch {
		if o.mail != nil {
			o.mail.Free()
		}
	}
}

// next returns the mail with a UID, which is to be freed. The code of its error is NotFound
// where there is none.
func (q *queue) next(uid uint32) opened {
	for {
		for len(q.ready) == 0 {
			batch, ok := <-q.batches
			if !ok {
				return opened{uid: uid, err: &doppelboden.Error{Code: doppelboden.NotFound, Public: sayGone}}
			}
			q.ready = batch
		}
		switch o := q.ready[0]; {
		case o.uid == 0: // nothing follows
			return o
		case o.uid > uid:
			return opened{uid: uid, err: &doppelboden.Error{Code: doppelboden.NotFound, Public: sayGone}}
		case o.uid == uid:
			q.ready = q.ready[1:]
			return o
		}
		free(q.ready[:1])
		q.ready = q.ready[1:]
	}
}

// close ends it, and waits.
func (q *queue) close() {
	q.cancel()
	free(q.ready)
	for batch := range q.batches { // until it is closed
		free(batch)
	}
}
