package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// listOf writes words as JSON, for json_each.
func listOf(words []string) string {
	text, _ := json.Marshal(words) // strings always can be written
	return string(text)
}

// credentialColumns are what readCredential reads.
const credentialColumns = "id, tenant, person, kind, label, lookup, data, key_version, counter, made, until, by, ended, why"

func readCredential(row []driver.Value) store.Credential {
	return store.Credential{ID: asInt(row[0]), Tenant: doppelboden.TenantID(asInt(row[1])), Person: doppelboden.MailboxID(asInt(row[2])),
		Kind: asText(row[3]), Label: asText(row[4]), Lookup: asBlob(row[5]), Data: asBlob(row[6]), KeyVersion: int(asInt(row[7])),
		Counter: asInt(row[8]), Made: asTime(row[9]), Until: asTime(row[10]), By: asText(row[11]), Ended: asTime(row[12]), Why: asText(row[13])}
}

// Where credentials are looked for: by the narrowest that a filter has. ?1 to ?7 are the
// same in all of them.
const (
	credentialsRest = ` AND (?1 = 0 OR tenant = ?1) AND (?2 = 0 OR person = ?2) AND (?3 = '[]' OR kind IN (SELECT value FROM json_each(?3)))
		AND (?4 = 0 OR key_version = ?4) AND (?5 = 0 OR ended IS NULL) AND (?6 = 0 OR id = ?6) AND (?7 IS NULL OR lookup = ?7) AND id > ?8 ORDER BY id LIMIT ?9`
	credentialsByID     = "SELECT " + credentialColumns + " FROM credential WHERE id = ?6" + credentialsRest
	credentialsByLookup = "SELECT " + credentialColumns + " FROM credential WHERE lookup = ?7" + credentialsRest
	credentialsByPerson = "SELECT " + credentialColumns + " FROM credential WHERE person = ?2" + credentialsRest
	credentialsOfAll    = "SELECT " + credentialColumns + " FROM credential WHERE id > ?8" + credentialsRest
)

// Credentials yields what f selects, by ID.
func (s *Store) Credentials(ctx context.Context, f store.CredentialFilter, yield func(store.Credential) error) error {
	text := credentialsOfAll
	switch {
	case f.ID != 0:
		text = credentialsByID
	case f.Lookup != nil:
		text = credentialsByLookup
	case f.Person != 0:
		text = credentialsByPerson
	}
	kinds := f.Kinds
	if kinds == nil {
		kinds = []string{}
	}
	last := int64(0)
	return walk(func() (page []store.Credential, err error) {
		err = s.read(ctx, func(c *conn) error {
			return c.query(ctx, func(row []driver.Value) error {
				page = append(page, readCredential(row))
				last = asInt(row[0])
				return nil
			}, text, int64(f.Tenant), int64(f.Person), listOf(kinds), int64(f.KeyVersion), f.Live, f.ID, blob(f.Lookup), last, int64(pageRows))
		})
		return page, err
	}, yield)
}

// ChangeCredentials carries out a change in one commit.
func (s *Store) ChangeCredentials(ctx context.Context, c store.CredentialChange) (ended int, err error) {
	err = s.write(ctx, func(t *tx) error {
		ended = 0
		if err := t.inSession(c.Session); err != nil {
			return err
		}
		again, err := t.spend(&c)
		if err != nil || again {
			return err
		}
		for i := range c.End {
			n, err := t.endCredentials(&c.End[i])
			if err != nil {
				return fmt.Errorf("end credentials: %w", err)
			}
			ended += int(n)
		}
		for i := range c.Put {
			if err := t.putCredential(&c.Put[i]); err != nil {
				return fmt.Errorf("write credential: %w", err)
			}
		}
		return nil
	})
	return ended, err
}

