package ledger

import (
	"context"
	"crypto/ed25519"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/tally"
)

// A machine is a town that lives through anything that may happen to it. Like the real
// one it keeps log records in memory until a commit or a crash.
type machine struct {
	*town
	knotter  *Knotter
	doorsOn  int // door records that are on the disk
	replyOn  int // reply records that are on the disk
	unsent   []doppelboden.ID
	inFlight []doppelboden.Ref // attempts without an answer
	unsaid   []doppelboden.Ref // positive answers that no settlement followed yet
	replayed int64             // deliveries opened again
}

// synced is what every commit does first.
func (m *machine) synced() { m.doorsOn, m.replyOn = len(m.doors), len(m.replies) }

// open lists the deliveries in one of the states, in the order of their rows.
func (m *machine) open(states ...doppelboden.State) (list []doppelboden.Ref) {
	for _, one := range m.order {
		if state, there := m.rows[one]; there && slices.Contains(states, state) && !slices.Contains(m.inFlight, one) && !slices.Contains(m.unsaid, one) {
			list = append(list, one)
		}
	}
	return list
}

// one draws an element, or skips the action when there is none.
func one[T any](t *rapid.T, list []T) T {
	if len(list) == 0 {
		t.Skip("nothing to do it with")
	}
	return list[rapid.IntRange(0, len(list)-1).Draw(t, "which")]
}

func without[T comparable](list []T, gone T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return x == gone })
}

func (m *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"accept": func(t *rapid.T) {
			n := rapid.IntRange(1, 3).Draw(t, "recipients")
			id := m.intent(n)
			e := m.entryFor(id, n)
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				e.Deliveries, e.Expanded = n+2, 2
			case 1:
				e.Here = []int{0}
			case 2:
				if n > 1 {
					e.Deliveries, e.Merged = 1, n-1
				}
			}
			m.synced()
			m.keep(e)
			m.unsent = append(m.unsent, id)
		},
		"generate": func(*rapid.T) {
			e := m.entryFor(m.ids.New(m.tick()), 1)
			e.Generated = true
			m.keep(e)
		},
		"withdraw": func(t *rapid.T) { m.fate(m.intent(1), tally.Withdrawn) },
		"acknowledge": func(t *rapid.T) {
			id := one(t, m.unsent)
			m.unsent = without(m.unsent, id)
			m.fate(id, rapid.SampledFrom([]tally.DoorKind{tally.Sent, tally.Unsent}).Draw(t, "fate"))
		},
		"attempt": func(t *rapid.T) {
			r := one(t, m.open(doppelboden.Queued))
			m.attempt(r)
			m.inFlight = append(m.inFlight, r)
		},
		"answer": func(t *rapid.T) {
			r := one(t, m.inFlight)
			m.inFlight = without(m.inFlight, r)
			v := rapid.SampledFrom([]doppelboden.Verdict{doppelboden.Took, doppelboden.Took, doppelboden.Later, doppelboden.Refused, doppelboden.Uncertain}).Draw(t, "verdict")
			m.answer(r, v)
			switch v {
			case doppelboden.Took:
				m.unsaid = append(m.unsaid, r)
			case doppelboden.Refused:
				m.synced()
				m.settle(r, doppelboden.Held, "courier")
			case doppelboden.Uncertain:
				m.replies[len(m.replies)-1].InDoubt = true
			}
		},
		"settle": func(t *rapid.T) {
			r := one(t, m.unsaid)
			m.unsaid = without(m.unsaid, r)
			m.synced()
			m.settle(r, doppelboden.Delivered, "courier")
		},
		"decide": func(t *rapid.T) {
			r := one(t, m.open(doppelboden.Held))
			m.settle(r, rapid.SampledFrom([]doppelboden.State{doppelboden.Queued, doppelboden.Discarded, doppelboden.Bounced}).Draw(t, "state"), "anna")
		},
		"confirm": func(t *rapid.T) {
			m.settle(one(t, m.open(doppelboden.Delivered)), doppelboden.Confirmed, "read-back")
		},
		"replay": func(t *rapid.T) {
			r := one(t, m.open(doppelboden.Delivered, doppelboden.Confirmed))
			m.tick()
			m.settle(r, doppelboden.Queued, store.ReplayBy+"anna")
			m.replayed++
		},
		"expire": func(t *rapid.T) {
			r := one(t, m.open(doppelboden.Delivered, doppelboden.Confirmed, doppelboden.Discarded))
			for ref, state := range m.rows {
				if ref.Message == r.Message && !state.Ended() {
					t.Skip("something of it waits")
				}
			}
			m.tick()
			m.town.expire(r.Message)
		},
		"wait": func(t *rapid.T) {
			m.now = m.now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "minutes")) * time.Minute)
			if len(m.unsaid) > 0 { // a settlement does not wait for so long
				m.crash(t)
			}
		},
		"crash": m.crash,
		"tie":   func(t *rapid.T) { m.tie(t) },
		"": func(t *rapid.T) {
			b := m.balance(t)
			if b.Difference != 0 || len(b.Findings) != 0 {
				t.Fatalf("difference %d: %+v", b.Difference, b.Findings)
			}
			if b.Replayed != m.replayed {
				t.Fatalf("%d replayed, want %d", b.Replayed, m.replayed)
			}
		},
	}
}

