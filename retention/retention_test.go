package retention

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/segment"
	"doppelboden/store"
)

// cellar is a database and a folder of segments in memory.
type cellar struct {
	lies    map[doppelboden.ID]doppelboden.Body
	damaged map[doppelboden.ID]bool
	days    map[string]time.Time
	moves   int
	crisis  bool
	log     []string
	cut     time.Time // what DropDestinations was told
}

func (c *cellar) Expire(context.Context, time.Time, []doppelboden.MailboxID, int) (int, error) {
	return 0, nil
}

func (c *cellar) Staying(_ context.Context, name string, limit int) (stay []store.BodyOf, err error) {
	for id := byte(0); id < 100 && len(stay) < limit; id++ {
		if b, ok := c.lies[doppelboden.ID{id}]; ok && b.Segment == name {
			stay = append(stay, store.BodyOf{Tenant: 1, Message: doppelboden.ID{id}, Body: b})
		}
	}
	return stay, nil
}

func (c *cellar) Rewrap(_ context.Context, bodies []store.BodyOf) error {
	c.log = append(c.log, "rewrap")
	for _, b := range bodies {
		c.lies[b.Message] = b.Body
	}
	return nil
}

func (c *cellar) Segments() (all []segment.Info, err error) {
	for _, name := range []string{"20260101/0001.seg", "20260102/0001.seg"} {
		if day, ok := c.days[name]; ok {
			all = append(all, segment.Info{Name: name, Day: day})
		}
	}
	return all, nil
}

func (c *cellar) Move(_ doppelboden.TenantID, b doppelboden.Body) (doppelboden.Body, error) {
	for id, d := range c.damaged {
		if d && c.lies[id].Offset == b.Offset {
			return b, &segment.Damage{Segment: b.Segment, What: "the data is damaged"}
		}
	}
	c.moves++
	b.Segment = "20260301/0001.seg"
	return b, nil
}

func (c *cellar) Drop(name string) error {
	c.log = append(c.log, "drop "+name)
	delete(c.days, name)
	return nil
}

func newJob(c *cellar) *Job {
	return New(Options{
		Store: c, Bodies: c, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Guard: &sync.Mutex{}, Moved: func() {}, First: func(context.Context) error { return nil },
		Clock: func() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) },
		Days:  func() int { return 30 }, Here: func() []doppelboden.MailboxID { return nil }, Crisis: func() bool { return c.crisis },
		Registry: prometheus.NewRegistry(),
	})
}

func newCellar() *cellar {
	c := &cellar{lies: map[doppelboden.ID]doppelboden.Body{}, damaged: map[doppelboden.ID]bool{}, days: map[string]time.Time{
		"20260101/0001.seg": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		"20260102/0001.seg": time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
	}}
	for id := range byte(5) {
		c.lies[doppelboden.ID{id}] = doppelboden.Body{Segment: "20260101/0001.seg", Offset: int64(id)}
	}
	return c
}

func TestADamagedBodyThatMustStayStopsOnlyItsOwnSegment(t *testing.T) {
	c := newCellar()
	c.damaged[doppelboden.ID{3}] = true
	j := newJob(c)
	for range 24 {
		var d *segment.Damage
		if err := j.Round(t.Context()); !errors.As(err, &d) {
			t.Fatalf("the round said %v, want the damage", err)
		}
	}
	if _, there := c.days["20260102/0001.seg"]; there {
		t.Errorf("the segment of the next day is still there")
	}
	if _, there := c.days["20260101/0001.seg"]; !there {
		t.Errorf("the segment with the damaged body was dropped")
	}
	if c.moves != 4 {
		t.Errorf("in 24 rounds %d bodies were copied, want each of the 4 good ones once", c.moves)
	}
}

func TestTheQueueIsToldAfterBodiesMovedAndBeforeTheirOldPlaceGoes(t *testing.T) {
	c := newCellar()
	j := newJob(c)
	j.o.Moved = func() { c.log = append(c.log, "moved") }
	if err := j.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"rewrap", "moved", "drop 20260101/0001.seg", "drop 20260102/0001.seg"}
	if !slices.Equal(c.log, want) {
		t.Errorf("order %q, want %q", c.log, want)
	}
}

func (c *cellar) DropDestinations(_ context.Context, cut time.Time) (int, error) {
	c.cut = cut
	return 0, nil
}

func TestDomainsThatNobodyWritesToAnyMoreGoDaysAfterTheMail(t *testing.T) {
	c := newCellar()
	if err := newJob(c).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 1, 28, 0, 0, 0, 0, time.UTC); !c.cut.Equal(want) {
		t.Errorf("domains unused since %v go, want those since %v", c.cut, want)
	}
}

// A city's outage of months protects nearly all mail: every day of it would be written a
// second time when it is a month old.
func TestInACrisisSegmentsStayAndGoAfterIt(t *testing.T) {
	c := newCellar()
	c.crisis = true
	j := newJob(c)
	if err := j.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.moves != 0 || len(c.days) != 2 {
		t.Errorf("%d bodies moved, %d segments left; want 0 and both", c.moves, len(c.days))
	}
	c.crisis = false
	if err := j.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.moves != 5 || len(c.days) != 0 {
		t.Errorf("after it: %d bodies moved, %d segments left; want 5 and none", c.moves, len(c.days))
	}
}

// Who ends the work may begin it again in the same process, with what was in memory.
func TestTheQueueIsToldOfBodiesThatMovedAlsoWhenTheWorkEndsBetweenThem(t *testing.T) {
	c := newCellar()
	j := newJob(c)
	j.o.Moved = func() { c.log = append(c.log, "moved") }
	ctx, cancel := context.WithCancel(t.Context())
	j.o.Timer = func(time.Duration) (<-chan time.Time, func() bool) {
		cancel() // while it rests
		return nil, func() bool { return true }
	}
	if err := j.Round(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the round said %v, want that it was ended", err)
	}
	if want := []string{"rewrap", "moved"}; !slices.Equal(c.log, want) {
		t.Errorf("order %q, want %q", c.log, want)
	}
}
