package folder

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/store"
)

// mostTenants is how many administrations that share this system one mail can go to; each
// gets a message of its own, numbered in one byte.
const mostTenants = 100

// A posting is a mail on its way to become messages.
type posting struct {
	box  *Box
	o    *Outgoing
	head *head

	own    *intake.Transaction   // to the own administration and the Internet; nil: nobody there
	copy   *intake.Transaction   // the sender's copy, where it is none of own; else nil
	others []*intake.Transaction // to other administrations
}

// envelope returns what a message of the mail begins with.
func (p *posting) envelope(t doppelboden.TenantID, copies ...doppelboden.Copy) intake.Envelope {
	o := p.o
	utf8 := p.head.high || !o.From.IsASCII()
	for _, to := range o.To {
		utf8 = utf8 || !to.Address.IsASCII()
	}
	return intake.Envelope{
		Door: o.Door, Peer: o.Peer, Proto: "HTTPS", Sender: o.From, SMTPUTF8: utf8, Ret: o.Ret, EnvID: o.EnvID,
		Own:    &intake.Own{Tenant: p.box.tenant, Name: p.box.by, Person: true, MaySend: o.MaySend},
		Tenant: t, Copies: copies,
	}
}

// address finds out where every recipient is. All who can't be written to are told at once.
func (p *posting) address(ctx context.Context) (err error) {
	sent := doppelboden.Copy{Mailbox: p.box.mailbox, Folder: store.FolderFor(store.UseSent), Flags: doppelboden.Seen, New: p.box.goesBack()}
	in := p.box.room.opts.Intake
	blind := p.head.blind()
	first := []doppelboden.Copy{sent}
	if blind {
		first = nil
	}
	if p.own, err = in.Begin(p.envelope(p.box.tenant, first...)); err != nil {
		return err
	}
	var bad []Refusal
	inside := 0
	for _, r := range p.o.To {
		switch here, err := p.rcpt(ctx, r); {
		case err != nil:
			bad = append(bad, Refusal{r.Address, err})
		case here:
			inside++
		}
	}
	if len(bad) > 0 {
		return &Refused{bad}
	}
	if inside > 0 && !blind {
		return nil
	}
	if inside == 0 {
		p.own.Abort()
		p.own = nil
	}
	p.copy, err = in.Begin(p.envelope(p.box.tenant, sent))
	return err
}

// rcpt adds a recipient to the message that it belongs to; here says that it is that of the
// own administration.
func (p *posting) rcpt(ctx context.Context, r intake.Recipient) (here bool, err error) {
	if err = p.own.Rcpt(ctx, r); doppelboden.CodeOf(err) != doppelboden.OtherTenant || err == nil {
		return err == nil, err
	}
	for _, tx := range p.others {
		if err = tx.Rcpt(ctx, r); doppelboden.CodeOf(err) != doppelboden.OtherTenant || err == nil {
			return false, err
		}
	}
	if len(p.others) == mostTenants {
		return false, &doppelboden.Error{Code: doppelboden.TooManyRecipients, Public: "too many administrations for one mail"}
	}
	tx, err := p.box.room.opts.Intake.Begin(p.envelope(0))
	if err != nil {
		return false, err
	}
	p.others = append(p.others, tx)
	return false, tx.Rcpt(ctx, r)
}

// transactions returns all of them, in an order that is always the same.
func (p *posting) transactions() []*intake.Transaction {
	var list []*intake.Transaction
	for _, tx := range []*intake.Transaction{p.own, p.copy} {
		if tx != nil {
			list = append(list, tx)
		}
	}
	return append(list, p.others...)
}

// write writes the mail into all of them. Who gets a blind copy stands in the sender's alone.
func (p *posting) write(rest io.Reader) error {
	all := p.transactions()
	into := make([]io.Writer, len(all))
	for i, tx := range all {
		if _, err := tx.Write(p.head.text(tx == p.copy)); err != nil {
			return fmt.Errorf("write the header: %w", err)
		}
		into[i] = tx
	}
	m := &mended{w: io.MultiWriter(into...)}
	if err := p.box.copy(m, rest); err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	return m.close()
}

// abort gives everything back.
func (p *posting) abort() {
	for _, tx := range p.transactions() {
		tx.Abort()
	}
}

// A mended makes lines end in CRLF, so that every message of a mail has the same ones.
type mended struct {
	w    io.Writer
	last byte
	out  []byte
}

// Write implements io.Writer.
func (m *mended) Write(p []byte) (int, error) {
	m.out = m.out[:0]
	for _, c := range p {
		switch {
		case c == '\n' && m.last == '\r', c == 0:
		case c == '\n' || c == '\r':
			m.out = append(m.out, '\r', '\n')
		default:
			m.out = append(m.out, c)
		}
		m.last = c
	}
	if _, err := m.w.Write(m.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// close ends the last line.
func (m *mended) close() error {
	if m.last == '\n' || m.last == '\r' || m.last == 0 {
		return nil
	}
	_, err := m.w.Write([]byte("\r\n"))
	return err
}

// lines returns text with lines that end in CRLF.
func lines(text []byte) []byte {
	var b bytes.Buffer
	m := &mended{w: &b}
	m.Write(text) // a buffer takes everything
	return b.Bytes()
}
