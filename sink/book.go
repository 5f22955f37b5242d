package sink

import (
	"maps"
	"strings"
	"sync"
	"time"
)

// A Message is one mail that was taken.
type Message struct {
	Number     int64       `json:"number"` // from 1, or behind the last in Options.Dir; the 250 says it
	At         time.Time   `json:"at"`     // when its last octet had come
	Helo       string      `json:"helo"`
	LMTP       bool        `json:"lmtp"`
	TLS        bool        `json:"tls"`
	Sender     string      `json:"sender"`     // what stood between < and >
	Parameters string      `json:"parameters"` // of MAIL, as they came
	Recipients []Recipient `json:"recipients"` // all that RCPT got a 2xx for
	Size       int64       `json:"size"`       // octets, with dots unstuffed
	Sum        string      `json:"sha256"`     // of Data, in hex
	MessageID  string      `json:"message_id,omitempty"`
	ReceivedID string      `json:"received_id,omitempty"` // "id" of the topmost Received field
	Data       []byte      `json:"-"`                     // with Everything; dots unstuffed
}

// A Recipient is one that RCPT named.
type Recipient struct {
	Address    string `json:"address"`    // what stood between < and >
	Parameters string `json:"parameters"` // of RCPT, as they came
	Taken      bool   `json:"taken"`      // the mail counts as taken for it
	Lost       bool   `json:"lost"`       // it was answered 250 and never lay in the mailbox
}

// Stats are the sink's counts.
type Stats struct {
	Since       time.Time `json:"since"`
	Seconds     float64   `json:"seconds"`     // how long it has been counting
	Connections int64     `json:"connections"` // ever
	Open        int64     `json:"open"`        // now
	TLS         int64     `json:"tls"`         // connections with a finished handshake

	Messages   int64     `json:"messages"`   // taken for one recipient at least
	Deliveries int64     `json:"deliveries"` // taken, by recipient
	Bytes      int64     `json:"bytes"`      // of Messages
	Lost       int64     `json:"lost"`       // recipients that got a 250 for nothing
	First      time.Time `json:"first,omitzero"`
	Last       time.Time `json:"last,omitzero"`
	// Duplicates are deliveries beyond the first of the same mail (by the id in our
	// Received field, else by Message-ID) to the same recipient.
	Duplicates int64 `json:"duplicates"`

	Refused map[string]int64 `json:"refused"` // answers that were no 2xx or 3xx, by phase
	Played  map[string]int64 `json:"played"`  // rules played, by phase and action or code
	Seen    Smuggling        `json:"seen"`

	// The rest is empty with Counts.
	ByRecipient map[string]int64 `json:"by_recipient,omitempty"` // deliveries; in lower case
	ByMessageID map[string]int64 `json:"by_message_id,omitempty"`
	ByReceived  map[string]int64 `json:"by_received_id,omitempty"`

	WriteErrors int64 `json:"write_errors"` // files that could not be written
}

// Smuggling counts what a careful client never sends. All zero is good.
type Smuggling struct {
	BareLF      int64 `json:"bare_lf"`       // in commands and mails
	BareCR      int64 `json:"bare_cr"`       // in commands and mails
	NUL         int64 `json:"nul"`           // in commands and mails
	Dot         int64 `json:"dot"`           // lines of a mail that begin with a single dot, and are not its end
	LongLines   int64 `json:"long_lines"`    // of a mail, over 1,000 octets; lawful senders exist
	EightBit    int64 `json:"eight_bit"`     // mails with 8-bit and without BODY=8BITMIME
	Early       int64 `json:"early"`         // octets behind DATA or STARTTLS before their answer
	OutOfOrder  int64 `json:"out_of_order"`  // commands where they do not belong
	Unknown     int64 `json:"unknown"`       // commands and arguments that nobody knows
	EmptyMails  int64 `json:"empty_mails"`   // mails without any octet
	OpenAtClose int64 `json:"open_at_close"` // connections that ended between 354 and the end of the mail
}

// Clean reports whether nothing that smuggles was seen: line ends, dots, NULs, and
// octets that came too early.
func (s Smuggling) Clean() bool {
	return s.BareLF == 0 && s.BareCR == 0 && s.NUL == 0 && s.Dot == 0 && s.Early == 0 && s.EmptyMails == 0
}

