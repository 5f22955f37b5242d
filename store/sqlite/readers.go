package sqlite

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// maxReaders is how many calls may read at once. Reading is short; more connections
// would only hold more memory.
const maxReaders = 4

// readers are connections that only read. Each call holds one for a moment: a long
// read would keep the WAL from starting over. The one that was given back last is lent
// first, so that a node with little to do keeps the pages of one.
type readers struct {
	path, synchronous string
	places            chan struct{} // one for each call that reads
	closed            chan struct{} // closed by close

	mu     sync.Mutex
	free   []*conn // that are open; the last was given back last
	unused int     // how many of them, from the first on, were free all the time since rest
}

// newReaders makes room for connections and opens none.
func newReaders(path, synchronous string) *readers {
	return &readers{path: path, synchronous: synchronous, places: make(chan struct{}, maxReaders), closed: make(chan struct{})}
}

// close waits for those who read and closes all connections.
func (r *readers) close() {
	close(r.closed)
	for range maxReaders {
		r.places <- struct{}{}
	}
	for _, c := range r.free {
		c.close()
	}
}

// with lends a connection to f. One that met trouble of the storage is thrown away.
func (r *readers) with(ctx context.Context, f func(c *conn) error) error {
	select {
	case <-r.closed:
		return closedError()
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case r.places <- struct{}{}:
	case <-r.closed:
		return closedError()
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.places }()
	c, err := r.take()
	if err != nil {
		return err
	}
	sound := false
	defer func() { r.giveBack(c, sound) }()
	err = f(c)
	sound = err == nil || aboutItem(err)
	return err
}

// take returns the connection that was given back last, or a new one.
func (r *readers) take() (*conn, error) {
	r.mu.Lock()
	n := len(r.free)
	if n == 0 {
		r.mu.Unlock()
		return connect(r.path, r.synchronous, reading)
	}
	defer r.mu.Unlock()
	c := r.free[n-1]
	r.free[n-1] = nil // it may not come back
	r.free = r.free[:n-1]
	r.unused = min(r.unused, n-1)
	return c, nil
}

func (r *readers) giveBack(c *conn, sound bool) {
	if !sound {
		c.close()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free = append(r.free, c)
}

// rest closes the connections that nobody has used since the last time, but one: whoever
// reads next must not depend on a file that can be opened.
func (r *readers) rest() {
	r.mu.Lock()
	n := max(0, min(r.unused, len(r.free)-1))
	unused := slices.Clone(r.free[:n])
	r.free = slices.Delete(r.free, 0, n)
	r.unused = len(r.free)
	r.mu.Unlock()
	for _, c := range unused {
		c.close()
	}
}

// read lends a connection and makes errors fit for the border.
func (s *Store) read(ctx context.Context, f func(c *conn) error) error {
	return outward(s.readers.with(ctx, f))
}

// snapshot is read within one transaction, so that several statements see one state.
func (s *Store) snapshot(ctx context.Context, f func(c *conn) error) error {
	return s.read(ctx, func(c *conn) error {
		if _, err := c.exec(ctx, "BEGIN"); err != nil {
			return err
		}
		err := f(c)
		// Not with ctx: it may have ended, and the connection must not stay in it.
		if _, ending := c.exec(background, "COMMIT"); ending != nil {
			return &storageError{errors.Join(err, ending)}
		}
		return err
	})
}
