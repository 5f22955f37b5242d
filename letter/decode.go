package letter

import (
	"bytes"
	"encoding/base64"
	"io"
)

// decoded gives the bytes of a leaf without their transfer encoding: RFC 2045, section 6.
func (n *node) decoded() io.Reader {
	if n.uu {
		return &uuReader{rest: n.content}
	}
	switch n.encoding {
	case "base64":
		return &base64Reader{rest: n.content}
	case "quoted-printable":
		return &qpReader{rest: n.content}
	case "x-uuencode", "uuencode", "x-uue":
		return &uuReader{rest: afterBegin(n.content)}
	}
	return bytes.NewReader(n.content)
}

// encoded reports whether a leaf has a transfer encoding that decoded takes off.
func (n *node) encoded() bool {
	switch n.encoding {
	case "base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue":
		return true
	}
	return false
}

// decodedSize is how many bytes decoded gives at most, but for uuencoded lines, which may have
// lost the blanks at their ends.
func (n *node) decodedSize() int {
	if n.encoding == "base64" {
		return len(n.content)/4*3 + 3
	}
	return len(n.content)
}

// A base64Reader decodes base64 and passes over what is none: line breaks, and what
// mailers and viruses add. RFC 2045, section 6.8.
type base64Reader struct {
	rest []byte
	out  []byte // decoded and not given out yet
	buf  [768]byte
}

func (r *base64Reader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
		r.fill()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// fill decodes the next letters, up to the end of the content or of one encoded run.
func (r *base64Reader) fill() {
	var group [1024]byte
	n, i := 0, 0
	for ; i < len(r.rest) && n < len(group); i++ {
		c := r.rest[i]
		if c == '=' { // the run ends here; what follows is another one, or nothing
			for i < len(r.rest) && (r.rest[i] == '=' || r.rest[i] == '\r' || r.rest[i] == '\n') {
				i++
			}
			break
		}
		if isBase64(c) {
			group[n] = c
			n++
		}
	}
	r.rest = r.rest[i:]
	if n%4 == 1 {
		n--
	}
	size, _ := base64.RawStdEncoding.Decode(r.buf[:], group[:n]) // it holds letters of base64 alone
	r.out = r.buf[:size]
}

// A qpReader decodes quoted-printable, and leaves alone what is none: RFC 2045, section 6.7.
type qpReader struct {
	rest []byte
	out  []byte // decoded and not given out yet
	buf  []byte
}

func (r *qpReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
		r.line()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// line decodes one line.
func (r *qpReader) line() {
	line := r.rest
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i+1]
	}
	r.rest = r.rest[len(line):]
	text := bytes.TrimRight(line, " \t\r\n")
	end := line[len(bytes.TrimRight(line, "\r\n")):]
	if bytes.HasSuffix(text, []byte("=")) { // a soft line break
		text, end = text[:len(text)-1], nil
	}
	r.buf = r.buf[:0]
	for i := 0; i < len(text); i++ {
		if text[i] == '=' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]) {
			r.buf = append(r.buf, unhex(text[i+1])<<4|unhex(text[i+2]))
			i += 2
			continue
		}
		r.buf = append(r.buf, text[i])
	}
	r.buf = append(r.buf, end...)
	r.out = r.buf
}
