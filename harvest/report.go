package harvest

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/textproto"
	"strings"

	"doppelboden"
)

// A Report is what a journal report of Exchange says of a mail: who sent it, and everybody
// who got it, blind copies and members of lists too.
type Report struct {
	Sender     doppelboden.Address   // null for bounces
	OnBehalfOf doppelboden.Address   // in whose name; null: in the sender's own
	MessageID  string                // hostile
	Recipients []doppelboden.Address // each once
	hasSender  bool
}

// Limits of a report: before the mail itself it holds nothing but addresses.
const (
	mostEnvelope   = 2 << 20 // bytes before the mail: 20,000 recipients
	mostRecipients = 20_000
	mostLine       = 16 << 10 // bytes of a line before the mail
)

// Reasons why a report is not understood; commands and alarms show them.
const (
	whyNoReport  = "it is no journal report (multipart/mixed with a text and the mail)"
	whyBounce    = "it is a bounce"
	whyNoText    = "its text names no sender and recipients"
	whyTooLong   = "its text is too long"
	whyNoMail    = "it holds no mail"
	whyCut       = "it ends in the middle of the mail"
	whyEncoded   = "the mail in it is encoded, which RFC 2046 forbids"
	whySeveral   = "it holds more than one mail, as that of a mail with rights management does"
	whyAddresses = "it names too many recipients"
)

// An unwrapper takes a journal report apart while it arrives: a multipart/mixed whose first
// part is a text with a field a line, and whose second is the mail (message/rfc822).
type unwrapper struct {
	Report
	mail io.Writer // gets the mail as it was

	state    int
	line     []byte // the line that is being read
	passed   int    // bytes before the mail
	header   []byte // of the report, or of a part
	boundary []byte // with its two hyphens
	encoding string // of the first part
	text     []byte // of the first part
	mid      bool   // the line of the mail that is being read has begun to go on
	held     bool   // a line's end was held back: it may belong to the boundary
	why      string // why it is not understood; "": it is, so far
	several  bool   // there is more than the mail
	mailed   int64  // bytes of the mail
	failed   error  // of mail
}

// States of an unwrapper.
const (
	inHeader = iota
	inPreamble
	inTextHeader
	inText
	inMailHeader
	inMail
	behindMail
	atEnd
)

// Write takes the next bytes. It never fails: see why and failed.
func (u *unwrapper) Write(p []byte) {
	for len(p) > 0 && u.why == "" && u.failed == nil {
		end := bytes.IndexByte(p, '\n') + 1
		if end == 0 {
			end = len(p)
		}
		u.piece(p[:end])
		p = p[end:]
	}
}

// piece takes a line, or a part of one. A line of the mail that is longer than a boundary
// goes on as it comes.
func (u *unwrapper) piece(p []byte) {
	whole := p[len(p)-1] == '\n'
	u.line = append(u.line, p...)
	switch {
	case u.state == inMail && (u.mid || !whole && len(u.line) > len(u.boundary)+4 && !u.isBoundary(u.line)):
		keep := 0
		if !whole && u.line[len(u.line)-1] == '\r' {
			keep = 1 // the end of the line may follow
		}
		u.pass(u.line[:len(u.line)-keep])
		u.line = append(u.line[:0], u.line[len(u.line)-keep:]...)
		u.mid = !whole
	case !whole && u.state != inMail && len(u.line) > mostLine:
		u.why = whyTooLong
	case whole:
		u.full(u.line)
		u.line = u.line[:0]
	}
}

// full takes a whole line.
func (u *unwrapper) full(line []byte) {
	if u.state < inMail {
		if u.passed += len(line); u.passed > mostEnvelope {
			u.why = whyTooLong
			return
		}
	}
	bare := bytes.TrimRight(line, "\r\n")
	switch u.state {
	case inHeader, inTextHeader, inMailHeader:
		if len(bare) > 0 && u.state != inHeader && u.isBoundary(bare) {
			u.why = whyNoMail
		} else if len(bare) > 0 {
			u.header = append(append(u.header, bare...), '\r', '\n')
		} else {
			u.endHeader()
		}
	case inPreamble:
		if u.isBoundary(bare) {
			u.state = inTextHeader
		}
	case inText:
		switch {
		case u.isEnd(bare):
			u.why = whyNoMail
		case u.isBoundary(bare):
			u.endText()
		default:
			u.text = append(append(u.text, bare...), '\n')
		}
	case inMail:
		switch {
		case u.isEnd(bare):
			u.state = atEnd
		case u.isBoundary(bare):
			u.state = behindMail
		default:
			u.pass(line)
		}
	case behindMail:
		if u.isEnd(bare) {
			u.state = atEnd
		}
		u.several = true
	}
}

// pass gives a piece of the mail on. The end of a line that a boundary may follow is held
// back, for it belongs to the boundary (RFC 2046, section 5.1.1).
func (u *unwrapper) pass(p []byte) {
	if u.held {
		u.give([]byte("\r\n"))
		u.held = false
	}
	if rest, ok := bytes.CutSuffix(p, []byte("\r\n")); ok {
		p, u.held = rest, true
	}
	u.give(p)
}

func (u *unwrapper) give(p []byte) {
	if len(p) == 0 || u.failed != nil {
		return
	}
	_, u.failed = u.mail.Write(p)
	u.mailed += int64(len(p))
}

