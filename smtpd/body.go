package smtpd

import (
	"bytes"
	"io"

	"doppelboden"
)

// crlf is the only line end that leaves a body.
var crlf = []byte("\r\n")

// A body takes the octets of one mail as they come in, in pieces of any size, and gives
// them on: dots unstuffed (DATA only), every line end CRLF.
//
// It finds what SMTP cannot carry but does not stop there: the caller feeds it to the
// true end, so that the connection stays in step, and then asks err.
//
// A line has no length limit: nothing is held back but a dot, or a dot and a CR, at the
// start of a line. Lines over 998 octets (RFC 5321, section 4.5.3.1.6) are kept as they
// came, for what is stored is what came.
type body struct {
	to      io.Writer // the Transaction
	max     int64     // octets that we take
	lf      BareLF    // what becomes of a bare LF
	mend    bool      // a CR without LF becomes CRLF, and NULs are left out
	chunked bool      // BDAT: a dot is nothing special
	open    bool      // BDAT has begun and LAST has not come

	lineStart bool  // the last two octets were CRLF, or nothing came yet
	lineEnded bool  // the last octet was a LF, bare or not
	lastCR    bool  // the last octet was CR
	cr, pairs int64 // how many CR came, and how many CRLF
	nul       bool  // a NUL came
	bareLF    bool  // a LF without CR came

	openCR bool   // mend: a CR came, and its LF may follow
	mended []byte // what mend made of a piece

	size   int64 // octets for the Transaction, also those it was spared
	failed error // the first error of to
}

// start makes b ready for the next mail.
func (b *body) start(to io.Writer, max int64, lf BareLF, chunked bool) {
	*b = body{to: to, max: max, lf: lf, chunked: chunked, open: chunked, lineStart: true}
}

// take reads p and returns how many of its octets are done with, and whether the end of
// the mail was among them. When it returns fewer than len(p) without the end, it needs
// to see the rest again together with what follows; that is one or two octets.
//
// It looks at line ends only, found by bytes.IndexByte; NULs and lone CRs are found by
// counting over the whole of p.
func (b *body) take(p []byte) (n int, end bool) {
	from, i := 0, 0 // p[from:i] is seen and not yet written
	for i < len(p) {
		// RFC 5321, section 4.5.2: only after CRLF does a dot mean anything, so a
		// dot line that a bare LF begins or ends is content.
		if b.lineStart && p[i] == '.' && !b.chunked {
			rest := p[i:]
			if len(rest) < 2 || len(rest) < 3 && rest[1] == '\r' {
				b.write(p[from:i])
				b.count(p[:i])
				return i, false
			}
			b.write(p[from:i])
			if rest[1] == '\r' && rest[2] == '\n' {
				b.pairs++
				b.count(p[:i+3])
				return i + 3, true
			}
			i++
			from = i
		}
		b.lineStart, b.lineEnded = false, false
		lf := bytes.IndexByte(p[i:], '\n')
		if lf < 0 {
			break
		}
		lf += i
		if lf > 0 && p[lf-1] == '\r' || lf == 0 && b.lastCR {
			b.pairs++
			b.lineStart = true
		} else {
			b.bareLF = true
			b.write(p[from:lf])
			b.write(crlf)
			from = lf + 1
		}
		b.lineEnded = true
		i = lf + 1
	}
	b.write(p[from:])
	b.count(p)
	return len(p), false
}

// count notes the NULs and CRs of what take is done with.
func (b *body) count(p []byte) {
	if len(p) == 0 {
		return
	}
	b.lastCR = p[len(p)-1] == '\r'
	b.cr += int64(bytes.Count(p, crlf[:1]))
	b.nul = b.nul || !b.mend && bytes.IndexByte(p, 0) >= 0
}

// write gives p to the Transaction, as long as the mail can still be taken.
func (b *body) write(p []byte) {
	came := len(p)
	if b.mend {
		p = b.repair(p)
	}
	b.size += int64(max(len(p), came)) // NULs count: nobody may send them for ever
	if len(p) == 0 {
		return
	}
	if b.size > b.max || b.failed != nil || b.nul {
		return
	}
	_, b.failed = b.to.Write(p)
}

// repair returns p without NULs and with every CR part of a CRLF. A CR at the end of p
// waits for what follows. What is returned is valid until the next call.
//
// RFC 6409, section 8: a submission server may repair what its own clients send; RFC
// 5321, section 2.3.8, forbids to send CR and LF but as a pair.
func (b *body) repair(p []byte) []byte {
	if !b.openCR && bytes.IndexByte(p, 0) < 0 && bytes.Count(p, crlf[:1]) == bytes.Count(p, crlf) {
		return p
	}
	out := b.mended[:0]
	for _, c := range p {
		if c == 0 {
			continue
		}
		if b.openCR {
			out = append(out, crlf...)
			if b.openCR = false; c == '\n' {
				continue
			}
		}
		if b.openCR = c == '\r'; !b.openCR {
			out = append(out, c)
		}
	}
	b.mended = out
	return out
}

// finish ends a body that BDAT brought: its last line gets the CRLF that a body in DATA
// always has, so that both forms of a mail give the same octets.
func (b *body) finish() {
	if (b.size > 0 || b.openCR) && !b.lineEnded {
		if b.openCR {
			b.write(crlf[1:]) // its CR is waiting
			return
		}
		b.write(crlf)
	}
}

// hopeless reports whether nothing that may still come can save the mail.
func (b *body) hopeless() bool { return b.nul || b.size > b.max || b.failed != nil }

// err returns why the mail cannot be taken, or nil. It is right only after the end, or
// when hopeless.
func (b *body) err() error {
	bad := func(c doppelboden.Code, text string) error { return &doppelboden.Error{Code: c, Public: text} }
	switch {
	case b.nul:
		return bad(doppelboden.BadMessage, "message contains a NUL octet (RFC 5321, section 4.5.2)")
	case b.cr != b.pairs && !b.mend:
		return bad(doppelboden.BadMessage, "message contains a CR without LF (RFC 5321, section 2.3.8)")
	case b.bareLF && b.lf == RefuseBareLF:
		return bad(doppelboden.BadMessage, "message contains a LF without CR (RFC 5321, section 2.3.8)")
	case b.size > b.max:
		return bad(doppelboden.TooLarge, "message is larger than the SIZE we announce")
	}
	return b.failed
}
