package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/tally"
)

const (
	// settleGrace is how long an answer may take from the log to the ledger. It takes
	// milliseconds; a full disk may keep it waiting. Beyond, somebody should look.
	settleGrace = 10 * time.Minute

	// commitSlack is far above the time that a commit can take from its stamp to the
	// moment at which others see it.
	commitSlack = time.Hour
)

// Balance draws the balance sheet of the messages whose ids were made from a time until
// another (zero: until now). It compares three independent counts, and the rows with the
// ledger; see weigh for the rules. It may run while mail flows: what happens meanwhile
// makes no difference. The error says that a source could not be read at all.
//
// The order of reading is what keeps running mail from looking like a fault:
//
//  1. doors: a 250 that is logged by now is in the ledger that is read next;
//  2. rows: a row that is there by now has its entry in the ledger that is read next;
//  3. ledger;
//  4. rows again, and the end of the ledger, for deliveries about which they disagree,
//     until the ledger stands still around a look at the row;
//  5. doors again: a message in the ledger has its intent in the log by now;
//  6. replies: a delivery that the ledger calls delivered has its answer by now;
//  7. the end of the ledger again, for what the replies alone know.
func Balance(ctx context.Context, s Sources, from, to time.Time) (doppelboden.Balance, error) {
	if err := s.validate(); err != nil {
		return doppelboden.Balance{}, fmt.Errorf("draw balance: %w", err)
	}
	now := s.Clock()
	if to.IsZero() || to.After(now) {
		to = now
	}
	w := &weighing{Sources: s, from: from, to: to, now: now, meter: newMeter(s.Progress),
		low: doppelboden.FirstIDAt(from), high: doppelboden.FirstIDAt(to)}
	for parts := uint64(1); ; {
		more, err := w.passes(ctx, parts)
		if err != nil {
			return doppelboden.Balance{}, fmt.Errorf("draw balance: %w", err)
		}
		if more == 0 {
			return w.result(), nil
		}
		parts = more
	}
}

// A weighing is one run of Balance.
type weighing struct {
	Sources
	from, to, now time.Time
	low, high     doppelboden.ID // of the period
	meter         *meter

	sheet  sheet
	damage damages
	blind  map[string]int64 // links of the period whose entries cannot be read, by reason
}

// passes counts everything in so many parts. When one does not fit into memory, it
// returns into how many parts to divide instead.
func (w *weighing) passes(ctx context.Context, parts uint64) (more uint64, err error) {
	w.sheet = sheet{}
	w.damage = damages{}
	p := pass{weighing: w, parts: parts, chains: map[string]int32{}}
	for p.part = 0; p.part < parts; p.part++ {
		p.reset()
		p.closed = false
		w.blind = map[string]int64{} // the same in every pass
		switch err := p.run(ctx); {
		case errors.Is(err, errFull):
			return max(p.wanted, parts*2), nil
		case err != nil:
			return 0, err
		}
		p.weigh()
	}
	return 0, nil
}

// errFull says that a pass met more messages than fit into memory.
var errFull = errors.New("too many messages for one pass")

// A pass counts the messages of one part.
type pass struct {
	*weighing
	table
	part, parts uint64
	wanted      uint64 // how many parts would be enough, after errFull
	chains      map[string]int32
	closed      bool // the replies were read: a later success has its answer after them
	steps       int  // records seen since the context was asked
}

// run reads the sources in the order that Balance explains.
func (p *pass) run(ctx context.Context) error {
	steps := []struct {
		verb string
		do   func(context.Context) error
	}{
		{"read doors", p.doorsBefore},
		{"read rows", p.rows},
		{"read ledger", p.ledger},
		{"compare rows", p.compareRows},
		{"read doors again", p.doorsAfter},
		{"read replies", p.replies},
		{"compare replies", p.compareReplies},
	}
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.verb, err)
		}
	}
	return nil
}

// mine reports whether a message belongs to the period and to this pass.
func (p *pass) mine(id *doppelboden.ID) bool {
	return bytes.Compare(id[:], p.low[:]) >= 0 && bytes.Compare(id[:], p.high[:]) < 0 &&
		(p.parts == 1 || partOf(id, p.parts) == p.part)
}

