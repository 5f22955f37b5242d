package sqlite

import (
	"context"
	"database/sql/driver"

	"doppelboden"
	"doppelboden/store"
)

// textsAt reads what Texts yields.
const textsAt = `SELECT c.uid, m.id, m.scan, g.name, m.offset, m.size, m.key_version, m.body_key, m.sum, m.prefix
	FROM copy c INDEXED BY copy_uid CROSS JOIN message m ON m.num = c.message CROSS JOIN segment g ON g.num = m.segment
	WHERE c.mailbox = ?1 AND c.folder = ?2 AND c.uid >= ?3 AND c.uid <= ?4 AND c.tenant = ?5 ORDER BY c.uid`

// Texts yields what is needed to read mails of a folder.
func (s *Store) Texts(ctx context.Context, at store.Place, from, to uint32, yield func(uid uint32, m *doppelboden.Message) error) error {
	var uids []uint32
	var list []*doppelboden.Message
	err := s.read(ctx, func(c *conn) error {
		uids, list = uids[:0], list[:0]
		return c.query(ctx, func(row []driver.Value) error {
			uids = append(uids, uint32(asInt(row[0])))
			list = append(list, &doppelboden.Message{
				ID: asID(row[1]), Tenant: at.Tenant, Scan: doppelboden.ScanState(asInt(row[2])),
				Body: doppelboden.Body{Segment: asText(row[3]), Offset: asInt(row[4]), Size: asInt(row[5]), KeyVersion: int(asInt(row[6])),
					Key: asBlob(row[7]), Sum: asSum(row[8])},
				Prefix: asBlob(row[9]),
			})
			return nil
		}, textsAt, int64(at.Mailbox), at.Folder, int64(from), int64(to), int64(at.Tenant))
	})
	for i := 0; i < len(list) && err == nil; i++ {
		err = yield(uids[i], list[i])
	}
	return err
}
