package smtpd

import "bytes"

// command runs one command: RFC 5321, section 4.1.1.
func (c *conn) command(line []byte) {
	afterRefusal := c.refusedData
	c.refusedData = false
	for _, b := range line {
		if b < ' ' || b == 0x7f {
			c.unknown(replyControl, afterRefusal)
			return
		}
	}
	// RFC 5321, section 4.1.1: trailing white space is tolerated.
	verb, arg, _ := bytes.Cut(bytes.TrimRight(line, " "), []byte(" "))
	run := lookUp(verb)
	if run == nil {
		c.unknown(replyUnknown, afterRefusal)
		return
	}
	run(c, arg)
}

// unknown answers what is no command of ours. After a refused DATA it is the body that
// the client sent all the same: what follows must not be read as commands.
func (c *conn) unknown(r reply, afterRefusal bool) {
	if afterRefusal {
		c.finalReply(replyUnsafe)
		return
	}
	c.wrong(r)
}

// longestVerb is the length of STARTTLS.
const longestVerb = 8

// lookUp returns what runs the command, or nil. Verbs are the same in either case:
// RFC 5321, section 2.4.
func lookUp(verb []byte) func(*conn, []byte) {
	var upper [longestVerb]byte
	if len(verb) > longestVerb {
		return nil
	}
	for i, b := range verb {
		if b >= 'a' && b <= 'z' {
			b -= 'a' - 'A'
		}
		upper[i] = b
	}
	switch string(upper[:len(verb)]) {
	case "MAIL":
		return (*conn).doMail
	case "RCPT":
		return (*conn).doRcpt
	case "DATA":
		return (*conn).doData
	case "BDAT":
		return (*conn).doBdat
	case "EHLO":
		return (*conn).doEhlo
	case "HELO":
		return (*conn).doHelo
	case "STARTTLS":
		return (*conn).doStartTLS
	case "RSET":
		return (*conn).doRset
	case "NOOP":
		return (*conn).doNoop
	case "QUIT":
		return (*conn).doQuit
	case "VRFY":
		return (*conn).doVrfy
	case "HELP":
		return (*conn).doHelp
	case "AUTH":
		return (*conn).doAuth
	case "XCLIENT":
		return (*conn).doXclient
	case "EXPN", "ETRN", "TURN", "SEND", "SOML", "SAML":
		return (*conn).notDone
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "PATCH", "DELETE":
		return (*conn).notForHTTP
	}
	return nil
}

// notDone answers commands that exist but not here: RFC 5321, section 4.2.4.
func (c *conn) notDone([]byte) { c.wrong(replyNotDone) }

// notForHTTP answers a browser that was led to this port. Its body, which somebody else
// wrote, must not be read as commands.
func (c *conn) notForHTTP([]byte) { c.finalReply(replyNotForHTTP) }