// tick counts a record for the progress, and looks now and then whether to go on.
func (p *pass) tick(ctx context.Context, step string) error {
	p.meter.step(step)
	if p.steps++; p.steps%1024 == 0 {
		return ctx.Err()
	}
	return nil
}

// room refuses to go on when the pass has become too big.
func (p *pass) room() error {
	if len(p.messages) > p.PerPass+p.PerPass/2 || len(p.all) > max(4*p.PerPass, 2*maxN) {
		return errFull
	}
	return nil
}

// since returns when to begin to read for messages of the period.
func (p *pass) since() time.Time {
	if p.from.IsZero() {
		return p.from
	}
	return p.from.Add(-clockSlack)
}

// doorsBefore reads the doors' log before the ledger. When there are more messages than
// fit, it counts them to the end, so that the next try has the right number of parts.
func (p *pass) doorsBefore(ctx context.Context) error {
	full, intents := false, 0
	err := p.Doors.ReadDoors(p.since(), p.to.Add(clockSlack), func(r tally.DoorRecord) error {
		if err := p.tick(ctx, "doors"); err != nil {
			return err
		}
		if !p.mine(&r.ID) {
			return nil
		}
		if r.Kind == tally.Intent {
			intents++
		}
		if full = full || p.room() != nil; full {
			return nil
		}
		p.door(p.add(r.ID), &r)
		if r.Kind == tally.Sent {
			p.add(r.ID).flags |= isLost // until the ledger shows it
		}
		return nil
	})
	err = p.damage.note(err, p.from, p.to)
	if err == nil && full {
		p.wanted = p.parts * uint64(intents/p.PerPass+1)
		return errFull
	}
	return err
}

// door adds a record of the doors to m.
func (p *pass) door(m *tallied, r *tally.DoorRecord) {
	switch r.Kind {
	case tally.Intent:
		n, ok := small(r.Recipients)
		if !ok {
			m.flags |= isBad
		}
		m.intent = max(m.intent, n)
	case tally.Sent:
		m.flags |= isSent
	}
}

// doorsAfter looks for the intents and fates of messages that were accepted after the
// first look.
func (p *pass) doorsAfter(ctx context.Context) error {
	open := false
	for i := range p.messages {
		m := &p.messages[i]
		open = open || m.is(isAccepted) && !m.is(isGenerated) && (m.intent < 0 || !m.is(isSent))
	}
	if !open {
		return nil
	}
	err := p.Doors.ReadDoors(p.since(), p.to.Add(clockSlack), func(r tally.DoorRecord) error {
		if err := p.tick(ctx, "doors"); err != nil {
			return err
		}
		if m := p.find(r.ID); m != nil && m.is(isAccepted) {
			p.door(m, &r)
		}
		return nil
	})
	return p.damage.note(err, p.from, p.to)
}

// rows reads the delivery rows before the ledger.
func (p *pass) rows(ctx context.Context) error {
	return p.Rows.Deliveries(ctx, store.Filter{}, func(it store.Item) error {
		if err := p.tick(ctx, "rows"); err != nil {
			return err
		}
		id := it.Delivery.Message
		if !p.mine(&id) {
			return nil
		}
		if d := p.delivery(p.add(id), it.Delivery.N); d != nil {
			d.row = narrow(it.Delivery.State) + 1
		}
		return p.room()
	})
}

// ledger reads the entries of all chains.
func (p *pass) ledger(ctx context.Context) error {
	var e doppelboden.Entry
	return p.Ledger.Links(ctx, p.since(), func(l doppelboden.Link) error {
		if len(l.Entries) == 0 {
			if !l.At.Before(p.from) {
				p.blind["are no longer kept"]++
			}
			return ctx.Err()
		}
		chain := p.chain(l.Chain)
		err := eachEntry(l.Entries, &e, func(e *doppelboden.Entry) error {
			if err := p.tick(ctx, "entries"); err != nil || !p.mine(&e.Message) || e.Message.IsZero() {
				return err
			}
			p.entry(p.add(e.Message), e, chain)
			return p.room()
		})
		if errors.Is(err, errEntry) {
			p.blind["are damaged"]++
			return nil
		}
		return err
	})
}

