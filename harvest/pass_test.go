package harvest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
)

// A crowded groupware notes how many mailboxes are open at once, and lets nobody go on before
// so many have come.
type crowded struct {
	*fake
	wanted int

	mu   sync.Mutex
	open map[string]int // by address
	now  int
	most int
	come chan struct{} // closed when wanted have come
}

func (c *crowded) Mirror(ctx context.Context, owner doppelboden.Address) (mailbox.Mirror, error) {
	c.mu.Lock()
	c.open[owner.String()]++
	twice := c.open[owner.String()] > 1
	c.now++
	c.most = max(c.most, c.now)
	if c.now == c.wanted {
		close(c.come)
		c.wanted = 0
	}
	c.mu.Unlock()
	if twice {
		return nil, errors.New("somebody looks at this mailbox already")
	}
	select {
	case <-c.come:
	case <-time.After(time.Minute):
		return nil, errors.New("nobody else has come for a minute")
	}
	s, err := c.fake.Mirror(ctx, owner)
	return &crowdedSession{s, c, owner.String()}, err
}

type crowdedSession struct {
	mailbox.Mirror
	c     *crowded
	owner string
}

func (s *crowdedSession) Close() error {
	s.c.mu.Lock()
	s.c.open[s.owner]--
	s.c.now--
	s.c.mu.Unlock()
	return s.Mirror.Close()
}

// town adds mailboxes, each with a mail of its own and one that all have got.
func (w *world) town(g *fake, boxes int) {
	w.t.Helper()
	var list []doppelboden.Mailbox
	for n := range boxes {
		list = append(list, doppelboden.Mailbox{Tenant: w.tenant.ID, Address: addr(fmt.Sprintf("p%d@stadt.example", n)), Kind: doppelboden.Person, Priority: 5})
	}
	var err error
	w.boxes, err = w.db.PutMailboxes(ctx, list)
	w.must(err)
	at := w.clock().Add(-time.Hour)
	for _, box := range w.boxes {
		g.put(box.Address, "INBOX", letter("eva", box.Address.Local, "for you alone", at), at, 0)
		g.put(box.Address, "INBOX", letter("eva", "alle", "for all", at), at, 0)
	}
}

func TestMailboxesThatHaveToBeFilledAreReadBySeveralAndEachByOneAtATime(t *testing.T) {
	w := open(t)
	g := &crowded{fake: newFake(), wanted: 4, open: map[string]int{}, come: make(chan struct{})}
	w.town(g.fake, 40)
	w.route.Backend, w.route.AtOnce = g, 4
	for _, box := range w.boxes[:8] {
		w.room.Sync(box.ID) // somebody is in a hurry as well
	}
	reading := w.room.begin(w.route)
	reading.round(ctx)
	if s := reading.status; s.Trouble != "" || s.Done != 40 || s.Filling != 0 || s.Round.IsZero() || g.most != 4 {
		t.Errorf("after a round with four at once: %+v, and at most %d at once", s, g.most)
	}
	for _, box := range w.boxes {
		if got := w.shows(box); len(got) != 2 {
			t.Errorf("%s shows %+v, want its own mail and that for all, once", box.Address, got)
		}
	}
	g.most = 0
	reading.round(ctx)
	if g.most != 1 {
		t.Errorf("%d at once read mailboxes that are filled, want one: a round takes no time", g.most)
	}
	reading.work = Fresh
	reading.round(ctx)
	took := reading.status.Took
	w.setHeld("outage")
	reading.round(ctx)
	w.setHeld("")
	if took <= 0 || reading.status.Took != took {
		t.Errorf("the last round took %v, and after one that was broken off %v; want the same", took, reading.status.Took)
	}
	if n := reading.readers(len(w.boxes)); n != 1 {
		t.Errorf("%d readers after a round that took no time, want one", n)
	}
	for work, want := range map[time.Duration]int{Fresh / 4: 1, Fresh: 3, 10 * Fresh: 4} {
		reading.work = work
		if got := reading.readers(len(w.boxes)); got != want {
			t.Errorf("%d readers after a round of %v, want %d", got, work, want)
		}
	}
}

func TestWhenSeveralReadersMeetAGroupwareThatCannotBeReadItIsLeftAlone(t *testing.T) {
	w := open(t)
	g := newFake()
	w.town(g, 40)
	g.fail = errors.New("authentication failed")
	w.route.Backend, w.route.AtOnce = g, 4
	slept := make(chan bool)
	w.room.opts.Timer = func(d time.Duration) (<-chan time.Time, func() bool) {
		if d == 0 { // the rest after a look
			now := make(chan time.Time, 1)
			now <- w.clock()
			return now, func() bool { return false }
		}
		slept <- true
		return nil, func() bool { return true }
	}
	reading := w.room.begin(w.route)
	run, cancel := context.WithCancel(ctx)
	done := make(chan bool)
	go func() { reading.round(run); close(done) }()
	for range 4 {
		<-slept // each of them, for as long as a trouble lasts
	}
	cancel()
	<-done
	if g.opens > mostFailing+4 || reading.status.Trouble == "" || !reading.status.Round.IsZero() {
		t.Errorf("the groupware was asked %d times, and the status is %+v; want some tries, a trouble, and no round that is over", g.opens, reading.status)
	}
}
