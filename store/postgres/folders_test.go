package postgres

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/store/storetest"
)

// before returns the migrations before one.
func before(t *testing.T, name string) fstest.MapFS {
	t.Helper()
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	older := fstest.MapFS{}
	for _, file := range files {
		if path.Base(file) >= name {
			continue
		}
		text, err := migrations.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		older[file] = &fstest.MapFile{Data: text}
	}
	return older
}

// olderMail is what an older program has left: a mailbox with mail in two folders, one of
// which somebody has numbered, and a mail that only its delivery shows.
const olderMail = `INSERT INTO tenant (id, name) VALUES (1, 'stadt');
	INSERT INTO mailbox (id, tenant, name, kind, department, priority) VALUES (5, 1, '', 'person', '', 5);
	INSERT INTO address VALUES ('a@b.example', 1, 5, 0, 'a@b.example');
		INSERT INTO message (num, tenant, id, receipt, received, deliveries, recipients, expanded, merged, flags, scan, class, segment, start, size,
		key_version, sum, door, peer, helo, sender, ret, envid, prefix)
		VALUES (1, 1, decode('00000000000000000000000000000001', 'hex'), decode(repeat('00', 16), 'hex'), 1700000000000000, 1, 1, 0, 0, 0, 2, '', '2026-03-14', 0, 100, 1, decode(repeat('00', 32), 'hex'), 'mx', '', '', '', '', '', 'ab'),
		(2, 1, decode('00000000000000000000000000000002', 'hex'), decode(repeat('00', 16), 'hex'), 1700000001000000, 1, 1, 0, 0, 0, 0, '', '2026-03-14', 0, 100, 1, decode(repeat('00', 32), 'hex'), 'mx', '', '', '', '', '', NULL),
		(3, 1, decode('00000000000000000000000000000003', 'hex'), decode(repeat('00', 16), 'hex'), 1700000002000000, 1, 1, 0, 0, 0, 0, '', '2026-03-14', 0, 100, 1, decode(repeat('00', 32), 'hex'), 'mx', '', '', '', '', '', NULL);
	INSERT INTO delivery (seq, n, tenant, mailbox, box, inbox, state, attempts, recipient, notify, orcpt, reply)
		VALUES (1, 0, 1, 5, 5, false, 2, 0, '', '', '', ''), (2, 0, 1, 5, 5, false, 2, 0, '', '', '', ''), (3, 0, 1, 5, 5, true, 0, 0, '', '', '', '');
	UPDATE sequence SET next = 4 WHERE name = 'delivery';
	INSERT INTO count VALUES (1, 2, 0, 2), (1, 0, 0, 1);
	INSERT INTO folder (tenant, mailbox, number, name, uid_next, uid_validity) VALUES (1, 5, 1, 'INBOX', 1, 1700000000), (1, 5, 2, 'Akten', 8, 1700000000);
	INSERT INTO copy (mailbox, message, folder, tenant, uid, flags, date) VALUES (5, 1, 2, 1, 7, 1, 1700000000000000), (5, 2, 1, 1, NULL, 4, 1700000001000000),
		(5, 2, 2, 1, NULL, 0, NULL);`

func TestMailInFoldersOfAnOlderDatabaseIsThereInThisOne(t *testing.T) {
	dsn := database(t)
	if err := Clear(ctx, dsn); err != nil {
		t.Fatal(err)
	}
	old := before(t, "0014")
	s := openAt(t, dsn, func(o *Options) { o.migrations = old })
	if err := raw(t, s).script(ctx, olderMail); err != nil {
		t.Fatal(err)
	}
	s.Close()
	checkOlderMail(t, openAt(t, dsn))
}

