package smtpd

// doRset: RFC 5321, section 4.1.1.5.
func (c *conn) doRset(arg []byte) {
	if len(arg) > 0 {
		c.wrong(replyNoArgument)
		return
	}
	if !c.useless() {
		return
	}
	c.endMail(verdictReset)
	c.chunksFailed = false
	c.reply(replyOK)
}

// doNoop: RFC 5321, section 4.1.1.9. An argument is ignored.
func (c *conn) doNoop([]byte) {
	if c.useless() {
		c.reply(replyOK)
	}
}

// doVrfy: RFC 5321, section 4.1.1.6.
func (c *conn) doVrfy(arg []byte) {
	if len(arg) == 0 {
		c.wrong(replyArgument)
		return
	}
	if c.useless() {
		c.reply(replyVrfy)
	}
}

// doHelp: RFC 5321, section 4.1.1.8.
func (c *conn) doHelp([]byte) {
	if c.useless() {
		c.reply(replyHelp)
	}
}

// doQuit: RFC 5321, section 4.1.1.10.
func (c *conn) doQuit(arg []byte) {
	if len(arg) > 0 {
		c.wrong(replyNoArgument)
		return
	}
	c.endMail(verdictReset)
	c.reply(replyBye)
	c.closing = true
}
