package app

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/absence"
	"doppelboden/city"
	"doppelboden/clock"
	"doppelboden/intake"
	"doppelboden/store"
)

// openAbsence makes what answers mail for people who are away. The returner, which makes the
// answers, is there before anything is drained.
func (n *Node) openAbsence() error {
	var err error
	n.absence, err = absence.New(absence.Options{
		Serves: n.answersHere, Setting: slips{n}.absence, Claim: slips{n}.claim, Mailbox: n.house.mailbox, NewID: n.intake.NewID,
		Read: func(m *doppelboden.Message) (io.ReadCloser, error) { return n.bodies.Reader(m.Tenant, m.Body) },
		Answer: func(ctx context.Context, a intake.Answer) (bool, error) {
			return n.returner.Answer(ctx, a)
		},
		Older: n.cameBack, Language: n.languageOf, Hostname: n.opts.Node.Hostname, Log: n.log, Registry: n.registry, Clock: n.clock,
	})
	if err != nil {
		return fmt.Errorf("prepare the out-of-office answers: %w", err)
	}
	return nil
}

// answersHere reports whether mail for a mailbox is answered from here for who is away: there
// is no groupware behind it, or it is used here and the groupware does not serve it. After an
// event the groupware serves it again and answers itself, also while somebody still works here.
func (n *Node) answersHere(m doppelboden.MailboxID) bool {
	if n.house.Here(doppelboden.BoxID(m)) {
		return true
	}
	mode := n.modes.Of(m)
	if !mode.Emergency {
		return false
	}
	if mode.Event == 0 {
		return true // somebody says that it does not work for her
	}
	if !n.opts.Node.Has(city.RoleQueue) { // such a node does not know how the groupware is
		return n.lasting.has(mode.Tenant, mode.Event)
	}
	_, _, in := n.events.InOutage(m)
	return in
}

// lastingEvery is the time between two looks which events last, at a node that does not
// decide it.
const lastingEvery = 10 * time.Second

// lasting knows which events last, and which are or were of single mailboxes.
type lasting struct {
	mu      sync.Mutex
	all     map[lastingOne]bool
	singles map[lastingOne]bool
}

// A lastingOne names an event.
type lastingOne struct {
	tenant doppelboden.TenantID
	number int64
}

// has reports whether an event lasts.
func (l *lasting) has(t doppelboden.TenantID, number int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[lastingOne{t, number}]
}

// single reports whether an event, also one that is over, is or was of single mailboxes.
func (l *lasting) single(t doppelboden.TenantID, number int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.singles[lastingOne{t, number}]
}

// read learns from the database which events last. When it can't, none is known to.
func (l *lasting) read(ctx context.Context, s store.Store) error {
	all, singles := map[lastingOne]bool{}, map[lastingOne]bool{}
	err := s.Events(ctx, 0, func(e store.Event) error {
		if e.Until.IsZero() {
			all[lastingOne{e.Tenant, e.Number}] = true
		}
		if e.Minor {
			singles[lastingOne{e.Tenant, e.Number}] = true
		}
		return nil
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = nil
	if err != nil {
		return fmt.Errorf("read which events last: %w", err)
	}
	l.all, l.singles = all, singles
	return nil
}

// workAbsence starts what answers for who is away.
func (n *Node) workAbsence(ctx context.Context) {
	w := &n.working
	w.background(ctx, "out-of-office answers", n.absence.Run)
	if n.opts.Node.Has(city.RoleQueue) {
		return
	}
	w.background(ctx, "which events last", func(ctx context.Context) {
		clock.Every(ctx, n.opts.Timer, lastingEvery, func() {
			if err := n.lasting.read(ctx, n.store); err != nil && ctx.Err() == nil {
				n.log.Warn("nobody is answered for who is away", "err", err)
			}
		})
	})
}

// absence returns what is set for a mailbox.
func (s slips) absence(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (absence.Setting, error) {
	list, err := s.Slips(ctx, t, m, absence.Kind)
	if err != nil || len(list) == 0 {
		return absence.Setting{}, err
	}
	return absence.Decode(list[0].Value)
}

// claim is absence.Options.Claim.
func (s slips) claim(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, key string, at, until time.Time) (bool, error) {
	row := store.Slip{Tenant: t, Mailbox: m, Kind: absence.KindAnswered, Key: key, At: at, Until: until}
	if err := s.seal(&row, nil); err != nil {
		return false, err
	}
	return s.n.store.ClaimSlip(ctx, row)
}
