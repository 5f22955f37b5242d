package harvest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/landing"
	"doppelboden/ledger"
	"doppelboden/segment"
	"doppelboden/store"
	"doppelboden/store/sqlite"
)

// ctx is the context of calls that nobody cancels.
var ctx = context.Background()

// A tester is what is told of failures: a testing.T or a rapid.T.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// A world is a node's cellar with an intake and a room that fills its mailboxes.
type world struct {
	t   tester
	dir string

	db      *sqlite.Store
	landing *landing.Landing
	bodies  *segment.Store
	intake  *intake.Intake
	room    *Room
	lease   store.Lease
	stop    func()

	mu     sync.Mutex
	now    time.Time
	route  Route
	held   string
	late   error // what CatchUp answers instead of waiting
	tenant doppelboden.Tenant
	boxes  []doppelboden.Mailbox // anna, bert, postmaster
	titles map[doppelboden.ID]string
}

const route = "stadt/groupware"

// newWorld opens a world. dir is a folder of its own.
func newWorld(t tester, dir string) *world {
	w := &world{t: t, dir: dir, now: time.Now().UTC().Truncate(time.Second)}
	w.must(os.MkdirAll(filepath.Join(dir, "landing"), 0o700))
	w.start()
	tenants, err := w.db.PutTenants(ctx, []string{"stadt"})
	w.must(err)
	w.tenant = tenants[0]
	var list []doppelboden.Mailbox
	for _, name := range []string{"anna", "bert", "postmaster"} {
		list = append(list, doppelboden.Mailbox{Tenant: w.tenant.ID, Address: addr(name + "@stadt.example"), Kind: doppelboden.Person, Priority: 5})
	}
	w.boxes, err = w.db.PutMailboxes(ctx, list)
	w.must(err)
	w.route = Route{Key: route, Tenant: w.tenant.ID, Days: 30, Journal: true}
	w.lease, err = w.db.Join(ctx, "node", w.now)
	w.must(err)
	return w
}

// open is newWorld for a plain test.
func open(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, t.TempDir())
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

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v", err)
	}
}

func (w *world) clock() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

func (w *world) setHeld(why string) { w.mu.Lock(); defer w.mu.Unlock(); w.held = why }

// start opens everything, as after a kill -9.
func (w *world) start() {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	var err error
	w.db, err = sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(w.dir, "node.db"), Chain: ledger.NewChain("node", w.clock()), Clock: w.clock, Synchronous: "OFF"})
	w.must(err)
	w.bodies, _, err = segment.Open(segment.Options{Dir: filepath.Join(w.dir, "segments"), Keys: plainKeys{}, Clock: w.clock, Log: log})
	w.must(err)
	w.landing, err = landing.Open(landing.Options{
		Dir: filepath.Join(w.dir, "landing"), Store: w.db, Chain: ledger.NewChain("node-landing", w.clock()), Sync: []func() error{w.bodies.Sync},
		Whole: func(*doppelboden.Message) bool { return true }, Drained: func(list []*doppelboden.Message) { w.room.Arrived(list) },
		Clock: w.clock, Log: log, Registry: prometheus.NewRegistry(),
	})
	w.must(err)
	w.intake, err = intake.New(intake.Options{
		Hostname: "mx.stadt.example", Directory: func() intake.Directory { return w }, Bodies: seals{w.bodies}, Store: w.landing, Tally: silent{},
		Log: log, Registry: prometheus.NewRegistry(), Clock: w.clock,
	})
	w.must(err)
	pace := DefaultPace()
	pace.Rest = 0
	w.room, err = New(Options{
		Store: w.db, Intake: w.intake, Bodies: w.bodies, Keys: plainKeys{}, Lease: func() store.Lease { return w.lease },
		CatchUp: func(ctx context.Context) error {
			if w.late != nil {
				return w.late
			}
			return w.landing.CatchUp(ctx)
		},
		Routes:    func() map[string]Route { return map[string]Route{route: w.route} },
		Mailboxes: func(string) []doppelboden.Mailbox { return w.boxes },
		Place: func(m doppelboden.MailboxID) (string, doppelboden.Mailbox, bool) {
			for _, b := range w.boxes {
				if b.ID == m {
					return route, b, true
				}
			}
			return "", doppelboden.Mailbox{}, false
		},
		Owners: func(_ doppelboden.TenantID, a doppelboden.Address) ([]doppelboden.MailboxID, bool) {
			for _, b := range w.boxes {
				if b.Address.Key() == a.Key() {
					return []doppelboden.MailboxID{b.ID}, true
				}
			}
			return nil, a.Domain == "stadt.example"
		},
		Journal: func(a doppelboden.Address) (Journal, bool) {
			return Journal{Tenant: w.tenant.ID, Senders: []string{"exchange"}, Postmaster: w.boxes[2].ID}, a == addr("journal@journal.example")
		},
		Held: func(string) string { w.mu.Lock(); defer w.mu.Unlock(); return w.held },
		Kept: func() time.Time { return w.clock().AddDate(0, 0, -30) },
		Log:  log, Registry: prometheus.NewRegistry(), Clock: w.clock, Pace: pace,
	})
	w.must(err)
	run, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { w.landing.Run(run) })
	w.stop = func() { cancel(); work.Wait() }
}

// end closes everything in order.
func (w *world) end() {
	w.stop()
	w.landing.Close()
	w.bodies.Close()
	w.db.Close()
}

