package smtpd

import "strconv"

// ehloHead returns what the reply to EHLO begins with, and ehloTail what it ends with,
// whoever asks: RFC 5321, section 4.1.1.1. BINARYMIME is not among the extensions, so
// that bodies consist of lines.
func ehloHead(o *Options) string {
	return "250-" + o.Hostname + "\r\n" +
		"250-PIPELINING\r\n" + // RFC 2920
		"250-SIZE " + strconv.FormatInt(o.MaxSize, 10) + "\r\n" // RFC 1870
}

const ehloTail = "250-ENHANCEDSTATUSCODES\r\n" + // RFC 2034
	"250-8BITMIME\r\n" + // RFC 6152
	"250-DSN\r\n" + // RFC 3461
	"250-SMTPUTF8\r\n" + // RFC 6531
	"250 CHUNKING\r\n" // RFC 3030

// doEhlo: RFC 5321, section 4.1.1.1. It resets like RSET.
func (c *conn) doEhlo(arg []byte) {
	if !c.hello(arg, true) {
		return
	}
	c.wire.append(c.server.ehloHead)
	if c.tls == nil && c.server.opts.TLS != nil {
		c.wire.append("250-STARTTLS\r\n") // RFC 3207
	}
	if c.mayLogIn() {
		c.wire.append(ehloAuth) // RFC 4954, section 3
	}
	if c.hop.IsValid() {
		c.wire.append(ehloXclient)
	}
	c.wire.append(ehloTail)
}

// doHelo: RFC 5321, section 4.1.1.1.
func (c *conn) doHelo(arg []byte) {
	if c.hello(arg, false) {
		c.wire.append("250 ", c.server.opts.Hostname, "\r\n")
	}
}

// hello notes the client's claim. RFC 5321, section 4.1.4: it is not verified, but it
// must be something that may stand in a Received line.
func (c *conn) hello(arg []byte, extended bool) bool {
	if c.helo != "" && !c.useless() {
		return false
	}
	if !isHelo(arg) {
		c.wrong(replyHelo)
		return false
	}
	c.endMail(verdictReset)
	c.helo, c.extended = string(arg), extended
	if c.told.helo != "" {
		c.helo = c.told.helo // the hop greets for its client
	}
	return true
}

// isHelo takes what real clients call themselves: host names (also with "_"), address
// literals; RFC 5321, section 4.1.3. At most 255 octets: section 4.5.3.1.2.
func isHelo(s []byte) bool {
	for _, b := range s {
		switch {
		case isAlnum(b), b == '-', b == '.', b == '_', b == '[', b == ']', b == ':':
		default:
			return false
		}
	}
	return len(s) > 0 && len(s) <= 255
}
