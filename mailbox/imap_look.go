package mailbox

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"doppelboden"
)

const (
	// fetchAtOnce is how many mails one FETCH asks about.
	fetchAtOnce = 200
	// headerBytes is how much is read of the Received lines of a mail: some hops of the
	// groupware above ours. What lies below ours is of no use.
	headerBytes = 8 << 10
	// mostMails is how many a folder may hold; a server may claim anything.
	mostMails = 4_000_000
	// dateSlack is how much earlier than we got a mail its INTERNALDATE may be: SEARCH
	// SINCE looks at the day alone, in the server's time zone.
	dateSlack = 48 * time.Hour
)

// received is what is fetched of a mail: never its text, and never so that it is marked.
var received = imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Received"}, Peek: true,
	Partial: &imap.SectionPartial{Size: headerBytes}}

// Seen yields what lies in the selected folder.
func (s *session) Seen(ctx context.Context, from uint32, yield func(Seen) error) error {
	if err := s.notSelected(); err != nil {
		return err
	}
	from = max(from, 1)
	var behind imap.UIDSet
	behind.AddRange(imap.UID(from), 0)
	uids, err := s.search(ctx, &imap.SearchCriteria{UID: []imap.UIDSet{behind}})
	if err != nil {
		return err
	}
	// "n:*" always has the last mail, also when its UID is smaller than n.
	uids = slices.DeleteFunc(uids, func(u uint32) bool { return u < from })
	for chunk := range slices.Chunk(uids, fetchAtOnce) {
		mails, err := s.fetch(ctx, chunk)
		if err != nil {
			return err
		}
		for _, m := range mails {
			if err := yield(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// Find looks for ids among what came since the first of them was made, the newest first.
func (s *session) Find(ctx context.Context, ids []doppelboden.ID) (map[doppelboden.ID]Seen, error) {
	found := map[doppelboden.ID]Seen{}
	if err := s.notSelected(); err != nil || len(ids) == 0 {
		return found, err
	}
	wanted := make(map[doppelboden.ID]bool, len(ids))
	first := ids[0].Time()
	for _, id := range ids {
		wanted[id] = true
		if t := id.Time(); t.Before(first) {
			first = t
		}
	}
	uids, err := s.search(ctx, &imap.SearchCriteria{Since: first.Add(-dateSlack)})
	if err != nil {
		return nil, err
	}
	slices.Reverse(uids)
	for chunk := range slices.Chunk(uids, fetchAtOnce) {
		mails, err := s.fetch(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, m := range mails {
			if wanted[m.ID] {
				found[m.ID] = m
			}
		}
		if len(found) == len(wanted) {
			break
		}
	}
	return found, nil
}

// search returns the UIDs that fit, sorted.
func (s *session) search(ctx context.Context, c *imap.SearchCriteria) ([]uint32, error) {
	var data *imap.SearchData
	err := s.bounded(ctx, s.backend.opts.Timeout, large, func() (err error) {
		data, err = s.link.client.UIDSearch(c, nil).Wait()
		return err
	})
	if err != nil {
		return nil, temporary("does not search", clean(err))
	}
	set, _ := data.All.(imap.UIDSet)
	var uids []uint32
	for _, r := range set {
		if r.Stop == 0 || r.Stop < r.Start || int64(len(uids))+int64(r.Stop)-int64(r.Start) >= mostMails {
			s.broken = true
			return nil, temporary("claims that a folder holds more than is possible", errTooMuch)
		}
		for u := uint64(r.Start); u <= uint64(r.Stop); u++ {
			uids = append(uids, uint32(u))
		}
	}
	return uids, nil
}

// fetch returns what is known of mails, by UID. Those that are gone meanwhile are missing.
func (s *session) fetch(ctx context.Context, uids []uint32) ([]Seen, error) {
	var set imap.UIDSet
	for _, u := range uids {
		set.AddNum(imap.UID(u))
	}
	var mails []Seen
	err := s.bounded(ctx, s.backend.opts.Timeout, large, func() error {
		cmd := s.link.client.Fetch(set, &imap.FetchOptions{UID: true, RFC822Size: true, InternalDate: true,
			BodySection: []*imap.FetchItemBodySection{&received}})
		for m := cmd.Next(); m != nil; m = cmd.Next() {
			seen, ok, err := read(m)
			if err != nil {
				return err
			}
			if ok {
				mails = append(mails, seen)
			}
		}
		return cmd.Close()
	})
	if err != nil {
		return nil, temporary("does not show mails", clean(err))
	}
	slices.SortFunc(mails, func(a, b Seen) int { return int(int64(a.UID) - int64(b.UID)) })
	return mails, nil
}

// read reads one answer to FETCH.
func read(m *imapclient.FetchMessageData) (seen Seen, ok bool, err error) {
	for item := m.Next(); item != nil; item = m.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			seen.UID = uint32(item.UID)
		case imapclient.FetchItemDataRFC822Size:
			seen.Size = item.Size
		case imapclient.FetchItemDataInternalDate:
			seen.Date = item.Time.UTC()
		case imapclient.FetchItemDataBodySection:
			if item.Literal == nil || !item.MatchCommand(&received) {
				continue
			}
			// What is beyond the bound is discarded by the client.
			text := textOf(item.Literal)
			header, err := io.ReadAll(io.LimitReader(text, headerBytes))
			if text.cut {
				return seen, false, errCut
			}
			if err == nil {
				seen.ID = receivedID(header)
			}
		}
	}
	return seen, seen.UID != 0, nil
}
