package ledger

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/tally"
)

// draw returns the balance of everything.
func draw(t *testing.T, w *town) doppelboden.Balance {
	t.Helper()
	b, err := Balance(context.Background(), w.sources(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatalf("balance: %v", err)
	}
	adds(t, b)
	return b
}

// adds checks that the lines of a sheet make its sum, and that a difference is named.
func adds(t *testing.T, b doppelboden.Balance) {
	t.Helper()
	sum := b.Confirmed + b.Delivered + b.Queued + b.Held + b.Bounced + b.Discarded + b.Difference
	if b.Accepted != sum {
		t.Errorf("accepted %d, but the lines make %d: %+v", b.Accepted, sum, b)
	}
	if b.Difference != 0 && len(b.Findings) == 0 {
		t.Errorf("difference %d without a finding", b.Difference)
	}
	bridge := b.Acknowledged + b.Expanded - b.Merged + b.Unacknowledged + b.Generated
	if b.Difference == 0 && b.Accepted != bridge {
		t.Errorf("accepted %d, but the bridge from the 250s makes %d: %+v", b.Accepted, bridge, b)
	}
}

// Every rule of the balance, each with the least that shows it. The sheet is compared
// without its period and findings; finding is a part of the text of the first one.
func TestTheBalanceFollowsItsRules(t *testing.T) {
	type balance = doppelboden.Balance
	cases := []struct {
		name    string
		play    func(w *town)
		want    balance
		finding string
	}{
		{"nothing happened", func(w *town) {}, balance{}, ""},
		{"a message waits", func(w *town) { w.take(2) },
			balance{Accepted: 2, Acknowledged: 2, Queued: 2}, ""},
		{"a message was delivered", func(w *town) { w.hand(ref(w.take(1))) },
			balance{Accepted: 1, Acknowledged: 1, Delivered: 1}, ""},
		{"one of each state", func(w *town) {
			id := w.take(6)
			at := func(n int) doppelboden.Ref { return doppelboden.Ref{Message: id, N: n} }
			w.hand(at(0))
			w.hand(at(1))
			w.settle(at(1), doppelboden.Confirmed, "read-back")
			w.settle(at(2), doppelboden.Held, "courier")
			w.settle(at(3), doppelboden.Bounced, "courier")
			w.settle(at(4), doppelboden.Discarded, "anna")
		}, balance{Accepted: 6, Acknowledged: 6, Delivered: 1, Confirmed: 1, Held: 1, Bounced: 1, Discarded: 1, Queued: 1}, ""},
		{"a person says that it was delivered", func(w *town) {
			w.settle(ref(w.take(1)), doppelboden.Delivered, "anna")
		}, balance{Accepted: 1, Acknowledged: 1, Delivered: 1}, ""},
		{"the mailbox is here", func(w *town) {
			id := w.intent(2)
			e := w.entryFor(id, 2)
			e.Here = []int{1}
			w.keep(e)
			w.fate(id, tally.Sent)
		}, balance{Accepted: 2, Acknowledged: 2, Delivered: 1, Queued: 1}, ""},
		{"a list was expanded", func(w *town) {
			id := w.intent(2)
			e := w.entryFor(id, 2)
			e.Deliveries, e.Expanded = 5, 3
			w.keep(e)
			w.fate(id, tally.Sent)
		}, balance{Accepted: 5, Acknowledged: 2, Expanded: 3, Queued: 5}, ""},
		{"aliases were merged", func(w *town) {
			id := w.intent(3)
			e := w.entryFor(id, 3)
			e.Deliveries, e.Merged = 1, 2
			w.keep(e)
			w.fate(id, tally.Sent)
		}, balance{Accepted: 1, Acknowledged: 3, Merged: 2, Queued: 1}, ""},
		{"a DSN of ours", func(w *town) {
			e := w.entryFor(w.ids.New(w.tick()), 1)
			e.Generated = true
			w.keep(e)
		}, balance{Accepted: 1, Generated: 1, Queued: 1}, ""},
		{"the 250 could not be written", func(w *town) {
			id := w.intent(2)
			w.keep(w.entryFor(id, 2))
			w.fate(id, tally.Unsent)
		}, balance{Accepted: 2, Unacknowledged: 2, Queued: 2}, ""},
		{"kept although the client got a 451", func(w *town) {
			id := w.intent(1)
			w.keep(w.entryFor(id, 1))
			w.fate(id, tally.Withdrawn)
		}, balance{Accepted: 1, Unacknowledged: 1, Queued: 1}, ""},
		{"a crash before the fate was logged", func(w *town) {
			w.keep(w.entryFor(w.intent(1), 1))
		}, balance{Accepted: 1, Unacknowledged: 1, Queued: 1}, ""},
		{"not accepted", func(w *town) { w.fate(w.intent(3), tally.Withdrawn) }, balance{}, ""},
		{"a crash before it was accepted", func(w *town) { w.intent(3) }, balance{}, ""},

		{"a 250 was sent and nothing kept", func(w *town) { w.fate(w.intent(3), tally.Sent) },
			balance{Accepted: 3, Acknowledged: 3, Difference: 3}, "the door said 250"},
		{"a 250 was sent and only that is known", func(w *town) { w.fate(w.ids.New(w.tick()), tally.Sent) },
			balance{Accepted: 1, Acknowledged: 1, Difference: 1}, "the door said 250"},
		{"a message came from nowhere", func(w *town) { w.keep(w.entryFor(w.ids.New(w.tick()), 2)) },
			balance{Accepted: 2, Difference: 2}, "the log of the doors of 2026-11-20 is missing"},
		{"the door counted others than the ledger", func(w *town) {
			id := w.intent(1)
			w.keep(w.entryFor(id, 2))
			w.fate(id, tally.Sent)
		}, balance{Accepted: 2, Acknowledged: 1, Difference: 2}, "the door counted 1 recipients, the ledger 2"},
		{"a delivery was not made", func(w *town) {
			id := w.intent(3)
			e := w.entryFor(id, 3)
			e.Deliveries = 2
			w.keep(e)
			w.fate(id, tally.Sent)
		}, balance{Accepted: 3, Acknowledged: 3, Difference: 3}, "do not make 2 deliveries"},
		{"a delivery too many", func(w *town) {
			id := w.take(1)
			w.settle(doppelboden.Ref{Message: id, N: 1}, doppelboden.Held, "courier")
		}, balance{Accepted: 2, Acknowledged: 1, Difference: 2}, "there are 2 deliveries, but the ledger accepted 1"},
		{"accepted twice", func(w *town) {
			id := w.take(1)
			w.commit(w.entryFor(id, 1))
		}, balance{Accepted: 1, Acknowledged: 1, Difference: 1}, "accepted it twice"},
		{"settled and never accepted", func(w *town) {
			w.commit(doppelboden.Entry{Kind: doppelboden.EntrySettled, At: w.now, Message: w.ids.New(w.tick()), State: doppelboden.Held})
		}, balance{Accepted: 1, Difference: 1}, "never accepted"},
		{"rows without a ledger", func(w *town) {
			id := w.ids.New(w.tick())
			w.rows[ref(id)], w.order = doppelboden.Queued, append(w.order, ref(id))
		}, balance{Accepted: 1, Difference: 1}, "there are rows"},
		{"a state that does not exist", func(w *town) {
			w.settle(ref(w.take(1)), 256, "courier")
		}, balance{Accepted: 1, Acknowledged: 1, Difference: 1}, "does not exist"},
		{"a delivery beyond all bounds", func(w *town) {
			id := w.take(1)
			w.commit(doppelboden.Entry{Kind: doppelboden.EntrySettled, At: w.now, Message: id, N: 1 << 40, State: doppelboden.Held})
		}, balance{Accepted: 1, Acknowledged: 1, Difference: 1}, "out of range"},

		{"the row says something else", func(w *town) {
			id := w.take(2)
			w.hand(ref(id))
			w.rows[ref(id)] = doppelboden.Held
		}, balance{Accepted: 2, Acknowledged: 2, Queued: 1, Difference: 1}, "the ledger says delivered, its row says held"},
		{"the row is gone", func(w *town) { delete(w.rows, ref(w.take(1))) },
			balance{Accepted: 1, Acknowledged: 1, Difference: 1}, "the ledger says queued, but its row is gone"},
		{"retention removed what had ended", func(w *town) {
			id := w.take(1)
			w.hand(ref(id))
			w.expire(id)
		}, balance{Accepted: 1, Acknowledged: 1, Delivered: 1}, ""},
		{"retention removed what waits", func(w *town) { w.expire(w.take(1)) },
			balance{Accepted: 1, Acknowledged: 1, Difference: 1}, "removed it while it was queued"},
		{"retention did not remove it", func(w *town) {
			id := w.take(1)
			w.hand(ref(id))
			w.commit(doppelboden.Entry{Kind: doppelboden.EntryExpired, At: w.tick(), Message: id})
		}, balance{Accepted: 1, Acknowledged: 1, Difference: 1}, "but its row is there"},

		{"delivered without an answer", func(w *town) {
			w.settle(ref(w.take(1)), doppelboden.Delivered, "courier")
		}, balance{Accepted: 1, Acknowledged: 1, Difference: 1}, "the log of the replies of 2026-11-20 is missing"},
		{"delivered after a refusal", func(w *town) {
			r := ref(w.take(1))
			w.answer(r, doppelboden.Refused)
			w.settle(r, doppelboden.Delivered, "courier")
		}, balance{Accepted: 1, Acknowledged: 1, Difference: 1}, "the log of the replies"},
		{"confirmed does not replace the answer", func(w *town) {
			w.hand(ref(w.take(1)))
			r := ref(w.take(1))
			w.settle(r, doppelboden.Delivered, "courier")
			w.settle(r, doppelboden.Confirmed, "read-back")
		}, balance{Accepted: 2, Acknowledged: 2, Delivered: 1, Difference: 1}, "no next server took it"},
		{"an answer that has only just come", func(w *town) {
			w.answer(ref(w.take(1)), doppelboden.Took)
		}, balance{Accepted: 1, Acknowledged: 1, Queued: 1, InDoubt: 1}, ""},
		{"an answer that never reached the ledger", func(w *town) {
			w.answer(ref(w.take(1)), doppelboden.Took)
			w.now = w.now.Add(settleGrace)
		}, balance{Accepted: 1, Acknowledged: 1, Difference: 1}, "a next server took it, but the ledger says queued"},
		{"an answer that a crash kept from the ledger", func(w *town) {
			w.answer(ref(w.take(1)), doppelboden.Took)
			w.now = w.now.Add(settleGrace)
			w.restart()
		}, balance{Accepted: 1, Acknowledged: 1, Queued: 1, InDoubt: 1}, ""},
		{"a late success that was recorded", func(w *town) {
			r := ref(w.take(1))
			w.settle(r, doppelboden.Bounced, "courier")
			w.hand(r)
			w.now = w.now.Add(settleGrace)
		}, balance{Accepted: 1, Acknowledged: 1, Delivered: 1}, ""},
		{"a late success that was dropped", func(w *town) {
			r := ref(w.take(1))
			w.settle(r, doppelboden.Bounced, "courier")
			w.answer(r, doppelboden.Took)
			w.now = w.now.Add(settleGrace)
		}, balance{Accepted: 1, Acknowledged: 1, Difference: 1}, "the ledger says bounced"},
		{"a crash after the dot", func(w *town) {
			r := ref(w.take(1))
			w.attempt(r)
			w.restart()
			w.hand(r)
		}, balance{Accepted: 1, Acknowledged: 1, Delivered: 1, InDoubt: 1}, ""},
		{"in flight", func(w *town) { w.attempt(ref(w.take(1))) },
			balance{Accepted: 1, Acknowledged: 1, Queued: 1, InDoubt: 1}, ""},
		{"no answer after the dot", func(w *town) {
			r := ref(w.take(1))
			w.attempt(r)
			w.replies = append(w.replies, tally.ReplyRecord{Kind: tally.Answer, Ref: r, InDoubt: true, At: w.tick()})
		}, balance{Accepted: 1, Acknowledged: 1, Queued: 1, InDoubt: 1}, ""},
		{"taken three times", func(w *town) {
			r := ref(w.take(1))
			w.answer(r, doppelboden.Took)
			w.answer(r, doppelboden.Took)
			w.hand(r)
		}, balance{Accepted: 1, Acknowledged: 1, Delivered: 1, Duplicates: 2}, ""},
		{"handed over again on purpose", func(w *town) {
			r := ref(w.take(1))
			w.hand(r)
			w.tick()
			w.settle(r, doppelboden.Queued, store.ReplayBy+"anna")
			w.now = w.now.Add(settleGrace)
		}, balance{Accepted: 1, Acknowledged: 1, Queued: 1, Replayed: 1}, ""},
		{"handed over again on purpose, and taken in another run", func(w *town) {
			r := ref(w.take(1))
			w.hand(r)
			w.settle(r, doppelboden.Confirmed, "readback")
			w.restart()
			w.tick()
			w.settle(r, doppelboden.Queued, store.ReplayBy+"anna")
			w.restart()
			w.hand(r)
		}, balance{Accepted: 1, Acknowledged: 1, Delivered: 1, Replayed: 1}, ""},
		{"handed over again on purpose, and then taken twice", func(w *town) {
			r := ref(w.take(1))
			w.hand(r)
			w.tick()
			w.settle(r, doppelboden.Queued, store.ReplayBy+"anna")
			w.answer(r, doppelboden.Took)
			w.hand(r)
		}, balance{Accepted: 1, Acknowledged: 1, Delivered: 1, Replayed: 1, Duplicates: 1}, ""},
		{"an answer for an unknown message", func(w *town) { w.answer(ref(w.ids.New(w.tick())), doppelboden.Took) },
			balance{Accepted: 1, Difference: 1}, "the replies know it"},

		{"the doors' log is damaged", func(w *town) {
			w.take(1)
			w.doorsErr = errors.Join(&tally.Damage{File: "doors-2026-11-20+4096.tally", Offset: 64, Length: 96})
		}, balance{Accepted: 4, Acknowledged: 1, Queued: 1, Difference: 3}, "the log of the doors of 2026-11-20 is damaged: 3 records unreadable"},
		{"the replies' log is damaged", func(w *town) {
			w.take(1)
			w.repliesErr = errors.Join(&tally.Damage{File: "replies-2026-11-21.tally", Offset: 128, Length: 5}, errors.New("more"))
		}, balance{Accepted: 3, Acknowledged: 1, Queued: 1, Difference: 2}, "the log of the replies of 2026-11-21 is damaged: 2 records unreadable"},
		{"the entries of a link are gone", func(w *town) {
			w.hand(ref(w.take(1)))
			w.links[1].Entries = nil
			w.rows[w.order[0]] = doppelboden.Queued
		}, balance{Accepted: 2, Acknowledged: 1, Queued: 1, InDoubt: 1, Difference: 1}, "the entries of 1 links of the ledger are no longer kept"},
		{"the entries of a link are damaged", func(w *town) {
			w.hand(ref(w.take(1)))
			w.links[1].Entries[17] ^= 0x40
			w.rows[w.order[0]] = doppelboden.Queued
		}, balance{Accepted: 2, Acknowledged: 1, Queued: 1, InDoubt: 1, Difference: 1}, "the entries of 1 links of the ledger are damaged"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newTown()
			c.play(w)
			got := draw(t, w)
			ignore := cmpopts.IgnoreFields(balance{}, "From", "To", "Findings")
			if d := cmp.Diff(c.want, got, ignore); d != "" {
				t.Errorf("balance (-want +got):\n%s\nfindings: %+v", d, got.Findings)
			}
			switch {
			case c.finding == "" && len(got.Findings) > 0:
				t.Errorf("findings = %+v, want none", got.Findings)
			case c.finding != "" && (len(got.Findings) == 0 || !strings.Contains(got.Findings[0].What, c.finding)):
				t.Errorf("findings = %+v, want first %q", got.Findings, c.finding)
			}
		})
	}
}