// inSession refuses what needs a session that has ended; nil: it needs none.
func (t *tx) inSession(hash []byte) error {
	if len(hash) == 0 {
		return nil
	}
	_, err := t.c.one(background, "SELECT hash FROM session WHERE hash = ?", hash)
	if errors.Is(err, errNoRow) {
		return refuse(doppelboden.NotFound, "there is no such session")
	}
	if err != nil {
		return fmt.Errorf("find session: %w", err)
	}
	return nil
}

// spend ends the credential that a change needs live. again says that the same change was
// carried out before.
func (t *tx) spend(c *store.CredentialChange) (again bool, err error) {
	if c.Spend == 0 {
		return false, nil
	}
	row, err := t.c.one(background, "SELECT ended, token FROM credential WHERE id = ?", c.Spend)
	if errors.Is(err, errNoRow) || err == nil && row[0] != nil && !(len(c.Token) > 0 && bytes.Equal(asBlob(row[1]), c.Token)) {
		return false, refuse(doppelboden.Policy, "it was used or withdrawn before")
	}
	if err != nil {
		return false, fmt.Errorf("find credential: %w", err)
	}
	if row[0] != nil {
		return true, nil
	}
	_, err = t.c.exec(background, "UPDATE credential SET ended = ?, why = 'spent', token = ? WHERE id = ?", micros(c.At), blob(c.Token), c.Spend)
	if err != nil {
		return false, fmt.Errorf("spend credential: %w", err)
	}
	return false, nil
}

// endOfPerson ends what one person has. The plus keeps SQLite from looking at what all people
// of the tenant have of these kinds: sheets for 20,000 would take hours.
const endOfPerson = `UPDATE credential SET ended = ?, why = ? WHERE person = ? AND +tenant = ? AND ended IS NULL
	AND kind IN (SELECT value FROM json_each(?))`

func (t *tx) endCredentials(e *store.CredentialEnd) (int64, error) {
	if e.ID != 0 {
		return t.c.exec(background, "UPDATE credential SET ended = ?, why = ? WHERE id = ? AND ended IS NULL", micros(e.At), e.Why, e.ID)
	}
	if e.Person != 0 {
		return t.c.exec(background, endOfPerson, micros(e.At), e.Why, int64(e.Person), int64(e.Tenant), listOf(e.Kinds))
	}
	return t.c.exec(background, `UPDATE credential SET ended = ?, why = ? WHERE tenant = ? AND ended IS NULL
		AND kind IN (SELECT value FROM json_each(?))`, micros(e.At), e.Why, int64(e.Tenant), listOf(e.Kinds))
}

func (t *tx) putCredential(c *store.Credential) error {
	_, err := t.c.exec(background, `INSERT INTO credential (tenant, person, kind, label, lookup, data, key_version, counter, made, until, by, why)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,'') ON CONFLICT (lookup) DO NOTHING`,
		int64(c.Tenant), int64(c.Person), c.Kind, c.Label, blob(c.Lookup), blob(c.Data), int64(c.KeyVersion), c.Counter, micros(c.Made), micros(c.Until), c.By)
	return err
}

// Advance lets the counter of a credential grow.
func (s *Store) Advance(ctx context.Context, id, to int64) (grown bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		n, err := t.c.exec(background, "UPDATE credential SET counter = ?2 WHERE id = ?1 AND counter < ?2 AND ended IS NULL", id, to)
		grown = n > 0
		return err
	})
	return grown, err
}

// Reseal replaces what is sealed.
func (s *Store) Reseal(ctx context.Context, from int, list []store.Credential) error {
	return s.write(ctx, func(t *tx) error {
		for i := range list {
			c := &list[i]
			_, err := t.c.exec(background, "UPDATE credential SET data = ?, key_version = ? WHERE id = ? AND key_version = ?",
				blob(c.Data), int64(c.KeyVersion), c.ID, int64(from))
			if err != nil {
				return fmt.Errorf("seal credential %d again: %w", c.ID, err)
			}
		}
		return nil
	})
}

