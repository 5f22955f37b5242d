package sqlite

import (
	"database/sql/driver"
	"strings"
	"testing"
)

func TestWhatOnePersonHasIsFoundWithoutLookingAtAllPeople(t *testing.T) {
	s := openNew(t)
	for _, q := range []struct {
		text string
		args int
		want string // in its plan
	}{
		{endOfPerson, 5, "credential_person (person=? AND kind=?)"},
		{credentialsByPerson, 9, "credential_person (person=?"},
		{endSessionsOfPerson, 7, "session_person (person=?)"},
		{endSessionByHash, 7, "(hash=?)"},
	} {
		plan := ""
		err := s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				plan += asText(row[3]) + "\n"
				return nil
			}, "EXPLAIN QUERY PLAN "+q.text, make([]driver.Value, q.args)...)
		})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, q.want) {
			t.Errorf("%s\nis found by\n%swant %s", q.text, plan, q.want)
		}
	}
}
