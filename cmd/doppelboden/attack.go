package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/event"
	"doppelboden/say"
	"doppelboden/store"
)

// openAttack begins attack mode and says what that means.
func (p *program) openAttack(ctx context.Context, a control.Attack) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	got, err := client.OpenAttack(ctx, a)
	if err != nil {
		return err
	}
	if p.json {
		return p.object(got)
	}
	p.print(p.say.T("Attack mode of %s. Mail is taken as before, and the emergency mailboxes work.", got.Event.Tenant))
	p.stillShut(got)
	return nil
}

// attack says what an attack is: nothing that status and event show say of outages holds
// for it.
func (p *program) attack(s event.Summary, number string) string {
	if s.State == event.Closed {
		return p.say.T("The attack %s, from %s to %s, is over.", number, p.clock(s.Since), p.clock(s.Until))
	}
	text := p.say.T("ATTACK MODE %s since %s: mail is taken, and the emergency mailboxes work. It ends by hand only.", number, p.clock(s.Since))
	for _, way := range s.Shut {
		text += "\n  " + p.wayShut(way)
	}
	if len(s.Shut) == 0 {
		return text + "\n  " + p.say.T("All ways are open. End it: doppelboden event close %s --tenant %s", strconv.FormatInt(s.Number, 10), s.Tenant)
	}
	return text + "\n  " + p.say.T("Each way is opened again by hand, when you know that it is clean: doppelboden event release %s %s --tenant %s",
		strconv.FormatInt(s.Number, 10), s.Shut[0], s.Tenant)
}

// stillShut says what is shut, and how it is opened again.
func (p *program) stillShut(a control.Attacked) {
	number := strconv.FormatInt(a.Event.Number, 10)
	for _, way := range a.Shut {
		p.print("  " + p.wayShut(way))
	}
	if len(a.Shut) == 0 {
		p.print(p.say.T("All ways are open. End it: doppelboden event close %s --tenant %s", number, a.Event.Tenant))
		return
	}
	p.print(p.say.T("Each way is opened again by hand, when you know that it is clean: doppelboden event release %s %s --tenant %s", number, a.Shut[0], a.Event.Tenant))
}

// wayShut says what it means that a way is shut.
func (p *program) wayShut(way string) string {
	switch way {
	case "directory":
		return p.say.T("directory: neither read nor asked; log-ins that came from it are void")
	case "senders":
		return p.say.T("senders: groupware, applications and devices send nothing through us")
	case "handover":
		return p.say.T("handover: nothing is handed over to the groupware; it waits")
	}
	return p.say.T("mirror: nothing is read from the groupware's mailboxes")
}

func (p *program) eventRelease() *cobra.Command {
	var r control.Release
	c := p.command("release NUMBER WAY", p.say.T("in attack mode: open a way again (directory, senders, handover, mirror)"), p.exactly(2),
		func(ctx context.Context, args []string) (err error) {
			if r.Number, err = p.eventNumber(args[0]); err != nil {
				return err
			}
			if _, ok := store.ShutNamed(args[1]); !ok {
				return usage(p.say.T("%s is no way that attack mode shuts; write one of: %s", say.Plain(args[1]), strings.Join(store.ShutAll.Parts(), ", ")))
			}
			client, err := p.client()
			if err != nil {
				return err
			}
			r.Way = args[1]
			got, err := client.ReleaseWay(ctx, r)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.object(got)
			}
			p.print(p.say.T("%s is open again.", r.Way))
			p.stillShut(got)
			return nil
		})
	p.eventTenantFlag(c, &r.Tenant)
	return c
}
