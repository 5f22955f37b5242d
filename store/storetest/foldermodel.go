package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/store"
)

// A lain is a mail in a mailbox of the folder model.
type lain struct {
	message doppelboden.ID
	seq     int64 // message.num, as far as anybody sees it
	came    int   // order of coming
	folder  int64 // number; 0: it was removed
	uid     uint32
	flags   uint32
	date    time.Time
	size    int64
	was     *store.Spot
	at      time.Time
	change  int64 // as the store said last
	touched bool  // since then
	learned bool  // by the groupware's word
	known   int64
	number  int64 // as a deed, once the store said it
}

// A shelf is a mailbox of the folder model.
type shelf struct {
	box     doppelboden.Mailbox
	folders []*store.Folder // by number; counters are not kept here
	mails   []*lain
	last    int64            // greatest Change that was seen
	ids     map[string]int64 // which folder had a name with a Validity
}

// A folderModel is what mailboxes must look like, in the plainest way.
type folderModel struct {
	*world
	shelves []*shelf
	mail    []*doppelboden.Message
	seen    []store.Deed // that somebody may still return
	came    int
	numbers map[int64]*lain
}

// testFolderModel plays random calls on mailboxes of a store and on a model and compares all
// that can be seen after each.
func testFolderModel(t *testing.T, open Open) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &folderModel{world: newWorld(t, open), numbers: map[int64]*lain{}}
		defer func() { m.s.Close() }()
		m.t = rt
		for _, b := range m.boxes {
			m.shelves = append(m.shelves, &shelf{box: b, ids: map[string]int64{},
				folders: []*store.Folder{{Place: store.Place{Tenant: b.Tenant, Mailbox: b.ID, Folder: 1}, Name: doppelboden.Inbox, Use: store.UseInbox, Subscribed: true}}})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"accept": m.accepts, "accept ": m.accepts, "look": m.looks, "look ": m.looks, "change": m.changes, "change ": m.changes, "change  ": m.changes,
			"folder": m.putsFolder, "drop": m.drops, "return": m.returns, "settle": m.settles, "rebox": m.reboxes,
			"expire": m.expires, "renumber": m.renumbers, "restart": m.restarts, "": m.compare,
		})
	})
}

func (m *folderModel) restarts(rt *rapid.T) {
	if rapid.IntRange(0, 3).Draw(rt, "one in four") == 0 {
		m.restart()
	}
}

// folder returns a folder by number, or nil.
func (s *shelf) folder(number int64) *store.Folder {
	for _, f := range s.folders {
		if f.Folder == number {
			return f
		}
	}
	return nil
}

// numberOf returns the folder into which a new mail goes, which may have to be made. A number
// of 0 says that the store chooses the number.
func (s *shelf) target(name string) *store.Folder {
	use, usual, named := store.UseNamed(name)
	for _, f := range s.folders {
		if named && f.Use == use || !named && f.Name == name {
			return f
		}
	}
	if named {
		for _, f := range s.folders {
			if f.Name == usual {
				if f.Use == store.UseNone {
					f.Use = use
				}
				return f
			}
		}
		name = usual
	}
	f := &store.Folder{Place: store.Place{Tenant: s.box.Tenant, Mailbox: s.box.ID, Folder: s.next()}, Name: name, Use: use, Subscribed: true}
	s.folders = append(s.folders, f)
	return f
}

// next is the number of the next folder.
func (s *shelf) next() int64 {
	last := int64(0)
	for key := range s.ids {
		last = max(last, s.ids[key])
	}
	for _, f := range s.folders {
		last = max(last, f.Folder)
	}
	return last + 1
}

// spot returns where a mail lies.
func (s *shelf) spot(l *lain) *store.Spot {
	f := s.folder(l.folder)
	if f == nil || l.flags&doppelboden.Hidden != 0 {
		return nil
	}
	return &store.Spot{Folder: f.Name, Use: f.Use, Flags: l.flags}
}

