package doppelboden

import (
	"strconv"
	"time"
)

// A Message is what one SMTP transaction gave us: one body, one envelope, and a
// delivery for each final recipient. Only intake makes messages.
type Message struct {
	ID       ID
	Tenant   TenantID
	Receipt  Receipt   // the public number that the 250 carried
	Door     string    // by which it came: "mx", "submission", "journal", "sync", "generated", or one that people use
	Received time.Time // when the last byte had arrived
	Peer     string    // the client's IP address, or empty
	Helo     string    // the client's claim in EHLO, or empty
	Sender   Address   // reverse-path; null for DSNs

	SMTPUTF8 bool   // RFC 6531: header or envelope hold UTF-8
	EightBit bool   // RFC 6152: BODY=8BITMIME was declared
	Ret      string // RFC 3461, section 4.3: "FULL", "HDRS" or empty
	EnvID    string // RFC 3461, section 4.4: as it came (xtext), or empty

	Class     string    // which limits apply on the way out: "" for ordinary mail, ClassNotice
	Confirmed bool      // SPF, DMARC or a log-in confirmed the reverse-path: it may get DSNs
	Scan      ScanState // what the scanners said
	Scanned   time.Time // when they said it; zero: when the message was received

	Body   Body   // where the bytes lie
	Prefix []byte // header lines of ours that go before the body; each ends in CRLF

	// Recipients counts the RCPT commands that the door answered with 250. It differs
	// from len(Deliveries) by what was expanded (lists) or merged (two addresses of
	// one mailbox): len(Deliveries) = Recipients + Expanded - Merged.
	Recipients int
	Expanded   int
	Merged     int

	Deliveries []Delivery
	Copies     []Copy

	// About names the deliveries that a notice of ours tells of; of other mail, none.
	About []Ref
}

// A Body says where the bytes of a message lie and how to read them. It is made by
// package segment and is opaque to everybody else.
type Body struct {
	Segment    string   // name of the segment file below its folder
	Offset     int64    // of the record in the file, in bytes
	Size       int64    // length of the plain body, in bytes
	Key        []byte   // the body's own key, wrapped by the tenant's key
	KeyVersion int      // the version of the tenant's key that wraps Key
	Sum        [32]byte // SHA-256 of the plain body
}

// ClassNotice is the class of what we make ourselves: DSNs and delay notices.
const ClassNotice = "notice"

// A ScanState is what the scanners said about a message.
type ScanState int

const (
	// NotScanned: no scanner was configured when the message came.
	NotScanned ScanState = iota
	// Unscanned: a scanner did not answer. It is asked again before anybody gets the mail.
	Unscanned
	// Clean: every scanner had nothing against it.
	Clean
	// Spam: it is unwanted, and marked as such.
	Spam
	// Malware: it does harm, and waits in quarantine.
	Malware
	// Waived: nobody scanned it, or it is Malware, and a person or the configuration said
	// that it is handed over all the same.
	Waived
)

