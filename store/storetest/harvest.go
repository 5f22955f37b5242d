package storetest

import (
	"math"
	"slices"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// harvested reads what a filter selects in a mailbox.
func (w *world) harvested(box doppelboden.Mailbox, f store.HarvestFilter) []store.Harvest {
	w.t.Helper()
	f.Tenant, f.Mailbox = box.Tenant, box.ID
	return gather(w.t, func(y func(store.Harvest) error) error { return w.s.Harvested(ctx, f, y) })
}

// quiet makes a message that nobody is to be handed: it has a copy and no delivery.
func (w *world) quiet(box doppelboden.Mailbox, folder string) *doppelboden.Message {
	w.t.Helper()
	m := w.message(box)
	m.Door, m.Recipients, m.Deliveries = "sync", 0, nil
	m.Copies[0].Folder = folder
	w.acceptThis(m)
	return m
}

func testHarvests(t *testing.T, open Open) {
	t.Run("where mails lie", func(t *testing.T) { testHarvested(t, open) })
	t.Run("copies", func(t *testing.T) { testHarvestCopies(t, open) })
	t.Run("marks", func(t *testing.T) { testMarks(t, open) })
	t.Run("how far", func(t *testing.T) { testHarvestState(t, open) })
}

func testHarvested(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna, other := w.boxes[0], w.boxes[2]
	first, second, foreign := w.quiet(anna, "Projekt"), w.accept(anna), w.accept(other)
	at := func(folder string, uid uint32, m *doppelboden.Message, flags uint32) store.Harvest {
		return store.Harvest{Tenant: anna.Tenant, Mailbox: anna.ID, Folder: folder, Validity: math.MaxUint32, UID: uid, Message: m.ID, Flags: flags}
	}
	a, b, c := at("INBOX", 7, second, doppelboden.Seen|doppelboden.Hidden), at("INBOX", math.MaxUint32, first, 0), at(hostile, 1, first, doppelboden.Label5)
	c.Gone = cut(w.tick())
	batch := store.HarvestBatch{Tenant: anna.Tenant, Mailbox: anna.ID, Mails: []store.Harvest{a, b, c, at("INBOX", 9, foreign, 0), at("INBOX", 10, &doppelboden.Message{ID: w.ids.New(w.tick())}, 0)}}
	for range 2 {
		w.must(w.s.Harvest(ctx, w.lease, []store.HarvestBatch{batch}))
	}
	same(t, "all mails (not those of others, and of messages that are not there)", w.harvested(anna, store.HarvestFilter{}), []store.Harvest{a, b, c})
	same(t, "those of a message", w.harvested(anna, store.HarvestFilter{Message: first.ID}), []store.Harvest{b, c})
	same(t, "those of a folder", w.harvested(anna, store.HarvestFilter{Folder: hostile}), []store.Harvest{c})
	same(t, "those between UIDs", w.harvested(anna, store.HarvestFilter{Folder: "INBOX", From: 7, To: 8}), []store.Harvest{a})
	same(t, "those of a folder that is not known", w.harvested(anna, store.HarvestFilter{Folder: "nowhere"}), []store.Harvest(nil))
	same(t, "those between UIDs under a UIDVALIDITY", w.harvested(anna, store.HarvestFilter{Folder: "INBOX", Validity: math.MaxUint32, From: 8}), []store.Harvest{b})
	same(t, "those under another UIDVALIDITY", w.harvested(anna, store.HarvestFilter{Folder: "INBOX", Validity: 1}), []store.Harvest(nil))
	same(t, "those of a message in a folder under a UIDVALIDITY", w.harvested(anna, store.HarvestFilter{Message: first.ID, Folder: hostile, Validity: math.MaxUint32}), []store.Harvest{c})
	same(t, "those that are gone", w.harvested(anna, store.HarvestFilter{Gone: true}), []store.Harvest{c})
	same(t, "the first", w.harvested(anna, store.HarvestFilter{Limit: 1}), []store.Harvest{a})
	same(t, "those of another tenant's mailbox", w.harvested(doppelboden.Mailbox{ID: anna.ID, Tenant: other.Tenant}, store.HarvestFilter{}), []store.Harvest(nil))
	a.Message, a.Flags = first.ID, 0
	w.must(w.s.Harvest(ctx, w.lease, []store.HarvestBatch{{Tenant: anna.Tenant, Mailbox: anna.ID, Mails: []store.Harvest{a}, Ended: []store.Harvest{b, at("nowhere", 1, first, 0)}}}))
	same(t, "after a change and an end", w.harvested(anna, store.HarvestFilter{}), []store.Harvest{a, c})
	var many []store.Harvest
	for n := range 600 { // more than a page
		many = append(many, at("Viele", uint32(n+1), second, 0))
	}
	w.must(w.s.Harvest(ctx, w.lease, []store.HarvestBatch{{Tenant: anna.Tenant, Mailbox: anna.ID, Mails: many}}))
	same(t, "many", w.harvested(anna, store.HarvestFilter{Folder: "Viele"}), many)
	same(t, "many under a UIDVALIDITY", w.harvested(anna, store.HarvestFilter{Folder: "Viele", Validity: math.MaxUint32}), many)

	old := w.lease
	var err error
	w.lease, err = w.s.Join(ctx, "node", w.tick())
	w.must(err)
	isCode(t, "Harvest of a run that was replaced", w.s.Harvest(ctx, old, []store.HarvestBatch{batch}), doppelboden.Fenced)

	removed, err := w.s.Expire(ctx, w.tick().Add(time.Hour), nil, 10)
	w.must(err)
	if removed != 1 { // the others' deliveries are queued
		t.Errorf("Expire removed %d messages, wanted the one without deliveries", removed)
	}
	same(t, "what is known of a message that is gone", w.harvested(anna, store.HarvestFilter{Folder: "INBOX"}), []store.Harvest(nil))
}

func testHarvestCopies(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna, buero, other := w.boxes[0], w.boxes[1], w.boxes[2]
	m, came := w.quiet(anna, "Projekt"), w.accept(anna)
	copies := func(box doppelboden.Mailbox, ids ...doppelboden.ID) (folders []string) {
		t.Helper()
		list, err := w.s.CopiesOf(ctx, box.Tenant, box.ID, ids)
		w.must(err)
		for _, c := range list {
			if c.Mailbox != box.ID {
				t.Errorf("a copy of mailbox %d lies in %d", box.ID, c.Mailbox)
			}
			folders = append(folders, c.Folder)
		}
		return folders
	}
	same(t, "a copy that was made with its message", copies(anna, m.ID), []string{"Projekt"})
	same(t, "a copy that a delivery implies", copies(anna, came.ID), []string{doppelboden.Inbox})
	same(t, "no copy", copies(buero, m.ID, came.ID), []string(nil))
	lay := store.HarvestBatch{Tenant: anna.Tenant, Mailbox: buero.ID, Copies: []doppelboden.Copy{
		{Folder: doppelboden.Inbox, Message: m.ID, Flags: doppelboden.Seen, Date: cut(day)},
		{Folder: "Gesendet", Message: came.ID, Date: cut(day)},
		{Folder: doppelboden.Inbox, Message: w.ids.New(w.tick())},
	}}
	for range 2 {
		w.must(w.s.Harvest(ctx, w.lease, []store.HarvestBatch{lay}))
	}
	same(t, "copies that were laid, one each", copies(buero, m.ID, came.ID), []string{doppelboden.Inbox, "Gesendet"})
	list, err := w.s.CopiesOf(ctx, anna.Tenant, buero.ID, []doppelboden.ID{m.ID})
	w.must(err)
	if len(list) != 1 || list[0].Flags != doppelboden.Seen || !list[0].Date.Equal(cut(day)) || list[0].Message != m.ID {
		t.Errorf("the copy is %+v, wanted its flags and date", list)
	}
	w.must(w.s.Harvest(ctx, w.lease, []store.HarvestBatch{{Tenant: anna.Tenant, Mailbox: anna.ID, Copies: []doppelboden.Copy{{Folder: doppelboden.Inbox, Message: came.ID}}}}))
	same(t, "a copy where a delivery implies one", copies(anna, came.ID), []string{doppelboden.Inbox})
	w.must(w.s.Harvest(ctx, w.lease, []store.HarvestBatch{{Tenant: other.Tenant, Mailbox: other.ID, Copies: []doppelboden.Copy{{Folder: doppelboden.Inbox, Message: m.ID}}}}))
	same(t, "a copy of another tenant's message", copies(other, m.ID), []string(nil))
}

func testMarks(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna, other := w.boxes[0], w.boxes[2]
	a, foreign, b := w.quiet(anna, "A"), w.accept(other), w.accept(anna)
	mark := func(m *doppelboden.Message, n byte) store.HarvestMark {
		return store.HarvestMark{Tenant: anna.Tenant, Sum: [16]byte{0, n, 0xff}, Message: m.ID}
	}
	list, end, err := w.s.Unmarked(ctx, anna.Tenant, 0, 10)
	w.must(err)
	if len(list) != 2 || list[0].Message.ID != a.ID || list[1].Message.ID != b.ID || list[0].Number >= list[1].Number || end != list[1].Number {
		t.Fatalf("Unmarked gave %d messages up to %d, wanted the tenant's two", len(list), end)
	}
	same(t, "the body of an unmarked message", list[0].Message.Body, a.Body)
	if some, upTo, err := w.s.Unmarked(ctx, anna.Tenant, 0, 1); err != nil || len(some) != 1 || upTo != list[0].Number {
		t.Errorf("Unmarked with a limit gave %d messages up to %d (%v)", len(some), upTo, err)
	}
	if none, upTo, err := w.s.Unmarked(ctx, anna.Tenant, end, 10); err != nil || len(none) != 0 || upTo != end {
		t.Errorf("Unmarked behind the last gave %d messages up to %d (%v)", len(none), upTo, err)
	}
	marking := store.Marking{Number: end, Key: []byte{0, 1, 0xff}, KeyVersion: 3, JournalFirst: cut(day), JournalLast: cut(w.tick()), HairpinLast: cut(w.tick())}
	for range 2 {
		w.must(w.s.PutMarking(ctx, w.lease, anna.Tenant, marking, []store.HarvestMark{mark(a, 1), mark(b, 1), mark(b, 2), mark(foreign, 3)}))
	}
	now, err := w.s.Marking(ctx, anna.Tenant)
	w.must(err)
	same(t, "how far the marks are", now, marking)
	now, err = w.s.Marking(ctx, other.Tenant)
	w.must(err)
	same(t, "how far another tenant's marks are", now, store.Marking{})
	got, err := w.s.Marked(ctx, anna.Tenant, [][16]byte{mark(b, 2).Sum, mark(a, 1).Sum, mark(a, 3).Sum, mark(a, 9).Sum})
	w.must(err)
	same(t, "marks", got, []store.HarvestMark{mark(b, 2), mark(a, 1), mark(b, 1)})
	got, err = w.s.Marked(ctx, other.Tenant, [][16]byte{mark(a, 1).Sum})
	w.must(err)
	same(t, "marks of another tenant", got, []store.HarvestMark(nil))
	if _, err = w.s.Expire(ctx, w.tick().Add(time.Hour), nil, 10); err != nil {
		t.Fatal(err)
	}
	got, err = w.s.Marked(ctx, anna.Tenant, [][16]byte{mark(a, 1).Sum})
	w.must(err)
	same(t, "marks after a message is gone", got, []store.HarvestMark{mark(b, 1)})
}

func testHarvestState(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna, buero := w.boxes[0], w.boxes[1]
	empty, err := w.s.HarvestBox(ctx, anna.Tenant, anna.ID)
	w.must(err)
	same(t, "a mailbox of which nothing is known", empty, store.HarvestBox{Tenant: anna.Tenant, Mailbox: anna.ID})
	box := store.HarvestBox{Tenant: anna.Tenant, Mailbox: anna.ID, Began: cut(day), At: cut(w.tick()), Trouble: hostile, Tried: cut(w.tick()), Vanished: 77, Confirm: true, Restored: cut(w.tick())}
	yes, no := true, false
	second := store.HarvestBox{Tenant: buero.Tenant, Mailbox: buero.ID}
	full := store.HarvestFolder{Tenant: anna.Tenant, Mailbox: anna.ID, Name: hostile, Use: store.UseSent, Ours: 4, Validity: math.MaxUint32, Next: math.MaxUint32,
		Low: 9, Filled: true, ModSeq: math.MaxInt64, Exists: 5, Flags: cut(day), Since: cut(w.tick()), At: cut(w.tick()), Gone: true}
	inbox := store.HarvestFolder{Tenant: anna.Tenant, Mailbox: anna.ID, Name: "INBOX"}
	for range 2 {
		w.must(w.s.Harvest(ctx, w.lease, []store.HarvestBatch{{Tenant: anna.Tenant, Mailbox: anna.ID, Box: &box, Confirm: &yes, Folders: []store.HarvestFolder{full, inbox}},
			{Tenant: buero.Tenant, Mailbox: buero.ID, Box: &second, Folders: []store.HarvestFolder{{Tenant: buero.Tenant, Mailbox: buero.ID, Name: "INBOX"}}}}))
	}
	w.restart()
	folders, err := w.s.HarvestFolders(ctx, anna.Tenant, anna.ID)
	w.must(err)
	want := []store.HarvestFolder{full, inbox}
	if hostile > "INBOX" {
		want = []store.HarvestFolder{inbox, full}
	}
	same(t, "folders", folders, want)
	all := func(of doppelboden.TenantID) []store.HarvestFolder {
		return gather(t, func(y func(store.HarvestFolder) error) error { return w.s.AllHarvestFolders(ctx, of, y) })
	}
	same(t, "folders of all mailboxes", all(anna.Tenant), append(slices.Clone(want), store.HarvestFolder{Tenant: buero.Tenant, Mailbox: buero.ID, Name: "INBOX"}))
	same(t, "folders of another tenant", all(w.boxes[2].Tenant), []store.HarvestFolder(nil))
	got, err := w.s.HarvestBox(ctx, anna.Tenant, anna.ID)
	w.must(err)
	same(t, "a mailbox", got, box)
	same(t, "mailboxes", gather(t, func(y func(store.HarvestBox) error) error { return w.s.HarvestBoxes(ctx, anna.Tenant, y) }), []store.HarvestBox{box, second})
	same(t, "mailboxes of another tenant", gather(t, func(y func(store.HarvestBox) error) error { return w.s.HarvestBoxes(ctx, w.boxes[2].Tenant, y) }), []store.HarvestBox(nil))
	// A person may say so while the mailbox is read.
	confirmed := func(when string, b store.HarvestBatch, want store.HarvestBox) {
		t.Helper()
		b.Tenant, b.Mailbox = want.Tenant, want.Mailbox
		w.must(w.s.Harvest(ctx, w.lease, []store.HarvestBatch{b}))
		got, err := w.s.HarvestBox(ctx, want.Tenant, want.Mailbox)
		w.must(err)
		same(t, when, got, want)
	}
	before := box
	before.Confirm, before.Vanished = false, 78
	box.Vanished = 78
	confirmed("a confirmation after a note of what was read before it", store.HarvestBatch{Box: &before}, box)
	confirmed("a confirmation that is used up", store.HarvestBatch{Confirm: &no}, before)
	confirmed("a note that does not say whether it is confirmed", store.HarvestBatch{Box: &box}, before)
	confirmed("a confirmation together with what was read", store.HarvestBatch{Box: &before, Confirm: &yes}, box)
	confirmed("a confirmation of a mailbox of which nothing else is known", store.HarvestBatch{Confirm: &yes},
		store.HarvestBox{Tenant: w.boxes[2].Tenant, Mailbox: w.boxes[2].ID, Confirm: true})
}
