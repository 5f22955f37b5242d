package segment

import (
	"bytes"
	"errors"
	"io"

	"doppelboden"
	"doppelboden/disk"
)

// A Run reads many bodies one after the other. It keeps the last file open, for mails that
// came together lie together, and reads records into the same memory. It belongs to one
// goroutine and is closed at its end.
type Run struct {
	s    *Store
	name string // of the open file; "" for none
	file disk.File
	room []byte // for a record
	turn uint64 // counts bodies
}

// errTurn is the answer to who reads a body of a Run after the next one was begun.
var errTurn = errors.New("segment: this body was given back, for the next one of its run was begun")

// Run begins to read many bodies.
func (s *Store) Run() *Run { return &Run{s: s} }

// Reader is Store.Reader. What it returns can be read until the next call.
func (r *Run) Reader(t doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error) {
	r.turn++
	p, key, err := r.s.find(t, b)
	if err != nil {
		return nil, err
	}
	if p.big {
		return r.s.openBig(t, b, p, &key)
	}
	if need := headerSize + b.Size + tagSize; int64(cap(r.room)) < need && b.Size >= 0 && b.Size <= MaxRecord {
		r.room = make([]byte, need+need/2) // so that it grows a few times and not with every body
	}
	plain, err := r.s.plain(t, b, p, &key, source{open: r.open, room: r.room})
	if err != nil {
		return nil, err
	}
	body := &runBody{run: r, turn: r.turn}
	body.left.Reset(plain)
	return body, nil
}

// A runBody is a body in the memory of a Run.
type runBody struct {
	run  *Run
	turn uint64
	left bytes.Reader
}

// Read implements io.Reader.
func (b *runBody) Read(p []byte) (int, error) {
	if b.turn != b.run.turn {
		return 0, errTurn // what lies there now is another mail
	}
	return b.left.Read(p)
}

// Close implements io.Closer.
func (b *runBody) Close() error { return nil }

// open returns the file that holds a body, which the Run closes.
func (r *Run) open(p place, b doppelboden.Body) (disk.File, error) {
	name, ok := r.s.layout.file(p, b.Offset)
	if ok && r.file != nil && r.name == r.s.path(p.day, name) {
		return lent{r.file}, nil
	}
	r.Close()
	f, err := r.s.openAt(p, b)
	if err != nil {
		return nil, err
	}
	r.name, r.file = r.s.path(p.day, name), f
	return lent{f}, nil
}

// Close ends the Run.
func (r *Run) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// A lent file is closed by somebody else.
type lent struct{ disk.File }

// Close implements disk.File.
func (lent) Close() error { return nil }
