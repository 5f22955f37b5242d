package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/event"
	"doppelboden/queue"
	"doppelboden/say"
	"doppelboden/store"
)

func (p *program) statusCommand() *cobra.Command {
	return p.command("status", p.say.T("say how the node is and what waits; exit code 1 while an alarm is open or no mail is taken"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			s, err := client.Status(ctx)
			if err != nil {
				return err
			}
			if p.json {
				err = p.object(s)
			} else {
				p.status(s)
			}
			if err == nil && (len(s.Alarms) > 0 || s.Refusing != "" || !s.Database.Away.IsZero()) {
				err = errNo
			}
			return err
		})
}

// status says in words how a node is: first what a person must know.
func (p *program) status(s control.Status) {
	p.events(s)
	for _, a := range s.Alarms {
		if a.Kind == event.AlarmKind {
			continue // that of an event, which was just told
		}
		if a.Kind == "database" && a.Subject == "" && !s.Database.Away.IsZero() {
			continue // it is told below, with what works meanwhile
		}
		p.print(p.say.T("ALARM since %s: %s", p.clock(a.Since), p.say.Alarm(a)))
	}
	if s.Refusing != "" {
		p.print(p.say.T("NO MAIL IS TAKEN: %s", say.Plain(p.say.Known(s.Refusing))))
	}
	p.database(s.Database)
	if s.Newest != s.Config {
		p.print(p.say.T("ATTENTION: version %s of the configuration was written and is not in use; write: doppelboden config rollback %s", strconv.FormatInt(s.Newest, 10), strconv.FormatInt(s.Newest, 10)))
	}
	for _, t := range s.Tenants {
		p.standing(t)
	}
	for _, a := range s.Postmasters {
		p.print(p.say.T("Nobody reads what is sent to postmaster: add the mailbox %s.", say.Plain(a)))
	}
	p.print(p.say.T("Node %s (%s), %s, running since %s", s.Node, strings.Join(s.Roles, ", "), s.Hostname, p.clock(s.Since)))
	var at []string
	for _, name := range []string{"mx", "proxied", "submission", "submission_tls", "web", "imap", "metrics"} {
		if addr := s.Listeners[name]; addr != "" {
			at = append(at, name+" "+addr)
		}
	}
	p.print(p.say.T("Listens at: %s", strings.Join(at, ", ")))
	if s.ConfigAt.IsZero() { // the database knows more
		p.print(p.say.T("Mailboxes: %d; configuration: version %s", s.Mailboxes, strconv.FormatInt(s.Config, 10)))
	} else {
		p.print(p.say.T("Mailboxes: %d; configuration: version %s by %s of %s", s.Mailboxes, strconv.FormatInt(s.Config, 10), say.Plain(s.ConfigBy), p.clock(s.ConfigAt)))
	}
	if s.UsedHere > 0 {
		p.print(p.say.T("Mailboxes that are used here and not in the groupware: %d. Which ones: doppelboden mailbox mode", s.UsedHere))
	}
	p.tenants(s)
	p.lists(s)
	for _, r := range s.Routes {
		if r.Internet {
			p.print(p.outlet(s, r))
		} else {
			p.print(p.lane(s, r))
			if text := p.flow(s, r); text != "" {
				p.print("  " + text)
			}
		}
	}
	p.wayBackOf(s, "")
	p.scanners(s)
	p.print(p.say.T("Disk: %s of %s free", p.bytes(s.DiskFree), p.bytes(s.DiskTotal)))
	if s.Knot > 0 {
		p.print(p.say.T("Last knot of the ledger: %s, %s", strconv.FormatInt(s.Knot, 10), p.clock(s.KnotAt)))
	}
	if len(s.Alarms) == 0 {
		p.print(p.say.T("No alarm is open."))
	}
}

