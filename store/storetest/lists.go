package storetest

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testLists(t *testing.T, open Open) {
	t.Run("listings are kept", func(t *testing.T) { listings(t, open) })
	t.Run("lists keep their members", func(t *testing.T) { members(t, open) })
	t.Run("a retired mailbox frees its addresses and can come back", func(t *testing.T) { retired(t, open) })
	t.Run("a function that a directory lists gets nothing of a person who left", func(t *testing.T) { personal(t, open) })
	t.Run("a mailbox keeps its number under a new address", func(t *testing.T) { renamed(t, open) })
	t.Run("mail for nobody is assigned once", func(t *testing.T) { assigned(t, open) })
}

func listings(t *testing.T, open Open) {
	w := newWorld(t, open)
	if all, err := w.s.Listings(ctx); err != nil || len(all) != 0 {
		t.Errorf("listings of an empty store: %v, %v", all, err)
	}
	want := []store.Listing{
		{Tenant: w.tenants[0].ID, Source: "", Writing: true, Read: cut(day)},
		{Tenant: w.tenants[0].ID, Source: "ad", Tried: cut(day), Trouble: hostile, Lost: 17},
		{Tenant: w.tenants[1].ID, Source: "ad"},
	}
	for i := range want {
		l := want[len(want)-1-i]
		w.must(w.s.PutListing(ctx, l))
		w.must(w.s.PutListing(ctx, l))
	}
	w.restart()
	got, err := w.s.Listings(ctx)
	w.must(err)
	same(t, "listings", got, want)
	want[0].Writing, want[0].Read = false, time.Time{}
	w.must(w.s.PutListing(ctx, want[0]))
	got, err = w.s.Listings(ctx)
	w.must(err)
	same(t, "changed listings", got, want)
}

// mailboxesOf reads all mailboxes.
func (w *world) mailboxesOf() []doppelboden.Mailbox {
	w.t.Helper()
	return gather(w.t, func(y func(doppelboden.Mailbox) error) error { return w.s.Mailboxes(ctx, y) })
}

func members(t *testing.T, open Open) {
	w := newWorld(t, open)
	list := doppelboden.Mailbox{Tenant: w.tenants[0].ID, Address: addr("alle", "stadt.example"), Kind: doppelboden.List, Closed: true,
		Source: "ad", External: "00ff", Members: []doppelboden.Address{addr("z", "x.example"), addr("anna", "stadt.example"), addr("a@b", "c.example")}}
	put, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{list})
	w.must(err)
	list.ID = put[0].ID
	w.restart()
	same(t, "mailboxes", w.mailboxesOf(), append(w.boxes[:3:3], list))
	list.Members, list.Closed = list.Members[1:2], false
	_, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{list})
	w.must(err)
	same(t, "with one member", w.mailboxesOf(), append(w.boxes[:3:3], list))
	list.Kind, list.Members = doppelboden.Function, nil
	_, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{list})
	w.must(err)
	same(t, "as a mailbox", w.mailboxesOf(), append(w.boxes[:3:3], list))
	list.Members = []doppelboden.Address{addr("bert", "stadt.example"), addr("anna", "stadt.example")}
	_, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{list})
	w.must(err)
	same(t, "as a mailbox that belongs to people", w.mailboxesOf(), append(w.boxes[:3:3], list))
}

