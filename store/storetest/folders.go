package storetest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testFolders(t *testing.T, open Open) {
	t.Run("the first look numbers what came, in its order", func(t *testing.T) { firstLook(t, open) })
	t.Run("looks side by side number nothing twice", func(t *testing.T) { looksTogether(t, open) })
	t.Run("every filter selects what it says", func(t *testing.T) { shownFilters(t, open) })
	t.Run("flags, moves, copies and removals leave deeds and counters", func(t *testing.T) { changes(t, open) })
	t.Run("changes that cannot be are refused as a whole", func(t *testing.T) { badChanges(t, open) })
	t.Run("what was made here comes with every way of coming", func(t *testing.T) { madeHere(t, open) })
	t.Run("folders named by their use", func(t *testing.T) { namedByUse(t, open) })
	t.Run("names of folders", func(t *testing.T) { folderNames(t, open) })
	t.Run("no name ever has a validity twice", func(t *testing.T) { validityIsNew(t, open) })
	t.Run("what went back is no deed, and what was changed meanwhile is", func(t *testing.T) { wentBack(t, open) })
	t.Run("what is hidden is none for the groupware", func(t *testing.T) { hidden(t, open) })
	t.Run("a folder that is renamed takes its mails along", func(t *testing.T) { renamedFolder(t, open) })
	t.Run("other tenants see and change nothing", func(t *testing.T) { foreignFolders(t, open) })
	t.Run("retention leaves alone what has not gone back", func(t *testing.T) { deedsStay(t, open) })
	t.Run("retention keeps mailboxes whatever folder, and counters right", func(t *testing.T) { keptFolders(t, open) })
	t.Run("what somebody looked at and removed does not come back", func(t *testing.T) { removedStays(t, open) })
	t.Run("what scanners say later is shown", func(t *testing.T) { scannedLater(t, open) })
	t.Run("mailboxes keep their folders under another name", func(t *testing.T) { renamedMailbox(t, open) })
	t.Run("changes side by side lose nothing", func(t *testing.T) { changesTogether(t, open) })
	t.Run("model", func(t *testing.T) { testFolderModel(t, open) })
	t.Run("crash", func(t *testing.T) { testFolderCrash(t, open) })
}

// inbox returns the place of a mailbox's inbox.
func inbox(b doppelboden.Mailbox) store.Place {
	return store.Place{Tenant: b.Tenant, Mailbox: b.ID, Folder: 1}
}

// look looks into a folder.
func (w *world) look(at store.Place) store.Folder {
	w.t.Helper()
	f, err := w.s.Look(ctx, at)
	w.must(err)
	return f
}

// folders returns the folders of a mailbox.
func (w *world) folders(b doppelboden.Mailbox) []store.Folder {
	w.t.Helper()
	list, err := w.s.Folders(ctx, b.Tenant, b.ID)
	w.must(err)
	return list
}

// folder makes a folder and returns it.
func (w *world) folder(b doppelboden.Mailbox, name string, use store.Use) store.Folder {
	w.t.Helper()
	f, err := w.s.PutFolder(ctx, store.Folder{Place: store.Place{Tenant: b.Tenant, Mailbox: b.ID}, Name: name, Use: use, Subscribed: true})
	w.must(err)
	return f
}

// shown returns what a folder shows.
func (w *world) shown(at store.Place, f store.ShownFilter) []store.Shown {
	w.t.Helper()
	return gather(w.t, func(y func(store.Shown) error) error { return w.s.Shown(ctx, at, f, y) })
}

// carry carries out changes.
func (w *world) carry(list ...store.Change) [][]store.Changed {
	w.t.Helper()
	for i := range list {
		list[i].At = cut(w.tick())
	}
	done, err := w.s.Change(ctx, list)
	w.must(err)
	return done
}

// deeds returns the deeds of a mailbox.
func (w *world) deeds(b doppelboden.Mailbox) []store.Deed {
	w.t.Helper()
	return gather(w.t, func(y func(store.Deed) error) error {
		return w.s.Deeds(ctx, store.DeedFilter{Tenant: b.Tenant, Mailbox: b.ID}, y)
	})
}

// returned says that the groupware has mails as deeds say.
func (w *world) returned(deeds ...store.Deed) {
	w.t.Helper()
	var list []store.Returned
	for _, d := range deeds {
		list = append(list, store.Returned{Number: d.Number, Change: d.Change, Is: d.Is})
	}
	w.must(w.s.Returned(ctx, w.lease, list))
}

// uids returns the UIDs of mails.
func uids(list []store.Shown) (uids []uint32) {
	for _, s := range list {
		uids = append(uids, s.UID)
	}
	return uids
}

