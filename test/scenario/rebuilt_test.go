package scenario

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/test/peer"
)

// TestAGroupwareThatIsRebuiltEmptyGetsTheOldMailAndWhatPeopleDidWithIt lets people work while a
// real Dovecot is down, which comes back without any of its mailboxes. What they wrote goes back
// at once. What they did with old mail waits, and an alarm names the command that brings that
// mail; then every mailbox is as its owner had it. The node is killed in the middle.
//
// It was shown to find its fault: when nothing waits for the replay, what was deleted here lies
// in the inbox again.
func TestAGroupwareThatIsRebuiltEmptyGetsTheOldMailAndWhatPeopleDidWithIt(t *testing.T) {
	t.Parallel()
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram, peer.LMTPProgram, peer.SieveProgram)
	boxes := users(5)
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: boxes})
	c, clock := worked(t, dovecot, boxes)
	began := clock.Now().Add(-time.Hour)
	node := c.inside(clock)
	resting, want := c.work(node, clock, dovecot, boxes)
	answered := replies(t, dovecot)
	c.rest(node)

	if err := resting.Lose(boxes...); err != nil {
		t.Fatal(err)
	}
	back := peer.For[*peer.DovecotServer](t, resting)
	c.start()
	t.Cleanup(c.end)
	c.must("event", "close", "1", "--note", "it is rebuilt")
	// Of each: a mark, a move with a mark, a move and a deletion of old mail.
	c.stays(int64(4 * len(boxes)))
	c.until("an alarm names the command that brings the old mail", time.Minute, func() bool {
		out, _ := c.run("status")
		return strings.Contains(out, "does not go back to the groupware since") && strings.Contains(out, "replay --from")
	})
	c.must("replay", "--from", began.Format(time.RFC3339), "--to", time.Now().Add(-time.Minute).Format(time.RFC3339))
	c.kill()
	c.start()
	c.handedBack(2 * time.Minute)
	differences := 0
	for _, box := range boxes {
		differences += unequal(t, box, want[box], linesOf(peer.ReadIMAP(t, back.IMAP(), box)))
	}
	if b := c.since(48 * time.Hour); b.Difference != 0 || b.Duplicates != 0 || b.Replayed != int64(before*len(boxes)) {
		t.Errorf("the balance is %+v, want %d replayed, no duplicates and difference 0", b, before*len(boxes))
	}
	if after := replies(t, back); !maps.Equal(after, answered) {
		t.Errorf("vacation has answered for what came back: %v, before: %v", after, answered)
	}
	t.Logf("%d people, %d mails, %d differences", len(boxes), len(boxes)*(before+during), differences)
}

// since draws the balance of some time.
func (c *city) since(d time.Duration) (b doppelboden.Balance) {
	c.t.Helper()
	out, _ := c.run("balance", "--json", "--from", time.Now().Add(-d).Format(time.RFC3339))
	if err := json.Unmarshal([]byte(out), &b); err != nil {
		c.t.Fatalf("balance: %v\n%s", err, out)
	}
	return b
}

// stays waits until so many changes are all that is owed, and cannot go back for now.
func (c *city) stays(n int64) {
	c.t.Helper()
	var s control.Status
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		out, _ := c.run("status", "--json")
		s = control.Status{}
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			c.t.Fatalf("status: %v\n%s", err, out)
		}
		staying := int64(0)
		if s.Handback != nil {
			for _, g := range s.Handback.Groups {
				staying += int64(g.Staying)
			}
			if staying == n && s.Handback.Deeds == n {
				return
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%+v is owed, want %d changes that cannot go back", s.Handback, n)
		}
	}
}
