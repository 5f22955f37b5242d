package intake

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"doppelboden"

	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// fakes is a segment store, a database, a tally and a queue in memory.
type fakes struct {
	mu        sync.Mutex
	bodies    map[[32]byte][]byte
	next      byte
	big       int
	accepted  []*doppelboden.Message
	notified  []*doppelboden.Message
	log       []string
	acceptErr func(n int) error // for the n-th call, from 1
	calls     int
	ready     error
}

func (f *fakes) Ready() error { return f.ready }

func (f *fakes) Put(_ doppelboden.TenantID, p []byte) (doppelboden.Body, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	b := doppelboden.Body{Size: int64(len(p)), Sum: [32]byte{f.next}}
	f.bodies[b.Sum] = bytes.Clone(p)
	return b, nil
}

func (f *fakes) Create(doppelboden.TenantID) (BodyWriter, error) {
	f.big++
	return &fakeBig{f: f}, nil
}

func (f *fakes) Reader(_ doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return io.NopCloser(bytes.NewReader(f.bodies[b.Sum])), nil
}

type fakeBig struct {
	f *fakes
	bytes.Buffer
}

func (b *fakeBig) Close() (doppelboden.Body, error) { b.f.big--; return b.f.Put(0, b.Bytes()) }
func (b *fakeBig) Abort()                           { b.f.big-- }

func (f *fakes) AcceptAll(ctx context.Context, list []*doppelboden.Message) (int, error) {
	for _, m := range list {
		if n, err := f.Accept(ctx, m); err != nil {
			return n, err
		}
	}
	return 1, nil
}

func (f *fakes) Accept(_ context.Context, m *doppelboden.Message) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.acceptErr != nil {
		if err := f.acceptErr(f.calls); err != nil {
			return 0, err
		}
	}
	for i := range m.Deliveries {
		m.Deliveries[i].Seq = int64(len(f.accepted)*10 + i + 1)
	}
	f.accepted = append(f.accepted, m)
	return 1, nil
}

func (f *fakes) note(s string) { f.mu.Lock(); f.log = append(f.log, s); f.mu.Unlock() }

func (f *fakes) Intent(doppelboden.ID, int, time.Time) { f.note("intent") }
func (f *fakes) Sent(doppelboden.ID, time.Time)        { f.note("sent") }
func (f *fakes) Unsent(doppelboden.ID, time.Time)      { f.note("unsent") }
func (f *fakes) Withdrawn(doppelboden.ID, time.Time)   { f.note("withdrawn") }
func (f *fakes) notify(m *doppelboden.Message)         { f.notified = append(f.notified, m) }
func (f *fakes) Find(_ *Envelope, a doppelboden.Address) (Found, error) {
	switch {
	case a.Domain == "strange.example":
		return Found{}, &doppelboden.Error{Code: doppelboden.Policy, Public: "relaying denied"}
	case a.Local == "nobody":
		return Found{}, &doppelboden.Error{Code: doppelboden.NoSuchMailbox, Public: "no such mailbox"}
	case a.Domain == "kreis.example":
		return Found{Tenant: 2, Targets: []Target{{Mailbox: 20}}}, nil
	case strings.HasPrefix(a.Local, "anna"):
		return Found{Tenant: 1, Targets: []Target{{Mailbox: 10}}}, nil
	case a.Local == "here":
		return Found{Tenant: 1, Targets: []Target{{Mailbox: 12, Here: true}}}, nil
	case a.Local == "list":
		return Found{Tenant: 1, Targets: []Target{
			{Mailbox: 10, Recipient: doppelboden.Address{Local: "anna", Domain: "stadt.example"}},
			{Mailbox: 12, Recipient: doppelboden.Address{Local: "here", Domain: "stadt.example"}, Here: true},
			{Box: -3, Recipient: doppelboden.Address{Local: "eva", Domain: "strange.example"}},
		}}, nil
	case a.Local == "abroad":
		return Found{Tenant: 1, Outside: []doppelboden.Address{{Local: "eva", Domain: "strange.example"}, {Local: "ada", Domain: "strange.example"}}}, nil
	case a.Local == "both":
		return Found{Tenant: 1, Targets: []Target{{Mailbox: 13}, {Mailbox: 13, Box: -5}}}, nil
	case a.Local == "whose":
		return Found{Tenant: 1, Targets: []Target{{Hold: "nobody has this address"}}}, nil
	}
	return Found{Tenant: 1, Targets: []Target{{Mailbox: 11}}}, nil
}

// newIntake returns an intake on fakes.
func newIntake(t *testing.T, budget int64, checks ...Check) (*Intake, *fakes) {
	t.Helper()
	f := &fakes{bodies: map[[32]byte][]byte{}}
	in, err := New(Options{
		Hostname: "mx.stadt.example", Directory: func() Directory { return f }, Bodies: f, Store: f, Tally: f,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Registry: prometheus.NewRegistry(), Budget: budget, Checks: checks,
	})
	if err != nil {
		t.Fatal(err)
	}
	return in, f
}

