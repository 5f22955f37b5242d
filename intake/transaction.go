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
	mend    *mender // of a mail that people or programs put into folders; else nil
	// apart is the copy among the sent mail of who writes to another administration that
	// shares this system: a message belongs to one, so it is one of its own. Else nil.
	apart *doppelboden.Copy

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
	if t.tenant != 0 && found.Tenant != t.tenant {
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
	whole := p
	if t.mend != nil {
		whole = t.mend.mend(p)
	}
	if t.failed == nil {
		t.failed = t.body.write(t.in, t.tenant, whole)
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
	kept, err := t.in.CommitAll(ctx, []*Transaction{t})
	if err != nil {
		return Kept{}, err
	}
	return kept[0], nil
}

// CommitAll does what Commit does for transactions that are one mail to its author. They
// are kept in one commit: a crash leaves all of them or none. Codes: those of Commit, of
// the first that has one.
func (in *Intake) CommitAll(ctx context.Context, list []*Transaction) ([]Kept, error) {
	began := in.opts.Clock()
	messages := make([]*doppelboden.Message, len(list))
	for _, t := range list {
		defer t.end()
	}
	for i, t := range list {
		m, err := t.ready(ctx)
		if err != nil {
			t.refused(m, err)
			return nil, err
		}
		messages[i] = m
	}
	apart, err := in.apart(list, messages)
	if err != nil {
		return nil, err
	}
	messages = append(messages, apart...)
	for _, m := range messages {
		in.opts.Tally.Intent(m.ID, m.Recipients, m.Received)
	}
	if len(list) == 1 {
		err = list[0].handThrough(ctx, messages[0])
	}
	if err == nil {
		err = in.keep(ctx, messages)
	}
	if err != nil {
		for _, m := range messages {
			in.opts.Tally.Withdrawn(m.ID, in.opts.Clock())
		}
		list[0].refused(messages[0], err)
		return nil, err
	}
	for _, m := range apart {
		in.opts.Tally.Sent(m.ID, in.opts.Clock()) // nobody waits for a word about it
	}
	kept := make([]Kept, len(list))
	for i, m := range messages[:len(list)] {
		in.metrics.kept.Inc()
		in.metrics.bytes.Add(float64(m.Body.Size))
		kept[i] = Kept{ID: m.ID, Receipt: m.Receipt}
		list[i].kept = kept[i]
	}
	in.metrics.seconds.Observe(in.opts.Clock().Sub(began).Seconds())
	return kept, nil
}

// end gives back what the transaction holds.
func (t *Transaction) end() {
	t.over = true
	t.through.close()
	t.body.release(t.in)
}

// ready ends the body and makes the message that is to be kept. The message is nil when
// there is none to speak of.
func (t *Transaction) ready(ctx context.Context) (*doppelboden.Message, error) {
	switch {
	case t.over:
		return nil, fmt.Errorf("commit a transaction that is over")
	case t.failed != nil:
		return nil, t.failed
	case t.recipients == 0 && len(t.env.Copies) == 0:
		return nil, &doppelboden.Error{Code: doppelboden.BadMessage, Public: "no valid recipients"}
	}
	if t.mend != nil {
		if _, err := t.Write(t.mend.last()); err != nil {
			return nil, err
		}
	}
	if t.recipients > 0 {
		if err := checkLoop(t.body.header(), t.in.opts.Hostname); err != nil {
			return nil, err
		}
	}
	m, err := t.message()
	if err == nil {
		err = t.settleBody(ctx, m)
	}
	return m, err
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
	if m == nil {
		return // the door's own fault, or what it was told before
	}
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

// Name gives the message an id that NewID made, or one that follows from such a one.
func (t *Transaction) Name(id doppelboden.ID) { t.env.ID = id }

// Abort gives everything back. It is harmless after Commit.
func (t *Transaction) Abort() {
	if !t.over {
		t.end()
	}
}

// message makes the message, without its body.
func (t *Transaction) message() (*doppelboden.Message, error) {
	now, header, line := t.in.opts.Clock(), t.body.header(), t.env
	t.env = believe(t.env, header)
	m := &doppelboden.Message{
		ID: t.env.ID, Tenant: t.tenant, Receipt: doppelboden.NewReceipt(now),
		Door: t.env.Door, Received: now, Peer: t.env.Peer, Helo: t.env.Helo, Sender: t.env.Sender,
		SMTPUTF8: t.env.SMTPUTF8, EightBit: t.env.EightBit, Ret: t.env.Ret, EnvID: t.env.EnvID,
		Recipients: t.recipients,
	}
	if m.ID.IsZero() {
		m.ID = t.in.ids.New(now)
	}
	t.envelope.fill(m)
	t.addCopies(m)
	if t.recipients == 0 {
		return m, nil
	}
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

// addCopies adds the copies that the door wants.
func (t *Transaction) addCopies(m *doppelboden.Message) {
	for _, c := range t.env.Copies {
		if c.Message = m.ID; c.Date.IsZero() {
			c.Date = m.Received
		}
		m.Copies = append(m.Copies, c)
	}
}

// takeOwn completes the message of an own sender.
func (t *Transaction) takeOwn(m *doppelboden.Message, own *Own, header []byte) error {
	if own.MaySend != nil && t.body.headerCut() && fieldsOf(header).any {
		return &doppelboden.Error{Code: doppelboden.BadMessage, Public: "the header is longer than we read, so nobody can tell in whose name the mail is"}
	}
	if err := own.mayWrite(header); err != nil {
		return err
	}
	if own.Allow != nil {
		if err := own.Allow(t.recipients); err != nil {
			return err
		}
	}
	if c, ok := own.sentCopy(m, header); ok && m.Tenant == own.Tenant {
		m.Copies = append(m.Copies, c)
	} else if ok {
		t.apart = &c
	}
	lacking, err := repair(header, m, t.in.opts.Hostname)
	m.Confirmed, m.Prefix = own.confirms(m.Sender), append(m.Prefix, lacking...)
	return err
}

// keep commits messages, again and again while the outcome is unknown and the door has
// patience.
func (in *Intake) keep(ctx context.Context, list []*doppelboden.Message) error {
	var err error
	// The client may hang up; the commit goes on.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.opts.CommitPatience)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		_, err = in.opts.Store.AcceptAll(ctx, list)
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
