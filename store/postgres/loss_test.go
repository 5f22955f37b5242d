package postgres

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/test/peer"
)

// A landing is a chain of commits that drain into a store.
type landing struct {
	chain  *testChain
	landed []store.Landed
}

// keep lands one commit of some messages.
func (l *landing) keep(messages int) {
	var entries []doppelboden.Entry
	one := store.Landed{}
	for n := range messages {
		m := message(1, doppelboden.MailboxID(1+n))
		one.Messages = append(one.Messages, m)
		entries = append(entries, store.Entries(m)...)
	}
	one.Link = l.chain.Next(time.Now(), entries)
	l.chain.Advance(one.Link)
	l.landed = append(l.landed, one)
}

// drain drains the landing from a number on until all of it was taken.
func (l *landing) drain(t *testing.T, s *Store, from int) {
	t.Helper()
	for n := from; n < len(l.landed); n += 7 {
		part := l.landed[n:min(n+7, len(l.landed))]
		eventually(t, "a landing drains", func() bool {
			err := s.Drain(ctx, part)
			if err != nil && doppelboden.CodeOf(err) != doppelboden.Temporary && doppelboden.CodeOf(err) != doppelboden.StorageFull {
				t.Fatalf("Drain: %v with code %v", err, doppelboden.CodeOf(err))
			}
			return err == nil
		})
	}
}

// check checks that everything that landed is there once.
func (l *landing) check(t *testing.T, s *Store) {
	t.Helper()
	whole := &load{t: t, fates: map[doppelboden.ID]fate{}}
	for _, one := range l.landed {
		for _, m := range one.Messages {
			whole.fates[m.ID] = fate{kept: true}
		}
	}
	if missing := whole.check(s); missing != 0 {
		t.Errorf("%d of %d messages that landed are missing", missing, len(whole.fates))
	}
}

// The node goes on running while its database loses a table and gets it back from a copy
// that is older; the landing fills what the copy does not have.
func TestALostTableComesBackFromACopyAndTheLandingFillsTheRest(t *testing.T) {
	for _, table := range []string{"delivery", "link", "sequence"} {
		t.Run(table, func(t *testing.T) {
			dsn := database(t)
			s := openAt(t, dsn)
			l := &landing{chain: &testChain{name: "landing"}}
			for range 40 {
				l.keep(3)
			}
			l.drain(t, s, 0)
			dump := filepath.Join(t.TempDir(), "dump")
			if _, err := s.Snapshot(ctx, dump, nil); err != nil {
				t.Fatal(err)
			}
			for range 40 {
				l.keep(3)
			}
			l.drain(t, s, 40)
			if _, err := shared(t).SQL(ctx, nameOf(dsn), "DROP TABLE doppelboden."+table); err != nil {
				t.Fatal(err)
			}
			l.keep(3)
			if err := s.Drain(ctx, l.landed[80:]); doppelboden.CodeOf(err) != doppelboden.Temporary {
				t.Errorf("Drain without the table: %v, wanted temporary", err)
			}
			unwell(t, s, publicStorage)
			s.probe() // a probe that only wrote its own row would call it well again
			if s.Ready() == nil {
				t.Error("ready without the table")
			}
			if err := Clear(ctx, dsn); err != nil {
				t.Fatal(err)
			}
			if err := Restore(ctx, dsn, dump); err != nil {
				t.Fatal(err)
			}
			l.drain(t, s, 80) // new mail first, behind a gap
			l.drain(t, s, 0)
			eventually(t, "ready", func() bool { return s.Ready() == nil })
			l.check(t, s)
		})
	}
}