func (m *folderModel) accepts(rt *rapid.T) {
	tenant := rapid.IntRange(0, 1).Draw(rt, "tenant")
	shelves := m.shelves[2*tenant : min(3, 2*tenant+2)]
	msg := m.message(shelves[0].box)
	msg.Deliveries, msg.Copies = nil, nil
	msg.Prefix = []byte(strings.Repeat("x", rapid.IntRange(0, 3).Draw(rt, "prefix")))
	var into []func()
	for _, s := range shelves {
		how := rapid.SampledFrom([]string{"inbox", "inbox", "other", "both", "copy", "new", "none"}).Draw(rt, "how")
		if how != "copy" && how != "new" && how != "none" {
			msg.Deliveries = append(msg.Deliveries, doppelboden.Delivery{Message: msg.ID, N: len(msg.Deliveries), Tenant: msg.Tenant, Mailbox: s.box.ID,
				Recipient: s.box.Address, Changed: msg.Received, State: rapid.SampledFrom([]doppelboden.State{doppelboden.Queued, doppelboden.Delivered}).Draw(rt, "state")})
		}
		lies := func(folder string, flags uint32, made bool) {
			msg.Copies = append(msg.Copies, doppelboden.Copy{Mailbox: s.box.ID, Folder: folder, Message: msg.ID, Flags: flags, Date: msg.Received, New: made})
			into = append(into, func() {
				l := &lain{message: msg.ID, folder: s.target(folder).Folder, flags: flags, date: msg.Received, size: 4096 + int64(len(msg.Prefix)), touched: true}
				if l.was = s.spot(l); made {
					l.was, l.at = nil, msg.Received
				}
				m.came++
				l.came = m.came
				s.mails = append(s.mails, l)
			})
		}
		name := rapid.SampledFrom([]string{"Akten", "Akten/2026", store.FolderFor(store.UseSent), "Gesendet"}).Draw(rt, "folder")
		flags := rapid.SampledFrom([]uint32{0, doppelboden.Seen, doppelboden.Draft | doppelboden.Label1, doppelboden.Hidden}).Draw(rt, "flags")
		switch how {
		case "inbox":
			lies(doppelboden.Inbox, 0, false)
		case "other", "copy":
			lies(name, flags, false)
		case "new":
			lies(name, flags&^doppelboden.Hidden, true)
		case "both":
			lies(doppelboden.Inbox, 0, false)
			lies(name, flags, false)
		}
	}
	m.acceptThis(msg)
	for _, put := range into {
		put()
	}
	m.came++
	seq := int64(m.came) // message.num grows likewise
	for _, s := range shelves {
		for _, l := range s.mails {
			if l.message == msg.ID {
				l.seq = seq
			}
		}
	}
	m.mail = append(m.mail, msg)
}

func (m *folderModel) drawFolder(rt *rapid.T, s *shelf) *store.Folder {
	return rapid.SampledFrom(s.folders).Draw(rt, "folder")
}

func (m *folderModel) looks(rt *rapid.T) {
	s := rapid.SampledFrom(m.shelves).Draw(rt, "mailbox")
	f := m.drawFolder(rt, s)
	got, err := m.s.Look(ctx, f.Place)
	m.must(err)
	m.looked(s, f)
	if got.Fresh != 0 || got.Folder != f.Folder || got.Name != f.Name {
		rt.Errorf("Look(%d) returned %+v", f.Folder, got)
	}
}

// looked numbers what is fresh in the model.
func (m *folderModel) looked(s *shelf, f *store.Folder) {
	var fresh []*lain
	for _, l := range s.mails {
		if l.folder == f.Folder && l.uid == 0 {
			fresh = append(fresh, l)
		}
	}
	slices.SortStableFunc(fresh, func(a, b *lain) int { return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.came, b.came)) })
	for _, l := range fresh {
		s.number(l, f)
	}
}

// number puts a mail at the end of a folder.
func (s *shelf) number(l *lain, f *store.Folder) {
	if f.Next == 0 {
		f.Next = 1
	}
	l.folder, l.uid, l.touched = f.Folder, f.Next, true
	f.Next++
}

