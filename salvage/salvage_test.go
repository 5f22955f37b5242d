package salvage

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/ledger"
	"doppelboden/store"
	"doppelboden/store/sqlite"
	"doppelboden/tally"
)

// A world is a database that lost what it had, the log of the replies, and the landing's
// commits.
type world struct {
	t       *testing.T
	now     time.Time
	store   *sqlite.Store
	lease   store.Lease
	replies *tally.Replies
	kept    time.Time
	s       *Salvager
	chain   *ledger.Chain
	ids     doppelboden.IDs
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "db"), Chain: ledger.NewChain("n", w.now), Clock: clock})
	must(err)
	t.Cleanup(func() { w.store.Close() })
	w.replies, err = tally.OpenReplies(filepath.Join(dir, "tally"), clock)
	must(err)
	t.Cleanup(func() { w.replies.Close() })
	w.lease, err = w.store.Join(t.Context(), "n", w.now)
	must(err)
	w.chain = ledger.NewChain("landing", w.now)
	w.kept = w.now.AddDate(0, 0, -30)
	w.s, err = New(Options{Store: w.store, Drainer: w.store, Replies: ledger.Tally{Dir: filepath.Join(dir, "tally"), Flush: w.replies.Flush},
		Clock: clock, Log: slog.New(slog.DiscardHandler), Back: 8 * 24 * time.Hour,
		Kept: func() time.Time { return w.kept }})
	must(err)
	w.s.Lead(w.lease)
	return w
}

// message makes a message for so many mailboxes that landed some time ago.
func (w *world) message(age time.Duration, deliveries int) *doppelboden.Message {
	at := w.now.Add(-age)
	m := &doppelboden.Message{ID: w.ids.New(at), Tenant: 1, Receipt: doppelboden.NewReceipt(at), Door: "mx", Received: at,
		Sender: doppelboden.Address{Local: "eva", Domain: "example.org"}, Recipients: deliveries,
		Body: doppelboden.Body{Segment: "20261122/0001.seg", Size: 9, Key: []byte{1}, KeyVersion: 1}}
	for i := range deliveries {
		m.Deliveries = append(m.Deliveries, doppelboden.Delivery{Message: m.ID, N: i, Tenant: 1, Mailbox: doppelboden.MailboxID(i + 1),
			Changed: at, Recipient: doppelboden.Address{Local: "anna", Domain: "stadt.example"}})
	}
	return m
}

// land makes a commit of the landing.
func (w *world) land(all ...*doppelboden.Message) store.Landed {
	var entries []doppelboden.Entry
	for _, m := range all {
		entries = append(entries, store.Entries(m)...)
	}
	l := w.chain.Next(w.now, entries)
	w.chain.Advance(l)
	return store.Landed{Link: l, Messages: all}
}

func (w *world) answer(m *doppelboden.Message, n int, v doppelboden.Verdict, age time.Duration) {
	ref := doppelboden.Ref{Message: m.ID, N: n}
	at := w.now.Add(-age)
	w.replies.Attempt([]doppelboden.Ref{ref}, "r", at)
	w.replies.Answer(doppelboden.Outcome{Ref: ref, Verdict: v, Phase: "dot", At: at, Reply: doppelboden.Reply{Code: 250, Text: "ok"}})
}