// A book keeps the counts.
type book struct {
	keep Keep

	mu       sync.Mutex
	since    time.Time
	counts   Stats // without its maps
	refused  map[string]int64
	played   map[string]int64
	to       map[string]int64
	ids      map[string]int64
	received map[string]int64
	seen     map[string]int64 // mail and recipient
	messages []Message
	changed  chan struct{} // closed at the next change; nil while nobody waits
}

// note changes the counts.
func (b *book) note(f func(*Stats)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.counts)
	b.wake()
}

// wake tells those who wait. b.mu is held.
func (b *book) wake() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// changes returns a channel that is closed at the next change.
func (b *book) changes() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// bump adds one to an entry of a map that may not be there yet.
func bump(m *map[string]int64, key string) int64 {
	if *m == nil {
		*m = make(map[string]int64)
	}
	(*m)[key]++
	return (*m)[key]
}

// refuse counts an answer that was no 2xx or 3xx.
func (b *book) refuse(phase string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	bump(&b.refused, phase)
	b.wake()
}

// rule counts a rule that is played.
func (b *book) rule(r *rule) {
	what := r.Action
	if what == "" && r.Reply != "" {
		what = r.Reply[:3]
	} else if what == "" {
		what = "delay"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	bump(&b.played, r.Phase+" "+what)
	b.wake()
}

// take records a mail whose answers are settled.
func (b *book) take(m Message, seen Smuggling) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.wake()
	b.counts.Seen.add(seen)
	taken := int64(0)
	for _, r := range m.Recipients {
		if r.Lost {
			b.counts.Lost++
		}
		if !r.Taken {
			continue
		}
		taken++
		if b.keep != Counts {
			b.recipient(&m, strings.ToLower(r.Address))
		}
	}
	if taken == 0 {
		return
	}
	if b.counts.First.IsZero() {
		b.counts.First = m.At
	}
	b.counts.Last = m.At
	b.counts.Messages++
	b.counts.Deliveries += taken
	b.counts.Bytes += m.Size
	if b.keep == Counts {
		return
	}
	bump(&b.ids, m.MessageID)
	bump(&b.received, m.ReceivedID)
	b.messages = append(b.messages, m)
}

// recipient counts one delivery. b.mu is held.
func (b *book) recipient(m *Message, to string) {
	bump(&b.to, to)
	id := m.ReceivedID
	if id == "" {
		id = m.MessageID
	}
	if id != "" && bump(&b.seen, id+"\x00"+to) > 1 {
		b.counts.Duplicates++
	}
}

// add adds what one mail showed.
func (s *Smuggling) add(o Smuggling) {
	s.BareLF += o.BareLF
	s.BareCR += o.BareCR
	s.NUL += o.NUL
	s.Dot += o.Dot
	s.LongLines += o.LongLines
	s.EightBit += o.EightBit
	s.Early += o.Early
	s.OutOfOrder += o.OutOfOrder
	s.Unknown += o.Unknown
	s.EmptyMails += o.EmptyMails
	s.OpenAtClose += o.OpenAtClose
}

// smuggled counts what was seen outside of a mail that was taken.
func (b *book) smuggled(o Smuggling) {
	if o == (Smuggling{}) {
		return
	}
	b.note(func(s *Stats) { s.Seen.add(o) })
}

// stats returns a copy of the counts.
func (b *book) stats(now time.Time) Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.counts
	s.Since, s.Seconds = b.since, now.Sub(b.since).Seconds()
	s.Refused, s.Played = maps.Clone(b.refused), maps.Clone(b.played)
	s.ByRecipient, s.ByMessageID, s.ByReceived = maps.Clone(b.to), maps.Clone(b.ids), maps.Clone(b.received)
	return s
}

// list returns a copy of the list of mails.
func (b *book) list() []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Message(nil), b.messages...)
}

// reset forgets everything but the open connections.
func (b *book) reset(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := b.counts.Open
	b.counts = Stats{Open: open}
	b.since = now
	b.refused, b.played, b.to, b.ids, b.received, b.seen, b.messages = nil, nil, nil, nil, nil, nil, nil
	b.wake()
}
