package app

import (
	"context"
	"fmt"
	"os"
	"strconv"
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

// PEOPLE=100000 measures a large city; what it took is logged.
func TestMailIsTakenWhileMailboxesAreImportedAndRefreshed(t *testing.T) {
	peer.Need(t, peer.SlapdProgram, peer.SlapaddProgram)
	many := 2000
	if n, err := strconv.Atoi(os.Getenv("PEOPLE")); err == nil {
		many = n
	}
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
	if taken == 0 {
		t.Error("no mail was taken during the import")
	}

	dir := w.house.snapshot()
	a, e := parse(t, fmt.Sprintf("Vorname.Nachname%d+tag@stadt.example", many-1)), &intake.Envelope{Door: "mx"}
	r := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := dir.Find(e, a); err != nil {
				b.Fatal(err)
			}
		}
	})
	t.Logf("RCPT is decided in %d ns", r.NsPerOp())

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
	if taken == 0 || again.Error != "" || again.Entries != many || again.New+again.Changed+again.Gone != 0 {
		t.Errorf("%d mails were taken during the refresh, and the second one found %+v", taken, again)
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
