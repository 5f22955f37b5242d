package main

import (
	"context"
	"strconv"
	"strings"

	"doppelboden/control"
	"doppelboden/queue"
	"doppelboden/say"
)

// reason says in plain words why something is held.
func (p *program) reason(name string) string {
	switch name {
	case "address refused":
		return p.say.T("the groupware does not know the mailbox")
	case "mail refused":
		return p.say.T("the groupware does not take the mail")
	case "we are refused":
		return p.say.T("the groupware does not take it from us")
	case "person":
		return p.say.T("somebody took it out of the queue")
	case "malware":
		return p.say.T("quarantine because of malware")
	case "nobody":
		return p.say.T("nobody has this address")
	case "not returned":
		return p.say.T("it was to go back to its sender and may not")
	case "check":
		return p.say.T("a check of the sender or the content is against it")
	}
	return p.say.T("the reply says why")
}

// ends says in a few words when something held is tried again; "" for what is not held.
func (p *program) ends(w *control.HeldWhy) string {
	switch {
	case w == nil:
		return ""
	case w.Person:
		return p.say.T("a person decides")
	case w.Trying:
		return p.say.T("is being tried again now")
	case w.Next.IsZero():
		return p.say.T("is tried again by itself")
	case w.Next.Before(p.now()):
		return p.say.T("is tried again as soon as the route is up")
	}
	return p.say.T("is tried again %s", p.clock(w.Next))
}

// whyHeld says of one delivery why it is held and what will end that.
func (p *program) whyHeld(t *table, w *control.HeldWhy) {
	if w == nil {
		return
	}
	t.row(p.say.T("held because"), p.reason(w.Reason))
	t.row(p.say.T("group"), w.Group)
	label := p.say.T("what ends it")
	if w.Person {
		t.row(label, p.say.T("a person decides: doppelboden queue release, bounce or discard"))
		return
	}
	t.row(label, p.say.T("a later try: one mail of the group goes first, and when it is taken the others follow; at once when its route works again, or its mailbox takes other mail"))
	if w.Address {
		listed := p.say.T("not yet")
		if !w.Gone.IsZero() {
			listed = p.clock(w.Gone)
		}
		t.row("", p.say.T("or it goes back to its sender: when other mailboxes of its route take mail (so far %d of %d), and a directory that was read since does not list the address (%s)", w.Others, w.Needed, listed))
	}
	t.row("", p.say.T("or a person decides: doppelboden queue release, bounce or discard"))
}

// shownWords is how much of a reply a row of groups shows, in characters.
const shownWords = 100

// groups shows what is held or was tried without success by groups.
func (p *program) groups(ctx context.Context, client *control.Client, o control.Choice) error {
	if (o != control.Choice{State: o.State, Tenant: o.Tenant, Route: o.Route}) {
		return usage(p.say.T("--grouped goes with --state, --tenant and --route only"))
	}
	var t table
	t.row(p.say.T("group"), p.say.T("state"), p.say.T("deliveries"), p.say.T("mailboxes"), p.say.T("oldest"), p.say.T("route"), p.say.T("what ends it"), p.say.T("words"))
	n := 0
	err := client.Groups(ctx, o, func(g control.Group) error {
		n++
		switch {
		case p.json:
			return p.object(g)
		case g.Group == "":
			t.row("-", "", p.say.Number(g.Deliveries), "", p.clock(g.Oldest), "", "", p.say.T("in %d further groups", g.Groups))
			return nil
		}
		ends := p.say.T("is tried by itself")
		words := g.Words
		if g.Why != nil {
			ends = p.ends(g.Why)
			words = p.reason(g.Why.Reason) + ": " + words
		}
		t.row(g.Group, p.state(g.State), p.say.Number(g.Deliveries), p.say.Number(g.Mailboxes), p.clock(g.Oldest), g.Route, ends, short(words))
		return nil
	})
	if err != nil || p.json {
		return err
	}
	if n == 0 {
		p.print(p.say.T("Nothing is held, and nothing that waits was refused."))
		return nil
	}
	p.print(t.String())
	p.print(p.say.T("To decide about a group at once: doppelboden queue release, bounce or discard --group GROUP --preview. Its deliveries: doppelboden queue list --group GROUP"))
	return nil
}

// short cuts a text for a row.
func short(s string) string {
	r := []rune(s)
	if len(r) <= shownWords {
		return s
	}
	return string(r[:shownWords]) + "…"
}

