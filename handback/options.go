package handback

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/courier"
	"doppelboden/intake"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// Store is what the way back needs of the database; its contract is in package store.
type Store interface {
	store.Handbacks
	Folders(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) ([]store.Folder, error)
	Deeds(ctx context.Context, f store.DeedFilter, yield func(store.Deed) error) error
	DeedCounts(ctx context.Context) ([]store.DeedCount, error)
	Returned(ctx context.Context, lease store.Lease, list []store.Returned) error
	CopiesOf(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, ids []doppelboden.ID) ([]doppelboden.Copy, error)
	Harvested(ctx context.Context, f store.HarvestFilter, yield func(store.Harvest) error) error
	HarvestFolders(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) ([]store.HarvestFolder, error)
	Message(ctx context.Context, id doppelboden.ID) (*doppelboden.Message, error)
}

// A Backend opens mailboxes of one groupware to change what lies in them; see
// mailbox.IMAP.Change, whose errors it has.
type Backend interface {
	Change(ctx context.Context, owner doppelboden.Address) (mailbox.Changer, error)
}

// A Place is where a mailbox lies in the groupware.
type Place struct {
	Tenant     doppelboden.TenantID
	Route      string              // the route's key
	Backend    Backend             // nil: nobody gets into its mailboxes
	Owner      doppelboden.Address // what the groupware knows the mailbox by
	Department string              // may be empty
	Priority   int                 // 0 to 9; 9 goes first
	// AtOnce is how many mailboxes of the route are worked on at once; half of it while the
	// route has old mail to take.
	AtOnce int
}

// Letters writes mails to owners; see intake.Returner.
type Letters interface {
	From(t doppelboden.TenantID) doppelboden.Address
	Letter(ctx context.Context, l intake.Letter) error
}

// Options say what a Room works with. All fields must be set unless a default is named.
type Options struct {
	Store Store
	Lease func() store.Lease
	// Mail says how a mail is read: as the courier hands it over. Of it Bodies, AuthservID,
	// Marks and MayDot are used.
	Mail courier.Options
	// Place returns where a mailbox lies now; false when it is none of a groupware.
	Place func(doppelboden.MailboxID) (Place, bool)
	// Well reports whether the groupware works for a mailbox: it is in no event, and its route
	// takes mail.
	Well func(doppelboden.MailboxID) bool
	// Busy reports whether a route has mail to take that waited for long.
	Busy func(route string) bool
	// Clear reports whether no mail waits for a mailbox.
	Clear func(doppelboden.MailboxID) bool
	// Event returns the event that a mailbox was in at a time, and when it began: 0 for none.
	// It need not be over. Less than 0 stands for a mailbox that did not work by itself.
	Event func(ctx context.Context, m doppelboden.MailboxID, at time.Time) (number int64, since time.Time, err error)
	// Stopped reports whether nothing may go to a tenant's groupware, as in attack mode. What is
	// being said to it at that moment is said to its end.
	Stopped func(doppelboden.TenantID) bool
	// Older returns when the database last came back older than it was, or the zero time: mail
	// that was made here before may have gone back although nobody knows of it.
	Older func() time.Time // default: it never did
	// Language returns in which language the owner of a mailbox reads: "de" or "en".
	Language func(doppelboden.MailboxID) string
	Letters  Letters
	// Hostname is our name in the Message-IDs of letters.
	Hostname string
	// Touch is told of mailboxes in which something was done since the last time, for mail that
	// waits for them.
	Touch    func(doppelboden.MailboxID)
	Log      *slog.Logger
	Registry prometheus.Registerer

	Clock func() time.Time // default time.Now
	Timer clock.Timer      // waits by it; default real time
	Pace  Pace             // default DefaultPace
}

func (o *Options) validate() error {
	if o.Store == nil || o.Lease == nil || o.Mail.Bodies == nil || o.Mail.MayDot == nil || o.Place == nil || o.Well == nil || o.Busy == nil ||
		o.Clear == nil || o.Touch == nil || o.Event == nil || o.Stopped == nil || o.Language == nil || o.Letters == nil || o.Hostname == "" || o.Log == nil || o.Registry == nil {
		return errors.New("handback: an option is not set")
	}
	if o.Older == nil {
		o.Older = func() time.Time { return time.Time{} }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Timer = clock.Or(o.Timer)
	if o.Pace == (Pace{}) {
		o.Pace = DefaultPace()
	}
	return nil
}

// A Pace says when and how much goes back.
type Pace struct {
	Every time.Duration // between two looks at which mailboxes have deeds
	// Calm is how long a mail must have been left alone before it goes back, so that a draft
	// that is saved every few seconds does not fill the bin there.
	Calm time.Duration
	// Quiet is how long nothing must have been done in a mailbox before its owner gets a letter
	// about it.
	Quiet time.Duration
	// Patience is how long something must have been refused for a reason that may pass before a
	// letter tells of it as of what stays here.
	Patience time.Duration
	// First and Most are the shortest and the longest time before a mailbox, or a route, that
	// failed is tried again.
	First, Most time.Duration
	// Late is after how long it is an alarm that deeds of a mailbox that is well do not go back.
	Late time.Duration
	// Rest is how many times as long as a mailbox took nobody works on its route after it, for
	// each of those who do; ten times as much while the route has old mail to take.
	Rest float64
}

// DefaultPace is what a city's groupware bears beside its own work.
func DefaultPace() Pace {
	return Pace{Every: 5 * time.Second, Calm: 20 * time.Second, Quiet: 10 * time.Minute, Patience: 24 * time.Hour, First: 15 * time.Second, Most: 30 * time.Minute,
		Late: time.Hour, Rest: 0.25}
}
