package letter

import (
	"bytes"
	"strconv"
)

// A node is a part of a mail, with the parts below it.
type node struct {
	fields   []field
	kind     string            // media type in lower case
	params   map[string]string // of Content-Type
	place    string            // "inline", "attachment" or ""
	name     string            // safe, may be empty
	cid      string
	encoding string // Content-Transfer-Encoding in lower case
	boundary string // of a multipart that was opened
	content  []byte // what follows the header, still encoded; of a leaf
	kids     []*node
	message  *node // of a message/rfc822: the mail in it
	up       *node
	path     string
	depth    int
	uu       bool // content is uuencoded lines, found within a text
	hidden   bool // it is listed nowhere: a signature, or a picture that the text shows
	start    int  // where content begins in the data
}

// A scanner takes a mail apart, line by line. It looks at every line once, whatever is
// nested in what: an open boundary is found by its text.
type scanner struct {
	data   []byte
	pos    int
	limits Limits
	leave  func(Omission)
	open   []*node // multiparts that are open, the outermost first
	mails  []inner // mails in mails that have not ended, the outermost first
	parts  int
}

// An inner is a message/rfc822 that has begun.
type inner struct {
	n    *node
	open int // how many multiparts were open then
}

// line returns the line at s.pos with its end, and where the next one begins.
func (s *scanner) line() (line []byte, next int) {
	if i := bytes.IndexByte(s.data[s.pos:], '\n'); i >= 0 {
		return s.data[s.pos : s.pos+i+1], s.pos + i + 1
	}
	return s.data[s.pos:], len(s.data)
}

// boundary returns which open multipart a line belongs to, from 1 for the outermost; it is
// negative for the line that ends it, and 0 for any other line. RFC 2046, section 5.1.1.
func (s *scanner) boundary(line []byte) int {
	if len(line) < 3 || line[0] != '-' || line[1] != '-' || len(s.open) == 0 {
		return 0
	}
	text := bytes.TrimRight(line[2:], " \t\r\n")
	for i := len(s.open) - 1; i >= 0; i-- {
		b := s.open[i].boundary
		if string(text) == b {
			return i + 1
		}
		if len(text) == len(b)+2 && string(text[:len(b)]) == b && string(text[len(b):]) == "--" {
			return -(i + 1)
		}
	}
	return 0
}

// scan takes the whole mail apart.
func (s *scanner) scan() *node {
	root := &node{}
	leaf := s.begin(root)
	for s.pos < len(s.data) {
		line, next := s.line()
		level := s.boundary(line)
		if level == 0 {
			s.pos = next
			continue
		}
		s.end(leaf, max(level, -level))
		s.pos = next
		if level < 0 { // what follows up to the next boundary is nobody's
			s.open, leaf = s.open[:-level-1], nil
			continue
		}
		s.open = s.open[:level]
		if s.parts >= s.limits.Parts {
			s.leave(LeftParts)
			s.pos = len(s.data)
			s.end(nil, 0)
			return root
		}
		parent := s.open[level-1]
		kid := &node{up: parent, depth: parent.depth + 1}
		parent.kids = append(parent.kids, kid)
		leaf = s.begin(kid)
	}
	s.end(leaf, 0)
	return root
}

// begin reads the header of n, and of what is in it, and returns the part to which the
// lines that follow belong. For a multipart that is its preamble.
func (s *scanner) begin(n *node) *node {
	for {
		s.parts++
		s.header(n)
		n.understand()
		n.start = s.pos
		multipart := len(n.boundary) > 0
		mail := n.kind == "message/rfc822" || n.kind == "message/global"
		if (multipart || mail) && n.depth >= s.limits.Depth {
			s.leave(LeftDepth)
			n.boundary = ""
			return n
		}
		if multipart {
			s.open = append(s.open, n)
			return n
		}
		// RFC 2046, section 5.2.1: a mail in a mail is not encoded. One that is all the same
		// stays a file.
		if !mail || n.encoding == "base64" || n.encoding == "quoted-printable" || s.parts >= s.limits.Parts {
			return n
		}
		s.mails = append(s.mails, inner{n, len(s.open)})
		n.message = &node{up: n, depth: n.depth + 1}
		n = n.message
	}
}

// end says that a boundary of an open multipart, or the end of the mail (0), lies at s.pos:
// there ends a leaf, if any, and every mail within that multipart.
func (s *scanner) end(leaf *node, level int) {
	at := s.pos
	// RFC 2046, section 5.1.1: the line break before a boundary belongs to the boundary.
	if at < len(s.data) && at > 0 && s.data[at-1] == '\n' {
		at--
		if at > 0 && s.data[at-1] == '\r' {
			at--
		}
	}
	if leaf != nil {
		leaf.content = s.data[leaf.start:max(at, leaf.start)]
	}
	for last := len(s.mails) - 1; last >= 0 && s.mails[last].open >= level; last-- {
		n := s.mails[last].n
		n.content = s.data[n.start:max(at, n.start)]
		s.mails = s.mails[:last]
	}
}

// number gives every part its path, and lists those that hold something themselves.
func (l *Letter) number(n *node, path string) {
	if len(n.boundary) > 0 && len(n.kids) == 0 { // its boundary never came
		n.boundary, n.kind = "", "text/plain"
	}
	switch {
	case len(n.boundary) > 0:
		for i, kid := range n.kids {
			l.number(kid, join(path, i+1))
		}
		return
	case path == "":
		path = "1"
	case n.up != nil && n.up.message == n:
		path = join(path, 1)
	}
	n.path = path
	l.add(n)
	if n.message != nil {
		l.numberMail(n.message, path)
		return
	}
	for i, kid := range n.takeUU() {
		kid.path = path + ".uu" + strconv.Itoa(i+1)
		l.add(kid)
	}
}

// numberMail numbers what is in a mail within the mail.
func (l *Letter) numberMail(n *node, path string) {
	if len(n.boundary) > 0 && len(n.kids) > 0 {
		for i, kid := range n.kids {
			l.number(kid, join(path, i+1))
		}
		return
	}
	l.number(n, path)
}

func (l *Letter) add(n *node) {
	l.leaves = append(l.leaves, n)
	l.byPath[n.path] = n
}

func join(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "." + strconv.Itoa(n)
}
