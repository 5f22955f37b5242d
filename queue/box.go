package queue

import (
	"slices"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A place says where a box is in its lane.
type place int

const (
	nowhere place = iota
	ready         // in lane.ready: it has a turn to come
	waiting       // in lane.waiting: not before box.due
	busy          // in flight, being settled, or being loaded
)

// A box is what has mail waiting in a lane, in order: a mailbox, or a destination. All of it is guarded by lane.mu.
type box struct {
	id       doppelboden.BoxID
	priority int // 0 to 9, 9 goes first

	// queued is how many deliveries wait, in memory or in the store, as far as the lane
	// was told.
	queued int64
	// leaving says that the box goes to another lane when it is no longer busy.
	leaving bool

	// items is the front of the mailbox's queue, the first to go first.
	items []store.Item
	// more says that the store holds queued deliveries that are not in items.
	more bool
	// loading says that the store is being asked; items are not taken from Notify
	// meanwhile, because the answer may hold the same.
	loading bool
	// after is where the next load begins; not 0 only while a load found nothing but
	// mail that is stepped over.
	after int64
	// anew says, while loading, that the store is to be asked once more, from the beginning.
	anew bool
	// touched holds those of items with which people have done something.
	touched map[doppelboden.Ref]bool
	// stepped holds mails that alone were refused for the time being, until their time.
	stepped map[doppelboden.Ref]time.Time

	flying   []doppelboden.Ref // while busy and not loading: what is in flight
	wait     time.Time         // not before this; zero for at once
	gated    bool              // it is the gate that it waits for
	attempts int               // in a row that failed for this mailbox
	oldest   int64             // Seq of the first delivery, for the order between boxes
	since    time.Time         // when its message was received
	newest   time.Time         // when the last message that Notify told of was received

	// overruled holds deliveries that a person decided about while they were in flight:
	// a failure of theirs is not written any more.
	overruled map[doppelboden.Ref]bool

	place place
	side  *side // while ready: in whose list
	index int   // in the heap that holds it
	fresh bool  // in the heap of new mail rather than of backlog
}

// insert puts an item where its Seq belongs.
func (b *box) insert(it store.Item) {
	i, found := slices.BinarySearchFunc(b.items, it.Delivery.Seq, func(e store.Item, seq int64) int {
		return int(e.Delivery.Seq - seq)
	})
	if !found {
		b.items = slices.Insert(b.items, i, it)
	}
}

// reread has the store asked for everything that waits.
func (b *box) reread() { b.more, b.after, b.anew = true, 0, b.loading }

// drop takes the delivery out of items and reports whether it was there.
func (b *box) drop(ref doppelboden.Ref) bool {
	i := slices.IndexFunc(b.items, func(it store.Item) bool { return refOf(it) == ref })
	if i < 0 {
		return false
	}
	b.items = slices.Delete(b.items, i, i+1)
	delete(b.touched, ref)
	return true
}

// failed counts an attempt at the delivery.
func (b *box) failed(ref doppelboden.Ref) {
	for i := range b.items {
		if refOf(b.items[i]) == ref {
			b.items[i].Delivery.Attempts++
		}
	}
}

// empty reports whether nothing at all is left to do for the box.
func (b *box) empty() bool { return len(b.items) == 0 && !b.more && len(b.stepped) == 0 }

// due returns when the box can have its turn.
func (b *box) due() time.Time {
	if len(b.items) > 0 || b.more {
		return b.wait
	}
	var first time.Time
	for _, t := range b.stepped {
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	return first
}

// resume lets stepped mail whose time has come be loaded again, and reports whether
// there was any.
func (b *box) resume(now time.Time) (some bool) {
	for ref, t := range b.stepped {
		if !t.After(now) {
			delete(b.stepped, ref)
			b.more, b.after, some = true, 0, true
		}
	}
	return some
}

// refOf names an item's delivery.
func refOf(it store.Item) doppelboden.Ref {
	return doppelboden.Ref{Message: it.Delivery.Message, N: it.Delivery.N}
}
