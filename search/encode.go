package search

import (
	"encoding/binary"
	"errors"
	"time"

	"doppelboden/letter"
)

// errShort says that an extract ends too early, or holds numbers that cannot be.
var errShort = errors.New("an extract is cut off")

// appendText writes a text with its length.
func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendTexts(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendText(b, s)
	}
	return b
}

func appendPeople(b []byte, list []letter.Person) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, p := range list {
		b = appendText(appendText(b, p.Name), p.Address)
	}
	return b
}

// encodeSummary writes a summary.
func encodeSummary(s *letter.Summary) []byte {
	b := make([]byte, 0, 512)
	b = appendPeople(appendPeople(appendPeople(b, s.From), s.To), s.Cc)
	b = appendText(b, s.Subject)
	if s.Date.IsZero() {
		b = append(b, 0)
	} else {
		_, offset := s.Date.Zone()
		b = binary.AppendVarint(append(b, 1), s.Date.Unix())
		b = binary.AppendVarint(b, int64(offset/60))
	}
	b = appendText(b, s.MessageID)
	b = appendTexts(appendTexts(b, s.InReplyTo), s.References)
	b = binary.AppendUvarint(b, uint64(s.Attachments))
	return appendText(appendText(b, s.Snippet), s.Kind)
}

// decodeSummary reads what encodeSummary wrote.
func decodeSummary(b []byte) (s letter.Summary, err error) {
	d := decoder{rest: b, all: string(b)}
	s.From, s.To, s.Cc = d.people(), d.people(), d.people()
	s.Subject = d.text()
	if d.uint() != 0 {
		at := time.Unix(d.int(), 0)
		s.Date = at.In(zone(d.int()))
	}
	s.MessageID = d.text()
	s.InReplyTo, s.References = d.texts(), d.texts()
	s.Attachments = int(d.uint())
	s.Snippet, s.Kind = d.text(), d.text()
	if d.bad {
		return letter.Summary{}, errShort
	}
	return s, nil
}

// zone returns the zone of so many minutes east of Greenwich.
func zone(minutes int64) *time.Location {
	if minutes == 0 {
		return time.UTC
	}
	return time.FixedZone("", int(minutes)*60)
}

// A decoder reads what was appended. After a mistake everything it reads is empty.
type decoder struct {
	rest []byte
	all  string // the same bytes from the beginning, of which texts are parts
	bad  bool
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > 1<<40 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) text() string {
	b := d.bytes()
	at := len(d.all) - len(d.rest) - len(b)
	if d.bad {
		return ""
	}
	return d.all[at : at+len(b)]
}

// count reads how many things follow, each of at least one byte.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) texts() (list []string) {
	n := d.count()
	if n == 0 {
		return nil
	}
	list = make([]string, n)
	for i := range list {
		list[i] = d.text()
	}
	return list
}

func (d *decoder) people() (list []letter.Person) {
	n := d.count()
	if n == 0 {
		return nil
	}
	list = make([]letter.Person, n)
	for i := range list {
		list[i].Name, list[i].Address = d.text(), d.text()
	}
	return list
}
