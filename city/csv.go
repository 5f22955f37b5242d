package city

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	encodings "golang.org/x/text/encoding/unicode"

	"doppelboden"
)

// An Import is a list of mailboxes that was read completely and without a mistake.
type Import struct {
	Mailboxes []doppelboden.Mailbox // without IDs
	Encoding  string                // "UTF-8", "UTF-16" or "Windows-1252"
	Separator string                // ",", ";" or a tab
}

// Columns of the list. Their order in the file is free.
var csvColumns = [...]string{"address", "name", "kind", "department", "priority", "aliases", "members", "building", "phone"}

// Bounds of a list, so that a wrong file ends soon and says why.
const (
	maxCSV      = 256 << 20 // bytes; a million mailboxes take half of it
	maxName     = 200       // characters of a name, department or building
	maxAliases  = 500       // of one mailbox
	maxMembers  = 100_000   // of one list
	maxMistakes = 100       // told of one list
)

// ParseCSV reads a list of mailboxes with a header line: UTF-8, UTF-16 with a byte order
// mark or Windows-1252, separated by commas, semicolons (German Excel) or tabs. tenantOf
// tells the tenant of a domain. All or nothing: the error is a Mistakes with line and
// column (in bytes) of each.
func ParseCSV(name string, text []byte, tenantOf func(domain string) (doppelboden.TenantID, bool)) (*Import, error) {
	l := &list{file: name, tenantOf: tenantOf, seen: map[string]int{}}
	if len(text) > maxCSV {
		l.add(1, 0, "", "", says("the file is too large"), says("write at most %s bytes", maxCSV))
		return nil, l.mistakes
	}
	utf, encoding, err := l.decode(text)
	if err != nil {
		return nil, err
	}
	separator := separatorOf(utf)
	l.reader = csv.NewReader(bytes.NewReader(utf))
	l.reader.Comma = separator
	l.reader.FieldsPerRecord = -1 // told below, with the column
	l.reader.ReuseRecord = true
	l.read()
	if err := l.mistakes.sorted(); err != nil {
		return nil, err
	}
	return &Import{Mailboxes: l.boxes, Encoding: encoding, Separator: string(separator)}, nil
}

// A list is a CSV file while it is read.
type list struct {
	file     string
	tenantOf func(domain string) (doppelboden.TenantID, bool)
	reader   *csv.Reader
	columns  []int          // for each of csvColumns, where it stands; -1 when it does not
	width    int            // number of fields in the header
	seen     map[string]int // Address.Key → line
	boxes    []doppelboden.Mailbox
	mistakes Mistakes
}

func (l *list) add(line, column int, field, value string, problem, want Text) {
	if len(l.mistakes) == maxMistakes {
		return
	}
	l.mistakes = append(l.mistakes, Mistake{File: l.file, Line: line, Column: column, Field: field,
		Value: value, Problem: problem, Want: want})
}

// wrong notes a mistake in the field that stands at place in the current record.
func (l *list) wrong(place int, field, value string, problem, want Text) {
	line, column := l.reader.FieldPos(place)
	l.add(line, column, field, shown(field, value), problem, want)
}

// decode returns the text in UTF-8 without a byte order mark.
func (l *list) decode(text []byte) (utf []byte, encoding string, err error) {
	if bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff}) {
		utf, err := encodings.UTF16(encodings.LittleEndian, encodings.UseBOM).NewDecoder().Bytes(text)
		if err == nil {
			return utf, "UTF-16", nil
		}
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	at := firstInvalid(text)
	if at < 0 {
		return text, "UTF-8", nil
	}
	line := 1 + bytes.Count(text[:at], []byte("\n"))
	column := at - bytes.LastIndexByte(text[:at], '\n')
	utf, err = charmap.Windows1252.NewDecoder().Bytes(text)
	// A file with umlauts of both kinds was glued together; reading it either way would
	// spoil the names of half the people.
	if err != nil || hasMultibyte(text) {
		l.add(line, column, "", "", says("the byte %s is no UTF-8, and the file as a whole is no Windows-1252 either", fmt.Sprintf("0x%02x", text[at])), says("save the list as CSV UTF-8"))
		return nil, "", l.mistakes
	}
	return utf, "Windows-1252", nil
}

