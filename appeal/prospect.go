package appeal

import (
	"time"

	"doppelboden"
)

// A Prospect says what will end that a refused delivery is held, as things are.
type Prospect struct {
	Next   time.Time // when its group is tried again by itself at the latest; zero: it is being tried
	Failed int       // trials of the group in a row that changed nothing

	// Of a mailbox that the groupware does not know, what it takes for its mail to go back:
	// how many other mailboxes of the route took mail since, of how many that are needed,
	// and when a directory was read since that does not list it (zero: none).
	Address bool
	Others  int
	Needed  int
	Gone    time.Time
}

// Prospect returns the prospect of what is held in a group and a box (0: of the whole
// group, without what is known of single boxes). It is false for what is not tried again.
func (a *Appeals) Prospect(id string, box doppelboden.BoxID) (Prospect, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.groups[id]
	if g == nil {
		return Prospect{}, false
	}
	p := Prospect{Next: g.next, Failed: max(0, g.failed), Needed: a.opts.Pace.Others}
	if g.wave > 0 || g.out > 0 {
		p.Next = time.Time{}
	}
	p.Address = g.hold.Reason == doppelboden.HeldAddress
	b := a.boxes[box]
	if b == nil || !p.Address {
		return p, true
	}
	p.Others = min(p.Needed, a.lane(g.hold.Route).others(box, b.refused, a.opts.Clock()))
	if read, ok := a.opts.Unlisted(b.tenant, b.mailbox, b.recipient); ok && read.After(b.refused) {
		p.Gone = read
	}
	return p, true
}