func retired(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna := w.boxes[0]
	anna.Aliases = []doppelboden.Address{addr("a", "stadt.example")}
	_, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{anna})
	w.must(err)
	m := w.accept(anna)
	for range 2 { // repeated, it changes nothing
		w.must(w.s.Retire(ctx, []doppelboden.MailboxID{anna.ID, 9999}, day))
		gone := anna
		gone.Aliases, gone.Gone = nil, cut(day)
		same(t, "after it was retired", w.mailboxesOf(), []doppelboden.Mailbox{gone, w.boxes[1], w.boxes[2]})
	}
	if d := w.delivery(m.ID, 0); d.Mailbox != anna.ID || d.State != doppelboden.Queued {
		t.Errorf("mail of a retired mailbox: %+v, wanted it to wait still", d)
	}
	heir := w.boxes[1]
	heir.Aliases = []doppelboden.Address{addr("a", "stadt.example"), anna.Address}
	_, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{heir})
	w.must(err)
	_, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{{Tenant: anna.Tenant, Address: anna.Address}})
	isCode(t, "a mailbox whose address another one has taken meanwhile", err, doppelboden.Invalid)
	_, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{w.boxes[1]})
	w.must(err)
	back, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{{Tenant: anna.Tenant, Address: addr("ANNA", "stadt.example"), Kind: doppelboden.Person}})
	w.must(err)
	if back[0].ID != anna.ID {
		t.Errorf("it came back with the number %d, it had %d", back[0].ID, anna.ID)
	}
	w.restart()
	same(t, "after it came back", w.mailboxesOf(), []doppelboden.Mailbox{back[0], w.boxes[1], w.boxes[2]})

	// Somebody else with the same address is somebody else.
	first := doppelboden.Mailbox{Tenant: anna.Tenant, Address: addr("namens", "stadt.example"), Source: "ad", External: "1"}
	second := first
	second.External = "2"
	put, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{first})
	w.must(err)
	for range 2 {
		w.must(w.s.Retire(ctx, []doppelboden.MailboxID{put[0].ID}, day))
		first.ID = put[0].ID
		put, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{second})
		w.must(err)
		if put[0].ID == first.ID {
			t.Errorf("the namesake got mailbox %d of somebody who left", first.ID)
		}
	}
	w.must(w.s.Retire(ctx, []doppelboden.MailboxID{put[0].ID}, day))

	// The address was given to another mailbox by a change of its own, and both go.
	w.must(w.s.Retire(ctx, []doppelboden.MailboxID{anna.ID}, day))
	heir = w.boxes[1]
	heir.Address = anna.Address
	_, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{heir})
	w.must(err)
	w.must(w.s.Retire(ctx, []doppelboden.MailboxID{heir.ID}, day))
	if all := w.mailboxesOf(); len(all) != 6 || all[0].Gone.IsZero() || all[1].Gone.IsZero() {
		t.Errorf("two gone mailboxes with one address: %+v", all)
	}
}

// personal: what a person left behind is no function's because a directory says so.
func personal(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna := w.boxes[0]
	w.must(w.s.Retire(ctx, []doppelboden.MailboxID{anna.ID}, anna.Gone.AddDate(2026, 0, 0)))
	listed := doppelboden.Mailbox{Tenant: anna.Tenant, Address: anna.Address, Kind: doppelboden.Function, Source: "ad", External: "1"}
	for range 2 {
		put, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{listed})
		w.must(err)
		if put[0].ID == anna.ID {
			t.Errorf("a function of a directory got mailbox %d of a person who left", anna.ID)
		}
	}
	w = newWorld(t, open)
	anna = w.boxes[0]
	w.must(w.s.Retire(ctx, []doppelboden.MailboxID{anna.ID}, anna.Gone.AddDate(2026, 0, 0)))
	put, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{{Tenant: anna.Tenant, Address: anna.Address, Kind: doppelboden.Function}})
	w.must(err)
	if put[0].ID != anna.ID {
		t.Errorf("people made a function of a person's mailbox that was gone: number %d, want %d", put[0].ID, anna.ID)
	}
}

func renamed(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna := w.boxes[0]
	anna.Address, anna.Aliases = addr("anna.neu", "stadt.example"), []doppelboden.Address{w.boxes[0].Address}
	_, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{anna})
	w.must(err)
	same(t, "mailboxes", w.mailboxesOf(), []doppelboden.Mailbox{anna, w.boxes[1], w.boxes[2]})
	// And back: the alias becomes its address again.
	anna.Address, anna.Aliases = anna.Aliases[0], []doppelboden.Address{anna.Address}
	_, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{anna})
	w.must(err)
	same(t, "mailboxes", w.mailboxesOf(), []doppelboden.Mailbox{anna, w.boxes[1], w.boxes[2]})
	stranger := w.boxes[0]
	stranger.Address = addr("fremd", "kreis.example")
	for name, b := range map[string]doppelboden.Mailbox{
		"a number of another tenant's":    {ID: w.boxes[2].ID, Tenant: w.tenants[0].ID, Address: addr("x", "stadt.example")},
		"a number that nobody has":        {ID: 9999, Tenant: w.tenants[0].ID, Address: addr("x", "stadt.example")},
		"an address that another one has": {ID: anna.ID, Tenant: anna.Tenant, Address: w.boxes[1].Address},
	} {
		_, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{b})
		isCode(t, name, err, doppelboden.Invalid)
	}
	same(t, "mailboxes after refusals", w.mailboxesOf(), []doppelboden.Mailbox{anna, w.boxes[1], w.boxes[2]})
}

