package main

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"doppelboden/control"
	"doppelboden/event"
	"doppelboden/say"
	"doppelboden/store"
)

func (p *program) eventCommand() *cobra.Command {
	return p.group("event", p.say.T("outages, mailbox by mailbox, and planned maintenance"),
		p.eventList(), p.eventShow(), p.eventOpen(), p.eventRelease(), p.eventNote(), p.eventClose())
}

// eventTenantFlag adds --tenant to a command about one event.
func (p *program) eventTenantFlag(c *cobra.Command, tenant *string) {
	c.Flags().StringVar(tenant, "tenant", "", p.say.T("whose event it is: the `tenant`; needed where there are several"))
}

// eventNumber reads the number of an event.
func (p *program) eventNumber(arg string) (int64, error) {
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || n < 1 {
		return 0, usage(p.say.T("%s is no event: write its number, such as 3", say.Plain(arg)))
	}
	return n, nil
}

func (p *program) eventList() *cobra.Command {
	var tenant string
	c := p.command("list [flags]", p.say.T("show all outages and maintenances"), p.exactly(0), func(ctx context.Context, _ []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		var t table
		n := 0
		t.row(p.say.T("tenant"), p.say.T("number"), p.say.T("state"), p.say.T("kind"), p.say.T("since"), p.say.T("until"), p.say.T("mailboxes"), p.say.T("at most"), p.say.T("route"))
		err = client.Events(ctx, tenant, func(s event.Summary) error {
			if p.json {
				return p.object(s)
			}
			n++
			t.row(s.Tenant, strconv.FormatInt(s.Number, 10), p.eventState(s), p.eventKind(s), p.clock(s.Since), p.clock(s.Until),
				p.say.Number(s.Concerned), p.say.Number(s.Most), s.Route)
			return nil
		})
		switch {
		case err != nil || p.json:
		case n == 0:
			p.print(p.say.T("There was no outage yet, and no maintenance is planned."))
		default:
			p.print(t.String())
		}
		return err
	})
	p.tenantFlag(c, &tenant)
	return c
}

// eventState names an event's state.
func (p *program) eventState(s event.Summary) string {
	switch s.State {
	case event.Closed:
		return p.say.T("over")
	case event.Planned:
		return p.say.T("to come")
	case event.Overrun:
		return p.say.T("LATE")
	case event.Running:
		return p.say.T("running")
	}
	return p.say.T("OPEN")
}

// eventKind names an event's kind.
func (p *program) eventKind(s event.Summary) string {
	switch {
	case s.Kind == store.Maintenance:
		return p.say.T("maintenance")
	case s.Kind == store.Attack:
		return p.say.T("attack")
	case s.Minor:
		return p.say.T("single mailboxes")
	}
	return p.say.T("outage")
}

func (p *program) eventShow() *cobra.Command {
	var ref control.EventRef
	var boxes bool
	c := p.command("show NUMBER [flags]", p.say.T("tell the story of an event: for whom, since when, what was said, what waits"), p.exactly(1),
		func(ctx context.Context, args []string) (err error) {
			if ref.Number, err = p.eventNumber(args[0]); err != nil {
				return err
			}
			client, err := p.client()
			if err != nil {
				return err
			}
			s, err := client.Event(ctx, ref)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.object(s)
			}
			p.eventStory(s, boxes)
			if status, err := client.Status(ctx); err == nil && s.Route != "" {
				p.wayBackOf(status, s.Tenant+"/"+s.Route)
			}
			return nil
		})
	p.eventTenantFlag(c, &ref.Tenant)
	c.Flags().BoolVar(&boxes, "mailboxes", false, p.say.T("all mailboxes, not only the first"))
	return c
}

// shownBoxes is how many mailboxes a person sees who does not ask for all.
const shownBoxes = 10

