package absence

import (
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/letter"
)

// mostReferences bounds the References of an answer.
const mostReferences = 20

// An answer is one that is about to be made.
type answer struct {
	id       doppelboden.ID
	hostname string
	name     string // of who is away; may be empty
	from, to doppelboden.Address
	date     time.Time
	setting  Setting
	language string // of the subject's first word
	original letter.Summary
}

// subject returns the subject: RFC 3834, section 3.1.5.
func (a *answer) subject() string {
	if a.setting.Subject != "" {
		return a.setting.Subject
	}
	word := "Abwesenheit"
	if a.language == "en" {
		word = "Auto"
	}
	return word + ": " + shortened(letter.Harmless(a.original.Subject))
}

// shortened cuts a stranger's subject.
func shortened(s string) string {
	if runes := []rune(s); len(runes) > 120 {
		return string(runes[:119]) + "…"
	}
	return s
}

// write writes the answer: RFC 5322, and RFC 3834, section 3.1.
func (a *answer) write(w io.Writer) error {
	from := "<" + a.from.String() + ">"
	if a.name != "" {
		from = phrase(a.name) + " " + from
	}
	head := []string{
		"From: " + from,
		"To: <" + a.to.String() + ">",
		"Subject: " + encoded(a.subject()),
		"Date: " + a.date.Format(time.RFC1123Z),
		"Message-ID: <" + a.id.String() + "@" + a.hostname + ">",
	}
	if id := a.original.MessageID; safeID(id) {
		head = append(head, "In-Reply-To: <"+id+">", "References: "+a.references())
	}
	head = append(head,
		"Auto-Submitted: auto-replied",
		"X-Auto-Response-Suppress: All", // for answering machines that do not know the field above
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: quoted-printable",
		"", "")
	if _, err := io.WriteString(w, strings.Join(head, "\r\n")); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	q := quotedprintable.NewWriter(w)
	if _, err := io.WriteString(q, strings.ReplaceAll(strings.TrimRight(a.setting.Text, "\n")+"\n", "\n", "\r\n")); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return q.Close()
}

// references returns the References: RFC 5322, section 3.6.4.
func (a *answer) references() string {
	var ids []string
	for _, id := range append(a.original.References, a.original.MessageID) {
		if safeID(id) {
			ids = append(ids, "<"+id+">")
		}
	}
	return strings.Join(ids[max(0, len(ids)-mostReferences):], "\r\n ")
}

// safeID reports whether a stranger's id may stand in our header.
func safeID(id string) bool {
	if id == "" || len(id) > 250 {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' || id[i] == '<' || id[i] == '>' {
			return false
		}
	}
	return true
}

// phrase returns a name as From has it.
func phrase(name string) string {
	name = letter.Harmless(name)
	if e := encoded(name); e != name {
		return e
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// encoded returns a text as a header field has it: RFC 2047. Long ones are folded.
func encoded(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", s), "?= =?", "?=\r\n =?")
}