// standing says when a tenant takes no mail.
func (p *program) standing(t control.TenantStatus) {
	var text string
	switch {
	case t.State == "closed":
		text = p.say.T("Tenant %s is CLOSED since %s by %s: its mail is refused for good.", t.Name, p.clock(t.At), say.Plain(t.By))
	case t.State == "paused" && t.Stops:
		text = p.say.T("Tenant %s is PAUSED since %s by %s: its mail is put off, and what waits is not handed over.", t.Name, p.clock(t.At), say.Plain(t.By))
	case t.State == "paused":
		text = p.say.T("Tenant %s is PAUSED since %s by %s: its mail is put off, and what waits is handed over.", t.Name, p.clock(t.At), say.Plain(t.By))
	default:
		return
	}
	if t.Why != "" {
		text += " " + p.say.T("Reason: %s", say.Plain(t.Why))
	}
	p.print(text)
}

// tenants shows the deliveries of every tenant by state.
func (p *program) tenants(s control.Status) {
	states := []string{"queued", "held", "delivered", "confirmed", "bounced", "discarded"}
	var t table
	head := []string{p.say.T("Deliveries")}
	for _, st := range states {
		head = append(head, p.state(st))
	}
	t.row(append(head, p.say.T("oldest waits for"))...)
	for _, one := range s.Tenants {
		cells := []string{one.Name}
		for _, st := range states {
			cells = append(cells, p.say.Number(one.Counts[st]))
		}
		oldest := "-"
		if !one.Oldest.IsZero() {
			oldest = p.age(s.Now.Sub(one.Oldest))
		}
		t.row(append(cells, oldest)...)
	}
	if len(s.Tenants) > 0 {
		p.print(t.String())
	}
}

// lane says what a route is doing.
func (p *program) lane(s control.Status, r queue.LaneStatus) string {
	if e := outageOf(s, r.Name); r.Up && e != nil {
		return p.say.T("Route %s is out since %s (event %d), and nothing was tried since this node started: %d wait", r.Name, p.clock(e.Since), e.Number, r.Waiting)
	}
	if r.Up {
		return p.say.T("Route %s takes mail since %s: %d wait, %d in flight", r.Name, p.clock(r.Since), r.Waiting, r.InFlight)
	}
	text := p.say.T("Route %s does NOT take mail since %s: %d wait, next attempt in %s", r.Name, p.clock(r.Since), r.Waiting, p.age(r.Probe.Sub(s.Now)))
	if r.Waiting == 0 {
		text = p.say.T("Route %s: nothing waits, and nothing was tried since the last attempt failed; the next mail is tried at once", r.Name)
	}
	if r.Reply != "" {
		text += "\n  " + say.Plain(r.Reply)
	}
	return text
}

// outageOf returns the outage of a whole route that has taken no mail since; nil where there
// is none. Until something is tried after a start, the queue alone would call it well.
func outageOf(s control.Status, route string) *event.Summary {
	for i, e := range s.Events {
		if e.Kind == store.Outage && e.Whole && e.Tenant+"/"+e.Route == route && e.State == event.Open && e.Turned.IsZero() {
			return &s.Events[i]
		}
	}
	return nil
}

// outlet says how mail leaves for the Internet.
func (p *program) outlet(s control.Status, r queue.LaneStatus) string {
	text := p.say.T("%s: %d wait for %d domains, %d in flight", r.Name, r.Waiting, r.Waits, r.InFlight)
	if !r.Up {
		text += "\n  " + p.say.T("the smart host does NOT take mail since %s, next attempt in %s", p.clock(r.Since), p.age(r.Probe.Sub(s.Now)))
		if r.Reply != "" {
			text += "\n  " + say.Plain(r.Reply)
		}
	}
	if r.Away {
		text += "\n  " + p.say.T("Nobody answers: is our own line down, or the DNS?")
	}
	for _, d := range r.Ill {
		if d.Refuses {
			text += "\n  " + p.say.T("%s refuses us for who we are since %s, %d wait: %s", d.Domain, p.clock(d.Since), d.Waiting, say.Plain(d.Reply))
		} else {
			text += "\n  " + p.say.T("%s does not answer since %s, %d wait, next attempt in %s: %s", d.Domain, p.clock(d.Since), d.Waiting, p.age(d.Probe.Sub(s.Now)), say.Plain(d.Reply))
		}
	}
	return text
}