// eventStory shows an event.
func (p *program) eventStory(s event.Story, all bool) {
	p.print(p.eventFacts(s.Summary))
	if len(s.Replies) > 0 {
		p.print("\n" + p.say.T("What the groupware said:"))
		var t table
		for _, r := range s.Replies {
			t.row("  "+p.say.T("%s times", p.say.Number(r.Count)), p.clock(r.First), p.clock(r.Last), r.Text)
		}
		p.print(t.String())
	}
	p.print("\n" + p.say.T("What happened:"))
	var t table
	for _, st := range s.Steps {
		t.row("  "+p.clock(st.At), p.eventStep(st), st.By, st.Note)
	}
	p.print(t.String())
	if len(s.Mailboxes) == 0 {
		return
	}
	p.print("\n" + p.say.T("Mailboxes:"))
	var b table
	b.row("  "+p.say.T("address"), p.say.T("state"), p.say.T("waiting"), p.say.T("held"), p.say.T("department"), p.say.T("building"), p.say.T("last reply"))
	boxes := s.Mailboxes
	if !all {
		boxes = boxes[:min(len(boxes), shownBoxes)]
	}
	for _, m := range boxes {
		b.row("  "+m.Address, p.boxState(m.State), p.say.Number(m.Waiting), p.say.Number(m.Held), m.Department, m.Building, m.Reply)
	}
	p.print(b.String())
	if rest := len(s.Mailboxes) - len(boxes); rest > 0 {
		p.print("  " + p.say.T("and %s more: --mailboxes shows all", p.say.Number(int64(rest))))
	}
}

// boxState names how a concerned mailbox is.
func (p *program) boxState(state string) string {
	switch state {
	case "refused":
		return p.say.T("refused")
	case "served":
		return p.say.T("served again")
	}
	return p.say.T("unknown")
}

// eventFacts says in some sentences what an event is: first what a person must know.
func (p *program) eventFacts(s event.Summary) string {
	number := s.Tenant + "/" + strconv.FormatInt(s.Number, 10)
	var lines []string
	switch {
	case s.Kind == store.Maintenance:
		lines = append(lines, p.maintenance(s, number))
	case s.Kind == store.Attack:
		lines = append(lines, p.attack(s, number))
	case s.State == event.Closed:
		lines = append(lines, p.say.T("Outage %s, from %s to %s, is over. Mailboxes at most at once: %s", number, p.clock(s.Since), p.clock(s.Until), p.say.Number(s.Most)))
	case s.Minor:
		lines = append(lines, p.say.T("Event %s since %s: single mailboxes are not served: %s", number, p.clock(s.Since), p.concerned(s)))
	default:
		lines = append(lines, p.say.T("OUTAGE %s since %s: %s", number, p.clock(s.Since), p.concerned(s)))
	}
	if s.ClosedBy != "" {
		lines = append(lines, p.say.T("Closed by %s.", say.Plain(s.ClosedBy)))
	}
	if s.State == event.Closed {
		return strings.Join(lines, "\n")
	}
	if s.Shared != nil && s.Shared.Unknown > 0 && !s.Minor {
		lines = append(lines, "  "+p.say.T("Perhaps more: of %s others there nothing is known, because no mail came for them.", p.say.Number(int64(s.Shared.Unknown))))
	}
	if s.Reply != "" && s.Concerned > 0 {
		lines = append(lines, "  "+p.say.T("The groupware says most often: %s", say.Plain(s.Reply)))
	}
	if s.Concerned > 0 {
		lines = append(lines, "  "+p.say.T("Mails for them that wait: %s, that are held: %s. Nothing is lost; what waits is handed over by itself.", p.say.Number(s.Waiting), p.say.Number(s.Held)))
	}
	switch {
	case !s.Turned.IsZero():
		lines = append(lines, "  "+p.say.T("Mail is taken again since %s; the event ends by itself when enough has arrived.", p.clock(s.Turned)))
	case s.Answering:
		lines = append(lines, "  "+p.say.T("The groupware answers again, but no mail has proved yet that it works."))
	}
	return strings.Join(lines, "\n")
}

