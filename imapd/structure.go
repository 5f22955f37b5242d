package imapd

import (
	"bytes"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// structure is BODYSTRUCTURE: RFC 9051, section 7.5.2.
func (p *part) structure() imap.BodyStructure {
	if len(p.children) > 0 {
		bs := &imap.BodyStructureMultiPart{Subtype: p.subtype, Extended: &imap.BodyStructureMultiPartExt{
			Params: p.params, Disposition: p.disposition(), Language: p.languages(), Location: p.field("content-location"),
		}}
		for _, c := range p.children {
			bs.Children = append(bs.Children, c.structure())
		}
		return bs
	}
	bs := &imap.BodyStructureSinglePart{
		Type: p.kind, Subtype: p.subtype, Params: p.params, ID: p.field("content-id"), Description: p.field("content-description"),
		Encoding: p.encoding(), Size: uint32(len(p.body)),
		Extended: &imap.BodyStructureSinglePartExt{Disposition: p.disposition(), Language: p.languages(), Location: p.field("content-location")},
	}
	if p.kind == "text" && len(p.params) == 0 && p.field("content-type") == "" {
		bs.Params = map[string]string{"charset": "us-ascii"} // RFC 2045, section 5.2
	}
	lines := int64(bytes.Count(p.body, []byte("\n")))
	switch {
	case p.message != nil:
		bs.MessageRFC822 = &imap.BodyStructureMessageRFC822{Envelope: envelope(p.message.header), BodyStructure: p.message.structure(), NumLines: lines}
	case p.kind == "text":
		bs.Text = &imap.BodyStructureText{NumLines: lines}
	case p.kind == "message" && p.subtype == "rfc822": // nobody looks into it, and its grammar wants an envelope
		bs.Type, bs.Subtype = "application", "octet-stream"
	}
	return bs
}

func (p *part) field(name string) string { return fieldOf(p.header, name) }

// encoding returns the transfer encoding: RFC 2045, section 6.1.
func (p *part) encoding() string {
	e := strings.ToLower(strings.TrimSpace(stripComments(p.field("content-transfer-encoding"))))
	if !isToken(e) {
		return "7bit"
	}
	return e
}

// disposition: RFC 2183.
func (p *part) disposition() *imap.BodyStructureDisposition {
	value := p.field("content-disposition")
	if value == "" {
		return nil
	}
	kind, params := parameters(value)
	if !isToken(kind) {
		return nil
	}
	return &imap.BodyStructureDisposition{Value: kind, Params: params}
}

// languages: RFC 3282.
func (p *part) languages() (list []string) {
	for one := range strings.SplitSeq(stripComments(p.field("content-language")), ",") {
		if one = strings.TrimSpace(one); isToken(one) && len(list) < mostParams {
			list = append(list, one)
		}
	}
	return list
}
