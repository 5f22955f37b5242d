package app

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/queue"
	"doppelboden/sink"
	"doppelboden/store"
	"doppelboden/test/peer"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"
)

// telling is a city whose groupware and whose smart host are sinks, and whose own senders
// sit on this machine.
type telling struct {
	*Node
	client    *control.Client
	groupware *sink.Sink
	world     *sink.Sink
}

// startTelling starts the city. The world answers as its script says.
func startTelling(t *testing.T, script string) telling {
	t.Helper()
	groupware := playing(t, "")
	c := startTellingTo(t, "lmtp://"+groupware.Addr(), script)
	c.groupware = groupware
	return c
}

// startTellingTo starts the city with some groupware.
func startTellingTo(t *testing.T, groupware, script string) telling {
	t.Helper()
	world := playing(t, script)
	node := install(t, groupware)
	text, err := os.ReadFile(node.City)
	if err != nil {
		t.Fatal(err)
	}
	more := fmt.Sprintf("\n[tenant.internet]\nrelay = [\"smtp://%s\"]\n\n[[tenant.sender]]\nname = \"house\"\nnetworks = [\"127.0.0.0/8\"]\n", world.Addr())
	if err := os.WriteFile(node.City, append(text, more...), 0o600); err != nil {
		t.Fatal(err)
	}
	n := start(t, node)
	c := telling{Node: n, client: control.NewClient(node.Data, nil), world: world}
	for _, a := range []string{"anna@stadt.example", "postmaster@stadt.example"} {
		if _, err := c.client.AddMailbox(t.Context(), control.Mailbox{Address: a, Kind: "person", Priority: 5}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func playing(t *testing.T, script string) *sink.Sink {
	t.Helper()
	s, err := sink.Parse("test", []byte(script))
	if err != nil {
		t.Fatal(err)
	}
	got, err := sink.Start(sink.Options{Script: s, Keep: sink.Everything})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { got.Close() })
	return got
}

// say sends a mail at a door of the node; see sayTo.
func (c telling) say(t *testing.T, door, mail string, rcpts ...string) string {
	t.Helper()
	return sayTo(t, c.Listeners()[door], mail, rcpts...)
}

// sayTo sends a mail to a server: MAIL and RCPTs as they are, and returns the last answer.
func sayTo(t *testing.T, addr, mail string, rcpts ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	ask := func(line string) string {
		if line != "" {
			fmt.Fprintf(conn, "%s\r\n", line)
		}
		for {
			got, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("after %q: %v", line, err)
			}
			if len(got) < 4 || got[3] != '-' {
				return strings.TrimSpace(got)
			}
		}
	}
	lines := append([]string{"", "EHLO device.stadt.example", "MAIL FROM:" + mail}, rcpts...)
	for i, line := range lines {
		if i > 2 {
			line = "RCPT TO:" + line
		}
		if got := ask(line); got[0] != '2' {
			return got
		}
	}
	ask("DATA")
	return ask("From: anna@stadt.example\r\nSubject: Bescheid\r\nMessage-ID: <1@stadt.example>\r\n\r\nthe content\r\n.")
}

// dsns returns the DSNs that a sink got.
func dsns(s *sink.Sink) (all []sink.Message) {
	for _, m := range s.Messages() {
		if strings.Contains(string(m.Data), "report-type=delivery-status") {
			all = append(all, m)
		}
	}
	return all
}

// settled waits until nothing waits any more, and checks the balance.
func (c telling) settled(t *testing.T) doppelboden.Balance {
	t.Helper()
	waitFor(t, "nothing waits", func() bool { return balance(t, c.Node).Queued == 0 })
	b := balance(t, c.Node)
	if b.Difference != 0 {
		t.Errorf("difference %d: %+v", b.Difference, b.Findings)
	}
	return b
}

func TestMailThatTheWorldRefusesComesBackToItsSenderOnce(t *testing.T) {
	c := startTelling(t, "[[rule]]\nphase = \"rcpt\"\nrecipient = \"no*\"\nreply = \"550 5.1.1 no such user\"\n")
	if got := c.say(t, "submission", "<anna@stadt.example> RET=FULL ENVID=QQ1", "<no1@far.example> NOTIFY=FAILURE ORCPT=rfc822;no1@far.example", "<no2@far.example>",
		"<yes@far.example>", "<no3@far.example> NOTIFY=NEVER"); got[0] != '2' {
		t.Fatalf("the submission says %s", got)
	}
	waitFor(t, "the notice is at the groupware", func() bool { return len(dsns(c.groupware)) == 1 })
	b := c.settled(t)
	if b.Bounced != 3 || b.Delivered != 2 || b.Generated != 1 || b.Accepted != 5 {
		t.Errorf("balance %+v; want 3 bounced, 2 delivered (one of them the notice), 1 generated", b)
	}
	n := dsns(c.groupware)[0]
	text := string(n.Data)
	if n.Sender != "" || n.Recipients[0].Address != "anna@stadt.example" || strings.Count(text, "Action: failed") != 2 || strings.Contains(text, "no3@") ||
		!strings.Contains(text, "Original-Envelope-Id: QQ1\r\n") || !strings.Contains(text, "Content-Type: message/rfc822\r\n") || !strings.Contains(text, "the content") {
		t.Errorf("the notice from <%s> to %v:\n%s", n.Sender, n.Recipients, text)
	}
	var about, notice string
	bounced := 0
	err := c.store.Deliveries(t.Context(), store.Filter{}, func(it store.Item) error {
		if it.Message.Class == doppelboden.ClassNotice {
			notice = it.Message.ID.String()
		} else if about = it.Message.ID.String(); it.Delivery.State == doppelboden.Bounced {
			bounced++
		}
		return nil
	})
	if err != nil || bounced != 3 {
		t.Fatalf("%d bounced, %v", bounced, err)
	}
	story, err := c.client.Message(t.Context(), about)
	if err != nil || len(story.Notices) != 2 || story.Notices[0].Notice.String() != notice || !story.Confirmed {
		t.Errorf("the story of the mail: %+v, %v; want two deliveries told with %s", story.Notices, err, notice)
	}
	story, err = c.client.Message(t.Context(), notice)
	if err != nil || strings.Join(story.About, " ") != about+"/0 "+about+"/1" {
		t.Errorf("the story of the notice: about %v, %v; want deliveries 0 and 1 of %s", story.About, err, about)
	}
}

func TestWhatIsRefusedWithoutASenderLiesWithThePostmaster(t *testing.T) {
	c := startTelling(t, "[[rule]]\nphase = \"rcpt\"\nreply = \"550 5.7.1 not you\"\n")
	if got := c.say(t, "submission", "<>", "<no@far.example>"); got[0] != '2' {
		t.Fatalf("the submission says %s", got)
	}
	waitFor(t, "it is discarded", func() bool { return balance(t, c.Node).Discarded == 1 })
	if b := c.settled(t); b.Generated != 0 || b.Accepted != 1 {
		t.Errorf("balance %+v, want one discarded and nothing generated", b)
	}
	d := c.house.Directory()
	to, err := d.Lookup(doppelboden.Address{Local: "postmaster", Domain: "stadt.example"})
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	err = c.store.Copies(t.Context(), to.Tenant, to.Mailbox, func(one doppelboden.Copy) error {
		folders = append(folders, one.Folder)
		return nil
	})
	if err != nil || strings.Join(folders, " ") != "Double-Bounces" {
		t.Errorf("the postmaster has copies in %v, %v; want one in Double-Bounces", folders, err)
	}
}

func TestAStrangersMailGoesBackOnlyWhenTheStrangerIsConfirmed(t *testing.T) {
	c := startTelling(t, "")
	gw, err := sink.Parse("test", []byte("[[rule]]\nphase = \"rcpt\"\nreply = \"550 5.1.1 not here any more\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	c.groupware.SetScript(gw)
	if got := c.say(t, "mx", "<eva@strange.example>", "<anna@stadt.example>"); got[0] != '2' {
		t.Fatalf("the MX says %s", got)
	}
	waitFor(t, "it is held", func() bool { return balance(t, c.Node).Held == 1 })
	bounce := control.Decision{Verb: queue.Bounce, Choice: control.Choice{State: "held"}, Why: "Anna has left"}
	got, err := c.client.Decide(t.Context(), bounce)
	if err != nil || got.Changed != 0 || got.Kept != 1 || !strings.Contains(got.Why, "not confirmed") {
		t.Errorf("bounce of a mail whose sender nobody knows: %+v, %v; want it kept, with the reason", got, err)
	}
	if b := balance(t, c.Node); b.Held != 1 || b.Bounced != 0 || b.Generated != 0 || b.Difference != 0 {
		t.Errorf("balance %+v, want the mail held still", b)
	}
	if c.world.Stats().Messages != 0 {
		t.Errorf("something went to a stranger who may never have written")
	}
}

func TestASuccessIsToldByWhoeverEndsTheWay(t *testing.T) {
	c := startTelling(t, "extensions = [\"none\"]\n")
	if got := c.say(t, "submission", "<anna@stadt.example>", "<yes@far.example> NOTIFY=SUCCESS"); got[0] != '2' {
		t.Fatalf("the submission says %s", got)
	}
	waitFor(t, "the notice is at the groupware", func() bool { return len(dsns(c.groupware)) == 1 })
	if text := string(dsns(c.groupware)[0].Data); !strings.Contains(text, "Action: relayed\r\n") || strings.Contains(text, "the content") {
		t.Errorf("the notice:\n%s", text)
	}
	if b := c.settled(t); b.Delivered != 2 || b.Generated != 1 {
		t.Errorf("balance %+v, want 2 delivered, one of them generated", b)
	}
}

// A real Postfix sends through the city, with all that RFC 3461 lets a sender ask for, and
// another one is the groupware that gets what comes back.
func TestARealPostfixSendsAndAnotherReadsTheNotice(t *testing.T) {
	peer.Need(t, peer.PostfixProgram, peer.SwaksProgram)
	groupware := peer.For(t, peer.PostfixReceiver{Domain: "stadt.example"})
	c := startTellingTo(t, "smtp://"+groupware.Addr(), "extensions = [\"none\"]\n[[rule]]\nphase = \"rcpt\"\nrecipient = \"no*\"\nreply = \"550 5.1.1 no such user\"\n")
	sender := peer.For(t, peer.PostfixRelay{Domain: "far.example", NextHop: c.Listeners()["submission"]})
	if got := sayTo(t, sender.Addr(), "<anna@stadt.example> RET=HDRS ENVID=abc+2Bdef", "<no@far.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;nobody@old.example",
		"<never@far.example> NOTIFY=NEVER", "<yes@far.example> NOTIFY=SUCCESS"); got[0] != '2' {
		t.Fatalf("Postfix says %s", got)
	}
	swaks := peer.Swaks{Addr: c.Listeners()["submission"], From: "anna@stadt.example", To: []string{"no2@far.example"},
		Data: []byte("From: anna@stadt.example\nSubject: second\n\nx\n")}
	if out, err := swaks.Run(t.Context()); err != nil {
		t.Fatalf("swaks: %v\n%s", err, out)
	}
	mails, err := peer.WaitMails(groupware, "anna@stadt.example", 2, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	b := c.settled(t)
	if b.Generated != 2 || b.Bounced != 2 || b.Delivered != 4 {
		t.Errorf("balance %+v; want 2 bounced, 4 delivered (2 of them notices)", b)
	}
	found := map[string]textproto.Header{}
	for _, mail := range mails {
		kinds, all := readReport(t, mail)
		for _, h := range all[1:] {
			h.Add("Original-Envelope-Id", all[0].Get("Original-Envelope-Id"))
			found[h.Get("Final-Recipient")] = h
		}
		if kinds != "text/plain message/delivery-status text/rfc822-headers" {
			t.Errorf("a notice with the parts %s", kinds)
		}
	}
	failed, relayed, second := found["rfc822; no@far.example"], found["rfc822; yes@far.example"], found["rfc822; no2@far.example"]
	if failed.Get("Action") != "failed" || failed.Get("Original-Recipient") != "rfc822; nobody@old.example" || failed.Get("Status") != "5.1.1" ||
		failed.Get("Diagnostic-Code") != "smtp; 550 5.1.1 no such user" || failed.Get("Original-Envelope-Id") != "abc+def" {
		t.Errorf("what the notice says of no@: %v", failed.Map())
	}
	if relayed.Get("Action") != "relayed" || relayed.Get("Original-Envelope-Id") != "abc+def" {
		t.Errorf("what the notice says of yes@: %v", relayed.Map())
	}
	if second.Get("Action") != "failed" || second.Get("Original-Envelope-Id") != "" || len(found) != 3 {
		t.Errorf("what the notice says of no2@: %v; recipients told of: %d, want 3", second.Map(), len(found))
	}
}

// readReport reads a DSN: the types of its parts, and the groups of fields for machines.
func readReport(t *testing.T, mail []byte) (kinds string, groups []textproto.Header) {
	t.Helper()
	e, err := message.Read(bytes.NewReader(mail))
	if err != nil || !strings.Contains(e.Header.Get("Return-Path"), "<>") {
		t.Fatalf("a mail that is no notice: %v, Return-Path %q", err, e.Header.Get("Return-Path"))
	}
	var all []string
	for parts := e.MultipartReader(); ; {
		p, err := parts.NextPart()
		if err == io.EOF {
			return strings.Join(all, " "), groups
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := p.Header.ContentType()
		all = append(all, kind)
		if kind != "message/delivery-status" {
			continue
		}
		text, err := io.ReadAll(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range strings.Split(strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n")), "\n\n") {
			h, err := textproto.ReadHeader(bufio.NewReader(strings.NewReader(group + "\n\n")))
			if err != nil {
				t.Fatal(err)
			}
			groups = append(groups, h)
		}
	}
}
