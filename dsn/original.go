package dsn

import (
	"bytes"
	"strings"

	"doppelboden"
)

// maxHeader bounds the header that is returned, in octets. Real ones have 2 to 20 KB.
const maxHeader = 64 << 10

// maxLine is the greatest length of a line without its CRLF: RFC 5322, section 2.1.1.
const maxLine = 998

// originalPart returns the message or its header, RFC 6522, section 3, and whether it is
// the whole message.
func (r *Report) originalPart() (p part, whole bool) {
	if r.returnsAll() {
		if p, ok := r.wholePart(); ok {
			return p, true
		}
	}
	header := cutHeader(r.Original.Header)
	p = part{kind: "text/rfc822-headers", about: "Header of the message", encoding: "7bit", body: header}
	if r.international() {
		// RFC 6533, section 6.1.
		p.kind = "message/global-headers"
	}
	if hasHigh(header) || !carriable(header) || r.international() {
		p.encoding, p.body = "quoted-printable", quoted(header)
	}
	return p, false
}

// returnsAll reports whether all of the message goes back: RFC 3461, section 4.3, has
// that only for failures.
func (r *Report) returnsAll() bool {
	if !r.Original.Whole {
		return false
	}
	for i := range r.Recipients {
		if r.Recipients[i].Action == Failed {
			return true
		}
	}
	return false
}

// wholePart returns the whole message; ok is false when no MIME part can carry it as it
// is: message/rfc822 must not be encoded (RFC 2046, section 5.2.1).
func (r *Report) wholePart() (part, bool) {
	o := r.Original
	body := bytes.Join([][]byte{bytes.TrimSuffix(o.Header, crlf), crlf, crlf, o.Body}, nil)
	if !bytes.HasSuffix(body, crlf) {
		body = append(body, crlf...)
	}
	if r.international() {
		// RFC 6533, section 6.2: message/global may be encoded.
		return part{kind: "message/global", about: "The message", encoding: "quoted-printable", body: quoted(body)}, true
	}
	if !carriable(body) {
		return part{}, false
	}
	p := part{kind: "message/rfc822", about: "The message", encoding: "7bit", body: body}
	if hasHigh(body) {
		p.encoding = "8bit"
	}
	return p, true
}

var crlf = []byte("\r\n")

// cutHeader bounds a header section, at the end of a line.
func cutHeader(h []byte) []byte {
	if len(h) > maxHeader {
		h = h[:maxHeader]
		if i := bytes.LastIndex(h, crlf); i >= 0 {
			h = h[:i+2]
		}
	}
	if !bytes.HasSuffix(h, crlf) {
		h = append(bytes.Clone(h), crlf...)
	}
	return h
}

// carriable reports whether octets can stand in a mail as they are: RFC 5322, section
// 2.1.1, and RFC 2045, section 2.7.
func carriable(p []byte) bool {
	for line := range bytes.SplitSeq(p, crlf) {
		if len(line) > maxLine || bytes.ContainsAny(line, "\r\n\x00") {
			return false
		}
	}
	return true
}

func hasHigh(p []byte) bool {
	for _, c := range p {
		if c > 127 {
			return true
		}
	}
	return false
}

// headerField returns the value of the first field of a name, unfolded, or "".
func headerField(header []byte, name string) string {
	for len(header) > 0 {
		var field []byte
		field, header = doppelboden.NextField(header)
		key, value, ok := bytes.Cut(field, []byte(":"))
		if ok && strings.EqualFold(string(bytes.TrimSpace(key)), name) {
			return strings.Join(strings.Fields(string(value[:min(len(value), 4096)])), " ")
		}
	}
	return ""
}

// messageID returns the original's Message-ID when it is one that can do no harm: RFC
// 5322, section 3.6.4, without quoted strings.
func messageID(header []byte) string {
	id := headerField(header, "Message-ID")
	if len(id) < 5 || len(id) > 250 || id[0] != '<' || id[len(id)-1] != '>' || strings.Count(id, "@") != 1 {
		return ""
	}
	for _, c := range []byte(id[1 : len(id)-1]) {
		if !isAlnum(c) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.@[]:", rune(c)) {
			return ""
		}
	}
	return id
}
