package landing

import (
	"context"
	"errors"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/store"
)

// A landed is one commit as it lies in the journal.
type landed struct {
	at       place
	next     place // where the record after it begins
	before   int64 // messages in its log before it
	messages int64
	payload  []byte
}

// commits writes round after round until ctx ends, and then the last one. Meanwhile the
// next one gathers; it is not begun before its turn, because what costs is the round and
// not the mail.
func (l *Landing) commits(ctx context.Context) {
	senders := 0 // who were about when the last round ended
	for {
		select {
		case <-l.kick:
		case <-ctx.Done():
			if r := l.take(); r != nil {
				l.commit(r)
			}
			return
		}
		l.company(ctx, senders)
		if r := l.take(); r != nil {
			senders = l.commit(r)
		}
	}
}

// take returns the round that has gathered; the next caller of gather begins another.
func (l *Landing) take() *round {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.next
	l.next, l.full = nil, nil
	return r
}

// commit writes a round, syncs everything, and answers. It returns how many messages were in
// it or have gathered meanwhile.
func (l *Landing) commit(r *round) int {
	began := time.Now()
	d, err := l.write(r)
	if err == nil {
		err = l.sync(d)
	}
	l.mu.Lock()
	if err == nil {
		l.settle(r)
	}
	senders := len(r.messages) + l.gathered()
	l.mu.Unlock()
	if err != nil {
		r.err = disk.Fail("keep what landed", err)
		l.health.failed(l, r.err)
	} else {
		l.health.wrote(l)
		l.metrics.committed(len(r.messages), time.Since(began))
	}
	close(r.done)
	return senders
}

// settle forgets what was pending: with r everything before it is sure as well. The caller
// holds mu.
func (l *Landing) settle(r *round) {
	for _, m := range r.messages {
		delete(l.pending, m.ID)
	}
	if len(l.pending) == 0 || l.next != nil && len(l.pending) == len(l.next.messages) {
		return
	}
	for id, of := range l.pending {
		if of != l.next {
			delete(l.pending, id)
			l.late.put(id, time.Now())
		}
	}
}

// write appends the round to the journal. After an error nothing of it is there.
func (l *Landing) write(r *round) (*day, error) {
	d, err := l.journal.roll(l.opts.Clock())
	if err != nil {
		l.forget(r)
		return nil, err
	}
	kind, before := kindCommit, d.taken
	var link doppelboden.Link
	switch {
	case len(r.messages) > 0:
		link = l.opts.Chain.Next(l.opts.Clock(), entries(r.messages))
		l.buf = appendLanded(l.buf[:0], &link, r.encoded)
	case r.probe:
		kind, l.buf = kindProbe, l.buf[:0]
	default:
		return d, nil // only what is there already is to be synced
	}
	var rec []byte
	at, err := d.out.Append(func(pos, _ int64) []byte {
		rec = appendRecord(nil, kind, pos, d.end, before, l.buf)
		return rec
	})
	if err != nil {
		l.forget(r)
		return nil, err
	}
	if kind == kindCommit {
		// From here on it may be on the disk, so the chain goes on behind it.
		l.opts.Chain.Advance(link)
		d.taken += int64(len(r.messages))
		l.unsure = append(l.unsure, landed{
			at: place{d.base, at}, next: place{d.base, at + int64(len(rec))},
			before: before, messages: int64(len(r.messages)), payload: rec[headerSize : headerSize+len(l.buf)],
		})
	}
	return d, nil
}

// entries returns what the ledger records of messages.
func entries(messages []*doppelboden.Message) []doppelboden.Entry {
	all := make([]doppelboden.Entry, 0, len(messages))
	for _, m := range messages {
		all = append(all, store.Entries(m)...)
	}
	return all
}

// forget lets messages that are not in the journal be written by a later round.
func (l *Landing) forget(r *round) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range r.messages {
		delete(l.pending, m.ID)
	}
}

// sync has everything that was written, and all that it refers to, on the disk. Only when
// all of it is there does anything count: then it goes to the drainer.
func (l *Landing) sync(d *day) error {
	upto, _ := d.out.Pos()
	if err := l.syncAll(d); err != nil {
		return err
	}
	end := l.journal.sure(d, upto, d.taken)
	l.drainer.give(l.unsure, end)
	l.unsure = l.unsure[:0]
	return nil
}

// syncAll runs all syncs side by side.
func (l *Landing) syncAll(d *day) error {
	errs := make([]error, len(l.opts.Sync)+1)
	var all sync.WaitGroup
	for i, fn := range l.opts.Sync {
		all.Go(func() { errs[i] = fn() })
	}
	errs[len(errs)-1] = d.out.Sync()
	all.Wait()
	return errors.Join(errs...)
}
