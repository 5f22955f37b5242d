package harvest

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A Source says by which way mail comes into a part of a mailbox.
type Source string

// The sources that a part can have.
const (
	SourceNone    Source = "none"
	SourceMX      Source = "mx"      // the Internet's mail passes us
	SourceRelay   Source = "relay"   // the groupware sends through us
	SourceHairpin Source = "hairpin" // mail between colleagues passes us too
	SourceJournal Source = "journal" // the groupware reports it
	SourceSync    Source = "sync"    // its mailboxes are read
	SourceHere    Source = "here"    // the mailbox lies here and nowhere else
)

// A Part is what is known of one part of a mailbox. It is complete from Since to Until: what
// came earlier or later may be missing.
type Part struct {
	Source Source    `json:"source"`
	Since  time.Time `json:"since,omitzero"` // zero: nothing is proved
	Until  time.Time `json:"until,omitzero"` // zero, with a Since: up to now
	Why    string    `json:"why,omitzero"`   // one of the reasons below; "": it is complete up to now
}

// Now reports whether the part is complete up to now.
func (p Part) Now() bool { return !p.Since.IsZero() && p.Until.IsZero() }

// Reasons why a part is not complete up to now. Texts for people are made of them.
const (
	WhyNothing = "nothing_configured" // no way is configured by which it could come
	WhyNew     = "no_mail_yet"        // none has come by this way
	WhyPart    = "internal_missing"   // what goes to the Internet is there, and what goes to colleagues is not
	WhyRounds  = "rounds"             // it is read again and again, and was at Until
	WhyFilling = "filling"            // the first reading is not over
	WhyStale   = "stale"              // it was read, but not lately
	WhyTrouble = "trouble"            // the mailbox cannot be read
	WhySilent  = "silent"             // no journal report has come for long
	WhyStopped = "stopped"            // reading is stopped, as in attack mode or an outage
)

// A Coverage is what can be said truthfully of a mailbox.
type Coverage struct {
	Inbox    Part      `json:"inbox"`            // mail from the Internet
	Sent     Part      `json:"sent"`             // what the mailbox's owner sent
	Internal Part      `json:"internal"`         // mail between colleagues
	Folders  Part      `json:"folders"`          // flags and folders
	Sync     time.Time `json:"sync,omitzero"`    // when the groupware's mailbox was last read to its end
	Trouble  string    `json:"trouble,omitzero"` // why it cannot be read; hostile text
}

// Until returns the time up to which everything that is promised for the mailbox is
// there, and whether that is now. A zero time that is not now: nothing is proved.
func (c Coverage) Until() (until time.Time, now bool) {
	now = true
	for _, p := range []Part{c.Inbox, c.Sent, c.Internal} {
		switch {
		case p.Now():
		case p.Until.IsZero():
			return time.Time{}, false
		case now || p.Until.Before(until):
			until, now = p.Until, false
		}
	}
	return until, now
}

// silentFor is how long no mail came by a way before nobody can say any more that it works.
const silentFor = 4 * time.Hour

