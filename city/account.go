package city

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Accounts say how a tenant's people are let in without its directory of log-ins.
type Accounts struct {
	Page         string         // https://host[:port]: what stands on sheets; "": the node's own name
	OnlyInEvents bool           // outside events the doors are closed
	Language     string         // "de" or "en": what the tenant's people are written in
	SecondFactor bool           // a password alone opens no mailbox
	Networks     []netip.Prefix // the city's own, from which many people come with one address
	Idle         time.Duration  // a session that nobody uses ends after this
	Longest      time.Duration  // a session ends after this, used or not
	SheetDays    int            // how long the code of a sheet is good
	KeepDays     int            // how long a password that the directory has taken is good without it; 0: none is kept
	RemindWeeks  int            // the least time between two reminders to one person; 0: nobody is reminded
}

// Limits of [tenant.accounts], and what is taken when nothing is written.
const (
	defaultIdle    = 120     // minutes: a meeting
	maxIdle        = 12 * 60 // minutes
	defaultSession = 12      // hours: a long day in an outage
	maxSession     = 7 * 24  // hours
	defaultSheet   = 400     // days: a sheet lives from one yearly hand-out to the next
	maxSheet       = 3 * 366 // days
	maxKeep        = 90      // days; an older password says little about who works there today
	maxRemind      = 52      // weeks
)

const wantPage = `write the address that people open, such as "https://notfall.musterstadt.de"`

// parseAccounts reads [tenant.accounts].
func parseAccounts(s *section) Accounts {
	as := s.table("accounts")
	a := Accounts{
		Page:         parsePage(as),
		OnlyInEvents: as.choice("open", says(`write "always" or "events"`), "always", "events") == "events",
		Language:     as.choice("language", says(`write "de" or "en"`), "de", "en"),
		SecondFactor: as.flag("second_factor"),
		Networks:     parseNetworks(as, "networks"),
		Idle:         time.Duration(as.number("idle_minutes", defaultIdle, 5, maxIdle)) * time.Minute,
		Longest:      time.Duration(as.number("session_hours", defaultSession, 1, maxSession)) * time.Hour,
		SheetDays:    int(as.number("sheet_days", defaultSheet, 1, maxSheet)),
		KeepDays:     int(as.number("directory_password_days", 0, 0, maxKeep)),
		RemindWeeks:  int(as.number("remind_weeks", 0, 0, maxRemind)),
	}
	for i, p := range a.Networks {
		if tooLarge(p) {
			as.wrongItem("networks", i, p.String(), says("so large that strangers are in it, who could try more passwords"), says(wantNetworks))
		}
	}
	as.done()
	return a
}

// parsePage reads the address of the emergency page.
func parsePage(s *section) string {
	written := s.text("page", "", says(wantPage))
	if written == "" {
		return ""
	}
	u, err := url.Parse(strings.TrimSuffix(written, "/"))
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		s.wrong("page", says("not the address of a page over https, without a path"), says(wantPage))
		return ""
	}
	return u.String()
}
