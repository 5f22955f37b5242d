package handback

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/letter"
	"doppelboden/store"
)

// A content is what a letter says.
type content struct {
	subject string
	text    string // lines end in LF
	mails   []*doppelboden.Message
}

// write has a letter made that is ready by then, under an ID that is noted.
func (r *Room) write(ctx context.Context, m doppelboden.MailboxID, place Place, id doppelboden.ID, make func() (content, error)) error {
	if !r.opts.Mail.MayDot() {
		return errMayNot
	}
	from := r.opts.Letters.From(place.Tenant)
	if from.IsNull() {
		return errNobody
	}
	c, err := make()
	if err != nil {
		return err
	}
	return r.opts.Letters.Letter(ctx, intake.Letter{ID: id, Tenant: place.Tenant, To: place.Owner, EightBit: len(c.mails) > 0,
		Write: func(w io.Writer) error { return r.compose(w, id, from, place.Owner, c) }})
}

// compose writes a letter: RFC 5322, RFC 2046, and RFC 3834, section 5, so that nobody's
// out-of-office reply answers it.
func (r *Room) compose(w io.Writer, id doppelboden.ID, from, to doppelboden.Address, c content) error {
	boundary := "=_" + rand.Text()
	head := []string{
		"From: <" + from.String() + ">",
		"To: <" + to.String() + ">",
		"Subject: " + mime.QEncoding.Encode("utf-8", c.subject),
		"Date: " + r.opts.Clock().Format(time.RFC1123Z),
		"Message-ID: <" + id.String() + "@" + r.opts.Hostname + ">",
		"Auto-Submitted: auto-generated",
		"MIME-Version: 1.0",
	}
	const plain = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	begin := strings.Join(head, "\r\n") + "\r\n"
	if len(c.mails) == 0 {
		if _, err := io.WriteString(w, begin+plain); err != nil {
			return err
		}
		return quoted(w, c.text)
	}
	begin += "Content-Type: multipart/mixed;\r\n boundary=\"" + boundary + "\"\r\n\r\n--" + boundary + "\r\n" + plain
	if _, err := io.WriteString(w, begin); err != nil {
		return err
	}
	if err := quoted(w, c.text); err != nil {
		return err
	}
	for i, m := range c.mails {
		_, err := fmt.Fprintf(w, "\r\n--%s\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\nContent-Disposition: attachment; filename=\"mail-%d.eml\"\r\n\r\n", boundary, i+1)
		if err != nil {
			return err
		}
		if err := r.copyText(w, m); err != nil {
			return fmt.Errorf("attach a mail: %w", err)
		}
	}
	_, err := io.WriteString(w, "\r\n--"+boundary+"--\r\n")
	return err
}

// copyText writes a mail as people see it.
func (r *Room) copyText(w io.Writer, m *doppelboden.Message) error {
	text, err := r.text(m)
	if err != nil {
		return err
	}
	defer text.Close()
	_, err = io.Copy(w, text)
	return err
}

// quoted writes a text as quoted-printable: RFC 2045, section 6.7.
func quoted(w io.Writer, text string) error {
	q := quotedprintable.NewWriter(w)
	if _, err := io.WriteString(q, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		return err
	}
	return q.Close()
}

// known is what a letter says of a mail.
type mailLine struct {
	Date    time.Time
	From    string
	Subject string
}

// about reads what a letter says of a mail. Of one that is not there any more it says so.
func (r *Room) about(m *doppelboden.Message, w *words) string {
	if m == nil {
		return w.unknown
	}
	text, err := r.text(m)
	if err != nil {
		return w.unreadable
	}
	defer text.Close()
	l, err := letter.Parse(io.LimitReader(text, maxHeader), letter.Limits{Header: maxHeader})
	if err != nil {
		return w.unreadable
	}
	s := l.Summary()
	line := mailLine{Date: m.Received, Subject: bounded(s.Subject, 120)}
	if len(s.From) > 0 {
		line.From = bounded(s.From[0].Name, 60)
		if line.From == "" {
			line.From = bounded(s.From[0].Address, 60)
		}
	}
	return w.mail(line, r.zone())
}

