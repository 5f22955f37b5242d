package intake

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"doppelboden"
)

// A Transaction is one mail on its way in. It is used by one goroutine.
type Transaction struct {
	in  *Intake
	env Envelope

	tenant     doppelboden.TenantID
	recipients int                 // RCPTs that were taken
	first      doppelboden.Address // as the first of them named it
	envelope   addressees

	through through // what a next server says meanwhile

	body   body
	failed error // why the body cannot be kept
	kept   Kept  // after Commit
	over   bool  // Commit or Abort came
}

// Rcpt adds a recipient, or returns why not. Codes: see Directory.Find, OtherTenant and
// TooManyRecipients.
func (t *Transaction) Rcpt(ctx context.Context, r Recipient) error {
	if t.recipients >= t.in.opts.MostRecipients {
		return &doppelboden.Error{Code: doppelboden.TooManyRecipients, Public: "too many recipients, please send the rest in another transaction"}
	}
	found, err := t.lookUp(ctx, r)
	if err != nil {
		t.in.metrics.recipients.WithLabelValues(doppelboden.CodeOf(err).String()).Inc()
		return err
	}
	if err := t.askNext(ctx, r, found); err != nil {
		t.in.metrics.recipients.WithLabelValues("next_server").Inc()
		return err
	}
	if t.recipients == 0 {
		t.tenant, t.first = found.Tenant, r.Address
	}
	t.recipients++
	t.in.metrics.recipients.WithLabelValues("taken").Inc()
	t.envelope.add(r, found)
	return nil
}

// lookUp asks who is behind an address, and refuses what does not go into this message.
func (t *Transaction) lookUp(ctx context.Context, r Recipient) (Found, error) {
	found, err := t.find(ctx, r.Address)
	if err != nil {
		return Found{}, err
	}
	if t.recipients > 0 && found.Tenant != t.tenant {
		return Found{}, &doppelboden.Error{Code: doppelboden.OtherTenant, Public: "this recipient belongs to another administration, please send to it in another transaction"}
	}
	switch most := t.in.opts.MostDeliveries; {
	case len(found.Targets) > most:
		return Found{}, errLarge
	case len(t.envelope.deliveries)+len(found.Targets) > most:
		return Found{}, &doppelboden.Error{Code: doppelboden.TooManyRecipients, Public: "too many recipients, please send the rest in another transaction"}
	}
	return found, nil
}

// errLarge is the answer for a list that no message can go to.
var errLarge = &doppelboden.Error{Code: doppelboden.Policy, Public: "this list has too many members"}

// Write takes the next bytes of the body. After an error the rest may still be written
// and is thrown away; Commit returns the first error. Codes: Busy, StorageFull, Temporary.
func (t *Transaction) Write(p []byte) (int, error) {
	if t.failed == nil {
		t.failed = t.body.write(t.in, t.tenant, p)
	}
	if t.failed != nil {
		t.body.release(t.in)
		return 0, t.failed
	}
	return len(p), nil
}

// Commit ends the body and keeps the message. Only after it returned without an error
// may the door answer 250. Codes: those of Write, Loop, Temporary and StorageFull.
func (t *Transaction) Commit(ctx context.Context) (Kept, error) {
	if t.over {
		return Kept{}, fmt.Errorf("commit a transaction that is over")
	}
	t.over = true
	defer t.body.release(t.in)
	defer t.through.close()
	if t.failed != nil {
		return Kept{}, t.failed
	}
	if t.recipients == 0 {
		return Kept{}, &doppelboden.Error{Code: doppelboden.BadMessage, Public: "no valid recipients"}
	}
	if err := checkLoop(t.body.header(), t.in.opts.Hostname); err != nil {
		return Kept{}, err
	}
	began := t.in.opts.Clock()
	m, err := t.message()
	if err == nil {
		err = t.settleBody(ctx, m)
	}
	if err != nil {
		t.refused(m, err)
		return Kept{}, err
	}
	t.in.opts.Tally.Intent(m.ID, m.Recipients, m.Received)
	if err = t.handThrough(ctx, m); err == nil {
		err = t.keep(ctx, m)
	}
	if err != nil {
		t.in.opts.Tally.Withdrawn(m.ID, t.in.opts.Clock())
		t.refused(m, err)
		return Kept{}, err
	}
	t.in.metrics.kept.Inc()
	t.in.metrics.bytes.Add(float64(m.Body.Size))
	t.in.metrics.seconds.Observe(t.in.opts.Clock().Sub(began).Seconds())
	t.kept = Kept{ID: m.ID, Receipt: m.Receipt}
	return t.kept, nil
}

