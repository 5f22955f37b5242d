package handback

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
)

// AlarmKind is the kind of alarm that says that what people did does not go back.
const AlarmKind = "handback"

// A Group is what is to go back for the mailboxes of one department on one route.
type Group struct {
	Tenant     doppelboden.TenantID `json:"-"`
	Route      string               `json:"route"`                // its key; "": the mailboxes are none of a groupware any more
	Department string               `json:"department,omitempty"` // may be empty
	Mailboxes  int                  `json:"mailboxes"`
	Deeds      int64                `json:"deeds"`
	Well       int64                `json:"well"`           // deeds of mailboxes that are well, so that they are going back
	Since      time.Time            `json:"since,omitzero"` // of the oldest
	Staying    int                  `json:"staying"`        // deeds that the groupware refuses for now
	Why        string               `json:"why,omitempty"`  // what is in the way; hostile text
}

// A Status says what is to go back.
type Status struct {
	Deeds  int64         `json:"deeds"`
	Groups []Group       `json:"groups"`           // by route and department
	Left   time.Duration `json:"left,omitempty"`   // until all that can go back has; 0: nobody knows
	Untold int           `json:"untold,omitempty"` // mailboxes whose owners are still to be told
}

// Status returns what is to go back.
func (r *Room) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s Status
	groups := map[[2]string]*Group{}
	well := int64(0)
	for _, b := range r.boxes {
		if b.tell {
			s.Untold++
		}
		if b.deeds == 0 {
			continue
		}
		place, _ := r.opts.Place(b.id)
		key := [2]string{place.Route, place.Department}
		g := groups[key]
		if g == nil {
			g = &Group{Tenant: b.tenant, Route: place.Route, Department: place.Department}
			groups[key] = g
		}
		g.Mailboxes++
		g.Deeds += b.deeds
		g.Staying += b.staying
		s.Deeds += b.deeds
		if g.Since.IsZero() || b.oldest.Before(g.Since) {
			g.Since = b.oldest
		}
		if !b.healthy.IsZero() {
			g.Well += b.deeds
			well += b.deeds
		}
		if b.why != "" && !b.healthy.IsZero() {
			g.Why = plain(b.why)
		}
	}
	for _, g := range groups {
		s.Groups = append(s.Groups, *g)
	}
	slices.SortFunc(s.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), strings.Compare(a.Route, b.Route), strings.Compare(a.Department, b.Department))
	})
	s.Left = r.rate.left(r.opts.Clock(), well)
	return s
}

// Waiting returns how many deeds of a mailbox are to go back, and why some do not; "": nothing
// is in the way.
func (r *Room) Waiting(m doppelboden.MailboxID) (deeds int64, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.boxes[m]
	if b == nil {
		return 0, ""
	}
	return b.deeds, b.why
}

// Alarms returns what is wrong, by route.
func (r *Room) Alarms() map[string]doppelboden.Telling {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.opts.Clock()
	type late struct {
		boxes int
		deeds int64
		since time.Time
		why   string
	}
	routes := map[string]*late{}
	for _, b := range r.boxes {
		if b.deeds == 0 || b.healthy.IsZero() || b.why == "" || b.why != whyBare && now.Sub(b.since) < r.opts.Pace.Late {
			continue
		}
		place, ok := r.opts.Place(b.id)
		if !ok {
			continue
		}
		l := routes[place.Route]
		if l == nil {
			l = &late{}
			routes[place.Route] = l
		}
		l.boxes++
		l.deeds += b.deeds
		if l.since.IsZero() || b.since.Before(l.since) {
			l.since, l.why = b.since, b.why
		}
	}
	wrong := map[string]doppelboden.Telling{}
	for key, l := range routes {
		wrong[key] = doppelboden.Tell("What people did in emergency mailboxes of %s does not go back to the groupware since %s (mailboxes: %s, changes: %s): %s. Nothing is lost; it is tried again. "+
			"What it is: doppelboden mailbox deeds ADDRESS", key, l.since, l.boxes, l.deeds, plain(l.why))
	}
	return wrong
}

// plain says in plain words why something does not go back.
func plain(why string) string {
	switch why {
	case whyBare:
		return "the mail that lay there before is gone from the groupware; hand it over again first: doppelboden replay --from TIME --to TIME"
	case whyFull:
		return "mailboxes there are full"
	case whyRefused:
		return "the groupware does not allow it (read-only mailboxes, or a right that the master user lacks)"
	case whyTooLarge:
		return "the groupware takes no mail of that size"
	case whyUnfit:
		return "mails hold characters that cannot be carried (a NUL, or a bare CR)"
	}
	return why
}

// hear says in one line why a visit failed.
func hear(err error) string {
	if said, ok := mailbox.Said(err); ok {
		return harmless(said.Text)
	}
	if doppelboden.CodeOf(err) == doppelboden.NotFound {
		return "the groupware has no such mailbox, or lets nobody into it"
	}
	return bounded(harmless(err.Error()), 300)
}