// restart closes and opens everything again: what was only in memory is lost.
func (w *world) restart() {
	w.t.Helper()
	w.end()
	w.start()
	var err error
	w.lease, err = w.db.Join(ctx, "node", w.clock())
	w.must(err)
}

// Find implements intake.Directory.
func (w *world) Find(_ *intake.Envelope, a doppelboden.Address) (intake.Found, error) {
	for _, b := range w.boxes {
		if b.Address.Key() == a.Key() {
			return intake.Found{Tenant: w.tenant.ID, Targets: []intake.Target{{Mailbox: b.ID}}}, nil
		}
	}
	return intake.Found{}, &doppelboden.Error{Code: doppelboden.NoSuchMailbox, Public: "no such mailbox"}
}

// arrive has a mail come through a door and returns its id. From the groupware it leaves a
// copy among what its author sent.
func (w *world) arrive(door, from, text string, to ...string) doppelboden.ID {
	w.t.Helper()
	e := intake.Envelope{Door: door, Peer: "192.0.2.7", Helo: "mail.example.org", Proto: "ESMTP", Sender: addr(from)}
	if door == "submission" {
		e.Own = &intake.Own{Tenant: w.tenant.ID, Name: "exchange", SentBy: func(a doppelboden.Address) (doppelboden.MailboxID, bool) {
			boxes, _ := w.room.opts.Owners(w.tenant.ID, a)
			return slices.Concat(boxes, []doppelboden.MailboxID{0})[0], len(boxes) == 1
		}}
	}
	tx, err := w.intake.Begin(e)
	w.must(err)
	defer tx.Abort()
	for _, a := range to {
		w.must(tx.Rcpt(ctx, intake.Recipient{Address: addr(a)}))
	}
	_, err = io.WriteString(tx, text)
	w.must(err)
	kept, err := tx.Commit(ctx)
	w.must(err)
	w.must(w.landing.CatchUp(ctx))
	return kept.ID
}

// look reads one mailbox of the groupware once.
func (w *world) look(box doppelboden.Mailbox) (boxTally, error) {
	g := w.room.begin(w.route)
	seen, err := g.look(ctx, w.route, box)
	if err == nil {
		tally := roundTally{}
		tally.add(seen)
		w.room.tenant(w.tenant.ID).rounded(route, tally)
	}
	return seen, err
}

// fill reads a mailbox until it is filled.
func (w *world) fill(box doppelboden.Mailbox) {
	w.t.Helper()
	for range 100 {
		seen, err := w.look(box)
		w.must(err)
		if !seen.filling {
			return
		}
	}
	w.t.Fatalf("the mailbox %s is not filled after 100 looks", box.Address)
}

// A line is a mail as a mailbox of ours shows it.
type line struct {
	Folder, Subject string
	Flags           uint32
}

// shows returns all that a mailbox shows, hidden mails too, by folder and subject.
func (w *world) shows(box doppelboden.Mailbox) (list []line) {
	w.t.Helper()
	w.must(w.landing.CatchUp(ctx))
	w.must(w.room.catchUp(ctx, w.room.tenant(w.tenant.ID)))
	folders, err := w.db.Folders(ctx, box.Tenant, box.ID)
	w.must(err)
	for _, f := range folders {
		_, err := w.db.Look(ctx, f.Place)
		w.must(err)
		w.must(w.db.Shown(ctx, f.Place, store.ShownFilter{Hidden: true}, func(s store.Shown) error {
			list = append(list, line{f.Name, fmt.Sprint(s.Message), s.Flags})
			return nil
		}))
	}
	for i := range list {
		id, err := doppelboden.ParseID(list[i].Subject)
		w.must(err)
		list[i].Subject = w.subject(id)
	}
	slices.SortFunc(list, func(a, b line) int { return strings.Compare(a.Folder+"\x00"+a.Subject, b.Folder+"\x00"+b.Subject) })
	return list
}

// text returns the body of a message.
func (w *world) text(id doppelboden.ID) string {
	w.t.Helper()
	m, err := w.db.Message(ctx, id)
	w.must(err)
	r, err := w.bodies.Reader(m.Tenant, m.Body)
	w.must(err)
	defer r.Close()
	text, err := io.ReadAll(r)
	w.must(err)
	return string(text)
}

// subject returns the subject of a message.
func (w *world) subject(id doppelboden.ID) string {
	if w.titles == nil {
		w.titles = map[doppelboden.ID]string{}
	}
	if _, known := w.titles[id]; !known {
		w.titles[id] = fieldsOf([]byte(w.text(id))).subject
	}
	return w.titles[id]
}

// same reports what differs.
func same[T comparable](t tester, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// plainKeys wrap nothing.
type plainKeys struct{}

func (plainKeys) Wrap(_ doppelboden.TenantID, k *[32]byte) ([]byte, int, error) {
	return slices.Clone(k[:]), 1, nil
}

func (plainKeys) Unwrap(_ doppelboden.TenantID, _ int, wrapped []byte) (k [32]byte, err error) {
	copy(k[:], wrapped)
	return k, nil
}

// seals gives intake the segments' writers as its own interface.
type seals struct{ *segment.Store }

func (s seals) Create(t doppelboden.TenantID) (intake.BodyWriter, error) { return s.Store.Create(t) }

// silent is a tally that counts nothing.
type silent struct{}

func (silent) Intent(doppelboden.ID, int, time.Time) {}
func (silent) Sent(doppelboden.ID, time.Time)        {}
func (silent) Unsent(doppelboden.ID, time.Time)      {}
func (silent) Withdrawn(doppelboden.ID, time.Time)   {}
