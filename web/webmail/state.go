package webmail

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/web"
)

// A Standing is what is known of a mailbox now.
type Standing struct {
	Here   bool      // it lies here alone; there is no groupware behind it
	Outage time.Time // since when its groupware does not take mail; zero: it does, or nobody knows
	Again  bool      // in an outage: the groupware takes mail again, and has not proved enough yet
	Used   bool      // it is used here: in emergency mode
	Away   bool      // who is away is answered for from here, and not by its groupware
	Now    bool      // everything that is promised for it is here up to now
	Until  time.Time // otherwise: up to when; zero: nobody knows
	// Trusted is false in attack mode: nothing goes to the groupware until somebody says so.
	Trusted bool
}

// State says in the visitor's language in what state a mailbox is. It is for web.Options.
func (d *Door) State(ctx context.Context, v *web.Visit, mailbox int64) []web.Notice {
	if mailbox == 0 || v.Visitor == nil {
		return nil
	}
	s, err := d.opts.Standing(ctx, v.Visitor.Tenant, doppelboden.MailboxID(mailbox))
	if err != nil {
		return []web.Notice{{Kind: "warning", Text: d.words(v, "Just now it is not known in what state your mail is. Try again in a minute.")}}
	}
	if s.Here {
		return nil
	}
	return d.tell(v, s, d.opts.Clock())
}

func (d *Door) words(v *web.Visit, sentence string, args ...any) string {
	return german.T(v.Language, sentence, args...)
}

// tell writes what is known, and no more than that.
func (d *Door) tell(v *web.Visit, s Standing, now time.Time) []web.Notice {
	one := web.Notice{Kind: "good", Text: d.words(v, "The city's mail system answers. What you do here goes there.")}
	switch {
	case !s.Trusted:
		one = web.Notice{Kind: "warning", Text: d.words(v, "The city's mail system is cut off for safety. What you do here is kept, and goes back later.")}
	case !s.Outage.IsZero() && s.Again:
		one = web.Notice{Kind: "warning", Text: d.words(v, "The city's mail system answers again, after it did not since %s. Go on here until that is certain: what you do here goes back soon.", moment(v.Language, s.Outage, now))}
	case !s.Outage.IsZero():
		one = web.Notice{Kind: "warning", Text: d.words(v, "The city's mail system has not answered since %s. New mail arrives here. What you do here goes back later.", moment(v.Language, s.Outage, now))}
	case s.Used:
		one = web.Notice{Kind: "good", Text: d.words(v, "You work in the emergency mailbox. What you do here goes back to the city's mail system.")}
	}
	switch {
	case s.Now:
		one.Text += " " + d.words(v, "Your mail is complete up to now.")
	case !s.Until.IsZero():
		one.Text += " " + d.words(v, "Your mail is complete up to %s.", moment(v.Language, s.Until, now))
	default:
		one.Text += " " + d.words(v, "Mail between colleagues may be missing here.")
	}
	return []web.Notice{one}
}

// moment writes a time as people say it: the hour, and the day when it is not today.
func moment(l web.Language, t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format("15:04")
	}
	return web.Date(l, t)
}
