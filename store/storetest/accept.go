package storetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// hostile is text that no engine may change, end early, or take for its own.
const hostile = "Müller 'O''Brien\" \\ % _ ; DROP TABLE message; -- \x00 \xff\xfe 你好 \t\r\n �"

func testAccept(t *testing.T, open Open) {
	t.Run("every field comes back as it was", func(t *testing.T) { everyField(t, open) })
	t.Run("a bare message comes back bare", func(t *testing.T) { bareMessage(t, open) })
	t.Run("accepting twice has the effect of once", func(t *testing.T) { acceptTwice(t, open) })
	t.Run("accepting the same side by side has the effect of once", func(t *testing.T) { acceptSideBySide(t, open) })
	t.Run("a delivery that is already delivered is recorded so", func(t *testing.T) { acceptHere(t, open) })
	t.Run("seq grows in the order of commits", func(t *testing.T) { seqGrows(t, open) })
	t.Run("what was accepted outlives a restart", func(t *testing.T) { acceptRestart(t, open) })
	t.Run("unknown ids and receipts are not found", func(t *testing.T) {
		w := newWorld(t, open)
		_, err := w.s.Message(ctx, w.ids.New(day))
		isCode(t, "Message of an unknown id", err, doppelboden.NotFound)
		_, err = w.s.ByReceipt(ctx, doppelboden.NewReceipt(day))
		isCode(t, "ByReceipt of an unknown receipt", err, doppelboden.NotFound)
	})
	t.Run("copies are one tenant's, oldest first, through pages", func(t *testing.T) { copiesOfMailbox(t, open) })
}

// fullMessage is a message in which no field is empty.
func fullMessage(w *world) *doppelboden.Message {
	m := w.message(w.boxes[0], w.boxes[1])
	m.Door, m.Peer, m.Helo, m.Sender = "submission", "2001:db8::1", hostile, addr("Jürgen@Büro \"x\"", "xn--bro-hoa.example")
	m.SMTPUTF8, m.EightBit, m.Ret, m.EnvID = true, true, "HDRS", "QQ+2B"+hostile
	m.Body = doppelboden.Body{Segment: "2026-03-14/ä-0001", Offset: 1<<40 + 7, Size: 1<<33 + 1, Key: []byte{0, 255, 0}, KeyVersion: 12,
		Sum: [32]byte{0: 255, 31: 1}}
	m.Prefix = []byte("Received: from\x00\xffa\r\n")
	m.Recipients, m.Expanded, m.Merged = 3, 2, 3
	m.Deliveries[0].Recipient = addr("ANNA", "stadt.example") // another spelling than the mailbox's
	m.Deliveries[0].Notify, m.Deliveries[0].ORcpt = "SUCCESS,FAILURE", "rfc822;"+hostile
	m.Deliveries[0].Attempts, m.Deliveries[0].Reply = 3, hostile
	m.Deliveries[0].Next = cut(day.Add(time.Hour))
	m.Deliveries[1].State = doppelboden.Delivered
	m.Copies[1].Folder, m.Copies[1].Flags, m.Copies[1].UID = "Projekte/Straße "+hostile, doppelboden.Seen|doppelboden.Draft, 1<<32-1
	return m
}

