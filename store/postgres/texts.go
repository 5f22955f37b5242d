package postgres

import (
	"context"

	"doppelboden"
	"doppelboden/store"
)

// textsAt reads what Texts yields.
const textsAt = `SELECT c.uid, m.id, m.scan, m.segment, m.start, m.size, m.key_version, m.body_key, m.sum, m.prefix
	FROM copy c JOIN message m ON m.num = c.message
	WHERE c.mailbox = $1 AND c.folder = $2 AND c.uid >= $3 AND c.uid <= $4 AND c.tenant = $5 AND m.tenant = $5 ORDER BY c.uid`

// Texts yields what is needed to read mails of a folder.
func (s *Store) Texts(ctx context.Context, at store.Place, from, to uint32, yield func(uid uint32, m *doppelboden.Message) error) error {
	var uids []uint32
	var list []*doppelboden.Message
	err := s.readAs(ctx, at.Tenant, func(c *conn) error {
		uids, list = uids[:0], list[:0]
		return c.query(ctx, func(r row) error {
			uids = append(uids, uint32(asInt(r[0])))
			list = append(list, &doppelboden.Message{
				ID: asID(r[1]), Tenant: at.Tenant, Scan: doppelboden.ScanState(asInt(r[2])),
				Body: doppelboden.Body{Segment: asText(r[3]), Offset: asInt(r[4]), Size: asInt(r[5]), KeyVersion: int(asInt(r[6])),
					Key: asBlob(r[7]), Sum: asSum(r[8])},
				Prefix: asBlob(r[9]),
			})
			return nil
		}, textsAt, int64(at.Mailbox), at.Folder, int64(from), int64(to), int64(at.Tenant))
	})
	for i := 0; i < len(list) && err == nil; i++ {
		err = yield(uids[i], list[i])
	}
	return err
}
