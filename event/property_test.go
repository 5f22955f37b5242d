package event

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"

	"pgregory.net/rapid"
)

// A model is what a property test knows besides the tracker: what was answered so far.
type model struct {
	*world
	bad   map[doppelboden.MailboxID]bool // those that were ever refused
	taken map[string]time.Time           // when a lane last took mail
	dead  map[string]bool                // lanes that ever did not answer
	was   map[int64]store.Event          // events as they were at the last look
}

// tenth is some mailboxes of stadt: those of a tenth of its people.
func (m *model) some(t *rapid.T) []doppelboden.MailboxID {
	from := rapid.IntRange(1, 40).Draw(t, "from")
	n := rapid.IntRange(1, 15).Draw(t, "mailboxes")
	return span(doppelboden.MailboxID(from), doppelboden.MailboxID(min(40, from+n-1)))
}

func (m *model) answer(t *rapid.T, o doppelboden.Outcome) {
	ids := m.some(t)
	if rapid.Bool().Draw(t, "one mail to all") {
		m.mail("stadt/alt", o, ids...)
	} else {
		m.each("stadt/alt", o, ids...)
	}
	if o.Verdict == doppelboden.Took {
		m.taken["stadt/alt"] = m.now
		return
	}
	for _, id := range ids {
		m.bad[id] = true
	}
}

// check holds what is always so.
func (m *model) check(t *rapid.T) {
	seen := map[doppelboden.MailboxID]int64{}
	for _, e := range m.track.machine.episodes {
		if !e.open() || e.Kind != store.Outage {
			continue
		}
		if len(e.members) == 0 {
			t.Fatalf("event %d lasts and nobody is concerned", e.Number)
		}
		for id := range e.members {
			if other, twice := seen[id]; twice {
				t.Fatalf("mailbox %d is in the outages %d and %d", id, other, e.Number)
			}
			seen[id] = e.Number
			if !m.bad[id] && !m.dead["stadt/alt"] && !slices.Contains(strings.Fields(m.story(e.Number)), stepSilent) {
				t.Fatalf("mailbox %d was never refused and is in outage %d, which never was the whole route's", id, e.Number)
			}
		}
		if e.Whole && !m.dead["stadt/alt"] && len(m.bad) < wholeLeast {
			t.Fatalf("event %d is the whole route's although the route always answered and only %d were refused", e.Number, len(m.bad))
		}
	}
	for _, c := range m.store.events {
		was, known := m.was[c.Event.Number]
		if ended := !c.Event.Until.IsZero(); ended && (!known || was.Until.IsZero()) && c.Event.ClosedBy == "" && c.Event.Kind == store.Outage && !c.Event.Minor {
			if took := m.taken["stadt/alt"]; took.Before(c.Event.Since) {
				t.Fatalf("event %d ended by itself at %v although no mail was taken since %v, before it began at %v", c.Event.Number, c.Event.Until, took, c.Event.Since)
			}
		}
		m.was[c.Event.Number] = c.Event
		// The story and the event agree, whatever happened.
		members := map[doppelboden.MailboxID]bool{}
		for i, s := range c.Steps {
			if s.N != i+1 {
				t.Fatalf("step %d of event %d has number %d", i+1, c.Event.Number, s.N)
			}
			for _, id := range s.Joined {
				if members[id] {
					t.Fatalf("mailbox %d joins event %d twice, at step %d", id, c.Event.Number, s.N)
				}
			}
			for _, id := range s.Left {
				if !members[id] {
					t.Fatalf("mailbox %d leaves event %d at step %d without being in it", id, c.Event.Number, s.N)
				}
			}
			apply(members, s)
		}
		if len(members) != int(c.Event.Concerned) || !c.Event.Until.IsZero() && len(members) != 0 {
			t.Fatalf("event %d tells of %d mailboxes, its story of %d", c.Event.Number, c.Event.Concerned, len(members))
		}
	}
}

