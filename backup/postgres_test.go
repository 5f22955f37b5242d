package backup_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"doppelboden/city"
	"doppelboden/test/peer"
)

// server starts the PostgreSQL that the tests of this package share.
var server = sync.OnceValues(func() (*peer.PostgresServer, error) { return peer.Postgres{}.Start() })

func TestMain(m *testing.M) {
	code := m.Run()
	if used {
		if s, err := server(); err == nil {
			if err := s.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// used says that the server was asked for.
var used bool

func shared(t *testing.T) *peer.PostgresServer {
	t.Helper()
	used = true
	s, err := server()
	if err != nil {
		t.Fatalf("a test of PostgreSQL that cannot run is a failed test: %v", err)
	}
	return s
}

// onPostgres returns what node.toml says for a fresh database, and its name.
func onPostgres(t *testing.T) (more, name string) {
	t.Helper()
	name, err := shared(t).NewDatabase(t.Context(), "")
	must(t, err)
	t.Cleanup(func() { shared(t).DropDatabase(context.Background(), name) })
	return fmt.Sprintf("\n[database]\nurl = \"postgres://%s@%s/%s?sslmode=disable\"\npassword_file = \"database.password\"\n",
		peer.PostgresRole, shared(t).Addr(), name), name
}

// scratch returns an empty database for a check, or "" where none is needed.
func scratch(t *testing.T, n *city.Node) string {
	t.Helper()
	if n == nil || !n.Database.Postgres() {
		return ""
	}
	name, err := shared(t).NewDatabase(t.Context(), "")
	must(t, err)
	t.Cleanup(func() { shared(t).DropDatabase(context.Background(), name) })
	return shared(t).DSNOf(name)
}

// burn destroys a database and puts an empty one in its place.
func burn(t *testing.T, name string) {
	t.Helper()
	for _, statement := range []string{"DROP DATABASE " + name + " WITH (FORCE)", "CREATE DATABASE " + name + " OWNER " + peer.PostgresRole} {
		_, err := shared(t).SQL(t.Context(), "postgres", statement)
		must(t, err)
	}
}