func (m *folderModel) changes(rt *rapid.T) {
	s := rapid.SampledFrom(m.shelves).Draw(rt, "mailbox")
	var list []store.Change
	bad := false
	for range rapid.IntRange(1, 3).Draw(rt, "changes") {
		f := m.drawFolder(rt, s)
		c := store.Change{Place: f.Place, Action: store.Action(rapid.IntRange(1, 4).Draw(rt, "action")), Deed: rapid.Bool().Draw(rt, "deed"), At: cut(m.tick()),
			UIDs: rapid.SliceOfN(rapid.Uint32Range(0, 8), 0, 5).Draw(rt, "uids")}
		flags := rapid.SampledFrom([]uint32{0, doppelboden.Seen, doppelboden.Answered, doppelboden.Seen | doppelboden.Flagged, doppelboden.Hidden})
		switch c.Action {
		case store.ActFlag:
			c.Set, c.Clear = flags.Draw(rt, "set"), flags.Draw(rt, "clear")
		case store.ActMove, store.ActCopy:
			if c.To = m.drawFolder(rt, s).Folder; rapid.IntRange(0, 15).Draw(rt, "nowhere") == 0 {
				c.To, bad = 4711, true
			}
		}
		list = append(list, c)
	}
	got, err := m.s.Change(ctx, list)
	if bad {
		isCode(rt, "a change to a folder that is not there", err, doppelboden.NotFound)
		return // and none of them took place
	}
	m.must(err)
	for i := range list {
		same(rt, fmt.Sprintf("what %+v did", list[i]), got[i], m.carry(s, &list[i]))
	}
}

// carry carries out a change in the model.
func (m *folderModel) carry(s *shelf, c *store.Change) (done []store.Changed) {
	var mails []*lain
	for _, l := range s.mails {
		if l.folder == c.Folder && l.uid != 0 && slices.Contains(c.UIDs, l.uid) {
			mails = append(mails, l)
		}
	}
	slices.SortFunc(mails, func(a, b *lain) int { return cmp.Compare(a.uid, b.uid) })
	for _, l := range mails {
		one := store.Changed{UID: l.uid}
		switch c.Action {
		case store.ActFlag:
			m.flag(s, l, c)
		case store.ActMove:
			to := s.folder(c.To)
			s.number(l, to)
			if !c.Deed && l.was != nil {
				l.was = &store.Spot{Folder: to.Name, Use: to.Use, Flags: l.was.Flags}
			}
			m.did(l, c)
			one.NewUID = l.uid
		case store.ActCopy:
			m.came++
			twin := &lain{message: l.message, seq: l.seq, came: m.came, flags: l.flags, date: l.date, size: l.size, at: c.At, touched: true, learned: !c.Deed}
			s.number(twin, s.folder(c.To))
			if twin.was = s.spot(twin); c.Deed {
				twin.was = nil
			}
			s.mails = append(s.mails, twin)
			one.NewUID = twin.uid
		case store.ActRemove:
			m.remove(s, l, c.Deed, c.At)
		}
		one.Flags = l.flags
		done = append(done, one)
	}
	return done
}

// did notes who has done something to a mail.
func (m *folderModel) did(l *lain, c *store.Change) {
	l.touched = true
	if c.Deed {
		l.at = c.At
	} else {
		l.learned = true
	}
}

func (m *folderModel) flag(s *shelf, l *lain, c *store.Change) {
	old, was := l.flags, l.was
	l.flags = l.flags&^c.Clear | c.Set
	if !c.Deed {
		switch {
		case c.Set&doppelboden.Hidden != 0:
			l.was = nil
		case c.Clear&doppelboden.Hidden != 0 && s.spot(l) != nil:
			l.was = s.spot(l)
		case l.was != nil:
			l.was = &store.Spot{Folder: l.was.Folder, Use: l.was.Use, Flags: (l.was.Flags&^c.Clear | c.Set) &^ doppelboden.Hidden}
		}
	}
	if l.flags != old || !equalSpot(was, l.was) {
		m.did(l, c)
	}
}