func assigned(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.message(w.boxes[0])
	whose := doppelboden.Delivery{Message: m.ID, N: 1, Tenant: m.Tenant, Recipient: addr("wer", "stadt.example"), State: doppelboden.Held,
		Reply: "nobody has this address", Changed: m.Received}
	third := whose
	third.N = 2
	m.Deliveries, m.Recipients = append(m.Deliveries, whose, third), 3
	w.acceptThis(m)
	held := func(want int64) {
		t.Helper()
		got, err := w.s.Unassigned(ctx)
		w.must(err)
		if got[m.Tenant] != want || got[w.tenants[1].ID] != 0 {
			t.Errorf("held for nobody: %v, wanted %d of tenant %d", got, want, m.Tenant)
		}
	}
	held(2)
	a := store.Assignment{Ref: ref(m, 1), Mailbox: w.boxes[1].ID, To: w.boxes[1].Address, State: doppelboden.Queued, By: "anna", At: w.tick()}
	for range 2 { // repeated, it changes nothing
		w.must(w.s.Assign(ctx, w.lease, a))
		held(1)
	}
	d := w.delivery(m.ID, 1)
	if d.State != doppelboden.Queued || d.Mailbox != w.boxes[1].ID || d.Box != doppelboden.BoxID(w.boxes[1].ID) || d.Recipient != w.boxes[1].Address {
		t.Errorf("assigned: %+v", d)
	}
	heads, err := w.s.Heads(ctx, []doppelboden.BoxID{d.Box}, []int64{0}, 10)
	w.must(err)
	if len(heads) != 1 || heads[0].Delivery.N != 1 {
		t.Errorf("heads of the mailbox: %v, wanted the assigned delivery", heads)
	}
	copies := func(b doppelboden.Mailbox) int {
		return len(gather(t, func(y func(doppelboden.Copy) error) error { return w.s.Copies(ctx, b.Tenant, b.ID, y) }))
	}
	if n := copies(w.boxes[1]); n != 1 {
		t.Errorf("%d copies in the mailbox, wanted 1", n)
	}
	here := a
	here.Ref, here.State = ref(m, 2), doppelboden.Delivered
	w.must(w.s.Assign(ctx, w.lease, here))
	held(0)
	if n := copies(w.boxes[1]); n != 1 {
		t.Errorf("%d copies of one message in the mailbox, wanted 1", n)
	}
	counts := map[doppelboden.State]int64{}
	all, err := w.s.Counts(ctx)
	w.must(err)
	for _, c := range all {
		counts[c.State] += c.Deliveries
	}
	if counts[doppelboden.Queued] != 2 || counts[doppelboden.Delivered] != 1 || counts[doppelboden.Held] != 0 {
		t.Errorf("counts %v, wanted 2 queued and 1 delivered", counts)
	}
	other := a
	other.Mailbox = w.boxes[0].ID
	isCode(t, "what belongs to another already", w.s.Assign(ctx, w.lease, other), doppelboden.Invalid)
	other.Ref.N = 7
	isCode(t, "a delivery that does not exist", w.s.Assign(ctx, w.lease, other), doppelboden.NotFound)
	other.State = doppelboden.Bounced
	isCode(t, "a state that is no place to be", w.s.Assign(ctx, w.lease, other), doppelboden.Invalid)
	isCode(t, "a lease of nobody", w.s.Assign(ctx, store.Lease{Node: "node", Epoch: -1}, a), doppelboden.Fenced)
}
