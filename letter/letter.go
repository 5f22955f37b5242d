package letter

import (
	"io"
	"time"
)

// Limits bound what Parse looks at; zero fields get the defaults.
type Limits struct {
	Size    int64 // of the whole mail, in bytes; default 256 MiB
	Depth   int   // of nested parts; default 32
	Parts   int   // of all levels; default 1,000
	Header  int   // of one header, in bytes; default 256 KiB
	Fields  int   // of one header; default 1,000
	Decoded int64 // of texts, in bytes after decoding; default 4 MiB
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
	LeftCharset Omission = "charset" // characters that could not be read
	LeftScript  Omission = "active"  // scripts, forms and other active contents
	LeftHTML    Omission = "html"    // an HTML text that could not be read; it is shown as text
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

// A Part is one part of a mail.
type Part struct {
	Path        string // as IMAP numbers parts: "1", "2.1"; RFC 9051, section 6.4.5.1
	Type        string // media type in lower case, such as "text/plain"
	Charset     string // of a text, as declared; may be empty
	Name        string // safe to show and to save under; may be empty
	Size        int64  // in bytes, as encoded in the mail
	Disposition string // "inline", "attachment" or ""
	CID         string // Content-ID without angle brackets; may be empty
	Attachment  bool   // whether it is listed below the mail
}

// A Letter is one mail that was read.
type Letter struct {
	left []Omission
}

// Parse reads a mail. Its error is that of r, and never about the mail.
func Parse(r io.Reader, l Limits) (*Letter, error) {
	_, err := io.Copy(io.Discard, r)
	return &Letter{}, err
}

// Left says what was left out so far.
func (l *Letter) Left() []Omission { return l.left }

// Summary returns what lists show.
func (l *Letter) Summary() Summary { return Summary{} }

// Text returns the mail's text: its text/plain parts, or what can be read of its HTML.
func (l *Letter) Text() string { return "" }

// HTMLOptions say how a mail is shown.
type HTMLOptions struct {
	Remote bool                // with pictures from the Internet, over https
	CID    func(p Part) string // gives the URL of a part that the mail shows; nil: the picture itself as a data URL
}

// HTML returns the mail as a page for a sandboxed frame, and how many remote contents
// were left out of it.
func (l *Letter) HTML(o HTMLOptions) (safe []byte, remote int) { return nil, 0 }

// Parts returns all parts that are not containers, in their order.
func (l *Letter) Parts() []Part { return nil }

// Part gives the decoded bytes of a part, and reports whether there is one.
func (l *Letter) Part(path string) (io.Reader, bool) { return nil, false }
