package sqlite

import (
	"context"
	"database/sql/driver"
	"testing"

	"doppelboden/store"
)

func TestASegmentThatWasMovedOutOfIsForgotten(t *testing.T) {
	s := openNew(t)
	m := accept(t, s)
	for _, name := range []string{"20260101/0000000000000001.big", "20260131/0000000000000002.big", "20260301/0000000000000003.big"} {
		b := m.Body
		b.Segment = name
		if err := s.Rewrap(ctx, []store.BodyOf{{Tenant: m.Tenant, Message: m.ID, Body: b}}); err != nil {
			t.Fatal(err)
		}
	}
	n := int64(0)
	err := s.read(ctx, func(c *conn) error {
		return c.query(context.Background(), func(row []driver.Value) error { n = asInt(row[0]); return nil }, "SELECT count(*) FROM segment")
	})
	if err != nil || n != 1 {
		t.Errorf("one body that moved three times: %d names of segments (%v), want 1", n, err)
	}
}
