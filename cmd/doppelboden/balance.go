package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/say"
)

func (p *program) balanceCommand() *cobra.Command {
	var from, to string
	var ref control.EventRef
	c := p.command("balance [--from TIME --to TIME | --event NUMBER]", p.say.T("account for every delivery of a period; exit code 1 unless the difference is 0"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			f, t, err := p.period(from, to)
			if err != nil {
				return err
			}
			var b doppelboden.Balance
			switch {
			case ref.Number == 0:
				b, err = client.Balance(ctx, f, t)
			case from != "" || to != "":
				err = usage(p.say.T("an event has its own time: leave out --from and --to"))
			default:
				b, err = client.EventBalance(ctx, ref)
			}
			if err != nil {
				return err
			}
			if p.json {
				err = p.object(b)
			} else {
				p.print(p.sheet(b))
			}
			if err == nil && b.Difference != 0 {
				err = errNo
			}
			return err
		})
	p.periodFlags(c, &from, &to)
	c.Flags().Int64Var(&ref.Number, "event", 0, p.say.T("the time of this event: its `number`"))
	p.eventTenantFlag(c, &ref.Tenant)
	return c
}

// periodFlags adds --from and --to.
func (p *program) periodFlags(c *cobra.Command, from, to *string) {
	c.Flags().StringVar(from, "from", "", p.say.T("from this `time` (default: from the beginning)"))
	c.Flags().StringVar(to, "to", "", p.say.T("until this `time` (default: until now)"))
}

func (p *program) period(from, to string) (f, t time.Time, err error) {
	if f, err = p.parseTime(from); err == nil {
		t, err = p.parseTime(to)
	}
	return f, t, err
}

// sheet writes the balance sheet.
func (p *program) sheet(b doppelboden.Balance) string {
	var t table
	line := func(sign, name string, n int64) { t.row(sign, name, p.say.Number(n)) }
	line(" ", p.say.T("accepted"), b.Accepted)
	line("-", p.say.T("confirmed"), b.Confirmed)
	line("-", p.say.T("delivered"), b.Delivered)
	line("-", p.say.T("queued"), b.Queued)
	line("-", p.say.T("held"), b.Held)
	line("-", p.say.T("bounced"), b.Bounced)
	line("-", p.say.T("discarded"), b.Discarded)
	line("=", p.say.T("difference"), b.Difference)
	for _, besides := range []struct {
		name string
		n    int64
	}{
		{p.say.T("recipients whose 250 was written"), b.Acknowledged},
		{p.say.T("added by lists"), b.Expanded},
		{p.say.T("merged by aliases"), b.Merged},
		{p.say.T("kept although the 250 did not arrive"), b.Unacknowledged},
		{p.say.T("in doubt"), b.InDoubt},
		{p.say.T("our own notices"), b.Generated},
		{p.say.T("handed over again"), b.Replayed},
		{p.say.T("taken more than once"), b.Duplicates},
	} {
		if besides.n != 0 {
			t.row("", besides.name, p.say.Number(besides.n))
		}
	}
	text := p.say.T("Deliveries from %s to %s", p.since(b.From), p.clock(b.To)) + "\n" + t.String()
	for _, f := range b.Findings {
		where := f.Message.String()
		if f.N >= 0 {
			where += "/" + strconv.Itoa(f.N)
		}
		text += fmt.Sprintf("\n! %s: %s", where, say.Plain(f.What))
	}
	return text
}

// since writes the beginning of a period.
func (p *program) since(t time.Time) string {
	if t.IsZero() {
		return p.say.T("the beginning")
	}
	return p.clock(t)
}
