package main

import (
	"context"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/handback"
	"doppelboden/say"
)

func (p *program) mailboxDeeds() *cobra.Command {
	return p.command("deeds ADDRESS", p.say.T("show what was done in a mailbox here and is not yet in the groupware; nothing of what the mails say"), p.exactly(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			var t table
			t.row(p.say.T("done at"), p.say.T("what"), p.say.T("size"), p.say.T("message"))
			n := 0
			account, err := client.Deeds(ctx, args[0], func(o handback.Owed) error {
				n++
				if p.json {
					return p.object(o)
				}
				what := p.act(o.Act)
				if o.Waits {
					what += ", " + p.say.T("goes with its mail, which waits")
				}
				t.row(p.clock(o.At), what, p.bytes(o.Size), o.Message)
				return nil
			})
			switch {
			case err != nil:
				return err
			case p.json:
				return p.object(account)
			case n == 0:
				p.print(p.say.T("Everything that was done in this mailbox is in the groupware."))
			default:
				p.print(t.String())
			}
			p.account(account)
			return nil
		})
}

// account says how far what was done in a mailbox is.
func (p *program) account(a handback.Account) {
	if a.Why != "" {
		p.print(p.say.T("In the way: %s", say.Plain(p.say.Known(a.Why))))
	}
	done := a.Done.Sent + a.Done.Put + a.Done.Flagged + a.Done.Moved + a.Done.Binned + a.Done.Brought + a.Done.Listed
	if done+a.Left > 0 {
		p.print(p.say.T("Changes since %s: %d went back, %d could not be done.", p.clock(a.Since), done, a.Left))
	}
	if a.Told {
		p.print(p.say.T("The owner has got a mail about it."))
	}
}

// act is what was done, for people.
func (p *program) act(act string) string {
	switch act {
	case "sent":
		return p.say.T("mail sent")
	case "written":
		return p.say.T("draft written")
	case "copied":
		return p.say.T("put into a folder")
	case "moved":
		return p.say.T("moved to a folder")
	case "deleted":
		return p.say.T("deleted (into the bin)")
	}
	return p.say.T("read, answered or marked")
}

// mostDepartments is how many departments of a route are told one by one: who is on duty looks
// for what is wrong, and a city has fifty.
const mostDepartments = 5

// gathered puts departments of a route together that are in the same state, where there are
// many.
func (p *program) gathered(groups []handback.Group) (list []handback.Group) {
	type state struct {
		route, why string
		well       bool
	}
	of := func(g handback.Group) state { return state{g.Route, g.Why, g.Well > 0} }
	alike, place := map[state]int{}, map[state]int{}
	for _, g := range groups {
		alike[of(g)]++
	}
	for _, g := range groups {
		at, known := place[of(g)]
		if !known || alike[of(g)] <= mostDepartments {
			place[of(g)] = len(list)
			if alike[of(g)] > mostDepartments {
				g.Department = p.say.T("%d departments", alike[of(g)])
			}
			list = append(list, g)
			continue
		}
		all := &list[at]
		all.Mailboxes, all.Deeds, all.Well, all.Staying = all.Mailboxes+g.Mailboxes, all.Deeds+g.Deeds, all.Well+g.Well, all.Staying+g.Staying
		if g.Since.Before(all.Since) {
			all.Since = g.Since
		}
	}
	return list
}

// wayBackOf says what has not gone back of what people did; route "" stands for all.
func (p *program) wayBackOf(s control.Status, route string) {
	h := s.Handback
	if h == nil {
		return
	}
	for _, g := range p.gathered(h.Groups) {
		if route != "" && g.Route != route {
			continue
		}
		who := g.Route
		if g.Department != "" {
			who += ", " + say.Plain(g.Department)
		}
		text := p.say.T("Done here and not yet in the groupware (%s): changes: %s, mailboxes: %s, the oldest of %s", who,
			p.say.Number(g.Deeds), p.say.Number(int64(g.Mailboxes)), p.clock(g.Since))
		switch {
		case g.Well > 0 && h.Left > 0:
			text += "; " + p.say.T("going back, about %s to go", p.age(h.Left))
		case g.Well > 0:
			text += "; " + p.say.T("going back")
		default:
			text += "; " + p.say.T("waits until the groupware works")
		}
		if g.Why != "" {
			text += "\n  " + say.Plain(p.say.Known(g.Why))
		}
		p.print(text)
	}
	if h.Untold > 0 && route == "" {
		p.print(p.say.T("Owners who will still get a mail about what went back: %d", h.Untold))
	}
}
