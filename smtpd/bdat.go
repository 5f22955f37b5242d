package smtpd

import (
	"bytes"
	"strings"

	"doppelboden"
)

// smallChunk is below which size a chunk counts as a command that leads nowhere: 1,024
// octets. 50 MB in chunks of one octet would be 50 million commands for one mail.
const smallChunk = 1 << 10

// doBdat: RFC 3030, section 2. The octets are read in any case, so that they are never
// taken for commands.
func (c *conn) doBdat(arg []byte) {
	size, last, ok := parseBdat(arg)
	if !ok {
		// Nobody knows how many octets follow.
		c.errors++
		c.finalReply(replyBdatSyntax)
		return
	}
	if size > flood*c.server.opts.MaxSize {
		c.endMail(doppelboden.TooLarge.String())
		c.finalReply(replyFlood)
		return
	}
	if size < smallChunk && !last && !c.useless() {
		return
	}
	if bad := c.chunkRefused(size); bad != "" {
		c.refuseChunk(size, last, bad)
		return
	}
	if !c.body.open {
		c.startBody(true)
		c.startProgress()
	}
	if !c.readChunk(size, func(p []byte) { c.body.take(p) }) {
		return
	}
	switch {
	case last:
		c.body.finish()
		c.commit()
	case c.body.hopeless():
		err := c.body.err()
		c.server.log.bodyRefused(c.ctx, err)
		c.endMail(doppelboden.CodeOf(err).String())
		c.chunksFailed = true
		c.reply(errorReply(err, atBody))
	default:
		c.reply(replyOK)
	}
}

// chunkRefused returns the reply when a chunk of this size cannot be taken, or "".
func (c *conn) chunkRefused(size int64) reply {
	switch {
	case c.mail.tx == nil && c.chunksFailed:
		return replyBdatOver
	case c.bodyRefused() != "":
		return c.bodyRefused()
	case c.body.size+size > c.server.opts.MaxSize:
		return replySize
	}
	return ""
}

// refuseChunk discards a chunk and then answers it. The mail has failed with it, and
// what the client has sent behind it is to be discarded as well.
func (c *conn) refuseChunk(size int64, last bool, bad reply) {
	if !c.body.open {
		c.startProgress()
	}
	if !c.readChunk(size, func([]byte) {}) {
		return
	}
	switch {
	case bad == replyBdatOver:
		c.reply(bad)
	case bad == replySize:
		c.endMail(doppelboden.TooLarge.String())
		c.reply(bad)
	default:
		c.endMail(verdictReset)
		c.wrong(bad)
	}
	c.chunksFailed = !last
}

// readChunk reads size octets and gives them to use. It returns false when the
// connection broke.
func (c *conn) readChunk(size int64, use func([]byte)) bool {
	c.inData = true
	defer func() { c.inData = false }()
	if size > int64(len(c.wire.buffered())) {
		c.wire.borrow()
	}
	for size > 0 {
		have := c.wire.buffered()
		if len(have) == 0 {
			if err := c.wire.fill(); err != nil {
				c.bodyBroke(err)
				return false
			}
			continue
		}
		have = have[:min(int64(len(have)), size)]
		use(have)
		c.wire.r += len(have)
		size -= int64(len(have))
	}
	return true
}

// parseBdat reads "size [LAST]": RFC 3030, section 2; the size has up to 20 digits.
func parseBdat(arg []byte) (size int64, last, ok bool) {
	number, word, has := bytes.Cut(arg, []byte(" "))
	if has && !strings.EqualFold(string(word), "LAST") {
		return 0, false, false
	}
	size, ok = parseSize(number)
	return size, has, ok
}