// crash loses a part of the records that no commit has synced, and what was going on.
func (m *machine) crash(t *rapid.T) {
	m.doors = m.doors[:rapid.IntRange(m.doorsOn, len(m.doors)).Draw(t, "doors")]
	m.replies = m.replies[:rapid.IntRange(m.replyOn, len(m.replies)).Draw(t, "replies")]
	m.synced()
	m.unsent, m.inFlight, m.unsaid = nil, nil, nil
	m.restart()
}

func (m *machine) tie(t *rapid.T) {
	if _, err := m.knotter.Tie(context.Background()); err != nil {
		t.Fatalf("tie: %v", err)
	}
}

func (m *machine) balance(t *rapid.T) doppelboden.Balance {
	b, err := Balance(context.Background(), m.sources(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatalf("balance: %v", err)
	}
	return b
}

// corruptions are single faults. Each returns whether there was anything to spoil.
func (m *machine) corruptions() map[string]func(*rapid.T) bool {
	return map[string]func(*rapid.T) bool{
		"a door's record is gone": func(t *rapid.T) bool {
			kept := map[doppelboden.ID]bool{}
			for _, one := range m.order {
				kept[one.Message] = true
			}
			return drop(t, &m.doors, func(r tally.DoorRecord) bool { return r.Kind == tally.Intent && kept[r.ID] })
		},
		"a door says 250 to what was not kept": func(*rapid.T) bool {
			m.fate(m.intent(1), tally.Sent)
			return true
		},
		"an entry is flipped": func(t *rapid.T) bool {
			if len(m.links) == 0 {
				return false
			}
			l := &m.links[rapid.IntRange(0, len(m.links)-1).Draw(t, "link")]
			l.Entries = slices.Clone(l.Entries)
			bit := rapid.IntRange(0, 8*len(l.Entries)-1).Draw(t, "bit")
			l.Entries[bit/8] ^= 1 << (bit % 8)
			return true
		},
		"an answer is gone": func(t *rapid.T) bool {
			took := map[doppelboden.Ref]int{}
			for _, r := range m.replies {
				if r.Verdict == doppelboden.Took {
					took[r.Ref]++
				}
			}
			claimed := map[doppelboden.Ref]bool{}
			for _, l := range m.links {
				entries, err := Decode(l)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					if e.State == doppelboden.Delivered && e.By == "courier" {
						claimed[doppelboden.Ref{Message: e.Message, N: e.N}] = true
					}
				}
			}
			return drop(t, &m.replies, func(r tally.ReplyRecord) bool {
				return r.Verdict == doppelboden.Took && took[r.Ref] == 1 && claimed[r.Ref]
			})
		},
		"a row is gone": func(t *rapid.T) bool {
			list := m.open(doppelboden.States()...)
			if len(list) == 0 {
				return false
			}
			delete(m.rows, one(t, list))
			return true
		},
		"a row is another": func(t *rapid.T) bool {
			list := m.open(doppelboden.Queued, doppelboden.Held)
			if len(list) == 0 {
				return false
			}
			m.rows[one(t, list)] = doppelboden.Delivered
			return true
		},
		"the last link is gone": func(*rapid.T) bool {
			if len(m.links) == 0 {
				return false
			}
			m.links = m.links[:len(m.links)-1]
			return true
		},
		"a link is gone": func(t *rapid.T) bool {
			return drop(t, &m.links, func(doppelboden.Link) bool { return true })
		},
	}
}

// drop removes one of the elements that fit, and reports whether there was one.
func drop[T any](t *rapid.T, list *[]T, fits func(T) bool) bool {
	var at []int
	for i, x := range *list {
		if fits(x) {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return false
	}
	i := one(t, at)
	*list = slices.Delete(slices.Clone(*list), i, i+1)
	return true
}

// Whatever happens, with any crashes, the difference is 0; and whatever single record is
// then spoiled, balance or verification finds it.
func TestAnySingleFaultIsFoundAndNothingElse(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{town: newTown()}
		m.knotter, err = NewKnotter(KnotterOptions{Store: m, Key: testKey(), Dir: dir, Clock: func() time.Time { return m.now }})
		if err != nil {
			t.Fatal(err)
		}
		t.Repeat(m.actions())
		verify := func() Report {
			r, err := Verify(context.Background(), m, VerifyOptions{Keys: []ed25519.PublicKey{testPublicKey()}, Folders: []string{dir}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if r := verify(); !r.OK() {
			t.Fatalf("findings without a fault: %+v", r.Findings)
		}
		faults := m.corruptions()
		names := make([]string, 0, len(faults))
		for name := range faults {
			names = append(names, name)
		}
		slices.Sort(names)
		name := rapid.SampledFrom(names).Draw(t, "fault")
		if !faults[name](t) {
			return
		}
		if b, r := m.balance(t), verify(); b.Difference == 0 && r.OK() {
			t.Fatalf("%s: nothing was found", name)
		}
	})
}
