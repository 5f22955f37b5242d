package webmail

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-message/mail"

	"doppelboden/account"
)

// Header fields that drafts carry for us alone. What is sent has none of them.
const (
	keyField    = "x-doppelboden-key"
	sourceField = "x-doppelboden-source"
	fieldsField = "x-doppelboden-fields" // To, Cc and Bcc as they were typed, when they are no addresses yet
)

// A piece is a file that goes with a mail.
type piece struct {
	name string
	kind string // media type
	body []byte
}

// A built is a mail as it goes out or is kept as a draft.
type built struct {
	bytes []byte
	to    []typed // all recipients, blind ones too
}

// build writes the mail of a draft.
func (k *desk) build(dr draft, files []piece, now time.Time, sending bool) (built, error) {
	var h mail.Header
	h.SetDate(now)
	h.SetAddressList("From", []*mail.Address{{Name: line(k.grant.Name), Address: k.grant.Address.String()}})
	if k.grant.Kind == account.GrantDeputy { // RFC 5322, section 3.6.2
		h.SetAddressList("Sender", []*mail.Address{{Name: line(k.Visitor.Name), Address: k.Visitor.Address.String()}})
	}
	out := built{}
	for _, f := range [...]struct{ name, text string }{{"To", dr.To}, {"Cc", dr.Cc}, {"Bcc", dr.Bcc}} {
		list, wrong := parseTyped(f.text)
		out.to = append(out.to, list...)
		if len(list) > 0 {
			h.SetAddressList(f.name, addresses(list))
		}
		if len(wrong) > 0 && !sending {
			h.SetText(fieldsField+"-"+f.name, line(f.text))
		}
	}
	h.SetSubject(line(dr.Subject))
	h.SetMessageID(strings.ToLower(rand.Text()) + "@" + k.grant.Address.Domain)
	if len(dr.Refs) > 0 { // RFC 5322, section 3.6.4
		h.SetMsgIDList("In-Reply-To", dr.Refs[len(dr.Refs)-1:])
		h.SetMsgIDList("References", dr.Refs)
	}
	h.Set("MIME-Version", "1.0")
	if !sending {
		h.Set(keyField, dr.Key)
		if s := dr.Source.String(); s != "" {
			h.Set(sourceField, s)
		}
	}
	var b bytes.Buffer
	if err := writeBody(&b, h, dr.Text, files); err != nil {
		return built{}, fmt.Errorf("write the mail: %w", err)
	}
	out.bytes = b.Bytes()
	return out, nil
}

func addresses(list []typed) []*mail.Address {
	all := make([]*mail.Address, len(list))
	for i, t := range list {
		all[i] = &mail.Address{Name: t.Name, Address: t.Address.String()}
	}
	return all
}

// writeBody writes the header, the text and the files.
func writeBody(b *bytes.Buffer, h mail.Header, text string, files []piece) error {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\n", "\r\n")
	if !strings.HasSuffix(text, "\r\n") {
		text += "\r\n"
	}
	if len(files) == 0 {
		h.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
		h.Set("Content-Transfer-Encoding", "quoted-printable")
		w, err := mail.CreateSingleInlineWriter(b, h)
		if err != nil {
			return err
		}
		return finish(w, []byte(text))
	}
	w, err := mail.CreateWriter(b, h)
	if err != nil {
		return err
	}
	var ih mail.InlineHeader
	ih.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
	ih.Set("Content-Transfer-Encoding", "quoted-printable")
	one, err := w.CreateSingleInline(ih)
	if err != nil {
		return err
	}
	if err := finish(one, []byte(text)); err != nil {
		return err
	}
	for _, f := range files {
		var ah mail.AttachmentHeader
		ah.SetContentType(f.kind, nil)
		ah.SetFilename(f.name)
		ah.Set("Content-Transfer-Encoding", "base64")
		if one, err = w.CreateAttachment(ah); err != nil {
			return err
		}
		if err := finish(one, f.body); err != nil {
			return err
		}
	}
	return w.Close()
}

func finish(w io.WriteCloser, body []byte) error {
	if _, err := w.Write(body); err != nil {
		return err
	}
	return w.Close()
}
