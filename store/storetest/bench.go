package storetest

import (
	"fmt"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// BenchFolders measures what doors ask of mailboxes, small ones and large ones.
func BenchFolders(b *testing.B, open Open) {
	b.Run("first look at 600 mails", func(b *testing.B) {
		w := newWorld(b, open)
		boxes := w.manyBoxes(b.N)
		w.fill(boxes, 600)
		b.ResetTimer()
		for _, box := range boxes {
			w.look(inbox(box))
		}
	})
	for _, size := range []int{50, 50_000} {
		b.Run(fmt.Sprintf("of %d", size), func(b *testing.B) { benchMailbox(b, open, size) })
	}
}

// benchMailbox measures a mailbox that shows so many mails.
func benchMailbox(b *testing.B, open Open, size int) {
	w := newWorld(b, open)
	w.fill(w.manyBoxes(20), max(1, size/100)) // others' mail lies between its own
	box := w.boxes[0]
	at := inbox(box)
	w.fill([]doppelboden.Mailbox{box, w.boxes[1]}, size)
	w.look(at)
	akten := w.folder(box, "Akten", store.UseNone)
	b.Run("look, nothing new", func(b *testing.B) {
		for b.Loop() {
			w.look(at)
		}
	})
	b.Run("folders", func(b *testing.B) {
		for b.Loop() {
			w.folders(box)
		}
	})
	b.Run("newest page of 50", func(b *testing.B) {
		for b.Loop() {
			if got := w.shown(at, store.ShownFilter{Newest: true, Limit: 50}); len(got) != 50 {
				b.Fatalf("%d mails", len(got))
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			if got := w.shown(at, store.ShownFilter{}); len(got) != size {
				b.Fatalf("%d mails", len(got))
			}
		}
	})
	for _, n := range []int{1, 1000} {
		if n > size {
			continue
		}
		list := make([]uint32, n)
		for i := range list {
			list[i] = uint32(1 + i*size/n)
		}
		flags := uint32(0)
		b.Run(fmt.Sprintf("flag %d", n), func(b *testing.B) {
			for b.Loop() {
				flags ^= doppelboden.Seen
				w.carry(store.Change{Place: at, Action: store.ActFlag, UIDs: list, Set: flags, Clear: doppelboden.Seen &^ flags, Deed: true})
			}
		})
		b.Run(fmt.Sprintf("move %d there and back", n), func(b *testing.B) {
			moved := list
			for b.Loop() {
				for _, way := range [][2]int64{{1, akten.Folder}, {akten.Folder, 1}} {
					from := at
					from.Folder = way[0]
					done := w.carry(store.Change{Place: from, Action: store.ActMove, UIDs: moved, To: way[1], Deed: true})
					moved = make([]uint32, 0, n)
					for _, one := range done[0] {
						moved = append(moved, one.NewUID)
					}
				}
			}
			list = moved
		})
	}
}

// manyBoxes makes mailboxes.
func (w *world) manyBoxes(n int) []doppelboden.Mailbox {
	w.t.Helper()
	list := make([]doppelboden.Mailbox, n)
	for i := range list {
		list[i] = doppelboden.Mailbox{Tenant: w.tenants[0].ID, Address: addr(fmt.Sprintf("person%d", i), "stadt.example")}
	}
	put, err := w.s.PutMailboxes(ctx, list)
	w.must(err)
	return put
}

// fill drains so many mails for each of the mailboxes, in turn.
func (w *world) fill(boxes []doppelboden.Mailbox, each int) {
	w.t.Helper()
	l := w.landing("landing/" + time.Now().Format(time.RFC3339Nano))
	var list []*doppelboden.Message
	flush := func() {
		if len(list) > 0 {
			w.drain(l.keep(list...))
		}
		list = nil
	}
	for range each {
		for _, box := range boxes {
			m := w.message(box)
			m.Prefix, m.Deliveries[0].State = make([]byte, 230), doppelboden.Delivered
			if list = append(list, m); len(list) == 1000 {
				flush()
			}
		}
	}
	flush()
}