// zone is where people read times.
func (r *Room) zone() *time.Location { return r.opts.Clock().Location() }

// bounded cuts a text that is too long.
func bounded(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

// mostLines bounds what a letter lists.
const mostLines = 300

// summary says what a letter brings, and the rest in words.
func (r *Room) summary(m doppelboden.MailboxID, attached, told []*task, more bool) content {
	w := wordsIn(r.opts.Language(m))
	c := content{subject: w.bringSubject}
	for _, t := range attached {
		c.mails = append(c.mails, t.msg)
	}
	var b strings.Builder
	b.WriteString(w.bringBegin)
	if len(attached) > 0 {
		b.WriteString(w.brought(len(attached)))
	}
	if more {
		b.WriteString(w.bringMore)
	}
	if len(told) > 0 {
		b.WriteString(w.listed)
		for i, t := range told {
			if i == mostLines {
				b.WriteString(w.andMore(len(told) - i))
				break
			}
			b.WriteString("- " + r.about(t.msg, w) + ": " + w.deed(t) + "\n")
		}
	}
	b.WriteString(w.end)
	c.text = b.String()
	return c
}

// final says what became of everything in an event.
func (r *Room) final(ctx context.Context, m doppelboden.MailboxID, place Place, state *store.Handback) (content, error) {
	w := wordsIn(r.opts.Language(m))
	now := r.opts.Clock()
	came, err := r.opts.Store.Came(ctx, place.Tenant, m, state.Since, now)
	if err != nil {
		return content{}, fmt.Errorf("count what came in: %w", err)
	}
	var b strings.Builder
	begin, counts := w.finalBegin, w.counts(came, state.Done)
	if idle(state) {
		begin, counts = w.openedBegin, counts+w.openedEnd
	}
	subject := w.finalSubject
	if len(state.Letter.Kept) > 0 {
		subject, begin, counts = w.keptSubject, w.keptBegin, w.counts(came, state.Done)
	}
	b.WriteString(begin(state.Since.In(r.zone()), now.In(r.zone())) + counts)
	if len(state.Letter.Kept) > 0 {
		b.WriteString(w.kept)
		if err := r.list(ctx, &b, w, state.Letter.Kept, state.Letter.More, []string{whyTooLarge, whyUnfit, whyHeld, whyFull, whyRefused}); err != nil {
			return content{}, err
		}
	}
	if len(state.Left) > 0 {
		b.WriteString(w.notDone)
		if err := r.list(ctx, &b, w, state.Left, state.More, []string{whyGone, whyAmbiguous, whyEnded}); err != nil {
			return content{}, err
		}
	}
	b.WriteString(w.end)
	return content{subject: subject, text: b.String()}, nil
}

// list lists mails by why something could not be done with them, and how many more there are.
func (r *Room) list(ctx context.Context, b *strings.Builder, w *words, left []store.HandbackLeft, more int, reasons []string) error {
	for _, why := range reasons {
		if err := r.listLeft(ctx, b, w, left, why); err != nil {
			return err
		}
	}
	if more > 0 {
		b.WriteString(w.andMore(more))
	}
	return nil
}

// listLeft lists what could not be done for one reason.
func (r *Room) listLeft(ctx context.Context, b *strings.Builder, w *words, left []store.HandbackLeft, why string) error {
	left = slices.DeleteFunc(slices.Clone(left), func(l store.HandbackLeft) bool { return l.Why != why })
	if len(left) == 0 {
		return nil
	}
	b.WriteString("\n" + w.why[why] + "\n")
	for _, l := range left {
		m, err := r.opts.Store.Message(ctx, l.Message)
		if err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound {
			return fmt.Errorf("read a message: %w", err)
		}
		if err != nil {
			m = nil
		}
		b.WriteString("- " + r.about(m, w) + "\n")
	}
	return nil
}
