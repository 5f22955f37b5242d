package account

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"

	"github.com/go-webauthn/webauthn/webauthn"
)

// Store is what the room needs of the database.
type Store interface {
	store.Accounts
	Note(ctx context.Context, entries ...doppelboden.Entry) error
}

// Options say what a room works with. All fields must be set unless a default is named.
type Options struct {
	Store     Store
	Directory func() *city.Directory
	Keys      Wrapper
	Log       *slog.Logger
	Clock     func() time.Time // default time.Now

	// Page is the address of the emergency page where city.toml names none.
	Page func() string
	// Events says whether a tenant is in an event now, and which mailboxes are.
	Events Events
	// Mailboxes knows how complete mailboxes are.
	Mailboxes Mailboxes
	// Verify asks a tenant's directory whether a password is right. Its error says that
	// nobody knows. nil: passwords of the directory are never asked for.
	Verify func(ctx context.Context, t city.Tenant, a doppelboden.Address, password string) (bool, error)
	// Mail sends people a notice into their mailboxes. nil: none are sent.
	Mail func(ctx context.Context, n Notice) error
	// Notifier sends a short text to a telephone. nil: there is no way.
	Notifier Notifier

	// AtOnce bounds the passwords that are hashed at the same moment: each takes 19 MiB and
	// a processor, which acceptance needs more. Default: half of the processors, at least one.
	AtOnce int
	// Patience is how long a log-in waits for its turn; default 20 s, in which one turn
	// computes 800.
	Patience time.Duration
}

// A Notifier sends a short text to a telephone. The code is Invalid where the tenant has no
// way to send one; notify.Room is a Notifier.
type Notifier interface {
	Send(ctx context.Context, t doppelboden.TenantID, to doppelboden.Phone, text string) error
}

// Events is what a room asks about outages.
type Events interface {
	// Now reports whether a tenant has an event that has begun and lasts.
	Now(t doppelboden.TenantID) bool
	// Concerned returns the mailboxes of a tenant that are in one, and since when it lasts.
	Concerned(t doppelboden.TenantID) map[doppelboden.MailboxID]time.Time
}

// A Notice is a mail of ours to one person.
type Notice struct {
	Tenant  doppelboden.TenantID
	To      doppelboden.Address
	Subject string // UTF-8, one line
	Text    string // UTF-8, lines end in LF
}

func (o *Options) validate() error {
	if o.Store == nil || o.Directory == nil || o.Keys == nil || o.Log == nil || o.Page == nil || o.Events == nil || o.Mailboxes == nil {
		return errors.New("account: an option is not set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.AtOnce <= 0 {
		o.AtOnce = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.Patience <= 0 {
		o.Patience = 20 * time.Second
	}
	return nil
}

// A Room answers for the people of one node.
type Room struct {
	opts   Options
	hasher *hasher
	guard  *guard
	seen   *seen // passwords that were right a moment ago

	mu         sync.Mutex
	keys       map[doppelboden.TenantID][32]byte
	ceremonies map[string]*ceremony // of passkeys, by their name
	passkeys   map[string]*webauthn.WebAuthn
	opened     map[doppelboden.MailboxID]time.Time // when it was noted that somebody opened a mailbox
	doorsUntil map[doppelboden.TenantID]reading

	filledMu sync.Mutex // held while mailboxes are counted, so that many who ask cost one count
	filled   map[doppelboden.TenantID]filling
}

// New returns a room.
func New(o Options) (*Room, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Room{opts: o, hasher: newHasher(o.AtOnce, o.Patience), guard: newGuard(o.Clock), seen: newSeen(o.Clock),
		keys: map[doppelboden.TenantID][32]byte{}, ceremonies: map[string]*ceremony{},
		passkeys: map[string]*webauthn.WebAuthn{}, opened: map[doppelboden.MailboxID]time.Time{},
		doorsUntil: map[doppelboden.TenantID]reading{}, filled: map[doppelboden.TenantID]filling{}}, nil
}

// Open reports whether a door is open to a tenant's people now: always, or while there is an
// event or somebody has opened the doors for a drill. Codes can be used at a closed one.
func (r *Room) Open(t doppelboden.TenantID, door string) bool {
	conf, ok := r.accounts(t)
	if !ok {
		return false
	}
	return !conf.OnlyInEvents || r.opts.Events.Now(t) || r.opts.Clock().Before(r.doors(t))
}
