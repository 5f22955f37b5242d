package letter

import (
	"bytes"
	"io"
)

// maxUU is how many uuencoded files one text may hold.
const maxUU = 50

// takeUU returns the uuencoded files in a text, and takes them out of it. Nothing but old
// programs and viruses writes such mail; so it is named for what it is.
func (n *node) takeUU() (files []*node) {
	if n.kind != "text/plain" || n.encoded() || !bytes.Contains(n.content, []byte("begin ")) {
		return nil
	}
	var kept []byte
	rest := n.content
	for at := 0; at < len(rest) && len(files) < maxUU; {
		line := rest[at:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		begin, size := at+len(line), 0
		// Lines may look encoded for as long as the mail is: they are looked at only where a file
		// may begin. No line that begins one looks encoded, so each line is looked at twice at most.
		name, ok := uuBegin(line)
		if ok {
			size = uuLines(rest[begin:])
		}
		if size > 0 {
			kept = append(kept, rest[:at]...)
			files = append(files, &node{kind: "application/x-uuencode", name: FileName(name), place: "attachment",
				up: n, depth: n.depth + 1, uu: true, content: rest[begin : begin+size]})
			rest, at = rest[begin+size:], 0
			continue
		}
		at = begin
	}
	if len(files) > 0 {
		n.content = append(kept, rest...)
	}
	return files
}

// uuBegin reads "begin 644 name".
func uuBegin(line []byte) (name string, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte("begin "))
	if !ok {
		return "", false
	}
	mode, file, ok := bytes.Cut(bytes.TrimRight(rest, "\r\n"), []byte(" "))
	if !ok || len(mode) < 3 || len(mode) > 4 || len(bytes.Trim(mode, "01234567")) > 0 {
		return "", false
	}
	return fromUnknown(file), true
}

// afterBegin returns what follows the first "begin" line; without one, all of it.
func afterBegin(b []byte) []byte {
	for rest := b; len(rest) > 0; {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line = rest[:i+1]
		}
		rest = rest[len(line):]
		if _, ok := uuBegin(line); ok {
			return rest
		}
	}
	return b
}

// uuLines returns how many bytes of b are encoded lines, with the "end" behind them; 0 for
// none.
func uuLines(b []byte) int {
	at := 0
	for at < len(b) {
		line := b[at:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		text := bytes.TrimRight(line, "\r\n")
		if string(text) == "end" {
			if at == 0 {
				return 0
			}
			return at + len(line)
		}
		if len(text) == 0 || text[0] < ' ' || text[0] > '`' || len(text) > 1+4*((uuCount(text[0])+2)/3)+2 {
			break
		}
		at += len(line)
	}
	return at
}

// uuCount is how many bytes a line that begins with c holds.
func uuCount(c byte) int { return int(c-' ') & 0x3f }

// A uuReader decodes uuencoded lines.
type uuReader struct {
	rest []byte
	out  []byte // decoded and not given out yet
}

func (r *uuReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
		line := r.rest
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		r.rest = r.rest[len(line):]
		r.out = unuu(bytes.TrimRight(line, "\r\n"))
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// unuu decodes one line. Blanks at its end may have been lost on the way.
func unuu(line []byte) []byte {
	if len(line) == 0 || string(line) == "end" {
		return nil
	}
	count := uuCount(line[0])
	out := make([]byte, 0, count+3)
	at := func(i int) byte {
		if i < len(line) {
			return byte(uuCount(line[i]))
		}
		return 0
	}
	for i := 1; len(out) < count; i += 4 {
		a, b, c, d := at(i), at(i+1), at(i+2), at(i+3)
		out = append(out, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	return out[:count]
}
