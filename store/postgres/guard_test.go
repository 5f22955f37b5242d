package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/test/peer"
)

// twoTenants fills a store with mail of two tenants, each with all kinds of rows, and
// returns their numbers and those of a mailbox of each.
func twoTenants(t *testing.T, s *Store) (tenants [2]doppelboden.TenantID, boxes [2]doppelboden.MailboxID) {
	t.Helper()
	made, err := s.PutTenants(ctx, []string{"stadt", "kreis"})
	if err != nil {
		t.Fatal(err)
	}
	for n, tenant := range made {
		put, err := s.PutMailboxes(ctx, []doppelboden.Mailbox{{Tenant: tenant.ID, Kind: doppelboden.List,
			Address: doppelboden.Address{Local: "anna", Domain: tenant.Name + ".example"},
			Members: []doppelboden.Address{{Local: "b", Domain: "c.example"}}}})
		if err != nil {
			t.Fatal(err)
		}
		tenants[n], boxes[n] = tenant.ID, put[0].ID
		for _, state := range []doppelboden.State{doppelboden.Queued, doppelboden.Held, doppelboden.Delivered} {
			m := message(tenant.ID, put[0].ID)
			m.Deliveries[0].State, m.Scan = state, doppelboden.Unscanned
			m.Copies = append(m.Copies, doppelboden.Copy{Mailbox: put[0].ID, Folder: "Ordner", Message: m.ID, Date: m.Received})
			if _, err := s.Accept(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		ordner := store.Place{Tenant: tenant.ID, Mailbox: put[0].ID, Folder: 2}
		if _, err := s.Look(ctx, ordner); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Change(ctx, []store.Change{{Place: ordner, Action: store.ActFlag, UIDs: []uint32{1, 2, 3}, Set: doppelboden.Seen, Deed: true}}); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			s.PutListing(ctx, store.Listing{Tenant: tenant.ID, Source: "ad"}),
			s.PutStanding(ctx, store.Standing{Tenant: tenant.ID, State: store.TenantPaused}),
			s.PutWays(ctx, []store.Way{{Tenant: tenant.ID, Mailbox: put[0].ID, Also: []string{"pilot"}}}),
			s.PutTenantKey(ctx, store.TenantKey{Tenant: tenant.ID, Version: 1, Wrapped: []byte{1}}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return tenants, boxes
}

// without makes conditions about a tenant true for every row, as if somebody had forgotten
// them.
func without(t *testing.T, query string, conditions ...string) string {
	t.Helper()
	for _, c := range conditions {
		if !strings.Contains(query, c) {
			t.Fatalf("the query has no %q: %s", c, query)
		}
		query = strings.ReplaceAll(query, c, strings.Replace(c, "=", "IS DISTINCT FROM -", 1))
	}
	return query
}

// The second lock: queries that forget their tenant show a tenant what they ought to, and
// show the node more, so that this test would see it.
func TestAQueryThatForgetsItsTenantShowsNothingOfAnother(t *testing.T) {
	s := openNew(t)
	tenants, boxes := twoTenants(t, s)
	a, b := tenants[0], tenants[1]
	const far = int64(1 << 40)
	for name, q := range map[string]struct {
		text       string
		conditions []string
		args       []any
	}{
		"fresh mail in A's mailbox": {impliedOfMailbox(), []string{"d.tenant = $3"}, []any{int64(boxes[0]), int64(0), int64(b), int64(100)}},
		"copies in A's mailbox":     {rowsOfMailbox, []string{"c.tenant = $3"}, []any{int64(boxes[0]), int64(0), int64(b), int64(100)}},
		"A's folders":               {foldersQuery, []string{"tenant = $2"}, []any{int64(boxes[0]), int64(b)}},
		"what A's folder shows":     {shownRising, []string{"tenant = $5"}, []any{int64(boxes[0]), int64(2), int64(0), maxUID, int64(b), int64(-1), int64(0), int64(9)}},
		"deeds":                     {deedsOfAll, []string{"c.tenant = $2"}, []any{int64(0), int64(b), int64(9), int64(0)}},
		"what waits in A's box":     {findBox, []string{"d.tenant = $3"}, []any{int64(0), far, int64(b), int64(0), int64(100), int64(boxes[0])}},
		"deliveries":                {findAny, []string{"d.tenant = $3"}, []any{int64(0), far, int64(b), int64(0), int64(100), int64(-1), int64(0)}},
		"what is held":              {findRare, []string{"d.tenant = $3"}, []any{int64(0), far, int64(b), int64(0), int64(100), int64(1), int64(0)}},
		"bodies":                    {bodiesQuery, []string{"m.tenant = $1"}, []any{int64(b), int64(1), int64(100)}},
		"unscanned":                 {unscannedQuery, []string{"m.tenant = $1"}, []any{int64(b), int64(0), int64(100)}},
	} {
		rows := func(as doppelboden.TenantID, text string) (n int) {
			t.Helper()
			err := s.readFor(ctx, as, func(c *conn) error {
				return c.query(ctx, func(r row) error { n++; return nil }, text, q.args...)
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return n
		}
		forgetful := without(t, q.text, q.conditions...)
		want, got := rows(0, q.text), rows(b, forgetful)
		if got != want {
			t.Errorf("%s, without the tenant: tenant B sees %d rows, wanted its own %d", name, got, want)
		}
		if all := rows(0, forgetful); all <= want {
			t.Errorf("%s, without the tenant: the node sees %d rows, of which %d are B's; this test would see nothing", name, all, want)
		}
		if rows(a, forgetful) == 0 {
			t.Errorf("%s, without the tenant: tenant A sees nothing of its own", name)
		}
	}
}

// Every table with a tenant, also one that somebody adds tomorrow, is behind the lock.
func TestEveryTableWithATenantShowsATenantItsOwnRowsAlone(t *testing.T) {
	s := openNew(t)
	tenants, _ := twoTenants(t, s)
	var tables, all []string
	err := s.read(ctx, func(c *conn) error {
		locks, err := c.tableLocks(ctx, peer.PostgresTenantRole)
		for _, l := range locks {
			tables = append(tables, l.name)
			if !l.locked || !l.granted {
				t.Errorf("table %s: locked %v, granted %v, wanted both", l.name, l.locked, l.granted)
			}
		}
		if err != nil {
			return err
		}
		return c.query(ctx, func(r row) error { all = append(all, asText(r[0])); return nil },
			"SELECT relname::text FROM pg_class WHERE relnamespace = 'doppelboden'::regnamespace AND relkind = 'r'")
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"message", "delivery", "copy", "folder", "mailbox", "address", "member", "listing", "standing", "way",
		"destination", "tenant_key", "count", "notice", "held"} {
		if !slices.Contains(tables, want) {
			t.Errorf("table %s is not behind the lock", want)
		}
	}
	count := func(as doppelboden.TenantID, text string) (n int64, err error) {
		err = s.readFor(ctx, as, func(c *conn) error {
			r, err := c.one(ctx, text)
			if err == nil {
				n = asInt(r[0])
			}
			return err
		})
		return n, err
	}
	for _, table := range all {
		rows, err := count(0, "SELECT count(*) FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(tables, table) {
			if _, err := count(tenants[1], "SELECT count(*) FROM "+table); stateOf(err) != "42501" {
				t.Errorf("table %s has no tenant, and a tenant's reads see it: %v, wanted no permission", table, err)
			}
			continue
		}
		seen, err := count(tenants[1], "SELECT count(*) FROM "+table)
		others, err2 := count(tenants[1], fmt.Sprintf("SELECT count(*) FROM %s WHERE tenant <> %d", table, tenants[1]))
		if err != nil || err2 != nil || others != 0 || rows > 0 && seen >= rows {
			t.Errorf("table %s has %d rows: tenant B sees %d of which %d are others' (%v, %v)", table, rows, seen, others, err, err2)
		}
		if nobody, err := count(99, "SELECT count(*) FROM "+table); err != nil || nobody != 0 {
			t.Errorf("table %s: a tenant that does not exist sees %d rows (%v), wanted none", table, nobody, err)
		}
	}
}

func TestALockThatSomebodyTookAwayIsThereAgainAfterOpen(t *testing.T) {
	dsn := database(t)
	for _, text := range []string{"ALTER TABLE doppelboden.message DISABLE ROW LEVEL SECURITY", "DROP POLICY tenant ON doppelboden.copy",
		"REVOKE SELECT ON doppelboden.delivery FROM " + peer.PostgresTenantRole, "REVOKE USAGE ON SCHEMA doppelboden FROM " + peer.PostgresTenantRole} {
		if _, err := shared(t).SQL(ctx, nameOf(dsn), text); err != nil {
			t.Fatal(err)
		}
	}
	s := openAt(t, dsn)
	err := s.read(ctx, func(c *conn) error {
		locks, err := c.tableLocks(ctx, peer.PostgresTenantRole)
		for _, l := range locks {
			if !l.locked || !l.granted {
				t.Errorf("table %s: locked %v, granted %v, wanted both", l.name, l.locked, l.granted)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhoReadsForATenantCannotWrite(t *testing.T) {
	s := openNew(t)
	tenants, _ := twoTenants(t, s)
	for _, text := range []string{"UPDATE delivery SET state = 5", "DELETE FROM message", "INSERT INTO standing VALUES (1, 'open', false, '', '', 0)",
		"CREATE TABLE doppelboden.mine ()", "SELECT nextval('mailbox_id_seq')", "SELECT * FROM link", "SELECT * FROM knot"} {
		err := s.readAs(ctx, tenants[0], func(c *conn) error { _, err := c.exec(ctx, text); return err })
		if state := stateOf(err); state != "42501" && state != "25006" { // no permission, or read-only
			t.Errorf("%s: %v, wanted a refusal", text, err)
		}
	}
	// And afterwards the connection is the node's again.
	for range 2 * maxReaders {
		err := s.read(ctx, func(c *conn) error {
			r, err := c.one(ctx, "SELECT current_user::text, coalesce(current_setting('doppelboden.tenant', true), '')")
			if err == nil && (asText(r[0]) != peer.PostgresRole || asText(r[1]) != "") {
				t.Errorf("after a read for a tenant the connection is %s's, for tenant %q", r[0], r[1])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRolesForWhichTheLockLocksNothingAreRefused(t *testing.T) {
	p := shared(t)
	sql := func(text string) {
		t.Helper()
		if _, err := p.SQL(ctx, "postgres", text); err != nil {
			t.Fatal(err)
		}
	}
	dsn := func(role string) string { return strings.Replace(database(t), peer.PostgresRole+":", role+":", 1) }
	login := " LOGIN PASSWORD '" + peer.PostgresPassword + "'"
	sql("CREATE ROLE almighty SUPERUSER" + login + "; CREATE ROLE passes BYPASSRLS" + login + "; CREATE ROLE lonely" + login +
		"; CREATE ROLE stranger")
	t.Cleanup(func() { sql("DROP ROLE almighty, passes, lonely, stranger") })
	for role, want := range map[string]string{
		"almighty": "no policy stops",
		"passes":   "no policy stops",
		"lonely":   `CREATE ROLE "lonely_tenant" NOLOGIN; GRANT "lonely_tenant" TO "lonely"`,
	} {
		s, err := Open(ctx, Options{DSN: dsn(role), Chain: &testChain{name: "x"}})
		if err == nil {
			s.Close()
		}
		if doppelboden.CodeOf(err) != doppelboden.Invalid || !strings.Contains(doppelboden.PublicOf(err), want) {
			t.Errorf("log-in as %s: %v, wanted invalid with %q", role, err, want)
		}
	}
	mine := database(t)
	name := nameOf(mine)
	if _, err := p.SQL(ctx, name, "ALTER TABLE doppelboden.way OWNER TO stranger"); err != nil {
		t.Fatal(err)
	}
	s, err := Open(ctx, Options{DSN: mine, Chain: &testChain{name: "x"}})
	if err == nil {
		s.Close()
	}
	if doppelboden.CodeOf(err) != doppelboden.Invalid || !strings.Contains(doppelboden.PublicOf(err), "must own it") {
		t.Errorf("a table that belongs to another role: %v, wanted invalid", err)
	}
	if _, err := p.SQL(ctx, name, "DROP TABLE doppelboden.way"); err != nil {
		t.Fatal(err)
	}
}
