package city

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// A Database is the PostgreSQL that a node works with: [database] of node.toml. Its zero
// value is SQLite in the node's data folder, which needs nothing else.
type Database struct {
	URL      string // postgres://user@host:port/name, without a password; empty: SQLite
	Password Secret // zero: none, or what PostgreSQL's own variables say (PGPASSWORD, PGPASSFILE)
}

// Postgres reports whether the node works with PostgreSQL.
func (d Database) Postgres() bool { return d.URL != "" }

const (
	wantDatabase       = `write url = "postgres://doppelboden@db.musterstadt.de/doppelboden?sslmode=verify-full"`
	wantDatabaseSecret = `write password_file = "database.password" (a file in the folder of the keys), or password_credential = "database"`
	wantSSLMode        = `write ?sslmode=verify-full behind it, or require or disable where nobody else is on the line`
)

// databaseParameters are those of libpq's that mean something here. What bounds waiting
// is ours to say, and no name of a variable of the server may come in.
var databaseParameters = []string{"host", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs"}

// parseDatabase reads [database].
func parseDatabase(s *section, written bool) Database {
	if !written {
		return Database{}
	}
	d := Database{URL: s.must("url", says(wantDatabase))}
	d.Password.File = s.text("password_file", "", says(wantDatabaseSecret))
	d.Password.Credential = s.text("password_credential", "", says(wantDatabaseSecret))
	switch {
	case d.Password.File != "" && d.Password.Credential != "":
		s.wrong("password_credential", says("contradicts password_file"), says("leave out one of the two"))
	case strings.ContainsAny(d.Password.Credential, "/\x00"):
		s.wrong("password_credential", says("not a name"), says(wantDatabaseSecret))
	}
	if d.URL != "" {
		if problem, want := databaseProblem(d.URL); !problem.IsZero() {
			s.wrong("url", problem, want)
		}
	}
	s.done()
	return d
}

// databaseProblem says what is wrong with the URL of a database, and what would be right.
func databaseProblem(written string) (problem, want Text) {
	u, err := url.Parse(written)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" || u.Fragment != "" {
		return says("not the address of a PostgreSQL database"), says(wantDatabase)
	}
	if _, has := u.User.Password(); has {
		return says("a password does not belong here"), says(wantDatabaseSecret)
	}
	if u.User.Username() == "" {
		return says("it does not say who logs in"), says(wantDatabase)
	}
	if name := strings.TrimPrefix(u.Path, "/"); name == "" || strings.Contains(name, "/") {
		return says("it does not name a database"), says(wantDatabase)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return says("not the address of a PostgreSQL database"), says(wantDatabase)
	}
	for key := range q {
		if key == "password" || key == "sslpassword" {
			return says("a password does not belong here"), says(wantDatabaseSecret)
		}
		if !slices.Contains(databaseParameters, key) {
			return says("the parameter %s is not known here", printable(key)), says("known here: %s", strings.Join(databaseParameters, ", "))
		}
	}
	host := u.Hostname()
	if host == "" {
		host = q.Get("host")
	}
	if host == "" {
		return says("it does not say on which machine"), says(wantDatabase)
	}
	switch mode := q.Get("sslmode"); {
	case mode == "" && !onThisMachine(host): // libpq would go on in clear where the server wants it
		return says("the way to another machine must be protected, or not on purpose"), says(wantSSLMode)
	case mode != "" && !slices.Contains([]string{"disable", "require", "verify-ca", "verify-full"}, mode):
		return says("the sslmode is not one that says what happens"), says(wantSSLMode)
	}
	return Text{}, Text{}
}

// onThisMachine reports whether nobody else can be on the way to a host.
func onThisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasPrefix(host, "/") || err == nil && a.IsLoopback()
}