// maintenance says what a maintenance is.
func (p *program) maintenance(s event.Summary, number string) string {
	var text string
	switch s.State {
	case event.Planned:
		text = p.say.T("Maintenance %s is planned from %s to %s", number, p.clock(s.Starts), p.clock(s.Ends))
	case event.Closed:
		text = p.say.T("Maintenance %s, from %s to %s, is over", number, p.clock(s.Since), p.clock(s.Until))
	case event.Overrun:
		text = p.say.T("MAINTENANCE %s was to end at %s and HAS NOT: %s mailboxes are not served", number, p.clock(s.Ends), p.say.Number(s.Concerned))
	default:
		text = p.say.T("Maintenance %s since %s, until %s: %s mailboxes are not served", number, p.clock(s.Since), p.clock(s.Ends), p.say.Number(s.Concerned))
	}
	if s.Why != "" {
		text += " (" + say.Plain(s.Why) + ")"
	}
	for _, what := range []struct {
		name string
		of   []string
	}{{p.say.T("routes"), s.Scope.Routes}, {p.say.T("departments"), s.Scope.Departments}, {p.say.T("buildings"), s.Scope.Buildings}, {p.say.T("mailboxes"), s.Scope.Mailboxes}} {
		if len(what.of) > 0 {
			text += "\n  " + what.name + ": " + say.Plain(strings.Join(what.of, ", "))
		}
	}
	return text
}

// concerned says for whom an outage is.
func (p *program) concerned(s event.Summary) string {
	sh := s.Shared
	if sh == nil {
		return p.say.T("%d mailboxes", s.Concerned)
	}
	names, all := say.Plain(strings.Join(sh.Names, ", ")), sh.Concerned == sh.Of
	of := p.say.Number(int64(sh.Of))
	switch {
	case all && sh.By == event.ByDepartment:
		return p.say.T("all %s mailboxes of the department %s", of, names)
	case all && sh.By == event.ByBuilding:
		return p.say.T("all %s mailboxes in the building %s", of, names)
	case all:
		return p.say.T("all %s mailboxes of the route %s", of, names)
	}
	some := p.say.Number(int64(sh.Concerned))
	switch sh.By {
	case event.ByDepartment:
		return p.say.T("%s of %s mailboxes of the department %s", some, of, names)
	case event.ByBuilding:
		return p.say.T("%s of %s mailboxes in the building %s", some, of, names)
	case event.ByHost:
		return p.say.T("%s of %s mailboxes, those that the host %s serves", some, of, names)
	}
	return p.say.T("%s of %s mailboxes of the route %s", some, of, names)
}

// eventStep says what happened.
func (p *program) eventStep(s event.Step) string {
	after := p.say.Number(int64(s.After))
	switch s.What {
	case "opened":
		return p.say.T("opened, mailboxes: %s", after)
	case "planned":
		return p.say.T("planned")
	case "began":
		return p.say.T("began")
	case "grew":
		return p.say.T("%s more, mailboxes now: %s", p.say.Number(int64(s.Joined)), after)
	case "shrank":
		return p.say.T("%s fewer, mailboxes now: %s", p.say.Number(int64(s.Left)), after)
	case "silent":
		return p.say.T("the whole route does not work, mailboxes now: %s", after)
	case "answering":
		return p.say.T("the groupware answers again")
	case "tried":
		return p.say.T("a letter goes out to see whether it takes mail, for none waits")
	case "turned":
		return p.say.T("it takes mail again")
	case "noted":
		return p.say.T("note")
	case "overrun":
		return p.say.T("the planned time is over")
	case "closed":
		return p.say.T("closed")
	case "released":
		return p.say.T("opened a way again")
	case "reopened":
		return p.say.T("opened again, mailboxes: %s", after)
	}
	return say.Plain(s.What)
}

