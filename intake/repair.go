package intake

import (
	"bytes"
	"time"

	"doppelboden"
)

// repair returns the header fields that a mail of an own sender lacks, to go before it:
// RFC 6409, section 8. Devices and scripts leave them out, and the world refuses or
// suspects mail without them. The body itself is never changed; lines of more than 998
// octets (RFC 5322, section 2.1.1), which scanners write, stay as they are.
//
// The code of its error is BadMessage: a mail that has neither From nor a reverse-path
// from which one could be made.
func repair(header []byte, m *doppelboden.Message, hostname string) ([]byte, error) {
	has := fieldsOf(header)
	var b []byte
	if !has.date { // section 8.2
		b = append(b, "Date: "...)
		b = m.Received.AppendFormat(b, time.RFC1123Z)
		b = append(b, "\r\n"...)
	}
	if !has.id { // section 8.3
		b = append(b, "Message-ID: <"+m.ID.String()+"@"+hostname+">\r\n"...)
	}
	if !has.from { // RFC 5322, section 3.6: there must be one
		if m.Sender.IsNull() {
			return nil, &doppelboden.Error{Code: doppelboden.BadMessage, Public: "the mail has no From and no sender (RFC 5322, section 3.6.2)"}
		}
		b = append(b, "From: <"+m.Sender.String()+">\r\n"...)
	}
	if !has.any {
		b = append(b, "\r\n"...) // what came is text alone
	}
	return b, nil
}

// present says which fields a header section has.
type present struct {
	any, date, id, from bool
}

// fieldsOf reads a header section. A first line that is no field and no empty line says
// that there is no header section at all.
func fieldsOf(header []byte) present {
	has := present{any: bytes.HasPrefix(header, []byte("\r\n"))}
	first := true
	eachField(header, func(field []byte) {
		if first {
			has.any = has.any || isField(field)
			first = false
		}
		if !has.any {
			return
		}
		for name, is := range map[string]*bool{"date": &has.date, "message-id": &has.id, "from": &has.from} {
			if _, ok := cutField(field, name); ok {
				*is = true
			}
		}
	})
	return has
}

// isField reports whether a line begins with the name of a field: RFC 5322, section
// 3.6.8, and before its colon the white space of section 4.5.
func isField(line []byte) bool {
	name, _, ok := bytes.Cut(line, []byte(":"))
	if name = bytes.TrimRight(name, " \t"); !ok || len(name) == 0 {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
