package folder

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/disk/diskfault"
	"doppelboden/intake"
	"doppelboden/landing"
	"doppelboden/ledger"
	"doppelboden/segment"
	"doppelboden/store"
	"doppelboden/store/sqlite"

	"github.com/prometheus/client_golang/prometheus"
)

// ctx is the context of calls that nobody cancels.
var ctx = context.Background()

// A tester is what is told of failures: a testing.T or a rapid.T.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// A town is a node's cellar with an intake and a room: a database on the disk, and a landing
// and segments on a disk whose power can be cut.
type town struct {
	t    tester
	dir  string
	disk *diskfault.Disk

	db      *sqlite.Store
	landing *landing.Landing
	bodies  *segment.Store
	intake  *intake.Intake
	room    *Room
	stop    func()

	mu    sync.Mutex
	now   time.Time
	fault func(op string) error // of the disk
	scan  doppelboden.ScanState // what a scanner says
	most  int                   // recipients in an hour
	told  []string              // of whom Limited was told
	used  []doppelboden.MailboxID
	here  map[doppelboden.MailboxID]bool

	tenants []doppelboden.Tenant // stadt and kreis
	anna    doppelboden.Mailbox
	bert    doppelboden.Mailbox
	carl    doppelboden.Mailbox // of kreis
}

// newTown opens a town. dir is a folder of its own for the database.
func newTown(t tester, dir string) *town {
	w := &town{t: t, dir: dir, disk: new(diskfault.Disk), now: time.Date(2026, 3, 14, 9, 26, 0, 0, time.UTC), most: 1000, here: map[doppelboden.MailboxID]bool{}}
	w.disk.Fault = func(op, _ string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case op == diskfault.OpAllocate:
			return syscall.EOPNOTSUPP // else memory would fill with zeros
		case w.fault != nil:
			return w.fault(op)
		}
		return nil
	}
	w.must(os.MkdirAll(filepath.Join(dir, "landing"), 0o700)) // whose free space is measured
	w.must(w.disk.Mkdir(dir))
	for above := dir; above != filepath.Dir(above); above = filepath.Dir(above) {
		w.must(w.disk.SyncDir(filepath.Dir(above)))
	}
	w.start()
	var err error
	w.tenants, err = w.db.PutTenants(ctx, []string{"stadt", "kreis"})
	w.must(err)
	boxes, err := w.db.PutMailboxes(ctx, []doppelboden.Mailbox{
		{Tenant: w.tenants[0].ID, Address: addr("anna@stadt.example"), Aliases: []doppelboden.Address{addr("amt@stadt.example")}, Kind: doppelboden.Person, Priority: 5},
		{Tenant: w.tenants[0].ID, Address: addr("bert@stadt.example"), Kind: doppelboden.Person, Priority: 5},
		{Tenant: w.tenants[1].ID, Address: addr("carl@kreis.example"), Kind: doppelboden.Person, Priority: 5},
	})
	w.must(err)
	w.anna, w.bert, w.carl = boxes[0], boxes[1], boxes[2]
	return w
}

// open is newTown for a plain test.
func openTown(t *testing.T) *town {
	t.Helper()
	w := newTown(t, t.TempDir())
	t.Cleanup(w.end)
	return w
}

func addr(s string) doppelboden.Address {
	a, err := doppelboden.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v", err)
	}
}

func (w *town) clock() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

func (w *town) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

func (w *town) setFault(f func(op string) error) { w.mu.Lock(); defer w.mu.Unlock(); w.fault = f }