// remove takes a mail out of the mailbox.
func (m *folderModel) remove(s *shelf, l *lain, deed bool, at time.Time) {
	if l.folder, l.uid = 0, 0; deed {
		l.at, l.touched = at, true
	} else {
		s.mails = slices.DeleteFunc(s.mails, func(o *lain) bool { return o == l })
	}
}

func equalSpot(a, b *store.Spot) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Folder == b.Folder && a.Flags == b.Flags
}

func (m *folderModel) putsFolder(rt *rapid.T) {
	s := rapid.SampledFrom(m.shelves).Draw(rt, "mailbox")
	f := store.Folder{Place: store.Place{Tenant: s.box.Tenant, Mailbox: s.box.ID}, At: cut(m.tick()), Deed: rapid.Bool().Draw(rt, "deed"),
		Name:       rapid.SampledFrom([]string{"Akten", "Akten/2026", "Akten/2026/Mai", "Post", "Post/2026", "Gesendet"}).Draw(rt, "name"),
		Use:        rapid.SampledFrom([]store.Use{"", "", store.UseSent, store.UseTrash}).Draw(rt, "use"),
		Subscribed: rapid.Bool().Draw(rt, "subscribed")}
	if rapid.IntRange(0, 2).Draw(rt, "old") > 0 {
		f.Folder = m.drawFolder(rt, s).Folder
	}
	if f.Folder == 1 {
		f.Name, f.Use = doppelboden.Inbox, store.UseInbox
	}
	got, err := m.s.PutFolder(ctx, f)
	old := s.folder(f.Folder)
	if s.clash(&f, old) {
		isCode(rt, fmt.Sprintf("PutFolder(%+v)", f), err, doppelboden.Invalid)
		return
	}
	m.must(err)
	if old == nil {
		f.Folder = s.next()
		s.folders = append(s.folders, &store.Folder{Place: f.Place, Name: f.Name, Use: f.Use, Subscribed: f.Subscribed})
	} else {
		m.renames(s, old, &f)
	}
	if got.Folder != f.Folder || got.Name != f.Name || got.Use != f.Use || got.Subscribed != f.Subscribed {
		rt.Errorf("PutFolder(%+v) returned %+v", f, got)
	}
}

// clash says whether a folder cannot be as f says.
func (s *shelf) clash(f, old *store.Folder) bool {
	for _, o := range s.folders {
		if o.Folder == f.Folder {
			continue
		}
		if o.Name == f.Name || f.Use != store.UseNone && o.Use == f.Use {
			return true
		}
		if old != nil && old.Name != f.Name && strings.HasPrefix(o.Name, f.Name+"/") && !strings.HasPrefix(o.Name, old.Name+"/") {
			return true
		}
	}
	return old != nil && strings.HasPrefix(f.Name, old.Name+"/")
}

// renames changes a folder, and the names of those below it.
func (m *folderModel) renames(s *shelf, old, f *store.Folder) {
	before, open, was := map[string]string{}, map[*lain]bool{}, old.Name
	for _, l := range s.mails {
		open[l] = !equalSpot(l.was, s.spot(l))
	}
	for _, o := range s.folders {
		if o == old || strings.HasPrefix(o.Name, was+"/") {
			to := f.Name + strings.TrimPrefix(o.Name, was)
			before[o.Name], o.Name = to, to
		}
	}
	old.Use, old.Subscribed = f.Use, f.Subscribed
	for _, l := range s.mails {
		if to := ""; !f.Deed && l.was != nil && before[l.was.Folder] != "" {
			to = before[l.was.Folder]
			l.was = &store.Spot{Folder: to, Use: l.was.Use, Flags: l.was.Flags}
		}
		if f.Deed && !open[l] && !equalSpot(l.was, s.spot(l)) {
			l.at = f.At
		}
	}
}

func (m *folderModel) drops(rt *rapid.T) {
	s := rapid.SampledFrom(m.shelves).Draw(rt, "mailbox")
	f := m.drawFolder(rt, s)
	deed, at := rapid.Bool().Draw(rt, "deed"), cut(m.tick())
	err := m.s.DropFolder(ctx, f.Place, deed, at)
	if f.Folder == 1 {
		isCode(rt, "DropFolder of the inbox", err, doppelboden.Invalid)
		return
	}
	m.must(err)
	for _, l := range slices.Clone(s.mails) {
		if l.folder == f.Folder {
			m.remove(s, l, deed, at)
		}
	}
	s.folders = slices.DeleteFunc(s.folders, func(o *store.Folder) bool { return o == f })
}

