package queue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/courier"
)

// A scribe makes notices and notes what it was asked.
type scribe struct {
	mu    sync.Mutex
	asked [][]doppelboden.Ending
	hold  func(doppelboden.Ending) bool
	err   error
}

func (s *scribe) Return(_ context.Context, ends []doppelboden.Ending) ([]doppelboden.Settlement, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, ends)
	if s.err != nil {
		return nil, s.err
	}
	notice := &doppelboden.Message{ID: doppelboden.ID{0: 0xff, 15: byte(len(s.asked))}, Class: doppelboden.ClassNotice, Recipients: 1, Received: time.Now()}
	notice.Deliveries = []doppelboden.Delivery{{Message: notice.ID, Seq: int64(1000 + len(s.asked)), Box: 9}}
	var list []doppelboden.Settlement
	for _, e := range ends {
		one := e.Settlement
		if s.hold != nil && s.hold(e) {
			one.State, one.Reply = doppelboden.Held, "not returned, a reason"
		} else {
			one.Generated = notice
		}
		list = append(list, one)
	}
	return list, nil
}

// wants makes the senders of all deliveries ask for something.
func (s *fakeStore) wants(notify string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.items {
		s.items[i].Delivery.Notify = notify
	}
}

func TestAPersonReturnsMailMessageByMessageAndReadsWhatIsHeldInstead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newQueue(t, 1)
		r := &scribe{hold: func(e doppelboden.Ending) bool { return e.Delivery.Box == 3 }}
		q.opts.Returner = r
		g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
			if d.Box == 9 {
				return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
			}
			return later(doppelboden.AboutRecipient, "rcpt")
		}
		s.accept(time.Now(), 1, 2)
		s.accept(time.Now(), 3)
		start(t, q)
		time.Sleep(time.Second)
		synctest.Wait()
		n, err := q.Decide(t.Context(), Decision{Verb: Bounce, By: "anna", Why: "wrong town"})
		var kept *KeptBack
		if n != 2 || doppelboden.CodeOf(err) != doppelboden.Policy || !errors.As(err, &kept) || kept.N != 1 || !strings.Contains(kept.Why, "a reason") {
			t.Errorf("bounce of three, of which one may not go back: %d, %v; want 2 and the reason", n, err)
		}
		if got := s.states(); got[doppelboden.Bounced] != 2 || got[doppelboden.Held] != 1 {
			t.Errorf("states %v, want 2 bounced and 1 held", got)
		}
		if len(r.asked) != 2 {
			t.Errorf("asked %d times, want once for each of two messages", len(r.asked))
		}
		for _, ends := range r.asked {
			for _, e := range ends {
				if e.How != doppelboden.Returned || e.Why != "wrong town" || e.Message.ID != e.Delivery.Message || e.Settlement.By != "anna" {
					t.Errorf("asked about %+v", e)
				}
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		notices := 0
		for _, d := range g.taken {
			if d.Box == 9 {
				notices++
			}
		}
		if notices != 1 {
			t.Errorf("%d notices were handed over, want 1: that of the message that went back", notices)
		}
	})
}

func TestWhileNobodyCanBeToldAPersonsReturnChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s, g := newQueue(t, 1)
		g.say = func(doppelboden.Delivery) doppelboden.Outcome { return later(doppelboden.AboutRecipient, "rcpt") }
		s.accept(time.Now(), 1)
		start(t, q)
		bounce := Decision{Verb: Bounce, By: "anna", Why: "wrong town"}
		if _, err := q.Decide(t.Context(), bounce); doppelboden.CodeOf(err) != doppelboden.Invalid {
			t.Errorf("bounce without a returner: %v, want invalid", err)
		}
		q.opts.Returner = &scribe{err: errors.New("the list of mailboxes is old")}
		if n, err := q.Decide(t.Context(), bounce); err == nil || n != 0 {
			t.Errorf("bounce while no notice can be made: %d, %v; want an error", n, err)
		}
		bounce.Why = ""
		if _, err := q.Decide(t.Context(), bounce); doppelboden.CodeOf(err) != doppelboden.Invalid {
			t.Errorf("bounce without a reason: %v, want invalid", err)
		}
		if got := s.states()[doppelboden.Queued]; got != 1 {
			t.Errorf("%d are queued, want the one", got)
		}
	})
}

// lmtpLane has an LMTP server at the address that outcomes name.
type lmtpLane struct {
	oneLane
	lmtp bool
}

func (r lmtpLane) Lanes() []LaneConfig {
	return []LaneConfig{{Route: courier.Route{Name: "groupware", Hosts: []courier.Host{{LMTP: r.lmtp, Addr: "gw:24"}}}, Connections: 1}}
}

func TestSendersWhoAskedHearOfASuccessOnceUnlessTheNextServerTellsThem(t *testing.T) {
	for _, c := range []struct {
		notify     string
		lmtp       bool
		unnotified bool
		err        error
		how        doppelboden.How
	}{
		{"SUCCESS", true, true, nil, doppelboden.Arrived},
		{"SUCCESS,FAILURE", false, true, nil, doppelboden.Relayed},
		{"SUCCESS", false, false, nil, 0},
		{"SUCCESS", true, false, nil, 0},
		{"", true, true, nil, 0},
		{"FAILURE", true, true, nil, 0},
		{"NEVER", false, true, nil, 0},
		{"SUCCESS", true, true, errors.New("no list"), doppelboden.Arrived},
	} {
		synctest.Test(t, func(t *testing.T) {
			q, s, g := newQueue(t, 1)
			r := &scribe{err: c.err}
			q.opts.Returner, q.opts.Router = r, lmtpLane{oneLane{1}, c.lmtp}
			g.say = func(d doppelboden.Delivery) doppelboden.Outcome {
				return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot", Server: "gw:24", Unnotified: c.unnotified}
			}
			s.accept(time.Now(), 1, 2)
			s.wants(c.notify)
			start(t, q)
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := s.states()[doppelboden.Delivered]; got != 2 {
				t.Errorf("%+v: %d delivered, want 2", c, got)
			}
			told := 0
			for _, ends := range r.asked {
				for _, e := range ends {
					told++
					if e.How != c.how || e.Settlement.State != doppelboden.Delivered {
						t.Errorf("%+v: asked about %v to %v", c, e.How, e.Settlement.State)
					}
				}
			}
			if want := map[bool]int{true: 2, false: 0}[c.how != 0]; told != want {
				t.Errorf("%+v: asked about %d successes, want %d", c, told, want)
			}
		})
	}
}

func TestASuccessInAMailboxHereIsToldAndIsOneAlsoWhenItCannotBe(t *testing.T) {
	for _, err := range []error{nil, errors.New("the list of mailboxes is old")} {
		synctest.Test(t, func(t *testing.T) {
			q, s, _ := newQueue(t, 1)
			r := &scribe{err: err}
			q.opts.Returner, q.opts.Router = r, hereNow{oneLane{1}}
			start(t, q)
			m := s.accept(time.Now(), 1)
			s.wants("SUCCESS")
			m.Deliveries[0].Notify = "SUCCESS"
			q.Notify(m)
			time.Sleep(time.Second)
			synctest.Wait()
			if len(r.asked) != 1 || len(r.asked[0]) != 1 || r.asked[0][0].How != doppelboden.Arrived {
				t.Errorf("asked %v, want once about one that arrived", r.asked)
			}
			if got := s.states()[doppelboden.Delivered]; got != 1 {
				t.Errorf("%d delivered while the notice ends in %v, want 1", got, err)
			}
		})
	}
}