// firstInvalid returns the offset of the first byte that is not UTF-8, or -1.
func firstInvalid(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// hasMultibyte reports whether text holds a letter of UTF-8 beyond US-ASCII.
func hasMultibyte(text []byte) bool {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if size > 1 && unicode.IsLetter(r) {
			return true
		}
		i += size
	}
	return false
}

// separatorOf returns what separates the names in the header line.
func separatorOf(text []byte) rune {
	header, _, _ := bytes.Cut(text, []byte("\n"))
	best := ','
	for _, c := range ";\t" {
		if bytes.Count(header, []byte(string(c))) > bytes.Count(header, []byte(string(best))) {
			best = c
		}
	}
	return best
}

// read reads the header and all records.
func (l *list) read() {
	header, err := l.reader.Read()
	if err == io.EOF {
		l.add(1, 0, "", "", says("the file is empty"), says("write a first line with %s", strings.Join(csvColumns[:], ",")))
		return
	}
	if err != nil {
		l.unreadable(err)
		return
	}
	if l.header(header); len(l.mistakes) > 0 {
		return
	}
	for len(l.mistakes) < maxMistakes {
		record, err := l.reader.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			l.unreadable(err)
			return // after a stray quote nobody knows where the next record starts
		}
		l.record(record)
	}
	if len(l.boxes) == 0 && len(l.mistakes) == 0 {
		l.add(1, 0, "", "", says("the list has no mailbox"), says("write one line for each mailbox below the header"))
	}
}

// unreadable notes what the CSV reader says.
func (l *list) unreadable(err error) {
	m := Mistake{File: l.file, Line: 1, Problem: says("not CSV: %s", err), Want: says(`write a quote within quotes twice: "say ""hello"""`)}
	var pe *csv.ParseError
	if errors.As(err, &pe) {
		m.Line, m.Column = pe.Line, pe.Column
	}
	switch {
	case errors.Is(err, csv.ErrBareQuote):
		m.Problem = says(`bare " in non-quoted-field`)
	case errors.Is(err, csv.ErrQuote):
		m.Problem = says(`extraneous or missing " in quoted-field`)
	}
	l.mistakes = append(l.mistakes, m)
}

// header finds the columns.
func (l *list) header(names []string) {
	l.width = len(names)
	l.columns = slices.Repeat([]int{-1}, len(csvColumns))
	for place, written := range names {
		name := strings.ToLower(strings.TrimSpace(written))
		i := slices.Index(csvColumns[:], name)
		switch {
		case i < 0:
			want := says("known columns: %s", strings.Join(csvColumns[:], ", "))
			if near := nearest(name, csvColumns[:]); near != "" {
				want = says("did you mean %s?", near)
			}
			l.wrong(place, "column", written, says("unknown column"), want)
		case l.columns[i] >= 0:
			l.wrong(place, "column", written, says("written twice"), says("write every column once"))
		default:
			l.columns[i] = place
		}
	}
	if l.columns[0] < 0 && len(l.mistakes) == 0 {
		l.add(1, 0, "address", "", says("is missing"), says("write a column with the name address"))
	}
}

// field returns a field by the name of its column, and where it stands.
func (l *list) field(record []string, name string) (value string, place int) {
	place = l.columns[slices.Index(csvColumns[:], name)]
	if place < 0 {
		return "", 0
	}
	return strings.TrimSpace(record[place]), place
}

// record reads one mailbox.
func (l *list) record(record []string) {
	empty := !slices.ContainsFunc(record, func(s string) bool { return strings.TrimSpace(s) != "" })
	if empty {
		return // Excel leaves lines of separators at the end
	}
	if len(record) != l.width {
		line, _ := l.reader.FieldPos(0)
		l.add(line, 0, "", "", says("%s fields, but the header has %s", len(record), l.width), says("quote fields that hold the separator"))
		return
	}
	box := doppelboden.Mailbox{Kind: doppelboden.Person, Priority: doppelboden.DefaultPriority}
	written, place := l.field(record, "address")
	address, ok := l.address("address", written, place)
	if !ok {
		return
	}
	box.Address = address
	box.Tenant, ok = l.tenantOf(address.Domain)
	if !ok {
		l.wrong(place, "address", written, says("its domain is no tenant's"), says("add the domain to city.toml first, or leave the line out"))
		return
	}
	box.Name = l.words(record, "name")
	box.Department = l.words(record, "department")
	box.Building = l.words(record, "building")
	box.Phone = l.phone(record)
	l.kind(record, &box)
	l.priority(record, &box)
	l.aliases(record, &box)
	l.members(record, &box)
	l.boxes = append(l.boxes, box)
}

