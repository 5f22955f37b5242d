package harvest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/intake"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// Store is what this package needs of the database.
type Store interface {
	store.Harvests
	store.Folders
	Message(ctx context.Context, id doppelboden.ID) (*doppelboden.Message, error)
}

// Intake makes messages; see intake.Intake.
type Intake interface {
	Begin(e intake.Envelope) (*intake.Transaction, error)
	CommitAll(ctx context.Context, list []*intake.Transaction) ([]intake.Kept, error)
}

// Keys wraps the keys of sums; see keyring.Ring.
type Keys interface {
	Wrap(t doppelboden.TenantID, key *[32]byte) (wrapped []byte, version int, err error)
	Unwrap(t doppelboden.TenantID, version int, wrapped []byte) ([32]byte, error)
}

// Bodies reads the bodies of messages; see segment.Store.
type Bodies interface {
	Reader(t doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error)
}

// A Backend opens mailboxes of a groupware; see mailbox.IMAP.
type Backend interface {
	Mirror(ctx context.Context, owner doppelboden.Address) (mailbox.Mirror, error)
}

// A Route is a route whose mailboxes are filled.
type Route struct {
	Key     string // tenant/name
	Tenant  doppelboden.TenantID
	Here    bool    // its mailboxes lie here and nowhere else
	Backend Backend // nil: its mailboxes are not read
	Days    int     // so many days back they are read
	AtOnce  int     // so many mailboxes are read at once at most; 0: one
	Hairpin bool    // its groupware is said to send mail between colleagues through us
	Relay   bool    // the tenant's groupware sends through us
	Journal bool    // journal reports are taken for the tenant
}

// A Journal says who reports to a tenant's journal address.
type Journal struct {
	Tenant  doppelboden.TenantID
	Senders []string // names of the senders that may, within the tenant
	// Postmaster is the mailbox that keeps what could not be understood; 0: there is none.
	Postmaster doppelboden.MailboxID
	Shut       bool // reports are not taken now: attack mode
}

// Options say what a Room works with. All fields must be set unless a default is named.
type Options struct {
	Store  Store
	Intake Intake
	Bodies Bodies
	Keys   Keys
	Lease  func() store.Lease
	// CatchUp waits until everything that was accepted before is in the store; see
	// landing.Landing.
	CatchUp func(ctx context.Context) error
	// Routes returns the routes of all tenants, by key.
	Routes func() map[string]Route
	// Mailboxes returns the mailboxes of a route, those that come first at first.
	Mailboxes func(route string) []doppelboden.Mailbox
	// Place returns the route of a mailbox; false: it is not in the directory.
	Place func(doppelboden.MailboxID) (route string, box doppelboden.Mailbox, ok bool)
	// Owners returns the mailboxes behind an address of a tenant: one, or the members of a
	// list. ours says whether its domain is one of the tenant's.
	Owners func(t doppelboden.TenantID, a doppelboden.Address) (boxes []doppelboden.MailboxID, ours bool)
	// Journal returns who may report to an address; false: it is no journal address.
	Journal func(doppelboden.Address) (Journal, bool)
	// Held reports why the mailboxes of a route are left alone now; "": they are not.
	Held func(route string) string
	// Changed is told of mailboxes in which something of ours changed; default: nobody is.
	Changed  func(doppelboden.MailboxID)
	Log      *slog.Logger
	Registry prometheus.Registerer
	Kept     func() time.Time // before this retention may have removed mail
	Clock    func() time.Time // default time.Now
	Timer    clock.Timer      // default real time
	Pace     Pace             // default DefaultPace
}

func (o *Options) validate() error {
	if o.Store == nil || o.Intake == nil || o.Bodies == nil || o.Keys == nil || o.Lease == nil || o.CatchUp == nil || o.Routes == nil ||
		o.Mailboxes == nil || o.Place == nil || o.Owners == nil || o.Journal == nil || o.Held == nil || o.Log == nil || o.Registry == nil || o.Kept == nil {
		return errors.New("harvest: all of Store, Intake, Bodies, Keys, Lease, CatchUp, Routes, Mailboxes, Place, Owners, Journal, Held, Log, Registry and Kept must be set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Changed == nil {
		o.Changed = func(doppelboden.MailboxID) {}
	}
	o.Timer = clock.Or(o.Timer)
	if o.Pace == (Pace{}) {
		o.Pace = DefaultPace()
	}
	return nil
}

// A Pace says how quickly mailboxes are read, and when what vanished is hidden.
type Pace struct {
	Every time.Duration // at least between the beginnings of two rounds
	Rest  int           // how many times as long as a look took nobody looks after it
	Slow  time.Duration // a look that took longer is followed by a rest four times as long
	Slice int           // how many mails of a mailbox that is not filled are read before it is another one's turn
	Flags time.Duration // how often all flags are compared where the server does not say what changed
	Mark  time.Duration // how often new messages are looked at, whether they are doubles
	// Trouble is how long a route is left alone after several mailboxes in a row could not be
	// read.
	Trouble time.Duration
	Delay   time.Duration // how long after a mail vanished it is hidden
	// When more than so many mails of a mailbox, and so many of a hundred, vanished at once,
	// none of them is hidden before a person says so.
	BoxMails, BoxPercent int
	// A mailbox of which so many of a hundred mails vanished counts as hit. When so many
	// mailboxes of a route, and so many of a hundred, are, nothing is hidden in any of them.
	HitPercent, RouteBoxes, RoutePercent int
}

// DefaultPace is how a city's groupware is read: each reader uses half of a connection.
func DefaultPace() Pace {
	return Pace{Every: 5 * time.Minute, Rest: 1, Slow: 3 * time.Second, Slice: 400, Flags: 15 * time.Minute, Mark: 5 * time.Second,
		Trouble: 5 * time.Minute, Delay: 24 * time.Hour, BoxMails: 30, BoxPercent: 25,
		HitPercent: 10, RouteBoxes: 5, RoutePercent: 10}
}
