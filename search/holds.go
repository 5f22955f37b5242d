package search

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/store"
)

// A Probe asks for a text in one place of a mail, as IMAP's SEARCH does: RFC 9051,
// section 6.4.4. Capitals are alike everywhere.
type Probe struct {
	// Field is AnyText, AnyBody, or the name of a header field in lower case.
	Field string
	// Value is what is looked for; "" is in every text, and in every field that is there.
	Value string
}

// What a Probe can ask for besides header fields. In both, umlauts and accents are taken
// as in Query, which the RFC allows for texts, and not for fields.
const (
	AnyText = "\x00text" // TEXT: the header, or the text of the mail
	AnyBody = "\x00body" // BODY: the text of the mail
)

// headerRead is how much of a mail is read to find a header field that no summary has.
const headerRead = 256 << 10

// Holds says of messages of a tenant which probes each answers, in no order. Messages that
// are gone or cannot be read are missing. yield is called by one goroutine at a time.
func (r *Room) Holds(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, probes []Probe, yield func(id doppelboden.ID, has []bool) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h := newHolder(r, t, probes)
	parts := make(chan []doppelboden.ID)
	var turn sync.Mutex
	var running sync.WaitGroup
	for range r.workers {
		running.Go(func() {
			for some := range parts {
				if err := h.look(ctx, some, &turn, yield); err != nil {
					cancel(err)
				}
			}
		})
	}
	for rest := unique(append([]doppelboden.ID(nil), ids...)); len(rest) > 0 && ctx.Err() == nil; {
		n := min(len(rest), lastBatch)
		select {
		case parts <- rest[:n]:
			rest = rest[n:]
		case <-ctx.Done():
		}
	}
	close(parts)
	running.Wait()
	return context.Cause(ctx)
}

// A holder answers probes.
type holder struct {
	room     *Room
	tenant   doppelboden.TenantID
	probes   []Probe
	patterns []*pattern // of probes of texts; nil for what is in every text
	take     store.Take // what extracts are needed for
}

func newHolder(r *Room, t doppelboden.TenantID, probes []Probe) *holder {
	h := &holder{room: r, tenant: t, probes: probes, patterns: make([]*pattern, len(probes))}
	for i, p := range probes {
		switch {
		case p.Field == AnyText || p.Field == AnyBody:
			h.patterns[i] = newPattern(p.Value, false)
			h.take |= store.TakeText
		case inSummary[p.Field]:
			h.take |= store.TakeSummary
		}
	}
	return h
}

// inSummary are the header fields that summaries have.
var inSummary = map[string]bool{"from": true, "to": true, "cc": true, "subject": true, "message-id": true, "in-reply-to": true}

