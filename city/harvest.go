package city

import (
	"slices"

	"doppelboden"
)

// A Journal is where the groupware of a tenant reports mail between its people: journal
// reports as Exchange makes them.
type Journal struct {
	Address doppelboden.Address // takes reports and nothing else
	Senders []string            // names of the tenant's senders who may report
}

// Limits of sync_days, and what is taken when nothing is written.
const (
	defaultSyncDays = 30 // as long as mail is kept by default
	maxSyncDays     = 366
)

const (
	wantSync    = `write sync = true, or leave sync_days out`
	wantJournal = `write address = "journal@journal.musterstadt.de": an address that no mailbox has`
	wantSenders = `write senders = ["groupware"]: names of [[tenant.sender]]`
)

// parseSync reads how far back a groupware's mailboxes are read; 0: they are not.
func parseSync(s *section) (days int) {
	if !s.flag("sync") {
		if s.has("sync_days") {
			s.wrong("sync_days", says("without sync = true no mailbox is read"), says(wantSync))
		}
		return 0
	}
	return int(s.number("sync_days", defaultSyncDays, 1, maxSyncDays))
}

// parseJournal reads [tenant.journal]; nil when it is not written. The senders of t must
// have been read.
func parseJournal(s *section, t *Tenant) *Journal {
	if !s.has("journal") {
		return nil
	}
	s = s.table("journal")
	j := &Journal{}
	if written := s.must("address", says(wantJournal)); written != "" {
		a, err := doppelboden.ParseAddress(written)
		if err != nil {
			s.wrong("address", notAddress(err), says(wantJournal))
		}
		if a.Key() == t.Postmaster.Key() {
			s.wrong("address", says("it is the postmaster's"), says(wantJournal))
		}
		j.Address = a
	}
	if !s.has("senders") {
		s.missing("senders", says(wantSenders))
	}
	for i, name := range s.texts("senders", says(wantSenders)) {
		if name == "" {
			continue
		}
		if !slices.ContainsFunc(t.Senders, func(o *Sender) bool { return o.Name == name }) {
			s.wrongItem("senders", i, name, says("no [[tenant.sender]] of this tenant has this name"), says(wantSenders))
			continue
		}
		j.Senders = append(j.Senders, name)
	}
	s.done()
	return j
}

// Journal returns the tenant that takes journal reports at an address, and nil when none
// does.
func (c *City) Journal(a doppelboden.Address) *Tenant {
	for i := range c.Tenants {
		if j := c.Tenants[i].Journal; j != nil && j.Address.Key() == a.Key() {
			return &c.Tenants[i]
		}
	}
	return nil
}
