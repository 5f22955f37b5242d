package city

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"doppelboden"
)

// ParseAddresses reads a list of mailboxes' addresses: one a line, or the first column of
// a CSV file with "address" above it. Empty lines and those that begin with # are passed
// over. find tells the mailbox behind an address; two addresses of one mailbox are a
// mistake, for then the list is not what its writer thinks. All or nothing: the error is
// a Mistakes.
func ParseAddresses(name string, text []byte, find func(doppelboden.Address) (doppelboden.MailboxID, bool)) ([]doppelboden.MailboxID, error) {
	l := &addressList{file: name, find: find, seen: map[doppelboden.MailboxID]int{}}
	switch {
	case len(text) > maxCSV:
		l.wrong(1, "", says("the file is too large"), says("write at most %s bytes", maxCSV))
	case !utf8.Valid(text):
		l.wrong(1+bytes.Count(text[:firstInvalid(text)], []byte("\n")), "", says("not UTF-8"), says("save the list as CSV UTF-8"))
	default:
		l.read(strings.TrimPrefix(string(text), "\ufeff"))
	}
	if err := l.mistakes.sorted(); err != nil {
		return nil, err
	}
	return l.found, nil
}

// An addressList is a list of addresses while it is read.
type addressList struct {
	file     string
	find     func(doppelboden.Address) (doppelboden.MailboxID, bool)
	seen     map[doppelboden.MailboxID]int // line
	found    []doppelboden.MailboxID
	mistakes Mistakes
}

func (l *addressList) wrong(line int, value string, problem, want Text) {
	if value != "" {
		value = shown("address", value)
	}
	l.mistakes = append(l.mistakes, Mistake{File: l.file, Line: line, Field: "address", Value: value, Problem: problem, Want: want})
}

func (l *addressList) read(text string) {
	n, begun := 0, false
	for line := range strings.SplitSeq(text, "\n") {
		n++
		field := strings.TrimSpace(firstField(strings.TrimSpace(line)))
		switch {
		case field == "", strings.HasPrefix(field, "#"), !begun && strings.EqualFold(field, "address"):
			begun = begun || field != "" && field[0] != '#'
			continue
		case len(l.mistakes) == maxMistakes:
			return
		}
		begun = true
		l.one(n, field)
	}
	if len(l.found) == 0 && len(l.mistakes) == 0 {
		l.wrong(1, "", says("the list has no mailbox"), says("write the address of one mailbox in each line"))
	}
}

// firstField returns the first field of a line of CSV, whatever separates the fields.
func firstField(line string) string {
	rest, quoted := strings.CutPrefix(line, `"`)
	if !quoted {
		if end := strings.IndexAny(line, ",;\t"); end >= 0 {
			return line[:end]
		}
		return line
	}
	var b strings.Builder
	for {
		part, after, closed := strings.Cut(rest, `"`)
		b.WriteString(part)
		if rest, quoted = strings.CutPrefix(after, `"`); !closed || !quoted {
			return b.String()
		}
		b.WriteByte('"') // RFC 4180, section 2: a quote within quotes is written twice
	}
}

// one takes the address of one line.
func (l *addressList) one(n int, written string) {
	a, err := doppelboden.ParseAddress(written)
	if err != nil {
		l.wrong(n, written, notAddress(err), says("write local@domain"))
		return
	}
	m, ok := l.find(a)
	if !ok {
		l.wrong(n, written, says("no mailbox has this address"), says("add the mailbox first, or leave the line out"))
		return
	}
	if first, twice := l.seen[m]; twice {
		l.wrong(n, written, says("line %s has the same mailbox", first), says("write every mailbox once"))
		return
	}
	l.seen[m] = n
	l.found = append(l.found, m)
}
