package sqlite

import (
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// scansAllowed names the statements that look at every row of a large table or sort, and
// why that is meant. All others must find what they want by an index.
var scansAllowed = map[string]string{
	"FROM waiting w CROSS JOIN delivery d":     "Boxes leaps from box to box",
	"AND d.inbox = 1 AND d.tenant = ?3 ORDER":  "Copies sorts a page of each state",
	"WHERE c.message = ?1":                     "it sorts the copies of one message",
	"WHERE message = ?1 AND uid IS NOT NULL":   "it groups the copies of one message",
	"received < ?1 AND (received, num)":        "Expire walks over what is old",
	"FROM alarm WHERE until IS NULL":           "alarms are few",
	"CROSS JOIN address a ON a.mailbox = b.id": "it sorts the aliases of one mailbox",
}

func TestNoStatementSearchesALargeTable(t *testing.T) {
	s := openNew(t)
	useEverything(t, s)
	texts := map[string]int{}
	s.readers.mu.Lock()
	for _, c := range s.readers.free {
		for text, st := range c.stmts {
			texts[text] = len(st.args)
		}
	}
	s.readers.mu.Unlock()
	if len(texts) < 20 {
		t.Fatalf("the readers have %d statements only", len(texts))
	}
	err := s.write(ctx, func(t *tx) error {
		for text, st := range t.c.stmts {
			texts[text] = len(st.args)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < 40 {
		t.Fatalf("only %d statements were used", len(texts))
	}
	c, err := connect(s.opts.Path, "FULL", reading)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for text, args := range texts {
		if strings.HasPrefix(text, "PRAGMA") || strings.HasPrefix(text, "BEGIN") || text == "COMMIT" || text == "ROLLBACK" {
			continue
		}
		err := c.query(ctx, func(row []driver.Value) error {
			step := asText(row[3])
			for _, table := range []string{"SCAN message", "SCAN m", "SCAN delivery", "SCAN d", "SCAN copy", "SCAN c", "SCAN link", "SCAN l", "TEMP B-TREE"} {
				if (step == table || strings.HasPrefix(step, table+" ") || strings.Contains(step, "TEMP B-TREE") && table == "TEMP B-TREE") && !scanAllowed(text, step) {
					t.Errorf("%s\n\t%s", text, step)
				}
			}
			return nil
		}, "EXPLAIN QUERY PLAN "+text, make([]driver.Value, args)...)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// scanAllowed reports whether a step of a plan may look at all rows.
func scanAllowed(text, step string) bool {
	for part := range scansAllowed {
		if strings.Contains(text, part) {
			return true
		}
	}
	// A chain is one run of a node; there are as many as restarts.
	return strings.Contains(text, "FROM chain c") && strings.HasPrefix(step, "SCAN c ")
}

// useEverything calls every method at least once, so that all statements are prepared.
func useEverything(t *testing.T, s *Store) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tenants, err := s.PutTenants(ctx, []string{"stadt"})
	must(err)
	box := doppelboden.Mailbox{Tenant: tenants[0].ID, Address: doppelboden.Address{Local: "a", Domain: "b.example"},
		Aliases: []doppelboden.Address{{Local: "c", Domain: "b.example"}}}
	for range 2 {
		_, err = s.PutMailboxes(ctx, []doppelboden.Mailbox{box})
		must(err)
	}
	_, err = s.PutConfig(ctx, store.ConfigVersion{Text: []byte("x"), By: "a", At: time.Now()})
	must(err)
	_, err = s.Config(ctx, 0)
	must(err)
	lease, err := s.Join(ctx, "node", time.Now())
	must(err)
	must(s.Beat(ctx, lease, time.Now()))
	var made realistic
	m := made.message(1)
	m.Copies[0].Folder = "Folder"
	for range 2 {
		_, err = s.Accept(ctx, m)
		must(err)
	}
	readEverything(t, s, m, must)
	must(s.Settle(ctx, lease, []doppelboden.Settlement{{Ref: doppelboden.Ref{Message: m.ID}, State: doppelboden.Delivered, At: time.Now()}}))
	must(s.PutTenantKey(ctx, store.TenantKey{Tenant: 1, Version: 2, Wrapped: []byte{1}}))
	must(s.DeleteTenantKey(ctx, 1, 2))
	must(s.Rewrap(ctx, []store.BodyOf{{Tenant: 1, Message: m.ID, Body: m.Body}}))
	must(s.PutKnot(ctx, doppelboden.Knot{Number: 1, At: time.Now()}))
	must(s.Raise(ctx, doppelboden.Alarm{Kind: "disk", Since: time.Now()}))
	must(s.Clear(ctx, "disk", "", time.Now()))
	n, err := s.Expire(ctx, time.Now().Add(time.Hour), []doppelboden.MailboxID{9999}, 10)
	must(err)
	if n != 1 {
		t.Fatalf("%d messages expired, wanted 1", n)
	}
}

// readEverything calls every method that reads.
func readEverything(t *testing.T, s *Store, m *doppelboden.Message, must func(error)) {
	t.Helper()
	_, err := s.Message(ctx, m.ID)
	must(err)
	_, err = s.ByReceipt(ctx, m.Receipt)
	must(err)
	must(s.Copies(ctx, m.Tenant, m.Deliveries[0].Mailbox, func(doppelboden.Copy) error { return nil }))
	must(s.Boxes(ctx, func(store.Box) error { return nil }))
	_, err = s.Heads(ctx, []doppelboden.BoxID{m.Deliveries[0].Box}, []int64{0}, 1)
	must(err)
	for _, f := range []store.Filter{{}, {Message: m.ID}, {States: []doppelboden.State{doppelboden.Held}},
		{States: []doppelboden.State{doppelboden.Queued}, Mailbox: 1}} {
		must(s.Deliveries(ctx, f, func(store.Item) error { return nil }))
	}
	_, err = s.Counts(ctx)
	must(err)
	must(s.Mailboxes(ctx, func(doppelboden.Mailbox) error { return nil }))
	_, err = s.Tenants(ctx)
	must(err)
	_, err = s.TenantKeys(ctx)
	must(err)
	_, err = s.Bodies(ctx, 1, 1, 10)
	must(err)
	_, err = s.Staying(ctx, m.Body.Segment, 10)
	must(err)
	must(s.Links(ctx, time.Time{}, func(doppelboden.Link) error { return nil }))
	_, err = s.ChainHeads(ctx)
	must(err)
	must(s.Knots(ctx, func(doppelboden.Knot) error { return nil }))
	must(s.Alarms(ctx, time.Time{}, func(doppelboden.Alarm) error { return nil }))
}

// wide makes a message with many deliveries, so that a test soon has many rows.
func wide(made *realistic, deliveries int, state doppelboden.State) *doppelboden.Message {
	m := made.message(1)
	d := m.Deliveries[0]
	m.Deliveries = nil
	for n := range deliveries {
		d.N, d.State = n, state
		m.Deliveries = append(m.Deliveries, d)
	}
	return m
}

func TestWalksAndCountsGoOverManyWindowsAndGaps(t *testing.T) {
	s := openNew(t)
	var made realistic
	const each = windowRows + 100
	states := []doppelboden.State{doppelboden.Delivered, doppelboden.Queued, doppelboden.Delivered, doppelboden.Held}
	var all []*doppelboden.Message
	for _, st := range states {
		m := wide(&made, each, st)
		m.Received = m.Received.Add(-time.Hour)
		if _, err := s.Accept(ctx, m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	counts, err := s.Counts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Count{
		{Tenant: 1, State: doppelboden.Queued, Deliveries: each, Oldest: asTime(micros(all[1].Received))},
		{Tenant: 1, State: doppelboden.Held, Deliveries: each, Oldest: asTime(micros(all[3].Received))},
		{Tenant: 1, State: doppelboden.Delivered, Deliveries: 2 * each, Oldest: asTime(micros(all[0].Received))},
	}
	if !slices.Equal(counts, want) {
		t.Errorf("counts %+v, wanted %+v", counts, want)
	}
	if n := rows(t, s); n != 4*each {
		t.Errorf("a walk over all gave %d deliveries, wanted %d", n, 4*each)
	}
	if n, err := s.Expire(ctx, time.Now(), nil, 100); n != 2 || err != nil {
		t.Fatalf("%d messages expired (%v), wanted 2", n, err)
	}
	for st, want := range map[doppelboden.State]int{doppelboden.Queued: each, doppelboden.Held: each, doppelboden.Delivered: 0} {
		n, last := 0, int64(0)
		err := s.Deliveries(ctx, store.Filter{States: []doppelboden.State{st}}, func(it store.Item) error {
			if it.Delivery.Seq <= last {
				t.Fatalf("Seq %d after %d", it.Delivery.Seq, last)
			}
			n, last = n+1, it.Delivery.Seq
			return nil
		})
		if err != nil || n != want {
			t.Errorf("a walk over the gap gave %d deliveries in state %v (%v), wanted %d", n, st, err, want)
		}
	}
	checkCounts(t, s)
}

func TestTheLogStaysBoundedUnderLoad(t *testing.T) {
	const pages = 300
	s := openNew(t, func(o *Options) { o.walPages = pages })
	stop := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() { // a reader is always there, but none stays
		for {
			select {
			case <-stop:
				return
			default:
				if err := s.Boxes(ctx, func(store.Box) error { return nil }); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	c, err := connect(s.opts.Path, "FULL", checkpointing)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	length := func() int64 {
		row, err := c.one(ctx, "PRAGMA wal_checkpoint(NOOP)")
		if err != nil {
			t.Fatal(err)
		}
		return asInt(row[1])
	}
	// Three times the log grows beyond its limit and starts over, all under load.
	for range 3 {
		eventually(t, "the log is long", func() bool { accepting(t, s, 8, 50); return length() >= pages })
		eventually(t, "the log has started over", func() bool { accepting(t, s, 8, 50); return length() < pages })
	}
	close(stop)
	reading.Wait()
	checkCounts(t, s)
}

func TestACheckpointSaysWhenAReaderHoldsTheLogAndTheLogStartsOverAfterIt(t *testing.T) {
	s := openNew(t)
	accept(t, s)
	k, err := newCheckpointer(s)
	if err != nil {
		t.Fatal(err)
	}
	defer k.c.close()
	err = s.snapshot(ctx, func(c *conn) error {
		if _, err := c.one(ctx, "SELECT count(*) FROM message"); err != nil {
			return err
		}
		accept(t, s) // what the reader does not see cannot be the log's beginning
		if err := k.checkpoint(); !errors.Is(err, errReader) {
			t.Errorf("checkpoint beside a reader: %v, wanted %v", err, errReader)
		}
		accept(t, s) // nobody waits for the reader
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := k.pass("PRAGMA wal_checkpoint(NOOP)")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.checkpoint(); err != nil {
		t.Fatalf("checkpoint after the reader was done: %v", err)
	}
	accept(t, s)
	after, _, err := k.pass("PRAGMA wal_checkpoint(NOOP)")
	if err != nil || after >= before {
		t.Errorf("the log has %d pages, it had %d (%v): wanted that it started over", after, before, err)
	}
}

func TestWhatEntersAStateDuringALookForTheOldestIsNotForgotten(t *testing.T) {
	k := countKey{tenant: 1, state: doppelboden.Queued}
	var tallies tallies
	tallies.load(map[countKey]int64{k: 1})
	tallies.begin()
	// The look sees Seq 9; meanwhile Seq 4 is released.
	tallies.apply(map[countKey]change{k: {by: 1, entered: 4}})
	tallies.found(k, 9)
	if _, from := tallies.begin(); from[k] != 4 {
		t.Errorf("the next look begins at Seq %d, wanted 4", from[k])
	}
	tallies.found(k, 9)
	if _, from := tallies.begin(); from[k] != 9 {
		t.Errorf("the look after one that nothing disturbed begins at Seq %d, wanted 9", from[k])
	}
}
