package control

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/ledger"
	"doppelboden/tally"
)

// A Story is all that is known of one message.
type Story struct {
	ID doppelboden.ID `json:"id"`
	// Gone says that retention has removed the message; then only Events are filled in.
	Gone bool `json:"gone,omitempty"`

	Receipt  doppelboden.Receipt `json:"receipt"`
	Tenant   string              `json:"tenant"`
	Door     string              `json:"door"`
	Received time.Time           `json:"received"`
	Peer     string              `json:"peer"`
	Helo     string              `json:"helo"`   // hostile
	Sender   string              `json:"sender"` // hostile; empty: the null reverse-path
	Size     int64               `json:"size_bytes"`
	Scan     string              `json:"scan,omitempty"`   // as in Waiting
	Checks   []Verdict           `json:"checks,omitempty"` // of its sender, before it was kept
	Sum      string              `json:"sha256"`
	SMTPUTF8 bool                `json:"smtputf8,omitempty"`
	EightBit bool                `json:"eight_bit,omitempty"`
	Segment  string              `json:"segment"`

	Recipients int `json:"recipients"` // RCPT commands that were answered with 250
	Copies     int `json:"copies"`     // in mailboxes

	Deliveries []Part   `json:"deliveries"`
	Events     []Event  `json:"events"`            // in the order of time
	About      []string `json:"about,omitempty"`   // of a notice of ours: the deliveries that it is about, as id/n
	Confirmed  bool     `json:"confirmed"`         // the sender is its own: it may be told what became of the mail
	Notices    []Told   `json:"notices,omitempty"` // what its sender was told, in the order of time

	// Damage says what part of the doors' or couriers' logs cannot be read.
	Damage string `json:"damage,omitempty"`
}

// A Told is a notice of ours about a delivery.
type Told struct {
	N      int            `json:"n"`      // the delivery
	Notice doppelboden.ID `json:"notice"` // the message that tells of it
}

// A Part is one delivery of a message.
type Part struct {
	N         int       `json:"n"`
	Recipient string    `json:"recipient"` // hostile
	Mailbox   string    `json:"mailbox"`   // its address; empty for a recipient that is not ours
	Route     string    `json:"route"`
	State     string    `json:"state"`
	Attempts  int       `json:"attempts"`
	Next      time.Time `json:"next,omitzero"`
	Reply     string    `json:"last_reply,omitempty"` // hostile
	Changed   time.Time `json:"changed"`
}

// An Event is one thing that happened to a message, and who says so.
type Event struct {
	At     time.Time `json:"at"`
	Source string    `json:"source"` // "ledger", "door" or "courier"
	// What is, of the ledger: accepted, queued, held, delivered, confirmed, bounced,
	// discarded, read, expired; of a door: intent, sent, unsent, withdrawn; of a
	// courier: attempt, answer.
	What   string `json:"what"`
	N      int    `json:"n"`                // the delivery; -1: the whole message
	By     string `json:"by,omitempty"`     // of the ledger: who decided
	Note   string `json:"note,omitempty"`   // of the ledger
	Count  int    `json:"count,omitempty"`  // of accepted: deliveries; of intent: recipients
	Route  string `json:"route,omitempty"`  // of an attempt
	Phase  string `json:"phase,omitempty"`  // of an answer: where it was decided, as in doppelboden.Outcome
	Reply  string `json:"reply,omitempty"`  // of an answer: its codes, such as "250 2.0.0"; empty when none came
	Remote string `json:"remote,omitempty"` // of an answer: the next server's number for the mail; hostile
	Doubt  bool   `json:"doubt,omitempty"`  // of an answer: none came after the final dot
}

// Message tells the story of a message, by id or receipt.
func (c *Client) Message(ctx context.Context, id string) (Story, error) {
	var s Story
	err := c.ask(ctx, "GET", "/message", url.Values{"id": {id}}, nil, nil, &s)
	return s, err
}

func (d *Desk) story(ctx context.Context, c *call) (any, error) {
	id, _, err := d.find(ctx, c.query.Get("id"))
	if err != nil {
		return nil, err
	}
	dir := d.opts.House.Directory()
	s := Story{ID: id}
	from := id.Time()
	m, err := d.opts.Store.Message(ctx, id)
	switch {
	case err == nil:
		s.fill(dir, m)
		s.Checks = verdicts(m, d.opts.Node.Hostname)
		if err := d.told(ctx, &s); err != nil {
			return nil, err
		}
	case doppelboden.CodeOf(err) == doppelboden.NotFound:
		s.Gone = true
	default:
		return nil, fmt.Errorf("read the message: %w", err)
	}
	// The id's time is the first moment at which anybody can have written about it; one
	// minute more, for clocks are set.
	if err := d.events(ctx, &s, from.Add(-time.Minute), c.progress); err != nil {
		return nil, err
	}
	if s.Gone && len(s.Events) == 0 {
		return nil, notFound("no message has this id or receipt")
	}
	return s, nil
}

