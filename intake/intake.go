package intake

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"doppelboden"

	"github.com/prometheus/client_golang/prometheus"
)

// A Directory says who a recipient is. It is a snapshot in memory: asking costs about
// a microsecond, also when the city's own directory is dead. A distribution list costs as
// much for each of its members.
type Directory interface {
	// Find returns where mail for a goes, of which the envelope is known so far.
	// CodeOf(err) is Policy for what is not taken from this sender or not ours,
	// NoSuchMailbox, MailboxListStale, TenantPaused, TenantClosed or Temporary.
	Find(e *Envelope, a doppelboden.Address) (Found, error)
}

// Found is what is behind an address: usually one target.
type Found struct {
	Tenant  doppelboden.TenantID
	Targets []Target // at least one besides Outside, none of a mailbox twice
	// Outside are members of a list who are not in our domains. They get mail where the
	// tenant has a way to the Internet.
	Outside []doppelboden.Address
}

// A Target is one final recipient.
type Target struct {
	Mailbox   doppelboden.MailboxID // 0: nobody's of ours
	Box       doppelboden.BoxID     // whose order it waits in; 0: that of Mailbox
	Recipient doppelboden.Address   // whom the next server is asked for; null: as RCPT named it
	Here      bool                  // the mailbox copy is the delivery (route "here")
	Hold      string                // why the delivery begins held; "" when it doesn't
	// Through names the route when its next server's answers are given through to the
	// sender; else it is empty.
	Through string
}

// boxOf returns whose order a target waits in; 0 for mail that is nobody's.
func (t *Target) boxOf() doppelboden.BoxID {
	if t.Box != 0 {
		return t.Box
	}
	return doppelboden.BoxID(t.Mailbox)
}

// Bodies takes the bytes of messages; see segment.Store.
type Bodies interface {
	Put(t doppelboden.TenantID, plain []byte) (doppelboden.Body, error)
	Create(t doppelboden.TenantID) (BodyWriter, error)
	// Reader reads a body that Put or Close returned.
	Reader(t doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error)
}

// A BodyWriter takes a big body while it arrives; see segment.Writer.
type BodyWriter interface {
	io.Writer
	Close() (doppelboden.Body, error)
	Abort()
}

// Acceptor makes messages durable and has them handed over; see landing.Landing.
type Acceptor interface {
	Ready() error
	// AcceptAll is store.Acceptor's Accept for several messages, all in one commit.
	AcceptAll(ctx context.Context, list []*doppelboden.Message) (copies int, err error)
}

// Tally is the doors' own count; see tally.Doors.
type Tally interface {
	Intent(id doppelboden.ID, recipients int, at time.Time)
	Sent(id doppelboden.ID, at time.Time)
	Unsent(id doppelboden.ID, at time.Time)
	Withdrawn(id doppelboden.ID, at time.Time)
}

// Options say what an intake works with. All fields must be set unless a default is
// named.
type Options struct {
	Hostname  string           // our name in Received lines
	Directory func() Directory // the snapshot to use now
	Bodies    Bodies
	Store     Acceptor
	Tally     Tally
	Log       *slog.Logger
	Registry  prometheus.Registerer

	// Internet returns the box in which a tenant's mail for a domain of the Internet
	// waits; nil: own senders can send to the city alone.
	Internet func(ctx context.Context, t doppelboden.TenantID, domain string) (doppelboden.BoxID, error)
	// NextHop knows the next servers whose answers are given through; nil: there are none.
	NextHop NextHop

	// Checks look at every mail, side by side, after its last byte and before it is
	// kept; none by default.
	Checks []Check

	// Clock returns the time; default time.Now.
	Clock func() time.Time
	// Budget bounds the bytes of all bodies in memory; default 64 MiB, which is 256
	// bodies of the greatest size that is kept in memory.
	Budget int64
	// CommitPatience is how long a door may wait for a clean commit before it answers
	// 451; default 60 s, well below the ten minutes that a sender waits after the
	// final dot (RFC 5321, section 4.5.3.2.6).
	CommitPatience time.Duration
	// MostRecipients of one message; default 1,000. RFC 5321, section 4.5.3.1.8, asks
	// for at least 100.
	MostRecipients int
	// MostDeliveries of one message, which lists make of its recipients; default 20,000,
	// which one commit writes in about half a second.
	MostDeliveries int
}