// chain returns a number for a chain.
func (p *pass) chain(name string) int32 {
	n, ok := p.chains[name]
	if !ok {
		n = int32(len(p.chains) + 1)
		p.chains[name] = n
	}
	return n
}

// entry adds an entry of the ledger to m.
func (p *pass) entry(m *tallied, e *doppelboden.Entry, chain int32) {
	switch e.Kind {
	case doppelboden.EntryAccepted:
		p.accepted(m, e, chain)
	case doppelboden.EntrySettled:
		if d := p.delivery(m, e.N); d != nil {
			p.claim(d, e)
			p.settled(d, e, chain)
			if e.State == doppelboden.Queued && strings.HasPrefix(e.By, store.ReplayBy) {
				p.sheet.Replayed++
				d.replayed++
			}
		}
	case doppelboden.EntryExpired:
		m.flags |= isExpired
	}
}

// accepted notes that the ledger has a message.
func (p *pass) accepted(m *tallied, e *doppelboden.Entry, chain int32) {
	if m.is(isAccepted) {
		m.flags |= isTwice
		return
	}
	m.flags |= isAccepted
	if e.Generated {
		m.flags |= isGenerated
	}
	for _, v := range [...]struct {
		to *int32
		of int
	}{{&m.recipients, e.Recipients}, {&m.deliveries, e.Deliveries}, {&m.expanded, e.Expanded}, {&m.merged, e.Merged}} {
		n, ok := small(v.of)
		if !ok {
			m.flags |= isBad
			continue
		}
		*v.to = n
	}
	for _, n := range e.Here {
		d := p.delivery(m, n)
		if d == nil {
			continue
		}
		d.flags |= isHere
		d.deliveredAt = max(d.deliveredAt, e.At.UnixMicro())
		if !d.is(isSettled) {
			d.state, d.lastAt, d.chain = int8(doppelboden.Delivered), e.At.UnixMicro(), chain
		}
	}
}

// settled notes a state of the ledger when it is the newest. Within a chain the order
// counts; between chains the time, because nothing else is known.
func (p *pass) settled(d *counted, e *doppelboden.Entry, chain int32) {
	at := e.At.UnixMicro()
	if e.State == doppelboden.Delivered || e.State == doppelboden.Confirmed {
		d.deliveredAt = max(d.deliveredAt, at)
	}
	if d.is(isSettled) && d.chain != chain && at < d.lastAt {
		return
	}
	d.flags |= isSettled
	d.state, d.lastAt, d.chain = narrow(e.State), at, chain
}

// claim notes that the ledger calls a delivery delivered by the courier, so that there
// must be an answer.
func (p *pass) claim(d *counted, e *doppelboden.Entry) {
	if (e.State == doppelboden.Delivered || e.State == doppelboden.Confirmed) && e.By == courier && !p.closed {
		d.flags |= isClaimed
	}
}

// replies reads what the next servers answered.
func (p *pass) replies(ctx context.Context) error {
	until := p.now.Add(clockSlack)
	err := p.Replies.ReadReplies(p.since(), until, func(r tally.ReplyRecord) error {
		if err := p.tick(ctx, "replies"); err != nil || !p.mine(&r.Ref.Message) {
			return err
		}
		if d := p.delivery(p.add(r.Ref.Message), r.Ref.N); d != nil {
			d.reply(&r)
		}
		return p.room()
	})
	return p.damage.note(err, p.from, until)
}

// reply adds a record of the couriers.
func (d *counted) reply(r *tally.ReplyRecord) {
	d.flags |= isTried
	if r.Kind == tally.Attempt {
		if d.is(isOpen) { // the one before was cut off by a crash
			d.doubt++
		}
		d.flags |= isOpen
		if r.Passing {
			d.flags |= isPassing
		}
		return
	}
	open := d.is(isOpen)
	d.flags &^= isOpen
	if r.InDoubt {
		d.doubt++
	}
	if r.Phase == tally.PhaseFound { // it is what became of an earlier attempt
		if d.took > 0 {
			return
		}
		if !open && d.doubt > 0 {
			d.doubt--
		}
	}
	if r.Verdict == doppelboden.Took {
		d.took++
		d.tookAt = max(d.tookAt, r.At.UnixMicro())
	}
}