func everyField(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := fullMessage(w)
	w.acceptThis(m)
	for i, d := range m.Deliveries {
		if d.Seq == 0 {
			t.Errorf("delivery %d has no Seq after Accept", i)
		}
	}
	same(t, "message", w.get(m.ID), m)
	id, err := w.s.ByReceipt(ctx, m.Receipt)
	w.must(err)
	if id != m.ID {
		t.Errorf("ByReceipt gave %v, wanted %v", id, m.ID)
	}
	heads, err := w.s.Heads(ctx, []doppelboden.BoxID{boxOf(w.boxes[0])}, []int64{0}, 10)
	w.must(err)
	if len(heads) != 1 {
		t.Fatalf("Heads gave %d items, wanted 1", len(heads))
	}
	same(t, "delivery of Heads", heads[0].Delivery, m.Deliveries[0])
	envelope := *m
	envelope.Deliveries, envelope.Copies = nil, nil
	same(t, "message of Heads", *heads[0].Message, envelope)
	for _, it := range w.deliveries(store.Filter{Message: m.ID}) {
		same(t, "delivery of Deliveries", it.Delivery, m.Deliveries[it.Delivery.N])
		same(t, "message of Deliveries", *it.Message, envelope)
	}
	want := doppelboden.Entry{Kind: doppelboden.EntryAccepted, At: m.Received, Tenant: m.Tenant, Message: m.ID, Recipients: 3,
		Deliveries: 2, Expanded: 2, Merged: 3, Sum: m.Body.Sum, Here: []int{1}}
	same(t, "ledger", w.entries(), []doppelboden.Entry{want})
}

func bareMessage(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := &doppelboden.Message{ID: w.ids.New(day), Tenant: w.tenants[0].ID, Received: cut(day)}
	m.Deliveries = []doppelboden.Delivery{{Message: m.ID, Tenant: m.Tenant}}
	w.acceptThis(m)
	got := w.get(m.ID)
	same(t, "message", got, m)
	if !got.Sender.IsNull() || !got.Deliveries[0].Next.IsZero() || !got.Deliveries[0].Changed.IsZero() {
		t.Errorf("sender %q, next %v, changed %v: wanted the null address and zero times", got.Sender, got.Deliveries[0].Next, got.Deliveries[0].Changed)
	}
	none := &doppelboden.Message{ID: w.ids.New(day), Tenant: w.tenants[0].ID, Received: cut(day)}
	w.acceptThis(none)
	same(t, "message without deliveries", w.get(none.ID), none)
	after := w.accept(w.boxes[0])
	if after.Deliveries[0].Seq <= m.Deliveries[0].Seq {
		t.Errorf("Seq %d was given after Seq %d", after.Deliveries[0].Seq, m.Deliveries[0].Seq)
	}
}

func acceptTwice(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0], w.boxes[1])
	w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Delivered, By: "courier"})
	before := w.get(m.ID)
	again := *m
	again.Deliveries = append([]doppelboden.Delivery(nil), m.Deliveries...)
	for i := range again.Deliveries {
		again.Deliveries[i].Seq = 0
	}
	other := w.accept(w.boxes[0])
	w.acceptThis(&again)
	for i := range again.Deliveries {
		if again.Deliveries[i].Seq != m.Deliveries[i].Seq {
			t.Errorf("delivery %d got Seq %d the second time, %d the first", i, again.Deliveries[i].Seq, m.Deliveries[i].Seq)
		}
	}
	same(t, "message after the second Accept", w.get(m.ID), before)
	if n := len(w.deliveries(store.Filter{})); n != 3 {
		t.Errorf("%d deliveries, wanted 3 (two of %v, one of %v)", n, m.ID, other.ID)
	}
	if n := len(ofKind(w.entries(), doppelboden.EntryAccepted)); n != 2 {
		t.Errorf("%d entries say accepted, wanted 2", n)
	}
}

