package postgres

import (
	"context"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"doppelboden"
	"doppelboden/test/peer"
)

// refused checks that a server or database is not taken, and why.
func refused(t *testing.T, dsn, why string) {
	t.Helper()
	s, err := Open(ctx, Options{DSN: dsn, Chain: &testChain{}})
	if err == nil {
		s.Close()
	}
	if doppelboden.CodeOf(err) != doppelboden.Invalid || !strings.Contains(err.Error(), why) {
		t.Errorf("Open: %v with code %v, wanted invalid and %q", err, doppelboden.CodeOf(err), why)
	}
}

func TestAServerThatDoesNotKeepWhatItCommitsIsRefused(t *testing.T) {
	for _, name := range []string{"fsync", "full_page_writes"} {
		p := peer.For(t, peer.Postgres{Settings: []string{name + "=off"}})
		refused(t, p.DSN(), name+" = off")
		if name == "fsync" {
			s, err := Open(ctx, Options{DSN: p.DSN(), Chain: &testChain{}, Unsafe: true})
			if err != nil {
				t.Fatalf("Open of an unsafe server by who asks for it: %v", err)
			}
			s.Close()
		}
	}
}

func TestADatabaseThatDoesNotKeepWhatItIsGivenIsRefused(t *testing.T) {
	p := shared(t)
	sql := func(text string) {
		t.Helper()
		if _, err := p.SQL(ctx, "postgres", text); err != nil {
			t.Fatal(err)
		}
	}
	for _, value := range []string{"off", "local", "remote_write"} {
		dsn := database(t)
		name := dsn[strings.LastIndexByte(dsn, '/')+1 : strings.IndexByte(dsn, '?')]
		sql("ALTER DATABASE " + name + " SET synchronous_commit = " + value)
		refused(t, dsn, "synchronous_commit = "+value)
	}
	sql("CREATE DATABASE latin OWNER " + peer.PostgresRole + " TEMPLATE template0 ENCODING 'LATIN1'")
	defer sql("DROP DATABASE latin")
	refused(t, p.DSNOf("latin"), "LATIN1")
}

func TestADatabaseOfANewerProgramOrAStrangerIsRefused(t *testing.T) {
	dsn := database(t)
	s := openAt(t, dsn)
	if err := s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("INSERT INTO migration (name) VALUES ('4711_future.sql')")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	refused(t, dsn, "4711_future.sql")
	empty, err := shared(t).NewDatabase(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer shared(t).DropDatabase(context.Background(), empty)
	if _, err := shared(t).SQL(ctx, empty, "CREATE SCHEMA doppelboden CREATE TABLE message (id int)"); err != nil {
		t.Fatal(err)
	}
	refused(t, shared(t).DSNOf(empty), "another program")
}

func TestAConnectionStringThatNobodyCanReadIsInvalid(t *testing.T) {
	refused(t, "postgres://nobody:secret@[::1:5432/x", "cannot be read")
	_, err := Open(ctx, Options{DSN: "postgres://nobody:secret@[::1:5432/x", Chain: &testChain{}})
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows the password: %v", err)
	}
}

func TestOfSeveralHostsTheOneIsTakenThatCanBeWritten(t *testing.T) {
	dsn := database(t)
	p := shared(t)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := nobody.Addr().String()
	nobody.Close()
	name := dsn[strings.LastIndexByte(dsn, '/')+1 : strings.IndexByte(dsn, '?')]
	several := strings.Replace(dsn, p.Addr(), dead+","+p.Addr(), 1)
	accept(t, openAt(t, several), 1, 1)
	if _, err := p.SQL(ctx, "postgres", "ALTER DATABASE "+name+" SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(ctx, Options{DSN: several, Chain: &testChain{}}); err == nil || doppelboden.CodeOf(err) != doppelboden.Temporary {
		t.Errorf("Open where every host is read-only: %v, wanted a temporary error", err)
		s.Close()
	}
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	dsn := database(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := openAt(t, dsn)
	accept(t, s, 1, 1)
	rowsOf(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