func (w *world) drain(landed ...store.Landed) {
	w.t.Helper()
	if err := w.s.Drain(w.t.Context(), landed); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) state(m *doppelboden.Message, n int) doppelboden.Delivery {
	w.t.Helper()
	got, err := w.store.Message(w.t.Context(), m.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return got.Deliveries[n]
}

// TestWhatComesBackAndWasTakenDoesNotGoAgain turns red without the look at the replies, and
// when any answer counts and not the last.
func TestWhatComesBackAndWasTakenDoesNotGoAgain(t *testing.T) {
	w := newWorld(t)
	end := w.s.Begin()
	taken, half, refused, fresh := w.message(5*time.Hour, 1), w.message(4*time.Hour, 2), w.message(3*time.Hour, 1), w.message(time.Second, 1)
	w.answer(taken, 0, doppelboden.Took, 2*time.Hour)
	w.answer(half, 1, doppelboden.Took, 2*time.Hour)
	w.answer(refused, 0, doppelboden.Took, 2*time.Hour)
	w.answer(refused, 0, doppelboden.Later, time.Hour) // it was opened again, and put off
	landed := []store.Landed{w.land(taken, half), w.land(refused, fresh)}
	w.drain(landed...)
	for _, c := range []struct {
		m    *doppelboden.Message
		n    int
		want doppelboden.State
	}{{taken, 0, doppelboden.Delivered}, {half, 0, doppelboden.Queued}, {half, 1, doppelboden.Delivered}, {refused, 0, doppelboden.Queued}, {fresh, 0, doppelboden.Queued}} {
		if got := w.state(c.m, c.n); got.State != c.want {
			t.Errorf("message of %v, delivery %d: %v, want %v", c.m.Received, c.n, got.State, c.want)
		}
		if got := c.m.Deliveries[c.n].State; got != c.want {
			t.Errorf("the queue is told that delivery %d of %v is %v, want %v", c.n, c.m.Received, got, c.want)
		}
	}
	if got := w.state(half, 0); !got.Next.IsZero() {
		t.Errorf("what goes again waits until %v, want at once", got.Next)
	}
	want := Report{Seen: 4, Back: 4, Delivered: 2, Again: 3}
	if got := end(); got != want {
		t.Errorf("report %+v, want %+v", got, want)
	}
	// The same once more, as after a crash in the middle: nothing comes twice.
	end = w.s.Begin()
	w.drain(landed...)
	if got := end(); got != (Report{Seen: 4}) {
		t.Errorf("the second time: %+v, want 4 seen and nothing else", got)
	}
	if b := w.balance(); b.Difference != 0 {
		t.Errorf("balance %+v", b)
	}
}

// balance compares the ledger with the rows and the replies; there are no doors here.
func (w *world) balance() doppelboden.Balance {
	w.t.Helper()
	dir := w.t.TempDir()
	doors, err := tally.OpenDoors(dir, func() time.Time { return w.now })
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.store.Deliveries(w.t.Context(), store.Filter{}, func(it store.Item) error {
		if it.Delivery.N == 0 {
			doors.Intent(it.Message.ID, it.Message.Recipients, it.Message.Received)
			doors.Sent(it.Message.ID, it.Message.Received)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	defer doors.Close()
	b, err := ledger.Balance(w.t.Context(), ledger.Sources{Doors: ledger.Tally{Dir: dir, Flush: doors.Flush}, Replies: w.s.o.Replies,
		Ledger: w.store, Rows: w.store, Clock: func() time.Time { return w.now.Add(time.Hour) }}, time.Time{}, time.Time{})
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func TestMailOfTheMomentGoesStraightThrough(t *testing.T) {
	w := newWorld(t)
	w.now = w.now.Add(time.Hour)
	m := w.message(time.Second, 1)
	w.answer(m, 0, doppelboden.Took, 0)
	w.drain(w.land(m))
	if got := w.state(m, 0); got.State != doppelboden.Queued || !got.Next.IsZero() {
		t.Errorf("%v until %v, want queued at once", got.State, got.Next)
	}
}

// A run ends at once when the database does not answer, and the landing goes on offering what
// it has lost: the mails of the last seconds. The test turns red without the time at which the
// run began.
func TestWhatARunThatFailedLeftBehindDoesNotGoAgain(t *testing.T) {
	w := newWorld(t)
	w.now = w.now.Add(time.Hour)
	m := w.message(2*time.Second, 1)
	w.answer(m, 0, doppelboden.Took, time.Second)
	end := w.s.Begin()
	end()
	w.drain(w.land(m))
	if got := w.state(m, 0); got.State != doppelboden.Delivered {
		t.Errorf("%v until %v, want delivered: a next server has it", got.State, got.Next)
	}
}

// The database takes the mail and fails right after it. What was answered a moment ago is
// otherwise left to the queue, which does not know of it.
func TestWhatCameBackAndCouldNotBeEndedIsEndedByTheNextLook(t *testing.T) {
	w := newWorld(t)
	w.now = w.now.Add(time.Hour)
	m := w.message(2*time.Second, 1)
	w.answer(m, 0, doppelboden.Took, time.Second)
	defer w.s.Begin()()
	w.s.Lead(store.Lease{}) // under which nothing ends
	w.drain(w.land(m))
	if got := w.state(m, 0).State; got != doppelboden.Queued {
		t.Fatalf("it is %v already", got)
	}
	if _, err := w.s.Delivered(t.Context()); err == nil {
		t.Error("the look says that all is done, while nothing can end")
	}
	w.s.Lead(w.lease)
	if n, err := w.s.Delivered(t.Context()); err != nil || n != 1 || w.state(m, 0).State != doppelboden.Delivered {
		t.Errorf("ended %d, %v, now %v; want it delivered", n, err, w.state(m, 0).State)
	}
}

// TestWhatWaitsAlthoughItWasTakenEnds plays a database of before the answers came.
func TestWhatWaitsAlthoughItWasTakenEnds(t *testing.T) {
	w := newWorld(t)
	taken, replayed, waits := w.message(9*time.Hour, 1), w.message(8*time.Hour, 1), w.message(7*time.Hour, 1)
	w.drain(w.land(taken, replayed, waits))
	w.answer(taken, 0, doppelboden.Took, 2*time.Hour)
	w.answer(replayed, 0, doppelboden.Took, 6*time.Hour)
	// A person had it handed over again after the next server had taken it and lost it.
	must(t, w.store.Settle(t.Context(), w.lease, []doppelboden.Settlement{{Ref: doppelboden.Ref{Message: replayed.ID}, State: doppelboden.Held, By: "anna", At: w.now.Add(-3 * time.Hour)}}))
	must(t, w.store.Settle(t.Context(), w.lease, []doppelboden.Settlement{{Ref: doppelboden.Ref{Message: replayed.ID}, State: doppelboden.Queued, By: "anna", At: w.now.Add(-3 * time.Hour)}}))
	n, err := w.s.Delivered(t.Context())
	if err != nil || n != 1 {
		t.Fatalf("ended %d, %v; want the one that was taken", n, err)
	}
	for m, want := range map[*doppelboden.Message]doppelboden.State{taken: doppelboden.Delivered, replayed: doppelboden.Queued, waits: doppelboden.Queued} {
		if got := w.state(m, 0); got.State != want {
			t.Errorf("message of %v: %v, want %v", m.Received, got.State, want)
		}
	}
	if n, err := w.s.Delivered(t.Context()); err != nil || n != 0 {
		t.Errorf("the second time: %d, %v; want nothing", n, err)
	}
	if b := w.balance(); b.Difference != 0 || b.Duplicates != 0 {
		t.Errorf("balance %+v", b)
	}
}

// A replay has opened a delivery again that the next server had lost. A run that offers
// everything again must not end it by the old answer.
func TestWhatAReplayHasOpenedAgainGoesAlsoWhenEverythingIsOfferedAgain(t *testing.T) {
	w := newWorld(t)
	replayed, held, taken := w.message(8*time.Hour, 1), w.message(8*time.Hour, 1), w.message(8*time.Hour, 1)
	l := w.land(replayed, held, taken)
	w.drain(l)
	settle := func(m *doppelboden.Message, s doppelboden.State, by string, age time.Duration) {
		t.Helper()
		must(t, w.store.Settle(t.Context(), w.lease, []doppelboden.Settlement{{Ref: doppelboden.Ref{Message: m.ID}, State: s, By: by, At: w.now.Add(-age)}}))
	}
	for _, m := range []*doppelboden.Message{replayed, held} {
		w.answer(m, 0, doppelboden.Took, 6*time.Hour)
		settle(m, doppelboden.Delivered, "courier", 6*time.Hour)
		settle(m, doppelboden.Queued, store.ReplayBy+"anna", 3*time.Hour)
	}
	settle(held, doppelboden.Held, "anna", 2*time.Hour)
	w.answer(taken, 0, doppelboden.Took, time.Hour) // the database has lost that
	end := w.s.Begin()
	w.drain(l)
	for m, want := range map[*doppelboden.Message]doppelboden.State{replayed: doppelboden.Queued, held: doppelboden.Held, taken: doppelboden.Delivered} {
		if got := w.state(m, 0).State; got != want {
			t.Errorf("the delivery is %v, want %v", got, want)
		}
		if got := m.Deliveries[0].State; got != want {
			t.Errorf("the queue is told that it is %v, want %v", got, want)
		}
	}
	if got, want := end(), (Report{Seen: 3, Delivered: 1}); got != want {
		t.Errorf("report %+v, want %+v", got, want)
	}
}

// TestWhatRetentionRemovedStaysAwayAndWhatWaitedForLongComesBack turns red when age alone
// says what is expired.
func TestWhatRetentionRemovedStaysAwayAndWhatWaitedForLongComesBack(t *testing.T) {
	w := newWorld(t)
	w.kept = w.now.Add(-48 * time.Hour)
	removed := w.message(60*time.Hour, 1) // its link is there, so it was there
	first := w.land(removed)
	must(t, w.store.Drain(t.Context(), []store.Landed{{Link: first.Link}}))
	gone, waited, young := w.message(50*time.Hour, 1), w.message(49*time.Hour, 1), w.message(time.Hour, 1)
	w.answer(gone, 0, doppelboden.Took, 40*time.Hour)
	end := w.s.Begin()
	w.drain(first, w.land(gone, waited, young))
	for _, m := range []*doppelboden.Message{removed, gone} {
		if _, err := w.store.Message(t.Context(), m.ID); doppelboden.CodeOf(err) != doppelboden.NotFound {
			t.Errorf("a mail of %v that retention removes: %v, want that it is not found", m.Received, err)
		}
	}
	for _, m := range []*doppelboden.Message{waited, young} {
		if got := w.state(m, 0).State; got != doppelboden.Queued {
			t.Errorf("the mail of %v is %v, want queued", m.Received, got)
		}
	}
	if got, want := end(), (Report{Seen: 4, Back: 2, Expired: 2, Again: 2}); got != want {
		t.Errorf("report %+v, want %+v", got, want)
	}
}

func TestWithoutALeaseNothingEndsAndItIsFoundLater(t *testing.T) {
	w := newWorld(t)
	m := w.message(time.Hour, 1)
	w.answer(m, 0, doppelboden.Took, 30*time.Minute)
	w.s.Lead(store.Lease{})
	w.drain(w.land(m))
	if got := w.state(m, 0); got.State != doppelboden.Queued || !got.Next.After(w.now) {
		t.Errorf("%v until %v, want that it waits", got.State, got.Next)
	}
	w.s.Lead(w.lease)
	if n, err := w.s.Delivered(t.Context()); err != nil || n != 1 || w.state(m, 0).State != doppelboden.Delivered {
		t.Errorf("ended %d, %v, now %v; want it delivered", n, err, w.state(m, 0).State)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A message that the database refused, or that waited behind one, is older than retention's
// cut when it is tried again, and its link is there: it has never been removed.
func TestWhatLayAsideComesInHoweverOldItIs(t *testing.T) {
	w := newWorld(t)
	w.kept = w.now.Add(-48 * time.Hour)
	m := w.message(60*time.Hour, 1)
	one := w.land(m)
	w.drain(store.Landed{Link: one.Link, Aside: true})
	one.Aside = true
	w.drain(one)
	if got := w.state(m, 0).State; got != doppelboden.Queued {
		t.Errorf("what lay aside is %v, want queued", got)
	}
}
