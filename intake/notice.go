package intake

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/dsn"
)

const (
	// maxReturned bounds a message that goes back whole, in octets: the notice is one
	// record of a segment then, and needs no more memory than any mail.
	maxReturned = 160 << 10
	// maxReturnedHeader bounds the header that is read for a notice.
	maxReturnedHeader = 64 << 10
)

// notice makes the DSN about endings of one message, or says why the sender cannot have
// one. Nothing of it exists before somebody writes it.
func (r *Returner) notice(ctx context.Context, ends []doppelboden.Ending) (*doppelboden.Message, string, error) {
	recipients := make([]dsn.Recipient, len(ends))
	about := make([]doppelboden.Ref, len(ends))
	for i := range ends {
		recipients[i] = r.ended(&ends[i])
		about[i] = doppelboden.Ref{Message: ends[i].Message.ID, N: ends[i].Delivery.N}
	}
	return r.generate(ctx, ends[0].Message, recipients, about)
}

// shown returns the address that a sender may read in a notice about a delivery: of a
// member of a list of ours only the list, to which the sender wrote. It is the address in
// ORCPT when that is one of ours (see addressees).
func (r *Returner) shown(d *doppelboden.Delivery) doppelboden.Address {
	if original, ok := dsn.OriginalOf(d.ORcpt); ok && r.opts.Ours(original.Domain) {
		return original
	}
	return d.Recipient
}

// ended describes the end of a delivery.
func (r *Returner) ended(e *doppelboden.Ending) dsn.Recipient {
	to := dsn.Recipient{
		Address: r.shown(&e.Delivery), ORcpt: e.Delivery.ORcpt, Server: e.Server, Reply: e.Reply, Status: e.Reply.Enhanced,
		LastAttempt: e.Settlement.At.In(r.opts.Clock().Location()),
	}
	switch e.How {
	case doppelboden.Relayed:
		to.Action = dsn.Relayed
	case doppelboden.Arrived:
		to.Action = dsn.Delivered
	case doppelboden.Overaged:
		to.Action, to.Status = dsn.Failed, "5.4.7" // RFC 3463, section 3.5: delivery time expired
	case doppelboden.Returned:
		to.Action, to.Why = dsn.Failed, e.Why
		to.LastAttempt = time.Time{}
	default:
		to.Action = dsn.Failed
	}
	return to
}

// Delayed tells the sender that deliveries of one message still wait, and keeps the
// notice. It does nothing for senders who are not ours, or who do not want it. It may be
// repeated after an error. Codes: those of Return and of store.Acceptor.
func (r *Returner) Delayed(ctx context.Context, m *doppelboden.Message, waiting []doppelboden.Delivery) error {
	if m.Sender.IsNull() || !m.Confirmed || !r.opts.Ours(m.Sender.Domain) {
		return nil
	}
	var recipients []dsn.Recipient
	var about []doppelboden.Ref
	zone := r.opts.Clock().Location()
	for _, d := range waiting {
		if !doppelboden.Notify(d.Notify, doppelboden.OnDelay) {
			continue
		}
		to := dsn.Recipient{Address: r.shown(&d), ORcpt: d.ORcpt, Action: dsn.Delayed, Reply: doppelboden.Reply{Text: d.Reply}}
		if until := r.opts.Until(m); !until.IsZero() {
			to.Until = until.In(zone)
		}
		if d.Attempts > 0 {
			to.LastAttempt = d.Changed.In(zone)
		}
		recipients = append(recipients, to)
		about = append(about, doppelboden.Ref{Message: m.ID, N: d.N})
	}
	if len(recipients) == 0 {
		return nil
	}
	notice, hold, err := r.generate(ctx, m, recipients, about)
	if err != nil || hold != "" {
		return err // a delay needs no decision
	}
	if _, err := r.opts.Store.Accept(ctx, notice); err != nil {
		return fmt.Errorf("keep the delay notice: %w", err)
	}
	r.notices.WithLabelValues("delayed", told).Inc()
	r.opts.Notify(notice)
	return nil
}