// start opens everything, as after a boot.
func (w *town) start() {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	var err error
	if w.db == nil {
		w.db, err = sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(w.dir, "node.db"), Chain: ledger.NewChain("node", w.clock()), Clock: w.clock})
		w.must(err)
	}
	w.bodies, _, err = segment.Open(segment.Options{Dir: filepath.Join(w.dir, "segments"), Keys: plainKeys{}, Clock: w.clock, Log: log, FS: w.disk})
	w.must(err)
	w.landing, err = landing.Open(landing.Options{
		Dir: filepath.Join(w.dir, "landing"), Store: w.db, Chain: ledger.NewChain("node-landing", w.clock()), Sync: []func() error{w.bodies.Sync},
		Whole: w.whole, Drained: func(list []*doppelboden.Message) { w.room.Arrived(list) },
		Clock: w.clock, Log: log, Registry: prometheus.NewRegistry(), FS: w.disk,
	})
	w.must(err)
	w.intake, err = intake.New(intake.Options{
		Hostname: "mx.stadt.example", Directory: func() intake.Directory { return w }, Bodies: seals{w.bodies}, Store: w.landing, Tally: silent{},
		Log: log, Registry: prometheus.NewRegistry(), Clock: w.clock, CommitPatience: 20 * time.Millisecond,
		Internet: func(context.Context, doppelboden.TenantID, string) (doppelboden.BoxID, error) { return -1, nil },
		Checks:   []intake.Check{w},
	})
	w.must(err)
	w.room, err = New(Options{
		Store: w.db, Intake: w.intake, CatchUp: w.landing.CatchUp, Mail: courier.Options{Bodies: w.bodies, AuthservID: "mx.stadt.example"},
		Mailbox: w.mailbox, Most: func(doppelboden.Mailbox) int { w.mu.Lock(); defer w.mu.Unlock(); return w.most }, Node: "node", Log: log, Clock: w.clock,
		Limited: func(_ doppelboden.Mailbox, by string, _ int) { w.mu.Lock(); w.told = append(w.told, by); w.mu.Unlock() },
		Used:    func(m doppelboden.MailboxID) { w.mu.Lock(); w.used = append(w.used, m); w.mu.Unlock() },
		Here:    func(m doppelboden.MailboxID) bool { return w.here[m] }, MaxSize: 4 << 20,
	})
	w.must(err)
	run, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { w.landing.Run(run) })
	w.stop = func() { cancel(); work.Wait() }
}

// end closes everything in order.
func (w *town) end() {
	w.stop()
	w.landing.Close()
	w.bodies.Close()
	w.db.Close()
	w.db = nil
}

// crash cuts the power: what was not synced is there in part only. The database stays open:
// that what it has committed is there is its own test, and opening it is slow.
func (w *town) crash(pick func(n int) int) {
	w.t.Helper()
	w.stop()
	w.setFault(func(string) error { return errors.New("the power is off") })
	w.landing.Close() // writes nothing
	w.bodies.Close()
	w.setFault(nil)
	w.disk.Crash(pick)
	w.start()
}

