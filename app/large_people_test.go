package app

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden/intake"
	"doppelboden/send"
	"doppelboden/test/peer"
)

// steady sends one mail after the other until stopped, and returns how long the slowest
// took and how many were taken.
func steady(t *testing.T, n *Node, to string) (stop func() (slowest time.Duration, taken int)) {
	t.Helper()
	c, err := send.Dial(t.Context(), n.Listeners()["mx"])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var slowest time.Duration
	var taken int
	var work sync.WaitGroup
	work.Go(func() {
		defer c.Close()
		for ctx.Err() == nil {
			began := time.Now()
			a, err := c.Send(send.Mail{From: parse(t, "citizen@strange.example"), To: parse(t, to), Subject: "x", Text: "hello"}, began)
			if err != nil || !a.Kept() {
				t.Errorf("mail while mailboxes are written: %v, %v", a, err)
				return
			}
			taken++
			slowest = max(slowest, time.Since(began))
		}
	})
	return func() (time.Duration, int) { cancel(); work.Wait(); return slowest, taken }
}

// The bounds are those of the issue; what was measured is printed.
func TestHundredThousandMailboxesAreImportedAndRefreshedWhileMailComesIn(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	peer.Need(t, peer.SlapdProgram, peer.SlapaddProgram)
	const many = 100_000
	var csv, ldif strings.Builder
	csv.WriteString("address;name;department;aliases\n")
	for i := range many {
		fmt.Fprintf(&csv, "vorname.nachname%d@stadt.example;Vorname Nachname %d;Amt %d;vn%d@stadt.example\n", i, i, i%50, i)
		fmt.Fprintf(&ldif, "dn: uid=l%d,%s\nobjectClass: inetOrgPerson\nuid: l%d\ncn: L %d\nsn: L\nmail: l%d@stadt.example\n\n", i, peer.SlapdSuffix, i, i, i)
	}
	s := peer.For(t, peer.Slapd{LDIF: ldif.String()})
	w := newTown(t, groupware(t).Addr(), "")
	if _, err := w.client.AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}

	stop := steady(t, w.Node, "anna@stadt.example")
	began := time.Now()
	if _, err := w.client.ImportMailboxes(t.Context(), "l.csv", []byte(csv.String())); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	slowest, taken := stop()
	t.Logf("import of %d mailboxes with an alias each: %v; meanwhile %d mails, the slowest %v", many, took, taken, slowest)
	if took > time.Minute || slowest > 5*time.Second || taken == 0 {
		t.Errorf("import %v (at most a minute), slowest mail %v (at most 5 s on a busy machine), taken %d", took, slowest, taken)
	}

	dir := w.house.snapshot()
	a, e := parse(t, "Vorname.Nachname99999+tag@stadt.example"), &intake.Envelope{Door: "mx"}
	r := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := dir.Find(e, a); err != nil {
				b.Fatal(err)
			}
		}
	})
	t.Logf("RCPT is decided in %d ns", r.NsPerOp())
	if r.NsPerOp() > 50_000 {
		t.Errorf("RCPT is decided in %d ns, want at most 50 µs", r.NsPerOp())
	}

	stop = steady(t, w.Node, "anna@stadt.example")
	began = time.Now()
	w.configure(ldapOf(s.Addr(), ""))
	// The node begins by itself at the same time; one of the two waits for the other.
	if r := w.refresh(0); r.Error != "" || w.house.Directory().Len() != 2*many+1 {
		t.Fatalf("refresh: %+v, and %d mailboxes, want %d", r, w.house.Directory().Len(), 2*many+1)
	}
	took = time.Since(began)
	slowest, taken = stop()
	t.Logf("first refresh of %d entries: at most %v; meanwhile %d mails, the slowest %v", many, took, taken, slowest)
	again := w.refresh(0)
	t.Logf("refresh without a difference: %v", again.Took)
	if slowest > 5*time.Second || taken == 0 || again.Error != "" || again.Entries != many || again.New+again.Changed+again.Gone != 0 {
		t.Errorf("slowest mail %v of %d, again %+v", slowest, taken, again)
	}
}

// configure applies city.toml with more lines.
func (w *town) configure(more string) {
	w.t.Helper()
	text, err := os.ReadFile(w.opts.Node.City)
	if err == nil {
		_, err = w.client.ApplyConfig(w.t.Context(), "city.toml", append(text, more...), 0)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}