// look answers for some messages.
func (h *holder) look(ctx context.Context, ids []doppelboden.ID, turn *sync.Mutex, yield func(doppelboden.ID, []bool) error) error {
	answers := make(map[doppelboden.ID][]bool, len(ids))
	var later []doppelboden.ID // of which the mail itself must be read
	err := h.room.opts.Store.Extracts(ctx, h.tenant, ids, h.take, func(e store.Extracted) error {
		has, whole := h.fromExtract(&e)
		if answers[e.Message] = has; !whole {
			later = append(later, e.Message)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read extracts: %w", err)
	}
	if err := h.fromMails(ctx, later, answers); err != nil {
		return err
	}
	turn.Lock()
	defer turn.Unlock()
	for _, id := range ids {
		if has, ok := answers[id]; ok {
			if err := yield(id, has); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// fromExtract answers as far as an extract can, and reports whether that was all.
func (h *holder) fromExtract(e *store.Extracted) (has []bool, whole bool) {
	has, whole = make([]bool, len(h.probes)), true
	var c content
	var s letter.Summary
	if h.take&store.TakeText != 0 {
		packed, ok := h.room.open(h.tenant, e, sealedText, e.Text)
		if !ok {
			return has, false
		}
		var err error
		if c, _, err = decodeContent(packed, nil); err != nil {
			return has, false
		}
	}
	if h.take&store.TakeSummary != 0 {
		var ok bool
		if s, ok = h.room.openSummary(h.tenant, e); !ok {
			return has, false
		}
	}
	for i, p := range h.probes {
		switch {
		case p.Field == AnyText || p.Field == AnyBody:
			has[i] = h.patterns[i] == nil || c.holds(h.patterns[i], p.Field == AnyText)
			whole = whole && (has[i] || c.brief || !c.cut && (p.Field == AnyBody || !c.headerCut))
		case inSummary[p.Field]:
			var sure bool
			has[i], sure = fieldHolds(&s, p)
			whole = whole && sure
		default:
			whole = false
		}
	}
	return has, whole
}

// holds reports whether a text has a pattern.
func (c *content) holds(p *pattern, header bool) bool {
	return p.in(c.body) || header && (p.in(c.subject) || p.in(c.from) || p.in(c.to) || p.in(c.header))
}

// fieldHolds answers a probe of a field that summaries have, and reports whether they had
// all of it.
func fieldHolds(s *letter.Summary, p Probe) (has, sure bool) {
	people := func(list []letter.Person) (bool, bool) {
		for _, one := range list {
			if contains(one.Name+" <"+one.Address+">", p.Value) {
				return true, true
			}
		}
		return false, len(list) < 50 // summaries name no more
	}
	switch p.Field {
	case "from":
		return people(s.From)
	case "to":
		return people(s.To)
	case "cc":
		return people(s.Cc)
	case "subject":
		return s.Subject != "" && contains(s.Subject, p.Value), s.Subject != "" && len(s.Subject) < 900
	case "message-id":
		return s.MessageID != "" && contains("<"+s.MessageID+">", p.Value), true
	}
	return len(s.InReplyTo) > 0 && contains("<"+strings.Join(s.InReplyTo, "> <")+">", p.Value), true
}

// contains reports whether a text has another one in it, whatever their capitals.
func contains(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// fromMails answers from mails themselves. Those that are gone or cannot be read are missing.
func (h *holder) fromMails(ctx context.Context, ids []doppelboden.ID, answers map[doppelboden.ID][]bool) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		delete(answers, id)
	}
	most := int64(1 << 62)
	if h.take&store.TakeText == 0 { // fields alone
		most = headerRead
	}
	d := h.room.reader()
	defer d.close()
	spare := sync.Pool{New: func() any { return new(folded) }}
	err := h.room.opts.Store.TextsOf(ctx, h.tenant, ids, func(m *doppelboden.Message) error {
		text, err := d.mail(m, most)
		if err != nil {
			h.room.unreadable(m.ID, err)
			return ctx.Err()
		}
		has, _, err := careful(ctx, d, m.ID, text, letter.Limits{}, func(l *letter.Letter) []bool {
			in := spare.Get().(*folded)
			defer spare.Put(in)
			return h.answer(l, in)
		})
		if err == nil && has != nil {
			answers[m.ID] = has
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("find mails without an extract: %w", err)
	}
	return nil
}

// A folded is memory for what is looked through of one mail after the other.
type folded struct{ body, header []byte }

// answer answers all probes of a mail.
func (h *holder) answer(l *letter.Letter, in *folded) []bool {
	has := make([]bool, len(h.probes))
	in.body, in.header = in.body[:0], in.header[:0]
	if h.take&store.TakeText != 0 {
		in.body = fold(in.body, l.AllText())
		l.Fields(func(name, value string) { in.header = append(fold(in.header, name+": "+value), '\n') })
	}
	for i, p := range h.probes {
		if p.Field != AnyText && p.Field != AnyBody {
			l.Fields(func(name, value string) {
				has[i] = has[i] || name == p.Field && contains(value, p.Value)
			})
			continue
		}
		has[i] = h.patterns[i] == nil || h.patterns[i].in(in.body) || p.Field == AnyText && h.patterns[i].in(in.header)
	}
	return has
}
