package postgres

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func TestAnExtractGoesWithItsMessage(t *testing.T) {
	s := openNew(t)
	gone, stays := accept(t, s, 1, 5), accept(t, s, 1, 5)
	for _, m := range []*doppelboden.Message{gone, stays} {
		if err := s.PutExtracts(ctx, []store.Extract{{Message: m.ID, Format: 1, Summary: []byte{1}, Text: []byte{2}}}); err != nil {
			t.Fatal(err)
		}
	}
	lease, err := s.Join(ctx, "node", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ended := doppelboden.Settlement{Ref: doppelboden.Ref{Message: gone.ID}, State: doppelboden.Delivered, At: time.Now()}
	if err := s.Settle(ctx, lease, []doppelboden.Settlement{ended}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Expire(ctx, time.Now().Add(time.Hour), nil, 10); n != 1 || err != nil {
		t.Fatalf("removed %d messages, %v; wanted one", n, err)
	}
	var left int64
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT count(*) FROM extract")
		left = asInt(row[0])
		return err
	})
	if left != 1 || err != nil {
		t.Errorf("%d extracts are left, %v; wanted that of the message that stays", left, err)
	}
}
