package smtpd

import (
	"crypto/tls"
	"time"
)

// doStartTLS: RFC 3207, section 4.
func (c *conn) doStartTLS(arg []byte) {
	switch {
	case c.server.opts.TLS == nil:
		c.wrong(replyNotDone)
	case len(arg) > 0:
		c.wrong(replyNoArgument)
	case c.tls != nil:
		c.wrong(replyTLSAlready)
	case c.mail.tx != nil:
		c.wrong(replyTLSInMail)
	case len(c.wire.buffered()) > 0:
		// What was sent in clear text after STARTTLS may be somebody else's; it must
		// not be read as if it had come through TLS (CVE-2011-0411).
		c.server.metrics.tlsFailed.Inc()
		c.finalReply(replyAfterTLSCmd)
	default:
		c.reply(replyStartTLS)
		c.handshake()
	}
}

// handshake puts TLS over the connection. Octets in clear text that arrive only now end
// up in the handshake and break it.
func (c *conn) handshake() {
	if c.wire.flush() != nil {
		c.closing = true
		return
	}
	c.window, c.overdue = time.Now().Add(c.server.opts.TLSTimeout), replyTimeout
	if c.arm() != nil || c.raw.SetWriteDeadline(c.window) != nil {
		c.closing = true
		return
	}
	secured := tls.Server(c.raw, c.server.opts.TLS)
	if err := secured.HandshakeContext(c.ctx); err != nil {
		c.server.metrics.tlsFailed.Inc()
		c.server.log.tlsFailed(err)
		c.closing = true
		return
	}
	c.server.metrics.tlsDone.Inc()
	state := secured.ConnectionState()
	c.tls = &state
	c.wire.conn = secured
	// RFC 3207, section 4.2: everything the client said before is forgotten.
	c.helo, c.extended, c.login = "", false, ""
	if c.hop.IsValid() {
		c.peer, c.told = c.hop, told{}
	}
}
