package letter

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// Limits bound what Parse looks at; zero fields get the defaults.
type Limits struct {
	Size    int64 // of the whole mail, in bytes; default 256 MiB
	Depth   int   // of nested parts; default 32: real mail has less than 10
	Parts   int   // of all levels; default 1,000
	Header  int   // of one header, in bytes; default 256 KiB
	Fields  int   // of one header; default 1,000
	Decoded int   // of all texts together, in bytes after decoding; default 4 MiB
}

// withDefaults fills in what is zero.
func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	if l.Size <= 0 {
		l.Size = 256 << 20
	}
	def(&l.Depth, 32)
	def(&l.Parts, 1000)
	def(&l.Header, 256<<10)
	def(&l.Fields, 1000)
	def(&l.Decoded, 4<<20)
	return l
}

// An Omission says what was left out of what is shown.
type Omission string

// What can be left out.
const (
	LeftSize    Omission = "size"    // the end of the mail: it is longer than Limits.Size
	LeftDepth   Omission = "depth"   // parts that are nested too deeply
	LeftParts   Omission = "parts"   // parts beyond the first Limits.Parts
	LeftHeader  Omission = "header"  // the end of a header, or fields of it
	LeftText    Omission = "text"    // the end of a text that is too long
	LeftPicture Omission = "picture" // pictures that came with the mail and are too large
	LeftCharset Omission = "charset" // characters that could not be read
	LeftActive  Omission = "active"  // scripts, forms and the like
)

// A Person is somebody that a header field names.
type Person struct {
	Name    string // for people; may be empty
	Address string // local@domain as the mail has it, harmless to show; may be empty
}

// A Summary is what lists show of a mail.
type Summary struct {
	From, To, Cc []Person
	Subject      string
	Date         time.Time // as the mail says; zero when it does not
	MessageID    string    // without angle brackets
	InReplyTo    []string  // the same
	References   []string  // the same, the oldest first
	Attachments  int
	Snippet      string // the beginning of what the sender wrote, in one line
	Kind         string // what it is when it cannot simply be read: SMIMESigned and so on, or ""
}

// What a mail can be that cannot simply be read: Summary.Kind.
const (
	SMIMESigned = "smime-signed"
	SMIMESealed = "smime-encrypted"
	PGPSigned   = "pgp-signed"
	PGPSealed   = "pgp-encrypted"
	Report      = "report"     // a DSN, an MDN or the like
	Invitation  = "invitation" // with a text/calendar part
	TNEF        = "tnef"       // winmail.dat holds what there is
)

// A Part is one part of a mail that holds something itself.
type Part struct {
	Path        string // as IMAP numbers parts: "1", "2.1"; RFC 9051, section 6.4.5.1
	Type        string // media type in lower case, such as "text/plain"
	Charset     string // of a text, as declared, in lower case; may be empty
	Name        string // safe to show and to save under; may be empty
	Size        int64  // in bytes, as it is encoded in the mail
	Disposition string // "inline", "attachment" or ""
	CID         string // Content-ID without angle brackets; may be empty
	Attachment  bool   // whether it is listed below the mail, and not shown in it
}

// A Letter is one mail that was read. It is used by one goroutine at a time.
type Letter struct {
	limits  Limits
	root    *node
	decoded int // bytes of texts decoded so far
	left    []Omission
	leaves  []*node          // all that hold something themselves, in their order
	byPath  map[string]*node // the same
	shown   []*node          // the texts that make up what the mail says, as text
	rich    []*node          // the same, with HTML where there is
	texts   map[*node]string // what textOf gave
	cids    map[string]*node // what byCID gives; nil: nobody has asked yet
}

// Parse reads a mail. Its error is that of r, and never about the mail.
func Parse(r io.Reader, l Limits) (*Letter, error) {
	data, err := io.ReadAll(io.LimitReader(r, l.withDefaults().Size+1))
	if err != nil {
		return nil, fmt.Errorf("read the mail: %w", err)
	}
	return ParseBytes(data, l), nil
}

// ParseBytes reads a mail that is in memory. Nobody may change data while the letter is used.
func ParseBytes(data []byte, l Limits) *Letter {
	l = l.withDefaults()
	letter := &Letter{limits: l, byPath: map[string]*node{}, texts: map[*node]string{}}
	if int64(len(data)) > l.Size {
		data = data[:l.Size]
		letter.leave(LeftSize)
	}
	s := &scanner{data: data, limits: l, leave: letter.leave}
	letter.root = s.scan()
	letter.number(letter.root, "")
	letter.choose()
	return letter
}

// leave notes that something is left out.
func (l *Letter) leave(o Omission) {
	if !slices.Contains(l.left, o) {
		l.left = append(l.left, o)
	}
}

// Left says what was left out so far: of the mail, of texts that were asked for, of HTML.
func (l *Letter) Left() []Omission { return slices.Clone(l.left) }

// Field returns the first header field of a name, decoded and in one line, or "".
func (l *Letter) Field(name string) string { return oneLine(decodeWords(l.root.raw(name))) }

// Parts returns all parts that hold something themselves, in their order.
func (l *Letter) Parts() []Part {
	parts := make([]Part, 0, len(l.leaves))
	for _, n := range l.leaves {
		parts = append(parts, n.part())
	}
	return parts
}

// Part gives the decoded bytes of a part, and reports whether there is one. What cannot be
// decoded is passed over.
func (l *Letter) Part(path string) (io.Reader, bool) {
	n, ok := l.byPath[path]
	if !ok {
		return nil, false
	}
	return n.decoded(), true
}

// Fields gives every header field with its name in lower case and its value decoded and
// in one line.
func (l *Letter) Fields(each func(name, value string)) {
	for _, f := range l.root.fields {
		each(f.name, oneLine(decodeWords(f.value)))
	}
}
