package courier

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// errCancelled says that the caller wanted no more.
var errCancelled = errors.New("the hand-over was cancelled")

// A guard sets the deadlines of an agent's connection, and ends all waiting on it when
// the caller's context ends: at once, or, between the final dot and its answer, after
// a grace. Deadlines are real time (or a test bubble's): the clock that may be injected
// is for what is written down.
type guard struct {
	grace time.Duration

	mu      sync.Mutex
	conn    net.Conn  // nil while there is none
	over    bool      // the context has ended
	dot     bool      // the final dot may be on its way
	graceTo time.Time // when the grace ends; set once over and dot
	until   time.Time // the deadline that is set

	running sync.WaitGroup // callbacks of contexts
}

// watch makes the end of ctx end the waiting, until release is called. Afterwards
// nothing of it runs any more.
func (g *guard) watch(ctx context.Context) (release func()) {
	g.mu.Lock()
	g.over, g.dot, g.graceTo = ctx.Err() != nil, false, time.Time{}
	g.mu.Unlock()
	if ctx.Done() == nil {
		return func() {}
	}
	g.running.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer g.running.Done()
		g.cancel()
	})
	return func() {
		if stop() {
			g.running.Done()
		}
		g.running.Wait()
	}
}

// cancel moves the deadline of what is being waited for.
func (g *guard) cancel() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return
	}
	g.over = true
	now := time.Now()
	if g.dot {
		g.graceTo = now.Add(g.grace)
	}
	if g.conn == nil {
		return
	}
	if !g.dot {
		g.conn.SetDeadline(past)
	} else if g.graceTo.Before(g.until) {
		g.conn.SetDeadline(g.graceTo)
	}
}

// past is a deadline that has always been missed.
var past = time.Unix(1, 0)

// attach makes conn the connection whose deadlines are set; nil for none.
func (g *guard) attach(conn net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conn = conn
	if conn != nil && g.over && !g.dot {
		conn.SetDeadline(past)
	}
}

// deadline gives the next reads and writes so much time.
func (g *guard) deadline(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = time.Now().Add(d)
	switch {
	case g.conn == nil:
	case g.over && !g.dot:
		g.conn.SetDeadline(past)
	case g.over && g.graceTo.Before(g.until):
		g.conn.SetDeadline(g.graceTo)
	default:
		g.conn.SetDeadline(g.until)
	}
}

// beginDot says that the final dot is about to be written. It returns false when the
// context has ended, and then the dot must not be written.
func (g *guard) beginDot() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dot = !g.over
	return g.dot
}

// explain returns errCancelled instead of a time-out that the guard made.
func (g *guard) explain(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return errCancelled
	}
	return err
}

// cancelled reports whether the context has ended.
func (g *guard) cancelled() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.over
}