// checkOlderMail looks for what olderMail has left.
func checkOlderMail(t *testing.T, s store.Store) {
	t.Helper()
	list, err := s.Folders(ctx, 1, 5)
	if err != nil || len(list) != 2 || list[0].Use != store.UseInbox || list[0].Fresh != 2 || list[1].Fresh != 1 || list[1].Total != 1 ||
		list[1].Unseen != 0 || list[1].Next != 8 || list[0].Validity == list[1].Validity {
		t.Fatalf("folders %+v (%v)", list, err)
	}
	for _, f := range list {
		if _, err := s.Look(ctx, f.Place); err != nil {
			t.Fatal(err)
		}
	}
	var got [2][]store.Shown
	for i, f := range list {
		err := s.Shown(ctx, f.Place, store.ShownFilter{}, func(one store.Shown) error {
			one.Change = 0
			got[i] = append(got[i], one)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	id := func(n byte) doppelboden.ID { return doppelboden.ID{15: n} }
	at := func(n int64) time.Time { return time.Unix(1700000000+n, 0).UTC() }
	want := [2][]store.Shown{
		{{UID: 1, Message: id(2), Seq: 2, Flags: doppelboden.Flagged, Date: at(1), Size: 100}, {UID: 2, Message: id(3), Seq: 3, Date: at(2), Size: 100}},
		{{UID: 7, Message: id(1), Seq: 1, Flags: doppelboden.Seen, Date: at(0), Size: 102, Scan: doppelboden.Clean}, {UID: 8, Message: id(2), Seq: 2, Size: 100}},
	}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("folder %s shows %+v, wanted %+v", list[i].Name, got[i], want[i])
		}
	}
	made, err := s.PutFolder(ctx, store.Folder{Place: store.Place{Tenant: 1, Mailbox: 5}, Name: "Neu"})
	if err != nil || made.Folder != 3 || made.Validity == list[0].Validity || made.Validity == list[1].Validity {
		t.Errorf("a new folder is %+v (%v)", made, err)
	}
}

// What a person did counts once, whatever became of the commit.
func TestAChangeWhoseCommitIsUnknownIsMadeOnce(t *testing.T) {
	for name, at := range map[string]fault{"it had not been written": faultBeforeCommit, "it had been written": faultAfterCommit} {
		t.Run(name, func(t *testing.T) {
			s, f := withFaults(t)
			unknownChange(t, s, func() { f.next(at, errDisk) })
		})
	}
}

// unknownChange looks, copies, moves, and makes and removes folders, with a fault at each
// commit.
func unknownChange(t *testing.T, s store.Store, fault func()) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tenants, err := s.PutTenants(ctx, []string{"stadt"})
	must(err)
	put, err := s.PutMailboxes(ctx, []doppelboden.Mailbox{{Tenant: tenants[0].ID, Address: doppelboden.Address{Local: "a", Domain: "b.example"}}})
	must(err)
	now := time.Now()
	m := &doppelboden.Message{ID: doppelboden.ID{1}, Tenant: tenants[0].ID, Received: now}
	m.Deliveries = []doppelboden.Delivery{{Message: m.ID, Tenant: m.Tenant, Mailbox: put[0].ID}}
	m.Copies = []doppelboden.Copy{{Mailbox: put[0].ID, Folder: doppelboden.Inbox, Message: m.ID, Date: now}}
	_, err = s.Accept(ctx, m)
	must(err)
	at := store.Place{Tenant: m.Tenant, Mailbox: put[0].ID, Folder: 1}
	fault()
	got, err := s.Look(ctx, at)
	if err != nil || got.Total != 1 || got.Next != 2 {
		t.Errorf("Look: %+v (%v), wanted one mail", got, err)
	}
	fault()
	akten, err := s.PutFolder(ctx, store.Folder{Place: store.Place{Tenant: m.Tenant, Mailbox: put[0].ID}, Name: "Akten"})
	if err != nil || akten.Name != "Akten" {
		t.Fatalf("PutFolder: %+v (%v)", akten, err)
	}
	fault()
	done, err := s.Change(ctx, []store.Change{{Place: at, Action: store.ActCopy, UIDs: []uint32{1}, To: akten.Folder},
		{Place: at, Action: store.ActMove, UIDs: []uint32{1}, To: akten.Folder}})
	if err != nil || len(done) != 2 || len(done[0]) != 1 || done[0][0].NewUID != 1 || len(done[1]) != 1 || done[1][0].NewUID != 2 {
		t.Errorf("Change: %+v (%v), wanted a copy with UID 1 and a move to UID 2", done, err)
	}
	list, err := s.Folders(ctx, m.Tenant, put[0].ID)
	if err != nil || list[0].Total != 0 || list[1].Total != 2 || list[1].Next != 3 {
		t.Errorf("folders %+v (%v), wanted both in Akten", list, err)
	}
	fault()
	must(s.DropFolder(ctx, akten.Place, false, now))
	if list, err := s.Folders(ctx, m.Tenant, put[0].ID); err != nil || len(list) != 1 {
		t.Errorf("folders %+v (%v), wanted the inbox alone", list, err)
	}
}

