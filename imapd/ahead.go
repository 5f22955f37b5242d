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

// A queue opens mails before their turn, while the ones before are written.
type queue struct {
	mails  chan opened
	cancel context.CancelFunc
	early  *opened // came, and is not yet the one that was asked for
}

// openAll begins to open mails of the selected folder, by rising UID.
func (s *session) openAll(uids []uint32) *queue {
	ctx, cancel := context.WithCancel(s.ctx)
	q := &queue{mails: make(chan opened, fetchAhead), cancel: cancel}
	box, folder := s.view.box, s.view.folder
	go func() {
		defer close(q.mails)
		err := box.Several(ctx, folder, uids, func(uid uint32, m Mail, err error) error {
			select {
			case q.mails <- opened{uid, m, err}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil {
			select {
			case q.mails <- opened{err: err}:
			case <-ctx.Done():
			}
		}
	}()
	return q
}

// next returns the mail with a UID. The code of its error is NotFound where there is none.
func (q *queue) next(uid uint32) opened {
	for {
		if q.early == nil {
			o, ok := <-q.mails
			if !ok {
				return opened{uid: uid, err: &doppelboden.Error{Code: doppelboden.NotFound, Public: sayGone}}
			}
			q.early = &o
		}
		switch o := *q.early; {
		case o.uid == 0: // nothing follows
			return o
		case o.uid > uid:
			return opened{uid: uid, err: &doppelboden.Error{Code: doppelboden.NotFound, Public: sayGone}}
		case o.uid == uid:
			q.early = nil
			return o
		}
		q.early = nil
	}
}

// close ends it, and waits.
func (q *queue) close() {
	q.cancel()
	for range q.mails { // until it is closed
	}
}
