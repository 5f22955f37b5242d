package peer

import (
	"context"
	"strings"
	"testing"
)

// sql runs statements in the first database and returns the rows.
func sql(t *testing.T, p *PostgresServer, statements string) string {
	t.Helper()
	got, err := p.SQL(t.Context(), PostgresDatabase, statements)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAKilledPostgresComesBackWithWhatWasCommitted(t *testing.T) {
	p := For(t, Postgres{})
	if got := sql(t, p, "SELECT current_setting('fsync') || current_setting('server_encoding') || current_setting('lc_collate')"); got != "onUTF8C" {
		t.Errorf("wanted fsync on, UTF8 and C, got %q", got)
	}
	sql(t, p, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
	all, err := children(p.cmd.Process.Pid)
	if err != nil || len(all) < 3 {
		t.Fatalf("wanted server processes below the first one, got %v (%v)", all, err)
	}
	again, err := p.Halt()
	if err != nil {
		t.Fatalf("halt: %v", err)
	}
	for _, pid := range all {
		if stat, ok := readStat(statOf(pid)); ok && stat.state != "Z" {
			t.Errorf("after kill: server process %d lives on", pid)
		}
	}
	if _, err := p.SQL(t.Context(), PostgresDatabase, "SELECT 1"); err == nil {
		t.Error("while halted: wanted an error, got none")
	}
	p = For(t, again)
	if got := sql(t, p, "SELECT n FROM t"); got != "7" {
		t.Errorf("after a restart: wanted 7, got %q", got)
	}
	afterwards(t, p, p.cmd.Process.Pid, p.opts.Dir)
}

func TestAPostgresHasAFreshDatabaseForEveryTestAndARoleWithoutPower(t *testing.T) {
	p := For(t, Postgres{Settings: []string{"log_min_duration_statement=0"}})
	sql(t, p, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
	for range 2 {
		name, err := p.NewDatabase(t.Context(), PostgresDatabase)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.SQL(t.Context(), name, "DELETE FROM t RETURNING n")
		if err != nil || got != "7" {
			t.Errorf("database %s: wanted the template's row, got %q (%v)", name, got, err)
		}
		if err := p.DropDatabase(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if got := sql(t, p, "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = '"+PostgresRole+"'"); got != "f" {
		t.Errorf("the node's role: wanted no power, got %q", got)
	}
	ctx := context.Background()
	if out, err := run(ctx, p.bin+"/psql", "-X", "-A", "-t", "-d", p.DSN(), "-c", "SELECT current_user"); err != nil || strings.TrimSpace(string(out)) != PostgresRole {
		t.Errorf("log-in by TCP: wanted %s, got %q (%v)", PostgresRole, out, err)
	}
	wrong := strings.Replace(p.DSN(), PostgresPassword, "falsch", 1)
	if out, err := run(ctx, p.bin+"/psql", "-X", "-d", wrong, "-c", "SELECT 1"); err == nil || !strings.Contains(string(out), "password authentication failed") {
		t.Errorf("log-in with a wrong password: wanted a refusal, got %q (%v)", out, err)
	}
}
