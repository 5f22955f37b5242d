package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/intake"
)

// personPrefix marks names of people among those of the city's own senders, which begin
// with the name of a tenant and have no colon. Behind it stand her number and that of the
// password that let her program in, such as "person:12/345".
const personPrefix = "person:"

// writers are all who may send through the submission: the city's own senders, and people
// with their mail programs. It fulfils smtpd.Gate.
type writers struct{ n *Node }

// Known implements smtpd.Gate: no person is known by her address or a certificate.
func (w writers) Known(peer netip.Addr, s *tls.ConnectionState) string {
	return w.n.own.book.Known(peer, s)
}

// Login implements smtpd.Gate. Own senders have users without "@"; where one has the address
// of a person as its user, both passwords let in, each to its own.
func (w writers) Login(ctx context.Context, peer netip.Addr, user, password string) (string, error) {
	if !strings.Contains(user, "@") || w.n.accounts == nil {
		return w.n.own.book.Login(ctx, peer, user, password)
	}
	in, err := w.n.accounts.LogIn(ctx, account.Attempt{Door: account.DoorSubmission, Peer: peer, Agent: "SMTP", User: user, Password: password})
	switch {
	case err == nil && in.Needs == account.NeedsNothing:
		return fmt.Sprintf("%s%d/%d", personPrefix, in.Person.ID, in.Way), nil
	case err == nil, doppelboden.CodeOf(err) == doppelboden.Policy:
		return w.n.own.book.Login(ctx, peer, user, password)
	}
	return "", err
}

// asWriter returns who has logged in as intake knows a sender.
func (n *Node) asWriter(ctx context.Context, login string) (*intake.Own, error) {
	if strings.HasPrefix(login, personPrefix) {
		return n.asPerson(context.WithoutCancel(ctx), login)
	}
	return n.own.asOwn(login)
}

// writer returns the address of who wrote from a mailbox; for whom nobody knows any more,
// what folder calls her.
func (n *Node) writer(by string) string {
	id, err := strconv.ParseInt(strings.TrimPrefix(by, personPrefix), 10, 64)
	if err != nil || n.accounts == nil {
		return by
	}
	p, ok := n.accounts.PersonOf(account.PersonID(id))
	if !ok {
		return by
	}
	return p.Address.String()
}

// asPerson returns a person who has logged in as intake knows a sender. Her mail leaves no
// copy among her sent mail: programs put one there themselves.
func (n *Node) asPerson(ctx context.Context, login string) (*intake.Own, error) {
	name, by, _ := strings.Cut(login, "/")
	id, err := strconv.ParseInt(strings.TrimPrefix(name, personPrefix), 10, 64)
	way, bad := strconv.ParseInt(by, 10, 64)
	if err := errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("read the name of a person: %w", err)
	}
	// A connection may be older than the end of the password that opened it.
	still, err := n.accounts.Still(ctx, account.PersonID(id), way)
	if err != nil {
		return nil, err
	}
	p, there := n.accounts.PersonOf(account.PersonID(id))
	if !still || !there {
		return nil, &doppelboden.Error{Code: doppelboden.Policy, Public: "you are not known any more"}
	}
	if !n.accounts.Open(p.Tenant, account.DoorSubmission) {
		return nil, account.ErrClosed
	}
	if err := n.house.Directory().Takes(p.Address); err != nil {
		return nil, err
	}
	box, _ := n.house.mailbox(p.Mailbox)
	return &intake.Own{
		Tenant: p.Tenant, Name: name, Person: true,
		MaySend: func(a doppelboden.Address) bool { return n.accounts.MaySend(ctx, p.ID, a) },
		Allow:   func(recipients int) error { return n.folders.Allow(box, name, recipients) },
	}, nil
}
