package mailbox

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// What is fetched of a mail to know it, and all of it.
var (
	headSection = imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, Peek: true, Partial: &imap.SectionPartial{Size: MaxHeader}}
	textSection = imap.FetchItemBodySection{Specifier: imap.PartSpecifierText, Peek: true, Partial: &imap.SectionPartial{Size: MaxText}}
	bodySection = imap.FetchItemBodySection{Peek: true}
)

// headsAtOnce is how many mails one FETCH of their beginnings asks about, which bounds its
// answer to some megabytes.
const headsAtOnce = 100

// Heads fetches what mails begin with.
func (s *session) Heads(ctx context.Context, uids []uint32) ([]Head, error) {
	if err := s.notSelected(); err != nil {
		return nil, err
	}
	var all []Head
	for chunk := range slices.Chunk(uids, headsAtOnce) {
		most := int64(len(chunk))*(MaxHeader+MaxText+small/headsAtOnce) + small
		err := s.bounded(ctx, s.backend.opts.Timeout, most, func() error {
			cmd := s.link.client.Fetch(setOf(chunk), &imap.FetchOptions{UID: true, Flags: true, RFC822Size: true, InternalDate: true,
				BodySection: []*imap.FetchItemBodySection{&headSection, &textSection}})
			for m := cmd.Next(); m != nil; m = cmd.Next() {
				h, ok, err := readHead(m)
				if err != nil {
					return err
				}
				if ok && len(all) < len(uids) {
					all = append(all, h)
				}
			}
			return cmd.Close()
		})
		if err != nil {
			return nil, temporary("does not show mails", clean(err))
		}
	}
	slices.SortFunc(all, func(a, b Head) int { return int(int64(a.UID) - int64(b.UID)) })
	return all, nil
}

// readHead reads one answer to FETCH.
func readHead(m *imapclient.FetchMessageData) (h Head, ok bool, err error) {
	for item := m.Next(); item != nil; item = m.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			h.UID = uint32(item.UID)
		case imapclient.FetchItemDataRFC822Size:
			h.Size = item.Size
		case imapclient.FetchItemDataInternalDate:
			h.Date = item.Time.UTC()
		case imapclient.FetchItemDataFlags:
			h.Flags = flagsOf(item.Flags)
		case imapclient.FetchItemDataBodySection:
			if item.Literal == nil {
				continue
			}
			text := textOf(item.Literal)
			switch {
			case item.MatchCommand(&headSection):
				h.Header, _ = io.ReadAll(io.LimitReader(text, MaxHeader)) // the error is that of text.cut
				h.ID = receivedID(h.Header)
			case item.MatchCommand(&textSection):
				h.Text, _ = io.ReadAll(io.LimitReader(text, MaxText))
			}
			if text.cut {
				return h, false, errCut
			}
		}
	}
	return h, h.UID != 0, nil
}

// readSlack is how much more than its size a mail may have when it is read: some servers
// guess it.
const readSlack = 2

// Read fetches mails with their texts.
func (s *session) Read(ctx context.Context, uids []uint32, size int64, yield func(uid uint32, size int64, r io.Reader) error) error {
	if err := s.notSelected(); err != nil {
		return err
	}
	limit := s.backend.opts.Timeout + time.Duration(size/slowest)*time.Second
	var own error
	err := s.bounded(ctx, limit, readSlack*size+small*int64(len(uids)+1), func() error {
		cmd := s.link.client.Fetch(setOf(uids), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{&bodySection}})
		for m := cmd.Next(); m != nil; m = cmd.Next() {
			var uid uint32
			if len(uids) == 1 {
				uid = uids[0] // a server may say it behind the text
			}
			for item := m.Next(); item != nil; item = m.Next() {
				switch item := item.(type) {
				case imapclient.FetchItemDataUID:
					uid = uint32(item.UID)
				case imapclient.FetchItemDataBodySection:
					if item.Literal == nil || own != nil || !slices.Contains(uids, uid) {
						continue
					}
					text := textOf(item.Literal)
					own = yield(uid, item.Literal.Size(), text)
					if text.cut {
						return errCut
					}
					if own == nil && text.left > 0 {
						own = errShort
					}
				}
			}
		}
		return cmd.Close()
	})
	switch {
	case own != nil && err == nil:
		return own
	case own != nil && !errors.Is(own, errShort):
		return errors.Join(own, temporary("breaks off while it shows a mail", clean(err)))
	case err != nil || own != nil:
		return temporary("breaks off while it shows a mail", errors.Join(own, clean(err)))
	}
	return nil
}

// errShort says that a mail was not read to its end.
var errShort = errors.New("a mail was not read to its end")

// errCut says that the connection broke within a text. Then nothing more may be asked of
// the command: go-imap would go on reading the text beside its own goroutine.
var errCut = errors.New("a text is cut off")

// A sentText is a literal, a text within an answer: RFC 9051, section 4.3.
type sentText struct {
	r    io.Reader
	left int64 // octets that are still to come
	cut  bool  // the connection broke before
}

func textOf(r imap.LiteralReader) *sentText { return &sentText{r: r, left: r.Size()} }

// Read reads.
func (l *sentText) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	l.left -= int64(n)
	l.cut = l.cut || err != nil && l.left > 0
	return n, err
}
