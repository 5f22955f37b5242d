package intake

import (
	"context"
	"fmt"
	"io"

	"doppelboden"
)

// An Answer is an automatic answer to a mail, in the name of one of the city's people.
type Answer struct {
	ID doppelboden.ID // made before, because the answer holds it
	// About is the mail that is answered; the answer goes to its reverse-path.
	About *doppelboden.Message
	// Write writes the answer: header, empty line, body; lines end in CRLF.
	Write    func(w io.Writer) error
	SMTPUTF8 bool // its header holds UTF-8
}

// Answer makes an automatic answer and keeps it, and reports whether there was a way to the
// sender. Nobody gets one whom nobody confirmed (promise 12): the code is Policy. Its
// reverse-path is null (RFC 3834, section 3.3), so that nothing answers it. After an error it
// may be there or not. Codes: those of Delayed.
func (r *Returner) Answer(ctx context.Context, a Answer) (sent bool, err error) {
	if a.About.Sender.IsNull() || !a.About.Confirmed || a.About.Class == doppelboden.ClassNotice {
		return false, &doppelboden.Error{Code: doppelboden.Policy, Public: "this sender gets no answer"}
	}
	found, hold, err := r.way(ctx, a.About)
	if err != nil || hold != "" {
		return false, err
	}
	now := r.opts.Clock()
	m := &doppelboden.Message{
		ID: a.ID, Tenant: found.Tenant, Receipt: doppelboden.NewReceipt(now), Door: "generated", Received: now,
		Class: doppelboden.ClassNotice, Recipients: 1, SMTPUTF8: a.SMTPUTF8, EightBit: a.SMTPUTF8,
	}
	m.Prefix = generated(r.opts.Hostname, m)
	if m.Body, err = r.seal(Letter{Tenant: m.Tenant, Write: a.Write}); err != nil {
		return false, fmt.Errorf("keep the body: %w", err)
	}
	var to addressees
	to.add(Recipient{Address: a.About.Sender, Notify: "NEVER"}, found)
	to.fill(m)
	if _, err := r.opts.Store.Accept(ctx, m); err != nil {
		return false, fmt.Errorf("keep the answer: %w", err)
	}
	r.opts.Notify(m)
	return true, nil
}