// address reads an address that no line before had.
func (l *list) address(field, written string, place int) (doppelboden.Address, bool) {
	a, err := doppelboden.ParseAddress(written)
	if err != nil {
		l.wrong(place, field, written, notAddress(err), says("write local@domain"))
		return a, false
	}
	line, _ := l.reader.FieldPos(place)
	if first, twice := l.seen[a.Key()]; twice {
		l.wrong(place, field, written, says("line %s has the same address", first), says("write every address and alias once"))
		return a, false
	}
	l.seen[a.Key()] = line
	return a, true
}

// words reads a text for people.
func (l *list) words(record []string, name string) string {
	value, place := l.field(record, name)
	if problem := BadWords(value); !problem.IsZero() {
		l.wrong(place, name, value, problem, says("write one line of text"))
	}
	return value
}

// phone reads a telephone number.
func (l *list) phone(record []string) doppelboden.Phone {
	value, place := l.field(record, "phone")
	if value == "" {
		return ""
	}
	p, err := doppelboden.ParsePhone(value)
	if err != nil {
		l.wrong(place, "phone", value, says("not a telephone number"), says("write it as +49 171 1234567"))
	}
	return p
}

// BadWords says what is wrong with a name, department or building, or nothing.
func BadWords(s string) Text {
	if utf8.RuneCountInString(s) > maxName {
		return says("longer than %s characters", maxName)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
		return says("holds control characters")
	}
	return Text{}
}

func (l *list) kind(record []string, box *doppelboden.Mailbox) {
	value, place := l.field(record, "kind")
	switch kind := doppelboden.MailboxKind(strings.ToLower(value)); kind {
	case "":
	case doppelboden.Person, doppelboden.Function, doppelboden.List:
		box.Kind = kind
	default:
		l.wrong(place, "kind", value, says("not a kind"), says("write person, function or list"))
	}
}

func (l *list) priority(record []string, box *doppelboden.Mailbox) {
	value, place := l.field(record, "priority")
	if value == "" {
		return
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > 9 {
		l.wrong(place, "priority", value, says("not a priority"), says("write 0 to 9; 9 is handed over first"))
		return
	}
	box.Priority = n
}

func (l *list) aliases(record []string, box *doppelboden.Mailbox) {
	value, place := l.field(record, "aliases")
	if value == "" {
		return
	}
	written := addressesIn(value)
	if len(written) > maxAliases {
		l.wrong(place, "aliases", value, says("too many"), says("write at most %s", maxAliases))
		return
	}
	for _, one := range written {
		a, ok := l.address("aliases", one, place)
		if !ok {
			continue
		}
		if t, ours := l.tenantOf(a.Domain); !ours || t != box.Tenant {
			l.wrong(place, "aliases", one, says("its domain is not one of the mailbox's tenant"), says("write an alias in the same city's domains"))
			continue
		}
		box.Aliases = append(box.Aliases, a)
	}
}

// addressesIn returns the addresses that stand in one field.
func addressesIn(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(",;|", r) })
}

// members reads who is in a list, or to whom the mailbox of a function belongs. They may be
// in any domain, and be in many lists.
func (l *list) members(record []string, box *doppelboden.Mailbox) {
	value, place := l.field(record, "members")
	written := addressesIn(value)
	switch {
	case box.Kind == doppelboden.Person && len(written) > 0:
		l.wrong(place, "members", value, says("a person has no members"), says("write function or list as the kind, or leave members out"))
		return
	case box.Kind == doppelboden.List && len(written) == 0:
		line, _ := l.reader.FieldPos(0)
		l.add(line, 0, "members", "", says("is missing"), says("write the addresses of the list's members"))
		return
	case len(written) > maxMembers:
		l.wrong(place, "members", value, says("too many"), says("write at most %s", maxMembers))
		return
	}
	seen := map[string]bool{}
	for _, one := range written {
		a, err := doppelboden.ParseAddress(one)
		if err != nil {
			l.wrong(place, "members", one, notAddress(err), says("write local@domain"))
			continue
		}
		if !seen[a.Key()] {
			seen[a.Key()] = true
			box.Members = append(box.Members, a)
		}
	}
}
