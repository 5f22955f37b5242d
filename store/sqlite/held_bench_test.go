package sqlite

import (
	"fmt"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

const benchHeld = 100_000

// BenchmarkHundredThousandHeld measures what the commands and the appeals ask of 100,000
// held deliveries for 1,000 mailboxes in five groups.
func BenchmarkHundredThousandHeld(b *testing.B) {
	s := openNew(b)
	lease, err := s.Join(ctx, "n", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	var made realistic
	var list []doppelboden.Settlement
	var messages []*doppelboden.Message
	for i := range benchHeld {
		m := made.message(i)
		list = append(list, doppelboden.Settlement{Ref: doppelboden.Ref{Message: m.ID}, Box: doppelboden.BoxID(m.Deliveries[0].Mailbox),
			State: doppelboden.Held, At: time.Now(), By: "courier", Hold: doppelboden.Hold{Reason: doppelboden.HeldAddress, Route: fmt.Sprintf("stadt/r%d", i%5)},
			Reply: fmt.Sprintf("rcpt 10.0.0.1:24: 550 5.1.1 <%s> User doesn't exist: %[1]s", m.Deliveries[0].Recipient)})
		if messages = append(messages, m); len(list) == 500 {
			err := s.write(ctx, func(t *tx) error {
				for _, m := range messages {
					if _, _, err := t.accept(m); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			messages = nil
			if err := s.Settle(ctx, lease, list); err != nil {
				b.Fatal(err)
			}
			list = nil
		}
	}
	b.Logf("100,000 held in %v", time.Since(began).Round(time.Millisecond))
	var group string
	b.Run("groups", func(b *testing.B) {
		for b.Loop() {
			n := int64(0)
			if err := s.HeldGroups(ctx, 0, func(g store.HeldGroup) error { n += g.Deliveries; group = g.Group; return nil }); err != nil || n != benchHeld {
				b.Fatalf("%d held, %v", n, err)
			}
		}
	})
	b.Run("refused boxes", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if err := s.RefusedBoxes(ctx, func(store.RefusedBox) error { n++; return nil }); err != nil || n < 1000 {
				b.Fatalf("%d boxes, %v", n, err)
			}
		}
	})
	b.Run("box of a group", func(b *testing.B) {
		for b.Loop() {
			n := 0
			f := store.Filter{Group: group, Box: 7, States: []doppelboden.State{doppelboden.Held}, Limit: 200}
			if err := s.Deliveries(ctx, f, func(store.Item) error { n++; return nil }); err != nil || n == 0 {
				b.Fatalf("%d members, %v", n, err)
			}
		}
	})
	b.Run("all of a group", func(b *testing.B) {
		for b.Loop() {
			n := 0
			f := store.Filter{Group: group, States: []doppelboden.State{doppelboden.Held}}
			if err := s.Deliveries(ctx, f, func(store.Item) error { n++; return nil }); err != nil || n != benchHeld/5 {
				b.Fatalf("%d members, %v", n, err)
			}
		}
	})
}
