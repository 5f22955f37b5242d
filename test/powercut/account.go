package main

import (
	"fmt"
	"sync"

	"doppelboden/test/powercut/letter"
	"doppelboden/test/powercut/wire"
)

// An account is the host's own book of every letter, over all boots of a run. It lives
// outside the machine and survives every cut.
type account struct {
	mu      sync.Mutex
	boot    int             // the present one; letters sent in it carry its number
	dark    bool            // the power is off: what arrives now was said before, or means nothing
	lines   int             // heard so far
	acks    int             // of this boot
	letters map[int64]*fate // by number
	boxes   map[int]*box    // by mailbox
	doubles int             // deliveries that came twice and were in flight at a cut
	foul    []string        // what must never happen, in words
	events  chan wire.Line  // what a watch waits for: the first of a kind in a boot
}

// A fate is what became of a letter.
type fate struct {
	boot     int          // in which it was sent
	sent     int          // number of the line that said that its final dot goes out
	answered int          // number of the line that said that its 250 was read; 0: none, or without power
	refused  bool         // it got something else, or the connection broke
	got      map[int]come // by mailbox
}

// A come is what is known of one letter in one mailbox.
type come struct {
	boot    int  // in which it came last
	settled bool // the node has this in writing, on the disk
}

// A box is one mailbox.
type box struct {
	last    int64           // the letter that came last
	waiting map[int64]*fate // acknowledged letters that have not come
}

func newAccount() *account {
	a := &account{letters: map[int64]*fate{}, boxes: map[int]*box{}}
	for i := range letter.Mailboxes {
		a.boxes[i] = &box{waiting: map[int64]*fate{}}
	}
	return a
}

// hear enters one line of the guest.
func (a *account) hear(l wire.Line) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines++
	switch l.Kind {
	case wire.Sending:
		a.letters[l.Number] = &fate{boot: a.boot, sent: a.lines, got: map[int]come{}}
	case wire.Acked:
		a.ack(l)
	case wire.Refused:
		if f := a.letters[l.Number]; f != nil {
			f.refused = true
		}
	case wire.Delivered:
		a.deliver(l)
	case wire.Damaged:
		a.blame("damaged: letter %d to mailbox %d: %s", l.Number, l.Mailbox, l.Text)
	case wire.Balance:
		a.settleAll()
		a.events <- l
	default:
		a.events <- l
	}
}

// ack enters a 250. One that was read without power promises nothing.
func (a *account) ack(l wire.Line) {
	f := a.letters[l.Number]
	if f == nil || a.dark {
		return
	}
	f.answered = a.lines
	for _, m := range letter.Recipients(l.Number) {
		if _, came := f.got[m]; !came {
			a.boxes[m].waiting[l.Number] = f
		}
	}
	if a.acks++; a.acks == 1 {
		a.events <- l
	}
}

// deliver enters what the groupware has taken.
func (a *account) deliver(l wire.Line) {
	f, b := a.letters[l.Number], a.boxes[l.Mailbox]
	if f == nil || b == nil {
		a.blame("letter %d came to mailbox %d and was never sent", l.Number, l.Mailbox)
		return
	}
	a.settle(b, l.Mailbox)
	if before, again := f.got[l.Mailbox]; again {
		a.repeat(l, before)
	} else {
		a.inOrder(l, f, b)
	}
	delete(b.waiting, l.Number)
	f.got[l.Mailbox], b.last = come{boot: a.boot}, l.Number
}

// settle notes that the letter that came last to a mailbox is settled: within a boot the
// node hands over the next one to the same mailbox only after that.
func (a *account) settle(b *box, mailbox int) {
	if f := a.letters[b.last]; f != nil && f.got[mailbox].boot == a.boot {
		f.got[mailbox] = come{a.boot, true}
	}
}

