package storetest

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testNotices(t *testing.T, open Open) {
	t.Run("a notice comes with the settlement that it is about", func(t *testing.T) { noticeComes(t, open) })
	t.Run("a settlement without effect brings nothing", func(t *testing.T) { noticeStays(t, open) })
	t.Run("one notice about several deliveries comes once", func(t *testing.T) { noticeShared(t, open) })
	t.Run("a notice that nobody could find again is an error and changes nothing", func(t *testing.T) { noticeBad(t, open) })
	t.Run("copies come to lie in a folder", func(t *testing.T) { settledCopies(t, open) })
	t.Run("what waits for long and was not told", func(t *testing.T) { overdue(t, open) })
	t.Run("retention cuts the ties of what it removes", func(t *testing.T) { noticesExpire(t, open) })
}

// notice makes a notice to a mailbox about deliveries.
func (w *world) notice(to doppelboden.Mailbox, about ...doppelboden.Ref) *doppelboden.Message {
	n := w.message(to)
	n.Door, n.Class, n.Sender, n.About = "generated", doppelboden.ClassNotice, doppelboden.Address{}, about
	return n
}

// notices reads the notices about a message.
func (w *world) notices(id doppelboden.ID) []store.Notice {
	w.t.Helper()
	all, err := w.s.Notices(ctx, id)
	w.must(err)
	return all
}

func noticeComes(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0], w.boxes[1])
	n := w.notice(w.boxes[0], ref(m, 1))
	list := []doppelboden.Settlement{{Ref: ref(m, 1), State: doppelboden.Bounced, By: "courier", Generated: n, At: w.tick()}}
	for range 2 { // the second is the repetition after an error that hid a success
		w.must(w.s.Settle(ctx, w.lease, list))
		if d := w.delivery(m.ID, 1); d.State != doppelboden.Bounced {
			t.Fatalf("state %v, wanted bounced", d.State)
		}
		same(t, "the notice", w.get(n.ID), n)
		same(t, "notices", w.notices(m.ID), []store.Notice{{ID: n.ID, N: 1}})
	}
	if n.Deliveries[0].Seq == 0 {
		t.Errorf("the notice's delivery got no Seq")
	}
	generated := 0
	for _, e := range ofKind(w.entries(), doppelboden.EntryAccepted) {
		if e.Generated && e.Message == n.ID {
			generated++
		}
	}
	if generated != 1 {
		t.Errorf("%d entries of the ledger call the notice generated, wanted 1", generated)
	}
	if got := w.deliveries(store.Filter{Message: n.ID}); len(got) != 1 || got[0].Delivery.State != doppelboden.Queued {
		t.Errorf("deliveries of the notice: %+v, wanted one that is queued", got)
	}
	w.restart()
	same(t, "notices after a restart", w.notices(m.ID), []store.Notice{{ID: n.ID, N: 1}})
}

func noticeStays(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0])
	w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Delivered})
	n := w.notice(w.boxes[0], ref(m, 0))
	w.settle(
		doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Bounced, Generated: n,
			Copies: []doppelboden.Copy{{Mailbox: w.boxes[1].ID, Folder: "Double-Bounces", Date: day}}},
		doppelboden.Settlement{Ref: doppelboden.Ref{Message: w.ids.New(day)}, State: doppelboden.Bounced, Generated: n})
	w.absent(n)
	if got := w.get(m.ID).Copies; len(got) != 1 {
		t.Errorf("copies %+v after a settlement without effect, wanted the inbox alone", got)
	}
	old := w.lease
	var err error
	w.lease, err = w.s.Join(ctx, "node", w.tick())
	w.must(err)
	fresh := w.accept(w.boxes[0])
	n = w.notice(w.boxes[0], ref(fresh, 0))
	isCode(t, "Settle with a fenced lease", w.s.Settle(ctx, old, []doppelboden.Settlement{{Ref: ref(fresh, 0), State: doppelboden.Bounced,
		Generated: n, At: w.tick()}}), doppelboden.Fenced)
	w.absent(n)
}

// absent reports a notice that is there.
func (w *world) absent(n *doppelboden.Message) {
	w.t.Helper()
	_, err := w.s.Message(ctx, n.ID)
	isCode(w.t, "the notice of a settlement without effect", err, doppelboden.NotFound)
	if n.Deliveries[0].Seq != 0 {
		w.t.Errorf("a notice that was not written has Seq %d", n.Deliveries[0].Seq)
	}
}

func noticeShared(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0], w.boxes[1])
	w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Delivered})
	n := w.notice(w.boxes[0], ref(m, 0), ref(m, 1))
	w.settle( // the first is too late
		doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Bounced, Generated: n},
		doppelboden.Settlement{Ref: ref(m, 1), State: doppelboden.Bounced, Generated: n})
	same(t, "notices", w.notices(m.ID), []store.Notice{{ID: n.ID, N: 0}, {ID: n.ID, N: 1}})
	if got := ofKind(w.entries(), doppelboden.EntryAccepted); len(got) != 2 {
		t.Errorf("%d messages in the ledger, wanted 2", len(got))
	}
	counts, err := w.s.Counts(ctx)
	w.must(err)
	total := int64(0)
	for _, c := range counts {
		total += c.Deliveries
	}
	if total != 3 {
		t.Errorf("%d deliveries are counted, wanted 3: %+v", total, counts)
	}
}