// decideGroup decides about a group, or shows what that would do.
func (p *program) decideGroup(ctx context.Context, client *control.Client, d control.Decision) error {
	got, err := client.Decide(ctx, d)
	if err != nil {
		return err
	}
	if p.json {
		err = p.object(got)
	} else {
		p.decidedGroup(d, got)
	}
	if err == nil && (got.Preview != nil && !d.Preview || got.Preview == nil && got.Changed == 0) {
		err = errNo
	}
	return err
}

// decidedGroup says what a decision about a group did or would do.
func (p *program) decidedGroup(d control.Decision, got control.Decided) {
	if got.Preview != nil {
		if d.Yes != 0 && !d.Preview {
			p.print(p.say.T("The number is another one now, or it was never told. This is how it is:"))
		}
		p.preview(d, got.Preview)
		return
	}
	p.print(p.say.T("%d deliveries changed.", got.Changed))
	if gone := got.Of - got.Changed - got.Kept; gone > 0 {
		p.print(p.say.T("Of the %d that the preview told, not there any more or left alone: %d.", got.Of, gone))
	}
	if got.Kept > 0 {
		p.print(p.say.T("May not go back and are held: %d. The first: %s", got.Kept, say.Plain(got.Why)))
	}
}

// preview says what a decision about a group would do.
func (p *program) preview(d control.Decision, v *control.Preview) {
	var t table
	t.row(p.say.T("group"), d.Choice.Group)
	t.row(p.say.T("tenant"), v.Tenant)
	t.row(p.say.T("route"), v.Route)
	t.row(p.say.T("words"), v.Words)
	t.row(p.say.T("deliveries"), p.say.Number(int64(v.Confirm)))
	t.row(p.say.T("mailboxes"), p.say.Number(int64(v.Mailboxes)))
	t.row(p.say.T("senders"), p.say.Number(int64(v.Senders)))
	t.row(p.say.T("received"), p.clock(v.Oldest)+" – "+p.clock(v.Newest))
	for i, w := range v.Examples {
		label := ""
		if i == 0 {
			label = p.say.T("the oldest of them")
		}
		t.row(label, w.Message.String()+"/"+strconv.Itoa(w.N)+"  "+p.sender(w.Sender)+" → "+say.Plain(w.Recipient))
	}
	p.print(t.String())
	p.fate(d.Verb, v)
	command := []string{"queue", string(d.Verb), "--group", say.Plain(d.Choice.Group)}
	for _, part := range []struct{ flag, value string }{{"--state", d.Choice.State}, {"--tenant", d.Choice.Tenant}, {"--route", d.Choice.Route},
		{"--to", d.Choice.To}, {"--domain", d.Choice.Domain}, {"--why", d.Why}} {
		if part.value != "" {
			command = append(command, part.flag, "'"+strings.ReplaceAll(say.Plain(part.value), "'", `'\''`)+"'")
		}
	}
	command = append(command, "--yes", strconv.Itoa(v.Confirm))
	p.print(p.say.T("Nothing was changed. To do it: doppelboden %s", strings.Join(command, " ")))
	p.print(p.say.T("What joins the group meanwhile is left out. The number is good for an hour."))
}

// fate says what would happen to the senders and their mail.
func (p *program) fate(verb queue.Verb, v *control.Preview) {
	switch verb {
	case queue.Release, queue.Retry:
		p.print(p.say.T("All of it is tried again at once. What is refused again is held again; no sender is told."))
	case queue.Hold:
		p.print(p.say.T("None of it is tried again by itself; no sender is told."))
	case queue.Discard:
		p.print(p.say.T("All of it ends for ever. Nobody gets it, and no sender is told."))
	case queue.Bounce:
		p.print(p.say.T("Deliveries that go back to their senders, with the reason: %d.", v.Told))
		for _, one := range []struct {
			n    int
			text string
		}{
			{v.Unknown, p.say.T("Stay held, because their sender is not confirmed or they hold malware: %d.", v.Unknown)},
			{v.Lost, p.say.T("Have no sender, and lie with the postmaster: %d.", v.Lost)},
			{v.Unasked, p.say.T("End without a notice, because their sender wanted none: %d.", v.Unasked)},
		} {
			if one.n > 0 {
				p.print(one.text)
			}
		}
	}
	if v.Malware > 0 {
		p.print(p.say.T("In quarantine because of malware, and left there: %d. Who is sure writes: doppelboden queue release --malware", v.Malware))
	}
}
