package storetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/store"
)

// A model is what a store must look like, in the plainest way.
type model struct {
	*world
	messages []*doppelboden.Message                    // in the order of commits
	first    map[doppelboden.ID][]doppelboden.Delivery // as Accept got them
	removed  []doppelboden.ID
	entries  []doppelboden.Entry
}

// testModel plays random calls on a store and on a model and compares all that can be
// seen after each.
func testModel(t *testing.T, open Open) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{world: newWorld(t, open), first: map[doppelboden.ID][]doppelboden.Delivery{}}
		defer func() { m.s.Close() }() // the one that is open in the end
		m.t = rt
		rt.Repeat(map[string]func(*rapid.T){
			"accept":  m.accepts,
			"again":   m.acceptsAgain,
			"settle":  m.settles,
			"settle ": m.settles, // twice as often
			"expire":  m.expires,
			"restart": m.restarts,
			"":        m.compare,
		})
		m.compareMessages()
		m.compareLedger()
	})
}

// restarts closes and opens the store, now and then.
func (m *model) restarts(rt *rapid.T) {
	if rapid.IntRange(0, 3).Draw(rt, "one in four") == 0 {
		m.restart()
	}
}

func (m *model) accepts(rt *rapid.T) {
	tenant := rapid.IntRange(0, 1).Draw(rt, "tenant")
	boxes := m.boxes[2*tenant : min(3, 2*tenant+2)]
	msg := m.message(rapid.SliceOfN(rapid.SampledFrom(boxes), 1, 3).Draw(rt, "boxes")...)
	for i := range msg.Deliveries {
		msg.Deliveries[i].State = rapid.SampledFrom([]doppelboden.State{doppelboden.Queued, doppelboden.Queued, doppelboden.Delivered}).Draw(rt, "state")
	}
	// A folder holds a message once.
	slices.SortFunc(msg.Copies, func(a, b doppelboden.Copy) int { return cmp.Compare(a.Mailbox, b.Mailbox) })
	msg.Copies = slices.CompactFunc(msg.Copies, func(a, b doppelboden.Copy) bool { return a.Mailbox == b.Mailbox })
	m.first[msg.ID] = slices.Clone(msg.Deliveries)
	m.acceptThis(msg)
	m.messages = append(m.messages, msg)
	e := doppelboden.Entry{Kind: doppelboden.EntryAccepted, At: msg.Received, Tenant: msg.Tenant, Message: msg.ID, Recipients: msg.Recipients,
		Deliveries: len(msg.Deliveries), Sum: msg.Body.Sum}
	for i, d := range msg.Deliveries {
		if d.State == doppelboden.Delivered {
			e.Here = append(e.Here, i)
		}
	}
	m.entries = append(m.entries, e)
}

func (m *model) acceptsAgain(rt *rapid.T) {
	if len(m.messages) == 0 {
		rt.Skip("nothing is there")
	}
	old := rapid.SampledFrom(m.messages).Draw(rt, "message")
	again := *old
	again.Deliveries = slices.Clone(m.first[old.ID])
	m.acceptThis(&again)
	if again.Deliveries[0].Seq != old.Deliveries[0].Seq {
		rt.Errorf("Accept again gave Seq %d, the first time it was %d", again.Deliveries[0].Seq, old.Deliveries[0].Seq)
	}
}

func (m *model) settles(rt *rapid.T) {
	refs := []doppelboden.Ref{{Message: m.ids.New(m.clock())}}
	for _, id := range m.removed {
		refs = append(refs, doppelboden.Ref{Message: id})
	}
	for _, msg := range m.messages {
		for n := range len(msg.Deliveries) + 1 { // one too many
			refs = append(refs, ref(msg, n))
		}
	}
	var list []doppelboden.Settlement
	for range rapid.IntRange(1, 4).Draw(rt, "settlements") {
		list = append(list, doppelboden.Settlement{
			Ref:   rapid.SampledFrom(refs).Draw(rt, "ref"),
			State: rapid.SampledFrom(doppelboden.States()).Draw(rt, "state"),
			Next:  rapid.SampledFrom([]time.Time{{}, cut(day.Add(time.Hour))}).Draw(rt, "next"),
			Reply: rapid.SampledFrom([]string{"", "250 ok", "550 no"}).Draw(rt, "reply"),
			By:    rapid.SampledFrom([]string{"courier", store.ReplayBy + "anna"}).Draw(rt, "by"), Attempt: rapid.Bool().Draw(rt, "attempt"), At: cut(m.tick()),
		})
	}
	for range rapid.IntRange(1, 2).Draw(rt, "times") {
		m.must(m.s.Settle(ctx, m.lease, list))
	}
	for _, s := range list {
		m.settled(s)
	}
}

// settled does to the model what one settlement does.
func (m *model) settled(s doppelboden.Settlement) {
	for _, msg := range m.messages {
		if msg.ID != s.Ref.Message || s.Ref.N >= len(msg.Deliveries) {
			continue
		}
		d := &msg.Deliveries[s.Ref.N]
		replay := s.By == store.ReplayBy+"anna" && s.State == doppelboden.Queued && (d.State == doppelboden.Delivered || d.State == doppelboden.Confirmed)
		if !allowed(d.State, s.State) && !replay {
			return
		}
		if d.State != s.State {
			m.entries = append(m.entries, doppelboden.Entry{Kind: doppelboden.EntrySettled, At: s.At, Tenant: msg.Tenant,
				Message: msg.ID, N: s.Ref.N, State: s.State, By: s.By})
		}
		d.State, d.Reply, d.Changed, d.Next = s.State, s.Reply, s.At, time.Time{}
		if s.State == doppelboden.Queued {
			d.Next = s.Next
		}
		if s.Attempt {
			d.Attempts++
		}
	}
}

