package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/send"
)

// A crowd is the strangers who write to the city, one mail after the other. What they
// cannot send they send again, as mail servers do.
type crowd struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	mx     string   // where they send to
	acked  []string // Message-IDs of mails that got a 250
	failed int      // attempts that got none
	again  []int    // numbers of mails that are to be sent again
}

func startCrowd(mx string) *crowd {
	ctx, cancel := context.WithCancel(context.Background())
	c := &crowd{cancel: cancel, mx: mx}
	c.done.Go(func() { c.write(ctx) })
	return c
}

// stop ends the writing and waits for the last mail.
func (c *crowd) stop() {
	c.cancel()
	c.done.Wait()
}

// move tells the crowd where the node takes mail now.
func (c *crowd) move(mx string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mx = mx
}

func (c *crowd) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acked)
}

func (c *crowd) failures() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

func (c *crowd) acknowledged() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.acked)
}

// write sends mails at an even pace over one connection, and over a new one when that
// breaks.
func (c *crowd) write(ctx context.Context) {
	var conn *send.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	pace := time.NewTicker(time.Second / perSec)
	defer pace.Stop()
	for next := 1; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-pace.C:
			n := next
			next++
			conn = c.one(ctx, conn, n)
			for n, ok := c.retry(conn != nil); ok; n, ok = c.retry(conn != nil) {
				conn = c.one(ctx, conn, n)
			}
		}
	}
}

// retry takes the number of a mail that is to be sent again, if the MX can be reached.
func (c *crowd) retry(reachable bool) (n int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !reachable || len(c.again) == 0 {
		return 0, false
	}
	n, c.again = c.again[0], c.again[1:]
	return n, true
}

// one sends a mail and returns the connection for the next, or nil when there is none.
func (c *crowd) one(ctx context.Context, conn *send.Conn, n int) *send.Conn {
	c.mu.Lock()
	mx := c.mx
	c.mu.Unlock()
	var err error
	if conn == nil {
		if conn, err = send.Dial(ctx, mx); err != nil {
			c.note(n, "")
			return nil
		}
	}
	// The addresses are ours and right.
	to, _ := doppelboden.ParseAddress(recipients[n%len(recipients)].Address)
	m := send.Mail{
		From: doppelboden.Address{Local: fmt.Sprintf("citizen%d", n), Domain: "example.org"}, To: to,
		Subject: fmt.Sprintf("Antrag %d", n), Text: "Guten Tag", MessageID: fmt.Sprintf("antrag.%d@example.org", n),
	}
	a, err := conn.Send(m, time.Now())
	if err != nil || !a.Kept() {
		// After a refusal the connection is whole, but whoever is refused comes later.
		c.note(n, "")
		conn.Close()
		return nil
	}
	c.note(n, m.MessageID)
	return conn
}

// note keeps what became of a mail; without an id it is to be sent again.
func (c *crowd) note(n int, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == "" {
		c.failed++
		c.again = append(c.again, n)
		return
	}
	c.acked = append(c.acked, id)
}
