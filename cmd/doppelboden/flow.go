package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"doppelboden/control"
	"doppelboden/queue"
	"doppelboden/say"
)

// oldMail is the age from which on it matters that a mail arrives with the date at which it
// came: as append_after_hours of city.toml, where nobody wrote another.
const oldMail = 6 * time.Hour

// flow says how old mail of a route gets into its mailboxes, how fast what waits is handed
// over, and when that will be done. Each line is indented.
func (p *program) flow(s control.Status, r queue.LaneStatus) string {
	var lines []string
	switch f := r.Filing; {
	case f != nil && !f.Up:
		lines = append(lines, p.say.T("Its mailboxes can NOT be reached by IMAP since %s, next attempt in %s: %s", p.clock(f.Since), p.age(f.Probe.Sub(s.Now)), say.Plain(f.Reply)),
			p.say.T("Old mail waits for that; new mail is handed over. Who would rather have it now, with today's date and with out-of-office replies to its senders, writes append_after_hours = 0 into city.toml."))
	case f != nil && f.Boxes+f.InFlight > 0:
		lines = append(lines, p.say.T("Old mail goes straight into the mailboxes, with its date: mailboxes that wait: %d, being filled: %d", f.Boxes, f.InFlight))
	case f == nil && r.Waiting > 0 && !r.Oldest.IsZero() && s.Now.Sub(r.Oldest) >= oldMail:
		lines = append(lines, p.say.T("The oldest mail waits for %s. It will arrive with the date of its hand-over, and out-of-office replies will go to its senders: this route has no [tenant.route.imap].", p.age(s.Now.Sub(r.Oldest))))
	}
	if r.Flow != nil && len(r.Flow.Done) > 0 {
		lines = append(lines, p.done(s.Now, r.Flow))
	}
	return strings.Join(lines, "\n  ")
}

// done says when what waits will be handed over, in one line.
func (p *program) done(now time.Time, f *queue.Flow) string {
	text := p.say.T("It flows at %s a second.", p.perSecond(f.PerSecond))
	last := len(f.Done) - 1
	for i, c := range f.Done {
		switch {
		case c.At.IsZero():
			return text + " " + p.say.T("As fast as mail comes now, there is no end in sight.")
		case i == last && last == 0:
			text += " " + p.say.T("All done at about %s.", p.moment(now, c.At))
		case i == last:
			text += " " + p.say.T("All done at about %s (priority %s: %d).", p.moment(now, c.At), strconv.Itoa(c.Priority), c.Waiting)
		default:
			text += " " + p.say.T("Priority %s (%d) done at about %s.", strconv.Itoa(c.Priority), c.Waiting, p.moment(now, c.At))
		}
	}
	return text
}

// perSecond writes a speed: below ten with one digit behind the point.
func (p *program) perSecond(v float64) string {
	if v >= 10 {
		return p.say.Number(int64(v + 0.5))
	}
	return p.say.T("%.1f", v)
}

// moment writes a time to the minute, and the day only when it is another.
func (p *program) moment(now, t time.Time) string {
	now, t = now.Local(), t.Local()
	if y, m, d := now.Date(); t.Before(time.Date(y, m, d+1, 0, 0, 0, 0, now.Location())) {
		return t.Format("15:04")
	}
	if p.say.German() {
		return t.Format("02.01. 15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// flows says of every route through which mail flows how that goes on.
func (p *program) flows(ctx context.Context, c *control.Client) error {
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	for _, r := range s.Routes {
		if text := p.flow(s, r); text != "" {
			p.print(p.say.T("Route %s:", r.Name) + "\n  " + text)
		}
	}
	return nil
}