func address(t *testing.T, s string) doppelboden.Address {
	t.Helper()
	a, err := doppelboden.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// begin starts a transaction to the recipients.
func begin(t *testing.T, in *Intake, to ...string) *Transaction {
	t.Helper()
	tx, err := in.Begin(Envelope{Door: "mx", Peer: "192.0.2.7", Helo: "mail.sender.example", Proto: "ESMTP"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range to {
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, r)}); err != nil {
			t.Fatalf("RCPT %s: %v", r, err)
		}
	}
	return tx
}

func TestAMailIsKeptWithADeliveryAndACopyForEachMailbox(t *testing.T) {
	in, f := newIntake(t, 0)
	tx := begin(t, in, "anna@stadt.example", "anna.alias@stadt.example", "bert@stadt.example", "here@stadt.example")
	io.WriteString(tx, "Subject: x\r\n\r\nhello\r\n")
	kept, err := tx.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx.Acked(true)
	m := f.accepted[0]
	if len(m.Deliveries) != 3 || len(m.Copies) != 3 || m.Recipients != 4 || m.Merged != 1 {
		t.Errorf("4 RCPT for 3 mailboxes: %d deliveries, %d copies, %d recipients, %d merged; want 3, 3, 4, 1",
			len(m.Deliveries), len(m.Copies), m.Recipients, m.Merged)
	}
	if got := m.Deliveries[2].State; got != doppelboden.Delivered {
		t.Errorf("delivery of a mailbox with route here: %v, want delivered", got)
	}
	if got := m.Deliveries[0].State; got != doppelboden.Queued {
		t.Errorf("delivery of a mailbox of the groupware: %v, want queued", got)
	}
	if string(f.bodies[m.Body.Sum]) != "Subject: x\r\n\r\nhello\r\n" {
		t.Errorf("body kept: %q", f.bodies[m.Body.Sum])
	}
	if kept.ID != m.ID || kept.Receipt != m.Receipt || kept.Receipt.IsZero() {
		t.Errorf("Commit returned %v %v, want those of the message, %v %v", kept.ID, kept.Receipt, m.ID, m.Receipt)
	}
	if got := strings.Join(f.log, " "); got != "intent sent" {
		t.Errorf("the door's log: %q, want \"intent sent\"", got)
	}
}

func TestARecipientOfAnotherTenantIsToBeSentToSeparately(t *testing.T) {
	in, _ := newIntake(t, 0)
	tx := begin(t, in, "anna@stadt.example")
	err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "carl@kreis.example")})
	if got := doppelboden.CodeOf(err); got != doppelboden.OtherTenant {
		t.Errorf("second tenant: %v, want other_tenant", got)
	}
}

func TestAfterARefusedCommitTheSenderIsPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, f := newIntake(t, 0)
		f.acceptErr = func(int) error { return errors.New("the disk hangs") }
		tx := begin(t, in, "anna@stadt.example")
		io.WriteString(tx, "x\r\n")
		_, err := tx.Commit(t.Context())
		if doppelboden.CodeOf(err) != doppelboden.Temporary {
			t.Errorf("Commit on a broken store: %v, want a temporary error", err)
		}
		tx.Acked(true)
		if got := strings.Join(f.log, " "); got != "intent withdrawn" {
			t.Errorf("the door's log: %q, want \"intent withdrawn\"", got)
		}
		if f.calls < 5 {
			t.Errorf("Accept was tried %d times within the patience, want several", f.calls)
		}
		if used := in.budget.used.Load(); used != 0 {
			t.Errorf("%d bytes of the budget are still taken", used)
		}
	})
}

func TestAnAcceptThatFailsOnceIsRunAgainWithTheSameMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, f := newIntake(t, 0)
		f.acceptErr = func(n int) error {
			if n == 1 {
				return errors.New("connection lost in COMMIT")
			}
			return nil
		}
		tx := begin(t, in, "anna@stadt.example")
		io.WriteString(tx, "x\r\n")
		kept, err := tx.Commit(t.Context())
		if err != nil || len(f.accepted) != 1 || f.accepted[0].ID != kept.ID {
			t.Errorf("after one unknown commit: err %v, %d messages", err, len(f.accepted))
		}
	})
}

