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

func TestRetentionLeavesNoTiesBehind(t *testing.T) {
	s := openNew(t, func(*Options) {})
	m := accept(t, s)
	var made realistic
	n := made.message(1)
	n.Class, n.About = doppelboden.ClassNotice, []doppelboden.Ref{{Message: m.ID}}
	if _, err := s.Accept(ctx, n); err != nil {
		t.Fatal(err)
	}
	lease, err := s.Join(ctx, "node", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	end := doppelboden.Settlement{Ref: doppelboden.Ref{Message: m.ID}, State: doppelboden.Delivered, At: time.Now()}
	if err := s.Settle(ctx, lease, []doppelboden.Settlement{end}); err != nil {
		t.Fatal(err)
	}
	if removed, err := s.Expire(ctx, time.Now().Add(time.Hour), nil, 10); err != nil || removed != 1 {
		t.Fatalf("%d messages removed, %v, wanted the one whose delivery has ended", removed, err)
	}
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT count(*) FROM notice")
		if err == nil && asInt(row[0]) != 0 {
			t.Errorf("%d ties are left of a message that is gone", asInt(row[0]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
