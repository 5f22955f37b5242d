package folder

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/courier"
	"doppelboden/intake"
	"doppelboden/store"
)

// Store is what the room needs from the database.
type Store interface {
	store.Folders
	store.Inside
	store.Sendings
	Message(ctx context.Context, id doppelboden.ID) (*doppelboden.Message, error)
}

// Intake makes messages; see intake.Intake.
type Intake interface {
	Begin(e intake.Envelope) (*intake.Transaction, error)
	CommitAll(ctx context.Context, list []*intake.Transaction) ([]intake.Kept, error)
	NewID() doppelboden.ID
}

// Options say what a room works with. All fields must be set unless a default is named.
type Options struct {
	Store  Store
	Intake Intake
	// CatchUp waits until everything that was accepted before is in the store; see
	// landing.Landing.
	CatchUp func(ctx context.Context) error
	// Mail says how people get to see a mail: as the courier would hand it over. Only
	// Bodies, AuthservID and Marks are used.
	Mail courier.Options
	// Mailbox returns what the directory knows of a mailbox; false when it does not.
	Mailbox func(doppelboden.MailboxID) (doppelboden.Mailbox, bool)
	// Most returns how many recipients a person may write to from a mailbox within an hour.
	Most func(doppelboden.Mailbox) int
	Node string // the name of this node, which no other one has
	Log  *slog.Logger

	// Limited is told of a person who wanted to write to more; nil: nobody is told.
	Limited func(m doppelboden.Mailbox, by string, most int)
	// Here reports whether a mailbox lies here and nowhere else, so that nothing goes back
	// to a groupware; nil: none does.
	Here func(doppelboden.MailboxID) bool
	// MaxSize bounds a mail, in bytes; 0: nothing does.
	MaxSize int64
	// Clock returns the time; default time.Now.
	Clock func() time.Time
	// Poll is the time between two looks for what other nodes did in watched mailboxes; 0:
	// there are no others.
	Poll time.Duration
	// Timer waits by Clock; default real time.
	Timer clock.Timer
	// Used is told of every mailbox in which somebody did something; nil: nobody is told.
	// Telephones open mailboxes and read what came, all night long: that is no use.
	Used func(doppelboden.MailboxID)
}

func (o *Options) validate() error {
	if o.Store == nil || o.Intake == nil || o.CatchUp == nil || o.Mail.Bodies == nil || o.Mailbox == nil || o.Most == nil || o.Node == "" || o.Log == nil {
		return errors.New("folder: all of Store, Intake, CatchUp, Mail.Bodies, Mailbox, Most, Node and Log must be set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Timer = clock.Or(o.Timer)
	return nil
}

// A Room opens the mailboxes of one node.
type Room struct {
	opts   Options
	texts  sync.Pool // of *courier.Text
	mails  sync.Pool // of *[]byte, the texts of mails of up to inPool bytes
	greats sync.Pool // the same of greater ones
	great  lent
	rates  *rates
	keys   keys

	mu       sync.Mutex
	watchers map[doppelboden.MailboxID]map[*watcher]struct{}
}

// New returns a room.
func New(o Options) (*Room, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Room{
		opts: o, texts: sync.Pool{New: func() any { return new(courier.Text) }}, rates: newRates(o.Clock),
		great: lent{of: map[string]int64{}}, watchers: map[doppelboden.MailboxID]map[*watcher]struct{}{},
	}, nil
}

// Open returns a mailbox to work with. by says who does, such as "person:12"; whether
// they may is the door's to know.
func (r *Room) Open(t doppelboden.TenantID, m doppelboden.MailboxID, by string) *Box {
	return &Box{room: r, tenant: t, mailbox: m, by: by}
}

// A Box is one mailbox as one person uses it. It may be used by several goroutines.
type Box struct {
	room    *Room
	tenant  doppelboden.TenantID
	mailbox doppelboden.MailboxID
	by      string
}
