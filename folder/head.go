package folder

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"doppelboden"
)

// maxHead bounds the header section of a mail that somebody sends, in bytes: intake reads
// no more of it when it looks in whose name the mail is.
const maxHead = 256 << 10

// A head is the header section of a mail that somebody sends.
type head struct {
	fields [][]byte // each with its folded lines and its line end
	high   bool     // it holds octets above 127
}

// errHead is the answer for what is no mail of people.
var errHead = &doppelboden.Error{Code: doppelboden.BadMessage, Public: "the header of the mail cannot be read"}

// readHead reads the header section of a mail and returns the rest of it.
func readHead(r io.Reader) (*head, io.Reader, error) {
	br := bufio.NewReaderSize(r, 4096)
	var all []byte
	for {
		line, err := br.ReadSlice('\n')
		if len(all)+len(line) > maxHead || errors.Is(err, io.EOF) && len(all)+len(line) == 0 {
			return nil, nil, errHead
		}
		all = append(all, line...)
		whole := !errors.Is(err, bufio.ErrBufferFull)
		if err != nil && whole && !errors.Is(err, io.EOF) {
			return nil, nil, fmt.Errorf("read the mail: %w", err)
		}
		blank := whole && (string(line) == "\n" || string(line) == "\r\n")
		if blank && (len(all) == len(line) || all[len(all)-len(line)-1] == '\n') || err != nil && whole {
			break
		}
	}
	h := &head{}
	all = bytes.TrimRight(lines(all), "\r\n")
	for _, c := range all {
		h.high = h.high || c > 127
	}
	for len(all) > 0 {
		var field []byte
		field, all = doppelboden.NextField(all)
		if !bytes.HasSuffix(field, []byte("\r\n")) {
			field = append(bytes.Clone(field), "\r\n"...)
		}
		if nameOf(field) == "" {
			return nil, nil, errHead
		}
		h.fields = append(h.fields, field)
	}
	return h, br, nil
}

// nameOf returns the name of a field in lower case, or "" for what is none: RFC 5322,
// section 3.6.8.
func nameOf(field []byte) string {
	name, _, found := bytes.Cut(field, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !found || len(name) == 0 {
		return ""
	}
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return string(bytes.ToLower(name))
}

// isBlind reports whether a field names who gets a blind copy: RFC 5322, section 3.6.3.
func isBlind(field []byte) bool {
	name := nameOf(field)
	return name == "bcc" || name == "resent-bcc"
}

// blind reports whether somebody is to get a blind copy.
func (h *head) blind() bool {
	for _, f := range h.fields {
		if isBlind(f) {
			return true
		}
	}
	return false
}

// has reports whether there is a field with a name in lower case.
func (h *head) has(name string) bool {
	for _, f := range h.fields {
		if nameOf(f) == name {
			return true
		}
	}
	return false
}

// complete adds Date and Message-ID where they are missing (RFC 6409, section 8), so that
// all messages of the mail have the same. A mail of people has a From.
func (h *head) complete(id doppelboden.ID, domain string, now time.Time) error {
	if !h.has("from") {
		return &doppelboden.Error{Code: doppelboden.BadMessage, Public: "the mail has no From (RFC 5322, section 3.6.2)"}
	}
	if !h.has("date") {
		h.fields = append(h.fields, []byte("Date: "+now.Format(time.RFC1123Z)+"\r\n"))
	}
	if !h.has("message-id") {
		h.fields = append(h.fields, []byte("Message-ID: <"+id.String()+"@"+domain+">\r\n"))
	}
	return nil
}

// text returns the header section with the empty line behind it; blind says whether it
// names who gets a blind copy.
func (h *head) text(blind bool) []byte {
	var b bytes.Buffer
	for _, f := range h.fields {
		if blind || !isBlind(f) {
			b.Write(f)
		}
	}
	b.WriteString("\r\n")
	return b.Bytes()
}
