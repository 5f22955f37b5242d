package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"doppelboden/control"
)

// modes are the ways in which a mailbox can be used.
var modes = []string{"emergency", "normal"}

func (p *program) mailboxMode() *cobra.Command {
	var m control.ModeChange
	var file string
	c := p.command("mode [ADDRESS … | flags] [emergency|normal]", p.say.T("say whether mailboxes are used here or in the groupware; without a mode, show those that are used here"), cobra.ArbitraryArgs,
		func(ctx context.Context, args []string) error {
			if len(args) == 0 && file == "" && m.Department == "" && m.From == "" && !m.All {
				return p.listModes(ctx, m.Tenant)
			}
			if len(args) == 0 || !slices.Contains(modes, args[len(args)-1]) {
				return usage(p.say.T("say how they are used: emergency or normal"))
			}
			m.Mode = args[len(args)-1]
			return p.setMode(ctx, m, args[:len(args)-1], file)
		})
	f := c.Flags()
	f.StringVar(&file, "file", "", p.say.T("the mailboxes of this `list`: one address a line, or a CSV file; - is standard input"))
	f.StringVar(&m.Department, "department", "", p.say.T("the mailboxes of this `department`"))
	f.StringVar(&m.From, "from", "", p.say.T("the mailboxes that go by this `route` now"))
	f.BoolVar(&m.All, "all", false, p.say.T("all mailboxes"))
	p.tenantFlag(c, &m.Tenant)
	return c
}

// listModes shows the mailboxes that are used here.
func (p *program) listModes(ctx context.Context, tenant string) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	var t table
	t.row(p.say.T("address"), p.say.T("since"), p.say.T("because of"), p.say.T("last used"))
	n := 0
	err = client.Modes(ctx, tenant, func(m control.Mode) error {
		n++
		if p.json {
			return p.object(m)
		}
		t.row(m.Address, p.clock(m.At), m.By, p.clockOr(m.Used, "-"))
		return nil
	})
	switch {
	case err != nil || p.json:
		return err
	case n == 0:
		p.print(p.say.T("No mailbox is used here at the moment."))
	default:
		p.print(t.String())
		p.print(p.say.T("%d mailboxes", n))
	}
	return nil
}

// clockOr returns a time as people read it, or other for none.
func (p *program) clockOr(at time.Time, other string) string {
	if at.IsZero() {
		return other
	}
	return p.clock(at)
}

// setMode says how mailboxes are used from now on.
func (p *program) setMode(ctx context.Context, m control.ModeChange, addresses []string, file string) error {
	ways := 0
	for _, given := range []bool{len(addresses) > 0, file != "", m.Department != "", m.From != "", m.All} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return usage(p.say.T("say which, in one way: addresses, --file, --department, --from or --all"))
	}
	client, err := p.client()
	if err != nil {
		return err
	}
	m.Addresses = addresses
	if file != "" {
		text, err := p.readFile(file)
		if err != nil {
			return err
		}
		m.List, m.ListName = string(text), file
	}
	got, err := client.SetMode(ctx, m)
	switch {
	case err != nil:
		return err
	case p.json:
		return p.object(got)
	case m.Mode == modes[0]:
		p.print(p.say.T("%d mailboxes are used here now; as before: %d. Mail for them goes on to the groupware as soon as that takes it.", got.Changed, got.Unchanged))
	default:
		p.print(p.say.T("%d mailboxes are used in the groupware again; as before: %d.", got.Changed, got.Unchanged))
	}
	return nil
}
