package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	conf "doppelboden/city"
	"doppelboden/test/peer"
)

// databaseURL is how a node reaches a PostgreSQL of the test.
func databaseURL(p *peer.PostgresServer) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", peer.PostgresRole, p.Addr(), peer.PostgresDatabase)
}

// onBothEngines runs a scenario whose node works with SQLite, and one with PostgreSQL.
func onBothEngines(t *testing.T, scenario func(*testing.T, conf.Database)) {
	t.Run("SQLite", func(t *testing.T) { scenario(t, conf.Database{}) })
	t.Run("PostgreSQL", func(t *testing.T) {
		scenario(t, conf.Database{URL: databaseURL(peer.For[*peer.PostgresServer](t, peer.Postgres{}))})
	})
}

// onPostgres has a city's node work with PostgreSQL.
func (c *city) onPostgres(p *peer.PostgresServer) {
	c.edit("node.toml", "\n[listen]", fmt.Sprintf("\n[database]\nurl = %q\npassword_file = \"database.password\"\n\n[listen]", databaseURL(p)))
	if err := os.WriteFile(filepath.Join(c.dir, "keys", "database.password"), []byte(peer.PostgresPassword+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
}
