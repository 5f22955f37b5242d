package app

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/sink"
	"doppelboden/test/peer"
)

// A cityOnPostgres is a city whose node works with a PostgreSQL that can be killed.
type cityOnPostgres struct {
	t         *testing.T
	server    *peer.PostgresServer
	resting   peer.Postgres // while it is halted
	groupware *sink.Sink
	node      *city.Node
	n         *Node
}

// onPostgres makes a city that works with PostgreSQL, with one mailbox.
func onPostgres(t *testing.T) *cityOnPostgres {
	t.Helper()
	gw, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gw.Close() })
	c := &cityOnPostgres{t: t, groupware: gw, node: install(t, "smtp://"+gw.Addr())}
	c.server = peer.For[*peer.PostgresServer](t, peer.Postgres{})
	c.node.Database = city.Database{
		URL:      fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", peer.PostgresRole, c.server.Addr(), peer.PostgresDatabase),
		Password: city.Secret{File: "database.password"},
	}
	put(t, filepath.Join(c.node.Keys, "database.password"), []byte(peer.PostgresPassword+"\n"))
	return c
}

// start starts the node, with anna's mailbox at the first time.
func (c *cityOnPostgres) start() {
	c.t.Helper()
	first := c.n == nil
	c.n = start(c.t, c.node)
	if !first {
		return
	}
	if _, err := client(c.n).AddMailbox(c.t.Context(), anna); err != nil {
		c.t.Fatal(err)
	}
	c.mirrored()
}

// mirrored waits until the mirror has every change.
func (c *cityOnPostgres) mirrored() {
	c.t.Helper()
	waitFor(c.t, "the mirror has every change", func() bool {
		_, err := os.Stat(filepath.Join(c.n.mirrorDir(), "behind"))
		return errors.Is(err, os.ErrNotExist)
	})
}