func TestTheBudgetPutsOffMailInsteadOfGrowing(t *testing.T) {
	in, _ := newIntake(t, 2*inMemory)
	first := begin(t, in, "anna@stadt.example")
	if _, err := first.Write(make([]byte, 200<<10)); err != nil {
		t.Fatalf("first body: %v", err)
	}
	second := begin(t, in, "anna@stadt.example")
	if _, err := second.Write(make([]byte, 200<<10)); err != nil {
		t.Fatalf("second body: %v", err)
	}
	if _, err := in.Begin(Envelope{}); doppelboden.CodeOf(err) != doppelboden.Busy {
		t.Errorf("MAIL with a full budget: %v, want busy", err)
	}
	first.Abort()
	second.Abort()
	if _, err := in.Begin(Envelope{}); err != nil {
		t.Errorf("MAIL after everything was given back: %v", err)
	}
	if used := in.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes of the budget are still taken", used)
	}
}

func TestABigBodyStreamsIntoAFileAndIsCheckedForLoops(t *testing.T) {
	in, f := newIntake(t, 2*inMemory)
	chunk := bytes.Repeat([]byte("0123456789abcde\r\n"), 1000)
	tx := begin(t, in, "anna@stadt.example")
	io.WriteString(tx, "Subject: big\r\n\r\n")
	want := "Subject: big\r\n\r\n"
	for range 100 {
		if _, err := tx.Write(chunk); err != nil {
			t.Fatal(err)
		}
		want += string(chunk)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.bodies[f.accepted[0].Body.Sum]; string(got) != want {
		t.Errorf("big body: %d bytes kept, want %d", len(got), len(want))
	}

	loop := begin(t, in, "anna@stadt.example")
	io.WriteString(loop, strings.Repeat("Received: from a by b; now\r\n", 101)+"\r\n")
	for range 100 {
		loop.Write(chunk)
	}
	if _, err := loop.Commit(t.Context()); doppelboden.CodeOf(err) != doppelboden.Loop {
		t.Errorf("a big mail with 101 hops: %v, want loop", err)
	}
	if f.big != 0 {
		t.Errorf("%d files of big bodies were neither closed nor given up", f.big)
	}
}

func TestAMailThatPassedUsTooOftenIsALoop(t *testing.T) {
	own := "Received: from a (a [192.0.2.1])\r\n\tby MX.stadt.example (Doppelboden) with ESMTP id 1;\r\n\tnow\r\n"
	other := "Received: from a by mx.other.example with ESMTP id 1; now\r\n"
	for _, c := range []struct {
		name   string
		header string
		loop   bool
	}{
		{"four times through us", strings.Repeat(own, 4), false},
		{"five times through us", strings.Repeat(own, 5), true},
		{"a hundred hops", strings.Repeat(other, 100), false},
		{"a hundred and one hops", strings.Repeat(other, 101), true},
		{"a subject that looks like a hop", strings.Repeat("Subject: Received: by mx.stadt.example (Doppelboden) with\r\n", 200), false},
	} {
		err := checkLoop([]byte(c.header+"Subject: x\r\n"), "mx.stadt.example")
		if got := err != nil; got != c.loop {
			t.Errorf("%s: loop %v, want %v", c.name, got, c.loop)
		}
	}
}

func TestTheReceivedLineHoldsNothingThatTheClientCouldForgeALineWith(t *testing.T) {
	m := &doppelboden.Message{ID: doppelboden.ID{1}, Recipients: 1, Received: time.Unix(0, 0).UTC()}
	line := string(received(Envelope{
		Helo: "evil\r\nX-Injected: 1 (comment) <x>", PeerName: "a\nb", Peer: "2001:db8::1%eth0", Proto: "ESMTPS",
		TLS: "TLS1.3 TLS_AES_128_GCM_SHA256",
	}, "mx.stadt.example", m, doppelboden.Address{Local: "anna", Domain: "stadt.example"}))
	want := "Received: from evilX-Injected: 1 comment x (ab [IPv6:2001:db8::1])\r\n" +
		"\t(using TLS1.3 TLS_AES_128_GCM_SHA256)\r\n" +
		"\tby mx.stadt.example (Doppelboden) with ESMTPS id 01000000-0000-0000-0000-000000000000\r\n" +
		"\tfor <anna@stadt.example>;\r\n" +
		"\tThu, 01 Jan 1970 00:00:00 +0000\r\n"
	if line != want {
		t.Errorf("Received line:\n%q\nwant\n%q", line, want)
	}
}

func FuzzCheckLoop(f *testing.F) {
	f.Add([]byte("Received: a\r\n\tb\r\nSubject: x\r\n\r\nbody"))
	f.Add([]byte("\n\n \nReceived:"))
	f.Fuzz(func(t *testing.T, header []byte) {
		seen := 0
		eachField(header, func(field []byte) { seen += len(field) })
		if seen != len(header) {
			t.Errorf("fields of %q hold %d bytes, want all %d", header, seen, len(header))
		}
		_ = checkLoop(header, "mx.stadt.example")
	})
}
