package smtpd

import (
	"errors"
	"os"
	"time"

	"doppelboden"
)

// flood is how many times MaxSize a body may have before we stop reading it. Up to
// there the sender gets its 552 at the end and gives up; beyond there is no end in sight.
const flood = 4

// doData: RFC 5321, section 4.1.1.4.
func (c *conn) doData(arg []byte) {
	if len(arg) > 0 {
		c.wrong(replyNoArgument)
		c.guardRefusedData()
		return
	}
	if bad := c.bodyRefused(); bad != "" {
		c.reply(bad)
		c.useless()
		c.guardRefusedData()
		return
	}
	if c.body.open {
		c.wrong(replyInBdat) // RFC 3030, section 3: DATA and BDAT do not mix
		c.guardRefusedData()
		return
	}
	c.reply(replyData)
	c.startBody(false)
	c.startProgress()
	if c.readBody() {
		c.commit()
	}
}

// startBody makes ready for the octets of a mail.
func (c *conn) startBody(chunked bool) {
	o := &c.server.opts
	c.body.start(c.mail.tx, o.MaxSize, o.BareLF, chunked)
	c.body.mend = o.Mend
}

// bodyRefused returns the reply when this is no time for a body, or "".
func (c *conn) bodyRefused() reply {
	switch {
	case c.mail.tx == nil:
		return replyMailFirst
	case c.mail.accepted > 0:
		return ""
	case c.mail.refused == 0:
		return replyRcptFirst
	case c.mail.forGood:
		return replyNoRcpt
	}
	return replyNoRcptNow
}

// guardRefusedData sees to it that a body which the client sends although DATA was
// refused is not read as commands: whoever wrote the body would then be the client.
// RFC 2920, section 3.1: DATA is the last command of a group, so a proper client has
// sent nothing behind it yet; and the next line it sends is a command.
func (c *conn) guardRefusedData() {
	c.refusedData = true
	if len(c.wire.buffered()) > 0 && !c.closing {
		c.finalReply(replyUnsafe)
	}
}

// readBody reads a body in DATA to its end. It returns false when there was none.
func (c *conn) readBody() bool {
	c.inData = true
	defer func() { c.inData = false }()
	c.wire.borrow()
	for {
		n, end := c.body.take(c.wire.buffered())
		c.wire.r += n
		if end {
			return true
		}
		if c.body.size > flood*c.server.opts.MaxSize {
			c.endMail(doppelboden.TooLarge.String())
			c.finalReply(replyFlood)
			return false
		}
		if err := c.wire.fill(); err != nil {
			c.bodyBroke(err)
			return false
		}
	}
}

// bodyBroke ends the connection in the middle of a body.
func (c *conn) bodyBroke(err error) {
	c.closing = true
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.endMail(verdictGone)
		return
	}
	c.endMail(verdictSlow)
	c.reply(c.overdue)
}

// commit answers the end of a body, however it came: 250 when and only when the message
// is kept.
func (c *conn) commit() {
	if c.wire.broken != nil { // the client will send it again: it cannot hear a 250
		c.endMail(verdictGone)
		return
	}
	began := c.server.opts.Clock()
	c.body.open = false
	kept, err := Kept{}, c.body.err()
	if err == nil {
		// A client that hangs up now stops nothing.
		kept, err = c.mail.tx.Commit(c.keep)
	}
	if err != nil {
		c.server.log.bodyRefused(c.ctx, err)
		c.endMail(doppelboden.CodeOf(err).String())
		c.reply(errorReply(err, atBody))
		return
	}
	tx := c.mail.tx
	c.mail.tx = nil // from here on there is nothing to abort
	c.wire.append("250 2.0.0 Ok: receipt ", kept.Receipt.String(), "\r\n")
	written := c.wire.flush() == nil
	tx.Acked(written)
	c.server.metrics.answered(c.server.opts.Clock().Sub(began), c.body.size, written)
	c.noteEnd(verdictKept, kept)
	c.mail, c.body = transaction{}, body{}
	c.errors, c.refusals, c.junk = 0, 0, 0
	c.lastMail = time.Now()
}
