package sqlite

import (
	"context"
	"errors"
)

// maxReaders is how many calls may read at once. Reading is short; more connections
// would only hold more memory.
const maxReaders = 4

// readers are connections that only read. Each call holds one for a moment: a long
// read would keep the WAL from starting over.
type readers struct {
	path, synchronous string
	free              chan *conn    // nil stands for one that is not open
	closed            chan struct{} // closed by close
}

// newReaders makes room for connections and opens none.
func newReaders(path, synchronous string) readers {
	r := readers{path: path, synchronous: synchronous, free: make(chan *conn, maxReaders), closed: make(chan struct{})}
	for range maxReaders {
		r.free <- nil
	}
	return r
}

// close waits for those who read and closes all connections.
func (r *readers) close() {
	close(r.closed)
	for range maxReaders {
		if c := <-r.free; c != nil {
			c.close()
		}
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
	var c *conn
	select {
	case c = <-r.free:
	case <-r.closed:
		return closedError()
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { r.free <- c }()
	if c == nil {
		opened, err := connect(r.path, r.synchronous, reading)
		if err != nil {
			return err
		}
		c = opened
	}
	err := f(c)
	if err != nil && !aboutItem(err) {
		c.close()
		c = nil
	}
	return err
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