// smallDisk mounts a file system of so many bytes in a folder that PostgreSQL's user may
// enter, with ballast on it that leaves the rest.
func smallDisk(t *testing.T, size string, ballast int) (dir, file string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "doppelboden-small-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0777,size="+size); err != nil {
		t.Fatalf("mount a small file system (as root, outside of a container without mounts): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	file = filepath.Join(dir, "ballast")
	if err := os.WriteFile(file, make([]byte, ballast), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func TestAFullDiskOfTheServerIsStorageFullAndTheStoreGoesOnByItself(t *testing.T) {
	dir, ballast := smallDisk(t, "64m", 40<<20)
	space := filepath.Join(dir, "space")
	if out, err := exec.Command("install", "-d", "-o", "postgres", space).CombinedOutput(); err != nil {
		t.Fatalf("make folder: %v: %s", err, out)
	}
	server := ownServer(t, peer.Postgres{})
	for _, text := range []string{"CREATE TABLESPACE small LOCATION '" + space + "'",
		"CREATE DATABASE small OWNER " + peer.PostgresRole + " TEMPLATE " + peer.PostgresDatabase + " TABLESPACE small"} {
		if _, err := server.SQL(ctx, "postgres", text); err != nil {
			t.Fatal(err)
		}
	}
	s := openAt(t, server.DSNOf("small"))
	l := &load{t: t, fates: map[doppelboden.ID]fate{}}
	var refused *doppelboden.Message
	for n := 0; refused == nil; n++ {
		m := message(1, 1)
		m.Prefix = make([]byte, 4000)
		rand.Read(m.Prefix) // so that it does not shrink
		_, err := s.Accept(ctx, m)
		switch {
		case err == nil && n < 20000:
			l.fates[m.ID] = fate{kept: true}
		case err == nil:
			t.Fatal("the disk does not fill")
		case doppelboden.CodeOf(err) != doppelboden.StorageFull || doppelboden.PublicOf(err) != publicFull:
			t.Fatalf("Accept on a full disk: code %v, %v, wanted %v", doppelboden.CodeOf(err), err, doppelboden.StorageFull)
		default:
			refused = m
			l.fates[m.ID] = fate{kept: true}
		}
	}
	if err := s.Ready(); doppelboden.CodeOf(err) != doppelboden.StorageFull {
		t.Errorf("Ready on a full disk: %v, wanted storage full", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready again, though nobody called Accept", func() bool { return s.Ready() == nil })
	if _, err := s.Accept(ctx, refused); err != nil {
		t.Fatalf("Accept with room again: %v", err)
	}
	if missing := l.check(s); missing != 0 {
		t.Errorf("%d messages that got nil are missing", missing)
	}
}

// With its log on the full disk PostgreSQL cannot even say so: it ends in the middle, and
// does not come back before there is room.
func TestAServerWhoseLogHasNoRoomLosesNothingThatWasAnswered(t *testing.T) {
	dir, ballast := smallDisk(t, "160m", 60<<20)
	server := ownServer(t, peer.Postgres{Settings: []string{"max_wal_size=32MB", "min_wal_size=32MB"}})
	o, err := server.Halt()
	if err != nil {
		t.Fatal(err)
	}
	move := `cp -a "$0/pg_wal" "$1/wal" && rm -r "$0/pg_wal" && ln -s "$1/wal" "$0/pg_wal"`
	if out, err := exec.Command("sh", "-c", move, server.Data(), dir).CombinedOutput(); err != nil {
		t.Fatalf("move the log: %v: %s", err, out)
	}
	server = peer.For(t, o)
	s := openAt(t, server.DSN())
	l := startLoad(t, s, s)
	l.more(50)
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for piece := make([]byte, 1<<20); err == nil; {
		_, err = filler.Write(piece)
	}
	filler.Close()
	eventually(t, "the server has ended for want of room", func() bool {
		server.SQL(ctx, "postgres", "SELECT pg_switch_wal()") // the next file of the log; an error is what is waited for
		return strings.Contains(server.LogTail(1000), "PANIC")
	})
	unwell(t, s, publicStorage)
	for _, file := range []string{ballast, filler.Name()} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if o, err = server.Halt(); err != nil {
		t.Fatal(err)
	}
	server = peer.For(t, o) // as its administrator would, or systemd
	l.more(50)
	l.end()
	if missing := l.check(s); missing != 0 {
		t.Errorf("%d messages that got nil are missing", missing)
	}
}
