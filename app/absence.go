package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"doppelboden"
	"doppelboden/absence"
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
	_, _, in := n.events.InOutage(m)
	return in || mode.Event == 0 // somebody says that it does not work for her
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