// generate makes a notice about m and seals its body.
func (r *Returner) generate(ctx context.Context, m *doppelboden.Message, to []dsn.Recipient, about []doppelboden.Ref) (*doppelboden.Message, string, error) {
	from := r.opts.Postmaster(m.Tenant).Address
	if from.IsNull() {
		return nil, "the tenant is not configured any more", nil
	}
	found, hold, err := r.way(ctx, m)
	if err != nil || hold != "" {
		return nil, hold, err
	}
	original, err := r.original(m)
	if err != nil {
		return nil, "", fmt.Errorf("read the message: %w", err)
	}
	now := r.opts.Clock()
	n := &doppelboden.Message{
		ID: r.ids.New(now), Tenant: found.Tenant, Receipt: doppelboden.NewReceipt(now), Door: "generated",
		Received: now, Class: doppelboden.ClassNotice, Recipients: 1, About: about,
	}
	n.Prefix = generated(r.opts.Hostname, n)
	content, err := dsn.Build(dsn.Report{
		ID: n.ID.String(), Hostname: r.opts.Hostname, From: from, To: m.Sender, Date: now,
		EnvID: m.EnvID, Helo: m.Helo, Arrived: m.Received.In(now.Location()), Receipt: m.Receipt.String(), SMTPUTF8: m.SMTPUTF8,
		Recipients: to, Original: original,
	})
	if err != nil {
		return nil, "", err
	}
	if n.Body, err = r.opts.Bodies.Put(n.Tenant, content.Bytes); err != nil {
		return nil, "", fmt.Errorf("keep the body: %w", err)
	}
	n.EightBit, n.SMTPUTF8 = content.EightBit, content.SMTPUTF8
	var l addressees
	// RFC 3461, section 6.1: about a notice there is none.
	l.add(Recipient{Address: m.Sender, Notify: "NEVER"}, found)
	l.fill(n)
	return n, "", nil
}

// way finds where the sender's mail goes, or says why it goes nowhere.
func (r *Returner) way(ctx context.Context, m *doppelboden.Message) (Found, string, error) {
	found, err := r.opts.Directory().Find(&Envelope{Door: "generated"}, m.Sender)
	if err == nil {
		return found, unfit(found), nil
	}
	code := doppelboden.CodeOf(err)
	switch {
	case code == doppelboden.Policy && !r.opts.Ours(m.Sender.Domain):
		return r.outward(ctx, m)
	case code.Permanent():
		return Found{}, "the sender's address takes no mail here (" + doppelboden.PublicOf(err) + ")", nil
	}
	return Found{}, "", fmt.Errorf("find the sender: %w", err)
}

// unfit says why what was found behind a sender's address should not get notices.
func unfit(found Found) string {
	for _, t := range found.Targets {
		if t.Hold != "" {
			return "the sender's address is nobody's here"
		}
		if t.Mailbox != found.Targets[0].Mailbox || t.Mailbox == 0 {
			return "the sender's address is a list"
		}
	}
	return ""
}

// outward finds the way to a sender on the Internet.
func (r *Returner) outward(ctx context.Context, m *doppelboden.Message) (Found, string, error) {
	const closed = "nothing is sent to the Internet from here"
	if r.opts.Internet == nil {
		return Found{}, closed, nil
	}
	if d := m.Sender.Domain; !strings.Contains(d, ".") || strings.HasPrefix(d, "[") {
		return Found{}, "the sender's domain is none of the Internet", nil
	}
	box, err := r.opts.Internet(ctx, m.Tenant, m.Sender.Domain)
	if err == nil {
		return Found{Tenant: m.Tenant, Targets: []Target{{Box: box}}}, "", nil
	}
	if doppelboden.CodeOf(err).Permanent() {
		return Found{}, closed, nil
	}
	return Found{}, "", fmt.Errorf("find the way to the sender: %w", err)
}

// original reads what goes back of a message: all of it only when the sender asked for
// that, it is small, and no scanner has anything against it.
func (r *Returner) original(m *doppelboden.Message) (dsn.Original, error) {
	whole := strings.EqualFold(m.Ret, "FULL") && m.Body.Size <= maxReturned &&
		(m.Scan == doppelboden.NotScanned || m.Scan == doppelboden.Clean)
	body, err := r.opts.Bodies.Reader(m.Tenant, m.Body)
	if err != nil {
		return dsn.Original{}, err
	}
	defer body.Close() // what is read is checked as it is read
	most := int64(maxReturnedHeader)
	if whole {
		most = maxReturned
	}
	text, err := io.ReadAll(io.LimitReader(body, most))
	if err != nil {
		return dsn.Original{}, err
	}
	header, rest, ended := bytes.Cut(text, []byte("\r\n\r\n"))
	if after, none := bytes.CutPrefix(text, []byte("\r\n")); none { // no header at all
		header, rest, ended = nil, after, true
	}
	if len(header) > 0 {
		header = append(header[:len(header):len(header)], "\r\n"...)
	}
	return dsn.Original{Header: append(bytes.Clone(m.Prefix), header...), Body: rest, Whole: whole && ended}, nil
}
