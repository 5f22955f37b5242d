package letter

import (
	"net/mail"
	"strings"
	"time"
)

const (
	// snippetLength is how much of a text lists show, in bytes.
	snippetLength = 200
	// maxIDs is how many message ids of one field are kept: References may name thousands.
	maxIDs = 50
	// summaryPeople is how many people of one field lists need.
	summaryPeople = 50
	// subjectLength is how much of a subject is shown, in bytes.
	subjectLength = 1000
)

// Summary returns what lists show.
func (l *Letter) Summary() Summary {
	s := Summary{
		From: l.some("from"), To: l.some("to"), Cc: l.some("cc"),
		Subject:    cutText(l.Field("subject"), subjectLength),
		Date:       parseDate(l.root.raw("date")),
		InReplyTo:  messageIDs(l.root.raw("in-reply-to"), maxIDs),
		References: messageIDs(l.root.raw("references"), maxIDs),
		Snippet:    snippet(l.Text()),
		Kind:       l.Kind(),
	}
	if ids := messageIDs(l.root.raw("message-id"), 1); len(ids) > 0 {
		s.MessageID = ids[0]
	}
	for _, n := range l.leaves {
		if !n.hidden && !n.within() {
			s.Attachments++
		}
	}
	return s
}

// some returns the first people of a field.
func (l *Letter) some(name string) []Person {
	people := l.People(name)
	return people[:min(len(people), summaryPeople)]
}

// Kind says what the mail is when it cannot simply be read, or "".
func (l *Letter) Kind() string {
	protocol := strings.ToLower(l.root.params["protocol"])
	switch l.root.kind {
	case "multipart/signed":
		if strings.Contains(protocol, "pgp") {
			return PGPSigned
		}
		return SMIMESigned
	case "multipart/encrypted":
		return PGPSealed
	case "application/pkcs7-mime", "application/x-pkcs7-mime": // RFC 8551, section 3.2.2
		if kind := strings.ToLower(l.root.params["smime-type"]); kind == "signed-data" || kind == "certs-only" {
			return SMIMESigned
		}
		return SMIMESealed
	case "multipart/report":
		return Report
	}
	for _, n := range l.leaves {
		switch {
		case n.kind == "text/calendar":
			return Invitation
		case n.kind == "application/ms-tnef" || strings.EqualFold(n.name, "winmail.dat"):
			return TNEF
		}
	}
	for _, n := range l.shown {
		if n.kind != "text/plain" {
			continue
		}
		switch text := l.textOf(n); { // RFC 9580, section 6.2
		case strings.Contains(text, "-----BEGIN PGP MESSAGE-----"):
			return PGPSealed
		case strings.Contains(text, "-----BEGIN PGP SIGNED MESSAGE-----"):
			return PGPSigned
		}
	}
	return ""
}

// messageIDs returns what stands in angle brackets, at most the last n: RFC 5322, section
// 3.6.4.
func messageIDs(s string, n int) (ids []string) {
	for {
		var id string
		var ok bool
		if _, s, ok = strings.Cut(s, "<"); !ok {
			break
		}
		if id, s, ok = strings.Cut(s, ">"); !ok {
			break
		}
		if id = strings.ReplaceAll(oneLine(id), " ", ""); id == "" || len(id) > 500 {
			continue
		}
		if len(ids) == n { // the newest are at the end
			copy(ids, ids[1:])
			ids = ids[:n-1]
		}
		ids = append(ids, id)
	}
	return ids
}

// parseDate reads a date, and returns the zero time for what is none.
func parseDate(s string) time.Time {
	s = strings.TrimSpace(s)
	if len(s) > 100 {
		return time.Time{}
	}
	if t, err := mail.ParseDate(s); err == nil {
		return sane(t)
	}
	if i := strings.IndexByte(s, '('); i > 0 {
		s = strings.TrimSpace(s[:i])
	}
	for _, layout := range []string{time.ANSIC, time.UnixDate, time.RFC3339, time.RFC850, "Mon, 2 Jan 2006 15:04 -0700",
		"2 Jan 2006 15:04:05", "Mon, 2 Jan 2006 15:04:05", "Mon Jan 2 15:04:05 2006 -0700", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return sane(t)
		}
	}
	return time.Time{}
}

// sane returns t unless nobody can have written a mail then.
func sane(t time.Time) time.Time {
	if t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// snippet returns the beginning of what the sender wrote, in one line: quoted lines are
// somebody else's.
func snippet(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.Join(strings.Fields(line), " "); line == "" || line[0] == '>' {
			continue
		}
		if line == "--" { // a signature
			break
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(line)
		if b.Len() > snippetLength {
			break
		}
	}
	return cutText(b.String(), snippetLength)
}
