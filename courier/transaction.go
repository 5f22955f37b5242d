package courier

import (
	"strconv"

	"doppelboden"
)

// A transaction hands one message over. An agent uses one again and again, so that a
// mail costs few allocations.
type transaction struct {
	agent *Agent
	job   Job
	out   []doppelboden.Outcome
	// decided says which of out are final.
	decided []bool

	conn    *conn
	server  string
	content content
	opened  bool // content holds the beginning of the mail

	asked    []int // positions of the deliveries to name at RCPT
	accepted []int // those whose RCPT got a 2xx, in order
	refs     []doppelboden.Ref
	waiting  []command // written or to be written, not yet answered

	mailDone bool     // MAIL got a 2xx
	mailNo   *verdict // MAIL got another answer
	broken   bool     // the connection must not be used again
}

// begin takes a job. The outcomes are the caller's afterwards.
func (t *transaction) begin(j Job) {
	n := len(j.Deliveries)
	t.job, t.out = j, make([]doppelboden.Outcome, n)
	t.decided = append(t.decided[:0], make([]bool, n)...)
	t.server, t.opened = "", false
}

// end gives back what belongs to the job.
func (t *transaction) end() {
	t.content.close()
	t.job, t.out, t.conn = Job{}, nil, nil
}

// decide makes v the outcome of the i-th delivery, unless it has one.
func (t *transaction) decide(i int, v verdict) {
	if t.decided[i] {
		return
	}
	t.decided[i] = true
	d := &t.job.Deliveries[i]
	t.out[i] = doppelboden.Outcome{
		Ref:     doppelboden.Ref{Message: d.Message, N: d.N},
		Verdict: v.verdict, Scope: v.scope, Phase: v.phase, Reply: v.reply,
		Server: t.server, InDoubt: v.inDoubt, At: t.agent.opts.Clock(),
		Unnotified: v.verdict == doppelboden.Took && !t.conn.caps.dsn,
	}
}

// rest makes v the outcome of all deliveries that have none yet.
func (t *transaction) rest(v verdict) {
	for i := range t.out {
		t.decide(i, v)
	}
}

// cut is rest for what ends the connection too.
func (t *transaction) cut(v verdict) {
	t.broken = true
	t.rest(v)
}

// run makes one attempt on a connection. stale says that a kept connection turned out
// to have ended before anything of this message was answered: nothing is decided then,
// and run is to be called again with a new one.
func (t *transaction) run(c *conn, kept bool) (stale bool) {
	t.conn, t.broken, t.mailDone, t.mailNo = c, false, false, nil
	t.asked, t.accepted = t.asked[:0], t.accepted[:0]
	if !t.opened && !t.prepare() {
		return false
	}
	t.refuseUnspeakable()
	for i := range t.out {
		if !t.decided[i] {
			t.asked = append(t.asked, i)
		}
	}
	if len(t.asked) == 0 {
		return false
	}
	proceed, stale := t.envelope(kept)
	if proceed {
		t.sendBody()
	}
	return stale
}

// prepare reads the beginning of the mail, often all of it, before anything is said to
// the server.
func (t *transaction) prepare() bool {
	t.content.forged = marksOf(t.agent.opts, t.job.Message)
	if err := t.content.open(t.job.Message, t.agent.opts.Bodies, t.agent.opts.AuthservID); err != nil {
		t.rest(bodyVerdict(err))
		return false
	}
	t.opened = true
	return true
}

// bodyVerdict says what becomes of a mail whose body is not fit to be sent.
func bodyVerdict(err error) verdict {
	if Unfit(err) {
		return ours(doppelboden.Refused, doppelboden.AboutMessage, phaseData, "5.6.0", err.Error())
	}
	return ours(doppelboden.Later, doppelboden.AboutMessage, phaseData, "", "body cannot be read: "+err.Error())
}

// refuseUnspeakable decides the deliveries whose addresses the server cannot be told:
// those that need SMTPUTF8 where it is not offered (RFC 6531, section 3.5), and those
// that are not one line.
func (t *transaction) refuseUnspeakable() {
	const noUTF8 = "the next server does not take internationalized mail (SMTPUTF8)"
	m, offered := t.job.Message, t.conn.caps.smtpUTF8
	switch {
	case !oneLine(m.Sender.Local):
		t.rest(ours(doppelboden.Refused, doppelboden.AboutMessage, phaseMail, "5.1.7", "control characters in the sender's address"))
	case !offered && (m.SMTPUTF8 || !m.Sender.IsASCII()):
		t.rest(ours(doppelboden.Refused, doppelboden.AboutMessage, phaseMail, "5.6.7", noUTF8))
	}
	for i := range t.job.Deliveries {
		switch to := t.job.Deliveries[i].Recipient; {
		case !oneLine(to.Local):
			t.decide(i, ours(doppelboden.Refused, doppelboden.AboutRecipient, phaseRcpt, "5.1.3", "control characters in the recipient's address"))
		case !offered && !to.IsASCII():
			t.decide(i, ours(doppelboden.Refused, doppelboden.AboutRecipient, phaseRcpt, "5.6.7", noUTF8))
		}
	}
}

// oneLine reports whether s holds no control characters, which could end a command.
func oneLine(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// mail appends the MAIL command to b.
func (t *transaction) mail(b []byte) []byte {
	m, caps := t.job.Message, t.conn.caps
	b = append(b, "MAIL FROM:<"...)
	b = append(b, m.Sender.String()...)
	b = append(b, '>')
	if caps.size { // RFC 1870, section 5; stuffed dots do not count
		b = append(b, " SIZE="...)
		b = strconv.AppendInt(b, int64(len(m.Prefix))+m.Body.Size, 10)
	}
	// RFC 6152, section 3. The server that does not offer 8BITMIME gets 8-bit all the
	// same: nearly all can, and turning the mail into 7-bit would break its signatures.
	// Of a mail that is only partly read nobody knows whether it is 8-bit; saying so of
	// a 7-bit mail does no harm.
	if caps.eightBit && (m.EightBit || t.content.eightBit || !t.content.whole) {
		b = append(b, " BODY=8BITMIME"...)
	}
	if caps.smtpUTF8 && t.needsUTF8() { // RFC 6531, section 3.4
		b = append(b, " SMTPUTF8"...)
	}
	if caps.dsn { // RFC 3461, sections 4.3 and 4.4
		b = parameter(b, " RET=", m.Ret)
		b = parameter(b, " ENVID=", m.EnvID)
	}
	return append(b, "\r\n"...)
}

// needsUTF8 reports whether header or envelope hold UTF-8.
func (t *transaction) needsUTF8() bool {
	need := t.job.Message.SMTPUTF8 || !t.job.Message.Sender.IsASCII()
	for _, i := range t.asked {
		need = need || !t.job.Deliveries[i].Recipient.IsASCII()
	}
	return need
}

// rcpt appends the RCPT command for the i-th delivery to b.
func (t *transaction) rcpt(b []byte, i int) []byte {
	d := &t.job.Deliveries[i]
	b = append(b, "RCPT TO:<"...)
	b = append(b, d.Recipient.String()...)
	b = append(b, '>')
	if t.conn.caps.dsn { // RFC 3461, sections 4.1 and 4.2
		b = parameter(b, " NOTIFY=", d.Notify)
		b = parameter(b, " ORCPT=", d.ORcpt)
	}
	return append(b, "\r\n"...)
}

// parameter appends an ESMTP parameter as it came to us: RFC 5321, section 4.1.2,
// esmtp-value. One with an octet that could end it is left out.
func parameter(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] == 0x7f {
			return b
		}
	}
	return append(append(b, name...), value...)
}