func (m *folderModel) returns(rt *rapid.T) {
	if len(m.seen) == 0 {
		rt.Skip("nobody has seen a deed")
	}
	var list []store.Returned
	for range rapid.IntRange(1, 3).Draw(rt, "number") {
		d := rapid.SampledFrom(m.seen).Draw(rt, "deed")
		list = append(list, store.Returned{Number: d.Number, Change: d.Change, Is: d.Is})
	}
	for range rapid.IntRange(1, 2).Draw(rt, "times") {
		m.must(m.s.Returned(ctx, m.lease, list))
		for i := range list {
			m.returned(&list[i])
		}
	}
}

func (m *folderModel) returned(r *store.Returned) {
	for _, s := range m.shelves {
		for _, l := range slices.Clone(s.mails) {
			if l.number != r.Number || r.Change < l.known {
				continue
			}
			if l.folder == 0 && r.Is == nil {
				s.mails = slices.DeleteFunc(s.mails, func(o *lain) bool { return o == l })
				continue
			}
			l.was, l.known = r.Is, r.Change
		}
	}
}

func (m *folderModel) settles(rt *rapid.T) {
	var list []doppelboden.Settlement
	for _, msg := range m.mail {
		for i := range msg.Deliveries {
			if d := &msg.Deliveries[i]; d.State == doppelboden.Queued && rapid.Bool().Draw(rt, "ends") {
				d.State, d.Changed = doppelboden.Delivered, cut(m.tick())
				list = append(list, doppelboden.Settlement{Ref: ref(msg, i), State: d.State, At: d.Changed})
			}
		}
	}
	m.must(m.s.Settle(ctx, m.lease, list))
}

// reboxes lets what is queued wait elsewhere, and perhaps come back; nobody sees it.
func (m *folderModel) reboxes(rt *rapid.T) {
	var refs []doppelboden.Ref
	for _, msg := range m.mail {
		for i := range msg.Deliveries {
			refs = append(refs, ref(msg, i))
		}
	}
	if len(refs) == 0 {
		rt.Skip("nothing is there")
	}
	one := rapid.SampledFrom(refs).Draw(rt, "ref")
	box := rapid.SampledFrom([]doppelboden.BoxID{-7, -8}).Draw(rt, "box")
	m.must(m.s.Rebox(ctx, m.lease, []doppelboden.Ref{one}, box))
	if rapid.Bool().Draw(rt, "and back") {
		m.must(m.s.Rebox(ctx, m.lease, []doppelboden.Ref{one}, doppelboden.BoxID(m.get(one.Message).Deliveries[one.N].Mailbox)))
	}
}

func (m *folderModel) expires(rt *rapid.T) {
	keep := rapid.SampledFrom([][]doppelboden.MailboxID{nil, {m.boxes[0].ID}, {m.boxes[1].ID, m.boxes[2].ID}}).Draw(rt, "keep")
	at := m.clock()
	if len(m.mail) > 0 {
		at = rapid.SampledFrom(m.mail).Draw(rt, "message").Received.Add(time.Second)
	}
	for n := 1; n > 0; {
		var err error
		n, err = m.s.Expire(ctx, at, keep, 10)
		m.must(err)
	}
	m.mail = slices.DeleteFunc(m.mail, func(msg *doppelboden.Message) bool {
		plain := *msg
		plain.Copies = nil
		stays := !expirable(&plain, at, nil)
		for _, s := range m.shelves {
			for _, l := range s.mails {
				stays = stays || l.message == msg.ID && (!equalSpot(l.was, s.spot(l)) || l.folder != 0 && slices.Contains(keep, s.box.ID))
			}
		}
		if stays {
			return false
		}
		for _, s := range m.shelves {
			s.mails = slices.DeleteFunc(s.mails, func(l *lain) bool { return l.message == msg.ID })
		}
		return true
	})
}

