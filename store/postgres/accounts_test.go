package postgres

import (
	"strings"
	"testing"
)

func TestWhatOnePersonHasIsFoundWithoutLookingAtAllPeople(t *testing.T) {
	s := openNew(t)
	check := func(when string) {
		t.Helper()
		c := raw(t, s)
		for _, q := range []struct{ name, text, types, args, want string }{
			{"credentials", endOfPerson, "bigint, text, bigint, bigint, text[]", "1, 'x', 5, 1, '{sheet}'", "credential_person"},
			{"sessions", endSessionsOfPerson, "bytea, bigint, bigint, text, bytea, bigint, bigint", "NULL, 1, 5, '', NULL, NULL, NULL", "session_person"},
		} {
			if plan := planOf(t, c, q.name, q.text, q.types, q.args); !strings.Contains(plan, q.want) {
				t.Errorf("%s: %s\nis found by\n%swant the index %s", when, q.text, plan, q.want)
			}
		}
	}
	check("empty")
	const many = `INSERT INTO credential (tenant, person, kind, label, key_version, counter, made, by, why)
		SELECT 1, n, 'sheet', '', 0, 0, 1, 'a', '' FROM generate_series(1, 5000) n;
		INSERT INTO session (hash, tenant, person, needs, source, second, code, made, seen, until)
		SELECT decode(md5(n::text), 'hex'), 1, n, '', '', false, 0, 1, 1, 1 FROM generate_series(1, 5000) n`
	if err := raw(t, s).script(ctx, many); err != nil {
		t.Fatal(err)
	}
	check("filled")
	if err := raw(t, s).script(ctx, "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	check("analysed")
}
