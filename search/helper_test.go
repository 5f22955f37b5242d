package search

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/keyring"
	"doppelboden/ledger"
	"doppelboden/segment"
	"doppelboden/store"
	"doppelboden/store/postgres"
	"doppelboden/store/sqlite"
	"doppelboden/test/peer"

	"github.com/prometheus/client_golang/prometheus"
)

var ctx = context.Background()

// day is when tests begin.
var day = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// A town is a store with mailboxes, keys and bodies, all of them real.
type town struct {
	t       testing.TB
	dir     string
	db      store.Store
	ring    *keyring.Ring
	bodies  *segment.Store
	room    *Room
	tenants []doppelboden.Tenant
	anna    doppelboden.Mailbox
	bert    doppelboden.Mailbox
	carl    doppelboden.Mailbox // of the other tenant
	ids     doppelboden.IDs

	mu  sync.Mutex
	now time.Time
}

// newTown makes a town that works with SQLite.
func newTown(t testing.TB) *town {
	t.Helper()
	w := &town{t: t, dir: t.TempDir(), now: day}
	db, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(w.dir, "node.db"), Chain: ledger.NewChain("node", w.clock()), Clock: w.clock})
	w.must(err)
	return w.build(db)
}

// newTownOnPostgres makes a town that works with PostgreSQL.
func newTownOnPostgres(t *testing.T) *town {
	t.Helper()
	w := &town{t: t, dir: t.TempDir(), now: day}
	server := peer.For[*peer.PostgresServer](t, peer.Postgres{})
	db, err := postgres.Open(ctx, postgres.Options{DSN: server.DSN(), Chain: ledger.NewChain("node", w.clock()), Clock: w.clock})
	w.must(err)
	return w.build(db)
}

// build makes everything but the store.
func (w *town) build(db store.Store) *town {
	w.t.Helper()
	t, dir := w.t, w.dir
	w.db = db
	t.Cleanup(func() { w.db.Close() })
	var err error
	w.tenants, err = w.db.PutTenants(ctx, []string{"stadt", "kreis"})
	w.must(err)
	master := filepath.Join(dir, "master.key")
	w.must(keyring.NewMaster(master))
	key, err := keyring.LoadMaster(master)
	w.must(err)
	w.ring, err = keyring.Open(ctx, key, w.db, w.clock)
	w.must(err)
	w.must(w.ring.Ensure(ctx, []doppelboden.TenantID{w.tenants[0].ID, w.tenants[1].ID}))
	log := slog.New(slog.DiscardHandler)
	w.bodies, _, err = segment.Open(segment.Options{Dir: filepath.Join(dir, "segments"), Keys: w.ring, Clock: w.clock, Log: log})
	w.must(err)
	t.Cleanup(func() { w.bodies.Close() })
	boxes, err := w.db.PutMailboxes(ctx, []doppelboden.Mailbox{
		{Tenant: w.tenants[0].ID, Address: doppelboden.Address{Local: "anna", Domain: "stadt.example"}, Kind: doppelboden.Person, Priority: 5},
		{Tenant: w.tenants[0].ID, Address: doppelboden.Address{Local: "bert", Domain: "stadt.example"}, Kind: doppelboden.Person, Priority: 5},
		{Tenant: w.tenants[1].ID, Address: doppelboden.Address{Local: "carl", Domain: "kreis.example"}, Kind: doppelboden.Person, Priority: 5},
	})
	w.must(err)
	w.anna, w.bert, w.carl = boxes[0], boxes[1], boxes[2]
	w.room, err = New(Options{Store: w.db, Bodies: w.bodies, Keys: w.ring, Log: log, Registry: prometheus.NewRegistry(), Clock: w.clock})
	w.must(err)
	return w
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) clock() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

func (w *town) pass(d time.Duration) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
	return w.now
}

// message makes a message without accepting it.
func (w *town) message(mail string, boxes ...doppelboden.Mailbox) *doppelboden.Message {
	w.t.Helper()
	now := w.pass(time.Minute)
	m := &doppelboden.Message{ID: w.ids.New(now), Tenant: boxes[0].Tenant, Receipt: doppelboden.NewReceipt(now), Door: "mx", Received: now,
		Recipients: len(boxes), Prefix: []byte("Received: from there by us\r\n")}
	var err error
	m.Body, err = w.bodies.Put(m.Tenant, []byte(mail))
	w.must(err)
	for i, b := range boxes {
		m.Deliveries = append(m.Deliveries, doppelboden.Delivery{Message: m.ID, N: i, Tenant: b.Tenant, Mailbox: b.ID, Recipient: b.Address, Changed: now})
		m.Copies = append(m.Copies, doppelboden.Copy{Mailbox: b.ID, Folder: doppelboden.Inbox, Message: m.ID, Date: now})
	}
	return m
}

// accept keeps mail for mailboxes.
func (w *town) accept(mail string, boxes ...doppelboden.Mailbox) doppelboden.ID {
	w.t.Helper()
	m := w.message(mail, boxes...)
	w.must(w.bodies.Sync())
	_, err := w.db.Accept(ctx, m)
	w.must(err)
	return m.ID
}

// inbox returns the inbox of a mailbox after a look into it.
func (w *town) inbox(b doppelboden.Mailbox) store.Place {
	w.t.Helper()
	p := store.Place{Tenant: b.Tenant, Mailbox: b.ID, Folder: 1}
	_, err := w.db.Look(ctx, p)
	w.must(err)
	return p
}

// find returns the subjects of what a query finds.
func (w *town) find(q string, at ...store.Place) string {
	w.t.Helper()
	var subjects []string
	w.must(w.room.Search(ctx, at, ParseQuery(q, w.clock()), func(h Hit) error {
		subjects = append(subjects, h.Summary.Subject)
		return nil
	}))
	return strings.Join(subjects, " | ")
}

// extractAll lets the worker make what is missing.
func (w *town) extractAll() {
	w.t.Helper()
	worker := NewWorker(w.room, nil)
	for after := int64(0); ; {
		next, err := worker.step(ctx, after)
		w.must(err)
		if next == after {
			return
		}
		after = next
	}
}

// mail writes a mail.
func mail(from, to, subject, text string, more ...string) string {
	return "From: " + from + "\r\nTo: " + to + "\r\nSubject: " + subject + "\r\n" + strings.Join(append(more, ""), "\r\n") +
		"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text + "\r\n"
}

// withFile writes a mail with an attachment.
func withFile(subject, name string) string {
	return "From: amt@stadt.example\r\nSubject: " + subject + "\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nanbei\r\n" +
		"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"" + name + "\"\r\n\r\n%PDF\r\n--b--\r\n"
}

// countingBodies counts how many bodies were opened.
type countingBodies struct {
	Bodies
	opened int
}

func (c *countingBodies) Reader(t doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error) {
	c.opened++
	return c.Bodies.Reader(t, b)
}

// holdsText reports whether a file of the database has a text in it.
func holdsText(b []byte, s string) bool {
	return bytes.Contains(bytes.ToLower(b), []byte(strings.ToLower(s)))
}