func (m *model) expires(rt *rapid.T) {
	if len(m.messages) == 0 {
		rt.Skip("nothing is there")
	}
	at := rapid.SampledFrom(m.messages).Draw(rt, "message").Received
	at = at.Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "seconds")) * time.Second)
	keep := rapid.SampledFrom([][]doppelboden.MailboxID{nil, {m.boxes[0].ID}, {m.boxes[1].ID, m.boxes[2].ID}}).Draw(rt, "keep")
	limit := rapid.IntRange(1, 3).Draw(rt, "limit")
	for n := 1; n > 0; {
		var err error
		n, err = m.s.Expire(ctx, at, keep, limit)
		m.must(err)
	}
	var left []*doppelboden.Message
	for _, msg := range m.messages {
		if expirable(msg, at, keep) {
			m.removed = append(m.removed, msg.ID)
			m.entries = append(m.entries, doppelboden.Entry{Kind: doppelboden.EntryExpired, Tenant: msg.Tenant, Message: msg.ID})
		} else {
			left = append(left, msg)
		}
	}
	m.messages = left
}

// expirable says by the contract's words whether retention removes a message.
func expirable(m *doppelboden.Message, cutAt time.Time, keep []doppelboden.MailboxID) bool {
	if !m.Received.Before(cutAt) {
		return false
	}
	for _, d := range m.Deliveries {
		if d.State == doppelboden.Queued || d.State == doppelboden.Held || !d.Changed.Before(cutAt) {
			return false
		}
	}
	for _, c := range m.Copies {
		if slices.Contains(keep, c.Mailbox) {
			return false
		}
	}
	return true
}

// compare compares what can be seen of deliveries.
func (m *model) compare(*rapid.T) {
	var all []doppelboden.Delivery
	counts := map[string]store.Count{}
	boxes := map[doppelboden.BoxID]store.Box{}
	heads := map[doppelboden.BoxID][]int64{}
	for _, msg := range m.messages {
		for _, d := range msg.Deliveries {
			all = append(all, d)
			k := fmt.Sprint(d.Tenant, d.State)
			c, ok := counts[k]
			if !ok {
				c = store.Count{Tenant: d.Tenant, State: d.State, Oldest: msg.Received}
			}
			c.Deliveries++
			counts[k] = c
			if d.State != doppelboden.Queued {
				continue
			}
			b, ok := boxes[d.Box]
			if !ok {
				b = store.Box{Tenant: d.Tenant, Box: d.Box, Oldest: d.Seq, Since: msg.Received, Next: d.Next}
			}
			b.Queued++
			boxes[d.Box] = b
			if len(heads[d.Box]) < 2 {
				heads[d.Box] = append(heads[d.Box], d.Seq)
			}
		}
	}
	m.compareQueue(all, boxes, heads)
	got, err := m.s.Counts(ctx)
	m.must(err)
	gotCounts := map[string]store.Count{}
	for _, c := range got {
		gotCounts[fmt.Sprint(c.Tenant, c.State)] = c
	}
	same(m.t, "counts", gotCounts, counts)
}

// compareMessages compares every message with all that belongs to it.
func (m *model) compareMessages() {
	for _, msg := range m.messages {
		same(m.t, "message", m.get(msg.ID), msg)
	}
	for _, id := range m.removed {
		_, err := m.s.Message(ctx, id)
		isCode(m.t, "Message that was removed", err, doppelboden.NotFound)
	}
}

// compareQueue compares what the scheduler sees.
func (m *model) compareQueue(all []doppelboden.Delivery, boxes map[doppelboden.BoxID]store.Box, heads map[doppelboden.BoxID][]int64) {
	var deliveries []doppelboden.Delivery
	for _, it := range m.deliveries(store.Filter{}) {
		deliveries = append(deliveries, it.Delivery)
	}
	same(m.t, "deliveries", deliveries, all)
	gotBoxes := map[doppelboden.BoxID]store.Box{}
	for _, b := range gather(m.t, func(y func(store.Box) error) error { return m.s.Boxes(ctx, y) }) {
		gotBoxes[b.Box] = b
	}
	same(m.t, "boxes", gotBoxes, boxes)
	gotHeads := map[doppelboden.BoxID][]int64{}
	items, err := m.s.Heads(ctx, []doppelboden.BoxID{boxOf(m.boxes[0]), boxOf(m.boxes[1]), boxOf(m.boxes[2])}, []int64{0, 0, 0}, 2)
	m.must(err)
	for _, it := range items {
		gotHeads[it.Delivery.Box] = append(gotHeads[it.Delivery.Box], it.Delivery.Seq)
	}
	same(m.t, "heads", gotHeads, heads)
}

// compareLedger compares the ledger's entries as a set: they lie in several chains.
func (m *model) compareLedger() {
	lines := func(entries []doppelboden.Entry) (list []string) {
		for _, e := range entries {
			if e.Kind == doppelboden.EntryExpired {
				e.At = time.Time{} // the engine's own clock
			}
			text, err := json.Marshal(e)
			m.must(err)
			list = append(list, string(text))
		}
		slices.Sort(list)
		return list
	}
	same(m.t, "ledger", lines(m.world.entries()), lines(m.entries))
}
