package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/say"
)

func (p *program) mailboxShow() *cobra.Command {
	return p.command("show ADDRESS", p.say.T("say what becomes of mail for an address now; exit code 1 when it is refused"), p.exactly(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			s, err := client.ShowMailbox(ctx, args[0])
			if err != nil {
				return err
			}
			if p.json {
				err = p.object(s)
			} else {
				p.shownMailbox(s)
			}
			if err == nil && s.Answer != "taken" && s.Answer != "kept" {
				err = errNo
			}
			return err
		})
}

// shownMailbox says what becomes of mail for an address.
func (p *program) shownMailbox(s control.Shown) {
	switch s.Answer {
	case "taken":
		p.print(p.say.T("Mail for %s is taken.", say.Plain(s.Address)))
	case "kept":
		p.print(p.say.T("Nobody has the address %s. Its mail is taken and held until somebody says whose it is: doppelboden mailbox assign", say.Plain(s.Address)))
	default:
		p.print(p.say.T("Mail for %s is refused: %s", say.Plain(s.Address), p.say.Known(s.Why)))
	}
	if m := s.Mailbox; m != nil {
		p.mailboxFacts(*m)
	}
	if len(s.To) > 0 {
		p.print(p.say.T("These mailboxes get the mail (%d):", len(s.To)))
		var t table
		for _, m := range s.To {
			t.row("  "+say.Plain(m.Address), say.Plain(m.Name), m.Route)
		}
		p.print(t.String())
	}
	if len(s.Outside) > 0 {
		reached := p.say.T("Members outside, who do NOT get the mail, for this tenant sends nothing to the Internet: %s", say.Plain(strings.Join(s.Outside, " ")))
		if s.Reached {
			reached = p.say.T("Members outside, who get the mail: %s", say.Plain(strings.Join(s.Outside, " ")))
		}
		p.print(reached)
	}
	if len(s.Nobody) > 0 {
		p.print(p.say.T("Members whom nobody knows, who do NOT get the mail: %s", say.Plain(strings.Join(s.Nobody, " "))))
	}
}

// mailboxFacts shows what is known of a mailbox.
func (p *program) mailboxFacts(m control.Mailbox) {
	var t table
	fact := func(name, value string) {
		if value != "" {
			t.row("  "+name, say.Plain(value))
		}
	}
	fact(p.say.T("address"), m.Address)
	fact(p.say.T("name"), m.Name)
	fact(p.say.T("kind"), p.kind(m.Kind))
	fact(p.say.T("department"), m.Department)
	fact(p.say.T("building"), m.Building)
	fact(p.say.T("telephone"), m.Phone)
	rank := strconv.Itoa(m.Priority)
	if m.Rank != 0 {
		rank = p.say.T("%s, from the department", strconv.Itoa(m.Rank))
	}
	fact(p.say.T("priority"), rank)
	fact(p.say.T("other addresses"), strings.Join(m.Aliases, " "))
	fact(p.say.T("members"), strings.Join(m.Members, " "))
	if m.Closed {
		fact(p.say.T("takes mail"), p.say.T("from inside only"))
	}
	fact(p.say.T("route"), m.Route)
	fact(p.say.T("listed by"), p.listedBy(m))
	p.print(t.String())
}

// listedBy says who lists a mailbox.
func (p *program) listedBy(m control.Mailbox) string {
	switch {
	case !m.Gone.IsZero():
		return p.say.T("nobody since %s", p.clock(m.Gone))
	case m.Directory != "":
		return p.say.T("the directory %s", m.Directory)
	}
	return p.say.T("people (command or list)")
}

func (p *program) mailboxRemove() *cobra.Command {
	return p.command("remove ADDRESS", p.say.T("take no mail for a mailbox any more; what waits for it is handed over, and adding it again brings it back"), p.exactly(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			m, err := client.RemoveMailbox(ctx, args[0])
			if err != nil {
				return err
			}
			if p.json {
				return p.object(m)
			}
			p.print(p.say.T("Mail for %s is no longer taken.", say.Plain(m.Address)))
			return nil
		})
}

func (p *program) mailboxRefresh() *cobra.Command {
	var tenant string
	var accept int
	c := p.command("refresh [DIRECTORY] [--tenant TENANT] [--accept-removals N]", p.say.T("read the directories of city.toml now; exit code 1 when one was not taken over"), p.atMost(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			failed := false
			err = client.Refresh(ctx, tenant, strings.Join(args, ""), accept, func(r control.Refreshed) error {
				failed = failed || r.Error != ""
				if p.json {
					return p.object(r)
				}
				p.refreshed(r)
				return nil
			})
			if err == nil && failed {
				err = errNo
			}
			return err
		})
	c.Flags().StringVar(&tenant, "tenant", "", p.say.T("only those of this `tenant`"))
	c.Flags().IntVar(&accept, "accept-removals", 0, p.say.T("let the list take so `many` addresses away; for when you know that they are really gone"))
	return c
}

// refreshed says what a refresh did.
func (p *program) refreshed(r control.Refreshed) {
	name := r.Tenant + "/" + r.Source
	if r.Error != "" {
		p.print(p.say.T("%s was NOT taken over, nothing was changed: %s", name, say.Plain(r.Error)))
		if r.Refused != "" {
			p.print(p.say.T("If these addresses are really gone (%d), write: doppelboden mailbox refresh --accept-removals %s", r.Lost, strconv.Itoa(r.Lost)))
		}
	} else {
		p.print(p.say.T("%s: %d mailboxes and lists of %d entries; new %d, changed %d, gone %d; %s", name, r.Listed, r.Entries, r.New, r.Changed, r.Gone, p.age(r.Took)))
	}
	if r.Foreign+r.Disabled > 0 {
		p.print(p.say.T("  without an address here: %d; disabled accounts: %d", r.Foreign, r.Disabled))
	}
	if r.Wrong > 0 {
		p.print(p.say.T("  entries that cannot be used as they are: %d", r.Wrong))
		for _, n := range r.Notes {
			p.print("    " + say.Plain(n))
		}
	}
}

func (p *program) mailboxAssign() *cobra.Command {
	return p.command("assign ID[/N] ADDRESS", p.say.T("give a mail that is held for nobody to a mailbox (queue list --state held shows them)"), p.exactly(2),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			w, err := client.Assign(ctx, control.Assignment{ID: args[0], To: args[1]})
			if err != nil {
				return err
			}
			if p.json {
				return p.object(w)
			}
			p.print(p.say.T("Delivery %s belongs to %s now: %s.", w.Message.String()+"/"+strconv.Itoa(w.N), say.Plain(w.Recipient), p.state(w.State)))
			return nil
		})
}

// lists says how old the directories' lists are.
func (p *program) lists(s control.Status) {
	for _, l := range s.Lists {
		name := l.Tenant + "/" + l.Directory
		switch {
		case l.Read.IsZero():
			p.print(p.say.T("Directory %s was NEVER read; unknown recipients are put off", name))
		case l.Stale:
			p.print(p.say.T("Directory %s: the list is %s OLD; unknown recipients are put off", name, p.age(s.Now.Sub(l.Read))))
		default:
			p.print(p.say.T("Directory %s: read %s ago", name, p.age(s.Now.Sub(l.Read))))
		}
	}
}
