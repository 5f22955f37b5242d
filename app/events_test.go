package app

import (
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/event"
)

// TestADeadGroupwareIsKnownWithin30SecondsWithoutAnyMailAlsoAfterARestart runs a node whose
// groupware never was there.
func TestADeadGroupwareIsKnownWithin30SecondsWithoutAnyMailAlsoAfterARestart(t *testing.T) {
	node := install(t, "lmtp://127.0.0.1:1")
	n := start(t, node)
	client := control.NewClient(node.Data, nil)
	box, err := client.AddMailbox(t.Context(), anna)
	if err != nil {
		t.Fatal(err)
	}
	id := doppelboden.MailboxID(box.ID)
	began := time.Now()
	waitFor(t, "the outage is known", func() bool { _, _, in := n.events.InOutage(id); return in })
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v, want 30 s at most", took)
	}
	if !slices.Contains(n.spared(), id) {
		t.Error("retention would remove mail of a mailbox that is in an outage")
	}
	waitFor(t, "the alarm is stored", func() bool {
		return strings.Contains(openAlarms(t, n)[event.AlarmKind], "all 1 mailboxes of the route groupware")
	})
	if text, both := openAlarms(t, n)["route"]; both {
		t.Errorf("the same is told twice: %s", text)
	}
	if answer := mail(t, n, anna.Address); !answer.Kept() {
		t.Fatalf("during the outage a mail was answered with %+v", answer)
	}
	_, since, _ := n.events.InOutage(id)
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = start(t, node)
	if number, still, in := n.events.InOutage(id); !in || number != 1 || !still.Equal(since.Round(0).Truncate(time.Microsecond)) {
		t.Errorf("after a restart in outage %d since %v (%v), want 1 since %v", number, still, in, since)
	}
}
