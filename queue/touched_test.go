package queue

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/courier"
)

// touches is a Toucher that knows by heart.
type touches struct {
	mu   sync.Mutex
	all  map[doppelboden.ID]bool
	read int
}

func (t *touches) May(doppelboden.MailboxID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all) > 0
}

func (t *touches) Touched(_ context.Context, _ doppelboden.MailboxID, ids []doppelboden.ID) (map[doppelboden.ID]bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read++
	touched := map[doppelboden.ID]bool{}
	for _, id := range ids {
		touched[id] = t.all[id]
	}
	return touched, nil
}

// touchedLane is oneLane whose mail is filed only when somebody has touched it.
type touchedLane struct{ oneLane }

func (r touchedLane) Lanes() []LaneConfig {
	return []LaneConfig{{Route: courier.Route{Name: "groupware"}, Connections: r.connections, FileAtOnce: r.connections, FileTouched: true}}
}

func TestYoungMailGoesIntoItsMailboxWhereSomebodyHasTouchedItAndOtherMailDoesNot(t *testing.T) {
	for name, late := range map[string]bool{"touched before the start": false, "touched while it waits in memory": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, s, g := newQueue(t, 4)
				f, people := &mailboxes{g: g}, &touches{all: map[doppelboden.ID]bool{}}
				q.opts.Router, q.opts.Filer, q.opts.Toucher = touchedLane{oneLane{4}}, f, people
				down := true
				g.say = func(doppelboden.Delivery) doppelboden.Outcome {
					if down {
						return doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRoute, Phase: "connect"}
					}
					return doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot"}
				}
				var mails []doppelboden.ID
				for range 6 {
					mails = append(mails, s.accept(time.Now(), 1).ID)
				}
				for i := range s.items {
					s.items[i].Delivery.Mailbox = 1
				}
				touch := func() {
					people.mu.Lock()
					people.all[mails[1]], people.all[mails[2]], people.all[mails[4]] = true, true, true
					people.mu.Unlock()
					q.Touch(1)
				}
				if !late {
					touch()
				}
				start(t, q)
				time.Sleep(time.Minute)
				if late {
					touch()
				}
				g.mu.Lock()
				down, f.took = false, 0
				g.mu.Unlock()
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := s.states()[doppelboden.Delivered]; got != 6 {
					t.Fatalf("%d of 6 delivered", got)
				}
				g.check(t)
				if f.took != 3 {
					t.Errorf("%d mails were filed in the runs %v, want the three that were touched", f.took, f.runs)
				}
				for i := 1; i < len(g.taken); i++ {
					if g.taken[i].Seq < g.taken[i-1].Seq {
						t.Errorf("mail %d came behind %d", g.taken[i-1].Seq, g.taken[i].Seq)
					}
				}
			})
		})
	}
}
