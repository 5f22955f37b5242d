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
				if h, ok := readHead(m); ok && len(all) < len(uids) {
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
func readHead(m *imapclient.FetchMessageData) (h Head, ok bool) {
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
			switch {
			case item.Literal == nil:
			case item.MatchCommand(&headSection):
				h.Header, _ = io.ReadAll(io.LimitReader(item.Literal, MaxHeader)) // a broken one ends the command
				h.ID = receivedID(h.Header)
			case item.MatchCommand(&textSection):
				h.Text, _ = io.ReadAll(io.LimitReader(item.Literal, MaxText))
			}
		}
	}
	return h, h.UID != 0
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
					counted := &counting{r: item.Literal}
					own = yield(uid, item.Literal.Size(), counted)
					if own == nil && counted.n != item.Literal.Size() {
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

// A counting reader counts.
type counting struct {
	r io.Reader
	n int64
}

// Read reads.
func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}