func firstLook(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	at := inbox(box)
	var want []store.Shown
	for i := range 5 {
		m := w.message(box, w.boxes[1])
		m.Prefix = make([]byte, i)
		m.Deliveries[0].State = doppelboden.States()[i] // in every order of states
		if s := m.Deliveries[0].State; s != doppelboden.Queued && s != doppelboden.Held {
			m.Deliveries[0].State = doppelboden.Delivered
		}
		w.acceptThis(m)
		want = append(want, store.Shown{UID: uint32(i + 1), Message: m.ID, Seq: m.Deliveries[0].Seq, Date: m.Received, Size: int64(4096 + i)})
	}
	before := w.folders(box)
	if len(before) != 1 || before[0].Fresh != 5 || before[0].Next != 1 || before[0].Total != 0 || before[0].Use != store.UseInbox ||
		before[0].Name != doppelboden.Inbox || !before[0].Subscribed || before[0].Validity == 0 {
		t.Errorf("before the first look: %+v", before)
	}
	if got := w.shown(at, store.ShownFilter{}); len(got) != 0 {
		t.Errorf("before the first look %d mails are shown", len(got))
	}
	f := w.look(at)
	if f.Next != 6 || f.Total != 5 || f.Unseen != 5 || f.Fresh != 0 || f.Change == 0 || f.Validity != before[0].Validity {
		t.Errorf("after the first look: %+v", f)
	}
	same(t, "the folder in the list", w.folders(box), []store.Folder{f})
	for i := range want {
		want[i].Change = f.Change
	}
	same(t, "what is shown", w.shown(at, store.ShownFilter{}), want)
	same(t, "a second look", w.look(at), f)
	same(t, "copies of a message that was looked at", w.get(want[0].Message).Copies, []doppelboden.Copy{
		{Mailbox: box.ID, Folder: doppelboden.Inbox, Message: want[0].Message, UID: 1, Date: want[0].Date},
		{Mailbox: w.boxes[1].ID, Folder: doppelboden.Inbox, Message: want[0].Message, Date: want[0].Date}})
	w.restart()
	same(t, "the folder after a restart", w.look(at), f)
	w.accept(box)
	if g := w.look(at); g.Next != 7 || g.Change <= f.Change || g.Total != 6 {
		t.Errorf("after another mail: %+v", g)
	}
	_, err := w.s.Look(ctx, store.Place{Tenant: box.Tenant, Mailbox: box.ID, Folder: 9})
	isCode(t, "Look into a folder that is not there", err, doppelboden.NotFound)
	_, err = w.s.Look(ctx, store.Place{Tenant: box.Tenant, Mailbox: 4711, Folder: 1})
	isCode(t, "Look into a mailbox that is not there", err, doppelboden.NotFound)
	if list, err := w.s.Folders(ctx, box.Tenant, 4711); err != nil || len(list) != 0 {
		t.Errorf("a mailbox that is not there has the folders %+v (%v)", list, err)
	}
}

