package segment

import (
	"io"

	"doppelboden"
	"doppelboden/disk"
)

// A Run reads many bodies one after the other and keeps the last file open, for mails that
// came together lie together. It belongs to one goroutine and is closed at its end.
type Run struct {
	s    *Store
	name string // of the open file; "" for none
	file disk.File
}

// Run begins to read many bodies.
func (s *Store) Run() *Run { return &Run{s: s} }

// Reader is Store.Reader.
func (r *Run) Reader(t doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error) {
	return r.s.reader(t, b, r.open)
}

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
