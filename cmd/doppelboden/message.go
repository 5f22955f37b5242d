package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/say"
)

func (p *program) messageCommand() *cobra.Command {
	return p.group("message", p.say.T("one message"), p.messageShow())
}

func (p *program) messageShow() *cobra.Command {
	var tenant string
	c := p.command("show ID|RECEIPT [--tenant TENANT]", p.say.T("tell the whole story of one message"), p.exactly(1), func(ctx context.Context, args []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		s, err := client.Message(ctx, args[0])
		switch {
		case err != nil:
			return err
		case tenant != "" && s.Tenant != tenant: // as if there were none, also when it is gone and nobody knows whose it was
			return &doppelboden.Error{Code: doppelboden.NotFound, Public: "no message has this id or receipt"}
		case p.json:
			return p.object(s)
		}
		p.story(s)
		return nil
	})
	p.tenantFlag(c, &tenant)
	return c
}

// story tells a message's story.
func (p *program) story(s control.Story) {
	if s.Gone {
		p.print(p.say.T("Message %s was removed by retention; this is what the ledger and the logs still hold.", s.ID.String()))
	} else {
		p.envelope(s)
	}
	p.print("")
	for _, e := range s.Events {
		text := e.At.Local().Format("2006-01-02 15:04:05.000") + "  "
		if e.N >= 0 {
			text += p.say.T("to %s: ", p.recipient(s, e.N))
		}
		p.print(text + p.event(e))
	}
	if s.Damage != "" {
		p.print(p.say.T("Part of the logs cannot be read: %s", say.Plain(s.Damage)))
	}
}

// envelope shows what the database holds.
func (p *program) envelope(s control.Story) {
	var t table
	t.row(p.say.T("message"), s.ID.String())
	t.row(p.say.T("receipt"), s.Receipt.String())
	t.row(p.say.T("received"), p.clock(s.Received))
	if s.Door == "generated" {
		t.row(p.say.T("came in by"), p.say.T("made by this node, as a notice to a sender"))
	} else {
		t.row(p.say.T("came in by"), p.say.T("door %s, from %s, which calls itself %s", s.Door, s.Peer, say.Plain(s.Helo)))
	}
	t.row(p.say.T("tenant"), s.Tenant)
	t.row(p.say.T("from"), p.sender(s.Sender))
	p.verdicts(&t, s.Checks)
	t.row(p.say.T("size"), p.say.T("%d bytes", s.Size))
	t.row(p.say.T("scanned"), p.scan(s.Scan))
	t.row(p.say.T("SHA-256"), s.Sum)
	t.row(p.say.T("lies in"), p.say.T("%s; copies in mailboxes: %d", s.Segment, s.Copies))
	p.print(t.String())
	for _, about := range s.About {
		p.print(p.say.T("a notice about %s", about))
	}
	for _, d := range s.Deliveries {
		text := p.say.T("to %s: %s since %s, attempts %d, route %s", say.Plain(d.Recipient), p.state(d.State), p.clock(d.Changed), d.Attempts, d.Route)
		if d.Mailbox != "" && !strings.EqualFold(d.Mailbox, d.Recipient) {
			text += " " + p.say.T("(mailbox %s)", say.Plain(d.Mailbox))
		}
		if d.Reply != "" {
			text += "\n  " + say.Plain(d.Reply)
		}
		for _, told := range s.Notices {
			if told.N == d.N {
				text += "\n  " + p.say.T("the sender was told, with message %s", told.Notice.String())
			}
		}
		p.print(text)
	}
}

// recipient names a delivery: by its recipient when the message is still there.
func (p *program) recipient(s control.Story, n int) string {
	for _, d := range s.Deliveries {
		if d.N == n {
			return say.Plain(d.Recipient)
		}
	}
	return strconv.Itoa(n)
}

// event says what happened.
func (p *program) event(e control.Event) string {
	switch e.Source {
	case "door":
		return p.atTheDoor(e)
	case "courier":
		return p.atTheNext(e)
	}
	return p.inTheLedger(e)
}

func (p *program) atTheDoor(e control.Event) string {
	switch e.What {
	case "intent":
		return p.say.T("the door is about to keep it; recipients: %d", e.Count)
	case "sent":
		return p.say.T("the door wrote the 250 with the receipt")
	case "unsent":
		return p.say.T("the 250 could not be written; the sender will send it again")
	case "withdrawn":
		return p.say.T("the door answered with an error; the sender keeps it")
	}
	return say.Plain(e.What)
}

func (p *program) atTheNext(e control.Event) string {
	switch {
	case e.What == "attempt":
		return p.say.T("sent by route %s, up to the final dot", say.Plain(e.Route))
	case e.Doubt:
		return p.say.T("no answer to the final dot; the next server may have the mail")
	case e.Reply == "":
		return p.say.T("no answer (%s)", say.Plain(e.Phase))
	case e.Remote != "":
		return p.say.T("the next server answered %s (%s); its number for the mail: %s", say.Plain(e.Reply), say.Plain(e.Phase), say.Plain(e.Remote))
	}
	return p.say.T("the next server answered %s (%s)", say.Plain(e.Reply), say.Plain(e.Phase))
}

func (p *program) inTheLedger(e control.Event) string {
	switch e.What {
	case "accepted":
		return p.say.T("ledger: kept; deliveries: %d", e.Count)
	case "read":
		return p.say.T("ledger: its content was read: %s", say.Plain(e.Note))
	case "expired":
		return p.say.T("ledger: removed by retention")
	}
	text := p.say.T("ledger: %s", p.state(e.What))
	if e.By != "" && e.By != "courier" {
		text += " " + p.say.T("by %s", say.Plain(e.By))
	}
	return text
}
