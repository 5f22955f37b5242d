package postgres

import (
	"context"
	"errors"
	"time"
)

// maxReaders is how many calls may read at once. Reading is short; more connections would
// only take from the server what others need.
const maxReaders = 4

// freshFor is how long a reader's connection that nobody used is believed to be alive
// without a look at its socket.
const freshFor = time.Second

// readLimit is how long a call may hold a connection. A read takes milliseconds; one that
// takes so long meets a server that is frozen, and may be tried again.
const readLimit = 30 * time.Second

// A reader is a connection that nobody uses at the moment.
type reader struct {
	c    *conn // nil stands for one that is not open
	used time.Time
}

// readers are connections that only read. Each call holds one for a moment: a long read
// would keep the server from clearing away what is outdated.
type readers struct {
	s      *Store
	free   chan reader
	closed chan struct{} // closed by close
}

// newReaders makes room for connections and opens none.
func newReaders(s *Store) readers {
	r := readers{s: s, free: make(chan reader, maxReaders), closed: make(chan struct{})}
	for range maxReaders {
		r.free <- reader{}
	}
	return r
}

// close waits for those who read and closes all connections.
func (r *readers) close() {
	close(r.closed)
	for range maxReaders {
		if one := <-r.free; one.c != nil {
			one.c.close()
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
	if !r.s.opened.Load() {
		return errNotOpen
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var one reader
	select {
	case one = <-r.free:
	case <-r.closed:
		return closedError()
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() {
		one.used = time.Now()
		r.free <- one
	}()
	if one.c != nil && time.Since(one.used) > freshFor && one.c.pg.CheckConn() != nil {
		one.c.close() // the server went away meanwhile
		one.c = nil
	}
	if one.c == nil {
		c, err := r.s.connect(ctx)
		if err != nil {
			return err
		}
		one.c = c
	}
	socket := one.c.pg.Conn()
	socket.SetDeadline(time.Now().Add(readLimit))
	err := f(one.c)
	socket.SetDeadline(time.Time{})
	if err != nil && (one.c.pg.IsClosed() || !aboutItem(err)) {
		one.c.close()
		one.c = nil
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
		if _, err := c.exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
			return err
		}
		err := f(c)
		// Not with ctx: it may have ended, and the connection must not stay in it.
		if _, ending := c.exec(background, "ROLLBACK"); ending != nil {
			return &storageError{errors.Join(err, ending)}
		}
		return err
	})
}
