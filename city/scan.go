package city

import (
	"net/url"
	"strings"
	"time"
)

// A Scan says how a tenant has its mail scanned: [tenant.scan]. Its zero value scans
// nothing.
type Scan struct {
	Rspamd []string // such as "http://127.0.0.1:11333"; one that works is asked
	ClamAV []string // such as "unix:///run/clamav/clamd.ctl" or "tcp://host:3310"; one that works is asked

	Deadline      time.Duration // for one mail, all scanners together
	RefuseMalware bool          // at the door; else it is kept in quarantine
	RejectScore   float64       // spam with this score or more is refused at the door; 0: none is
	Wait          bool          // mail that nobody could scan waits until somebody can
	Patience      time.Duration // unless Wait: how long it waits before it is handed over with a mark
	Fresh         time.Duration // an older scan is repeated before the mail is handed over
}

// What is taken when nothing is written.
const (
	defaultDeadline  = 10 // seconds; rspamd itself gives up after 8
	maxDeadline      = 60 // seconds; the sender waits for our answer
	defaultUnscanned = 8  // hours: a working day in which somebody can repair a scanner (decision 0013)
	maxUnscanned     = 240
	defaultFresh     = 4 // hours: signatures appear several times a day
	maxFresh         = 168
	maxScore         = 1000
)

const (
	wantRspamd  = `write rspamd = ["http://127.0.0.1:11333"]`
	wantClamAV  = `write clamav = ["unix:///run/clamav/clamd.ctl"] or ["tcp://127.0.0.1:3310"]`
	wantScanner = "name scanners with rspamd or clamav, or leave out [tenant.scan]"
	wantMalware = `write "refuse" or "quarantine"`
	wantWaiting = `write "deliver" or "wait"`
)

// parseScan reads [tenant.scan].
func parseScan(tenant *section) Scan {
	if !tenant.has("scan") {
		return Scan{}
	}
	s := tenant.table("scan")
	c := Scan{
		Rspamd: scanners(s, "rspamd", says(wantRspamd), isRspamd),
		ClamAV: scanners(s, "clamav", says(wantClamAV), isClamd),
	}
	if !s.has("rspamd") && !s.has("clamav") {
		s.missing("clamav", says(wantScanner))
	}
	c.Deadline = time.Duration(s.number("deadline_seconds", defaultDeadline, 1, maxDeadline)) * time.Second
	c.RefuseMalware = s.choice("malware", says(wantMalware), "refuse", "quarantine") == "refuse"
	if s.has("malware") && !s.has("clamav") {
		s.wrong("malware", says("only ClamAV finds malware"), says(wantClamAV))
	}
	c.RejectScore = s.score("reject_score")
	if s.has("reject_score") && !s.has("rspamd") {
		s.wrong("reject_score", says("only rspamd gives scores"), says(wantRspamd))
	}
	c.Wait = s.choice("unscanned", says(wantWaiting), "deliver", "wait") == "wait"
	c.Patience = time.Duration(s.number("unscanned_hours", defaultUnscanned, 0, maxUnscanned)) * time.Hour
	if c.Wait && s.has("unscanned_hours") {
		s.wrong("unscanned_hours", says(`contradicts unscanned = "wait": then mail waits for as long as it takes`), says("leave out one of the two"))
	}
	c.Fresh = time.Duration(s.number("fresh_hours", defaultFresh, 1, maxFresh)) * time.Hour
	s.done()
	return c
}

// scanners reads addresses of scanners.
func scanners(s *section, key string, want Text, good func(*url.URL) bool) []string {
	var addrs []string
	for i, written := range s.texts(key, want) {
		if written == "" {
			continue
		}
		u, err := url.Parse(written)
		if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !good(u) {
			s.wrongItem(key, i, written, says("not the address of a scanner"), want)
			continue
		}
		addrs = append(addrs, written)
	}
	return addrs
}

func isRspamd(u *url.URL) bool { return u.Scheme == "http" && badHostPort(u.Host).IsZero() }

func isClamd(u *url.URL) bool {
	if u.Scheme == "unix" {
		return u.Host == "" && strings.HasPrefix(u.Path, "/") && len(u.Path) > 1
	}
	return u.Scheme == "tcp" && u.Path == "" && badHostPort(u.Host).IsZero()
}

// choice reads one of some words; the first is taken when nothing is written.
func (s *section) choice(key string, want Text, words ...string) string {
	v := s.text(key, words[0], want)
	for _, w := range words {
		if v == w {
			return v
		}
	}
	if v != "" {
		s.wrong(key, says("none of the words that are known here"), want)
	}
	return words[0]
}

// score reads a positive number; 0 when it is not written.
func (s *section) score(key string) float64 {
	if !s.has(key) {
		return 0
	}
	var v float64
	switch n := s.values[key].(type) {
	case float64:
		v = n
	case int64:
		v = float64(n)
	}
	if !(v > 0 && v <= maxScore) {
		s.wrong(key, says("not a score"), says("write a number above 0, such as reject_score = 15"))
		return 0
	}
	return v
}
