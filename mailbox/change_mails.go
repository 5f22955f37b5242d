package mailbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"doppelboden"
)

// marking is what is fetched of a mail to recognize it.
var marking = imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Received", "Message-ID"}, Peek: true,
	Partial: &imap.SectionPartial{Size: 2 * headerBytes}}

// Marks fetches what mails are known by.
func (s *session) Marks(ctx context.Context, uids []uint32) ([]Mark, error) {
	if err := s.notSelected(); err != nil {
		return nil, err
	}
	var all []Mark
	for chunk := range slices.Chunk(uids, fetchAtOnce) {
		err := s.bounded(ctx, s.backend.opts.Timeout, large, func() error {
			cmd := s.link.client.Fetch(setOf(chunk), &imap.FetchOptions{UID: true, Flags: true, RFC822Size: true, InternalDate: true,
				BodySection: []*imap.FetchItemBodySection{&marking}})
			for m := cmd.Next(); m != nil; m = cmd.Next() {
				mark, ok, err := readMark(m)
				if err != nil {
					return err
				}
				if ok {
					all = append(all, mark)
				}
			}
			return cmd.Close()
		})
		if err != nil {
			return nil, temporary("does not show mails", clean(err))
		}
	}
	slices.SortFunc(all, func(a, b Mark) int { return int(int64(a.UID) - int64(b.UID)) })
	return all, nil
}

// readMark reads one answer to FETCH.
func readMark(m *imapclient.FetchMessageData) (mark Mark, ok bool, err error) {
	for item := m.Next(); item != nil; item = m.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			mark.UID = uint32(item.UID)
		case imapclient.FetchItemDataRFC822Size:
			mark.Size = item.Size
		case imapclient.FetchItemDataInternalDate:
			mark.Date = item.Time.UTC()
		case imapclient.FetchItemDataFlags:
			for _, f := range item.Flags {
				mark.Flags = append(mark.Flags, string(f))
			}
		case imapclient.FetchItemDataBodySection:
			if item.Literal == nil || !item.MatchCommand(&marking) {
				continue
			}
			text := textOf(item.Literal)
			header, err := io.ReadAll(io.LimitReader(text, 2*headerBytes))
			if text.cut {
				return mark, false, errCut
			}
			if err == nil {
				mark.ID, mark.MessageID = receivedID(header), MessageID(header)
			}
		}
	}
	return mark, mark.UID != 0, nil
}

// MessageID returns the Message-ID of a header with its brackets, or "". Of several none is
// the mail's.
func MessageID(header []byte) string {
	found := ""
	for len(header) > 0 {
		var field []byte
		field, header = doppelboden.NextField(header)
		name, value, ok := bytes.Cut(field, []byte{':'})
		if !ok || !strings.EqualFold(string(bytes.TrimSpace(name)), "Message-ID") {
			continue
		}
		if found != "" {
			return ""
		}
		found = string(bytes.TrimSpace(value))
	}
	if len(found) > 998 || strings.ContainsAny(found, "\r\n\x00") {
		return ""
	}
	return found
}

// Between searches by INTERNALDATE, which SEARCH rounds to days in the server's zone.
func (s *session) Between(ctx context.Context, from, to time.Time) ([]uint32, error) {
	if err := s.notSelected(); err != nil {
		return nil, err
	}
	return s.search(ctx, &imap.SearchCriteria{Since: from.Add(-24 * time.Hour), Before: to.Add(48 * time.Hour)})
}

// Behind searches by UID.
func (s *session) Behind(ctx context.Context, from uint32) ([]uint32, error) {
	if err := s.notSelected(); err != nil {
		return nil, err
	}
	var behind imap.UIDSet
	behind.AddRange(imap.UID(max(from, 1)), 0)
	uids, err := s.search(ctx, &imap.SearchCriteria{UID: []imap.UIDSet{behind}})
	// "n:*" always has the last mail, also when its UID is smaller than n.
	return slices.DeleteFunc(uids, func(u uint32) bool { return u < from }), err
}