// actions are what may happen, in any order.
func (m *model) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"taken":    func(t *rapid.T) { m.answer(t, tookIt) },
		"deferred": func(t *rapid.T) { m.answer(t, notNow) },
		"refused":  func(t *rapid.T) { m.answer(t, noUser) },
		"full":     func(t *rapid.T) { m.answer(t, full) },
		"bad mail": func(t *rapid.T) { m.answer(t, badMail) },
		"broken":   func(t *rapid.T) { m.answer(t, brokeOff) },
		"silent": func(t *rapid.T) {
			m.dead["stadt/alt"] = true
			for range rapid.IntRange(1, 15).Draw(t, "seconds") {
				m.mail("stadt/alt", nobody, 1)
				m.tick()
			}
		},
		"probe":        func(*rapid.T) { m.asked("stadt/alt", tookIt) },
		"probe fails":  func(*rapid.T) { m.dead["stadt/alt"] = true; m.asked("stadt/alt", nobody) },
		"a second":     func(*rapid.T) { m.tick() },
		"some seconds": func(t *rapid.T) { m.wait(time.Duration(rapid.IntRange(2, 90).Draw(t, "seconds")) * time.Second) },
		"an hour":      func(*rapid.T) { m.now = m.now.Add(time.Hour); m.tick() },
		"restart": func(t *rapid.T) {
			before := m.in(span(1, 40)...)
			m.tick()
			before = m.in(span(1, 40)...)
			m.start()
			if after := m.in(span(1, 40)...); !slices.Equal(after, before) {
				t.Fatalf("after a restart %v are in events, before %v", after, before)
			}
		},
		"mail waits": func(t *rapid.T) {
			for _, id := range m.some(t) {
				m.queued[doppelboden.BoxID(id)] = 3
			}
		},
		"nothing waits": func(*rapid.T) { clear(m.queued) },
		"letters wait": func(*rapid.T) {
			for _, one := range m.letters {
				m.queued[doppelboden.BoxID(one.Mailbox)]++
			}
			m.letters = nil
		},
		"letters are refused": func(*rapid.T) {
			for _, one := range m.letters {
				m.bad[one.Mailbox] = true
			}
			m.take(notNow)
		},
		"somebody closes it": func(t *rapid.T) {
			if open := m.open(); len(open) > 0 {
				if _, err := m.track.Close(context.Background(), 1, open[0].Number, "anna", "is well"); err != nil {
					t.Fatal(err)
				}
			}
		},
		"a maintenance": func(t *rapid.T) {
			scope := store.EventScope{Departments: []string{"Bauamt"}}
			if rapid.Bool().Draw(t, "of the route") {
				scope = store.EventScope{Routes: []string{"alt"}}
			}
			if _, err := m.track.Plan(context.Background(), Plan{Tenant: 1, Scope: scope, Ends: m.now.Add(10 * time.Minute), By: "anna"}); err != nil {
				t.Fatal(err)
			}
		},
		"": m.check,
	}
}

func TestWhateverIsAnsweredEventsHaveEvidenceAndEndByMailThatWasTaken(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &model{world: newWorld(t, 40), bad: map[doppelboden.MailboxID]bool{}, taken: map[string]time.Time{}, dead: map[string]bool{}, was: map[int64]store.Event{}}
		r.Repeat(m.actions())
		m.tick()
		m.check(r)
	})
}

// TestProbesAloneNeverEndAnOutage lets anything happen but mail that is taken.
func TestProbesAloneNeverEndAnOutage(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &model{world: newWorld(t, 40), bad: map[doppelboden.MailboxID]bool{}, taken: map[string]time.Time{}, dead: map[string]bool{}, was: map[int64]store.Event{}}
		for range 12 {
			m.mail("stadt/alt", nobody, 1)
			m.tick()
		}
		m.only()
		all := m.actions()
		for _, other := range []string{"taken", "somebody closes it", "a maintenance", ""} {
			delete(all, other)
		}
		all[""] = func(r *rapid.T) {
			if open := m.open(); len(open) != 1 || open[0].Concerned != 40 {
				r.Fatalf("no mail was taken, but the outage of all is no longer one: %+v", open)
			}
		}
		r.Repeat(all)
	})
}

// TestThresholdsForInAndOutDiffer holds that answers which would open nothing end nothing
// either: between the two nothing changes.
func TestThresholdsForInAndOutDiffer(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		// A few seconds of one kind, then of the other, again and again.
		m := newWorld(t, 40)
		opened := rapid.Bool().Draw(r, "an outage to begin with")
		if opened {
			for range 12 {
				m.mail("stadt/alt", nobody, 1)
				m.tick()
			}
		}
		for range 20 {
			for range rapid.IntRange(2, 6).Draw(r, "seconds without an answer") {
				m.mail("stadt/alt", nobody, 1)
				m.tick()
			}
			for range rapid.IntRange(1, 30).Draw(r, "seconds of mail taken") {
				m.mail("stadt/alt", tookIt, doppelboden.MailboxID(rapid.IntRange(1, 40).Draw(r, "to")))
				m.tick()
			}
			if n := len(m.open()); opened != (n == 1) {
				r.Fatalf("%d events last; at the beginning there was one: %v", n, opened)
			}
		}
		if opened && m.only().Number != 1 {
			r.Fatal("it is another event")
		}
	})
}