func (o *Options) validate() error {
	if o.Hostname == "" || o.Directory == nil || o.Bodies == nil || o.Store == nil || o.Tally == nil ||
		o.Log == nil || o.Registry == nil {
		return errors.New("intake: all of Hostname, Directory, Bodies, Store, Tally, Log and Registry must be set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Budget <= 0 {
		o.Budget = 64 << 20
	}
	if o.CommitPatience <= 0 {
		o.CommitPatience = time.Minute
	}
	if o.MostRecipients <= 0 {
		o.MostRecipients = 1000
	}
	if o.MostDeliveries <= 0 {
		o.MostDeliveries = 20_000
	}
	return nil
}

// An Intake makes messages for the doors of one node.
type Intake struct {
	opts    Options
	ids     doppelboden.IDs
	budget  *budget
	buffers bufferPools
	metrics *metrics
}

// New returns an intake.
func New(o Options) (*Intake, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	b := &budget{most: o.Budget}
	return &Intake{opts: o, budget: b, metrics: newMetrics(o.Registry, b)}, nil
}

// An Envelope is what a door knows when a mail transaction begins.
type Envelope struct {
	Door     string // "mx" or "submission"
	Peer     string // the client's IP address
	PeerName string // its name in the DNS, or empty
	Helo     string // what it calls itself
	Proto    string // RFC 3848 and RFC 6531, section 4.3: "ESMTP", "ESMTPS", "UTF8SMTP"…
	TLS      string // such as "TLS1.3 TLS_AES_128_GCM_SHA256", or empty
	Sender   doppelboden.Address
	SMTPUTF8 bool
	EightBit bool
	Ret      string // RFC 3461, section 4.3
	EnvID    string // RFC 3461, section 4.4
	Size     int64  // RFC 1870, section 6: what the client announced, or 0

	Own *Own // the city's own sender who sends it; nil for strangers

	// Tenant is whose the mail is, when that is known before its recipients; else 0.
	Tenant doppelboden.TenantID
	// Copies come to lie in folders besides what the recipients get; Message is filled in,
	// and so is Date when it is zero. A mail with copies needs a Tenant and no recipient: then
	// nothing is put before it, and nobody checks it, for it goes nowhere. Its line ends are
	// mended.
	Copies []doppelboden.Copy
	ID     doppelboden.ID // of the message, made by NewID; zero: a new one

	Hop *Hop // the trusted hop that brings it; nil for none
	// Trusted are the Authentication-Results of the trusted hop, without the name of the
	// field: "authserv-id; spf=pass …". Checks see them; no door sets them. With a Hop,
	// Peer is empty for Checks when nobody knows the client.
	Trusted []string
}

// A Recipient is one RCPT command.
type Recipient struct {
	Address doppelboden.Address
	Notify  string // RFC 3461, section 4.1
	ORcpt   string // RFC 3461, section 4.2
}

// Kept is what the sender learns of a kept message.
type Kept struct {
	ID      doppelboden.ID
	Receipt doppelboden.Receipt
}

// Begin starts a transaction, or says why not now: the code is Busy or StorageFull.
func (in *Intake) Begin(e Envelope) (*Transaction, error) {
	if err := in.opts.Store.Ready(); err != nil {
		in.metrics.refused.WithLabelValues("not_ready").Inc()
		return nil, err
	}
	if in.budget.full() {
		in.metrics.refused.WithLabelValues("budget").Inc()
		return nil, errBusy()
	}
	if e.Own != nil {
		if err := e.Own.mayBegin(e.Sender); err != nil {
			return nil, err
		}
	}
	t := &Transaction{in: in, env: e, tenant: e.Tenant}
	if len(e.Copies) > 0 {
		t.mend = &mender{bol: true}
	}
	return t, nil
}

// NewID returns an id for Envelope.ID. It is to be used within some minutes: what is
// counted by time goes by ids.
func (in *Intake) NewID() doppelboden.ID { return in.ids.New(in.opts.Clock()) }

func errBusy() error {
	return &doppelboden.Error{Code: doppelboden.Busy, Public: "too much mail at this moment, please try again"}
}
