package main

import (
	"doppelboden/control"
	"doppelboden/say"
)

// database says how the working database is, and what works without it.
func (p *program) database(d control.Database) {
	switch {
	case d.Engine == "": // a node of before
	case d.Away.IsZero() && d.Landed == 0:
		p.print(p.say.T("Database: %s", d.Engine))
	case d.Away.IsZero():
		p.print(p.say.T("Database: %s; on their way into it: %d", d.Engine, d.Landed))
	case d.Dead:
		p.print(p.say.T("THE DATABASE DOES NOT ANSWER since %s: %s", p.clock(d.Away), say.Plain(d.Why)))
		p.print("  " + p.say.T("Mail is taken and kept on this machine: %d wait for the database.", d.Landed))
		p.print("  " + p.say.T("Nothing is handed over and nothing can be changed or looked up until it returns; then the node goes on by itself."))
	default:
		p.print(p.say.T("THE DATABASE DOES NOT DO ITS WORK since %s: %s", p.clock(d.Away), say.Plain(d.Why)))
		p.print("  " + p.say.T("Mail is taken and kept on this machine: %d wait for the database.", d.Landed))
	}
	if !d.Mirror.IsZero() {
		p.print("  " + p.say.T("Who exists is known from this machine's mirror, as of %s.", p.clock(d.Mirror)))
		if d.Behind {
			p.print("  " + p.say.T("It may lack mailboxes, so unknown recipients are put off (450)."))
		}
	}
	if d.Aside > 0 {
		p.print("  " + p.say.T("Mails that it refuses for their own sake: %d. They are kept and tried again every hour.", d.Aside))
	}
}
