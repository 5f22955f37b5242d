package app

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/queue"
	"doppelboden/send"
	"doppelboden/sink"
	"doppelboden/test/peer"
)

// cityOnInternet makes a city whose applications on this machine send through it, and which
// finds the Internet with a name server of the test.
func cityOnInternet(t *testing.T, dns *peer.DNSServer, internet string) *city.Node {
	t.Helper()
	node := install(t, "here")
	node.DNS = city.DNS{Servers: []string{dns.Addr()}}
	f, err := os.OpenFile(node.City, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "\n[[tenant.sender]]\nname = \"amt\"\nnetworks = [\"127.0.0.1\"]\n\n[tenant.internet]\n%s\n", internet)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return node
}

// startOnInternet starts a node whose Internet is on a port of this machine.
func startOnInternet(t *testing.T, node *city.Node, exchanger string) *Node {
	t.Helper()
	_, text, err := net.SplitHostPort(exchanger)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := New(t.Context(), Options{Node: node, Version: "test", Log: log, ExchangerPort: port, LoopbackExchangers: true})
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
	if _, err := client(n).AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	return n
}

func client(n *Node) *control.Client { return control.NewClient(n.opts.Node.Data, nil) }

// outbound sends one mail of anna's through the door for own senders.
func outbound(t *testing.T, n *Node, to string) send.Answer {
	t.Helper()
	c, err := send.Dial(t.Context(), n.Listeners()["submission"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Send(send.Mail{From: parse(t, anna.Address), To: parse(t, to), Subject: "x", Text: "hello " + to}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// counted returns how many deliveries are in a state.
func counted(t *testing.T, n *Node, state doppelboden.State) int64 {
	t.Helper()
	counts, err := n.store.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, c := range counts {
		if c.State == state {
			sum += c.Deliveries
		}
	}
	return sum
}

// TestMailLeavesForTheInternet sends through a whole node to a real Postfix whose first
// exchanger is dead, to domains that take no mail, and to nobody.
func TestMailLeavesForTheInternet(t *testing.T) {
	peer.Need(t, peer.PostfixProgram)
	world := peer.For(t, peer.PostfixReceiver{Domain: "example.org"})
	dns := peer.For(t, peer.DNS{Zone: `
example.org.       300 IN MX 10 dead.example.org.
example.org.       300 IN MX 20 mx.example.org.
dead.example.org.  300 IN A 127.0.0.99
mx.example.org.    300 IN A 127.0.0.1
null.example.      300 IN MX 0 .
away.example.      300 IN MX 10 mx.away.example.
mx.away.example.   300 IN A 127.0.0.98
loop.example.      300 IN MX 10 mx.stadt.example.
mx.stadt.example.  300 IN A 127.0.0.1
a.root-servers.net. 300 IN A 198.41.0.4
`})
	n := startOnInternet(t, cityOnInternet(t, dns, "connections_per_domain = 3"), world.Addr())
	for i := range 30 {
		if a := outbound(t, n, fmt.Sprintf("clerk%d@example.org", i)); !a.Kept() {
			t.Fatalf("submission: %d %s", a.Code, a.Text)
		}
	}
	for _, to := range []string{"x@null.example", "x@nowhere.example", "x@loop.example", "x@away.example"} {
		if a := outbound(t, n, to); !a.Kept() {
			t.Fatalf("submission for %s: %d %s", to, a.Code, a.Text)
		}
	}
	waitFor(t, "30 mails are delivered and three returned", func() bool {
		return counted(t, n, doppelboden.Bounced) == 3 && counted(t, n, doppelboden.Queued) == 1
	})
	for i := range 30 {
		box := fmt.Sprintf("clerk%d@example.org", i)
		var mails [][]byte
		waitFor(t, "the mail for "+box+" lies there", func() bool {
			var err error
			if mails, err = world.Mails(box); err != nil {
				t.Fatal(err)
			}
			return len(mails) > 0
		})
		if len(mails) != 1 || !bytes.Contains(mails[0], []byte("hello "+box)) {
			t.Errorf("%s has %d mails", box, len(mails))
		}
	}
	// What waits for a dead server counts as queued before anybody has tried it, too.
	var status control.Status
	waitFor(t, "the dead server was tried", func() bool {
		var err error
		if status, err = client(n).Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(status.Routes, func(r queue.LaneStatus) bool { return len(r.Ill) > 0 })
	})
	for _, r := range status.Routes {
		if r.Internet && (r.Name != "stadt/Internet" || r.Waits != 1 || len(r.Ill) != 1 || r.Ill[0].Domain != "away.example") {
			t.Errorf("status %+v", r)
		}
	}
	var waiting []control.Waiting
	err := client(n).Queue(t.Context(), control.Choice{Domain: "away.example"}, 0, func(w control.Waiting) error {
		waiting = append(waiting, w)
		return nil
	})
	if err != nil || len(waiting) != 1 || waiting[0].Route != "stadt/Internet" {
		t.Errorf("what waits for away.example: %+v, %v", waiting, err)
	}
	// Its server is well again, and somebody says so.
	if err := dns.Set("away.example. 300 IN A 127.0.0.1\n"); err != nil {
		t.Fatal(err)
	}
	if b := balance(t, n); b.Difference != 0 || b.Bounced != 3 || b.Queued != 1 {
		t.Errorf("balance %+v", b)
	}
}

// TestMailWaitsWhileASmartHostRefusesUs holds that a word about us bounces nothing and
// raises an alarm, and that what waited is there after a restart.
func TestMailWaitsWhileASmartHostRefusesUs(t *testing.T) {
	refuses, err := sink.Parse("refuses", []byte("[[rule]]\nphase = \"rcpt\"\nreply = \"554 5.7.1 Client host blocked using zen.spamhaus.org\""))
	if err != nil {
		t.Fatal(err)
	}
	relay, err := sink.Start(sink.Options{Script: refuses})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	dns := peer.For(t, peer.DNS{})
	node := cityOnInternet(t, dns, fmt.Sprintf("relay = [\"smtp://%s\"]\nhelo = \"out.stadt.example\"", relay.Addr()))
	t.Run("first run", func(t *testing.T) {
		n := startOnInternet(t, node, relay.Addr())
		for _, to := range []string{"a@x.example", "b@x.example", "c@y.example"} {
			if a := outbound(t, n, to); !a.Kept() {
				t.Fatalf("submission: %d %s", a.Code, a.Text)
			}
		}
		waitFor(t, "all three were tried", func() bool { return relay.Stats().Refused["rcpt"] == 3 })
		w := newWatcher(n, func() time.Duration { return 0 })
		waitFor(t, "the alarm", func() bool {
			text := w.findings(t.Context())[alarmKey{"refused", "stadt/Internet"}]
			return bytes.Contains([]byte(text.String()), []byte("x.example, y.example"))
		})
		if queued := counted(t, n, doppelboden.Queued); queued != 3 {
			t.Errorf("%d wait, want 3", queued)
		}
	})
	relay.SetScript(nil)
	n := startOnInternet(t, node, relay.Addr())
	if _, err := client(n).Decide(t.Context(), control.Decision{Verb: "retry", Choice: control.Choice{Route: "Internet"}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "all three are delivered", func() bool { return counted(t, n, doppelboden.Delivered) == 3 })
	for _, m := range relay.Messages() {
		if m.Helo != "out.stadt.example" {
			t.Errorf("we called ourselves %q", m.Helo)
		}
	}
}
