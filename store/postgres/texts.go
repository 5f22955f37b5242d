package postgres

import (
	"context"

	"doppelboden"
	"doppelboden/store"
)

// textColumns are what readText reads.
const textColumns = "m.id, m.scan, m.segment, m.start, m.size, m.key_version, m.body_key, m.sum, m.prefix"

// readText reads textColumns.
func readText(t doppelboden.TenantID, r row) *doppelboden.Message {
	return &doppelboden.Message{
		ID: asID(r[0]), Tenant: t, Scan: doppelboden.ScanState(asInt(r[1])),
		Body: doppelboden.Body{Segment: asText(r[2]), Offset: asInt(r[3]), Size: asInt(r[4]), KeyVersion: int(asInt(r[5])),
			Key: asBlob(r[6]), Sum: asSum(r[7])},
		Prefix: asBlob(r[8]),
	}
}

// textsAt reads what Texts yields.
const textsAt = "SELECT c.uid, " + textColumns + ` FROM copy c JOIN message m ON m.num = c.message
	WHERE c.mailbox = $1 AND c.folder = $2 AND c.uid >= $3 AND c.uid <= $4 AND c.tenant = $5 AND m.tenant = $5 ORDER BY c.uid`

// Texts yields what is needed to read mails of a folder.
func (s *Store) Texts(ctx context.Context, at store.Place, from, to uint32, yield func(uid uint32, m *doppelboden.Message) error) error {
	var uids []uint32
	var list []*doppelboden.Message
	err := s.readAs(ctx, at.Tenant, func(c *conn) error {
		uids, list = uids[:0], list[:0]
		return c.query(ctx, func(r row) error {
			uids, list = append(uids, uint32(asInt(r[0]))), append(list, readText(at.Tenant, r[1:]))
			return nil
		}, textsAt, int64(at.Mailbox), at.Folder, int64(from), int64(to), int64(at.Tenant))
	})
	for i := 0; i < len(list) && err == nil; i++ {
		err = yield(uids[i], list[i])
	}
	return err
}

// textsOf reads what TextsOf yields.
const textsOf = "SELECT " + textColumns + " FROM unnest($1::bytea[]) u (id) JOIN message m ON m.id = u.id WHERE m.tenant = $2"

// TextsOf yields what is needed to read messages.
func (s *Store) TextsOf(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, yield func(*doppelboden.Message) error) error {
	return walk(func() (page []*doppelboden.Message, err error) {
		for len(ids) > 0 && len(page) == 0 && err == nil {
			list := make([][]byte, min(len(ids), extractsAtOnce))
			for i := range list {
				list[i] = ids[i][:]
			}
			ids = ids[len(list):]
			err = s.readAs(ctx, t, func(c *conn) error {
				page = page[:0]
				return c.query(ctx, func(r row) error {
					page = append(page, readText(t, r))
					return nil
				}, textsOf, list, int64(t))
			})
		}
		return page, err
	}, yield)
}