// settleBody seals the body and has the message checked. A big body lies in its file by
// then, where the checks read it.
func (t *Transaction) settleBody(ctx context.Context, m *doppelboden.Message) (err error) {
	if t.body.big == nil {
		// What is refused should leave nothing behind.
		if err := t.check(ctx, m); err != nil {
			return err
		}
	}
	big := t.body.big != nil
	if m.Body, err = t.body.seal(t.in, t.tenant); err != nil {
		return fmt.Errorf("keep the body: %w", err)
	}
	if big {
		return t.check(ctx, m)
	}
	return nil
}

// refused counts and logs why a message was not kept.
func (t *Transaction) refused(m *doppelboden.Message, err error) {
	code := doppelboden.CodeOf(err)
	t.in.metrics.refused.WithLabelValues(code.String()).Inc()
	level := slog.LevelError
	if code.Permanent() {
		level = slog.LevelInfo // the sender's fault
	}
	t.in.opts.Log.Log(context.Background(), level, "a message was not kept", "message", m.ID.String(), "err", err)
}

// Acked tells what became of the 250 for a kept message: whether it was written to the
// client.
func (t *Transaction) Acked(written bool) {
	if t.kept.ID.IsZero() {
		return
	}
	if written {
		t.in.opts.Tally.Sent(t.kept.ID, t.in.opts.Clock())
		return
	}
	t.in.opts.Tally.Unsent(t.kept.ID, t.in.opts.Clock())
}

// Abort gives everything back. It is harmless after Commit.
func (t *Transaction) Abort() {
	if !t.over {
		t.over = true
		t.through.close()
		t.body.release(t.in)
	}
}

// message makes the message, without its body.
func (t *Transaction) message() (*doppelboden.Message, error) {
	now, header, line := t.in.opts.Clock(), t.body.header(), t.env
	t.env = believe(t.env, header)
	m := &doppelboden.Message{
		ID: t.in.ids.New(now), Tenant: t.tenant, Receipt: doppelboden.NewReceipt(now),
		Door: t.env.Door, Received: now, Peer: t.env.Peer, Helo: t.env.Helo, Sender: t.env.Sender,
		SMTPUTF8: t.env.SMTPUTF8, EightBit: t.env.EightBit, Ret: t.env.Ret, EnvID: t.env.EnvID,
		Recipients: t.recipients,
	}
	t.envelope.fill(m)
	m.Prefix = received(line, t.in.opts.Hostname, m, t.first)
	if own := t.env.Own; own != nil {
		if err := t.takeOwn(m, own, header); err != nil {
			return m, err
		}
	}
	if len(header) > 0 && (header[0] == ' ' || header[0] == '\t') && !bytes.HasSuffix(m.Prefix, []byte("\r\n\r\n")) {
		// RFC 5322, section 2.2.3: such a line would continue the last one of ours.
		m.Prefix = append(m.Prefix, "\r\n"...)
	}
	return m, nil
}

// takeOwn completes the message of an own sender.
func (t *Transaction) takeOwn(m *doppelboden.Message, own *Own, header []byte) error {
	if own.MaySend != nil && t.body.headerCut() && fieldsOf(header).any {
		return &doppelboden.Error{Code: doppelboden.BadMessage, Public: "the header is longer than we read, so nobody can tell in whose name the mail is"}
	}
	if err := own.mayWrite(header); err != nil {
		return err
	}
	lacking, err := repair(header, m, t.in.opts.Hostname)
	m.Confirmed, m.Prefix = own.confirms(m.Sender), append(m.Prefix, lacking...)
	return err
}

// keep commits the message, again and again while the outcome is
// unknown and the door has patience.
func (t *Transaction) keep(ctx context.Context, m *doppelboden.Message) error {
	var err error
	// The client may hang up; the commit goes on.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.in.opts.CommitPatience)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		_, err = t.in.opts.Store.Accept(ctx, m)
		if err == nil {
			return nil
		}
		if doppelboden.CodeOf(err) != doppelboden.Temporary || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	// It may be on the disk all the same. The sender will send it again, and ours is handed
	// over as well: in doubt twice, never not at all (promise 4).
	return fmt.Errorf("keep the message: %w", err)
}
