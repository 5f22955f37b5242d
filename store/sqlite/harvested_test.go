package sqlite

import (
	"database/sql/driver"
	"strings"
	"testing"
)

func TestWhatIsKnownOfAFolderOfTheGroupwareIsReadWithoutTheRestOfItsMailbox(t *testing.T) {
	s := openNew(t)
	for _, q := range []struct {
		text string
		args int
		want string // in its plan
	}{
		{harvestedOfFolder, 10, "SEARCH h USING PRIMARY KEY (mailbox=? AND folder=?"},
		{harvestedOfValidity, 11, "SEARCH h USING PRIMARY KEY (mailbox=? AND folder=? AND validity=? AND uid>? AND uid<?)"},
	} {
		plan := ""
		err := s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				plan += asText(row[3]) + "\n"
				return nil
			}, "EXPLAIN QUERY PLAN "+q.text+harvestedOrder, make([]driver.Value, q.args)...)
		})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, q.want) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s\nis found by\n%swant %s", q.text, plan, q.want)
		}
	}
}
