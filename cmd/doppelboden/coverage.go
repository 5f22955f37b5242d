package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/harvest"
)

func (p *program) mailboxCoverage() *cobra.Command {
	var tenant string
	c := p.command("coverage [ADDRESS]", p.say.T("show what mailboxes hold here, and up to when that is complete"), cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			address := ""
			if len(args) == 1 {
				address = args[0]
			}
			var t table
			t.row(p.say.T("address"), p.say.T("inbox"), p.say.T("sent"), p.say.T("internal mail"), p.say.T("flags and folders"))
			n, whole := 0, 0
			routes, err := client.Coverage(ctx, address, tenant, func(c control.Covered) error {
				n++
				if p.json {
					return p.object(c)
				}
				if until, now := c.Until(); now || time.Since(until) < harvest.Fresh {
					whole++
				}
				t.row(c.Address, p.part(c.Inbox), p.part(c.Sent), p.part(c.Internal), p.part(c.Folders))
				return nil
			})
			if err != nil || p.json {
				return err
			}
			p.print(t.String())
			p.print(p.say.T("%d of %d mailboxes are complete up to a few minutes ago.", whole, n))
			p.readings(routes)
			return nil
		})
	p.tenantFlag(c, &tenant)
	return c
}

// part says in a few words what is known of a part of a mailbox.
func (p *program) part(c harvest.Part) string {
	why := ""
	if c.Why != harvest.WhyRounds {
		why = p.whyNot(c.Why)
	}
	switch {
	case c.Now():
		return p.say.T("complete")
	case c.Since.IsZero():
		return why
	case why == "":
		return p.say.T("up to %s", p.clock(c.Until))
	}
	return p.say.T("up to %s", p.clock(c.Until)) + ", " + why
}

// whyNot says why a part of a mailbox is not complete up to now.
func (p *program) whyNot(why string) string {
	return map[string]string{
		harvest.WhyNothing: p.say.T("missing: no way is configured"),
		harvest.WhyNew:     p.say.T("no mail has come yet"),
		harvest.WhyPart:    p.say.T("without mail to colleagues"),
		harvest.WhyFilling: p.say.T("is being filled"),
		harvest.WhyStale:   p.say.T("not read lately"),
		harvest.WhyTrouble: p.say.T("cannot be read"),
		harvest.WhySilent:  p.say.T("nothing reported lately"),
		harvest.WhyStopped: p.say.T("reading is stopped"),
		harvest.WhyRounds:  p.say.T("not read lately"), // asked only where that was long ago
	}[why]
}

// readings says how the reading of routes' mailboxes goes.
func (p *program) readings(routes []harvest.RouteStatus) {
	for _, r := range routes {
		line := p.say.T("%s: %d of %d mailboxes in this round", r.Route, r.Done, r.Mailboxes)
		if r.Filling > 0 {
			line += ", " + p.say.T("%d are being filled", r.Filling)
		}
		if !r.Round.IsZero() {
			line += ", " + p.say.T("the last round ended at %s and took %s", p.clock(r.Round), fmt.Sprintf("%.0f s", r.Took))
		}
		if r.Held != "" {
			line += ", " + p.say.T("left alone now: %s", p.heldFor(r.Held))
		}
		if r.Trouble != "" {
			line += ": " + r.Trouble
		}
		p.print(line)
	}
}

// heldFor says why a route's mailboxes are left alone.
func (p *program) heldFor(why string) string {
	switch why {
	case harvest.HeldAttack, "stopped":
		return p.say.T("attack mode")
	case "outage":
		return p.say.T("an outage")
	case "busy":
		return p.say.T("it takes mail that waited")
	}
	return why
}

func (p *program) mailboxSync() *cobra.Command {
	var w control.SyncWish
	c := p.command("sync ADDRESS [--confirm]", p.say.T("read a mailbox of the groupware now, before all others"), p.exactly(1),
		func(ctx context.Context, args []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			w.Address = args[0]
			got, err := client.Sync(ctx, w)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.object(got)
			}
			p.print(p.say.T("%s is read as soon as a connection is free. See how far it is: doppelboden mailbox coverage %s", got.Address, got.Address))
			return nil
		})
	c.Flags().BoolVar(&w.Confirm, "confirm", false, p.say.T("what vanished from it in the groupware may be hidden here, however much it is"))
	return c
}
