package city

import "time"

// Mailboxes is how a tenant's mailboxes are used when their groupware does not work.
type Mailboxes struct {
	Hourly       int           // to how many recipients a person may write within an hour
	CrisisHourly int           // the same from a mailbox with the highest priority
	Quiet        time.Duration // without use for so long, a mailbox whose groupware works again goes back to it
}

// Limits of [tenant.mailboxes], and what is taken when nothing is written.
const (
	// defaultHourly is more than people write by hand, and less than a list of strangers that
	// a thief of a password writes to is worth to him.
	defaultHourly = 200
	// defaultCrisis lets a crisis team inform the press and the neighbours.
	defaultCrisis = 2000
	maxHourly     = 100_000
	// defaultQuiet is shorter than a night: who went home with a working groupware finds it
	// in use the next morning.
	defaultQuiet = 12   // hours
	maxQuiet     = 2400 // a hundred days
)

// parseMailboxes reads [tenant.mailboxes].
func parseMailboxes(s *section) Mailboxes {
	s = s.table("mailboxes")
	m := Mailboxes{
		Hourly:       int(s.number("recipients_per_hour", defaultHourly, 1, maxHourly)),
		CrisisHourly: int(s.number("crisis_recipients_per_hour", defaultCrisis, 1, maxHourly)),
		Quiet:        time.Hour * time.Duration(s.number("quiet_hours", defaultQuiet, 1, maxQuiet)),
	}
	s.done()
	return m
}

// Most returns to how many recipients a person may write within an hour from a mailbox with
// a priority.
func (m Mailboxes) Most(priority int) int {
	if priority >= crisisPriority {
		return m.CrisisHourly
	}
	return m.Hourly
}

// crisisPriority is the priority of crisis roles; see doppelboden.Mailbox.
const crisisPriority = 9
