package smtpd

import (
	"bytes"
	"strings"

	"doppelboden"
)

// A verdict names how a transaction ended, for the log and metrics: "kept", the name of
// a doppelboden.Code, or one of these.
const (
	verdictKept  = "kept"
	verdictReset = "reset" // the client thought better of it
	verdictGone  = "gone"  // the connection ended first
	verdictSlow  = "slow"  // the body came too slowly
)

// A transaction is what MAIL began.
type transaction struct {
	tx       Transaction // nil: none
	utf8     bool        // SMTPUTF8 was asked for
	proto    string      // for the log
	accepted int         // recipients
	asked    int         // RCPT commands
	refused  int         // RCPT commands refused, now or for good
	forGood  bool        // at least one of them for good
}

// doMail: RFC 5321, section 4.1.1.2.
func (c *conn) doMail(arg []byte) {
	switch {
	case c.helo == "":
		c.wrong(replyHeloFirst)
		return
	case c.mail.tx != nil:
		c.wrong(replyNested)
		return
	}
	rest, ok := cutPrefixFold(arg, "FROM:")
	if !ok {
		c.wrong(replyMailSyntax)
		return
	}
	login := ""
	if gate := c.server.opts.Gate; gate != nil {
		if login = c.sender(gate); login == "" {
			c.refuseStranger()
			return
		}
	}
	e, bad := c.parseMail(rest)
	e.Login = login
	switch bad {
	case "":
	case replySize, replyUTF8:
		c.refuseMail(bad) // a proper client may ask for that
		return
	default:
		c.wrong(bad)
		return
	}
	tx, err := c.server.opts.Intake.Begin(c.ctx, e)
	if err != nil {
		c.server.metrics.mailRefused(doppelboden.CodeOf(err))
		c.server.log.mailRefused(c.ctx, err)
		c.refuseMail(errorReply(err, atMail))
		return
	}
	c.chunksFailed = false
	c.mail = transaction{tx: tx, utf8: e.SMTPUTF8, proto: e.Proto}
	c.reply(replySender)
}

// refuseMail answers a MAIL that is well formed and not taken.
func (c *conn) refuseMail(r reply) {
	if c.useless() {
		c.reply(r)
	}
}

// parseMail reads what follows "MAIL FROM:". bad is the reply when it is wrong.
func (c *conn) parseMail(arg []byte) (e Envelope, bad reply) {
	// Some clients put a space after the colon; it does no harm.
	p, rest, ok := cutPath(bytes.TrimLeft(arg, " "))
	if !ok || !p.address.IsNull() && p.address.Domain == "" {
		return e, replyBadSender
	}
	e = Envelope{Peer: c.peer, Helo: c.helo, TLS: c.tls, Sender: p.address}
	seen := 0
	for {
		key, value, after, ok := nextParam(rest)
		if !ok {
			return e, replyParam
		}
		if key == "" {
			break
		}
		rest = after
		if key == "AUTH" && c.server.opts.Gate != nil {
			// RFC 4954, section 5: it is understood where AUTH is offered. What it says is
			// passed on by nobody we know of, so it is forgotten.
			if seen&bitAuth != 0 {
				return e, replyTwice
			}
			if value == nil || !isXtext(value, e.SMTPUTF8) {
				return e, replyParam
			}
			seen |= bitAuth
			continue
		}
		bit, bad := e.set(key, value)
		if bad != "" {
			return e, bad
		}
		if seen&bit != 0 {
			return e, replyTwice
		}
		seen |= bit
	}
	if p.utf8 && !e.SMTPUTF8 {
		return e, replyUTF8
	}
	if e.Size > c.server.opts.MaxSize {
		return e, replySize
	}
	e.PeerName, e.Hop, e.Told = c.peerName(), c.hop, c.told.client
	e.Proto = c.proto(e.SMTPUTF8)
	return e, ""
}

// bitAuth is the bit of the AUTH parameter among those that set returns.
const bitAuth = 32

// set takes one parameter of MAIL and returns a bit that is its own.
func (e *Envelope) set(key string, value []byte) (bit int, bad reply) {
	switch key {
	case "SIZE": // RFC 1870, section 3
		size, ok := parseSize(value)
		if !ok {
			return 0, replyParam
		}
		e.Size = size
		return 1, ""
	case "BODY": // RFC 6152, section 2; BINARYMIME is not announced
		if e.EightBit = strings.EqualFold(string(value), "8BITMIME"); !e.EightBit &&
			!strings.EqualFold(string(value), "7BIT") {
			return 0, replyNoParam
		}
		return 2, ""
	case "SMTPUTF8": // RFC 6531, section 3.4
		if value != nil {
			return 0, replyParam
		}
		e.SMTPUTF8 = true
		return 4, ""
	case "RET": // RFC 3461, section 4.3
		e.Ret = strings.ToUpper(string(value))
		if e.Ret != "FULL" && e.Ret != "HDRS" {
			return 0, replyParam
		}
		return 8, ""
	case "ENVID": // RFC 3461, section 4.4: at most 100 characters
		if len(value) > 100 || !isXtext(value, false) {
			return 0, replyParam
		}
		e.EnvID = string(value)
		return 16, ""
	}
	return 0, replyNoParam // RFC 5321, section 4.1.1.11
}

// proto names how the mail came: RFC 3848; RFC 6531, section 4.3.
func (c *conn) proto(utf8 bool) string {
	switch {
	case utf8 && c.tls != nil && c.login != "":
		return "UTF8SMTPSA"
	case c.tls != nil && c.login != "":
		return "ESMTPSA"
	case utf8 && c.tls != nil:
		return "UTF8SMTPS"
	case utf8:
		return "UTF8SMTP"
	case c.tls != nil:
		return "ESMTPS"
	case c.extended:
		return "ESMTP"
	}
	return "SMTP"
}

// endMail ends a transaction that was not kept, if there is one.
func (c *conn) endMail(verdict string) {
	if c.mail.tx == nil {
		return
	}
	tx := c.mail.tx
	c.mail.tx = nil
	c.noteEnd(verdict, Kept{})
	tx.Abort()
	c.mail = transaction{}
	c.body = body{}
}

// noteEnd counts and logs how a transaction ended.
func (c *conn) noteEnd(verdict string, kept Kept) {
	c.server.metrics.ended(verdict)
	c.server.log.ended(c.keep, record{
		kept: kept, verdict: verdict, proto: c.mail.proto, size: c.body.size,
		recipients: c.mail.accepted, refused: c.mail.refused, peer: c.peer, helo: c.helo,
	})
}

// cutPrefixFold cuts prefix, in either case, from the front of s.
func cutPrefixFold(s []byte, prefix string) ([]byte, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(string(s[:len(prefix)]), prefix) {
		return nil, false
	}
	return s[len(prefix):], true
}