// whole is landing.Options.Whole.
func (w *town) whole(m *doppelboden.Message) bool {
	r, err := w.bodies.Reader(m.Tenant, m.Body)
	if err != nil {
		return false
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err == nil
}

func (w *town) mailbox(id doppelboden.MailboxID) (doppelboden.Mailbox, bool) {
	for _, m := range []doppelboden.Mailbox{w.anna, w.bert, w.carl} {
		if m.ID == id {
			return m, true
		}
	}
	return doppelboden.Mailbox{}, false
}

// Find implements intake.Directory.
func (w *town) Find(_ *intake.Envelope, a doppelboden.Address) (intake.Found, error) {
	for _, m := range []doppelboden.Mailbox{w.anna, w.bert, w.carl} {
		if ownOf(m)(a) {
			return intake.Found{Tenant: m.Tenant, Targets: []intake.Target{{Mailbox: m.ID, Here: w.here[m.ID]}}}, nil
		}
	}
	if strings.HasSuffix(a.Domain, "stadt.example") {
		return intake.Found{}, &doppelboden.Error{Code: doppelboden.NoSuchMailbox, Public: "no such mailbox"}
	}
	return intake.Found{}, &doppelboden.Error{Code: doppelboden.Policy, Public: "not ours"}
}

// Check implements intake.Check.
func (w *town) Check(context.Context, *intake.Incoming) (intake.Finding, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return intake.Finding{Scan: w.scan}, nil
}

// arrive has a stranger send a mail and returns its id.
func (w *town) arrive(to, text string) doppelboden.ID {
	w.t.Helper()
	id, err := w.stranger(to, text)
	w.must(err)
	w.must(w.landing.CatchUp(ctx))
	return id
}

// stranger sends a mail from outside.
func (w *town) stranger(to, text string) (doppelboden.ID, error) {
	tx, err := w.intake.Begin(intake.Envelope{Door: "mx", Peer: "192.0.2.7", Helo: "mail.example.org", Proto: "ESMTP", Sender: addr("eva@example.org")})
	if err != nil {
		return doppelboden.ID{}, err
	}
	defer tx.Abort()
	if err := tx.Rcpt(ctx, intake.Recipient{Address: addr(to)}); err != nil {
		return doppelboden.ID{}, err
	}
	if _, err := io.WriteString(tx, text); err != nil {
		return doppelboden.ID{}, err
	}
	kept, err := tx.Commit(ctx)
	return kept.ID, err
}

// box opens anna's mailbox.
func (w *town) box() *Box { return w.room.Open(w.anna.Tenant, w.anna.ID, "person:1") }

// folderOf returns the folder with a use.
func (w *town) folderOf(b *Box, u store.Use) store.Folder {
	w.t.Helper()
	f, err := b.used(ctx, u)
	w.must(err)
	return f
}

// list returns what lies in the folder with a use, numbered.
func (w *town) list(b *Box, u store.Use) (list []store.Shown) {
	w.t.Helper()
	f := w.folderOf(b, u)
	_, err := b.Look(ctx, f.Folder)
	w.must(err)
	w.must(b.Shown(ctx, f.Folder, store.ShownFilter{}, func(s store.Shown) error { list = append(list, s); return nil }))
	return list
}

// read returns a mail as people see it.
func (w *town) read(b *Box, id doppelboden.ID) string {
	w.t.Helper()
	m, err := b.Open(ctx, id)
	w.must(err)
	r, err := m.Reader()
	w.must(err)
	defer r.Close()
	text, err := io.ReadAll(r)
	w.must(err)
	if int64(len(text)) != m.Size {
		w.t.Errorf("the mail has %d bytes, Size says %d", len(text), m.Size)
	}
	return string(text)
}

// to makes recipients.
func to(list ...string) (all []intake.Recipient) {
	for _, s := range list {
		all = append(all, intake.Recipient{Address: addr(s)})
	}
	return all
}

// outgoing is a mail from anna.
func outgoing(text string, list ...string) Outgoing {
	return Outgoing{From: addr("anna@stadt.example"), To: to(list...), Size: int64(len(text)), Body: strings.NewReader(text), Door: "webmail", Peer: "198.51.100.7"}
}

// deliveries returns all deliveries that the database has.
func (w *town) deliveries() (list []store.Item) {
	w.t.Helper()
	w.must(w.landing.CatchUp(ctx))
	w.must(w.db.Deliveries(ctx, store.Filter{}, func(it store.Item) error { list = append(list, it); return nil }))
	return list
}

// seals gives intake the segments' writers as its own interface.
type seals struct{ *segment.Store }

func (s seals) Create(t doppelboden.TenantID) (intake.BodyWriter, error) { return s.Store.Create(t) }

// plainKeys wraps keys with nothing.
type plainKeys struct{}

func (plainKeys) Wrap(t doppelboden.TenantID, key *[32]byte) ([]byte, int, error) {
	return append([]byte{byte(t)}, key[:]...), 1, nil
}

func (plainKeys) Unwrap(t doppelboden.TenantID, _ int, wrapped []byte) (key [32]byte, err error) {
	if len(wrapped) != 33 || wrapped[0] != byte(t) {
		return key, errors.New("not a key of this tenant")
	}
	copy(key[:], wrapped[1:])
	return key, nil
}

// silent is a tally that nobody reads.
type silent struct{}

func (silent) Intent(doppelboden.ID, int, time.Time) {}
func (silent) Sent(doppelboden.ID, time.Time)        {}
func (silent) Unsent(doppelboden.ID, time.Time)      {}
func (silent) Withdrawn(doppelboden.ID, time.Time)   {}
