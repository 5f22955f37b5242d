package mailbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"doppelboden"
)

// A session is an open mailbox.
type session struct {
	backend  *IMAP
	link     *link
	broken   bool              // only good for Close
	single   bool              // nobody wants the connection for this mailbox soon
	delim    string            // between the parts of folders' names; "" before it is known
	raw      map[string]string // our names of folders: the server's
	selected string            // the server's name; "" before Select
	keeps    []string          // flags that the entered folder can keep, in lower case; none: all
	folder   Folder
}

// do runs commands that get so much time and short answers.
func (s *session) do(ctx context.Context, limit time.Duration, run func() error) error {
	return s.bounded(ctx, limit, small, run)
}

// bounded runs commands with a bound of time and of what is read. An error that is not the
// server's NO breaks the session.
func (s *session) bounded(ctx context.Context, limit time.Duration, most int64, run func() error) error {
	if s.broken {
		return temporary("the session is over", errors.New("an earlier command failed"))
	}
	if err := ctx.Err(); err != nil {
		return temporary("nobody waits any more", err)
	}
	wire := s.link.wire
	if err := wire.arm(limit, most); err != nil {
		s.broken = true
		return temporary("the connection is broken", err)
	}
	stop := context.AfterFunc(ctx, func() { wire.Conn.Close() })
	err := run()
	if !stop() {
		s.broken = true
		if err == nil {
			err = ctx.Err()
		}
	}
	var no *imap.Error
	if err != nil && (!errors.As(err, &no) || no.Type != imap.StatusResponseTypeNo) {
		s.broken = true
	}
	return err
}

// Close gives the connection back, or ends it.
func (s *session) Close() error {
	l, well := s.link, !s.broken
	if l == nil {
		return nil
	}
	s.link, s.broken = nil, true
	switch {
	case well && !s.single && s.backend.keep(l):
		return nil
	case well:
		l.end()
	default:
		_ = l.client.Close() // what went wrong was said already
	}
	<-s.backend.slots
	return nil
}

// Folders lists the folders that can be selected, the inbox first.
func (s *session) Folders(ctx context.Context, limit int) ([]string, error) {
	if err := s.separator(ctx); err != nil {
		return nil, err
	}
	inbox := s.backend.opts.Inbox
	names := []string{inbox}
	err := s.bounded(ctx, s.backend.opts.Timeout, large, func() error {
		cmd := s.link.client.List("", "*", nil)
		for d := cmd.Next(); d != nil; d = cmd.Next() {
			if len(names) >= limit || slices.Contains(d.Attrs, imap.MailboxAttrNoSelect) || slices.Contains(d.Attrs, imap.MailboxAttrNonExistent) {
				continue
			}
			name := s.ours(d.Mailbox)
			s.raw[name] = d.Mailbox
			if !strings.EqualFold(name, inbox) {
				names = append(names, name)
			}
		}
		return cmd.Close()
	})
	if err != nil {
		return nil, temporary("does not list folders", clean(err))
	}
	return names[:min(len(names), limit)], nil
}

// separator learns what stands between the parts of folders' names: RFC 9051, section
// 6.3.9.
func (s *session) separator(ctx context.Context) error {
	if s.delim != "" {
		return nil
	}
	s.raw = map[string]string{}
	err := s.do(ctx, s.backend.opts.Timeout, func() error {
		cmd := s.link.client.List("", "", nil)
		for d := cmd.Next(); d != nil; d = cmd.Next() {
			if d.Delim != 0 {
				s.delim = string(d.Delim)
			}
		}
		return cmd.Close()
	})
	if err != nil {
		return temporary("does not list folders", clean(err))
	}
	if s.delim == "" {
		s.delim = "/" // flat names
	}
	return nil
}

// ours is a folder's name with "/" between its parts. One that holds a "/" of its own
// stays as it is.
func (s *session) ours(name string) string {
	if s.delim == "/" || strings.Contains(name, "/") {
		return name
	}
	return strings.ReplaceAll(name, s.delim, "/")
}

// theirs is what the server calls a folder.
func (s *session) theirs(ctx context.Context, name string) (string, error) {
	if name == "" {
		name = s.backend.opts.Inbox
	}
	if strings.EqualFold(name, "INBOX") {
		return "INBOX", nil
	}
	if raw, ok := s.raw[name]; ok {
		return raw, nil
	}
	if !strings.Contains(name, "/") {
		return name, nil
	}
	if err := s.separator(ctx); err != nil {
		return "", err
	}
	return strings.ReplaceAll(name, "/", s.delim), nil
}

// Select looks into a folder. It is opened read-only (EXAMINE), so that mails stay \Recent.
func (s *session) Select(ctx context.Context, folder string) (Folder, error) {
	if folder == "" {
		folder = s.backend.opts.Inbox
	}
	name, err := s.theirs(ctx, folder)
	if err != nil {
		return Folder{}, err
	}
	var data *imap.SelectData
	err = s.do(ctx, s.backend.opts.Timeout, func() (err error) {
		data, err = s.link.client.Select(name, &imap.SelectOptions{ReadOnly: true}).Wait()
		return err
	})
	if err != nil {
		return Folder{}, s.unselectable(ctx, name, err)
	}
	s.selected = name
	s.folder = Folder{Validity: data.UIDValidity, Next: uint32(data.UIDNext), Exists: data.NumMessages}
	return s.folder, nil
}

// unselectable says what it means that a folder was not opened.
func (s *session) unselectable(ctx context.Context, name string, err error) error {
	s.selected = ""
	var no *imap.Error
	if s.broken || !errors.As(err, &no) {
		return temporary("does not open a folder", clean(err))
	}
	missing := &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such folder", Cause: clean(err)}
	if no.Code == imap.ResponseCodeNonExistent { // RFC 5530
		return missing
	}
	// Not every server says why. A folder that is not listed does not exist.
	listed := false
	listErr := s.do(ctx, s.backend.opts.Timeout, func() error {
		cmd := s.link.client.List("", name, nil) // with wildcards in it others are listed as well
		for d := cmd.Next(); d != nil; d = cmd.Next() {
			listed = listed || d.Mailbox == name
		}
		return cmd.Close()
	})
	if listErr == nil && !listed {
		return missing
	}
	return temporary("does not open a folder", errors.Join(clean(err), clean(listErr)))
}

// notSelected says that somebody forgot to.
func (s *session) notSelected() error {
	if s.selected == "" {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "no folder is selected"}
	}
	return nil
}
