package appeal

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/queue"
	"doppelboden/store"

	"pgregory.net/rapid"
)

// A reading is what a directory listed at a time.
type reading struct {
	at       time.Time
	unlisted map[doppelboden.BoxID]bool
}

// TestWhateverHappensNothingIsReturnedWithoutCauseAndNothingHeldIsForgotten plays random
// histories of a groupware, a directory, people and restarts. It was shown to find its
// faults, within 400 histories and mostly within 100: any reading of a directory is enough,
// a reading of before the refusal is, nobody else has to take mail, there is no last look, a
// lane that is down gets no trial, and a group is not tried again after a round.
func TestWhateverHappensNothingIsReturnedWithoutCauseAndNothingHeldIsForgotten(t *testing.T) {
	bounced := 0
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 99), 20, 80).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			m := &model{world: newWorld(t), rt: rt}
			m.play(steps)
			bounced += m.store.states()[doppelboden.Bounced]
		})
	})
	t.Logf("%d deliveries were returned in all histories", bounced)
	if bounced == 0 {
		t.Errorf("in no history anything was returned: the test says nothing about it")
	}
}

// A model is a world and what is known of its history.
type model struct {
	*world
	rt       *rapid.T
	readings []reading
}

// of returns what a groupware says of mailboxes below n, others it takes.
func of(n doppelboden.BoxID, say func(doppelboden.Delivery) doppelboden.Outcome) func(doppelboden.Delivery) doppelboden.Outcome {
	return func(d doppelboden.Delivery) doppelboden.Outcome {
		if d.Box <= n {
			return say(d)
		}
		return takes(d)
	}
}

func (m *model) play(steps []int) {
	m.mail(boxes(4)...)
	for _, step := range steps {
		m.step(step)
		synctest.Wait()
	}
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	m.nothingForgotten()
	m.gw.set(takes)
	time.Sleep(8 * time.Hour)
	synctest.Wait()
	m.end()
	m.check(steps)
}

// step does one thing.
func (m *model) step(n int) {
	words := []func(doppelboden.Delivery) doppelboden.Outcome{takes, refuses, relay, refuses, later, refuses, broken, refuses}
	switch {
	case n < 25:
		m.mail(doppelboden.BoxID(n%8+1), doppelboden.BoxID(n%5+1))
	case n < 35:
		m.mail(boxes(8)...)
	case n < 53:
		m.gw.set(of(doppelboden.BoxID(n%3+1), words[n%8]))
	case n < 57:
		m.gw.set(words[n%8])
	case n < 63: // a mailbox goes
		m.gw.set(of(1, refuses))
		m.mail(1)
	case n < 65: // others go on
		m.mail(4, 5, 6, 7)
	case n < 66: // a mailbox is really gone, and everything says so
		m.gw.set(of(1, refuses))
		m.mail(1)
		time.Sleep(time.Minute)
		m.mail(4, 5, 6, 7)
		m.lists(1)
		time.Sleep(3 * time.Hour)
		m.mail(4, 5, 6, 7)
		m.lists(1)
		time.Sleep(3 * time.Hour)
	case n < 72:
		m.lists(boxes(n % 4)...)
	case n < 76:
		m.end()
		m.start()
	case n < 79:
		m.store.mu.Lock()
		m.store.failures = 3
		m.store.mu.Unlock()
	case n < 84:
		verb := []queue.Verb{queue.Hold, queue.Release, queue.Discard, queue.Retry, queue.Hold}[n%5]
		_, err := m.queue.Decide(m.t.Context(), queue.Decision{Verb: verb, By: "anna", Why: "so", Filter: store.Filter{Box: doppelboden.BoxID(n%8 + 1)}})
		if err != nil && doppelboden.CodeOf(err) != doppelboden.Temporary {
			m.t.Errorf("%s: %v", verb, err)
		}
	case n < 94:
		time.Sleep(time.Duration(n%10+1) * time.Minute)
	default:
		time.Sleep(time.Duration(n%6+1) * 30 * time.Minute)
	}
}

