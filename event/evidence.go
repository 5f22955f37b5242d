package event

import (
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A sort says what an answer means for a mailbox.
type sort uint8

const (
	nothing  sort = iota
	took          // the mail was taken
	deferred      // a 4xx for this recipient
	refused       // a 5xx for this recipient
	message       // 4xx or 5xx for this mail, which may be the mail's own fault
	broken        // the connection broke or timed out in the middle, which may be too
	own           // the mailbox is full, or greylists: nobody else's trouble
	silent        // no word about the mail: the route does not talk to us
	answered      // a probe was answered, which says nothing about any mailbox
)

// An observation is one answer, as far as it matters here.
type observation struct {
	lane    string
	tenant  doppelboden.TenantID
	mailbox doppelboden.MailboxID // 0: it says nothing about how the mailbox is served
	mail    doppelboden.ID
	sort    sort
	filed   bool   // it was put straight into the mailbox, which says nothing about the next server
	reply   string // without what differs from mail to mail
	server  string
	at      time.Time
	began   time.Time // of a probe: when it began; else at
}

// observe returns what the outcome of a delivery says; sort nothing when that is nothing.
func observe(lane string, o *doppelboden.Outcome, it *store.Item) observation {
	ob := observation{lane: lane, tenant: it.Delivery.Tenant, mail: it.Delivery.Message, sort: sortOf(o), filed: o.Phase == "append" || o.Phase == "found",
		server: o.Server, at: o.At, began: o.At}
	// A second delivery by another route says something about that route alone.
	if it.Delivery.Mailbox > 0 && int64(it.Delivery.Box) == int64(it.Delivery.Mailbox) {
		ob.mailbox = it.Delivery.Mailbox
	}
	if ob.sort != took && ob.sort != nothing {
		ob.reply = gist(o)
	}
	return ob
}

// sortOf classifies an outcome.
func sortOf(o *doppelboden.Outcome) sort {
	switch {
	case o.Verdict == doppelboden.Took:
		return took
	case o.InDoubt:
		return broken
	case o.Scope == doppelboden.AboutRoute && beforeMail(o.Phase):
		return silent
	case o.Scope == doppelboden.AboutRoute:
		return broken
	case o.Reply.Code == 0: // in our own words: the groupware has said nothing
		return nothing
	case detail(o.Reply.Enhanced) == "5.3": // RFC 3463, section 3.6: too many recipients
		return nothing
	case isOwn(o.Reply):
		return own
	case o.Scope == doppelboden.AboutMessage:
		return message
	case o.Verdict == doppelboden.Refused:
		return refused
	}
	return deferred
}

// beforeMail reports whether a phase comes before the first word about a mail.
func beforeMail(phase string) bool {
	return phase == "connect" || phase == "greeting" || phase == "helo"
}

// detail returns subject and detail of an enhanced status code, such as "2.2".
func detail(enhanced string) string {
	_, rest, _ := strings.Cut(enhanced, ".")
	return rest
}

// isOwn reports whether a reply speaks of a trouble that one mailbox has for itself. RFC
// 3463, section 3.3: X.2.2 is a full mailbox, X.2.3 one that takes no mail as long as this.
func isOwn(r doppelboden.Reply) bool {
	if d := detail(r.Enhanced); d == "2.2" || d == "2.3" {
		return true
	}
	text := strings.ToLower(r.Text)
	for _, word := range [...]string{"greylist", "graylist", "grey-list", "over quota", "quota exceeded", "mailbox full", "mailbox is full"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// maxGist bounds what is kept of a reply, in bytes.
const maxGist = 200

// gist returns a reply with its phase and without what differs from mail to mail:
// addresses, numbers of transactions, times.
func gist(o *doppelboden.Outcome) string {
	var b strings.Builder
	if o.Reply.Code != 0 {
		b.WriteByte(byte('0' + o.Reply.Code/100%10))
		b.WriteByte(byte('0' + o.Reply.Code/10%10))
		b.WriteByte(byte('0' + o.Reply.Code%10))
	} else {
		b.WriteString(o.Phase + ":")
	}
	for word := range strings.FieldsSeq(o.Reply.Text) {
		if varies(word) {
			word = "…"
		}
		if strings.HasSuffix(b.String(), " …") && word == "…" {
			continue
		}
		if b.Len()+1+len(word) > maxGist {
			break
		}
		b.WriteString(" " + word)
	}
	return b.String()
}

// varies reports whether a word is an address or looks like the number of something: five
// digits, or letters and at least two digits in a word of eight or more.
func varies(word string) bool {
	if strings.Contains(word, "@") {
		return true
	}
	digits, letters, others := 0, 0, 0
	for _, r := range word {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
			letters++
		default:
			others++
		}
	}
	return digits >= 5 || digits >= 2 && letters > 0 && digits+letters+others >= 8
}

// A record is what is known of one mailbox. Mailboxes without one are unknown.
type record struct {
	lane  *lane
	took  time.Time // last; zero: never, as far as we know
	well  time.Time // since when it is taken again, without a failure; zero: nothing failed before
	fail  time.Time // last
	first time.Time // first of those in a row
	fails int       // in a row; a mail that fails again for its own sake counts once
	sort  sort      // of the last
	mail  doppelboden.ID
	reply string
	host  string
}

// failing reports whether the last answer was a bad one.
func (r *record) failing() bool { return r != nil && r.fails > 0 }

// add notes an answer for the mailbox.
func (r *record) add(o *observation) {
	if o.sort == took {
		if r.fails > 0 {
			r.well = o.at
		}
		r.took, r.fails, r.host = o.at, 0, o.server
		return
	}
	same := r.fails > 0 && r.mail == o.mail && (o.sort == message || o.sort == broken)
	if r.fails == 0 {
		r.first, r.well = o.at, time.Time{}
	}
	if !same {
		r.fails++
	}
	r.fail, r.sort, r.mail, r.reply, r.host = o.at, o.sort, o.mail, o.reply, o.server
}

// A lane is what is known of one route.
type lane struct {
	key    string // tenant/name
	tenant doppelboden.TenantID
	name   string

	heard   time.Time // last answer of any kind, good or bad, also that nobody answers
	spoke   time.Time // last time that somebody answered
	took    time.Time // last mail that was taken
	answers time.Time // since when it answers; zero: it does not, as far as we know
	fails   int       // in a row without a word about mail
	since   time.Time // when the first of these began
	reply   string    // what the last of them was
	host    string
	busy    time.Time // since when transactions are in flight and none has ended; zero: none is, or one has
	probed  time.Time // when the last probe was sent
	asking  bool      // a probe is under way
	failing map[doppelboden.MailboxID]*record
	looked  time.Time // when failing was last looked through
	fresh   bool      // something failed since
}

// add notes an answer of the route.
func (l *lane) add(o *observation) {
	if o.at.After(l.heard) {
		l.heard = o.at
	}
	if o.sort != answered {
		l.busy = time.Time{}
	}
	if o.sort == silent {
		if l.fails == 0 {
			l.since = o.began
		}
		l.fails++
		l.answers = time.Time{}
		l.reply, l.host = o.reply, o.server
		return
	}
	if o.sort == broken {
		return // neither well nor dead; the mailboxes tell
	}
	l.fails = 0
	l.spoke = o.at
	if l.answers.IsZero() {
		l.answers = o.at
	}
	if o.sort == took {
		l.took = o.at
	}
}

// dead reports whether the route talks to nobody.
func (l *lane) dead(p *Pace, now time.Time) bool {
	return l.fails >= 2 && now.Sub(l.since) >= p.Dead || !l.busy.IsZero() && now.Sub(l.busy) >= p.Hung
}
