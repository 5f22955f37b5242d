package ledger

import (
	"encoding/binary"

	"doppelboden"
)

// maxN bounds the deliveries of one message. The doors allow far fewer; a greater number
// can only be a mistake, and must not cost memory.
const maxN = 1 << 20

// What is known of a message.
const (
	isAccepted  = 1 << iota // the ledger has it
	isTwice                 // the ledger has it more than once
	isGenerated             // the ledger calls it one of ours
	isExpired               // the ledger says that retention removed it
	isSent                  // the door wrote the 250
	isLost                  // the door wrote the 250 before the ledger was read
	isBad                   // a number about it is out of range
	isLate                  // it was accepted while the balance was drawn
)

// A tallied message is what the sources say about one message.
type tallied struct {
	base, room int32 // where its deliveries lie in table.all, and how many fit there
	used       int32 // one more than the greatest N that any source names

	intent     int32 // recipients that the door counted; -1: the door knows nothing
	recipients int32 // as the ledger has them, like those below
	deliveries int32
	expanded   int32
	merged     int32
	flags      uint8
}

func (m *tallied) is(flag uint8) bool { return m.flags&flag != 0 }

// What is known of a delivery.
const (
	isSettled = 1 << iota // the ledger has a state for it
	isHere                // it was delivered by Accept
	isClaimed             // the ledger says that the courier delivered it
	isOpen                // the last attempt has no answer yet
	isTried               // the replies know it
	rowDiffers
	isPassing // the replies know an attempt from before the message was kept
)

// A counted delivery is what the sources say about one delivery.
type counted struct {
	lastAt      int64  // of the state, in microseconds
	deliveredAt int64  // of the latest success in the ledger
	tookAt      int64  // of the latest positive answer
	chain       int32  // that gave the state
	took        uint16 // positive answers
	doubt       uint16 // attempts without a known answer
	replayed    uint16 // how often it was opened again
	state       int8   // the ledger's
	row         int8   // the row's state + 1; 0: there is no row
	flags       uint8
}

func (d *counted) is(flag uint8) bool { return d.flags&flag != 0 }

// A table holds the messages of one pass, without an object for each.
type table struct {
	index    map[doppelboden.ID]int32 // in messages
	messages []tallied
	all      []counted // deliveries of all messages, each message's side by side
}

func (t *table) reset() {
	if t.index == nil {
		t.index = map[doppelboden.ID]int32{}
	}
	clear(t.index)
	t.messages, t.all = t.messages[:0], t.all[:0]
}

// find returns a message that is in the table, or nil. The pointer is good until the
// next call of add.
func (t *table) find(id doppelboden.ID) *tallied {
	if i, ok := t.index[id]; ok {
		return &t.messages[i]
	}
	return nil
}

// add returns a message and puts it into the table if need be.
func (t *table) add(id doppelboden.ID) *tallied {
	if m := t.find(id); m != nil {
		return m
	}
	t.index[id] = int32(len(t.messages))
	t.messages = append(t.messages, tallied{intent: -1})
	return &t.messages[len(t.messages)-1]
}

// delivery returns delivery n of m, or nil when n is out of range; m is then marked. The
// pointer is good until the next call.
func (t *table) delivery(m *tallied, n int) *counted {
	if n < 0 || n >= maxN {
		m.flags |= isBad
		return nil
	}
	t.reserve(m, int32(n)+1)
	m.used = max(m.used, int32(n)+1)
	return &t.all[m.base+int32(n)]
}

// reserve makes room for n deliveries of m: where they lie when these are the last,
// otherwise at the end, and then for twice as many as before.
func (t *table) reserve(m *tallied, n int32) {
	if n <= m.room {
		return
	}
	if m.room > 0 && int(m.base+m.room) == len(t.all) {
		t.all = append(t.all, make([]counted, n-m.room)...)
		m.room = n
		return
	}
	room := max(n, 2*m.room)
	base := int32(len(t.all))
	t.all = append(t.all, make([]counted, room)...)
	copy(t.all[base:], t.all[m.base:m.base+m.room])
	m.base, m.room = base, room
}

// deliveries returns the deliveries of m that any source names.
func (t *table) deliveries(m *tallied) []counted { return t.all[m.base : m.base+m.used] }

// partOf tells in which of parts passes a message is counted. Multiplying by an odd
// number and taking the upper half spreads ids that differ in few bits.
func partOf(id *doppelboden.ID, parts uint64) uint64 {
	h := binary.BigEndian.Uint64(id[0:8]) ^ binary.BigEndian.Uint64(id[8:16])
	return h * 0x9E3779B97F4A7C15 >> 32 % parts
}

// noState stands for a state that does not exist.
const noState = 100

// narrow returns a state as the table keeps it.
func narrow(s doppelboden.State) int8 {
	if s < doppelboden.Queued || s > doppelboden.Discarded {
		return noState
	}
	return int8(s)
}

// small returns v as an int32 and whether it fits.
func small(v int) (int32, bool) {
	return int32(v), v >= 0 && v <= maxN
}