// PutSession begins a session or lets one go on.
func (s *Store) PutSession(ctx context.Context, l store.LoggedIn, replaces []byte) error {
	return s.write(ctx, func(t *tx) error {
		if len(replaces) > 0 {
			row, err := t.c.one(background, "SELECT count(*) FROM session WHERE hash IN (?, ?)", replaces, l.Hash)
			if err != nil {
				return fmt.Errorf("find session: %w", err)
			}
			if asInt(row[0]) == 0 {
				return refuse(doppelboden.NotFound, "there is no such session")
			}
		}
		_, err := t.c.exec(background, `INSERT INTO session (hash, tenant, person, needs, source, second, code, state, made, seen, until)
			VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (hash) DO UPDATE SET needs = excluded.needs, source = excluded.source,
			second = excluded.second, code = excluded.code, state = excluded.state, seen = excluded.seen, until = excluded.until`,
			l.Hash, int64(l.Tenant), int64(l.Person), l.Needs, l.Source, l.Second, l.Code, blob(l.State), micros(l.Made), micros(l.Seen), micros(l.Until))
		if err == nil && len(replaces) > 0 && !bytes.Equal(replaces, l.Hash) {
			_, err = t.c.exec(background, "DELETE FROM session WHERE hash = ?", replaces)
		}
		if err != nil {
			return fmt.Errorf("write session: %w", err)
		}
		return nil
	})
}

// SessionOf returns a session by its hash.
func (s *Store) SessionOf(ctx context.Context, hash []byte) (l store.LoggedIn, err error) {
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT tenant, person, needs, source, second, code, state, made, seen, until FROM session WHERE hash = ?", hash)
		if errors.Is(err, errNoRow) {
			return refuse(doppelboden.NotFound, "there is no such session")
		}
		if err != nil {
			return err
		}
		l = store.LoggedIn{Hash: hash, Tenant: doppelboden.TenantID(asInt(row[0])), Person: doppelboden.MailboxID(asInt(row[1])),
			Needs: asText(row[2]), Source: asText(row[3]), Second: asInt(row[4]) != 0, Code: asInt(row[5]), State: asBlob(row[6]),
			Made: asTime(row[7]), Seen: asTime(row[8]), Until: asTime(row[9])}
		return nil
	})
	return l, err
}

// Sessions are looked for by the narrowest that a filter has: of 20,000 people who have logged
// in, one who chooses a password has two.
const (
	sessionsRest = ` AND (?1 IS NULL OR hash = ?1) AND (?2 = 0 OR tenant = ?2) AND (?3 = 0 OR person = ?3)
		AND (?4 = '' OR source = ?4) AND (?5 IS NULL OR hash <> ?5) AND (?6 IS NULL OR seen < ?6) AND (?7 IS NULL OR until <= ?7)`
	endSessionByHash    = "DELETE FROM session WHERE hash = ?1" + sessionsRest
	endSessionsOfPerson = "DELETE FROM session WHERE person = ?3" + sessionsRest
	endSessions         = "DELETE FROM session WHERE true" + sessionsRest
)

// EndSessions removes sessions.
func (s *Store) EndSessions(ctx context.Context, f store.SessionFilter) (ended int, err error) {
	if f.Hash == nil && f.Tenant == 0 && f.Person == 0 && f.Seen.IsZero() && f.Before.IsZero() {
		return 0, &doppelboden.Error{Code: doppelboden.Invalid, Public: "say whose sessions are to end"}
	}
	text := endSessions
	switch {
	case f.Hash != nil:
		text = endSessionByHash
	case f.Person != 0:
		text = endSessionsOfPerson
	}
	err = s.write(ctx, func(t *tx) error {
		n, err := t.c.exec(background, text, blob(f.Hash), int64(f.Tenant), int64(f.Person), f.Source, blob(f.Except), micros(f.Seen), micros(f.Before))
		ended = int(n)
		if err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		return nil
	})
	return ended, err
}