func (p *program) eventOpen() *cobra.Command {
	var m control.Maintenance
	var planned, attack bool
	var from, to string
	var yes int
	c := p.command("open --attack|--maintenance --to TIME [flags]", p.say.T("begin attack mode, or announce a maintenance: while that lasts, what fails is part of it and no alarm"), p.exactly(0),
		func(ctx context.Context, _ []string) (err error) {
			switch {
			case planned == attack:
				return usage(p.say.T("one of --attack and --maintenance is needed"))
			case attack && (from != "" || to != ""):
				return usage(p.say.T("an attack has no planned time"))
			case attack:
				return p.openAttack(ctx, control.Attack{Tenant: m.Tenant, Why: m.Why})
			case to == "":
				return usage(p.say.T("%s is needed", "--to"))
			}
			if m.From, err = p.parseTime(from); err != nil {
				return err
			}
			if m.To, err = p.parseTime(to); err != nil {
				return err
			}
			if err := p.longMaintenance(m, time.Now(), yes); err != nil {
				return err
			}
			client, err := p.client()
			if err != nil {
				return err
			}
			s, err := client.PlanMaintenance(ctx, m)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.object(s)
			}
			p.print(p.eventFacts(s))
			return nil
		})
	f := c.Flags()
	f.BoolVar(&attack, "attack", false, p.say.T("somebody else may have your own systems: distrust the directory, take nothing from them, hand nothing over"))
	f.BoolVar(&planned, "maintenance", false, p.say.T("it is planned that these are not served"))
	f.StringVar(&from, "from", "", p.say.T("from this `time` (default: now)"))
	f.StringVar(&to, "to", "", p.say.T("until this `time`"))
	f.IntVar(&yes, "yes", 0, p.say.T("longer than a week: this many `days` are meant"))
	f.StringSliceVar(&m.Scope.Routes, "route", nil, p.say.T("the mailboxes of this `route`; may be given several times, as all of these"))
	f.StringArrayVar(&m.Scope.Departments, "department", nil, p.say.T("the mailboxes of this `department`"))
	f.StringArrayVar(&m.Scope.Buildings, "building", nil, p.say.T("the mailboxes in this `building`"))
	f.StringSliceVar(&m.Scope.Mailboxes, "mailbox", nil, p.say.T("the mailbox with this `address`"))
	f.StringVar(&m.Why, "note", "", p.say.T("what for: one `line`"))
	p.eventTenantFlag(c, &m.Tenant)
	return c
}

// maintenanceDays is how long a maintenance may be planned without asking again: a wrong
// year would silence its alarms until somebody closes it.
const maintenanceDays = 7

// longMaintenance refuses a maintenance that is longer unless its days are repeated.
func (p *program) longMaintenance(m control.Maintenance, now time.Time, yes int) error {
	if m.From.After(now) {
		now = m.From
	}
	days := int(math.Ceil(m.To.Sub(now).Hours() / 24))
	if days <= maintenanceDays || days == yes {
		return nil
	}
	return usage(p.say.T("until %s are %s days, and so long nothing of it is an alarm. Nothing was planned. If it is meant: the same command with --yes %s", p.clock(m.To), strconv.Itoa(days), strconv.Itoa(days)))
}

func (p *program) eventNote() *cobra.Command {
	var w control.EventWord
	c := p.command("note NUMBER TEXT", p.say.T("write a line into the story of an event"), p.exactly(2), func(ctx context.Context, args []string) (err error) {
		if w.Number, err = p.eventNumber(args[0]); err != nil {
			return err
		}
		client, err := p.client()
		if err != nil {
			return err
		}
		w.Text = args[1]
		if err := client.NoteEvent(ctx, w); err != nil || p.json {
			return err
		}
		p.print(p.say.T("It is written."))
		return nil
	})
	p.eventTenantFlag(c, &w.Tenant)
	return c
}

func (p *program) eventClose() *cobra.Command {
	var w control.EventWord
	c := p.command("close NUMBER [flags]", p.say.T("end an event by hand; what still fails then is an outage again within half a minute"), p.exactly(1),
		func(ctx context.Context, args []string) (err error) {
			if w.Number, err = p.eventNumber(args[0]); err != nil {
				return err
			}
			client, err := p.client()
			if err != nil {
				return err
			}
			s, err := client.CloseEvent(ctx, w)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.object(s)
			}
			p.print(p.say.T("Event %s is closed.", strconv.FormatInt(s.Number, 10)))
			return nil
		})
	c.Flags().StringVar(&w.Text, "note", "", p.say.T("why: one `line`"))
	p.eventTenantFlag(c, &w.Tenant)
	return c
}

// events shows what lasts, before everything else.
func (p *program) events(s control.Status) {
	for _, e := range s.Events {
		if e.State == event.Planned && e.Starts.Sub(s.Now) > soon {
			continue
		}
		p.print(p.eventFacts(e))
		p.print("  " + p.say.T("More: doppelboden event show %s --tenant %s", strconv.FormatInt(e.Number, 10), e.Tenant))
	}
}

// soon is how long before its beginning a maintenance is shown in the status.
const soon = 24 * time.Hour