func acceptSideBySide(t *testing.T, open Open) {
	w := newWorld(t, open)
	for range 20 {
		m := w.message(w.boxes[0])
		others := []*doppelboden.Message{w.message(w.boxes[1]), w.message(w.boxes[2])}
		var wg sync.WaitGroup
		seq := make([]int64, 4)
		for i := range seq {
			same := *m
			same.Deliveries = append([]doppelboden.Delivery(nil), m.Deliveries...)
			wg.Go(func() {
				if _, err := w.s.Accept(ctx, &same); err != nil {
					t.Error(err)
				}
				seq[i] = same.Deliveries[0].Seq
			})
		}
		for _, o := range others {
			wg.Go(func() {
				if _, err := w.s.Accept(ctx, o); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, s := range seq {
			if s != seq[0] || s == 0 {
				t.Fatalf("the same message got Seqs %v side by side, wanted one", seq)
			}
		}
	}
	if n := len(w.deliveries(store.Filter{})); n != 60 {
		t.Errorf("%d deliveries, wanted 60", n)
	}
	if n := len(ofKind(w.entries(), doppelboden.EntryAccepted)); n != 60 {
		t.Errorf("%d entries say accepted, wanted 60", n)
	}
}

func acceptHere(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.message(w.boxes[0], w.boxes[1])
	m.Door = "generated"
	m.Deliveries[1].State = doppelboden.Delivered
	w.acceptThis(m)
	e := w.entries()
	if len(e) != 1 || !e[0].Generated {
		t.Fatalf("ledger has %v, wanted one entry that says generated", e)
	}
	same(t, "delivered by Accept", e[0].Here, []int{1})
	counts, err := w.s.Counts(ctx)
	w.must(err)
	same(t, "counts", counts, []store.Count{
		{Tenant: m.Tenant, State: doppelboden.Queued, Deliveries: 1, Oldest: m.Received},
		{Tenant: m.Tenant, State: doppelboden.Delivered, Deliveries: 1, Oldest: m.Received}})
}

func seqGrows(t *testing.T, open Open) {
	w := newWorld(t, open)
	last := int64(0)
	for i := range 30 {
		m := w.accept(w.boxes[i%3])
		if m.Deliveries[0].Seq <= last {
			t.Fatalf("Seq %d came after Seq %d", m.Deliveries[0].Seq, last)
		}
		last = m.Deliveries[0].Seq
	}
	w.restart()
	if m := w.accept(w.boxes[0]); m.Deliveries[0].Seq <= last {
		t.Errorf("after a restart Seq %d came after Seq %d", m.Deliveries[0].Seq, last)
	}
}

func acceptRestart(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := fullMessage(w)
	w.acceptThis(m)
	counts, err := w.s.Counts(ctx)
	w.must(err)
	w.restart()
	same(t, "message", w.get(m.ID), m)
	again, err := w.s.Counts(ctx)
	w.must(err)
	same(t, "counts", again, counts)
	w.accept(w.boxes[0])
	if n := len(w.entries()); n != 2 {
		t.Errorf("%d entries in the ledger, wanted one of each run", n)
	}
}

func copiesOfMailbox(t *testing.T, open Open) {
	w := newWorld(t, open)
	var want []doppelboden.Copy
	for i := range 600 {
		m := w.message(w.boxes[i%2])
		if i%10 == 0 {
			m.Copies = append(m.Copies, doppelboden.Copy{Mailbox: w.boxes[0].ID, Folder: fmt.Sprintf("Ordner/%d", i%3),
				Message: m.ID, Date: m.Received, Flags: doppelboden.Seen})
		}
		w.acceptThis(m)
		for _, c := range m.Copies {
			if c.Mailbox == w.boxes[0].ID {
				want = append(want, c)
			}
		}
	}
	read := func(tenant doppelboden.TenantID) []doppelboden.Copy {
		return gather(t, func(y func(doppelboden.Copy) error) error { return w.s.Copies(ctx, tenant, w.boxes[0].ID, y) })
	}
	got := read(w.tenants[0].ID)
	for _, list := range [][]doppelboden.Copy{got, want} { // what has a row comes behind what has none
		slices.SortStableFunc(list, func(a, b doppelboden.Copy) int {
			return cmp.Or(bytes.Compare(a.Message[:], b.Message[:]), strings.Compare(a.Folder, b.Folder))
		})
	}
	same(t, "copies", got, want)
	if got := read(w.tenants[1].ID); len(got) != 0 {
		t.Errorf("another tenant sees %d copies of the mailbox, wanted none", len(got))
	}
}

func testFailing(t *testing.T, open Open) {
	t.Run("a message that cannot be kept fails alone", func(t *testing.T) { poison(t, open) })
	t.Run("when a sync fails nothing of it is kept", func(t *testing.T) { syncFails(t, open) })
	t.Run("nothing is committed before it is synced", func(t *testing.T) { syncComesFirst(t, open) })
	t.Run("a cancelled context ends the wait for a place", func(t *testing.T) { cancelled(t, open) })
	t.Run("after Close everything is temporary", func(t *testing.T) { afterClose(t, open) })
	t.Run("an error of a yield function ends the walk", func(t *testing.T) { yieldFails(t, open) })
}

// poisoned are messages that no store can keep.
func poisoned(w *world) []*doppelboden.Message {
	noID, noTenant, wrongN, twoTenants := w.message(w.boxes[0]), w.message(w.boxes[0]), w.message(w.boxes[0]), w.message(w.boxes[0])
	noID.ID = doppelboden.ID{}
	noTenant.Tenant = 0
	wrongN.Deliveries[0].N = 7
	twoTenants.Deliveries[0].Tenant = w.tenants[1].ID
	// Two messages with one UID in a folder: what only the engine can see.
	sameUID := w.message(w.boxes[0])
	sameUID.Copies[0].UID = 77
	return []*doppelboden.Message{noID, noTenant, wrongN, twoTenants, sameUID}
}

func poison(t *testing.T, open Open) {
	w := newWorld(t, open)
	first := w.message(w.boxes[0])
	first.Copies[0].UID = 77
	w.acceptThis(first)
	bad := poisoned(w)
	var wg sync.WaitGroup
	var good []*doppelboden.Message
	for i := range 100 {
		m := w.message(w.boxes[i%3])
		good = append(good, m)
		wg.Go(func() {
			if _, err := w.s.Accept(ctx, m); err != nil {
				t.Errorf("a good message beside a bad one: %v", err)
			}
		})
		if i%20 == 10 {
			wg.Go(func() {
				if _, err := w.s.Accept(ctx, bad[i/20]); err == nil {
					t.Errorf("bad message %d was accepted", i/20)
				} else if code := doppelboden.CodeOf(err); code != doppelboden.Temporary {
					t.Errorf("bad message %d: code %v, wanted temporary", i/20, code)
				} else if strings.Contains(doppelboden.PublicOf(err), "UNIQUE") {
					t.Errorf("a peer would read %q", doppelboden.PublicOf(err))
				}
			})
		}
	}
	wg.Wait()
	for _, m := range good {
		w.get(m.ID)
	}
	for _, m := range bad {
		_, err := w.s.Message(ctx, m.ID)
		isCode(t, "Message of a bad one", err, doppelboden.NotFound)
	}
	if n := len(ofKind(w.entries(), doppelboden.EntryAccepted)); n != 101 {
		t.Errorf("%d entries say accepted, wanted 101", n)
	}
	if err := w.s.Ready(); err != nil {
		t.Errorf("a bad message made the store not ready: %v", err)
	}
}

func syncFails(t *testing.T, open Open) {
	var mu sync.Mutex
	fail := false
	w := newWorld(t, open, func() error { return nil }, func() error {
		mu.Lock()
		defer mu.Unlock()
		if fail {
			return fmt.Errorf("bad sector")
		}
		return nil
	})
	mu.Lock()
	fail = true
	mu.Unlock()
	m := w.message(w.boxes[0])
	_, err := w.s.Accept(ctx, m)
	isCode(t, "Accept when a sync fails", err, doppelboden.Temporary)
	if strings.Contains(doppelboden.PublicOf(err), "sector") {
		t.Errorf("a peer would read %q", doppelboden.PublicOf(err))
	}
	_, err = w.s.Message(ctx, m.ID)
	isCode(t, "Message that was not synced", err, doppelboden.NotFound)
	if w.s.Ready() == nil {
		t.Errorf("the store is ready although the last write failed")
	}
	mu.Lock()
	fail = false
	mu.Unlock()
	w.acceptThis(m)
	if err := w.s.Ready(); err != nil {
		t.Errorf("after a write that worked: %v", err)
	}
	if n := len(w.entries()); n != 1 {
		t.Errorf("%d entries, wanted 1", n)
	}
}

func syncComesFirst(t *testing.T, open Open) {
	var w *world
	var mu sync.Mutex
	var taken []doppelboden.ID // ids whose Accept has begun and not returned
	w = newWorld(t, open, func() error {
		if w == nil || w.s == nil {
			return nil
		}
		mu.Lock()
		id := taken
		mu.Unlock()
		for _, id := range id {
			if _, err := w.s.Message(ctx, id); err == nil {
				return fmt.Errorf("message %v is there before it was synced", id)
			}
		}
		return nil
	})
	for range 20 {
		m := w.message(w.boxes[0])
		mu.Lock()
		taken = []doppelboden.ID{m.ID}
		mu.Unlock()
		w.acceptThis(m)
	}
}

func cancelled(t *testing.T, open Open) {
	entered, release := make(chan struct{}, 100), make(chan struct{})
	var once sync.Once
	block := false
	var mu sync.Mutex
	w := newWorld(t, open, func() error {
		mu.Lock()
		b := block
		mu.Unlock()
		if b {
			entered <- struct{}{}
			<-release
		}
		return nil
	})
	defer once.Do(func() { close(release) })
	mu.Lock()
	block = true
	mu.Unlock()
	taken, waits := w.message(w.boxes[0]), w.message(w.boxes[0])
	takenCtx, cancelTaken := context.WithCancel(ctx)
	first := make(chan error, 1)
	go func() { _, err := w.s.Accept(takenCtx, taken); first <- err }()
	<-entered // the first is in a batch now
	cancelTaken()
	waitCtx, cancelWait := context.WithCancel(ctx)
	second := make(chan error, 1)
	go func() { _, err := w.s.Accept(waitCtx, waits); second <- err }()
	cancelWait()
	isCode(t, "Accept that was cancelled while it waited", <-second, doppelboden.Temporary)
	select {
	case err := <-first:
		t.Errorf("Accept in a batch returned (%v) before its commit", err)
	default:
	}
	once.Do(func() { close(release) })
	if err := <-first; err != nil {
		t.Errorf("Accept that was cancelled in a batch: %v, wanted its commit", err)
	}
	w.get(taken.ID)
	_, err := w.s.Message(ctx, waits.ID)
	isCode(t, "the withdrawn message", err, doppelboden.NotFound)
}

func afterClose(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0])
	w.must(w.s.Close())
	w.must(w.s.Close())
	_, err := w.s.Accept(ctx, w.message(w.boxes[0]))
	isCode(t, "Accept", err, doppelboden.Temporary)
	_, err = w.s.Message(ctx, m.ID)
	isCode(t, "Message", err, doppelboden.Temporary)
	isCode(t, "Ready", w.s.Ready(), doppelboden.Temporary)
	isCode(t, "Boxes", w.s.Boxes(ctx, func(store.Box) error { return nil }), doppelboden.Temporary)
	_, err = w.s.Counts(ctx)
	isCode(t, "Counts", err, doppelboden.Temporary)
}

func yieldFails(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.accept(w.boxes[0])
	w.accept(w.boxes[1])
	stop := fmt.Errorf("enough")
	n := 0
	for name, walk := range map[string]func() error{
		"Boxes":      func() error { return w.s.Boxes(ctx, func(store.Box) error { n++; return stop }) },
		"Deliveries": func() error { return w.s.Deliveries(ctx, store.Filter{}, func(store.Item) error { n++; return stop }) },
		"Mailboxes":  func() error { return w.s.Mailboxes(ctx, func(doppelboden.Mailbox) error { n++; return stop }) },
		"Links":      func() error { return w.s.Links(ctx, time.Time{}, func(doppelboden.Link) error { n++; return stop }) },
		"Copies": func() error {
			return w.s.Copies(ctx, w.tenants[0].ID, w.boxes[0].ID, func(doppelboden.Copy) error { n++; return stop })
		},
	} {
		n = 0
		if err := walk(); err != stop || n != 1 {
			t.Errorf("%s returned %v after %d calls, wanted %v after 1", name, err, n, stop)
		}
	}
}
