package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/harvest"
	"doppelboden/say"
)

func (p *program) accountReadiness() *cobra.Command {
	var tenant, department string
	var names bool
	c := p.command("readiness [--department NAME] [--names]", p.say.T("say how many people could log in now if their directory were gone, and how complete their mailboxes are"), p.exactly(0),
		func(ctx context.Context, _ []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			r := p.newReadiness()
			gaps, err := client.Readiness(ctx, tenant, names, func(d control.Ready) error {
				if department != "" && !strings.EqualFold(d.Ready.Department, department) {
					return nil
				}
				if p.json {
					return p.object(d)
				}
				r.add(d)
				return nil
			})
			if err != nil {
				return err
			}
			if p.json {
				for _, g := range gaps {
					if err := p.object(g); err != nil {
						return err
					}
				}
				return nil
			}
			r.show(names)
			for _, g := range gaps {
				p.print(p.gap(g))
			}
			return nil
		})
	p.tenantFlag(c, &tenant)
	c.Flags().StringVar(&department, "department", "", p.say.T("only this `department`"))
	c.Flags().BoolVar(&names, "names", false, p.say.T("name those who could not, and mailboxes that are complete only in part"))
	return c
}

// A readiness gathers how ready departments are.
type readiness struct {
	p                *program
	people, boxes    table
	persons, ready   int
	inAttack         int // of persons, who could if the directory were not believed
	mailboxes, whole int
	functions        int      // mailboxes of functions
	unowned          int      // of these, those that nobody may open
	missing, partly  []string // with --names
	doubtful         []string // with --names: who could not in an attack
	nobody           []string // likewise, mailboxes of functions that nobody may open
}

func (p *program) newReadiness() *readiness {
	r := &readiness{p: p}
	r.people.row(p.say.T("department"), p.say.T("people"), p.say.T("ready"), "%", p.say.T("in an attack"), p.say.T("password"), p.say.T("passkey"), p.say.T("one-time password"), p.say.T("code unused"))
	r.boxes.row(p.say.T("department"), p.say.T("mailboxes"), p.say.T("complete"), p.say.T("only in part, and why"))
	return r
}

// add takes in one department.
func (r *readiness) add(d control.Ready) {
	p := r.p
	r.persons, r.ready = r.persons+d.People, r.ready+d.Ready.Ready
	r.mailboxes, r.whole = r.mailboxes+d.Mailboxes, r.whole+d.Complete
	r.missing, r.doubtful = append(r.missing, d.Missing...), append(r.doubtful, d.Doubtful...)
	r.inAttack += d.InAttack
	r.functions, r.unowned = r.functions+d.Functions, r.unowned+d.Unowned
	r.nobody = append(r.nobody, d.Nobody...)
	if d.People > 0 {
		r.people.row(d.Ready.Department, strconv.Itoa(d.People), strconv.Itoa(d.Ready.Ready), strconv.Itoa(d.Percent), strconv.Itoa(d.InAttack),
			strconv.Itoa(d.Password), strconv.Itoa(d.Passkey), strconv.Itoa(d.TOTP), strconv.Itoa(d.Code))
	}
	var lacks []string
	for _, l := range d.Lacks {
		lacks = append(lacks, strconv.Itoa(l.Mailboxes)+" "+p.lack(l.Part, l.Why))
	}
	r.boxes.row(d.Ready.Department, strconv.Itoa(d.Mailboxes), strconv.Itoa(d.Complete), strings.Join(lacks, "; "))
	for _, one := range d.Partly {
		line := say.Plain(one.Address) + "  " + p.lack(one.Part, one.Why)
		if !one.Until.IsZero() {
			line += ", " + p.say.T("up to %s", p.clock(one.Until))
		}
		r.partly = append(r.partly, line)
	}
}

// show prints what was taken in.
func (r *readiness) show(names bool) {
	p := r.p
	p.print(r.people.String())
	p.print(p.say.T("%s of %s people could log in now.", p.say.Number(int64(r.ready)), p.say.Number(int64(r.persons))))
	p.print(p.say.T("%s of %s people could in an attack too, when the directory is not believed. The others need a code then.", p.say.Number(int64(r.inAttack)), p.say.Number(int64(r.persons))))
	if names {
		r.list(p.say.T("These could not:"), r.missing)
		r.list(p.say.T("These could not in an attack: what they log in with came by the directory's password."), r.doubtful)
	}
	if r.inAttack < r.persons && !names {
		p.print(p.say.T("Who could not: doppelboden account readiness --names. Sheets for them: doppelboden account codes"))
	}
	p.print("")
	p.print(r.boxes.String())
	p.print(p.say.T("%d of %d mailboxes are complete up to a few minutes ago.", r.whole, r.mailboxes))
	if len(r.partly) > 0 {
		p.print(p.say.T("These are complete only in part:"))
	}
	for _, line := range r.partly {
		p.print("  " + line)
	}
	p.print(p.say.T("Part by part: doppelboden mailbox coverage"))
	if r.functions == 0 {
		return
	}
	p.print("")
	p.print(p.say.T("Mailboxes of functions: %d; nobody may open in an emergency: %d.", r.functions, r.unowned))
	for _, address := range r.nobody {
		p.print("  " + say.Plain(address))
	}
	if r.unowned > 0 {
		p.print(p.say.T("Who may: doppelboden mailbox member ADDRESS --add PERSON. A directory knows only a part: full access by groups in Exchange is not in it."))
	}
}

// list prints addresses, if there are any.
func (r *readiness) list(heading string, addresses []string) {
	if len(addresses) == 0 {
		return
	}
	r.p.print(heading)
	for _, a := range addresses {
		r.p.print("  " + say.Plain(a))
	}
}

// lack says what a mailbox lacks, and why.
func (p *program) lack(part, why string) string {
	what := map[string]string{
		harvest.PartInbox:    p.say.T("inbox"),
		harvest.PartSent:     p.say.T("sent"),
		harvest.PartInternal: p.say.T("internal mail"),
	}[part]
	return what + ": " + p.whyNot(why)
}

// gap says in plain words what does not work at a route.
func (p *program) gap(g harvest.Gap) string {
	route := say.Plain(g.Route)
	if g.What == harvest.GapLate {
		return p.say.T("Route %s has neither hairpin nor journal reports: what colleagues write whose groupware mailboxes work comes into an emergency mailbox only when its groupware mailbox can be read again. The other way mail comes at once.", route)
	}
	return p.say.T("Route %s has neither hairpin, nor journal reports, nor sync: what colleagues write whose groupware mailboxes work does not come into an emergency mailbox. It lies in the groupware. The other way mail comes at once.", route)
}
