package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

var ctx = context.Background()

// A testChain makes links whose entries name messages.
type testChain struct {
	name string
	mu   sync.Mutex
	head doppelboden.Link
}

// entrySize is what testChain writes for an entry.
const entrySize = 1 + 16

func (c *testChain) Next(at time.Time, entries []doppelboden.Entry) doppelboden.Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := doppelboden.Link{Chain: c.name, Number: c.head.Number + 1, Prev: c.head.Hash, At: at.Truncate(time.Microsecond)}
	for _, e := range entries {
		l.Entries = append(append(l.Entries, byte(e.Kind)), e.Message[:]...)
	}
	l.Root = sha256.Sum256(l.Entries)
	l.Hash = sha256.Sum256(append(append(binary.BigEndian.AppendUint64(nil, uint64(l.Number)), l.Prev[:]...), l.Root[:]...))
	return l
}

func (c *testChain) Advance(l doppelboden.Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = l
}

// openAt opens a store with a chain of its own; edit changes the options.
func openAt(t testing.TB, dsn string, edit ...func(*Options)) *Store {
	t.Helper()
	o := Options{DSN: dsn, Chain: &testChain{name: "node/" + time.Now().Format(time.RFC3339Nano)}}
	for _, e := range edit {
		e(&o)
	}
	s, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// openNew opens a fresh store.
func openNew(t testing.TB, edit ...func(*Options)) *Store {
	t.Helper()
	return openAt(t, database(t), edit...)
}

// eventually waits until a thing is so. What it waits for has no channel to wait on.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("after 60 s still not: %s", what)
		case <-tick.C:
		}
	}
}

// made makes messages.
var made doppelboden.IDs

// message makes a queued message for a mailbox of a tenant, with a copy.
func message(tenant doppelboden.TenantID, mailbox doppelboden.MailboxID) *doppelboden.Message {
	now := time.Now()
	m := &doppelboden.Message{ID: made.New(now), Tenant: tenant, Receipt: doppelboden.NewReceipt(now), Door: "mx", Received: now,
		Peer: "2001:db8::25", Sender: doppelboden.Address{Local: "eva", Domain: "example.org"}, Recipients: 1,
		Body: doppelboden.Body{Segment: now.Format(time.DateOnly), Size: 4096, Key: []byte{1}, KeyVersion: 1}}
	m.Deliveries = []doppelboden.Delivery{{Message: m.ID, Tenant: tenant, Mailbox: mailbox, Changed: now,
		Recipient: doppelboden.Address{Local: "anna", Domain: "stadt.example"}}}
	m.Copies = []doppelboden.Copy{{Mailbox: mailbox, Folder: doppelboden.Inbox, Message: m.ID, Date: now}}
	return m
}

// accept accepts a new message for a mailbox.
func accept(t testing.TB, s *Store, tenant doppelboden.TenantID, mailbox doppelboden.MailboxID) *doppelboden.Message {
	t.Helper()
	m := message(tenant, mailbox)
	if _, err := s.Accept(ctx, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// links returns all links, and fails unless each continues the one before.
func links(t testing.TB, s *Store) (all []doppelboden.Link) {
	t.Helper()
	err := s.Links(ctx, time.Time{}, func(l doppelboden.Link) error {
		n := len(all)
		switch {
		case n > 0 && all[n-1].Chain == l.Chain && (all[n-1].Number+1 != l.Number || all[n-1].Hash != l.Prev):
			t.Errorf("link %d of %s does not continue link %d", l.Number, l.Chain, all[n-1].Number)
		case (n == 0 || all[n-1].Chain != l.Chain) && l.Number != 1:
			t.Errorf("chain %s begins with link %d", l.Chain, l.Number)
		}
		all = append(all, l)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// rowsOf reads all deliveries.
func rowsOf(t testing.TB, s *Store) (all []store.Item) {
	t.Helper()
	if err := s.Deliveries(ctx, store.Filter{}, func(it store.Item) error { all = append(all, it); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}
