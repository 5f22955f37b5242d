package main

import (
	"context"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/mailbox"
	"doppelboden/say"
)

func (p *program) replayCommand() *cobra.Command {
	var w control.ReplayWish
	var from, to string
	c := p.command("replay --from TIME --to TIME [flags]", p.say.T("hand over again what the groupware took in a period and has lost; what is there is left alone"), p.exactly(0),
		func(ctx context.Context, _ []string) (err error) {
			if w.From, w.To, err = p.period(from, to); err != nil {
				return err
			}
			client, err := p.client()
			if err != nil {
				return err
			}
			r, err := client.Replay(ctx, w)
			if err != nil {
				return err
			}
			if p.json {
				err = p.object(r)
			} else {
				p.replayed(r)
			}
			if err == nil && !r.Done() {
				err = errNo
			}
			return err
		})
	f := c.Flags()
	f.StringVar(&from, "from", "", p.say.T("what was handed over from this `time` on: when the backup was made, or when the trouble began"))
	f.StringVar(&to, "to", "", p.say.T("and before this `time`: when the groupware was in order again"))
	f.StringVar(&w.Tenant, "tenant", "", p.say.T("only those of this `tenant`"))
	f.StringVar(&w.Route, "route", "", p.say.T("only those on this `route`"))
	f.StringVar(&w.Mailbox, "mailbox", "", p.say.T("only for the mailbox with this `address`"))
	f.BoolVar(&w.Preview, "preview", false, p.say.T("look, and only say what would be handed over again"))
	f.BoolVar(&w.Deleted, "deleted", false, p.say.T("also what is missing because its owner has deleted it, as far as anybody can tell"))
	f.BoolVar(&w.Blind, "blind", false, p.say.T("also where nobody can look into the mailboxes: what is there then comes twice"))
	f.Int64Var(&w.Yes, "yes", 0, p.say.T("with --blind: the `number` of deliveries in the period that the preview told"))
	c.AddCommand(p.replayStatus(), p.replayStop())
	return c
}

// replayed tells what a replay did.
func (p *program) replayed(r mailbox.Report) {
	var t table
	row := func(text string, n int64) {
		if n != 0 {
			t.row(text, p.say.Number(n))
		}
	}
	t.row(p.say.T("handed over in the period"), p.say.Number(r.Deliveries))
	row(p.say.T("are in their mailboxes: left alone"), r.There)
	if r.Preview {
		t.row(p.say.T("would be handed over again"), p.say.Number(r.Replayed))
	} else {
		t.row(p.say.T("are handed over again"), p.say.Number(r.Replayed))
	}
	row(p.say.T("  of these: perhaps deleted by their owners, nobody can tell"), r.Unknown)
	row(p.say.T("were deleted by their owners: left alone (--deleted)"), r.Removed)
	row(p.say.T("lie where nobody can look (no IMAP): left alone (--blind)"), r.NoAccess)
	row(p.say.T("lie in mailboxes that cannot be opened: left alone"), r.Failed)
	row(p.say.T("went to the Internet: left alone"), r.Outside)
	p.print(p.say.T("From %s to %s, %d of %d mailboxes looked into", p.clock(r.From), p.clock(r.To), r.Looked, r.Mailboxes))
	p.print(t.String())
	for _, f := range r.FailedMailboxes {
		p.print("! " + say.Plain(f))
	}
	if !r.Expired.IsZero() {
		p.print(p.say.T("What had ended before %s may have been removed by retention (retention_days): nobody can hand that over again.", p.clock(r.Expired)))
	}
	switch {
	case r.Disagreed:
		p.print(p.say.T("Nothing was done: the period has %d deliveries. Look with --preview, and say --yes %d.", r.Deliveries, r.Deliveries))
	case r.Problem != "":
		p.print(p.say.T("It broke off: %s. It may be repeated; what was handed over again does not go a second time.", say.Plain(r.Problem)))
	case r.Ended.IsZero():
		p.print(p.say.T("It goes on in the node: doppelboden replay status"))
	case r.Preview && r.NoAccess > 0:
		p.print(p.say.T("Where nobody can look: the same again with --blind --yes %d instead of --preview, and what is there comes twice.", r.Deliveries))
	}
}

func (p *program) replayStatus() *cobra.Command {
	return p.command("status", p.say.T("show the replays since the node was started, the newest last"), p.exactly(0), func(ctx context.Context, _ []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		n := 0
		err = client.Replays(ctx, func(r mailbox.Report) error {
			n++
			if p.json {
				return p.object(r)
			}
			state := p.say.T("runs")
			if !r.Ended.IsZero() {
				state = p.say.T("ended %s", p.clock(r.Ended))
			}
			if r.Preview {
				state = p.say.T("preview, %s", state)
			}
			p.print(p.say.T("Begun %s by %s (%s)", p.clock(r.Started), say.Plain(r.By), state))
			p.replayed(r)
			return nil
		})
		if err == nil && n == 0 && !p.json {
			p.print(p.say.T("There was no replay since the node was started."))
		}
		return err
	})
}

func (p *program) replayStop() *cobra.Command {
	return p.command("stop", p.say.T("end the running replay; what it has handed over again stays so"), p.exactly(0), func(ctx context.Context, _ []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		return client.StopReplay(ctx)
	})
}

func (p *program) readbackCommand() *cobra.Command {
	return p.command("readback", p.say.T("show whether the groupware has what it took, as far as its mailboxes were looked into in the last hour; exit code 1 while something is wrong"), p.exactly(0), func(ctx context.Context, _ []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		var t table
		t.row(p.say.T("route"), p.say.T("mailboxes"), p.say.T("looked for"), p.say.T("missing"), p.say.T("in other folders"), p.say.T("gone back"), p.say.T("looked at until"), "")
		wrong := false
		err = client.Reading(ctx, func(r mailbox.RouteStatus) error {
			wrong = wrong || r.Alarm || r.Trouble != ""
			if p.json {
				return p.object(r)
			}
			if !r.Reads {
				t.row(r.Route, "-", "-", "-", "-", "-", "", p.say.T("nobody looks: its 250 is believed"))
				return nil
			}
			remark := ""
			switch {
			case r.Trouble != "":
				remark = p.say.T("cannot be looked into since %s: %s", p.clock(r.Since), say.Plain(r.Trouble))
			case r.Alarm:
				remark = p.say.T("WRONG since %s", p.clock(r.Noticed))
			case r.Busy:
				remark = p.say.T("is left alone: it has mail to take")
			case r.Skipped:
				remark = p.say.T("some was passed over")
			}
			t.row(r.Route, p.say.Number(r.Mailboxes), p.say.Number(r.Looked), p.say.Number(r.Missing), p.say.Number(r.Moved), p.say.Number(r.Back), p.clock(r.Until), remark)
			return nil
		})
		if err == nil && !p.json {
			p.print(t.String())
		}
		if err == nil && wrong {
			err = errNo
		}
		return err
	})
}