// lists has the directory read.
func (m *model) lists(without ...doppelboden.BoxID) {
	m.directory(without...)
	r := reading{at: time.Now(), unlisted: map[doppelboden.BoxID]bool{}}
	for _, b := range without {
		r.unlisted[b] = true
	}
	m.readings = append(m.readings, r)
}

// nothingForgotten checks that whatever is held has a time or waits for a person.
func (m *model) nothingForgotten() {
	for _, it := range m.store.find(func(d *doppelboden.Delivery) bool { return d.State == doppelboden.Held }, 0) {
		h := m.store.why(it.Delivery.Seq)
		if !h.Reason.TriedAgain() {
			continue
		}
		p, ok := m.a.Prospect(h.Group, it.Delivery.Box)
		if !ok || p.Next.After(time.Now().Add(m.a.opts.Pace.Late)) {
			m.rt.Errorf("%d is held (%v) and its prospect is %+v, %v", it.Delivery.Seq, h.Reason, p, ok)
		}
	}
}

// check looks at how everything ended.
func (m *model) check(steps []int) {
	taken := map[int64]bool{}
	for _, e := range m.gw.said {
		if e.took && taken[e.seq] {
			m.rt.Errorf("%v: %d was taken twice", steps, e.seq)
		}
		taken[e.seq] = taken[e.seq] || e.took
	}
	for _, it := range m.store.find(func(d *doppelboden.Delivery) bool { return !d.State.Ended() }, 0) {
		if why := m.store.why(it.Delivery.Seq); why.Reason != doppelboden.HeldByPerson {
			m.rt.Errorf("%v: hours after all is well %d is %v (%v)", steps, it.Delivery.Seq, it.Delivery.State, why.Reason)
		}
	}
	for _, s := range m.store.log {
		if s.State != doppelboden.Bounced {
			continue
		}
		box := m.store.find(func(d *doppelboden.Delivery) bool { return d.Message == s.Ref.Message }, 1)[0].Delivery.Box
		if s.By != queue.AppealBy || !m.guilty(box, s.At) {
			m.rt.Errorf("%v: mail of mailbox %d was returned by %s without cause:%s", steps, box, s.By, m.history(box))
		}
	}
}

// history tells what the groupware and the directory said of a mailbox, and when others took
// mail.
func (m *model) history(box doppelboden.BoxID) string {
	var lines []string
	for _, e := range m.gw.said {
		if e.box == box || e.took {
			lines = append(lines, fmt.Sprintf("%s mailbox %d, mail %d, took: %t", e.at.Format("02 15:04:05.000"), e.box, e.seq, e.took))
		}
	}
	for _, r := range m.readings {
		lines = append(lines, fmt.Sprintf("%s unlisted: %t", r.at.Format("02 15:04:05.000"), r.unlisted[box]))
	}
	for _, s := range m.store.log {
		if s.Box == box {
			lines = append(lines, fmt.Sprintf("%s written: %v by %s", s.At.Format("02 15:04:05.000"), s.State, s.By))
		}
	}
	slices.Sort(lines)
	return "\n" + strings.Join(lines, "\n")
}

// guilty reports whether a mailbox was refused, then three others took mail and a directory
// was read that does not list it, and then it was refused again.
func (m *model) guilty(box doppelboden.BoxID, at time.Time) bool {
	return slices.ContainsFunc(m.gw.said, func(first event) bool {
		if first.box != box || first.took || !first.at.Before(at) {
			return false
		}
		others := map[doppelboden.BoxID]bool{}
		var enough, last time.Time
		for _, e := range m.gw.said {
			switch {
			case !e.at.After(first.at) || e.at.After(at):
			case e.box == box && e.took:
				return false // the mailbox works
			case e.box == box:
				last = e.at
			case e.took:
				others[e.box] = true
				if len(others) == 3 && enough.IsZero() {
					enough = e.at
				}
			}
		}
		read := slices.ContainsFunc(m.readings, func(r reading) bool {
			return r.at.After(first.at) && !r.at.After(last) && r.unlisted[box]
		})
		return !enough.IsZero() && !last.Before(enough) && read
	})
}
