package smtpd

import (
	"bytes"

	"doppelboden"
)

// overshoot is how many times MaxRecipients one transaction may ask before the
// connection ends. Who sends a list in one burst gets 452 for the rest and loses
// nothing; who goes on for ever is not sending mail.
const overshoot = 10

// doRcpt: RFC 5321, section 4.1.1.3.
func (c *conn) doRcpt(arg []byte) {
	switch {
	case c.mail.tx == nil:
		c.wrong(replyMailFirst)
		return
	case c.body.open:
		c.wrong(replyInBdat)
		return
	}
	rest, ok := cutPrefixFold(arg, "TO:")
	if !ok {
		c.wrong(replyRcptSyntax)
		return
	}
	r, bad := c.parseRcpt(rest)
	c.mail.asked++
	o := &c.server.opts
	if c.mail.asked > overshoot*o.MaxRecipients {
		c.finalReply(replyOvershoot)
		return
	}
	switch bad {
	case "":
	case replyBadRcpt, replyUTF8:
		c.server.metrics.rcptRefused(doppelboden.Invalid)
		c.refuseForGood(bad)
		return
	default:
		c.mail.refused++
		c.mail.forGood = true
		c.wrong(bad)
		return
	}
	if c.mail.accepted >= o.MaxRecipients {
		c.mail.refused++
		c.server.metrics.rcptRefused(doppelboden.TooManyRecipients)
		c.reply(replyRcptLimit)
		return
	}
	if err := c.mail.tx.Rcpt(c.ctx, r); err != nil {
		c.refuseRcpt(err)
		return
	}
	c.mail.accepted++
	c.server.metrics.rcptTaken.Inc()
	c.reply(replyRcpt)
}

// refuseRcpt answers a recipient that the Intake does not take.
func (c *conn) refuseRcpt(err error) {
	c.server.metrics.rcptRefused(doppelboden.CodeOf(err))
	c.server.log.rcptRefused(c.ctx, err)
	r := errorReply(err, atRcpt)
	if !r.temporary() {
		c.refuseForGood(r)
		return
	}
	c.mail.refused++
	c.reply(r)
}

// refuseForGood answers a recipient that will never be taken, and ends the connection
// when there were too many.
func (c *conn) refuseForGood(r reply) {
	c.mail.refused++
	c.mail.forGood = true
	c.reply(r)
	// A hop brings the refusals of many clients.
	if c.refusals++; c.refusals >= c.server.opts.MaxRefusedRecipients && !c.hop.IsValid() {
		c.finalReply(replyRefusals)
	}
}

// parseRcpt reads what follows "RCPT TO:". bad is the reply when it is wrong.
func (c *conn) parseRcpt(arg []byte) (r Recipient, bad reply) {
	p, rest, ok := cutPath(bytes.TrimLeft(arg, " "))
	if !ok || p.address.IsNull() {
		return r, replyBadRcpt
	}
	if p.utf8 && !c.mail.utf8 {
		return r, replyUTF8
	}
	r.Address = p.address
	for {
		key, value, after, ok := nextParam(rest)
		if !ok {
			return r, replyParam
		}
		rest = after
		switch key {
		case "":
			return r, ""
		case "NOTIFY": // RFC 3461, section 4.1
			if r.Notify != "" {
				return r, replyTwice
			}
			if !isNotify(value) {
				return r, replyParam
			}
			r.Notify = string(value)
		case "ORCPT": // RFC 3461, section 4.2
			if r.ORcpt != "" {
				return r, replyTwice
			}
			if !isORcpt(value, c.mail.utf8) {
				return r, replyParam
			}
			r.ORcpt = string(value)
		default:
			return r, replyNoParam // RFC 5321, section 4.1.1.11
		}
	}
}
