package main

import (
	"doppelboden/control"
	"doppelboden/say"
)

// waits names the state of a delivery that waits, and what scanners have to do with it.
func (p *program) waits(w control.Waiting) string {
	switch {
	case w.State == "held" && w.Scan == "malware":
		return p.say.T("in quarantine")
	case w.State == "queued" && w.Scan == "unscanned":
		return p.say.T("waits to be scanned")
	}
	return p.state(w.State)
}

// scan names what scanners said about a message.
func (p *program) scan(name string) string {
	switch name {
	case "unscanned":
		return p.say.T("no scanner has answered yet")
	case "clean":
		return p.say.T("clean")
	case "spam":
		return p.say.T("spam")
	case "malware":
		return p.say.T("malware")
	case "waived":
		return p.say.T("handed over without the scanners' consent")
	}
	return p.say.T("not scanned")
}

// scanners says how the scanners are.
func (p *program) scanners(s control.Status) {
	for _, one := range s.Scanners {
		if one.Up {
			p.print(p.say.T("Scanner %s at %s works since %s", one.Kind, say.Plain(one.Address), p.clock(one.Since)))
			continue
		}
		p.print(p.say.T("Scanner %s at %s does NOT work since %s", one.Kind, say.Plain(one.Address), p.clock(one.Since)) + "\n  " + say.Plain(one.Trouble))
	}
	for _, u := range s.Unscanned {
		p.print(p.say.T("Mails of %s that wait to be scanned: %d, the oldest for %s", u.Tenant, u.Messages, p.age(s.Now.Sub(u.Oldest))))
	}
}
