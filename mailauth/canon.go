package mailauth

import (
	"bytes"
	"hash"
)

// A canon is a canonicalisation algorithm: RFC 6376, section 3.4.
type canon bool

const (
	simple  canon = false
	relaxed canon = true
)

// field appends a header field as the algorithm has it.
func (c canon) field(b []byte, f []byte) []byte {
	if c == simple {
		return append(b, f...) // section 3.4.1
	}
	// Section 3.4.2.
	i := bytes.IndexByte(f, ':')
	if i < 0 {
		return append(b, f...)
	}
	for _, x := range bytes.TrimRight(f[:i], " \t") {
		if x >= 'A' && x <= 'Z' {
			x += 'a' - 'A'
		}
		b = append(b, x)
	}
	b = append(b, ':')
	begin, gap := len(b), false
	for _, x := range f[i+1:] {
		switch x {
		case ' ', '\t', '\r', '\n':
			gap = true
			continue
		}
		if gap && len(b) > begin {
			b = append(b, ' ')
		}
		b, gap = append(b, x), false
	}
	return append(b, "\r\n"...)
}

// A bodyHash takes a body in pieces and hashes it as its algorithm has it, up to a limit.
// Lines end in CRLF; a lone CR or LF is an octet like any other.
type bodyHash struct {
	canon canon
	limit int64 // of octets that are signed (l=); negative: all
	sum   hash.Hash

	size  int64 // octets of the whole canonical body
	empty int64 // line ends that are held back: they count only if more follows
	cr    bool  // the last octet was a CR that may begin a line end
	gap   bool  // relaxed: white space is held back
	held  int   // octets in buf that are not hashed yet
	buf   [1 << 10]byte
}

// write takes the next piece.
func (h *bodyHash) write(p []byte) {
	if h.cr && len(p) > 0 {
		h.cr = false
		if p[0] == '\n' {
			h.endLine()
			p = p[1:]
		} else {
			h.put([]byte{'\r'})
		}
	}
	for len(p) > 0 {
		n := h.run(p)
		if n > 0 {
			h.put(p[:n])
			p = p[n:]
			continue
		}
		switch {
		case p[0] != '\r': // white space
			h.gap = true
		case len(p) == 1:
			h.cr = true
		case p[1] == '\n':
			h.endLine()
			p = p[1:]
		default:
			h.put(p[:1])
		}
		p = p[1:]
	}
}

// run returns how many octets from the front of p stand for themselves.
func (h *bodyHash) run(p []byte) int {
	if h.canon == simple {
		if n := bytes.IndexByte(p, '\r'); n >= 0 {
			return n
		}
		return len(p)
	}
	for i, c := range p {
		if c == ' ' || c == '\t' || c == '\r' {
			return i
		}
	}
	return len(p)
}

// put takes octets of a line, and what was held back before them.
func (h *bodyHash) put(p []byte) {
	for ; h.empty > 0; h.empty-- {
		h.add(lineEnd)
	}
	if h.gap {
		h.gap = false
		h.add(space)
	}
	h.add(p)
}

var lineEnd, space = []byte("\r\n"), []byte(" ")

// add takes canonical octets. Few are gathered; many go to the hash at once.
func (h *bodyHash) add(p []byte) {
	if h.held+len(p) > len(h.buf) {
		h.flush()
	}
	if len(p) > len(h.buf) {
		h.hash(p)
		return
	}
	h.held += copy(h.buf[h.held:], p)
}

// endLine takes a line end. White space before it is nothing (section 3.4.4).
func (h *bodyHash) endLine() {
	h.gap = false
	h.empty++
}

// flush hashes what has gathered.
func (h *bodyHash) flush() {
	h.hash(h.buf[:h.held])
	h.held = 0
}

// hash hashes octets, up to the limit, and counts them all.
func (h *bodyHash) hash(p []byte) {
	size := int64(len(p))
	if h.limit >= 0 {
		p = p[:max(0, min(size, h.limit-h.size))]
	}
	h.sum.Write(p)
	h.size += size
}

// end takes the end of the body and returns the hash.
func (h *bodyHash) end() []byte {
	if h.cr {
		h.cr = false
		h.put([]byte{'\r'})
	}
	h.gap = false
	// A body that is not empty ends in one line end, and so does an empty one in simple:
	// sections 3.4.3 and 3.4.4. Lines that were empty before count no more.
	if h.size > 0 || h.held > 0 || h.canon == simple {
		h.add(lineEnd)
	}
	h.flush()
	return h.sum.Sum(nil)
}
