package courier

import (
	"context"
	"time"

	"doppelboden"
)

// A Passage is one transaction with the next server that goes on while a client of ours
// still says what it wants: each recipient is asked about when the client names it, and
// the mail follows when it is there. It belongs to one goroutine.
//
// It logs nothing in Options.Tally: whether there is a message of ours is decided by what
// comes of the hand-over.
type Passage struct {
	agent    *Agent
	envelope doppelboden.Message // what MAIL says; Body.Size is what the client announced
	begun    bool                // MAIL was taken
}

// NewPassage returns a passage; it connects with the first recipient. Of m it needs the
// envelope, Peer and Helo. size is what the client announced; 0: nothing.
func NewPassage(o Options, r Route, m doppelboden.Message, size int64) *Passage {
	o.Tally = nil
	m.Body.Size = size
	return &Passage{agent: NewAgent(o, r), envelope: m}
}

// Rcpt asks the next server about a recipient. The outcome is Took when it takes mail for
// it. What it says to MAIL is the outcome of the first recipient. After an outcome that
// is about the route, or without a reply, the passage is of no more use.
func (p *Passage) Rcpt(ctx context.Context, d doppelboden.Delivery) doppelboden.Outcome {
	a := p.agent
	release := a.guard.watch(ctx)
	defer release()
	t := &a.tx
	t.begin(Job{Message: &p.envelope, Deliveries: []doppelboden.Delivery{d}})
	defer t.end()
	if v := p.begin(ctx); v != nil {
		t.rest(*v)
		return t.out[0]
	}
	t.conn, t.server = a.conn, a.conn.host.shown()
	const noUTF8 = "5.6.7 the next server does not take internationalized mail (SMTPUTF8)"
	if !oneLine(d.Recipient.Local) || !a.conn.caps.smtpUTF8 && !d.Recipient.IsASCII() {
		t.rest(verdict{verdict: doppelboden.Refused, scope: doppelboden.AboutRecipient, phase: phaseRcpt,
			reply: doppelboden.Reply{Code: 553, Enhanced: "5.6.7", Text: noUTF8}}) // RFC 6531, section 3.5
		return t.out[0]
	}
	a.conn.w = t.rcpt(a.conn.w, 0)
	t.rest(p.answer(phaseRcpt, a.opts.Deadlines.Rcpt, doppelboden.AboutRecipient))
	return t.out[0]
}

// begin connects and says MAIL, unless that is done. It returns why it cannot.
func (p *Passage) begin(ctx context.Context) *verdict {
	a := p.agent
	if p.begun {
		return nil
	}
	if a.conn == nil {
		_, fault := a.connect(ctx)
		if fault == nil {
			fault = a.present(ctx, false, &p.envelope)
		}
		if fault != nil {
			return &fault.verdict
		}
	}
	c, t, m := a.conn, &a.tx, &p.envelope
	t.conn, t.server = c, c.host.shown()
	if !c.caps.smtpUTF8 && (m.SMTPUTF8 || !m.Sender.IsASCII()) {
		return &verdict{verdict: doppelboden.Refused, scope: doppelboden.AboutMessage, phase: phaseMail,
			reply: doppelboden.Reply{Code: 553, Enhanced: "5.6.7", Text: "5.6.7 the next server does not take internationalized mail (SMTPUTF8)"}}
	}
	sizes := c.caps.size
	c.caps.size = sizes && m.Body.Size > 0
	c.w = t.mail(c.w)
	c.caps.size = sizes
	v := p.answer(phaseMail, a.opts.Deadlines.Mail, doppelboden.AboutMessage)
	if v.verdict == doppelboden.Took {
		p.begun = true
		return nil
	}
	return &v
}

// answer sends what waits and returns what the server says to it. A connection that is of
// no more use is closed.
func (p *Passage) answer(phase string, wait time.Duration, scope doppelboden.Scope) verdict {
	c := p.agent.conn
	err := c.flush(wait)
	var r reply
	if err == nil {
		r, err = c.read(wait)
	}
	if err == nil && r.class() == 3 {
		err = unexpected(r, phase)
	}
	if err != nil {
		p.drop()
		return lost(phase, doppelboden.AboutRoute, err)
	}
	if r.class() == 2 {
		return verdict{verdict: doppelboden.Took, scope: scope, phase: phase, reply: r.public()}
	}
	v := judge(r, phase, scope)
	if v.scope == doppelboden.AboutRoute {
		p.drop()
	}
	return v
}

// drop closes the connection.
func (p *Passage) drop() {
	if p.agent.conn != nil {
		p.agent.conn.close()
		p.agent.conn = nil
	}
	p.begun = false
}

// Hand hands m over for deliveries, which are those that Rcpt was asked about and took,
// in that order, and returns one outcome for each; see Agent.Hand.
func (p *Passage) Hand(ctx context.Context, m *doppelboden.Message, deliveries []doppelboden.Delivery) []doppelboden.Outcome {
	a := p.agent
	release := a.guard.watch(ctx)
	defer release()
	t := &a.tx
	t.begin(Job{Message: m, Deliveries: deliveries})
	defer t.end()
	if a.conn == nil || !p.begun {
		t.rest(ours(doppelboden.Later, doppelboden.AboutRoute, phaseData, "", "the connection has ended"))
		return t.out
	}
	t.conn, t.server, t.broken = a.conn, a.conn.host.shown(), false
	t.asked, t.accepted = t.asked[:0], t.accepted[:0]
	for i := range deliveries {
		t.accepted = append(t.accepted, i)
	}
	p.begun = false
	if !t.prepare() {
		return t.out
	}
	a.conn.w = append(a.conn.w, "DATA\r\n"...)
	if v, ok := p.data(); !ok {
		t.rest(v)
		return t.out
	}
	t.sendBody()
	return t.out
}

// data reads the answer to DATA; ok says that the server wants the mail.
func (p *Passage) data() (v verdict, ok bool) {
	c, wait := p.agent.conn, p.agent.opts.Deadlines.Data
	err := c.flush(wait)
	var r reply
	if err == nil {
		r, err = c.read(wait)
	}
	switch {
	case err == nil && r.class() == 2:
		err = unexpected(r, "DATA")
	case err == nil && r.class() == 3:
		return v, true
	case err == nil:
		return judge(r, phaseData, doppelboden.AboutMessage), false
	}
	return lost(phaseData, doppelboden.AboutRoute, err), false
}

// Close ends the connection.
func (p *Passage) Close() {
	if p.agent.conn == nil {
		return
	}
	// Nobody waits for the answer, least of all our client.
	p.agent.guard.watch(context.Background())()
	p.agent.conn.w = append(p.agent.conn.w[:0], "QUIT\r\n"...)
	if err := p.agent.conn.flush(quitTime); err != nil {
		p.agent.conn.host.log.Debug("passage ended without QUIT", "error", err)
	}
	p.agent.conn.close()
	p.agent.conn = nil
}
