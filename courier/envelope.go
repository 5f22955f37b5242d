package courier

import (
	"errors"
	"os"

	"doppelboden"
)

// pipelineBytes bounds the commands that are sent before their answers are read, so
// that neither side can end up waiting for the other with full buffers: RFC 2920,
// section 3.1. It holds about a hundred recipients.
const pipelineBytes = 8 << 10

// A command is one that waits for its answer.
type command struct {
	phase string // "" for RSET
	rcpt  int    // for RCPT: the position of the delivery
}

// An exchange sends the commands of an envelope, in as few writes as the server
// allows, and handles their answers.
type exchange struct {
	*transaction
	kept  bool // the connection was there before this mail
	stale bool // it has ended meanwhile
	data  int  // the class of the answer to DATA
}

// envelope says MAIL, RCPT and DATA. proceed says that the server wants the body for
// t.accepted; otherwise every delivery is decided, unless stale is true.
func (t *transaction) envelope(kept bool) (proceed, stale bool) {
	x := exchange{transaction: t, kept: kept}
	t.waiting = t.waiting[:0]
	ok := x.commands()
	switch {
	case x.stale:
		t.broken = true
		return false, true
	case ok && x.data == 3 && len(t.accepted) > 0:
		return true, false
	case ok && x.data == 3:
		// Nobody was accepted and the server waits for a mail. RFC 2920, section 3.1,
		// would have us send a lone dot; we close instead, so that no server can take
		// an empty mail for one of ours.
		t.broken = true
	}
	if t.mailNo != nil {
		t.rest(*t.mailNo)
	}
	t.conn.dirty = true
	return false, false
}

// commands sends everything up to DATA. It returns false when the connection is of no
// more use; then all deliveries are decided, or stale is set.
func (x *exchange) commands() bool {
	c := x.conn
	if c.dirty {
		// What the last transaction left behind is forgotten: RFC 5321, section 4.1.1.5.
		if !x.send(append(c.w, "RSET\r\n"...), command{}) {
			return false
		}
	}
	if !x.send(x.mail(c.w), command{phase: phaseMail}) {
		return false
	}
	for _, i := range x.asked {
		if x.mailNo != nil {
			return true
		}
		if !x.send(x.rcpt(c.w, i), command{phaseRcpt, i}) {
			return false
		}
	}
	// Without pipelining it is known here whether DATA makes sense.
	if len(x.waiting) == 0 && len(x.accepted) == 0 {
		return true
	}
	return x.send(append(c.w, "DATA\r\n"...), command{phase: phaseData}) && x.settle()
}

// send takes the waiting commands with one more at their end, and exchanges them when
// it is time to.
func (x *exchange) send(w []byte, cmd command) bool {
	x.conn.w = w
	x.waiting = append(x.waiting, cmd)
	if x.conn.caps.pipelining && len(w) < pipelineBytes {
		return true
	}
	return x.settle()
}

// settle writes what waits to be written and reads all answers.
func (x *exchange) settle() bool {
	d := x.agent.opts.Deadlines
	err := x.conn.flush(d.Mail)
	for _, cmd := range x.waiting {
		var r reply
		if err == nil {
			wait := d.Mail
			switch cmd.phase {
			case phaseRcpt:
				wait = d.Rcpt
			case phaseData:
				wait = d.Data
			}
			r, err = x.conn.read(wait)
		}
		if err == nil {
			err = x.answer(cmd, r)
		}
		if err != nil {
			x.fail(cmd, err)
			return false
		}
	}
	x.waiting = x.waiting[:0]
	return true
}

// errGoodbye says that the server closes the connection; the reply has been handled.
var errGoodbye = errors.New("the server closes the connection")

// answer handles the answer to one command. An error ends the connection.
func (x *exchange) answer(cmd command, r reply) error {
	c := r.class()
	if r.code == 421 {
		switch {
		case x.fresh() && x.kept:
			// Some servers take so many mails in a connection and then say 421.
			x.stale = true
		case x.mailNo == nil:
			x.cut(judge(r, cmd.name(), doppelboden.AboutRoute))
		default:
			x.cut(*x.mailNo)
		}
		return errGoodbye
	}
	switch cmd.phase {
	case "": // RSET
		if c != 2 {
			x.stale = true // it is always a kept connection that needs one
			return errGoodbye
		}
		x.conn.dirty = false
	case phaseMail:
		if c == 3 {
			return unexpected(r, "MAIL")
		}
		if c != 2 {
			v := x.judge(r, phaseMail, doppelboden.AboutMessage)
			x.mailNo = &v
			return nil
		}
		x.mailDone = true
	case phaseRcpt:
		switch {
		case c == 3:
			return unexpected(r, "RCPT")
		case x.mailNo != nil: // 503: there is no transaction
		case c == 2:
			x.accepted = append(x.accepted, cmd.rcpt)
		default:
			x.decide(cmd.rcpt, x.judge(r, phaseRcpt, doppelboden.AboutRecipient))
		}
	case phaseData:
		if c == 2 {
			return unexpected(r, "DATA")
		}
		x.data = c
		if c != 3 && x.mailNo == nil && len(x.accepted) > 0 {
			x.rest(x.judge(r, phaseData, doppelboden.AboutMessage))
		}
	}
	return nil
}

// judge is judge; a server that is out of step or wants to know us first is not kept.
func (x *exchange) judge(r reply, phase string, scope doppelboden.Scope) verdict {
	v := x.transaction.judge(r, phase, scope)
	x.broken = x.broken || v.scope == doppelboden.AboutRoute
	return v
}

// name returns the phase of the command for an outcome.
func (cmd command) name() string {
	if cmd.phase == "" {
		return phaseMail
	}
	return cmd.phase
}

// fresh reports whether nothing of this message has been answered yet.
func (x *exchange) fresh() bool { return !x.mailDone && x.mailNo == nil }

// fail handles an error that ends the connection before the body.
func (x *exchange) fail(cmd command, err error) {
	x.broken = true
	if x.stale || errors.Is(err, errGoodbye) {
		return
	}
	// A server that has gone while nothing was asked of it is asked again on a new
	// connection. One that is silent or talks nonsense is not: that is news.
	if x.kept && x.fresh() && isClosed(err) && !errors.Is(err, os.ErrDeadlineExceeded) {
		x.stale = true
		return
	}
	if x.mailNo != nil { // that much was clear
		x.rest(*x.mailNo)
		return
	}
	x.rest(lost(cmd.name(), doppelboden.AboutRoute, err))
}
