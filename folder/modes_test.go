package folder

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

// A crisis is Modes of a town whose events a test makes.
type crisis struct {
	*town
	*Modes
	events map[doppelboden.MailboxID]int64
}

func newCrisis(t *testing.T) *crisis {
	t.Helper()
	c := &crisis{town: openTown(t), events: map[doppelboden.MailboxID]int64{}}
	c.reload(c.db, false)
	return c
}

// reload makes Modes as a restart does.
func (c *crisis) reload(s ModeStore, shared bool) *Modes {
	c.town.t.Helper()
	m, err := NewModes(ModesOptions{
		Store: s, Mailbox: c.mailbox, Log: slog.New(slog.DiscardHandler), Timer: clock.Real, Clock: c.clock, Follow: true, Shared: shared,
		Concerned: func() (ids []doppelboden.MailboxID) {
			for id := range c.events {
				ids = append(ids, id)
			}
			return ids
		},
		Outage: func(id doppelboden.MailboxID) (int64, bool) { n, in := c.events[id]; return n, in },
		Quiet:  func(doppelboden.TenantID) time.Duration { return 12 * time.Hour },
	})
	c.must(err)
	c.must(m.Load(ctx))
	c.Modes = m
	return m
}

// is fails unless a mailbox is used here, or not, now and after a restart.
func (c *crisis) is(m doppelboden.Mailbox, emergency bool, when string) {
	c.town.t.Helper()
	c.must(c.follow(ctx))
	if got := c.Emergency(m.ID); got != emergency {
		c.town.t.Errorf("%s: mailbox %s is in %s mode, want %s", when, m.Address, NameOf(got), NameOf(emergency))
	}
	if c.Any(m.Tenant) != (c.Emergency(c.anna.ID) || c.Emergency(c.bert.ID)) || c.Any(c.carl.Tenant) {
		c.town.t.Errorf("%s: mailboxes of the tenants are used here: %v, %v", when, c.Any(m.Tenant), c.Any(c.carl.Tenant))
	}
	works := c.works
	c.reload(c.db, false)
	c.works = works // a restart would begin to wait anew
	if got := c.Emergency(m.ID); got != emergency {
		c.town.t.Errorf("%s and a restart: mailbox %s is in %s mode, want %s", when, m.Address, NameOf(got), NameOf(emergency))
	}
}

func (c *crisis) set(emergency bool, want int, ids ...doppelboden.MailboxID) {
	c.town.t.Helper()
	n, err := c.Set(ctx, ids, emergency, "person:1")
	c.must(err)
	if n != want {
		c.town.t.Errorf("%d mailboxes changed, want %d", n, want)
	}
}

func TestAnEventMakesItsMailboxesEmergencyAndNobodyIsThrownOutAfterIt(t *testing.T) {
	c := newCrisis(t)
	c.is(c.anna, false, "before")
	c.events[c.anna.ID] = 3
	c.is(c.anna, true, "in an event")
	c.is(c.bert, false, "a colleague")
	if m := c.Of(c.anna.ID); m.By != "event 3" || m.Event != 3 || m.Tenant != c.anna.Tenant {
		t.Errorf("mode %+v, want by event 3", m)
	}
	c.pass(84 * 24 * time.Hour)
	c.is(c.anna, true, "in the twelfth week")
	delete(c.events, c.anna.ID)
	c.is(c.anna, true, "right after the recovery")
	c.pass(11 * time.Hour)
	c.Used(c.anna.ID)
	c.pass(11 * time.Hour)
	c.must(c.follow(ctx))
	c.must(c.noteUse(ctx))
	c.is(c.anna, true, "while she uses it")
	c.pass(time.Hour)
	c.is(c.anna, false, "after a quiet time")
}

func TestAPersonSaysHowAMailboxIsUsed(t *testing.T) {
	c := newCrisis(t)
	c.set(true, 1, c.anna.ID)
	c.set(true, 0, c.anna.ID)
	c.is(c.anna, true, "mine does not work")
	c.set(false, 1, c.anna.ID, c.bert.ID)
	c.is(c.anna, false, "it works again")

	c.events[c.anna.ID] = 1
	c.is(c.anna, true, "in an event")
	c.set(false, 1, c.anna.ID)
	c.is(c.anna, false, "she says that hers works, and the event lasts")
	c.set(true, 1, c.anna.ID)
	c.is(c.anna, true, "no, it doesn't")
	c.set(false, 1, c.anna.ID)
	c.events[c.anna.ID] = 2
	c.is(c.anna, true, "in the next event")
	c.set(false, 1, c.anna.ID)
	delete(c.events, c.anna.ID)
	c.is(c.anna, false, "when it is over")
	c.events[c.anna.ID] = 2
	c.is(c.anna, true, "when it comes again")

	if _, err := c.Set(ctx, []doppelboden.MailboxID{c.anna.ID, 4711}, true, "x"); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("a mailbox that nobody has: %v, want not_found", err)
	}
	var notes int
	c.must(c.db.Links(ctx, time.Time{}, func(l doppelboden.Link) error { notes++; return nil }))
	if notes < 5 {
		t.Errorf("%d links in the ledger, want one for each decision", notes)
	}
}

func TestWhatOneNodeDecidedTheOthersKnow(t *testing.T) {
	c := newCrisis(t)
	here := c.reload(c.db, true)
	there := c.reload(c.db, true)
	if _, err := there.Set(ctx, []doppelboden.MailboxID{c.anna.ID}, true, "person:1"); err != nil {
		t.Fatal(err)
	}
	var noted, read time.Time
	c.must(here.step(ctx, &noted, &read))
	if !here.Emergency(c.anna.ID) {
		t.Error("the other node does not know of a person's word")
	}
	c.events[c.anna.ID] = 1
	c.must(here.follow(ctx))
	if _, err := here.Set(ctx, []doppelboden.MailboxID{c.anna.ID}, false, "person:1"); err != nil {
		t.Fatal(err)
	}
	c.must(there.follow(ctx)) // it knows only the event
	c.must(here.Load(ctx))
	if here.Emergency(c.anna.ID) {
		t.Error("a node that was late has undone a person's word")
	}
}

// A deafStore takes nothing.
type deafStore struct{ ModeStore }

func (deafStore) PutModes(context.Context, []store.Mode) error {
	return errors.New("the database is away")
}

func TestAModeThatIsNotKeptDoesNotHold(t *testing.T) {
	c := newCrisis(t)
	c.reload(deafStore{c.db}, false)
	if _, err := c.Set(ctx, []doppelboden.MailboxID{c.anna.ID}, true, "x"); err == nil || c.Emergency(c.anna.ID) {
		t.Errorf("a mode that nobody could write: %v, emergency %v", err, c.Emergency(c.anna.ID))
	}
}
