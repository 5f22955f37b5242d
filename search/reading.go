package search

import (
	"context"
	"errors"
	"fmt"
	"io"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/segment"
	"doppelboden/store"
)

const (
	// readAtOnce is how many mails without an extract are read before their extracts are kept.
	readAtOnce = 32
	// keptRoom is how much memory a reader keeps for the next mail, in bytes.
	keptRoom = 1 << 20
)

// A reader reads mails one after the other, at less cost than each alone: over one open file
// where they lie together, and into the same memory. It belongs to one goroutine.
type reader struct {
	owner  *Room
	bodies Bodies
	run    *segment.Run // nil where bodies have none
	room   []byte       // memory for the next mail
}

func (r *Room) reader() *reader {
	d := &reader{owner: r, bodies: r.opts.Bodies}
	if all, ok := d.bodies.(*segment.Store); ok {
		d.run = all.Run()
		d.bodies = d.run
	}
	return d
}

func (d *reader) close() {
	if d.run != nil {
		d.run.Close() // it was read from alone
	}
}

// mail returns a message as people see it, or its first most bytes, until the next call.
func (d *reader) mail(m *doppelboden.Message, most int64) ([]byte, error) {
	body, err := d.bodies.Reader(m.Tenant, m.Body)
	if err != nil {
		return nil, fmt.Errorf("open the body of %s: %w", m.ID, err)
	}
	defer body.Close()
	size := int64(len(m.Prefix)) + m.Body.Size
	want := min(size, most)
	if int64(cap(d.room)) < want {
		d.room = make([]byte, want+want/4)
	}
	text := d.room[:want]
	if cap(d.room) > keptRoom {
		d.room = nil
	}
	_, err = io.ReadFull(body, text[copy(text, m.Prefix):])
	if err == nil && want == size { // what is missing, or damaged, is told where it ends
		var more [1]byte
		if _, err = io.ReadFull(body, more[:]); err == nil {
			err = errors.New("it is longer than its message says")
		} else if err == io.EOF { // not errors.Is: damage may have an io.EOF in its tree
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the body of %s: %w", m.ID, err)
	}
	return text, nil
}

// made reads a message and takes out what is searched and listed.
func (d *reader) made(ctx context.Context, m *doppelboden.Message) (made, manner, error) {
	text, err := d.mail(m, readLimits.Size+1)
	if err != nil {
		return made{}, readWhole, err
	}
	e, how, err := careful(ctx, d, m.ID, text, readLimits, func(l *letter.Letter) made {
		s := l.Summary()
		return made{s, contentOf(l, &s)}
	})
	if how == readWhole || err != nil {
		return e, how, err
	}
	if e.content == nil {
		e.content = &content{}
	}
	e.content.cut, e.content.headerCut, e.content.brief = true, true, true
	return e, how, nil
}

// readAll reads messages that have no extract yet, because somebody needs them now, hands
// over what it took out of them, and keeps it. Messages that are gone or cannot be read are
// passed over.
func (r *Room) readAll(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, each func(doppelboden.ID, made)) error {
	for len(ids) > 0 {
		some := ids[:min(len(ids), readAtOnce)]
		ids = ids[len(some):]
		if err := r.readSome(ctx, t, some, each); err != nil {
			return err
		}
	}
	return nil
}

// readSome is readAll of so many that their extracts are kept in one commit. Two at a time: a
// search through thousands of mails must not take the node's memory.
func (r *Room) readSome(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, each func(doppelboden.ID, made)) error {
	select {
	case r.reading <- struct{}{}:
		defer func() { <-r.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	d := r.reader()
	defer d.close()
	var keep []store.Extract
	err := r.opts.Store.TextsOf(ctx, t, ids, func(m *doppelboden.Message) error {
		e, how, err := d.made(ctx, m)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.unreadable(m.ID, err)
			return nil
		}
		each(m.ID, e)
		if how == readLater {
			return nil
		}
		r.metrics.made.WithLabelValues("demand").Inc()
		sealed, err := r.seal(m, e)
		if err != nil {
			r.opts.Log.Warn("an extract cannot be sealed", "message", m.ID, "err", err)
		} else {
			keep = append(keep, sealed)
		}
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("find mails without an extract: %w", err)
	}
	if err := r.opts.Store.PutExtracts(ctx, keep); err != nil && !errors.Is(err, context.Canceled) {
		r.opts.Log.Warn("extracts cannot be kept", "messages", len(keep), "err", err)
	}
	return nil
}

// unreadable notes a mail that is passed over.
func (r *Room) unreadable(id doppelboden.ID, err error) {
	r.metrics.failed.Inc()
	r.opts.Log.Warn("a mail cannot be read for lists and searches", "message", id, "err", err)
}
