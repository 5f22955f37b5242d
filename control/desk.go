package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/directory"
	"doppelboden/ledger"
	"doppelboden/queue"
	"doppelboden/scan"
	"doppelboden/store"
)

// Store is what the commands need of the database; store.Store has it all.
type Store interface {
	Ready() error
	Message(ctx context.Context, id doppelboden.ID) (*doppelboden.Message, error)
	Notices(ctx context.Context, message doppelboden.ID) ([]store.Notice, error)
	ByReceipt(ctx context.Context, r doppelboden.Receipt) (doppelboden.ID, error)
	Deliveries(ctx context.Context, f store.Filter, yield func(store.Item) error) error
	Counts(ctx context.Context) ([]store.Count, error)
	PutTenants(ctx context.Context, names []string) ([]doppelboden.Tenant, error)
	directory.Mailboxes
	PutListing(ctx context.Context, l store.Listing) error
	Mailboxes(ctx context.Context, yield func(doppelboden.Mailbox) error) error
	PutConfig(ctx context.Context, v store.ConfigVersion) (version int64, err error)
	Config(ctx context.Context, version int64) (store.ConfigVersion, error)
	Configs(ctx context.Context, yield func(store.ConfigVersion) error) error
	PutStanding(ctx context.Context, s store.Standing) error
	PutWays(ctx context.Context, ways []store.Way) error
	Copies(ctx context.Context, tenant doppelboden.TenantID, mailbox doppelboden.MailboxID, yield func(doppelboden.Copy) error) error
	Decisions
	PutScans(ctx context.Context, list []store.Scan) error
	HeldGroups(ctx context.Context, t doppelboden.TenantID, yield func(store.HeldGroup) error) error
	HeldWhy(ctx context.Context, seqs []int64) (map[int64]store.HeldWhy, error)
	Failing(ctx context.Context, t doppelboden.TenantID, yield func(store.Failing) error) error
	UnscannedCounts(ctx context.Context) ([]store.UnscannedCount, error)
	Note(ctx context.Context, entries ...doppelboden.Entry) error
	Links(ctx context.Context, from time.Time, yield func(doppelboden.Link) error) error
	LastKnot(ctx context.Context) (doppelboden.Knot, error)
	Alarms(ctx context.Context, since time.Time, yield func(doppelboden.Alarm) error) error
}

// Queue carries out what people decide and says what its lanes do; queue.Queue is one.
type Queue interface {
	Decide(ctx context.Context, d queue.Decision) (int, error)
	Status() []queue.LaneStatus
}

// House is the running node as far as a change of the city touches it.
type House interface {
	// Directory returns the snapshot that doors and lanes use now.
	Directory() *city.Directory
	// Prepare makes ready what tenants need before their first mail: a key. It may be
	// repeated.
	Prepare(ctx context.Context, tenants []doppelboden.Tenant) error
	// Install makes doors and lanes use d from now on. Connections to routes that are
	// as before are kept. After an error the old one is still in use.
	Install(ctx context.Context, d *city.Directory) error
	// Version returns the version of the configuration that the node runs.
	Version() int64
	// Pin notes that the node runs this version, so that it does so after a restart.
	Pin(ctx context.Context, version int64) error
	// Changing is held by whoever changes mailboxes or the city.
	Changing() sync.Locker
	// Listed makes the doors know again how old the lists of mailboxes are.
	Listed(ctx context.Context) error
	// Listings returns what the doors know of that.
	Listings() []store.Listing
	// Resolve says what becomes of mail for an address now; see city.Directory.Resolve.
	Resolve(a doppelboden.Address) (city.Resolution, error)
	// Assign gives mail that was held for nobody to a mailbox, and has it handed over.
	Assign(ctx context.Context, a store.Assignment) error
	// Listeners returns where the node listens, by the listener's name ("mx",
	// "metrics"), with the port that the system chose where the configuration says 0.
	Listeners() map[string]string
	// Space returns the bytes that are free and that there are on the disk of the data
	// folder.
	Space() (free, total int64, err error)
}

