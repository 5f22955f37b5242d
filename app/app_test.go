package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/send"
	"doppelboden/setup"
	"doppelboden/sink"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// install makes the folder of a new city whose groupware is at the address.
func install(t *testing.T, groupware string) *city.Node {
	t.Helper()
	node, err := setup.Create(setup.Options{
		Dir: filepath.Join(t.TempDir(), "city"), Domain: "stadt.example", Groupware: groupware,
		Listen: "127.0.0.1", DNS: "none", Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	node.Limits.MinFreeMB = 1
	return node
}

// start starts a node and stops it at the end of the test.
func start(t *testing.T, node *city.Node) *Node {
	t.Helper()
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := New(t.Context(), Options{Node: node, Version: "test", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the node: %v", err)
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// anna is the mailbox of these tests.
var anna = control.Mailbox{Address: "anna@stadt.example", Kind: "person", Priority: 5}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	fmt.Fprint(w.t.Output(), string(p))
	return len(p), nil
}

func parse(t *testing.T, s string) doppelboden.Address {
	t.Helper()
	a, err := doppelboden.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// mail sends one mail through the node's MX and returns the answer.
func mail(t *testing.T, n *Node, to string) send.Answer {
	t.Helper()
	c, err := send.Dial(t.Context(), n.Listeners()["mx"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Send(send.Mail{From: parse(t, "citizen@strange.example"), To: parse(t, to), Subject: "x", Text: "hello"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// waitFor waits until what is true, or fails the test.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // polls a real process: there is no event to wait for
	}
}

func balance(t *testing.T, n *Node) doppelboden.Balance {
	t.Helper()
	b, err := control.NewClient(n.opts.Node.Data, nil).Balance(t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAMailGoesThroughTheNodeAndTheBalanceIsZero(t *testing.T) {
	gw, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	n := start(t, install(t, "smtp://"+gw.Addr()))
	client := control.NewClient(n.opts.Node.Data, nil)
	if a := mail(t, n, "anna@stadt.example"); a.Code != 450 {
		t.Errorf("before there is any mailbox: %d %s, want 450", a.Code, a.Text)
	}
	if _, err := client.AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	if a := mail(t, n, "nobody@stadt.example"); a.Code != 550 {
		t.Errorf("unknown mailbox: %d %s, want 550", a.Code, a.Text)
	}
	a := mail(t, n, "anna@stadt.example")
	if !a.Kept() || a.Receipt.IsZero() {
		t.Fatalf("mail to anna: %d %s, want 250 with a receipt", a.Code, a.Text)
	}
	waitFor(t, "the groupware has the mail", func() bool { return gw.Stats().Messages == 1 })
	waitFor(t, "it is settled", func() bool { return balance(t, n).Delivered == 1 })
	b := balance(t, n)
	if b.Accepted != 1 || b.Acknowledged != 1 || b.Difference != 0 {
		t.Errorf("balance %+v, want 1 accepted, 1 acknowledged, difference 0", b)
	}
	report, err := client.VerifyLedger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if report.Faults != 0 {
		t.Errorf("ledger verify: %+v", report)
	}
	story, err := client.Message(t.Context(), a.Receipt.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("story: %+v", story)
}

func TestMailWaitsThroughAnOutageAndARestartAndIsHandedOverAfterwards(t *testing.T) {
	addr := freeAddr(t) // the groupware is down
	node := install(t, "smtp://"+addr)
	n := start(t, node)
	if _, err := control.NewClient(node.Data, nil).AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if a := mail(t, n, "anna@stadt.example"); !a.Kept() {
			t.Fatalf("during the outage: %d %s", a.Code, a.Text)
		}
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = start(t, node)
	if b := balance(t, n); b.Accepted != 20 || b.Queued != 20 || b.Difference != 0 {
		t.Errorf("after a restart: %+v, want 20 accepted and queued, difference 0", b)
	}
	gw, err := sink.Start(sink.Options{Listen: addr})
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	waitFor(t, "all are delivered", func() bool { return balance(t, n).Delivered == 20 })
	if b := balance(t, n); b.Difference != 0 || b.Duplicates != 0 {
		t.Errorf("at the end: %+v", b)
	}
}

func TestAMailboxWithRouteHereKeepsItsMailAndTheCopyCanBeRead(t *testing.T) {
	node := install(t, "here")
	n := start(t, node)
	if _, err := control.NewClient(node.Data, nil).AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	a := mail(t, n, "anna@stadt.example")
	id, err := view{n.store, n.landing}.ByReceipt(t.Context(), a.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	m, err := n.store.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if m.Deliveries[0].State != doppelboden.Delivered {
		t.Errorf("state %v, want delivered", m.Deliveries[0].State)
	}
	var copies []doppelboden.Copy
	err = n.store.Copies(t.Context(), m.Tenant, m.Deliveries[0].Mailbox, func(c doppelboden.Copy) error {
		copies = append(copies, c)
		return nil
	})
	if err != nil || len(copies) != 1 || copies[0].Message != id {
		t.Errorf("copies %+v (%v), want one of the message", copies, err)
	}
	r, err := n.bodies.Reader(m.Tenant, m.Body)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil || int64(len(body)) != m.Body.Size {
		t.Errorf("the body has %d bytes (%v), want %d", len(body), err, m.Body.Size)
	}
	if b := balance(t, n); b.Delivered != 1 || b.Difference != 0 {
		t.Errorf("balance %+v", b)
	}
	text, err := os.ReadFile(node.City)
	if err != nil {
		t.Fatal(err)
	}
	leave := regexp.MustCompile(`(?m)^here = true$`).ReplaceAll(text, []byte(`hosts = ["smtp://127.0.0.1:1"]`))
	if bytes.Equal(leave, text) {
		t.Fatalf("no line \"here = true\" in\n%s", text)
	}
	_, err = control.NewClient(node.Data, nil).ApplyConfig(t.Context(), "city.toml", leave, 0)
	if doppelboden.CodeOf(err) != doppelboden.Invalid || !strings.Contains(err.Error(), "lies only here") {
		t.Errorf("sending a mailbox to a groupware whose mail lies only here: %v, want a refusal", err)
	}
}