// fill takes over what the database knows.
func (s *Story) fill(dir *city.Directory, m *doppelboden.Message) {
	s.Receipt, s.Tenant, s.Door, s.Received = m.Receipt, dir.TenantName(m.Tenant), m.Door, m.Received
	s.Peer, s.Helo, s.Sender = m.Peer, m.Helo, m.Sender.String()
	s.Size, s.Sum, s.Segment = m.Body.Size, hex.EncodeToString(m.Body.Sum[:]), m.Body.Segment
	s.Scan = scanOf(m)
	s.SMTPUTF8, s.EightBit = m.SMTPUTF8, m.EightBit
	s.Recipients, s.Copies, s.Confirmed = m.Recipients, len(m.Copies), m.Confirmed
	for _, ref := range m.About {
		s.About = append(s.About, fmt.Sprintf("%s/%d", ref.Message, ref.N))
	}
	for _, d := range m.Deliveries {
		p := Part{N: d.N, Recipient: d.Recipient.String(), Route: routeOf(dir, d), State: d.State.String(),
			Attempts: d.Attempts, Next: d.Next, Reply: d.Reply, Changed: d.Changed}
		if box, ok := dir.Mailbox(d.Mailbox); ok {
			p.Mailbox = box.Address.String()
		}
		s.Deliveries = append(s.Deliveries, p)
	}
}

// told collects what the sender was told.
func (d *Desk) told(ctx context.Context, s *Story) error {
	notices, err := d.opts.Store.Notices(ctx, s.ID)
	if err != nil {
		return fmt.Errorf("read the notices: %w", err)
	}
	for _, n := range notices {
		s.Notices = append(s.Notices, Told{N: n.N, Notice: n.ID})
	}
	return nil
}

// events collects what the ledger and the tallies hold since from.
func (d *Desk) events(ctx context.Context, s *Story, from time.Time, progress func(Progress)) error {
	links := int64(0)
	err := d.opts.Store.Links(ctx, from, func(l doppelboden.Link) error {
		if links++; links%10_000 == 0 {
			progress(Progress{Step: "links", Done: links})
		}
		if l.Entries == nil {
			return nil // retention has removed the readable part
		}
		entries, err := ledger.Decode(l)
		if err != nil {
			return fmt.Errorf("link %d of %s: %w", l.Number, l.Chain, err)
		}
		for _, e := range entries {
			if e.Message == s.ID {
				s.Events = append(s.Events, fromLedger(e))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	if err := d.tallies(s, from); err != nil {
		return err
	}
	slices.SortStableFunc(s.Events, func(a, b Event) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.N, b.N))
	})
	return nil
}

// rank orders what has the same time: as it happens.
func rank(e Event) int {
	switch e.What {
	case "intent":
		return 0
	case "accepted":
		return 1
	case "sent", "unsent", "withdrawn":
		return 2
	case "attempt":
		return 3
	case "answer":
		return 4
	}
	return 5
}

func fromLedger(e doppelboden.Entry) Event {
	got := Event{At: e.At, Source: "ledger", N: -1, By: e.By, Note: e.Note}
	switch e.Kind {
	case doppelboden.EntryAccepted:
		got.What, got.Count = "accepted", e.Deliveries
	case doppelboden.EntrySettled:
		got.What, got.N = e.State.String(), e.N
	case doppelboden.EntryRead:
		got.What = "read"
	case doppelboden.EntryExpired:
		got.What = "expired"
	case doppelboden.EntryConfig:
		got.What = "config"
	}
	return got
}

// tallies adds what doors and couriers logged. Damage hides no more than what it hit.
func (d *Desk) tallies(s *Story, from time.Time) error {
	t := d.opts.Tallies
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the tallies: %w", err)
	}
	to := d.opts.Clock().Add(time.Minute) // clocks are set
	err := errors.Join(
		tally.ReadDoors(t.Doors, from, to, func(r tally.DoorRecord) error {
			if r.ID == s.ID {
				s.Events = append(s.Events, Event{At: r.At, Source: "door", What: r.Kind.String(), N: -1, Count: r.Recipients})
			}
			return nil
		}),
		tally.ReadReplies(t.Replies, from, to, func(r tally.ReplyRecord) error {
			if r.Ref.Message == s.ID {
				s.Events = append(s.Events, fromReply(r))
			}
			return nil
		}))
	var damage *tally.Damage
	if errors.As(err, &damage) {
		s.Damage = err.Error()
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the tallies: %w", err)
	}
	return nil
}

func fromReply(r tally.ReplyRecord) Event {
	e := Event{At: r.At, Source: "courier", What: r.Kind.String(), N: r.Ref.N, Route: r.Route,
		Phase: r.Phase, Remote: r.QueueID, Doubt: r.InDoubt}
	if r.Code != 0 {
		e.Reply = strings.TrimSpace(fmt.Sprintf("%d %s", r.Code, r.Enhanced))
	}
	return e
}