// Ledger answers the questions about what can be proved; the node's app joins package
// ledger with the store, the keys and the tallies' folders. progress is never nil.
type Ledger interface {
	// Balance is ledger.Balance over the node's three counts.
	Balance(ctx context.Context, from, to time.Time, progress func(ledger.Progress)) (doppelboden.Balance, error)
	// Verify is ledger.Verify with the node's public key and its exported knots.
	Verify(ctx context.Context, progress func(ledger.Progress)) (ledger.Report, error)
	// Export is ledger.Export.
	Export(ctx context.Context, w io.Writer, from, to time.Time) error
}

// Keys changes keys; the node's app joins the ring, the master file and the ledger.
type Keys interface {
	// Keys returns every version of every key that the node has, the master key's
	// first, and none of the keys themselves.
	Keys(ctx context.Context) ([]Key, error)
	// Rotate gives a tenant a new key and notes that in the ledger under the name of by;
	// both are done even when ctx ends. Then it waits until the body keys of all mails
	// are wrapped with it, and tells progress how many are; progress is never nil. When
	// ctx ends before, the node goes on alone. Each call makes a further version.
	Rotate(ctx context.Context, t doppelboden.Tenant, by string, progress func(bodies int64)) (Rotated, error)
	// RotateMaster gives the node a new master key, or goes on where a crash or an
	// error stopped the last change; it may be repeated after any error and is not
	// stopped by the end of ctx. The ledger has the note before the old key is removed.
	RotateMaster(ctx context.Context, by string) (Rotated, error)
}

// Tallies say where the logs of doors and couriers are; see package tally.
type Tallies struct {
	Doors   string       // the doors' folder
	Replies string       // the couriers' folder
	Flush   func() error // writes what both still hold in memory, so that it can be read
}

// Options say what a desk works with. All fields must be set.
type Options struct {
	Node        *city.Node
	Version     string               // of the program
	Started     time.Time            // when the node was ready
	Scanners    func() []scan.Status // how the scanners are; nil without any
	Appeals     Appeals              // nil: this node does not know when refused mail is tried again
	Database    func() Database      // how the database is; nil: it is always there
	Store       Store
	Queue       Queue
	House       House
	Ledger      Ledger
	Keys        Keys
	Backups     Backups
	Salvage     Salvage
	Replays     Replays // nil: this node hands no mail over
	Events      Events
	Modes       Modes // nil: nobody says how mailboxes are used
	Harvest     Harvest
	Handback    Handback // nil: this node hands nothing back
	Trust       Trust    // nil: no directory lets people in
	Accounts    Accounts
	Tallies     Tallies
	Directories Directories
	Clock       func() time.Time
	Log         *slog.Logger
}

func (o *Options) validate() error {
	switch {
	case o.Node == nil, o.Store == nil, o.Queue == nil, o.House == nil, o.Ledger == nil, o.Keys == nil, o.Backups == nil, o.Salvage == nil, o.Directories == nil, o.Events == nil, o.Tallies.Flush == nil, o.Clock == nil, o.Log == nil:
		return errors.New("control: an option is not set")
	}
	return nil
}

// A Desk answers the commands of people.
type Desk struct {
	opts Options

	// change is held by whoever changes mailboxes or the city, so that no directory is
	// built from an old one while another is installed.
	change sync.Locker

	previews previews
}

// NewDesk returns a desk.
func NewDesk(o Options) (*Desk, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Desk{opts: o, change: o.House.Changing()}, nil
}

// route returns the key of the route by which mail in a box goes, or "".
func route(d *city.Directory, b doppelboden.BoxID) string {
	if r, _, ok := d.RouteOfBox(b); ok {
		return r.Key()
	}
	return ""
}

// outward reports whether a delivery goes to the Internet.
func outward(d doppelboden.Delivery) bool { return d.Box < 0 && d.Mailbox == 0 }

// routeOf returns the key of a delivery's route, or of its tenant's way to the Internet.
func routeOf(dir *city.Directory, d doppelboden.Delivery) string {
	if t, ok := dir.City().Tenant(dir.TenantName(d.Tenant)); ok && outward(d) {
		return t.InternetKey()
	}
	return route(dir, d.Box)
}
