package postgres

import (
	"io/fs"
	"path"
	"slices"
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