// settleAll notes that everything that has come is settled: nothing is left to be handed
// over.
func (a *account) settleAll() {
	for _, f := range a.letters {
		for m, c := range f.got {
			f.got[m] = come{c.boot, true}
		}
	}
}

// repeat judges a letter that has come to this mailbox before. It may only when a cut
// fell before that was settled.
func (a *account) repeat(l wire.Line, before come) {
	switch {
	case before.boot == a.boot:
		a.blame("letter %d came to mailbox %d twice without a cut between", l.Number, l.Mailbox)
	case before.settled:
		a.blame("letter %d came to mailbox %d again in boot %d although that was settled in boot %d", l.Number, l.Mailbox, a.boot, before.boot)
	default:
		a.doubles++
	}
}

// inOrder looks for letters that were acknowledged before this one's final dot was sent
// and should have come before it: within a mailbox the first in is the first out, also
// over a cut.
func (a *account) inOrder(l wire.Line, f *fate, b *box) {
	for number, earlier := range b.waiting {
		if earlier.answered < f.sent {
			a.blame("letter %d came to mailbox %d before letter %d, which was acknowledged before it was sent", l.Number, l.Mailbox, number)
			return
		}
	}
}

// blame notes what must never happen; a hundred of them are enough to know.
func (a *account) blame(format string, args ...any) {
	if len(a.foul) < 100 {
		a.foul = append(a.foul, fmt.Sprintf(format, args...))
	}
}

// powerGone notes that the power is off.
func (a *account) powerGone() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dark = true
}

// begin begins a boot and returns where its events come.
func (a *account) begin(boot int) <-chan wire.Line {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.boot, a.dark, a.acks = boot, false, 0
	// More than one boot can ever have, for each kind of event comes once.
	a.events = make(chan wire.Line, 16)
	return a.events
}

// A Count is what is known about the letters that were sent in one boot.
type Count struct {
	Acknowledged int `json:"acknowledged"` // letters whose 250 was read before the cut
	Refused      int `json:"refused"`      // letters that got something else
	InFlight     int `json:"in_flight"`    // letters whose final dot was sent and whose answer was not read before the cut
	Found        int `json:"found"`        // acknowledged letters that came to all their mailboxes, byte for byte
	Missing      int `json:"missing"`      // acknowledged letters that did not
	Kept         int `json:"kept"`         // letters in flight that were kept although nobody read the 250
}

// sent counts what happened to the letters of a boot until its cut.
func (a *account) sent(boot int) Count {
	a.mu.Lock()
	defer a.mu.Unlock()
	var c Count
	for _, f := range a.letters {
		switch {
		case f.boot != boot:
		case f.answered > 0:
			c.Acknowledged++
		case f.refused:
			c.Refused++
		default:
			c.InFlight++
		}
	}
	return c
}

// arrived adds to c what has come of the letters of a boot; it is called when the node
// says that nothing is left to be handed over. A letter that came to some of its
// mailboxes only is foul, whether acknowledged or not.
func (a *account) arrived(boot int, c Count) Count {
	a.mu.Lock()
	defer a.mu.Unlock()
	for number, f := range a.letters {
		if f.boot != boot {
			continue
		}
		want := len(letter.Recipients(number))
		switch {
		case f.answered > 0 && len(f.got) == want:
			c.Found++
		case f.answered > 0:
			c.Missing++
		case len(f.got) == want:
			c.Kept++
		case len(f.got) > 0:
			a.blame("letter %d, not acknowledged, came to %d of its %d mailboxes", number, len(f.got), want)
		}
	}
	return c
}

// takeDoubles returns how many deliveries came twice since it was last asked.
func (a *account) takeDoubles() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.doubles
	a.doubles = 0
	return n
}

// deliveries counts what has come to the groupware, each once.
func (a *account) deliveries() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	var n int64
	for _, f := range a.letters {
		n += int64(len(f.got))
	}
	return n
}

// fouls returns what must never happen and did.
func (a *account) fouls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.foul...)
}