func (m *folderModel) renumbers(rt *rapid.T) {
	tenant := rapid.SampledFrom([]doppelboden.TenantID{0, m.tenants[0].ID, m.tenants[1].ID}).Draw(rt, "tenant")
	before := m.validities()
	m.must(m.s.Renumber(ctx, tenant))
	for place, after := range m.validities() {
		if other := tenant == 0 || tenant == place.Tenant; (before[place] != after) != other {
			rt.Errorf("Renumber(%d): validity of %+v was %d and is %d", tenant, place, before[place], after)
		}
	}
	for _, s := range m.shelves {
		for _, f := range s.folders {
			if tenant == 0 || tenant == s.box.Tenant {
				f.Validity = 0 // to be learned anew
			}
		}
	}
}

func (m *folderModel) validities() map[store.Place]uint32 {
	all := map[store.Place]uint32{}
	for _, s := range m.shelves {
		list, err := m.s.Folders(ctx, s.box.Tenant, s.box.ID)
		m.must(err)
		for _, f := range list {
			all[f.Place] = f.Validity
		}
	}
	return all
}

// compare compares all that can be seen of mailboxes.
func (m *folderModel) compare(rt *rapid.T) {
	wantCounts := []store.DeedCount{}
	for _, s := range m.shelves {
		m.compareFolders(s)
		if count := m.compareDeeds(s); count.Deeds > 0 {
			wantCounts = append(wantCounts, count)
		}
	}
	got, err := m.s.DeedCounts(ctx)
	m.must(err)
	same(m.t, "counts of deeds", got, wantCounts)
}

// compareFolders compares folders with their counters, and what they show.
func (m *folderModel) compareFolders(s *shelf) {
	got, err := m.s.Folders(ctx, s.box.Tenant, s.box.ID)
	m.must(err)
	var want []store.Folder
	slices.SortFunc(s.folders, func(a, b *store.Folder) int { return cmp.Compare(a.Folder, b.Folder) })
	for i, f := range s.folders {
		w := *f
		w.Next = max(w.Next, 1)
		for _, l := range s.mails {
			switch {
			case l.folder != f.Folder || l.flags&doppelboden.Hidden != 0:
			case l.uid == 0:
				w.Fresh++
			default:
				w.Total++
				if l.flags&doppelboden.Seen == 0 {
					w.Unseen++
				}
			}
		}
		if i < len(got) && got[i].Folder == f.Folder {
			m.checkValidity(s, f, &got[i])
			w.Validity, w.Change = f.Validity, got[i].Change
		}
		want = append(want, w)
	}
	same(m.t, fmt.Sprintf("folders of mailbox %d", s.box.ID), got, want)
	last := s.last
	for _, f := range s.folders {
		m.compareShown(s, f, got, &last)
	}
	s.last = last
}

// checkValidity makes sure that a folder keeps its Validity, and that no other one ever has
// it together with the same name.
func (m *folderModel) checkValidity(s *shelf, f, got *store.Folder) {
	if f.Validity == 0 {
		f.Validity = got.Validity
	}
	key := fmt.Sprintf("%s %d", f.Name, got.Validity)
	if owner, known := s.ids[key]; known && owner != f.Folder {
		m.t.Errorf("folder %d of mailbox %d is called %q and has the validity %d, as folder %d had", f.Folder, s.box.ID, f.Name, got.Validity, owner)
	}
	s.ids[key] = f.Folder
}

