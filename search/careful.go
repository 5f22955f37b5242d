package search

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"doppelboden"
	"doppelboden/letter"
)

const (
	// mailTime is how long a mail may take to be read. The worst that we know of takes a second.
	mailTime = 30 * time.Second
	// briefSize is how much is read of a mail that takes longer, in bytes: so little that it is
	// read soon even by what looks at each byte once more for each other.
	briefSize = 16 << 10
	// straySize is how large a mail is that is left for later while another one is still being
	// read that took too long. What is smaller comes to an end by itself.
	straySize = 1 << 20
)

// A manner is how a mail was read.
type manner byte

const (
	readWhole manner = iota
	readBrief        // in its beginning alone, or not at all: it takes too long, or nobody can read it
	readLater        // the same, and only because of another mail: it is to be read again
)

// errSlow says that a mail takes too long to be read.
var errSlow = errors.New("it takes too long")

// careful has take look at a mail of strangers, who may have found out how to make it take
// hours, or how to make take panic. Neither may stop what reads the mails of everybody else,
// and not again after each start: then take gets the beginning of the mail alone, and when that
// does not work either its zero value is given. What was begun and takes too long runs on until
// it ends, for nobody can end it; so take may use nothing that others use. The error is ctx's.
func careful[T any](ctx context.Context, d *reader, id doppelboden.ID, text []byte, limits letter.Limits, take func(*letter.Letter) T) (value T, how manner, err error) {
	parts := [][]byte{text}
	if len(text) > briefSize {
		parts = append(parts, text[:briefSize])
	}
	if len(text) > straySize && d.owner.strays.Load() > 0 {
		parts, how = parts[1:], readLater
	}
	for _, part := range parts {
		got := attempt(ctx, d, part, limits, take)
		if got.err == nil || ctx.Err() != nil {
			return got.value, how, ctx.Err()
		}
		how = max(how, readBrief)
		d.owner.metrics.failed.Inc()
		d.owner.opts.Log.Error("a mail cannot be read for lists and searches as others can", "message", id, "bytes", len(part), "err", got.err)
	}
	return value, how, nil
}

// A taken is what was taken out of a mail.
type taken[T any] struct {
	value T
	err   error
}

// attempt has take look at some of a mail for as long as a mail may take.
func attempt[T any](ctx context.Context, d *reader, text []byte, limits letter.Limits, take func(*letter.Letter) T) taken[T] {
	r := d.owner
	done := make(chan taken[T], 1)
	go func() {
		var got taken[T]
		defer func() {
			if p := recover(); p != nil {
				got.err = fmt.Errorf("the reader failed: %v\n%s", p, debug.Stack())
			}
			done <- got
		}()
		got.value = take(r.parse(text, limits))
	}()
	fired, stop := r.timer(mailTime)
	defer stop()
	got := taken[T]{err: errSlow}
	select {
	case got = <-done:
		return got
	case <-fired:
	case <-ctx.Done():
		got.err = ctx.Err()
	}
	d.room = nil // text lies there, and is still being read
	r.strays.Add(1)
	go func() {
		<-done
		r.strays.Add(-1)
	}()
	return got
}