func looksTogether(t *testing.T, open Open) {
	w := newWorld(t, open)
	const mails, lookers = 60, 4
	var wg sync.WaitGroup
	for range lookers {
		wg.Go(func() {
			for range 20 {
				if _, err := w.s.Look(ctx, inbox(w.boxes[0])); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			for range mails / 3 {
				if _, err := w.s.Accept(ctx, w.message(w.boxes[0])); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	f := w.look(inbox(w.boxes[0]))
	got, seen := w.shown(inbox(w.boxes[0]), store.ShownFilter{}), map[doppelboden.ID]bool{}
	last := int64(0)
	for i, s := range got {
		if s.UID != uint32(i+1) || seen[s.Message] || s.Seq <= last {
			t.Errorf("mail %d has UID %d, Seq %d after %d; twice: %v", i, s.UID, s.Seq, last, seen[s.Message])
		}
		seen[s.Message], last = true, s.Seq
	}
	if len(got) != mails || f.Total != mails || f.Next != mails+1 {
		t.Errorf("%d mails are shown, and the folder says %+v; wanted %d", len(got), f, mails)
	}
}

func shownFilters(t *testing.T, open Open) {
	w := newWorld(t, open)
	at := inbox(w.boxes[0])
	const mails = 40
	for range mails {
		w.accept(w.boxes[0])
	}
	w.look(at)
	for i := range mails / 4 {
		w.carry(store.Change{Place: at, Action: store.ActFlag, UIDs: []uint32{uint32(i * 4)}, Set: []uint32{doppelboden.Seen, doppelboden.Hidden}[i%2]})
	}
	w.carry(store.Change{Place: at, Action: store.ActRemove, UIDs: []uint32{7, 9, 30}})
	all := w.shown(at, store.ShownFilter{Hidden: true})
	if len(all) != mails-3 {
		t.Fatalf("%d mails with hidden ones, wanted %d", len(all), mails-3)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		f := store.ShownFilter{Newest: r.IntN(2) == 0, Hidden: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			f.From, f.To = uint32(r.IntN(mails+5)), uint32(r.IntN(mails+5))
		}
		if r.IntN(2) == 0 {
			for range 1 + r.IntN(6) {
				f.UIDs = append(f.UIDs, uint32(r.IntN(mails+5)))
			}
		}
		if r.IntN(3) == 0 {
			f.After = all[r.IntN(len(all))].Change
		}
		if r.IntN(3) == 0 {
			f.Limit = 1 + r.IntN(10)
		}
		if r.IntN(4) == 0 {
			f.Message = all[r.IntN(len(all))].Message
		}
		var want []store.Shown
		for _, s := range all {
			if (len(f.UIDs) == 0 || slices.Contains(f.UIDs, s.UID)) && s.UID >= f.From && (f.To == 0 || s.UID <= f.To) && s.Change > f.After &&
				(f.Message.IsZero() || s.Message == f.Message) && (f.Hidden || s.Flags&doppelboden.Hidden == 0) {
				want = append(want, s)
			}
		}
		if f.Newest {
			slices.Reverse(want)
		}
		if f.Limit > 0 && len(want) > f.Limit {
			want = want[:f.Limit]
		}
		same(t, fmt.Sprintf("%+v", f), w.shown(at, f), want)
	}
	stop := fmt.Errorf("enough")
	n := 0
	if err := w.s.Shown(ctx, at, store.ShownFilter{}, func(store.Shown) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("Shown returned %v after %d mails, wanted %v after 1", err, n, stop)
	}
}

func changes(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	at := inbox(box)
	var mails []*doppelboden.Message
	for range 4 {
		mails = append(mails, w.accept(box))
	}
	first := w.look(at)
	akten := w.folder(box, "Akten", store.UseNone)
	got := w.carry(
		store.Change{Place: at, Action: store.ActFlag, UIDs: []uint32{2, 1, 2, 99}, Set: doppelboden.Seen | doppelboden.Flagged, Deed: true},
		store.Change{Place: at, Action: store.ActFlag, UIDs: []uint32{1}, Clear: doppelboden.Flagged, Deed: true},
		store.Change{Place: at, Action: store.ActMove, UIDs: []uint32{3, 2}, To: akten.Folder, Deed: true},
		store.Change{Place: akten.Place, Action: store.ActCopy, UIDs: []uint32{1, 2}, To: at.Folder, Deed: true},
		store.Change{Place: at, Action: store.ActCopy, UIDs: []uint32{1}, To: at.Folder, Deed: true},
		store.Change{Place: at, Action: store.ActRemove, UIDs: []uint32{4, 6}, Deed: true})
	seen := doppelboden.Seen
	same(t, "what the changes did", got, [][]store.Changed{
		{{UID: 1, Flags: seen | doppelboden.Flagged}, {UID: 2, Flags: seen | doppelboden.Flagged}},
		{{UID: 1, Flags: seen}},
		{{UID: 2, NewUID: 1, Flags: seen | doppelboden.Flagged}, {UID: 3, NewUID: 2}},
		{{UID: 1, NewUID: 5, Flags: seen | doppelboden.Flagged}, {UID: 2, NewUID: 6}},
		{{UID: 1, NewUID: 7, Flags: seen}},
		{{UID: 4}, {UID: 6}}})
	list := w.folders(box)
	if f := list[0]; f.Total != 3 || f.Unseen != 0 || f.Next != 8 || f.Change <= first.Change {
		t.Errorf("inbox: %+v", f)
	}
	if f := list[1]; f.Total != 2 || f.Unseen != 1 || f.Next != 3 {
		t.Errorf("Akten: %+v", f)
	}
	if got := uids(w.shown(at, store.ShownFilter{})); !slices.Equal(got, []uint32{1, 5, 7}) {
		t.Errorf("UIDs in the inbox: %v, wanted 1, 5, 7", got)
	}
	spot := func(folder string, flags uint32) *store.Spot { return &store.Spot{Folder: folder, Flags: flags} }
	deeds := map[string]int{}
	for _, d := range w.deeds(box) {
		d = withoutUse(d)
		text := func(s *store.Spot) string {
			if s == nil {
				return "none"
			}
			return fmt.Sprint(s.Folder, s.Flags)
		}
		n := slices.IndexFunc(mails, func(m *doppelboden.Message) bool { return m.ID == d.Message })
		deeds[fmt.Sprintf("%d %s > %s at %d", n, text(d.Was), text(d.Is), d.UID)]++
		if d.Size != 4096 || !d.Date.Equal(mails[n].Received) || d.At.IsZero() || d.Change == 0 || d.Tenant != box.Tenant || d.Mailbox != box.ID {
			t.Errorf("deed %+v", d)
		}
	}
	same(t, "deeds", deeds, map[string]int{
		"0 INBOX0 > INBOX1 at 1": 1, "1 INBOX0 > Akten5 at 1": 1, "2 INBOX0 > Akten0 at 2": 1,
		"1 none > INBOX5 at 5": 1, "0 none > INBOX1 at 7": 1, "3 INBOX0 > none at 0": 1})
	// As the groupware has it is no deed.
	w.carry(store.Change{Place: at, Action: store.ActFlag, UIDs: []uint32{1}, Clear: seen, Deed: true},
		store.Change{Place: akten.Place, Action: store.ActMove, UIDs: []uint32{2}, To: 1, Deed: true})
	for _, d := range w.deeds(box) {
		if d.Was != nil && d.Is != nil && *withoutUse(d).Is == *spot("INBOX", 0) {
			t.Errorf("a mail that is as it was is the deed %+v", d)
		}
	}
	byMessage := gather(t, func(y func(store.Deed) error) error {
		return w.s.Deeds(ctx, store.DeedFilter{Message: mails[1].ID}, y)
	})
	all := gather(t, func(y func(store.Deed) error) error { return w.s.Deeds(ctx, store.DeedFilter{Limit: 2}, y) })
	more := gather(t, func(y func(store.Deed) error) error {
		return w.s.Deeds(ctx, store.DeedFilter{After: all[1].Number}, y)
	})
	if len(byMessage) != 2 || len(all) != 2 || len(all)+len(more) != len(w.deeds(box)) {
		t.Errorf("%d deeds about a message, %d with a limit and %d behind it, of %d", len(byMessage), len(all), len(more), len(w.deeds(box)))
	}
	if now := w.carry(store.Change{Place: at, Action: store.ActMove, UIDs: []uint32{1}, To: 1}); now[0][0].NewUID != 9 {
		t.Errorf("a move within the folder gave %+v, wanted the UID 9", now)
	}
	w.restart()
	if f := w.folders(box)[0]; f.Total != 4 || f.Next != 10 {
		t.Errorf("inbox after a restart: %+v", f)
	}
}

func badChanges(t *testing.T, open Open) {
	w := newWorld(t, open)
	at := inbox(w.boxes[0])
	w.accept(w.boxes[0])
	before := w.look(at)
	good := store.Change{Place: at, Action: store.ActFlag, UIDs: []uint32{1}, Set: doppelboden.Seen}
	nowhere := at
	nowhere.Folder = 9
	for _, c := range []struct {
		what string
		list []store.Change
		code doppelboden.Code
	}{
		{"an action that does not exist", []store.Change{good, {Place: at, Action: 9, UIDs: []uint32{1}}}, doppelboden.Invalid},
		{"no action", []store.Change{good, {Place: at, UIDs: []uint32{1}}}, doppelboden.Invalid},
		{"two mailboxes", []store.Change{good, {Place: inbox(w.boxes[1]), Action: store.ActFlag}}, doppelboden.Invalid},
		{"a folder that is not there", []store.Change{good, {Place: nowhere, Action: store.ActFlag, UIDs: []uint32{1}}}, doppelboden.NotFound},
		{"a move to nowhere", []store.Change{good, {Place: at, Action: store.ActMove, UIDs: []uint32{1}, To: 9}}, doppelboden.NotFound},
		{"a copy to nowhere", []store.Change{good, {Place: at, Action: store.ActCopy, UIDs: []uint32{1}}}, doppelboden.NotFound},
	} {
		_, err := w.s.Change(ctx, c.list)
		isCode(t, c.what, err, c.code)
	}
	same(t, "the inbox after changes that were refused", w.look(at), before)
	if done, err := w.s.Change(ctx, nil); err != nil || len(done) != 0 {
		t.Errorf("no changes: %v (%v)", done, err)
	}
}

func madeHere(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	made := func(folder string) *doppelboden.Message {
		m := w.message(box)
		m.Door, m.Deliveries, m.Recipients = "mailbox", nil, 0
		m.Copies = []doppelboden.Copy{{Mailbox: box.ID, Folder: folder, Message: m.ID, Flags: doppelboden.Draft, Date: day.Add(-time.Hour).UTC().Truncate(time.Second), New: true}}
		return m
	}
	accepted, drained := made("Drafts"), made("Sent")
	w.acceptThis(accepted)
	w.drain(w.landing("landing/1").keep(drained))
	settled := w.accept(w.boxes[1])
	one := drained.Copies[0]
	one.Message, one.Folder = settled.ID, doppelboden.Inbox
	w.settle(doppelboden.Settlement{Ref: ref(settled, 0), State: doppelboden.Delivered, Copies: []doppelboden.Copy{one}})
	synced := made("Drafts")
	synced.Copies[0].New = false
	w.acceptThis(synced)
	toHerself := w.message(w.boxes[2])
	toHerself.Copies[0].New = true
	w.acceptThis(toHerself)
	if d := w.deeds(w.boxes[2]); len(d) != 1 || d[0].Message != toHerself.ID || d[0].Is == nil || d[0].Is.Folder != doppelboden.Inbox {
		t.Errorf("a mail that was made here lies in the inbox of its recipient: deeds %+v", d)
	}
	same(t, "copy", w.get(accepted.ID).Copies, accepted.Copies)
	deeds := w.deeds(box)
	if len(deeds) != 3 {
		t.Fatalf("deeds %+v, wanted 3", deeds)
	}
	for i, want := range []struct {
		folder string
		m      *doppelboden.Message
	}{{"Drafts", accepted}, {"Sent", drained}, {doppelboden.Inbox, settled}} {
		d := withoutUse(deeds[i])
		if d.Was != nil || d.Is == nil || *d.Is != (store.Spot{Folder: want.folder, Flags: doppelboden.Draft}) || d.Message != want.m.ID || d.UID != 0 ||
			!d.At.Equal(want.m.Received) || !d.Date.Equal(one.Date) {
			t.Errorf("deed %+v, wanted a new mail in %s", d, want.folder)
		}
	}
	// Accepting it again makes nothing new.
	w.acceptThis(accepted)
	drafts := w.folders(box)[1]
	if f := w.look(drafts.Place); f.Total != 2 || f.Name != "Drafts" {
		t.Errorf("drafts %+v, wanted 2 mails", f)
	}
	w.returned(deeds[0])
	if got := w.get(accepted.ID).Copies[0]; got.New || got.UID != 1 {
		t.Errorf("a copy that went back is %+v", got)
	}
	// Removed before it went back: nothing is to be done, but who was just putting it there learns that it must go.
	w.carry(store.Change{Place: inbox(box), Action: store.ActRemove, UIDs: []uint32{uint32(w.look(inbox(box)).Next - 1)}, Deed: true})
	if left := w.deeds(box); len(left) != 1 || left[0].Number != deeds[1].Number {
		t.Errorf("deeds after a new mail was removed: %+v", left)
	}
	w.returned(deeds[2])
	left := w.deeds(box)
	if len(left) != 2 || left[1].Number != deeds[2].Number || left[1].Is != nil || left[1].Was == nil {
		t.Fatalf("deeds after it had gone back all the same: %+v, wanted its removal", left)
	}
	w.returned(left[1])
	if left := w.deeds(box); len(left) != 1 {
		t.Errorf("deeds in the end: %+v", left)
	}
}

func namedByUse(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	put := func(u store.Use) {
		m := w.message(box)
		m.Deliveries, m.Copies = nil, []doppelboden.Copy{{Mailbox: box.ID, Folder: store.FolderFor(u), Message: m.ID, Date: m.Received}}
		w.acceptThis(m)
	}
	w.folder(box, "Sent Items", store.UseSent)
	w.folder(box, "Papierkorb", store.UseNone)
	for _, u := range []store.Use{store.UseSent, store.UseTrash, store.UseJunk, store.UseSent} {
		put(u)
	}
	var got []string
	for _, f := range w.folders(box)[1:] {
		got = append(got, fmt.Sprint(f.Name, " ", f.Use, " ", f.Fresh))
	}
	same(t, "folders", got, []string{"Sent Items sent 2", "Papierkorb trash 1", "Spam junk 1"})
}

func folderNames(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	place := store.Place{Tenant: box.Tenant, Mailbox: box.ID}
	for _, name := range []string{"", "/", "/a", "a/", "a//b", "a\x00b", "a\nb", "a\u202eb", "\xff", "inbox", "Inbox", "iNBOX/a", `\sent`, strings.Repeat("ä", 300)} {
		_, err := w.s.PutFolder(ctx, store.Folder{Place: place, Name: name})
		isCode(t, fmt.Sprintf("a folder called %q", name), err, doppelboden.Invalid)
	}
	nfd := "Vertra\u0308ge"
	f := w.folder(box, nfd, store.UseSent)
	if f.Name != "Verträge" || f.Folder != 2 || f.Next != 1 || f.Total != 0 || f.Fresh != 0 || !f.Subscribed {
		t.Errorf("PutFolder made %+v", f)
	}
	for what, bad := range map[string]store.Folder{
		"the same name":             {Place: place, Name: "Verträge"},
		"the same use":              {Place: place, Name: "Anders", Use: store.UseSent},
		"a second inbox":            {Place: place, Name: "Anders", Use: store.UseInbox},
		"an unknown use":            {Place: place, Name: "Anders", Use: "rubbish"},
		"the inbox by another name": {Place: inbox(box), Name: "Posteingang", Use: store.UseInbox},
		"the inbox for another use": {Place: inbox(box), Name: doppelboden.Inbox, Use: store.UseSent},
		"a folder below itself":     {Place: f.Place, Name: "Verträge/2026"},
	} {
		_, err := w.s.PutFolder(ctx, bad)
		isCode(t, what, err, doppelboden.Invalid)
	}
	gone := place
	gone.Folder = 99
	_, err := w.s.PutFolder(ctx, store.Folder{Place: gone, Name: "x"})
	isCode(t, "a folder that is not there", err, doppelboden.NotFound)
	_, err = w.s.PutFolder(ctx, store.Folder{Place: store.Place{Tenant: box.Tenant, Mailbox: 4711}, Name: "x"})
	isCode(t, "a mailbox that is not there", err, doppelboden.NotFound)
	below := w.folder(box, "INBOX/Rechnungen", store.UseNone)
	again, err := w.s.PutFolder(ctx, store.Folder{Place: inbox(box), Name: doppelboden.Inbox, Use: store.UseInbox})
	if err != nil || again.Subscribed {
		t.Errorf("the inbox without a subscription: %+v (%v)", again, err)
	}
	isCode(t, "DropFolder of the inbox", w.s.DropFolder(ctx, inbox(box), true, day), doppelboden.Invalid)
	for range 2 {
		w.must(w.s.DropFolder(ctx, below.Place, true, day))
	}
	if list := w.folders(box); len(list) != 2 || list[1].Folder != f.Folder {
		t.Errorf("folders in the end: %+v", list)
	}
}

func validityIsNew(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	had := map[uint32]bool{}
	numbers := map[int64]bool{}
	for i := range 6 { // all within one second of the store's clock
		f := w.folder(box, "Akten", store.UseNone)
		if had[f.Validity] || numbers[f.Folder] {
			t.Errorf("folder %d, made %d times, has the validity %d again", f.Folder, i, f.Validity)
		}
		had[f.Validity], numbers[f.Folder] = true, true
		if i%2 == 0 {
			w.must(w.s.Renumber(ctx, []doppelboden.TenantID{0, box.Tenant}[i/2%2]))
			list := w.folders(box)
			if had[list[1].Validity] || list[0].Validity == list[1].Validity {
				t.Errorf("after Renumber %d and %d, and there were %v", list[0].Validity, list[1].Validity, had)
			}
			had[list[1].Validity] = true
			f.Place = list[1].Place
		}
		if i == 3 {
			w.restart()
		}
		w.must(w.s.DropFolder(ctx, f.Place, true, day))
	}
	other := w.folders(w.boxes[2])[0].Validity
	w.must(w.s.Renumber(ctx, box.Tenant))
	if now := w.folders(w.boxes[2])[0].Validity; now != other {
		t.Errorf("Renumber of one tenant changed another's from %d to %d", other, now)
	}
}

func wentBack(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	at := inbox(box)
	w.accept(box)
	w.accept(box)
	w.look(at)
	flag := func(set, clear uint32, deed bool) {
		w.carry(store.Change{Place: at, Action: store.ActFlag, UIDs: []uint32{1}, Set: set, Clear: clear, Deed: deed})
	}
	is := func(what string, want string) {
		t.Helper()
		got := "none"
		if list := w.deeds(box); len(list) > 0 {
			got = fmt.Sprint(list[0].Was.Flags, ">", list[0].Is.Flags)
		}
		if got != want {
			t.Errorf("%s: deed %s, wanted %s", what, got, want)
		}
	}
	flag(doppelboden.Seen, 0, true)
	one := w.deeds(box)[0]
	flag(doppelboden.Answered, 0, true)
	is("two flags", "0>3")
	w.returned(one)
	is("after the first went back", "1>3")
	two := w.deeds(box)[0]
	flag(0, doppelboden.Answered, true)
	is("back to what the groupware has", "none")
	w.returned(two)
	is("after it got what was taken back meanwhile", "3>1")
	w.returned(one) // late, and known better
	is("after late news", "3>1")
	w.returned(w.deeds(box)[0])
	is("in the end", "none")
	flag(doppelboden.Flagged, 0, true)
	three := w.deeds(box)[0]
	flag(doppelboden.Forwarded, doppelboden.Seen, false) // the groupware
	is("after the groupware changed it too", "32>36")
	w.returned(three)
	is("what says less than is known", "32>36")
	w.returned(w.deeds(box)[0])
	is("in the end", "none")
	w.must(w.s.Returned(ctx, w.lease, []store.Returned{{Number: 4711, Change: 1 << 40}, {Number: three.Number, Change: 1 << 40, Is: nil}}))
	if list := w.deeds(box); len(list) != 1 || list[0].Was != nil {
		t.Errorf("a mail that the groupware lost: %+v, wanted that it is to be made there", list)
	}
	stale := w.lease
	w.lease, _ = w.s.Join(ctx, "node", w.clock())
	isCode(t, "Returned with an old lease", w.s.Returned(ctx, stale, []store.Returned{{Number: three.Number}}), doppelboden.Fenced)
}

func hidden(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	at := inbox(box)
	w.accept(box)
	w.accept(box)
	w.look(at)
	hide := func(deed bool, set, clear uint32) {
		w.carry(store.Change{Place: at, Action: store.ActFlag, UIDs: []uint32{1}, Set: set, Clear: clear, Deed: deed})
	}
	hide(false, doppelboden.Hidden, 0)
	if f := w.folders(box)[0]; f.Total != 1 || f.Unseen != 1 || len(w.deeds(box)) != 0 {
		t.Errorf("after the groupware removed one: %+v, deeds %+v", f, w.deeds(box))
	}
	hide(true, doppelboden.Seen, doppelboden.Hidden) // somebody wants it back
	if d := w.deeds(box); len(d) != 1 || d[0].Was != nil || d[0].Is == nil || d[0].Is.Flags != doppelboden.Seen {
		t.Errorf("somebody wanted it back: %+v, wanted that it is to be made", d)
	}
	hide(false, doppelboden.Hidden, 0)
	hide(false, 0, doppelboden.Hidden) // it was a mistake of the mirror
	if f := w.folders(box)[0]; f.Total != 2 || f.Unseen != 1 || len(w.deeds(box)) != 0 {
		t.Errorf("after it was there again: %+v, deeds %+v", f, w.deeds(box))
	}
}

func renamedFolder(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	for range 3 {
		w.accept(box)
	}
	w.look(inbox(box))
	akten := w.folder(box, "Akten", store.UseNone)
	below := w.folder(box, "Akten/2026", store.UseNone)
	w.carry(store.Change{Place: inbox(box), Action: store.ActMove, UIDs: []uint32{1}, To: akten.Folder},
		store.Change{Place: inbox(box), Action: store.ActMove, UIDs: []uint32{2}, To: below.Folder})
	rename := func(name string, deed bool) {
		t.Helper()
		akten.Name, akten.Deed, akten.At = name, deed, cut(w.tick())
		_, err := w.s.PutFolder(ctx, akten)
		w.must(err)
	}
	is := func(what string, want ...string) {
		t.Helper()
		var got []string
		for _, d := range w.deeds(box) {
			got = append(got, d.Was.Folder+" > "+d.Is.Folder)
		}
		slices.Sort(got)
		same(t, what, got, want)
	}
	rename("Vorgänge", true)
	is("after people renamed it", "Akten > Vorgänge", "Akten/2026 > Vorgänge/2026")
	rename("Akten", true)
	is("after people renamed it back")
	rename("Ablage", false)
	is("after the groupware renamed it")
	rename("Vorgänge", true)
	rename("Fälle", false)
	is("after both did", "Ablage > Fälle", "Ablage/2026 > Fälle/2026")
	var names []string
	for _, f := range w.folders(box) {
		names = append(names, f.Name)
	}
	same(t, "names", names, []string{doppelboden.Inbox, "Fälle", "Fälle/2026"})
	w.must(w.s.DropFolder(ctx, akten.Place, true, cut(w.tick())))
	if list := w.folders(box); len(list) != 2 || list[1].Name != "Fälle/2026" {
		t.Errorf("folders after one was removed: %+v", list)
	}
	if d := w.deeds(box); len(d) != 2 || d[0].Is != nil && d[1].Is != nil {
		t.Errorf("deeds after a folder was removed: %+v, wanted that its mail is to be removed", d)
	}
}

func foreignFolders(t *testing.T, open Open) {
	w := newWorld(t, open)
	box, other := w.boxes[0], w.tenants[1].ID
	w.accept(box)
	w.look(inbox(box))
	w.accept(box)
	w.carry(store.Change{Place: inbox(box), Action: store.ActFlag, UIDs: []uint32{1}, Set: doppelboden.Seen, Deed: true})
	akten := w.folder(box, "Akten", store.UseNone)
	foreign := inbox(box)
	foreign.Tenant = other
	before, deeds := w.folders(box), w.deeds(box)
	if list, err := w.s.Folders(ctx, other, box.ID); err != nil || len(list) != 0 {
		t.Errorf("another tenant sees the folders %+v (%v)", list, err)
	}
	if got := w.shown(foreign, store.ShownFilter{}); len(got) != 0 {
		t.Errorf("another tenant sees %+v", got)
	}
	if got := w.shown(foreign, store.ShownFilter{Message: deeds[0].Message}); len(got) != 0 {
		t.Errorf("another tenant sees %+v by its message", got)
	}
	_, err := w.s.Look(ctx, foreign)
	isCode(t, "another tenant's Look", err, doppelboden.NotFound)
	_, err = w.s.Change(ctx, []store.Change{{Place: foreign, Action: store.ActRemove, UIDs: []uint32{1}}})
	isCode(t, "another tenant's Change", err, doppelboden.NotFound)
	_, err = w.s.PutFolder(ctx, store.Folder{Place: store.Place{Tenant: other, Mailbox: box.ID}, Name: "Meins"})
	isCode(t, "another tenant's new folder", err, doppelboden.NotFound)
	akten.Tenant = other
	_, err = w.s.PutFolder(ctx, akten)
	isCode(t, "another tenant's new name", err, doppelboden.NotFound)
	w.must(w.s.DropFolder(ctx, akten.Place, true, day))
	got := gather(t, func(y func(store.Deed) error) error {
		return w.s.Deeds(ctx, store.DeedFilter{Tenant: other, Mailbox: box.ID}, y)
	})
	if len(got) != 0 {
		t.Errorf("another tenant sees the deeds %+v", got)
	}
	same(t, "folders afterwards", w.folders(box), before)
	same(t, "deeds afterwards", w.deeds(box), deeds)
}

// ended accepts a mail whose deliveries have ended.
func (w *world) ended(boxes ...doppelboden.Mailbox) *doppelboden.Message {
	w.t.Helper()
	m := w.message(boxes...)
	for i := range m.Deliveries {
		m.Deliveries[i].State = doppelboden.Delivered
	}
	w.acceptThis(m)
	return m
}

// expire removes all that may go, and returns which of some messages are left.
func (w *world) expire(keep []doppelboden.MailboxID, list ...*doppelboden.Message) (left []int) {
	w.t.Helper()
	for n := 1; n > 0; {
		var err error
		n, err = w.s.Expire(ctx, w.tick(), keep, 100)
		w.must(err)
	}
	for i, m := range list {
		if _, err := w.s.Message(ctx, m.ID); err == nil {
			left = append(left, i)
		}
	}
	return left
}

func deedsStay(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	at := inbox(box)
	var list []*doppelboden.Message
	for range 5 {
		list = append(list, w.ended(box))
	}
	draft := w.message(box)
	draft.Deliveries, draft.Copies[0].New = nil, true
	w.acceptThis(draft)
	list = append(list, draft)
	w.look(at)
	akten := w.folder(box, "Akten", store.UseNone)
	w.carry(store.Change{Place: at, Action: store.ActFlag, UIDs: []uint32{1}, Set: doppelboden.Seen, Deed: true},
		store.Change{Place: at, Action: store.ActMove, UIDs: []uint32{2}, To: akten.Folder, Deed: true},
		store.Change{Place: at, Action: store.ActRemove, UIDs: []uint32{3}, Deed: true},
		store.Change{Place: at, Action: store.ActFlag, UIDs: []uint32{4}, Set: doppelboden.Seen}) // the groupware's
	if left := w.expire(nil, list...); !slices.Equal(left, []int{0, 1, 2, 5}) {
		t.Errorf("retention left the messages %v, wanted 0, 1, 2 and 5", left)
	}
	if f := w.folders(box); f[0].Total != 2 || f[0].Unseen != 1 || f[1].Total != 1 {
		t.Errorf("folders after retention: %+v", f)
	}
	w.returned(w.deeds(box)...)
	if left := w.expire(nil, list...); len(left) != 0 {
		t.Errorf("retention left the messages %v that have gone back", left)
	}
	if f := w.folders(box); f[0].Total != 0 || f[0].Unseen != 0 || f[1].Total != 0 || len(w.shown(at, store.ShownFilter{})) != 0 {
		t.Errorf("folders after all have gone: %+v", f)
	}
}

func keptFolders(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	at := inbox(box)
	var list []*doppelboden.Message
	for range 4 {
		list = append(list, w.ended(box, w.boxes[1]))
	}
	w.look(at)
	akten := w.folder(box, "Akten", store.UseNone)
	w.carry(store.Change{Place: at, Action: store.ActMove, UIDs: []uint32{1}, To: akten.Folder},
		store.Change{Place: at, Action: store.ActRemove, UIDs: []uint32{2}})
	if left := w.expire([]doppelboden.MailboxID{box.ID}, list...); !slices.Equal(left, []int{0, 2, 3}) {
		t.Errorf("retention left the messages %v, wanted all but the one that was removed", left)
	}
	if f := w.look(inbox(w.boxes[1])); f.Total != 3 {
		t.Errorf("the other inbox after retention: %+v, wanted 3 mails", f)
	}
	change := w.folders(box)[1].Change
	if left := w.expire(nil, list...); len(left) != 0 {
		t.Errorf("retention left the messages %v", left)
	}
	for _, b := range w.boxes[:2] {
		for _, f := range w.folders(b) {
			if f.Total != 0 || f.Unseen != 0 || f.Fresh != 0 {
				t.Errorf("an empty folder says %+v", f)
			}
		}
	}
	if now := w.folders(box)[1].Change; now <= change {
		t.Errorf("a folder that lost a mail is at change %d, it was at %d", now, change)
	}
	w.accept(box)
	if f := w.look(at); f.Next != 6 {
		t.Errorf("after retention the next UID is %d, wanted 6", f.Next)
	}
}

func removedStays(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	m, moved := w.accept(box), w.accept(box)
	w.look(inbox(box))
	akten := w.folder(box, "Akten", store.UseNone)
	w.carry(store.Change{Place: inbox(box), Action: store.ActRemove, UIDs: []uint32{1}},
		store.Change{Place: inbox(box), Action: store.ActMove, UIDs: []uint32{2}, To: akten.Folder})
	for _, back := range []doppelboden.BoxID{-5, boxOf(box)} {
		w.must(w.s.Rebox(ctx, w.lease, []doppelboden.Ref{ref(m, 0), ref(moved, 0)}, back))
		if f := w.look(inbox(box)); f.Total != 0 || f.Next != 3 {
			t.Errorf("after Rebox to %d the inbox is %+v, wanted it empty", back, f)
		}
		if got := w.get(m.ID).Copies; len(got) != 0 {
			t.Errorf("copies of a mail that was removed: %+v", got)
		}
		if got := w.get(moved.ID).Copies; len(got) != 1 || got[0].Folder != "Akten" {
			t.Errorf("copies of a mail that was moved: %+v", got)
		}
	}
	all := gather(t, func(y func(doppelboden.Copy) error) error { return w.s.Copies(ctx, box.Tenant, box.ID, y) })
	if len(all) != 1 || all[0].Folder != "Akten" {
		t.Errorf("copies in the mailbox: %+v", all)
	}
	// One that waits elsewhere before anybody looks is numbered all the same.
	late := w.accept(box)
	w.must(w.s.Rebox(ctx, w.lease, []doppelboden.Ref{ref(late, 0)}, -5))
	after := w.accept(box)
	w.look(inbox(box))
	got := w.shown(inbox(box), store.ShownFilter{})
	if len(got) != 2 || got[0].Message != late.ID || got[1].Message != after.ID {
		t.Errorf("the inbox shows %+v, wanted both in their order", got)
	}
}

func scannedLater(t *testing.T, open Open) {
	w := newWorld(t, open)
	m := w.message(w.boxes[0], w.boxes[1])
	m.Scan = doppelboden.Unscanned
	w.acceptThis(m)
	w.look(inbox(w.boxes[0]))
	w.must(w.s.PutScans(ctx, []store.Scan{{Message: m.ID, State: doppelboden.Malware, At: w.tick(), Prefix: []byte("X-Spam: no\r\n")}}))
	w.look(inbox(w.boxes[1]))
	for _, b := range w.boxes[:2] {
		if got := w.shown(inbox(b), store.ShownFilter{}); len(got) != 1 || got[0].Scan != doppelboden.Malware || got[0].Size != 4096+12 {
			t.Errorf("shown after a scan: %+v", got)
		}
	}
}

func renamedMailbox(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	w.accept(box)
	w.look(inbox(box))
	w.folder(box, "Akten", store.UseNone)
	before := w.folders(box)
	w.must(w.s.Retire(ctx, []doppelboden.MailboxID{box.ID}, w.tick()))
	same(t, "folders of a mailbox that nobody lists", w.folders(box), before)
	box.Address = addr("anna.neu", "stadt.example")
	_, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{box})
	w.must(err)
	same(t, "folders of a mailbox with another address", w.folders(box), before)
}

func changesTogether(t *testing.T, open Open) {
	w := newWorld(t, open)
	box := w.boxes[0]
	at := inbox(box)
	const mails, workers = 12, 4
	for range mails {
		w.accept(box)
	}
	w.look(at)
	akten := w.folder(box, "Akten", store.UseNone)
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			var mine []uint32
			for uid := n + 1; uid <= mails; uid += workers {
				mine = append(mine, uint32(uid))
			}
			for round := range 6 {
				place, to := at, akten.Folder
				if round%2 == 1 {
					place, to = akten.Place, 1
				}
				done, err := w.s.Change(ctx, []store.Change{{Place: place, Action: store.ActFlag, UIDs: mine, Set: 1 << (4 + n), Deed: true, At: w.tick()},
					{Place: place, Action: store.ActMove, UIDs: mine, To: to, Deed: true, At: w.tick()}})
				if err != nil || len(done[1]) != mails/workers {
					t.Errorf("worker %d: %+v (%v)", n, done, err)
					return
				}
				mine = mine[:0]
				for _, one := range done[1] {
					mine = append(mine, one.NewUID)
				}
				if _, err := w.s.Accept(ctx, w.message(box)); err != nil {
					t.Error(err)
				}
				if _, err := w.s.Look(ctx, at); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	w.look(at)
	list, seen := w.folders(box), map[uint32]int{}
	if f := list[0]; f.Total != mails+workers*6 || list[1].Total != 0 {
		t.Errorf("folders %+v, wanted %d mails in the inbox", list, mails+workers*6)
	}
	for _, s := range w.shown(at, store.ShownFilter{}) {
		seen[s.Flags]++
	}
	same(t, "mails by their flags", seen, map[uint32]int{0: workers * 6, 1 << 4: 3, 1 << 5: 3, 1 << 6: 3, 1 << 7: 3})
}

// crashFolders makes the child that is killed work in a mailbox; "early" has it acknowledge
// before the commit, which is the fault that the test must find.
const crashFolders = "STORETEST_CRASH_FOLDERS"

func testFolderCrash(t *testing.T, open Open) {
	t.Run("what people did outlives kill -9", func(t *testing.T) {
		if missing, acked := undone(t, open, "late"); missing != 0 {
			t.Errorf("%d of %d acknowledged changes are missing", missing, acked)
		}
	})
	t.Run("this test finds a store that acknowledges changes before the commit", func(t *testing.T) {
		for range 10 {
			if missing, _ := undone(t, open, "early"); missing > 0 {
				return
			}
		}
		t.Errorf("ten crashes of a store that acknowledges too early, and nothing was missing")
	})
}

// undone kills a child that reads and files mail, and counts what it acknowledged and is not
// so afterwards.
func undone(t *testing.T, open Open, mode string) (missing, acked int) {
	dir, ids := kill(t, crashFolders+"="+mode)
	w := &world{t: t, tb: t, open: open, dir: dir, chain: newChain("after"), now: day}
	w.start()
	defer w.s.Close()
	box := doppelboden.Mailbox{ID: 1, Tenant: 1}
	filed := map[doppelboden.ID]bool{}
	for _, f := range w.folders(box) {
		list := w.shown(f.Place, store.ShownFilter{})
		unseen := int64(0)
		for i, s := range list {
			if s.Flags&doppelboden.Seen == 0 {
				unseen++
			}
			if i > 0 && s.UID <= list[i-1].UID || s.UID >= f.Next {
				t.Errorf("UID %d in a folder whose next one is %d", s.UID, f.Next)
			}
			filed[s.Message] = f.Name == "Akten" && s.Flags == doppelboden.Seen
		}
		if f.Total != int64(len(list)) || f.Unseen != unseen {
			t.Errorf("folder %s says %d mails, %d unseen; it shows %d, %d", f.Name, f.Total, f.Unseen, len(list), unseen)
		}
	}
	owed := map[doppelboden.ID]bool{}
	for _, d := range w.deeds(box) {
		owed[d.Message] = d.Is != nil && d.Is.Folder == "Akten"
	}
	for _, id := range ids {
		if !filed[id] || !owed[id] {
			missing++
		}
	}
	return missing, len(ids)
}

// fileForEver accepts mail, reads it and files it until the process is killed.
func fileForEver(w *world, early bool) {
	_, err := w.s.PutTenants(ctx, []string{"stadt"})
	w.must(err)
	put, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{{Tenant: 1, Address: addr("anna", "stadt.example")}})
	w.must(err)
	box := put[0]
	akten := w.folder(box, "Akten", store.UseNone)
	for range 8 {
		go func() {
			for {
				m := w.accept(box)
				w.look(inbox(box))
				at := w.shown(inbox(box), store.ShownFilter{Message: m.ID})
				file := func() {
					w.carry(store.Change{Place: inbox(box), Action: store.ActFlag, UIDs: uids(at), Set: doppelboden.Seen, Deed: true},
						store.Change{Place: inbox(box), Action: store.ActMove, UIDs: uids(at), To: akten.Folder, Deed: true})
				}
				if early {
					go file()
				} else {
					file()
				}
				os.Stdout.WriteString("ack " + m.ID.String() + "\n")
			}
		}()
	}
	select {}
}