// BenchmarkFolders measures mailboxes; see storetest.BenchFolders.
func BenchmarkFolders(b *testing.B) {
	storetest.BenchFolders(b, func(t testing.TB, o storetest.Setup) store.Store {
		return openAt(t, databaseIn(t, o.Dir), func(own *Options) { own.Chain, own.Clock = o.Chain, o.Clock })
	})
}

// Two nodes take mail for a mailbox, look, file, remove folders and mail: nothing is lost or
// numbered twice, no copy lies in a folder that is not there, and the counters are right.
func TestTwoNodesWorkInOneMailbox(t *testing.T) {
	dsn := database(t)
	nodes := []*Store{openAt(t, dsn), openAt(t, dsn)}
	put, err := nodes[0].PutTenants(ctx, []string{"stadt"})
	if err != nil {
		t.Fatal(err)
	}
	boxes, err := nodes[0].PutMailboxes(ctx, []doppelboden.Mailbox{
		{Tenant: put[0].ID, Address: doppelboden.Address{Local: "a", Domain: "b.example"}}, {Tenant: put[0].ID, Address: doppelboden.Address{Local: "c", Domain: "b.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	const mails = 120
	var wg, accepting sync.WaitGroup
	done := make(chan struct{})
	ended := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	run := func(what string, n int, f func(i int) error) { // n of 0: until all is accepted
		if n > 0 {
			accepting.Add(1)
		}
		wg.Go(func() {
			if n > 0 {
				defer accepting.Done()
			}
			for i := 0; n > 0 && i < n || n == 0 && !ended(); i++ {
				if err := f(i); err != nil {
					t.Errorf("%s: %v", what, err)
					return
				}
			}
		})
	}
	for n, s := range nodes {
		lease, err := s.Join(ctx, fmt.Sprintf("node%d", n), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		at := store.Place{Tenant: put[0].ID, Mailbox: boxes[0].ID, Folder: 1}
		run("accept", mails, func(i int) error {
			m := message(put[0].ID, boxes[0].ID)
			m.Deliveries[0].State = doppelboden.Delivered
			if i%2 == 0 { // both mailboxes, in the order that the node likes
				m.Copies = append(m.Copies, doppelboden.Copy{Mailbox: boxes[(i/2+n)%2].ID, Folder: fmt.Sprintf("Akten/%d", i%4), Message: m.ID, Date: m.Received},
					doppelboden.Copy{Mailbox: boxes[(i/2+n+1)%2].ID, Folder: fmt.Sprintf("Akten/%d", i%4), Message: m.ID, Date: m.Received})
			}
			_, err := s.Accept(ctx, m)
			return err
		})
		run("look", 0, func(i int) error {
			_, err := s.Look(ctx, at)
			return err
		})
		run("file", 0, func(i int) error {
			list, err := s.Folders(ctx, at.Tenant, at.Mailbox)
			if err != nil {
				return err
			}
			to := list[i%len(list)].Folder
			_, err = s.Change(ctx, []store.Change{{Place: at, Action: store.ActFlag, UIDs: []uint32{uint32(i % 200)}, Set: doppelboden.Seen, Deed: i%3 == 0, At: time.Now()},
				{Place: at, Action: store.ActMove, UIDs: []uint32{uint32(i % 200)}, To: to, At: time.Now()}})
			if doppelboden.CodeOf(err) == doppelboden.NotFound {
				err = nil // the other node has removed the folder
			}
			return err
		})
		run("drop", 0, func(i int) error {
			list, err := s.Folders(ctx, at.Tenant, at.Mailbox)
			if err != nil || len(list) < 2 {
				return err
			}
			return s.DropFolder(ctx, list[len(list)-1].Place, i%2 == 0, time.Now())
		})
		run("rebox", mails/4, func(i int) error {
			m := message(put[0].ID, boxes[0].ID)
			if _, err := s.Accept(ctx, m); err != nil {
				return err
			}
			return s.Rebox(ctx, lease, []doppelboden.Ref{{Message: m.ID}}, -7)
		})
		run("expire", 0, func(i int) error {
			_, err := s.Expire(ctx, time.Now().Add(time.Hour), nil, 50)
			return err
		})
	}
	accepting.Wait()
	close(done)
	wg.Wait()
	for _, box := range boxes {
		checkFolders(t, nodes[0], box.Tenant, box.ID)
	}
	r, err := raw(t, nodes[0]).one(ctx, `SELECT count(*) FROM copy c WHERE c.folder > 0 AND NOT EXISTS (SELECT FROM folder f WHERE f.mailbox = c.mailbox AND f.number = c.folder)
		OR NOT EXISTS (SELECT FROM message m WHERE m.num = c.message)`)
	if err != nil || asInt(r[0]) != 0 {
		t.Errorf("%d copies lie in folders that are not there, or are of messages that are gone (%v)", asInt(r[0]), err)
	}
}

// checkFolders looks into all folders of a mailbox and compares counters with what they show.
func checkFolders(t *testing.T, s *Store, tenant doppelboden.TenantID, box doppelboden.MailboxID) {
	t.Helper()
	list, err := s.Folders(ctx, tenant, box)
	if err != nil {
		t.Fatal(err)
	}
	waiting := map[doppelboden.ID]int{}
	for _, f := range list {
		if f, err = s.Look(ctx, f.Place); err != nil {
			t.Fatal(err)
		}
		total, unseen := int64(0), int64(0)
		err := s.Shown(ctx, f.Place, store.ShownFilter{Hidden: true}, func(one store.Shown) error {
			total++
			if one.Flags&doppelboden.Seen == 0 {
				unseen++
			}
			waiting[one.Message]++
			return nil
		})
		if err != nil || f.Total != total || f.Unseen != unseen || f.Fresh != 0 {
			t.Errorf("folder %+v shows %d mails, %d of them unseen (%v)", f, total, unseen, err)
		}
	}
	for id, n := range waiting {
		if n > 2 {
			t.Errorf("message %s lies in the mailbox %d times", id, n)
		}
	}
}

// A folder that another node removes while mail comes into it takes the mail along, or is
// made anew: no mail lies nowhere. It turns red when who puts mail into a folder does not hold
// its row.
func TestMailThatComesIntoAFolderWhileItIsRemovedLiesSomewhere(t *testing.T) {
	dsn := database(t)
	other := openAt(t, dsn)
	watch := raw(t, other)
	var drop func() // runs once, right before a commit
	s := openAt(t, dsn, func(o *Options) {
		o.faults = &faults{at: func(at fault, _ *op) error {
			if f := drop; at == faultBeforeCommit && f != nil {
				drop = nil
				f()
			}
			return nil
		}}
	})
	put, err := s.PutTenants(ctx, []string{"stadt"})
	if err != nil {
		t.Fatal(err)
	}
	boxes, err := s.PutMailboxes(ctx, []doppelboden.Mailbox{{Tenant: put[0].ID, Address: doppelboden.Address{Local: "a", Domain: "b.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	folder, err := s.PutFolder(ctx, store.Folder{Place: store.Place{Tenant: put[0].ID, Mailbox: boxes[0].ID}, Name: "Akten"})
	if err != nil {
		t.Fatal(err)
	}
	var dropping sync.WaitGroup
	dropped := make(chan struct{})
	drop = func() {
		dropping.Go(func() {
			defer close(dropped)
			if err := other.DropFolder(ctx, folder.Place, true, time.Now()); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "the other node has removed the folder, or waits", func() bool {
			select {
			case <-dropped:
				return true
			default:
			}
			r, err := watch.one(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
			return err == nil && asInt(r[0]) > 0
		})
	}
	m := message(put[0].ID, boxes[0].ID)
	m.Copies[0].Folder = "Akten"
	if _, err := s.Accept(ctx, m); err != nil {
		t.Fatal(err)
	}
	dropping.Wait()
	r, err := watch.one(ctx, "SELECT count(*) FROM copy c WHERE c.folder > 0 AND NOT EXISTS (SELECT FROM folder f WHERE f.mailbox = c.mailbox AND f.number = c.folder)")
	if err != nil || asInt(r[0]) != 0 {
		t.Errorf("%d mails lie in a folder that is not there (%v)", asInt(r[0]), err)
	}
	if list, err := s.Folders(ctx, put[0].ID, boxes[0].ID); err != nil || len(list) != 1 {
		t.Errorf("folders %+v (%v), wanted the inbox alone", list, err)
	}
	deeds := 0
	if err := s.Deeds(ctx, store.DeedFilter{}, func(store.Deed) error { deeds++; return nil }); err != nil || deeds != 1 {
		t.Errorf("%d deeds (%v), wanted the removal of the mail", deeds, err)
	}
}