// String returns the state's name as logs, metrics and commands use it.
func (s ScanState) String() string {
	names := [...]string{"not scanned", "unscanned", "clean", "spam", "malware", "waived"}
	if s < 0 || int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// A State says where a delivery is on its way.
type State int

const (
	// Queued waits for its next attempt.
	Queued State = iota
	// Held waits for a person, or for a better day (promise 3).
	Held
	// Delivered was answered with a final 250 by the next server, or lies in a mailbox
	// whose route is "here".
	Delivered
	// Confirmed was seen in the mailbox by read-back.
	Confirmed
	// Bounced was returned to its sender.
	Bounced
	// Discarded was ended by a person, who said why.
	Discarded
)

// States lists all states in the order of the balance sheet.
func States() []State {
	return []State{Confirmed, Delivered, Queued, Held, Bounced, Discarded}
}

// String returns the state's name as the balance sheet has it.
func (s State) String() string {
	names := [...]string{"queued", "held", "delivered", "confirmed", "bounced", "discarded"}
	if s < 0 || int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// Ended reports whether nothing more is to be done for a delivery in this state.
func (s State) Ended() bool { return s != Queued && s != Held }

// A Delivery is one message for one final recipient. It is queued or held until it is
// delivered, bounced or discarded.
type Delivery struct {
	Seq       int64 // given by the store in the order of commits; 0 before Accept
	Message   ID
	N         int // position within the message, from 0
	Tenant    TenantID
	Mailbox   MailboxID // 0 when the recipient is not one of ours
	Box       BoxID     // whose order it waits in; 0 before Accept: that of Mailbox
	Recipient Address   // as RCPT named it; the next server is given the same
	Notify    string    // RFC 3461, section 4.1: as it came, or empty
	ORcpt     string    // RFC 3461, section 4.2: as it came, or empty
	State     State
	Attempts  int       // how many attempts were reported
	Next      time.Time // not before this; zero for at once
	Reply     string    // the last reply, one line of at most 1,000 bytes
	Changed   time.Time // when the state was last written
}

// A Ref names a delivery.
type Ref struct {
	Message ID
	N       int
}

// A Reply is what a next server said: RFC 5321, section 4.2.
type Reply struct {
	Code     int    // 0 when there was none
	Enhanced string // RFC 3463, such as "5.1.1", or empty
	Text     string // the lines joined by " / ", at most 1,000 bytes; hostile
}

// A Verdict is the class of an Outcome.
type Verdict int

const (
	// Uncertain is the zero value: nobody knows; it counts as temporary.
	Uncertain Verdict = iota
	// Took: a final 2xx for this recipient.
	Took
	// Later: a 4xx, a time-out, a broken connection, or nonsense.
	Later
	// Refused: a 5xx about this recipient or this message.
	Refused
)

// String returns the verdict's name as logs and metrics use it.
func (v Verdict) String() string {
	return [...]string{"uncertain", "took", "later", "refused"}[v]
}

// A Scope says what a verdict is about.
type Scope int

const (
	// AboutRoute: the connection, its greeting, our address; says nothing of the mail.
	AboutRoute Scope = iota
	// AboutMessage: MAIL, DATA or the final dot.
	AboutMessage
	// AboutRecipient: RCPT, or one LMTP reply after the dot.
	AboutRecipient
)

// String returns the scope's name as logs and metrics use it.
func (s Scope) String() string { return [...]string{"route", "message", "recipient"}[s] }

// An Outcome is what one attempt gave for one delivery. The courier reports it; the
// queue decides what follows.
type Outcome struct {
	Ref     Ref
	Verdict Verdict
	Scope   Scope
	Phase   string // where it was decided: "connect", "greeting", "helo", "mail", "rcpt", "data", "dot"
	Reply   Reply
	Server  string    // host:port that was asked, or empty
	InDoubt bool      // the final dot was sent and no answer came
	At      time.Time // when the answer came

	// Unnotified says that the server took the mail and has no DSN extension: RFC 3461,
	// section 5.2.2, has us tell senders who want to hear of that.
	Unnotified bool
}

// Line returns phase, server, code and text in one line, as it is stored with a delivery.
func (o Outcome) Line() string {
	line := o.Phase
	if o.Server != "" {
		line += " " + o.Server + ":"
	}
	if o.Reply.Code != 0 {
		line += " " + strconv.Itoa(o.Reply.Code)
	}
	return line + " " + o.Reply.Text
}

// A Settlement writes one delivery's new state. Queue makes them from outcomes, and
// the commands of people.
type Settlement struct {
	Ref     Ref
	Box     BoxID
	State   State
	Next    time.Time // for Queued: not before this
	Reply   string    // why: the next server's words, or a person's
	By      string    // "courier", or who decided
	Attempt bool      // whether this counts as an attempt
	At      time.Time
	Hold    Hold // for Held: why

	// Generated is a message that comes into being together with the settlement, such
	// as the DSN of a bounce, and only if the settlement takes effect; nil for none. One
	// message may go with several settlements of a call: then it comes once.
	Generated *Message
	// Copies come to lie in mailboxes together with the settlement, likewise: what
	// nobody can be told of lies with the postmaster.
	Copies []Copy
}
