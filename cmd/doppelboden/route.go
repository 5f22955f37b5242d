package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"doppelboden/control"
)

func (p *program) routeCommand() *cobra.Command {
	return p.group("route", p.say.T("where mailboxes' mail goes; city.toml has the routes"),
		p.routeList(), p.routeMailboxes(), p.routeMove(), p.routeReset())
}

func (p *program) routeList() *cobra.Command {
	var tenant string
	c := p.command("list [--tenant TENANT]", p.say.T("show all routes, where they lead, and how many mailboxes go by them"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			var t table
			t.row(p.say.T("route"), p.say.T("mailboxes"), p.say.T("moved to it"), p.say.T("get it as well"), p.say.T("leads to"))
			err = client.Routes(ctx, tenant, func(r control.Route) error {
				if p.json {
					return p.object(r)
				}
				t.row(r.Name, p.say.Number(int64(r.Mailboxes)), p.say.Number(int64(r.Own)), p.say.Number(int64(r.Also)), r.To)
				return nil
			})
			if err == nil && !p.json {
				p.print(t.String())
			}
			return err
		})
	p.tenantFlag(c, &tenant)
	return c
}

func (p *program) tenantFlag(c *cobra.Command, tenant *string) {
	c.Flags().StringVar(tenant, "tenant", "", p.say.T("only those of this `tenant`"))
}

func (p *program) routeMailboxes() *cobra.Command {
	var tenant string
	c := p.command("mailboxes [--tenant TENANT]", p.say.T("show the mailboxes that somebody moved, or whose mail goes by a second route as well"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			var t table
			n := 0
			err = client.Ways(ctx, tenant, func(w control.Way) error {
				n++
				if p.json {
					return p.object(w)
				}
				route := w.Route
				if !w.Own {
					route += " " + p.say.T("(as configured)")
				}
				also := ""
				if len(w.Also) > 0 {
					also = p.say.T("also %s", strings.Join(w.Also, ", "))
				}
				t.row(w.Tenant, w.Address, route, also, p.clock(w.At), w.By)
				return nil
			})
			if err != nil || p.json {
				return err
			}
			if n > 0 {
				p.print(t.String())
			}
			p.print(p.say.T("%d mailboxes", n))
			return nil
		})
	p.tenantFlag(c, &tenant)
	return c
}

func (p *program) routeMove() *cobra.Command {
	var m control.Move
	var file string
	c := p.command("move ADDRESS … | flags", p.say.T("let the mail of mailboxes go by another route, or by a second one as well; what waits goes along"), cobra.ArbitraryArgs,
		func(ctx context.Context, args []string) error {
			if m.To == "" && len(m.Also) == 0 {
				return usage(p.say.T("say where to: --to ROUTE, --also ROUTE or both"))
			}
			return p.move(ctx, m, args, file)
		})
	f := c.Flags()
	f.StringVar(&m.To, "to", "", p.say.T("the `route` by which the mail goes"))
	f.StringSliceVar(&m.Also, "also", nil, p.say.T("a `route` that gets the mail as well, for a pilot group; without it there is none any more"))
	p.whichFlags(c, &m, &file)
	return c
}

func (p *program) routeReset() *cobra.Command {
	m := control.Move{Reset: true}
	var file string
	c := p.command("reset ADDRESS … | flags", p.say.T("let the mail of mailboxes go as city.toml says, and nowhere else"), cobra.ArbitraryArgs,
		func(ctx context.Context, args []string) error { return p.move(ctx, m, args, file) })
	p.whichFlags(c, &m, &file)
	return c
}

// whichFlags adds the flags that choose mailboxes.
func (p *program) whichFlags(c *cobra.Command, m *control.Move, file *string) {
	f := c.Flags()
	f.StringVar(file, "file", "", p.say.T("the mailboxes of this `list`: one address a line, or a CSV file; - is standard input"))
	f.StringVar(&m.Department, "department", "", p.say.T("the mailboxes of this `department`"))
	f.StringVar(&m.From, "from", "", p.say.T("the mailboxes that go by this `route` now"))
	f.BoolVar(&m.All, "all", false, p.say.T("all mailboxes"))
	p.tenantFlag(c, &m.Tenant)
	p.yesFlag(c, &m.Yes)
}

// move moves mailboxes and says how many.
func (p *program) move(ctx context.Context, m control.Move, args []string, file string) error {
	ways := 0
	for _, given := range []bool{len(args) > 0, file != "", m.Department != "", m.From != "", m.All} {
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
	m.Addresses = args
	if file != "" {
		text, err := p.readFile(file)
		if err != nil {
			return err
		}
		m.List, m.ListName = string(text), file
	}
	got, err := client.MoveMailboxes(ctx, m)
	if err != nil {
		return err
	}
	switch {
	case p.json:
		err = p.object(got)
	case got.Confirm > 0:
		p.print(p.say.T("%d mailboxes would go another way. Nothing was changed. To do it, repeat the command with --yes %s", got.Confirm, strconv.Itoa(got.Confirm)))
	default:
		p.print(p.say.T("%d mailboxes go another way; as before: %d.", got.Mailboxes, got.Unchanged))
	}
	if err == nil && got.Confirm > 0 {
		err = errNo
	}
	return err
}
