package harvest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/mail"
	"strings"

	"doppelboden"
	"doppelboden/mailbox"
)

// sums are what a mail has in common with itself however it came.
type sums struct {
	// strong is over what everybody's copy of it says: Message-ID, From, Date, Subject, the
	// size of the text and how it begins. Mails with the same strong sum are one body.
	strong [16]byte
	// weak is over Message-ID, From and Date alone: groupware may have written the text anew.
	// Within one mailbox mails with the same weak sum are one mail.
	weak [16]byte
	// stranger is the same of what came from the Internet. It proves nothing by itself:
	// somebody could send a mail in advance that looks like one of a colleague.
	stranger [16]byte
	whole    bool // strong was made; the header was not too long
}

// Kinds of sums, so that none can stand for another.
const (
	kindStrong byte = iota + 1
	kindWeak
	kindStranger
)

// A key makes the sums of one tenant.
type key [32]byte

// of returns the sums of a mail: its header section with the empty line, how its text
// begins, and the size of the text, -1 when nobody knows.
func (k *key) of(header, text []byte, size int64) sums {
	f := fieldsOf(header)
	var s sums
	s.weak = k.sum(kindWeak, f.id, f.from, f.date)
	s.stranger = k.sum(kindStranger, f.id, f.from, f.date)
	if size >= 0 {
		beginning := sha256.Sum256(text[:min(len(text), mailbox.MaxText)])
		s.strong = k.sum(kindStrong, f.id, f.from, f.date, f.subject, string(binary.BigEndian.AppendUint64(nil, uint64(size))), string(beginning[:]))
		s.whole = true
	}
	return s
}

// sum is a keyed sum over texts.
func (k *key) sum(kind byte, texts ...string) (sum [16]byte) {
	h := hmac.New(sha256.New, k[:])
	h.Write([]byte{kind})
	for _, t := range texts {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(t))))
		h.Write([]byte(t))
	}
	copy(sum[:], h.Sum(nil))
	return sum
}

// read returns the sums of a mail and its header. total is the size of the mail, -1 when
// nobody knows.
func (k *key) read(r io.Reader, total int64) (sums, []byte, error) {
	begin, err := io.ReadAll(io.LimitReader(r, mailbox.MaxHeader+mailbox.MaxText))
	if err != nil {
		return sums{}, nil, err
	}
	header, text, size := split(begin, total)
	return k.of(header, text, size), header, nil
}

// split takes the beginning of a mail apart: its header section with the empty line, and
// what follows. size is that of all that follows, or -1 when the header is too long.
func split(begin []byte, total int64) (header, text []byte, size int64) {
	end := bytes.Index(begin, []byte("\r\n\r\n"))
	switch {
	case bytes.HasPrefix(begin, []byte("\r\n")):
		end = 2
	case end >= 0:
		end += 4
	case int64(len(begin)) == total: // nothing but a header
		end = len(begin)
	}
	if end < 0 || end > mailbox.MaxHeader || total < 0 {
		return begin[:min(len(begin), mailbox.MaxHeader)], nil, -1
	}
	return begin[:end], begin[end:min(len(begin), end+mailbox.MaxText)], total - int64(end)
}

// known are the fields of a header by which a mail is known.
type known struct{ id, from, date, subject string }

// fieldsOf reads them; of several with one name the first counts.
func fieldsOf(header []byte) (f known) {
	for len(header) > 0 {
		var field []byte
		field, header = doppelboden.NextField(header)
		name, value, ok := bytes.Cut(field, []byte{':'})
		if !ok {
			continue
		}
		var to *string
		switch strings.ToLower(string(bytes.TrimSpace(name))) {
		case "message-id":
			to = &f.id
		case "from":
			to = &f.from
		case "date":
			to = &f.date
		case "subject":
			to = &f.subject
		default:
			continue
		}
		if *to == "" {
			*to = strings.Join(strings.Fields(string(value)), " ")
		}
	}
	// Servers write names and dates anew.
	if list, err := mail.ParseAddressList(f.from); err == nil && len(list) > 0 {
		f.from = strings.ToLower(list[0].Address)
	}
	if at, err := mail.ParseDate(f.date); err == nil {
		f.date = at.UTC().Format("20060102150405")
	}
	return f
}

// harvested reports whether a message came by journal or by reading mailboxes: the same mail
// that came another way is worth more.
func harvested(door string) bool { return door == DoorJournal || door == DoorSync }

// Doors of messages that this package has made.
const (
	DoorJournal = "journal"
	DoorSync    = "sync"
)

// Doors of strangers' mail and of that of own senders; see package app.
const (
	doorMX         = "mx"
	doorSubmission = "submission"
)

// marksOf returns the sums under which a message is found.
func marksOf(m *doppelboden.Message, s sums) (list [][16]byte) {
	if s.whole {
		list = append(list, s.strong)
	}
	if m.Door == doorMX {
		return append(list, s.stranger)
	}
	return append(list, s.weak)
}
