package courier

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"doppelboden"
)

const (
	// maxReplyLine is four times what RFC 5321, section 4.5.3.1.5, allows: real servers
	// put long URLs into their replies.
	maxReplyLine = 2048
	// maxReplyLines is more than any server needs, also for EHLO.
	maxReplyLines = 100
	// maxReplyKept bounds what is kept of a reply in memory; it holds any EHLO.
	maxReplyKept = 16 << 10
	// maxReplyText is the bound that doppelboden.Reply states.
	maxReplyText = 1000
)

// errNonsense is in the tree of every error that says: this is not SMTP.
var errNonsense = errors.New("not an SMTP reply")

// A reply is what the server said, as it came.
type reply struct {
	code int
	text []byte // the lines without code and line end, joined by LF; valid until the next read
}

// class returns the first digit of the code.
func (r reply) class() int { return r.code / 100 }

// readReply reads one reply: RFC 5321, section 4.2. The text is appended to scratch.
// After an error the stream is of no more use.
func readReply(r *bufio.Reader, scratch []byte) (reply, error) {
	rep := reply{text: scratch[:0]}
	for n := range maxReplyLines {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) || err == nil && len(line) > maxReplyLine {
			return rep, fmt.Errorf("%w: line longer than %d octets", errNonsense, maxReplyLine)
		}
		if err != nil {
			return rep, err
		}
		code, more, text, ok := cutReplyLine(line)
		if !ok {
			return rep, fmt.Errorf("%w: %.80q", errNonsense, line)
		}
		// Section 4.2.1: all lines carry the same code. Where they do not, nobody can
		// know which one is meant.
		if n > 0 && code != rep.code {
			return rep, fmt.Errorf("%w: codes %d and %d in one reply", errNonsense, rep.code, code)
		}
		rep.code = code
		if len(rep.text)+len(text) < maxReplyKept {
			if n > 0 {
				rep.text = append(rep.text, '\n')
			}
			rep.text = append(rep.text, text...)
		}
		if !more {
			return rep, nil
		}
	}
	return rep, fmt.Errorf("%w: more than %d lines", errNonsense, maxReplyLines)
}

// cutReplyLine takes one line of a reply apart. A bare LF at its end is accepted: it
// cannot be mistaken for anything else.
func cutReplyLine(line []byte) (code int, more bool, text []byte, ok bool) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, false, nil, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, nil, true
	}
	switch line[3] {
	case ' ':
		return code, false, line[4:], true
	case '-':
		return code, true, line[4:], true
	}
	return 0, false, nil, false
}

// isDigit reports whether c is an ASCII digit.
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// public returns the reply as it may be stored and shown: its lines joined, with the
// enhanced code where it stood, and made harmless.
func (r reply) public() doppelboden.Reply {
	out := doppelboden.Reply{Code: r.code}
	var b strings.Builder
	for i, line := range strings.Split(string(r.text), "\n") {
		if i == 0 {
			out.Enhanced = enhanced(line, r.class())
		}
		if line = strings.Trim(line, " \t"); line == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(" / ")
		}
		b.WriteString(line)
	}
	out.Text = harmless(b.String())
	return out
}

// enhanced returns the enhanced status code at the front of a line, or "": RFC 3463,
// section 2, "class . subject . detail". One whose class contradicts the reply's code
// (RFC 2034, section 4) is nothing but text.
func enhanced(line string, class int) string {
	token, _, _ := strings.Cut(line, " ")
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || int(token[0]-'0') != class || class == 3 {
		return ""
	}
	for _, part := range parts[1:] {
		if len(part) < 1 || len(part) > 3 || strings.Trim(part, "0123456789") != "" {
			return ""
		}
	}
	return token
}

// harmless makes one line of at most maxReplyText bytes from a stranger's words: no
// control characters, no invalid UTF-8, nothing that turns the direction of writing.
func harmless(s string) string {
	plain := len(s) <= maxReplyText
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !unicode.IsGraphic(r) { // control, format, line and paragraph separators
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > maxReplyText {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