// kill kills PostgreSQL, revive starts it again.
func (c *cityOnPostgres) kill() {
	c.t.Helper()
	var err error
	if c.resting, err = c.server.Halt(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cityOnPostgres) revive() {
	c.t.Helper()
	c.server = peer.For[*peer.PostgresServer](c.t, c.resting)
}

// send sends mails to anna, which must all be kept: while the database is dead nobody would
// answer a door that waits for it.
func (c *cityOnPostgres) send(mails int) {
	c.t.Helper()
	for range mails {
		if a := mail(c.t, c.n, "anna@stadt.example"); !a.Kept() {
			c.t.Fatalf("mail to anna: %d %s, want 250", a.Code, a.Text)
		}
	}
}

// status returns what the node says of itself.
func (c *cityOnPostgres) status() control.Status {
	c.t.Helper()
	s, err := client(c.n).Status(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// alarm returns the text of the open alarm about the database, or "".
func alarmOf(s control.Status, kind string) string {
	for _, a := range s.Alarms {
		if a.Kind == kind {
			return a.Text
		}
	}
	return ""
}

// delivered waits until so many mails are delivered, each once, and the balance is 0.
func (c *cityOnPostgres) delivered(mails int64) {
	c.t.Helper()
	waitFor(c.t, fmt.Sprintf("%d mails are delivered", mails), func() bool {
		b, err := client(c.n).Balance(c.t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		return err == nil && b.Delivered == mails && b.Queued == 0
	})
	if b := balance(c.t, c.n); b.Accepted != mails || b.Acknowledged != mails || b.Difference != 0 || b.Duplicates != 0 {
		c.t.Errorf("balance %+v, want %d accepted, acknowledged and delivered, difference 0", b, mails)
	}
	if got := c.groupware.Stats().Messages; got != mails {
		c.t.Errorf("the groupware has %d mails, want %d", got, mails)
	}
	report, err := client(c.n).VerifyLedger(c.t.Context())
	if err != nil || report.Faults != 0 {
		c.t.Errorf("ledger verify: %+v (%v)", report, err)
	}
}

func TestMailIsTakenWhilePostgreSQLIsDeadAndAllOfItIsThereAfterwards(t *testing.T) {
	c := onPostgres(t)
	c.start()
	c.send(3)
	c.delivered(3)
	c.kill()
	c.send(10)
	if a := mail(t, c.n, "nobody@stadt.example"); a.Code != 550 {
		t.Errorf("unknown mailbox while the database is dead: %d %s, want 550", a.Code, a.Text)
	}
	waitFor(t, "an alarm says that the database does not answer", func() bool {
		return strings.Contains(alarmOf(c.status(), "database"), "does not answer")
	})
	s := c.status()
	if !s.Database.Dead || s.Database.Away.IsZero() || s.Database.Landed != 10 || s.Refusing != "" || s.Mailboxes != 1 {
		t.Errorf("status while the database is dead: %+v, want it dead since a time, 10 mails that wait, mail taken, 1 mailbox", s)
	}
	_, err := client(c.n).AddMailbox(t.Context(), control.Mailbox{Address: "berta@stadt.example", Kind: "person", Priority: 5})
	if doppelboden.CodeOf(err) != doppelboden.Temporary || !strings.Contains(err.Error(), publicAway) {
		t.Errorf("a mailbox is added: %v, want a temporary error that says that the database does not answer", err)
	}
	err = client(c.n).Queue(t.Context(), control.Choice{}, 10, func(control.Waiting) error { return nil })
	if doppelboden.CodeOf(err) != doppelboden.Temporary || !strings.Contains(err.Error(), publicAway) {
		t.Errorf("the queue is looked at: %v, want a temporary error that says that the database does not answer", err)
	}
	c.revive()
	c.delivered(13)
	waitFor(t, "the alarm has ended", func() bool { return alarmOf(c.status(), "database") == "" })
	if s := c.status(); !s.Database.Away.IsZero() || s.Database.Landed != 0 {
		t.Errorf("status with the database back: %+v", s.Database)
	}
	waitFor(t, "the alarm of the outage is in the history", func() bool {
		told := false
		err := c.n.store.Alarms(t.Context(), time.Now().Add(-time.Hour), func(a doppelboden.Alarm) error {
			told = told || a.Kind == "database" && !a.Until.IsZero() && a.Until.After(a.Since)
			return nil
		})
		return err == nil && told
	})
}

func TestANodeStartsWhilePostgreSQLIsDeadAndGoesOnByItself(t *testing.T) {
	c := onPostgres(t)
	c.start()
	c.send(2)
	c.delivered(2)
	c.kill()
	c.send(3)
	for range 2 { // and once more: what landed before is not lost by a start without it
		halt(t, c.n)
		c.start()
		c.send(2)
	}
	if a := mail(t, c.n, "nobody@stadt.example"); a.Code != 550 {
		t.Errorf("unknown mailbox after a start from the mirror: %d %s, want 550", a.Code, a.Text)
	}
	s := c.status()
	if !s.Database.Dead || s.Database.Landed != 7 || s.Database.Mirror.IsZero() || s.Database.Behind || s.Config != 1 || s.Mailboxes != 1 {
		t.Errorf("status after a start without the database: %+v", s)
	}
	if since := s.Database.Away; !since.Before(s.Since) {
		t.Errorf("the database is away since %v, but the node runs since %v: the outage began before", since, s.Since)
	}
	c.revive()
	c.delivered(9)
	if _, err := client(c.n).AddMailbox(t.Context(), control.Mailbox{Address: "berta@stadt.example", Kind: "person", Priority: 5}); err != nil {
		t.Errorf("a mailbox with the database back: %v", err)
	}
	if a := mail(t, c.n, "berta@stadt.example"); !a.Kept() {
		t.Errorf("mail to the new mailbox: %d %s", a.Code, a.Text)
	}
	c.delivered(10)
	if s := c.status(); s.Database.Dead || !s.Database.Mirror.IsZero() {
		t.Errorf("status with the database back: %+v", s.Database)
	}
}

func TestAMirrorThatLacksAChangePutsUnknownRecipientsOff(t *testing.T) {
	c := onPostgres(t)
	c.start()
	halt(t, c.n)
	c.kill()
	put(t, filepath.Join(c.n.mirrorDir(), "behind"), nil) // as after a crash during a change
	c.start()
	if a := mail(t, c.n, "nobody@stadt.example"); a.Code != 450 {
		t.Errorf("unknown mailbox with a mirror that is behind: %d %s, want 450", a.Code, a.Text)
	}
	c.send(1)
	c.revive()
	c.delivered(1)
	if a := mail(t, c.n, "nobody@stadt.example"); a.Code != 550 {
		t.Errorf("unknown mailbox with the database back: %d %s, want 550", a.Code, a.Text)
	}
	c.mirrored()
}

func TestANodeWithoutAMirrorSaysThatTheDatabaseDoesNotAnswer(t *testing.T) {
	c := onPostgres(t)
	c.kill()
	n, err := New(t.Context(), Options{Node: c.node, Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		n.Stop(t.Context())
		t.Fatal("a node started that knows nobody")
	}
	if text := err.Error(); !strings.Contains(text, "open the database") || strings.Contains(text, peer.PostgresPassword) {
		t.Errorf("the error is %q, want that it tells of the database and never the password", text)
	}
}

func TestMailIsTakenWhilePostgreSQLIsReadOnlyOrHasLostATable(t *testing.T) {
	c := onPostgres(t)
	c.start()
	c.send(1)
	c.delivered(1)
	// Each statement is a transaction of its own: who is cut off and comes back before the
	// first is committed would still have the role's old setting.
	sql := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := c.server.SQL(t.Context(), peer.PostgresDatabase, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + peer.PostgresRole + "'"
	sent := int64(1)
	for _, fault := range []struct {
		what       string
		begin, end []string
	}{
		{"read-only", []string{"ALTER ROLE doppelboden SET default_transaction_read_only = on", cut}, []string{"ALTER ROLE doppelboden RESET default_transaction_read_only", cut}},
		{"without a table", []string{"ALTER TABLE doppelboden.delivery RENAME TO lost"}, []string{"ALTER TABLE doppelboden.lost RENAME TO delivery"}},
	} {
		sql(fault.begin...)
		c.send(5)
		sent += 5
		waitFor(t, "an alarm tells of a database "+fault.what, func() bool {
			s := c.status()
			return !s.Database.Away.IsZero() && s.Refusing == "" && alarmOf(s, "database") != ""
		})
		sql(fault.end...)
		c.delivered(sent)
		waitFor(t, "the alarm has ended", func() bool { return alarmOf(c.status(), "database") == "" })
	}
}

func TestOwnSendersReachNewDomainsWhilePostgreSQLIsDead(t *testing.T) {
	c := onPostgres(t)
	relay, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	text := copyOf(t, c.node.City)
	put(t, c.node.City, append(text, fmt.Sprintf("\n[[tenant.sender]]\nname = \"amt\"\nnetworks = [\"127.0.0.1\"]\n\n[tenant.internet]\nrelay = [\"smtp://%s\"]\n", relay.Addr())...))
	c.start()
	submit := func(when string, domains ...string) {
		t.Helper()
		for _, domain := range domains {
			if a := outbound(t, c.n, "x@"+domain); !a.Kept() {
				t.Errorf("%s: mail to %s: %d %s, want 250", when, domain, a.Code, a.Text)
			}
		}
	}
	submit("with the database", "known.example")
	c.kill()
	submit("while the database is dead", "known.example", "new.example")
	halt(t, c.n)
	c.start()
	submit("after a start from the mirror", "known.example", "new.example", "newer.example")
	c.revive()
	waitFor(t, "the smart host has all six mails", func() bool { return relay.Stats().Messages == 6 })
	waitFor(t, "the balance is 0", func() bool {
		b, err := client(c.n).Balance(t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		return err == nil && b.Delivered == 6 && b.Difference == 0
	})
	numbers := map[string]int{}
	err = c.n.store.Destinations(t.Context(), func(d doppelboden.Destination) error {
		numbers[d.Domain]++
		return nil
	})
	if err != nil || len(numbers) != 3 || numbers["new.example"] != 1 {
		t.Errorf("destinations %v (%v), want each of three domains once", numbers, err)
	}
}

func TestANodeThatStartsFromItsMirrorOpensMailAfterTheMasterKeyHasChanged(t *testing.T) {
	c := onPostgres(t)
	c.start()
	if _, err := client(c.n).RotateMaster(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.kill()
	halt(t, c.n)
	c.start()
	c.send(1)
	c.revive()
	c.delivered(1)
}
