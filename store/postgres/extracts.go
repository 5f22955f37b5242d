package postgres

import (
	"context"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// extractsAtOnce is how many extracts one read takes before others have the connection.
const extractsAtOnce = 256

// PutExtracts adds extracts, or replaces them.
func (s *Store) PutExtracts(ctx context.Context, list []store.Extract) error {
	if len(list) == 0 {
		return nil
	}
	ids, formats := make([][]byte, len(list)), make([]int64, len(list))
	summaries, texts := make([][]byte, len(list)), make([][]byte, len(list))
	for i := range list {
		e := &list[i]
		ids[i], formats[i], summaries[i], texts[i] = e.Message[:], int64(e.Format), e.Summary, e.Text
	}
	return s.write(ctx, func(t *tx) error {
		// No other node removes the messages until the commit.
		err := t.query(nil, `SELECT m.num FROM message m JOIN unnest($1::bytea[]) u (id) ON m.id = u.id ORDER BY m.num FOR KEY SHARE OF m`, ids)
		if err != nil {
			return fmt.Errorf("find the messages of extracts: %w", err)
		}
		_, err = t.exec(`INSERT INTO extract (message, tenant, format, summary, text)
			SELECT m.num, m.tenant, u.format, u.summary, u.text
			FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bytea[]) u (id, format, summary, text) JOIN message m ON m.id = u.id
			ORDER BY m.num
			ON CONFLICT (message) DO UPDATE SET format = excluded.format, summary = excluded.summary, text = excluded.text`,
			ids, formats, summaries, texts)
		if err != nil {
			return fmt.Errorf("write extracts: %w", err)
		}
		return nil
	})
}

// extractQueries read extracts, with what is asked for.
var extractQueries = map[store.Take]string{
	0:                                  extractQuery("NULL::bytea", "NULL::bytea"),
	store.TakeSummary:                  extractQuery("e.summary", "NULL::bytea"),
	store.TakeText:                     extractQuery("NULL::bytea", "e.text"),
	store.TakeSummary | store.TakeText: extractQuery("e.summary", "e.text"),
}

func extractQuery(summary, text string) string {
	return "SELECT m.id, m.key_version, m.body_key, coalesce(e.format, 0), " + summary + ", " + text +
		" FROM unnest($1::bytea[]) u (id) JOIN message m ON m.id = u.id LEFT JOIN extract e ON e.message = m.num WHERE m.tenant = $2"
}

// Extracts yields extracts.
func (s *Store) Extracts(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, take store.Take, yield func(store.Extracted) error) error {
	text := extractQueries[take]
	return walk(func() (page []store.Extracted, err error) {
		for len(ids) > 0 && len(page) == 0 && err == nil {
			some := ids[:min(len(ids), extractsAtOnce)]
			ids = ids[len(some):]
			page, err = s.extracts(ctx, t, some, text)
		}
		return page, err
	}, yield)
}

// extracts reads some extracts.
func (s *Store) extracts(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, text string) (page []store.Extracted, err error) {
	list := make([][]byte, len(ids))
	for i := range ids {
		list[i] = ids[i][:]
	}
	err = s.readAs(ctx, t, func(c *conn) error {
		page = make([]store.Extracted, 0, len(ids))
		return c.query(ctx, func(r row) error {
			page = append(page, store.Extracted{Message: asID(r[0]), KeyVersion: int(asInt(r[1])), Key: asBlob(r[2]),
				Format: int(asInt(r[3])), Summary: asBlob(r[4]), Text: asBlob(r[5])})
			return nil
		}, text, list, int64(t))
	})
	return page, err
}

// unextractedQuery looks at messages by their numbers. OFFSET 0 keeps what is asked about
// each from becoming a join.
const unextractedQuery = `SELECT m.num, m.id, coalesce(e.format, 0) <> $1 AND (EXISTS (SELECT FROM delivery d
		WHERE d.seq >= m.num AND d.seq < m.num + m.deliveries AND d.inbox OFFSET 0)
		OR EXISTS (SELECT FROM copy c WHERE c.message + 0 = m.num OFFSET 0))
	FROM (SELECT num, id, deliveries FROM message WHERE num > $2 ORDER BY num LIMIT $3) m
	LEFT JOIN extract e ON e.message = m.num ORDER BY m.num`

// Unextracted looks for messages without an extract.
func (s *Store) Unextracted(ctx context.Context, format int, after int64, limit int) (list []doppelboden.ID, next int64, err error) {
	err = s.read(ctx, func(c *conn) error {
		list, next = nil, after
		return c.query(ctx, func(r row) error {
			if next = asInt(r[0]); asBool(r[2]) {
				list = append(list, asID(r[1]))
			}
			return nil
		}, unextractedQuery, int64(format), after, int64(limit))
	})
	return list, next, err
}

// forgetExtracts removes those of messages that retention removes.
func (t *tx) forgetExtracts(nums []int64) error {
	_, err := t.exec("DELETE FROM extract WHERE message = ANY ($1::bigint[])", nums)
	return err
}
