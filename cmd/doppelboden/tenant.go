package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/say"
	"doppelboden/store"
)

func (p *program) tenantCommand() *cobra.Command {
	return p.group("tenant", p.say.T("the administrations that share this installation; city.toml adds them"),
		p.tenantList(), p.tenantPause(), p.tenantClose(), p.tenantResume())
}

func (p *program) tenantList() *cobra.Command {
	return p.command("list", p.say.T("show all tenants, whether their mail is taken, and how much waits"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			var t table
			t.row(p.say.T("tenant"), p.say.T("state"), p.say.T("mailboxes"), p.say.T("waiting"), p.say.T("domains"), p.say.T("reason"))
			err = client.Tenants(ctx, func(one control.Tenant) error {
				if p.json {
					return p.object(one)
				}
				t.row(one.Name, p.tenantState(one), p.say.Number(int64(one.Mailboxes)), p.say.Number(one.Waiting), strings.Join(one.Domains, " "), say.Plain(one.Why))
				return nil
			})
			if err == nil && !p.json {
				p.print(t.String())
			}
			return err
		})
}

// tenantState names a tenant's state.
func (p *program) tenantState(t control.Tenant) string {
	switch {
	case t.State == string(store.TenantClosed):
		return p.say.T("closed")
	case t.State == string(store.TenantPaused) && t.Stops:
		return p.say.T("paused, hand-over too")
	case t.State == string(store.TenantPaused):
		return p.say.T("paused")
	}
	return p.say.T("open")
}

func (p *program) tenantPause() *cobra.Command {
	s := control.StandingChange{State: store.TenantPaused}
	c := p.command("pause TENANT [flags]", p.say.T("take no mail for a tenant's domains for the time being: senders try again (450)"), p.exactly(1), p.standingOf(&s))
	c.Flags().BoolVar(&s.Stops, "hand-over", false, p.say.T("hand over nothing of it either; what waits stays where it is"))
	p.whyFlag(c, &s)
	return c
}

func (p *program) tenantClose() *cobra.Command {
	s := control.StandingChange{State: store.TenantClosed}
	c := p.command("close TENANT [flags]", p.say.T("take no mail for a tenant's domains any more: senders get it back (550); what waits is still handed over"), p.exactly(1), p.standingOf(&s))
	p.yesFlag(c, &s.Yes)
	p.whyFlag(c, &s)
	return c
}

func (p *program) tenantResume() *cobra.Command {
	s := control.StandingChange{State: store.TenantOpen}
	return p.command("resume TENANT", p.say.T("take mail again for a tenant that was paused or closed"), p.exactly(1), p.standingOf(&s))
}

func (p *program) whyFlag(c *cobra.Command, s *control.StandingChange) {
	c.Flags().StringVar(&s.Why, "why", "", p.say.T("the `reason`; status shows it"))
}

// standingOf returns what a command does that changes a tenant's state.
func (p *program) standingOf(s *control.StandingChange) func(context.Context, []string) error {
	return func(ctx context.Context, args []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		s.Tenant = args[0]
		got, err := client.ChangeStanding(ctx, *s)
		if err != nil {
			return err
		}
		if p.json {
			err = p.object(got)
		} else {
			p.stood(got)
		}
		if err == nil && got.Confirm > 0 {
			err = errNo
		}
		return err
	}
}

// stood says what became of a tenant.
func (p *program) stood(got control.StandingChanged) {
	t := got.Tenant
	if got.Confirm > 0 {
		p.print(p.say.T("Senders would get all mail for %d mailboxes back. Nothing was changed. To do it: doppelboden tenant close %s --yes %s", got.Confirm, t.Name, strconv.Itoa(got.Confirm)))
		return
	}
	switch t.State {
	case string(store.TenantPaused):
		p.print(p.say.T("Tenant %s is paused: senders try again later.", t.Name))
	case string(store.TenantClosed):
		p.print(p.say.T("Tenant %s is closed: senders get its mail back.", t.Name))
	default:
		p.print(p.say.T("Tenant %s takes mail.", t.Name))
	}
	switch {
	case t.Waiting == 0:
	case t.Stops:
		p.print(p.say.T("Deliveries that stay where they are: %d", t.Waiting))
	case t.State != string(store.TenantOpen):
		p.print(p.say.T("Deliveries that are still to be handed over: %d", t.Waiting))
	}
}
