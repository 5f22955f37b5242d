package account

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/harvest"
	"doppelboden/keyring"
	"doppelboden/store"
	"doppelboden/store/sqlite"
)

var ctx = context.Background()

// A world is a room over a real database, with a clock that tests move.
type world struct {
	t     testing.TB
	room  *Room
	store *sqlite.Store
	ring  *keyring.Ring
	path  string
	boxes map[string]doppelboden.MailboxID // by address

	mu     sync.Mutex
	now    time.Time
	dir    *city.Directory
	events map[doppelboden.MailboxID]time.Time // of the first city: who is in an event
	mails  []Notice
	texts  []string
	verify func(address, password string) (bool, error) // nil: the city has no directory

	covered map[doppelboden.MailboxID]harvest.Coverage // complete where nothing is said
	gaps    []harvest.Gap
	counts  int // how often it was asked how complete mailboxes are
}

const twoCities = `format = 1
[[tenant]]
name = "stadt"
domains = ["stadt.example"]
[[tenant.route]]
name = "here"
here = true
[tenant.accounts]
page = "https://notfall.stadt.example"
networks = ["192.0.2.0/24"]
%s
[[tenant]]
name = "kreis"
domains = ["kreis.example"]
[[tenant.route]]
name = "here"
here = true
[tenant.accounts]
language = "en"
page = "https://notfall.kreis.example"
`

// newWorld makes a world; lines belong to [tenant.accounts] of the first city.
func newWorld(t testing.TB, lines string) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC), path: filepath.Join(t.TempDir(), "store.db"), boxes: map[string]doppelboden.MailboxID{}}
	var err error
	w.store, err = sqlite.Open(ctx, sqlite.Options{Path: w.path, Chain: &chain{}, Clock: w.clock})
	w.must(err)
	t.Cleanup(func() { w.store.Close() })
	tenants, err := w.store.PutTenants(ctx, []string{"stadt", "kreis"})
	w.must(err)
	boxes, err := w.store.PutMailboxes(ctx, []doppelboden.Mailbox{
		w.box(1, "anna@stadt.example", "Anna Müller", doppelboden.Person, "Bürgerbüro", "a.mueller@stadt.example"),
		w.box(1, "bert@stadt.example", "Bert Groß", doppelboden.Person, "Bürgerbüro"),
		w.box(1, "clara@stadt.example", "Clara Weiß", doppelboden.Person, "Bauamt"),
		w.box(1, "buergerbuero@stadt.example", "Bürgerbüro", doppelboden.Function, "Bürgerbüro"),
		w.box(2, "dora@kreis.example", "Dora", doppelboden.Person, "Bürgerbüro"),
	})
	w.must(err)
	for _, b := range boxes {
		w.boxes[b.Address.String()] = b.ID
	}
	c, err := city.Parse("city.toml", fmt.Appendf(nil, twoCities, lines))
	w.must(err)
	w.dir = city.NewDirectory(c, tenants, boxes)
	key := filepath.Join(t.TempDir(), "master.key")
	w.must(keyring.NewMaster(key))
	master, err := keyring.LoadMaster(key)
	w.must(err)
	w.ring, err = keyring.Open(ctx, master, w.store, w.clock)
	w.must(err)
	w.must(w.ring.Ensure(ctx, []doppelboden.TenantID{tenants[0].ID, tenants[1].ID}))
	w.room = w.newRoom()
	return w
}

// newRoom makes a room as another node would have it.
func (w *world) newRoom() *Room {
	w.t.Helper()
	r, err := New(Options{
		Store: w.store, Directory: w.directory, Keys: w.ring, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Clock: w.clock,
		Page: func() string { return "https://node.example:8443" }, Events: w, Mailboxes: w, Notifier: w,
		Verify: func(_ context.Context, _ city.Tenant, a doppelboden.Address, password string) (bool, error) {
			if w.verify == nil {
				return false, fmt.Errorf("no directory")
			}
			return w.verify(a.String(), password)
		},
		Mail: func(_ context.Context, n Notice) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.mails = append(w.mails, n)
			return nil
		},
	})
	w.must(err)
	return r
}

// box makes a mailbox.
func (w *world) box(t doppelboden.TenantID, address, name string, kind doppelboden.MailboxKind, department string, aliases ...string) doppelboden.Mailbox {
	m := doppelboden.Mailbox{Tenant: t, Address: addr(w.t, address), Name: name, Kind: kind, Department: department, Priority: 5}
	for _, a := range aliases {
		m.Aliases = append(m.Aliases, addr(w.t, a))
	}
	return m
}

func addr(t testing.TB, s string) doppelboden.Address {
	t.Helper()
	a, err := doppelboden.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// forward moves the clock.
func (w *world) forward(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) directory() *city.Directory {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dir
}

// change puts changed mailboxes into the directory.
func (w *world) change(boxes ...doppelboden.Mailbox) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dir = w.dir.With(boxes)
}

// leave takes a person out of the directory.
func (w *world) leave(address string) {
	m, _ := w.directory().Mailbox(w.boxes[address])
	m.Gone = w.clock()
	w.change(m)
}

// Now implements Events.
func (w *world) Now(t doppelboden.TenantID) bool { return len(w.Concerned(t)) > 0 }

// Concerned implements Events.
func (w *world) Concerned(t doppelboden.TenantID) map[doppelboden.MailboxID]time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t != 1 {
		return nil
	}
	return w.events
}

// Send implements Notifier.
func (w *world) Send(_ context.Context, _ doppelboden.TenantID, to doppelboden.Phone, text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, string(to)+": "+text)
	return nil
}

// person returns somebody by her address.
func (w *world) person(address string) Person {
	w.t.Helper()
	p, ok := w.room.Find(addr(w.t, address))
	if !ok {
		w.t.Fatalf("nobody has the address %s", address)
	}
	return p
}

// home is where people work from when a test says nothing else: a stranger's network.
var home = netip.MustParseAddr("198.51.100.7")

// web is an attempt at the web's door.
func web(user, password string) Attempt {
	return Attempt{Door: DoorWeb, Peer: home, User: user, Password: password}
}

const good = "drei kleine worte"

// enrolled gives a person a password, by way of a sheet, and returns her session.
func (w *world) enrolled(address string) Login {
	w.t.Helper()
	sheets, err := w.room.Sheets(ctx, []Person{w.person(address)}, true, "test")
	w.must(err)
	l, err := w.room.LogIn(ctx, web("", sheets[0].Code))
	w.must(err)
	l, err = w.room.Step(ctx, l.Session, NeedsPassword, good)
	w.must(err)
	return l
}

// code reports an error whose code is not the wanted one.
func code(t testing.TB, what string, err error, want doppelboden.Code) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, wanted %v", what, want)
	} else if got := doppelboden.CodeOf(err); got != want {
		t.Errorf("%s: %v (%v), wanted %v", what, got, err, want)
	}
}

// A chain makes links as the store needs them.
type chain struct{ head doppelboden.Link }

func (c *chain) Next(at time.Time, entries []doppelboden.Entry) doppelboden.Link {
	l := doppelboden.Link{Chain: "test", Number: c.head.Number + 1, Prev: c.head.Hash, At: at, Entries: []byte{1}}
	l.Hash = sha256.Sum256(fmt.Appendf(nil, "%d", l.Number))
	return l
}

func (c *chain) Advance(l doppelboden.Link) { c.head = l }

var _ store.Chain = (*chain)(nil)
