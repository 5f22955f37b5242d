package imapd

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// section returns the octets that BODY[…] names: RFC 9051, section 6.4.5.1; nil for none.
func (p *part) section(item *imap.FetchItemBodySection) []byte {
	at := p.at(item.Part)
	if at == nil {
		return nil
	}
	deep := len(item.Part) > 0
	if deep && (item.Specifier == imap.PartSpecifierHeader || item.Specifier == imap.PartSpecifierText) {
		if at = at.message; at == nil {
			return nil // only a message in a message has these
		}
	}
	switch item.Specifier {
	case imap.PartSpecifierHeader:
		return pickFields(at.header, item)
	case imap.PartSpecifierMIME:
		return at.header
	case imap.PartSpecifierText:
		return at.body
	}
	if deep {
		return at.body
	}
	return nil // the whole mail: who asks has it
}

// pickFields returns the header section, or the fields of it that are asked for, with the
// empty line.
func pickFields(header []byte, item *imap.FetchItemBodySection) []byte {
	if len(item.HeaderFields) == 0 && len(item.HeaderFieldsNot) == 0 {
		return header
	}
	names, keep := item.HeaderFields, true
	if len(names) == 0 {
		names, keep = item.HeaderFieldsNot, false
	}
	var out []byte
	eachField(header, func(name, field []byte) bool {
		named := false
		for _, n := range names {
			if len(n) == len(name) && strings.EqualFold(n, string(name)) {
				named = true
				break
			}
		}
		if named == keep {
			out = append(out, field...)
			if !bytes.HasSuffix(field, []byte("\n")) {
				out = append(out, "\r\n"...)
			}
		}
		return true
	})
	return append(out, "\r\n"...)
}

// partial cuts what <offset.size> names: RFC 9051, section 6.4.5.
func partial(b []byte, cut *imap.SectionPartial) []byte {
	if cut == nil {
		return b
	}
	from, to := window(int64(len(b)), cut)
	return b[from:to]
}

// window returns the octets of a length that <offset.size> names.
func window(length int64, cut *imap.SectionPartial) (from, to int64) {
	if cut == nil {
		return 0, length
	}
	from = min(max(cut.Offset, 0), length)
	return from, from + min(max(cut.Size, 0), length-from)
}

// binary returns the decoded octets of a part: RFC 3516, section 4.1; ok is false for an
// encoding that nobody knows.
func (p *part) binary(path []int) (b []byte, ok bool) {
	at := p.at(path)
	if at == nil {
		return nil, true
	}
	switch at.encoding() {
	case "7bit", "8bit", "binary":
		return at.body, true
	case "base64":
		// What is no base64 is left out, as RFC 2045, section 6.8, has it.
		clean := bytes.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '+' || r == '/' {
				return r
			}
			return -1
		}, at.body)
		if len(clean)%4 == 1 { // six bits that make no octet
			clean = clean[:len(clean)-1]
		}
		out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
		n, _ := base64.RawStdEncoding.Decode(out, clean) // what it could read is what there is
		return out[:n], true
	case "quoted-printable":
		out, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(at.body)))
		if err != nil {
			return nil, false
		}
		return out, true
	}
	return nil, false
}