// Coverage returns what can be said of a mailbox. NotFound.
func (r *Room) Coverage(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (Coverage, error) {
	key, box, ok := r.opts.Place(m)
	if !ok || box.Tenant != t {
		return Coverage{}, &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such mailbox"}
	}
	route := r.opts.Routes()[key]
	if route.Here {
		return coverageHere(), nil
	}
	q := question{r: r, route: route, held: r.held(route), now: r.opts.Clock()}
	err := q.ways(ctx)
	if err != nil {
		return Coverage{}, err
	}
	if q.state, err = r.opts.Store.HarvestBox(ctx, t, m); err != nil {
		return Coverage{}, fmt.Errorf("read what is known of the mailbox: %w", err)
	}
	if q.folders, err = r.opts.Store.HarvestFolders(ctx, t, m); err != nil {
		return Coverage{}, fmt.Errorf("read what is known of folders: %w", err)
	}
	return q.answer(), nil
}

// coverageHere is that of a mailbox that lies here and nowhere else.
func coverageHere() Coverage {
	here := Part{Source: SourceHere, Since: time.Unix(0, 0).UTC()}
	return Coverage{Inbox: here, Sent: here, Internal: here, Folders: here}
}

// answer says what is known of the mailbox.
func (q *question) answer() Coverage {
	c := Coverage{Sync: q.state.At, Trouble: q.state.Trouble}
	c.Internal = q.internal()
	c.Folders = q.sync(store.UseNone)
	c.Inbox = Part{Source: SourceMX, Since: q.mx}
	if q.mx.IsZero() {
		c.Inbox.Why = WhyNew
	}
	c.Inbox = better(c.Inbox, q.sync(store.UseInbox))
	c.Sent = q.sent(c.Internal)
	return c
}

// A question gathers what answers it.
type question struct {
	r       *Room
	route   Route
	held    string // why the route's mailboxes are left alone; "": they are not
	now     time.Time
	state   store.HarvestBox
	folders []store.HarvestFolder
	marking store.Marking
	mx      time.Time // since when the Internet's mail is kept here; zero: none came
	relay   time.Time // the same of own senders' mail
}

// ways reads by which ways mail of the tenant came.
func (q *question) ways(ctx context.Context) (err error) {
	if q.marking, err = q.r.opts.Store.Marking(ctx, q.route.Tenant); err != nil {
		return fmt.Errorf("read which ways mail came: %w", err)
	}
	q.mx, q.relay, err = q.r.firstMail(ctx, q.route.Tenant)
	return err
}

// A first says when the first mails came that are known here. Messages up to scanned were
// looked at.
type first struct {
	scanned   int64
	mx, relay time.Time
}

// firstMail returns since when the Internet's mail of a tenant is kept here, and that of its
// own senders: since the first one that is known, or as long as retention keeps it.
func (r *Room) firstMail(ctx context.Context, id doppelboden.TenantID) (mx, relay time.Time, err error) {
	t := r.tenant(id)
	t.mu.Lock()
	f := t.first
	t.mu.Unlock()
	for f.mx.IsZero() || f.relay.IsZero() {
		list, end, err := r.opts.Store.Unmarked(ctx, id, f.scanned, firstPage)
		if err != nil {
			return mx, relay, fmt.Errorf("find the first message: %w", err)
		}
		for _, u := range list {
			switch m := u.Message; {
			case m.Door == doorMX && f.mx.IsZero():
				f.mx = m.Received
			case m.Door == doorSubmission && f.relay.IsZero():
				f.relay = m.Received
			}
		}
		if end == f.scanned {
			break
		}
		f.scanned = end
	}
	t.mu.Lock()
	t.first = f
	t.mu.Unlock()
	if !f.mx.IsZero() {
		mx = later(f.mx, r.opts.Kept())
	}
	if !f.relay.IsZero() {
		relay = later(f.relay, r.opts.Kept())
	}
	return mx, relay, nil
}

// firstPage is how many messages are looked at together for the first ones.
const firstPage = 500

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// sync says what reading the groupware's mailbox proves about its folders with a use, or
// about all of them.
func (q *question) sync(use store.Use) Part {
	if q.route.Backend == nil {
		return Part{Source: SourceNone, Why: WhyNothing}
	}
	p := Part{Source: SourceSync, Why: WhyFilling}
	if q.state.Trouble != "" {
		p.Why = WhyTrouble
	}
	if q.state.At.IsZero() {
		return p
	}
	found := false
	for _, f := range q.folders {
		if f.Gone || use != store.UseNone && f.Use != use {
			continue
		}
		if !f.Filled {
			return p
		}
		found = true
		p.Since = later(p.Since, f.Since)
	}
	if !found { // it has no such folder
		if use == store.UseNone {
			return p
		}
		return q.sync(store.UseNone)
	}
	p.Since, p.Until = later(p.Since, q.r.opts.Kept()), q.state.Began
	switch {
	case q.held != "":
		p.Why = WhyStopped
	case q.state.Trouble != "":
	case q.now.Sub(q.state.At) > 3*q.r.opts.Pace.Every:
		p.Why = WhyStale
	default:
		p.Why = WhyRounds
	}
	return p
}

// pushed says what a way proves by which mail comes to us.
func (q *question) pushed(source Source, first, last time.Time) Part {
	p := Part{Source: source, Why: WhySilent}
	if first.IsZero() {
		return p
	}
	if p.Since = later(first, q.r.opts.Kept()); q.now.Sub(last) > silentFor {
		p.Until = last
		return p
	}
	p.Why = ""
	return p
}

// internal says what is known of mail between colleagues.
func (q *question) internal() Part {
	best := q.sync(store.UseNone)
	if q.route.Journal {
		best = better(best, q.pushed(SourceJournal, q.marking.JournalFirst, q.marking.JournalLast))
	}
	if q.route.Hairpin {
		best = better(best, q.pushed(SourceHairpin, q.marking.HairpinFirst, q.marking.HairpinLast))
	}
	return best
}

// sent says what is known of what the owner sent: to the Internet, and to colleagues.
func (q *question) sent(internal Part) Part {
	read := q.sync(store.UseSent)
	if !q.route.Relay {
		return read
	}
	p := Part{Source: SourceRelay, Why: WhyPart}
	switch {
	case q.relay.IsZero():
		p.Why = WhyNew
	case !internal.Since.IsZero():
		p.Since, p.Until, p.Why = later(q.relay, internal.Since), internal.Until, internal.Why
	}
	return better(p, read)
}

// better returns the part that proves more: up to now, or up to a later time.
func better(a, b Part) Part {
	switch {
	case a.Source == SourceNone, !b.Since.IsZero() && a.Since.IsZero():
		return b
	case b.Since.IsZero() || a.Now() && (!b.Now() || !b.Since.Before(a.Since)):
		return a
	case b.Now() || b.Until.After(a.Until):
		return b
	}
	return a
}
