package courier

import (
	"errors"
	"io"

	"doppelboden"
)

// sendBody sends the mail for t.accepted and decides every delivery.
func (t *transaction) sendBody() {
	streamed := false
	for !t.content.whole {
		streamed = true
		if !t.write(false) {
			return
		}
		if err := t.content.fill(); err != nil {
			// The server has a part of the mail; without a final dot it must forget it.
			t.cut(bodyVerdict(err))
			return
		}
	}
	// What a big mail still has in its buffers goes first, so that the dot follows
	// MayDot without having to wait for the server.
	if streamed && !t.write(false) {
		return
	}
	t.finalDot()
}

// finalDot ends the mail and takes the answers, or does not end it.
func (t *transaction) finalDot() {
	opts := &t.agent.opts
	if t.conn.spoke() {
		t.cut(t.early(io.EOF))
		return
	}
	t.refs = t.refs[:0]
	for _, i := range t.accepted {
		d := &t.job.Deliveries[i]
		t.refs = append(t.refs, doppelboden.Ref{Message: d.Message, N: d.N})
	}
	if opts.Tally != nil {
		opts.Tally.Attempt(t.refs, t.agent.route.Name, opts.Clock())
		defer t.tally()
	}
	if !opts.MayDot() {
		t.cut(ours(doppelboden.Later, doppelboden.AboutRoute, phaseData, "",
			"not handed over: this node may not hand over at the moment"))
		return
	}
	if !t.agent.guard.beginDot() {
		t.cut(lost(phaseData, doppelboden.AboutRoute, errCancelled))
		return
	}
	t.content.out = append(t.content.out, ".\r\n"...)
	if !t.write(true) {
		return
	}
	if t.conn.host.LMTP {
		t.answersLMTP()
	} else {
		t.answerSMTP()
	}
}

// tally logs what became of the deliveries that the final dot was for.
func (t *transaction) tally() {
	for _, i := range t.accepted {
		t.agent.opts.Tally.Answer(t.out[i])
	}
}

// write writes what is ready; dot says that the final dot is at its end.
func (t *transaction) write(dot bool) bool {
	c := t.conn
	c.guard.deadline(t.agent.opts.Deadlines.Block)
	n, err := c.net.Write(t.content.out)
	whole := n == len(t.content.out)
	t.content.out = t.content.out[:0]
	if err == nil {
		return true
	}
	err = c.guard.explain(err)
	if dot && whole {
		t.cut(inDoubt(err))
	} else {
		// Nobody has got a final dot that has not left us.
		t.cut(t.early(err))
	}
	return false
}

// early is the verdict when the server broke off in the middle of the mail, or spoke
// before it was asked. Its words are reported if it left any, but they are no answer
// to the mail, which it has not seen whole: only Later can follow.
//
// It is about the message unless the server says otherwise: a mail that makes a server
// fall over must not stop all others. If the server is down, the next mail shows it.
func (t *transaction) early(err error) verdict {
	if !errors.Is(err, errCancelled) && (isClosed(err) || t.conn.r.Buffered() > 0) {
		// What it said lies in our buffers by now, if anything does.
		t.conn.guard.deadline(quitTime)
		r, rerr := t.conn.read(quitTime)
		if rerr == nil {
			v := judge(r, phaseData, doppelboden.AboutMessage)
			v.verdict = doppelboden.Later
			return v
		}
		err = rerr
	}
	if errors.Is(err, errCancelled) {
		return lost(phaseData, doppelboden.AboutRoute, err)
	}
	return lost(phaseData, doppelboden.AboutMessage, err)
}

// answerSMTP reads the one answer that is for all recipients.
func (t *transaction) answerSMTP() {
	v, ok := t.finalReply(doppelboden.AboutMessage)
	for _, i := range t.accepted {
		t.decide(i, v)
	}
	t.broken = t.broken || !ok
}

// answersLMTP reads one answer for each accepted recipient, in the order of their RCPT
// commands: RFC 2033, section 4.2.
func (t *transaction) answersLMTP() {
	for _, i := range t.accepted {
		v, ok := t.finalReply(doppelboden.AboutRecipient)
		if v.inDoubt { // and so are those that follow
			t.cut(v)
			return
		}
		t.decide(i, v)
		t.broken = t.broken || !ok
	}
}

// finalReply reads an answer to the final dot; ok says that the connection can be kept.
func (t *transaction) finalReply(scope doppelboden.Scope) (v verdict, ok bool) {
	r, err := t.conn.read(t.agent.opts.Deadlines.Dot)
	if err == nil && r.class() == 3 {
		err = unexpected(r, "the final dot")
	}
	if err != nil {
		return inDoubt(err), false
	}
	v = t.judge(r, phaseDot, scope)
	return v, v.scope != doppelboden.AboutRoute
}