// Flag changes flags. RFC 9051, section 6.4.6.
func (s *session) Flag(ctx context.Context, uids []uint32, add, remove []string) error {
	if err := s.notSelected(); err != nil {
		return err
	}
	for _, c := range []struct {
		op    imap.StoreFlagsOp
		flags []imap.Flag
	}{{imap.StoreFlagsAdd, s.kept(add)}, {imap.StoreFlagsDel, s.kept(remove)}} {
		if len(c.flags) == 0 {
			continue
		}
		err := s.bounded(ctx, s.backend.opts.Timeout, large, func() error {
			return s.link.client.Store(setOf(uids), &imap.StoreFlags{Op: c.op, Silent: true, Flags: c.flags}, nil).Close()
		})
		if err != nil {
			return temporary("does not change flags", clean(err))
		}
	}
	return nil
}

// kept returns those of flags that the folder can keep: RFC 9051, section 7.1,
// PERMANENTFLAGS. A server that says nothing keeps all.
func (s *session) kept(flags []string) []imap.Flag {
	var list []imap.Flag
	for _, f := range flags {
		if len(s.keeps) == 0 || slices.Contains(s.keeps, strings.ToLower(f)) || !strings.HasPrefix(f, `\`) && slices.Contains(s.keeps, `\*`) {
			list = append(list, imap.Flag(f))
		}
	}
	return list
}

// Moves asks for the capability MOVE: RFC 6851.
func (s *session) Moves(ctx context.Context) (moves bool, err error) {
	err = s.do(ctx, s.backend.opts.Timeout, func() error {
		caps := s.link.client.Caps()
		if moves = caps.Has(imap.CapMove); caps == nil {
			return errNonsense
		}
		return nil
	})
	if err != nil {
		err = temporary("does not say what it can", clean(err))
	}
	return moves, err
}

// Move moves mails: RFC 6851. Without MOVE the library would expunge what others have marked.
func (s *session) Move(ctx context.Context, uids []uint32, to string) error {
	if err := s.notSelected(); err != nil {
		return err
	}
	name, err := s.theirs(ctx, to)
	if err != nil {
		return err
	}
	moves, err := s.Moves(ctx)
	if err != nil {
		return err
	}
	err = s.bounded(ctx, s.backend.opts.Timeout, large, func() (err error) {
		if moves {
			_, err = s.link.client.Move(setOf(uids), name).Wait()
		} else {
			_, err = s.link.client.Copy(setOf(uids), name).Wait()
		}
		return err
	})
	if err != nil {
		return moveError(err)
	}
	if moves {
		return nil
	}
	return s.Drop(ctx, uids)
}

// Drop removes mails that were copied, and no others: RFC 4315, section 2.1. A plain EXPUNGE
// would take what somebody else has marked.
func (s *session) Drop(ctx context.Context, uids []uint32) error {
	client, set := s.link.client, setOf(uids)
	err := s.bounded(ctx, s.backend.opts.Timeout, large, func() error {
		err := client.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close()
		if err == nil && client.Caps().Has(imap.CapUIDPlus) {
			err = client.UIDExpunge(set).Close()
		}
		return err
	})
	if err != nil {
		return temporary("does not remove what was copied", clean(err))
	}
	return nil
}

// moveError says what it means that mails were not moved. RFC 9051, section 7.1, TRYCREATE.
func moveError(err error) error {
	var no *imap.Error
	if errors.As(err, &no) && (no.Code == imap.ResponseCodeTryCreate || no.Code == imap.ResponseCodeNonExistent) {
		return &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such folder", Cause: clean(err)}
	}
	return temporary("does not move mails", clean(err))
}

// setOf makes a set of UIDs.
func setOf(uids []uint32) imap.UIDSet {
	var set imap.UIDSet
	for _, u := range uids {
		set.AddNum(imap.UID(u))
	}
	return set
}
