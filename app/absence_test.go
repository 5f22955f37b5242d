package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"doppelboden/absence"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/folder"
	"doppelboden/intake"
	"doppelboden/send"
	"doppelboden/sink"
	"doppelboden/store"
	"doppelboden/test/peer"
	"doppelboden/web/webmail"
)

// answers returns the out-of-office answers that a sink got, by who got them.
func answers(s *sink.Sink) map[string]int {
	all := map[string]int{}
	for _, m := range s.Messages() {
		if strings.Contains(string(m.Data), "\nAuto-Submitted: auto-replied") {
			all[m.Recipients[0].Address]++
		}
	}
	return all
}

// writes has a stranger write to the MX.
func writes(t *testing.T, n *Node, from, to string) {
	t.Helper()
	c, err := send.Dial(t.Context(), n.Listeners()["mx"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Send(send.Mail{From: parse(t, from), To: parse(t, to), Subject: "Bauantrag", Text: "Guten Tag"}, time.Now())
	if err != nil || !a.Kept() {
		t.Fatalf("mail of %s: %v, %+v", from, err, a)
	}
}

// TestWhoIsAwayIsAnsweredForFromHereAndNeverWhereTheGroupwareDoes has a citizen, somebody who
// pretends to be one, and a colleague write to anna, who is away.
func TestWhoIsAwayIsAnsweredForFromHereAndNeverWhereTheGroupwareDoes(t *testing.T) {
	dns := peer.For(t, peer.DNS{Zone: "strange.example. TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\nforged.example. TXT \"v=spf1 -all\"\n"})
	groupware, world := playing(t, ""), playing(t, "")
	node := install(t, "lmtp://"+groupware.Addr())
	node.DNS = city.DNS{Servers: []string{dns.Addr()}}
	addToCity(t, node, fmt.Sprintf("\n[tenant.internet]\nrelay = [\"smtp://%s\"]\n", world.Addr()))
	n := start(t, node)
	client := control.NewClient(node.Data, nil)
	for _, name := range []string{"anna", "bert", "postmaster"} {
		if _, err := client.AddMailbox(t.Context(), control.Mailbox{Address: name + "@stadt.example", Kind: "person", Priority: 5}); err != nil {
			t.Fatal(err)
		}
	}
	box := boxOf(t, n, anna.Address)
	tenant, _ := n.house.Directory().TenantNamed("stadt")
	value, err := absence.Setting{On: true, Text: "Ich bin weg. Bert hilft Ihnen.", Since: time.Now()}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := (slips{n}).PutSlip(t.Context(), tenant, box, webmail.Slip{Kind: absence.Kind, Value: value, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	mode := func(to string) {
		t.Helper()
		if _, err := client.SetMode(t.Context(), control.ModeChange{Move: control.Move{Addresses: []string{anna.Address}}, Mode: to}); err != nil {
			t.Fatal(err)
		}
	}
	// Mails are answered in their order: who wrote before somebody who has an answer was seen.
	answered := func(who string) {
		t.Helper()
		waitFor(t, who+" has an answer", func() bool { return answers(world)[who] > 0 })
	}

	writes(t, n, "early@strange.example", anna.Address)
	waitFor(t, "the groupware has it", func() bool { return len(groupware.Messages()) == 1 })
	mode("emergency")
	writes(t, n, "x@forged.example", anna.Address)
	writes(t, n, "citizen@strange.example", anna.Address)
	writes(t, n, "citizen@strange.example", anna.Address)
	bert := n.folders.Open(tenant, boxOf(t, n, "bert@stadt.example"), "person:bert")
	text := "From: bert@stadt.example\r\nTo: anna@stadt.example\r\nSubject: Frage\r\nMessage-ID: <frage@stadt.example>\r\n\r\nWo ist die Akte?\r\n"
	_, err = bert.Send(t.Context(), folder.Outgoing{From: parse(t, "bert@stadt.example"), To: []intake.Recipient{{Address: parse(t, anna.Address)}},
		Size: int64(len(text)), Body: strings.NewReader(text), Door: "webmail"})
	if err != nil {
		t.Fatal(err)
	}
	answered("citizen@strange.example")
	waitFor(t, "the colleague has an answer", func() bool { return answers(groupware)["bert@stadt.example"] == 1 })
	one := world.Messages()[0]
	for _, want := range []string{"\nFrom: <anna@stadt.example>\r\n", "\nTo: <citizen@strange.example>\r\n", "\nSubject: Abwesenheit: Bauantrag\r\n", "\nIn-Reply-To: <", "Bert hilft Ihnen."} {
		if one.Sender != "" || !strings.Contains(string(one.Data), want) {
			t.Errorf("wanted %q in the answer from <>, got from <%s>:\n%s", want, one.Sender, one.Data)
		}
	}

	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = start(t, node)
	client = control.NewClient(node.Data, nil)
	writes(t, n, "citizen@strange.example", anna.Address)
	writes(t, n, "second@strange.example", anna.Address)
	answered("second@strange.example")
	mode("normal")
	writes(t, n, "third@strange.example", anna.Address)
	caught(t, n)
	mode("emergency")
	writes(t, n, "fourth@strange.example", anna.Address)
	answered("fourth@strange.example")
	waitFor(t, "nothing waits", func() bool { return balance(t, n).Queued == 0 })
	got := answers(world)
	if fmt.Sprint(got) != fmt.Sprint(map[string]int{"citizen@strange.example": 1, "second@strange.example": 1, "fourth@strange.example": 1}) {
		t.Errorf("answers went to %v, want one each to citizen, second and fourth", got)
	}
	if b := balance(t, n); b.Difference != 0 || b.Generated != 4 {
		t.Errorf("the balance: difference %d, generated %d; want 0 and 4", b.Difference, b.Generated)
	}
	kinds := map[string]int{}
	err = n.store.Slips(t.Context(), store.SlipFilter{Mailbox: box}, func(s store.Slip) error {
		kinds[s.Kind]++
		if s.Kind == absence.Kind && strings.Contains(string(s.Value), "Bert") {
			t.Error("what she wrote lies readable in the database")
		}
		return nil
	})
	if err != nil || kinds[absence.Kind] != 1 || kinds[absence.KindAnswered] != 4 {
		t.Errorf("slips: %v, %v; want the absence, and four that had an answer", kinds, err)
	}
}

func TestANodeThatOnlyTakesMailKnowsWhichEventsLast(t *testing.T) {
	n, client := startReaders(t, "anna")
	tenant, _ := n.house.Directory().TenantNamed("stadt")
	a, err := client.OpenAttack(t.Context(), control.Attack{Why: "an exercise"})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the event lasts", func() bool {
		return n.lasting.read(t.Context(), n.store) == nil && n.lasting.has(tenant, a.Event.Number)
	})
	minor := store.Event{Tenant: tenant, Number: a.Event.Number + 1, Kind: store.Outage, Minor: true, Route: "groupware", Since: n.clock(), Until: n.clock(), ClosedBy: "test"}
	steps := []store.EventStep{{N: 1, What: "opened", At: minor.Since}}
	if err := n.store.PutEvent(t.Context(), n.lease, store.EventChange{Event: minor, Steps: steps}); err != nil {
		t.Fatal(err)
	}
	if err := n.lasting.read(t.Context(), n.store); err != nil || !n.lasting.single(tenant, minor.Number) || n.lasting.single(tenant, a.Event.Number) {
		t.Errorf("%v: of single mailboxes is the one that was: %v, the attack: %v; want true and false", err,
			n.lasting.single(tenant, minor.Number), n.lasting.single(tenant, a.Event.Number))
	}
	if n.lasting.has(tenant, a.Event.Number+1) || n.lasting.has(tenant+1, a.Event.Number) {
		t.Error("an event that there is not lasts")
	}
}