// isBoundary reports whether a line is a boundary, the last one too.
func (u *unwrapper) isBoundary(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, u.boundary)
	return ok && len(u.boundary) > 2 && (len(bytes.TrimRight(rest, " \t\r\n")) == 0 || u.isEnd(line))
}

// isEnd reports whether a line is the last boundary.
func (u *unwrapper) isEnd(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, u.boundary)
	return ok && len(u.boundary) > 2 && string(bytes.TrimRight(rest, " \t\r\n")) == "--"
}

// endHeader looks at a header that has ended: the report's, the text's, or the mail's.
func (u *unwrapper) endHeader() {
	kind, params, encoding := typeOf(u.header)
	u.header = u.header[:0]
	switch u.state {
	case inHeader:
		switch b := params["boundary"]; {
		case kind == "multipart/report":
			u.why = whyBounce
		case !strings.HasPrefix(kind, "multipart/") || b == "" || len(b) > 200:
			u.why = whyNoReport
		default:
			u.boundary, u.state = []byte("--"+b), inPreamble
		}
	case inTextHeader:
		if kind != "text/plain" && kind != "" {
			u.why = whyNoReport
			return
		}
		u.encoding, u.state = encoding, inText
	case inMailHeader:
		switch {
		case kind != "message/rfc822" && kind != "message/global":
			u.why = whyNoMail
		case encoding == "base64" || encoding == "quoted-printable":
			u.why = whyEncoded
		default:
			u.state = inMail
		}
	}
}

// typeOf reads the fields of a header that say what follows.
func typeOf(header []byte) (kind string, params map[string]string, encoding string) {
	for len(header) > 0 {
		var field []byte
		field, header = doppelboden.NextField(header)
		name, value, _ := bytes.Cut(field, []byte{':'})
		text := strings.Join(strings.Fields(string(value)), " ")
		switch textproto.CanonicalMIMEHeaderKey(string(bytes.TrimSpace(name))) {
		case "Content-Type":
			if k, p, err := mime.ParseMediaType(text); err == nil {
				kind, params = k, p
			}
		case "Content-Transfer-Encoding":
			encoding = strings.ToLower(text)
		}
	}
	return kind, params, encoding
}

// endText reads the text, and goes on to the mail.
func (u *unwrapper) endText() {
	text := decoded(u.text, u.encoding)
	u.text = nil
	if u.why = u.Report.read(text); u.why == "" {
		u.state = inMailHeader
	}
}

// decoded undoes the encoding of a text; what is none stays.
func decoded(text []byte, encoding string) []byte {
	var plain []byte
	var err error
	switch encoding {
	case "quoted-printable":
		plain, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(text)))
	case "base64":
		plain, err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(bytes.ReplaceAll(text, []byte("\n"), nil))))
	default:
		return text
	}
	if err != nil {
		return text
	}
	return plain
}

// read reads the text of a report: a field a line, or, as Exchange 2003 wrote it, a list of
// recipients behind the line "Recipients:". Fields that are not known are passed over.
func (r *Report) read(text []byte) (why string) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	seen := map[string]bool{}
	listed := false
	add := func(written string) {
		if a, ok := address(written); ok && !seen[a.Key()] {
			seen[a.Key()] = true
			r.Recipients = append(r.Recipients, a)
		}
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(strings.ReplaceAll(line, "\u00a0", " "))
		label, value, ok := strings.Cut(line, ":")
		if ok {
			switch strings.ToLower(strings.TrimSpace(label)) {
			case "sender":
				r.Sender, _ = address(value)
				r.hasSender = true
				continue
			case "on-behalf-of":
				r.OnBehalfOf, _ = address(value)
				continue
			case "message-id":
				r.MessageID = strings.TrimSpace(value)
				continue
			case "to", "cc", "bcc", "recipient":
				add(value)
				continue
			case "recipients":
				listed = true
				add(value)
				continue
			case "subject":
				continue
			}
		}
		if listed && line != "" {
			add(line)
		}
	}
	switch {
	case !r.hasSender || len(r.Recipients) == 0:
		return whyNoText
	case len(r.Recipients) > mostRecipients:
		return whyAddresses
	}
	return ""
}

// address reads the address at the beginning of a value: "anna@stadt.example, Expanded:
// alle@stadt.example", or "Anna" <anna@stadt.example>.
func address(value string) (doppelboden.Address, bool) {
	value = strings.TrimSpace(value)
	if open := strings.LastIndexByte(value, '<'); open >= 0 {
		value, _, _ = strings.Cut(value[open+1:], ">")
	} else {
		for _, word := range []string{", Expanded:", ", Forwarded:", ",Expanded:", ",Forwarded:"} {
			if at := strings.Index(strings.ToLower(value), strings.ToLower(word)); at >= 0 {
				value = value[:at]
			}
		}
	}
	if rest, ok := cutFold(value, "smtp:"); ok {
		value = rest
	}
	a, err := doppelboden.ParseAddress(strings.TrimSpace(value))
	return a, err == nil
}

// cutFold cuts a prefix, whatever its case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// end says of a report that has ended why it is not understood, or "".
func (u *unwrapper) end() string {
	switch {
	case u.why != "":
	case u.state == inHeader || u.state == inPreamble:
		u.why = whyNoReport
	case u.state < inMail:
		u.why = whyNoMail
	case u.state == inMail:
		u.why = whyCut
	case u.mailed == 0:
		u.why = whyNoMail
	}
	return u.why
}
