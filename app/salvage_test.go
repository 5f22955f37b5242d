package app

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"doppelboden"
)

// validityOf returns the UIDVALIDITY of the first inbox.
func validityOf(t *testing.T, n *Node) uint32 {
	t.Helper()
	validity := uint32(0)
	err := n.store.Mailboxes(t.Context(), func(b doppelboden.Mailbox) error {
		list, err := n.store.Folders(t.Context(), b.Tenant, b.ID)
		if err == nil && validity == 0 {
			validity = list[0].Validity
		}
		return nil
	})
	if err != nil || validity == 0 {
		t.Fatalf("no inbox has a UIDVALIDITY (%v)", err)
	}
	return validity
}

// TestADatabaseThatComesBackOlderIsMadeWholeWhileTheNodeRuns plays a promotion that lost
// commits: PostgreSQL dies and comes back as it was a while ago. It turns red without the
// look at what the database has when it is back.
func TestADatabaseThatComesBackOlderIsMadeWholeWhileTheNodeRuns(t *testing.T) {
	c := onPostgres(t)
	c.start()
	c.send(3)
	c.delivered(3)
	validity := validityOf(t, c.n)
	c.kill()
	data := filepath.Join(c.resting.Dir, "data")
	yesterday := filepath.Join(t.TempDir(), "yesterday")
	if out, err := exec.Command("cp", "-a", data, yesterday).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.revive()
	c.send(4)
	c.delivered(7)
	c.kill()
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", yesterday, data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.send(1)
	c.revive()
	waitFor(t, "the new one is delivered", func() bool { return c.groupware.Stats().Messages >= 8 })
	waitFor(t, "all are in the database again, and the new one is delivered", func() bool {
		b, err := client(c.n).Balance(t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		return err == nil && b.Accepted == 8 && b.Delivered == 8
	})
	if b := balance(t, c.n); b.Difference != 0 || b.Duplicates != 0 {
		t.Errorf("balance %+v, want no difference and nothing twice", b)
	}
	if now := validityOf(t, c.n); now == validity {
		t.Errorf("the inbox has the UIDVALIDITY %d as before: clients keep UIDs that the database has lost", now)
	}
	if got := c.groupware.Stats().Messages; got != 8 {
		t.Errorf("the groupware has %d mails, want 8: what it took before the loss must not come again", got)
	}
	if c.n.cameBack().IsZero() {
		t.Error("it is not noted that the database came back older: what people did may go back twice")
	}
	// What the database lost of its own ledger stays to be seen.
	report, err := client(c.n).VerifyLedger(t.Context())
	if err != nil || report.Faults == 0 {
		t.Errorf("ledger verify: %+v (%v), want that it tells of the loss", report, err)
	}
	fmt.Fprintln(t.Output(), report.Findings)
}