func noticeBad(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0])
	n := w.notice(w.boxes[0], ref(m, 0))
	n.ID = doppelboden.ID{}
	isCode(t, "Settle with a notice without id", w.s.Settle(ctx, w.lease,
		[]doppelboden.Settlement{{Ref: ref(m, 0), State: doppelboden.Bounced, Generated: n, At: w.tick()}}), doppelboden.Temporary)
	if d := w.delivery(m.ID, 0); d.State != doppelboden.Queued {
		t.Errorf("state %v after a Settle that failed, wanted queued", d.State)
	}
	// A notice about what is gone is kept all the same.
	n = w.notice(w.boxes[0], doppelboden.Ref{Message: w.ids.New(day)}, ref(m, 7), ref(m, 0))
	w.acceptThis(n)
	same(t, "what the notice is about", w.get(n.ID).About, []doppelboden.Ref{ref(m, 0)})
}

func settledCopies(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.accept(w.boxes[0])
	list := []doppelboden.Settlement{{Ref: ref(m, 0), State: doppelboden.Discarded, Reply: "double bounce", By: "intake", At: w.tick(),
		Copies: []doppelboden.Copy{{Mailbox: w.boxes[1].ID, Folder: "Double-Bounces", Date: cut(day)}}}}
	for range 2 {
		w.must(w.s.Settle(ctx, w.lease, list))
		got := gather(t, func(y func(doppelboden.Copy) error) error {
			return w.s.Copies(ctx, m.Tenant, w.boxes[1].ID, y)
		})
		same(t, "copies in the postmaster's mailbox", got, []doppelboden.Copy{{Mailbox: w.boxes[1].ID, Folder: "Double-Bounces", Message: m.ID, Date: cut(day)}})
	}
	if d := w.delivery(m.ID, 0); d.State != doppelboden.Discarded {
		t.Errorf("state %v, wanted discarded", d.State)
	}
}

func overdue(t *testing.T, open Open) {
	w := newWorld(t, open)
	const box = doppelboden.BoxID(-7)
	outward := func(change func(*doppelboden.Message)) *doppelboden.Message {
		m := w.message(w.boxes[0], w.boxes[1])
		m.Confirmed, m.Copies = true, nil
		for i := range m.Deliveries {
			d := &m.Deliveries[i]
			d.Mailbox, d.Box, d.Recipient = 0, box, addr("eva", "example.org")
		}
		change(m)
		w.acceptThis(m)
		return m
	}
	unchanged := func(*doppelboden.Message) {}
	told := outward(unchanged)
	waits := outward(unchanged)
	w.settle(doppelboden.Settlement{Ref: ref(waits, 0), State: doppelboden.Delivered})
	outward(func(m *doppelboden.Message) { m.Confirmed = false })
	outward(func(m *doppelboden.Message) { m.Sender = doppelboden.Address{} })
	outward(func(m *doppelboden.Message) { m.Deliveries[0].Box, m.Deliveries[1].Box = -8, -8 })
	last := outward(unchanged)
	cutAt := w.tick()
	outward(unchanged) // too young
	w.acceptThis(w.notice(w.boxes[0], ref(told, 0), ref(told, 1)))
	ask := func(after int64, limit int) []int64 {
		items, err := w.s.Overdue(ctx, box, cutAt, after, limit)
		w.must(err)
		return seqs(items)
	}
	a, b, c := waits.Deliveries[1].Seq, last.Deliveries[0].Seq, last.Deliveries[1].Seq
	same(t, "overdue", ask(0, 100), []int64{a, b, c})
	same(t, "overdue, two", ask(0, 2), []int64{a, b})
	same(t, "overdue behind the second", ask(b, 100), []int64{c})
}

func noticesExpire(t *testing.T, open Open) {
	for _, first := range []string{"message", "notice"} {
		w := newWorld(t, open)
		m := w.accept(w.boxes[0])
		n := w.notice(w.boxes[1], ref(m, 0))
		w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Bounced, Generated: n})
		end := doppelboden.Settlement{Ref: ref(n, 0), State: doppelboden.Delivered}
		cutAt := w.tick().Add(time.Minute)
		if first == "notice" {
			// The message stays, because it ended after the cut.
			w.mu.Lock()
			w.now = cutAt.Add(time.Hour)
			w.mu.Unlock()
			w.settle(doppelboden.Settlement{Ref: ref(m, 0), State: doppelboden.Delivered})
			end.At = cutAt.Add(-time.Second)
			w.must(w.s.Settle(ctx, w.lease, []doppelboden.Settlement{end}))
		}
		removed, err := w.s.Expire(ctx, cutAt, nil, 10)
		w.must(err)
		if removed != 1 {
			t.Fatalf("%d messages were removed, wanted the %s alone", removed, first)
		}
		if first == "message" {
			same(t, "what the notice is about", w.get(n.ID).About, []doppelboden.Ref(nil))
		} else {
			same(t, "notices", w.notices(m.ID), []store.Notice(nil))
		}
	}
}
