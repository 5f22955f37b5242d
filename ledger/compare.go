package ledger

import (
	"context"
	"errors"

	"doppelboden"
	"doppelboden/store"
)

// A suspect is a delivery about which row and ledger disagreed when they were read.
// Mail that moved between the two readings looks like this for a moment.
type suspect struct {
	id   doppelboden.ID
	n    int
	last newest // when the row had been read
}

// A newest names the last entry of the ledger about a delivery.
type newest struct {
	at      int64
	chain   int32
	state   int8
	expired bool
}

func (m *tallied) newest(d *counted) newest {
	return newest{at: d.lastAt, chain: d.chain, state: d.state, expired: m.is(isExpired)}
}

// differs reports whether the row is not what the ledger makes of it.
func (m *tallied) differs(d *counted) bool {
	if m.is(isExpired) {
		return d.row != 0
	}
	return d.row != d.state+1
}

// compareRows looks again at every delivery whose row is not what the ledger says, until
// both agree or the ledger stands still around a look at the row.
func (p *pass) compareRows(ctx context.Context) error {
	var list []suspect
	for id, i := range p.index {
		m := &p.messages[i]
		if !m.is(isAccepted) || m.is(isBad) {
			continue
		}
		p.touch(m)
		if err := p.room(); err != nil {
			return err
		}
		for n := range p.deliveries(m) {
			if d := &p.all[int(m.base)+n]; m.differs(d) {
				list = append(list, suspect{id: id, n: n, last: m.newest(d)})
			}
		}
	}
	for len(list) > 0 {
		var err error
		if list, err = p.again(ctx, list); err != nil {
			return err
		}
	}
	return nil
}

// touch makes the deliveries of m that the ledger announces exist in the table.
func (p *pass) touch(m *tallied) {
	if m.deliveries > m.used {
		p.delivery(m, int(m.deliveries)-1)
	}
}

// again reads the rows of suspects and then the end of the ledger. Where the ledger has
// nothing new, the row that was read in between should have said the same: these are
// marked. It returns those that moved and still differ.
func (p *pass) again(ctx context.Context, list []suspect) (moving []suspect, err error) {
	known := make(map[doppelboden.ID]bool, len(list))
	for i := range list {
		known[list[i].id] = true
	}
	for id := range known {
		if err := p.rowsOf(ctx, id); err != nil {
			return nil, err
		}
	}
	if err := p.tail(ctx, known); err != nil {
		return nil, err
	}
	for _, s := range list {
		m := p.find(s.id)
		d := &p.all[int(m.base)+s.n]
		switch now := m.newest(d); {
		case !m.differs(d):
		case now == s.last:
			d.flags |= rowDiffers
		default:
			moving = append(moving, suspect{id: s.id, n: s.n, last: now})
		}
	}
	return moving, nil
}

// rowsOf reads the rows of one message again.
func (p *pass) rowsOf(ctx context.Context, id doppelboden.ID) error {
	m := p.find(id)
	for n := range p.deliveries(m) {
		p.all[int(m.base)+n].row = 0
	}
	return p.Rows.Deliveries(ctx, store.Filter{Message: id}, func(it store.Item) error {
		if d := p.delivery(m, it.Delivery.N); d != nil {
			d.row = narrow(it.Delivery.State) + 1
		}
		return ctx.Err()
	})
}

// tail reads what the ledger has written about some messages since shortly before the
// balance began. Reading entries a second time changes nothing.
func (p *pass) tail(ctx context.Context, known map[doppelboden.ID]bool) error {
	var e doppelboden.Entry
	return p.Ledger.Links(ctx, p.now.Add(-commitSlack), func(l doppelboden.Link) error {
		chain := p.chain(l.Chain)
		if len(l.Entries) == 0 {
			return ctx.Err()
		}
		err := eachEntry(l.Entries, &e, func(e *doppelboden.Entry) error {
			if err := p.tick(ctx, "entries"); err != nil || !known[e.Message] {
				return err
			}
			m := p.find(e.Message)
			switch {
			case e.Kind == doppelboden.EntrySettled:
				if d := p.delivery(m, e.N); d != nil {
					p.settled(d, e, chain)
					p.claim(d, e)
				}
			case e.Kind == doppelboden.EntryExpired:
				m.flags |= isExpired
			case e.Kind == doppelboden.EntryAccepted && !m.is(isAccepted):
				m.flags |= isLate
			}
			return nil
		})
		if errors.Is(err, errEntry) {
			return nil // counted before, or found by Verify
		}
		return err
	})
}

// compareReplies looks again into the ledger for what the replies alone know: messages
// that it did not have, and successes that it had not heard of.
func (p *pass) compareReplies(ctx context.Context) error {
	known := map[doppelboden.ID]bool{}
	for id, i := range p.index {
		m := &p.messages[i]
		for n := range p.deliveries(m) {
			d := &p.all[int(m.base)+n]
			if d.unheard() || !m.is(isAccepted) && d.flags&(isTried|isSettled) != 0 {
				known[id] = true
				break
			}
		}
	}
	if len(known) == 0 {
		return nil
	}
	p.closed = true
	return p.tail(ctx, known)
}

// unheard reports whether a next server took the delivery and the ledger does not know.
func (d *counted) unheard() bool {
	state := doppelboden.State(d.state)
	return d.took > 0 && d.tookAt > d.deliveredAt && state != doppelboden.Delivered && state != doppelboden.Confirmed
}
