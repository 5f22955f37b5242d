package intake

import (
	"context"
	"errors"
	"fmt"
	"io"

	"doppelboden"
)

// A Letter is a mail that this system itself writes to one of the city's mailboxes.
type Letter struct {
	ID     doppelboden.ID // made before, by who must know it later
	Tenant doppelboden.TenantID
	To     doppelboden.Address // of a mailbox of the tenant
	// Write writes the mail: header, empty line, body; lines end in CRLF.
	Write    func(w io.Writer) error
	EightBit bool // it holds octets above 127
}

// From is the address that letters to a tenant's people come from; null: it has none.
func (r *Returner) From(t doppelboden.TenantID) doppelboden.Address {
	return r.opts.Postmaster(t).Address
}

// Letter makes a letter and keeps it; it goes where all mail of its mailbox goes. Its
// reverse-path is null, so that nobody and nothing answers it. After an error it may be
// there or not: who repeats it asks the store for its ID first. Codes: those of
// Directory.Find, Policy when the address is not one mailbox, and those of
// store.Acceptor.
func (r *Returner) Letter(ctx context.Context, l Letter) error {
	found, err := r.opts.Directory().Find(&Envelope{Door: "generated"}, l.To)
	if err != nil {
		return fmt.Errorf("find the mailbox: %w", err)
	}
	if why := unfit(found); why != "" || found.Tenant != l.Tenant {
		return &doppelboden.Error{Code: doppelboden.Policy, Public: "a letter goes to one mailbox of its tenant"}
	}
	now := r.opts.Clock()
	m := &doppelboden.Message{
		ID: l.ID, Tenant: l.Tenant, Receipt: doppelboden.NewReceipt(now), Door: "generated", Received: now,
		Class: doppelboden.ClassNotice, Recipients: 1, EightBit: l.EightBit,
	}
	m.Prefix = generated(r.opts.Hostname, m)
	if m.Body, err = r.seal(l); err != nil {
		return fmt.Errorf("keep the body: %w", err)
	}
	var to addressees
	to.add(Recipient{Address: l.To, Notify: "NEVER"}, found)
	to.fill(m)
	if _, err := r.opts.Store.Accept(ctx, m); err != nil {
		return fmt.Errorf("keep the letter: %w", err)
	}
	r.opts.Notify(m)
	return nil
}

// seal writes the body of a letter, of whatever size.
func (r *Returner) seal(l Letter) (doppelboden.Body, error) {
	w, err := r.opts.Bodies.Create(l.Tenant)
	if err != nil {
		return doppelboden.Body{}, err
	}
	if err := l.Write(w); err != nil {
		w.Abort()
		return doppelboden.Body{}, errors.Join(errors.New("write it"), err)
	}
	return w.Close()
}