// compareShown compares what a folder shows, and learns the numbers of changes.
func (m *folderModel) compareShown(s *shelf, f *store.Folder, folders []store.Folder, last *int64) {
	got := gather(m.t, func(y func(store.Shown) error) error {
		return m.s.Shown(ctx, f.Place, store.ShownFilter{Hidden: true}, y)
	})
	var want []store.Shown
	var mails []*lain
	for _, l := range s.mails {
		if l.folder == f.Folder && l.uid != 0 {
			mails = append(mails, l)
		}
	}
	slices.SortFunc(mails, func(a, b *lain) int { return cmp.Compare(a.uid, b.uid) })
	for i, l := range mails {
		w := store.Shown{UID: l.uid, Message: l.message, Flags: l.flags, Date: l.date, Size: l.size, Change: l.change}
		if i < len(got) {
			w.Seq = got[i].Seq
			if l.touched {
				if w.Change = got[i].Change; w.Change <= s.last {
					m.t.Errorf("change %d of mail %d in folder %d: the mailbox was at %d before", w.Change, l.uid, f.Folder, s.last)
				}
				*last = max(*last, w.Change)
				m.learn(l, w.Change)
			}
			for _, one := range folders {
				if one.Folder == f.Folder && one.Change < w.Change {
					m.t.Errorf("folder %d is at change %d, and its mail %d at %d", f.Folder, one.Change, l.uid, w.Change)
				}
			}
		}
		want = append(want, w)
	}
	same(m.t, fmt.Sprintf("what folder %d of mailbox %d shows", f.Folder, s.box.ID), got, want)
}

// learn notes the number of a change.
func (m *folderModel) learn(l *lain, change int64) {
	if l.change, l.touched = change, false; l.learned {
		l.known, l.learned = change, false
	}
}

// compareDeeds compares deeds with the differences in the model.
func (m *folderModel) compareDeeds(s *shelf) (count store.DeedCount) {
	got := gather(m.t, func(y func(store.Deed) error) error { return m.s.Deeds(ctx, store.DeedFilter{Mailbox: s.box.ID}, y) })
	open := map[*lain]bool{}
	for _, l := range s.mails {
		if !equalSpot(l.was, s.spot(l)) {
			open[l] = true
		}
	}
	count = store.DeedCount{Tenant: s.box.Tenant, Mailbox: s.box.ID, Deeds: int64(len(open))}
	last := int64(0)
	for _, d := range got {
		l := m.numbers[d.Number]
		if l == nil {
			l = m.unknown(s, &d, open)
		}
		if l == nil || !open[l] {
			m.t.Errorf("deed %+v: there is none", d)
			continue
		}
		delete(open, l)
		m.numbers[d.Number], l.number = l, d.Number
		if l.touched {
			m.learn(l, d.Change) // it is not shown: nobody has looked, or it was removed
		}
		want := store.Deed{Number: d.Number, Tenant: s.box.Tenant, Mailbox: s.box.ID, Message: l.message, Was: l.was, Is: s.spot(l), UID: l.uid,
			Date: l.date, Size: l.size, Change: l.change, At: l.at}
		same(m.t, "deed", withoutUse(d), withoutUse(want))
		if d.Number <= last {
			m.t.Errorf("deed %d after %d", d.Number, last)
		}
		last = d.Number
		if count.Oldest.IsZero() || d.At.Before(count.Oldest) {
			count.Oldest = d.At
		}
		m.seen = append(m.seen, d)
	}
	if len(open) > 0 {
		for l := range open {
			m.t.Errorf("no deed for %+v, which the groupware has as %+v and which is %+v", l, l.was, s.spot(l))
		}
	}
	if len(m.seen) > 40 {
		m.seen = m.seen[len(m.seen)-40:]
	}
	return count
}

// withoutUse leaves out what a folder is for, which nobody needs to be told again.
func withoutUse(d store.Deed) store.Deed {
	for _, spot := range []**store.Spot{&d.Was, &d.Is} {
		if *spot != nil {
			*spot = &store.Spot{Folder: (*spot).Folder, Flags: (*spot).Flags}
		}
	}
	return d
}

// unknown finds the mail of a deed whose number was never told: one that is a deed and is
// like it.
func (m *folderModel) unknown(s *shelf, d *store.Deed, open map[*lain]bool) *lain {
	for _, l := range s.mails {
		if open[l] && l.number == 0 && l.message == d.Message && l.uid == d.UID && equalSpot(l.was, d.Was) && equalSpot(s.spot(l), d.Is) && l.at.Equal(d.At) {
			return l
		}
	}
	return nil
}
