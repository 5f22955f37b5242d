package sqlite

import (
	"context"
	"database/sql/driver"
	"strings"

	"doppelboden"
	"doppelboden/store"
)

// textColumns are what readText reads.
const textColumns = "m.id, m.scan, g.name, m.offset, m.size, m.key_version, m.body_key, m.sum, m.prefix"

// readText reads textColumns.
func readText(t doppelboden.TenantID, row []driver.Value) *doppelboden.Message {
	return &doppelboden.Message{
		ID: asID(row[0]), Tenant: t, Scan: doppelboden.ScanState(asInt(row[1])),
		Body: doppelboden.Body{Segment: asText(row[2]), Offset: asInt(row[3]), Size: asInt(row[4]), KeyVersion: int(asInt(row[5])),
			Key: asBlob(row[6]), Sum: asSum(row[7])},
		Prefix: asBlob(row[8]),
	}
}

// textsAt reads what Texts yields.
const textsAt = "SELECT c.uid, " + textColumns + ` FROM copy c INDEXED BY copy_uid CROSS JOIN message m ON m.num = c.message CROSS JOIN segment g ON g.num = m.segment
	WHERE c.mailbox = ?1 AND c.folder = ?2 AND c.uid >= ?3 AND c.uid <= ?4 AND c.tenant = ?5 ORDER BY c.uid`

// Texts yields what is needed to read mails of a folder.
func (s *Store) Texts(ctx context.Context, at store.Place, from, to uint32, yield func(uid uint32, m *doppelboden.Message) error) error {
	var uids []uint32
	var list []*doppelboden.Message
	err := s.read(ctx, func(c *conn) error {
		uids, list = uids[:0], list[:0]
		return c.query(ctx, func(row []driver.Value) error {
			uids, list = append(uids, uint32(asInt(row[0]))), append(list, readText(at.Tenant, row[1:]))
			return nil
		}, textsAt, int64(at.Mailbox), at.Folder, int64(from), int64(to), int64(at.Tenant))
	})
	for i := 0; i < len(list) && err == nil; i++ {
		err = yield(uids[i], list[i])
	}
	return err
}

// textsOf reads what TextsOf yields, some messages at a time.
var textsOf = "SELECT " + textColumns + ` FROM message m INDEXED BY message_id CROSS JOIN segment g ON g.num = m.segment
	WHERE m.tenant = ? AND m.id IN (?` + strings.Repeat(", ?", extractsAtOnce-1) + ")"

// TextsOf yields what is needed to read messages.
func (s *Store) TextsOf(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, yield func(*doppelboden.Message) error) error {
	return walk(func() (page []*doppelboden.Message, err error) {
		for len(ids) > 0 && len(page) == 0 && err == nil {
			some := ids[:min(len(ids), extractsPage)]
			ids = ids[len(some):]
			err = s.read(ctx, func(c *conn) error {
				page = page[:0]
				return c.byID(t, some, textsOf, func(row []driver.Value) error {
					page = append(page, readText(t, row))
					return nil
				})
			})
		}
		return page, err
	}, yield)
}

// byID runs a query over messages of a tenant, extractsAtOnce at a time.
func (c *conn) byID(t doppelboden.TenantID, ids []doppelboden.ID, query string, each func(row []driver.Value) error) error {
	var args [1 + extractsAtOnce]driver.Value
	args[0] = int64(t)
	for len(ids) > 0 {
		for i := range extractsAtOnce { // what is named twice is found once
			args[1+i] = ids[min(i, len(ids)-1)][:]
		}
		ids = ids[min(extractsAtOnce, len(ids)):]
		// Not with ctx: the driver would start a goroutine to watch it, for some microseconds.
		if err := c.query(background, each, query, args[:]...); err != nil {
			return err
		}
	}
	return nil
}
