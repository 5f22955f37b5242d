package sqlite

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func TestABounceWhoseCommitIsUnknownBringsExactlyOneNotice(t *testing.T) {
	for name, plan := range map[string][]fault{
		"it had not been written":       {faultBeforeCommit},
		"it had been written":           {faultAfterCommit},
		"nobody knows after two tries":  {faultAfterCommit, faultAfterCommit},
		"it was not there in two tries": {faultBeforeCommit, faultBeforeCommit},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := withFaults(t)
			m := accept(t, s)
			lease, err := s.Join(ctx, "node", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			var made realistic
			n := made.message(1)
			n.Door, n.Class, n.About = "generated", doppelboden.ClassNotice, []doppelboden.Ref{{Message: m.ID}}
			list := []doppelboden.Settlement{{Ref: doppelboden.Ref{Message: m.ID}, State: doppelboden.Bounced, Generated: n, At: time.Now()}}
			for _, at := range plan {
				f.next(at, errDisk)
			}
			if err := s.Settle(ctx, lease, list); err != nil {
				eventually(t, "ready again", func() bool { return s.Ready() == nil })
				if err := s.Settle(ctx, lease, list); err != nil {
					t.Fatal(err)
				}
			}
			notices, err := s.Notices(ctx, m.ID)
			if err != nil || len(notices) != 1 || notices[0] != (store.Notice{ID: n.ID}) {
				t.Errorf("notices %v, %v, wanted the one that was made", notices, err)
			}
			if got, err := s.Message(ctx, m.ID); err != nil || got.Deliveries[0].State != doppelboden.Bounced {
				t.Errorf("the message: %v, wanted it bounced", err)
			}
			if got := entriesIn(links(t, s)); got != 3 {
				t.Errorf("%d entries in the ledger, wanted 3: two messages, and one bounce", got)
			}
			if got := rows(t, s); got != 2 {
				t.Errorf("%d deliveries, wanted 2", got)
			}
			checkCounts(t, s)
		})
	}
}
