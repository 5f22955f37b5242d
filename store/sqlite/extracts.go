package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"doppelboden"
	"doppelboden/store"
)

const (
	// extractsAtOnce is how many extracts one statement reads. One at a time takes twice as
	// long.
	extractsAtOnce = 32
	// extractsPage is how many are read before others have the connection.
	extractsPage = 4 * extractsAtOnce
)

// PutExtracts adds extracts, or replaces them.
func (s *Store) PutExtracts(ctx context.Context, list []store.Extract) error {
	if len(list) == 0 {
		return nil
	}
	return s.write(ctx, func(t *tx) error {
		for i := range list {
			e := &list[i]
			row, err := t.c.one(background, "SELECT num, tenant FROM message WHERE id = ?", e.Message[:])
			if errors.Is(err, errNoRow) {
				continue
			}
			if err != nil {
				return fmt.Errorf("find %s: %w", e.Message, err)
			}
			_, err = t.c.exec(background, `INSERT INTO extract (message, tenant, format, summary, text) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (message) DO UPDATE SET format = excluded.format, summary = excluded.summary, text = excluded.text`,
				row[0], row[1], int64(e.Format), e.Summary, e.Text)
			if err != nil {
				return fmt.Errorf("write the extract of %s: %w", e.Message, err)
			}
		}
		return nil
	})
}

// extractQueries read extracts, with what is asked for.
var extractQueries = map[store.Take]string{
	0:                                  extractQuery("NULL", "NULL"),
	store.TakeSummary:                  extractQuery("e.summary", "NULL"),
	store.TakeText:                     extractQuery("NULL", "e.text"),
	store.TakeSummary | store.TakeText: extractQuery("e.summary", "e.text"),
}

func extractQuery(summary, text string) string {
	return "SELECT m.id, m.key_version, m.body_key, ifnull(e.format, 0), " + summary + ", " + text +
		" FROM message m INDEXED BY message_id LEFT JOIN extract e ON e.message = m.num WHERE m.tenant = ? AND m.id IN (?" +
		strings.Repeat(", ?", extractsAtOnce-1) + ")"
}

// Extracts yields extracts.
func (s *Store) Extracts(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, take store.Take, yield func(store.Extracted) error) error {
	text := extractQueries[take]
	return walk(func() (page []store.Extracted, err error) {
		for len(ids) > 0 && len(page) == 0 && err == nil {
			some := ids[:min(len(ids), extractsPage)]
			ids = ids[len(some):]
			page, err = s.extracts(ctx, t, some, text)
		}
		return page, err
	}, yield)
}

// extracts reads some extracts.
func (s *Store) extracts(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, text string) (page []store.Extracted, err error) {
	err = s.read(ctx, func(c *conn) error {
		page = make([]store.Extracted, 0, len(ids))
		return c.byID(t, ids, text, func(row []driver.Value) error {
			page = append(page, store.Extracted{Message: asID(row[0]), KeyVersion: int(asInt(row[1])), Key: asBlob(row[2]),
				Format: int(asInt(row[3])), Summary: asBlob(row[4]), Text: asBlob(row[5])})
			return nil
		})
	})
	return page, err
}

// Unextracted looks for messages without an extract.
func (s *Store) Unextracted(ctx context.Context, format int, after int64, limit int) (list []doppelboden.ID, next int64, err error) {
	err = s.read(ctx, func(c *conn) error {
		list, next = nil, after
		return c.query(ctx, func(row []driver.Value) error {
			if next = asInt(row[0]); asInt(row[2]) != 0 {
				list = append(list, asID(row[1]))
			}
			return nil
		}, `SELECT m.num, m.id, ifnull(e.format, 0) <> ?1 AND (EXISTS (SELECT 1 FROM delivery d
				WHERE d.seq >= m.num AND d.seq < m.num + m.deliveries AND d.inbox = 1)
				OR EXISTS (SELECT 1 FROM copy c INDEXED BY copy_message WHERE c.message = m.num))
			FROM message m LEFT JOIN extract e ON e.message = m.num WHERE m.num > ?2 ORDER BY m.num LIMIT ?3`,
			int64(format), after, int64(limit))
	})
	return list, next, err
}

// forgetExtract removes that of a message that retention removes.
func (t *tx) forgetExtract(num int64) error {
	_, err := t.c.exec(background, "DELETE FROM extract WHERE message = ?", num)
	return err
}
