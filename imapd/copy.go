package imapd

import (
	"errors"
	"fmt"
	"io"
	"time"

	"doppelboden"
	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// Copy implements imapserver.Session: RFC 9051, section 6.4.7.
func (s *session) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	done, to, err := s.carry(store.ActCopy, set, dest)
	if err != nil {
		return nil, err
	}
	return copied(done, to), nil
}

// Move implements imapserver.SessionMove: RFC 9051, section 6.4.8.
func (s *session) Move(w *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return err
	}
	done, to, err := s.carry(store.ActMove, set, dest)
	if err != nil {
		return err
	}
	if data := copied(done, to); data != nil {
		if err := w.WriteCopyData(data); err != nil {
			return err
		}
	}
	return s.leaves(done, w.WriteExpunge)
}

// carry copies or moves mails of the selected folder. Within a mailbox that is one commit.
func (s *session) carry(action store.Action, set imap.NumSet, dest string) ([]store.Changed, store.Folder, error) {
	b, to, err := s.target(dest)
	if err != nil {
		return nil, to, err
	}
	v := s.view
	uids := v.uidsOf(s.pick(set))
	if len(uids) == 0 {
		return nil, to, nil
	}
	if b.mailbox != v.mailbox {
		done, err := s.across(action, uids, b, to)
		return done, to, err
	}
	done, err := v.box.Change(s.ctx, []store.Change{{Place: store.Place{Folder: v.folder}, Action: action, UIDs: uids, To: to.Folder}})
	if err != nil {
		return nil, to, refused(err)
	}
	return done[0], to, nil
}

// across carries mails into another mailbox: they are written there, and only when all are
// there, removed here.
func (s *session) across(action store.Action, uids []uint32, b *shelf, to store.Folder) (done []store.Changed, err error) {
	v := s.view
	var list []store.Shown
	err = v.box.Shown(s.ctx, v.folder, store.ShownFilter{UIDs: uids}, func(m store.Shown) error {
		list = append(list, m)
		return nil
	})
	if err != nil {
		return nil, refused(err)
	}
	for _, m := range list {
		uid, err := s.write(b, to.Folder, m)
		if err != nil {
			// RFC 9051, section 6.4.7: all or nothing.
			return nil, errors.Join(refused(err), s.unwrite(b, to.Folder, done))
		}
		done = append(done, store.Changed{UID: m.UID, NewUID: uid, Flags: m.Flags})
	}
	if action == store.ActMove {
		if _, err := v.box.Change(s.ctx, []store.Change{{Place: store.Place{Folder: v.folder}, Action: store.ActRemove, UIDs: uids}}); err != nil {
			return nil, refused(err) // twice is better than never
		}
	}
	return done, nil
}

// write writes a mail of the selected mailbox into a folder of another one.
func (s *session) write(b *shelf, folder int64, m store.Shown) (uint32, error) {
	mail, err := s.view.box.Open(s.ctx, m.Message)
	if err != nil {
		return 0, err
	}
	r, err := mail.Reader()
	if err != nil {
		return 0, fmt.Errorf("read the mail: %w", err)
	}
	defer r.Close()
	_, uid, err := b.box.Append(s.ctx, folder, m.Flags&^doppelboden.Hidden, m.Date, mail.Len(), r)
	return uid, err
}

// unwrite removes what was written by a COPY that failed.
func (s *session) unwrite(b *shelf, folder int64, done []store.Changed) error {
	if len(done) == 0 {
		return nil
	}
	var uids []uint32
	for _, one := range done {
		uids = append(uids, one.NewUID)
	}
	_, err := b.box.Change(s.ctx, []store.Change{{Place: store.Place{Folder: folder}, Action: store.ActRemove, UIDs: uids}})
	return err
}

// copied is what COPYUID tells: RFC 9051, section 7.1; nil for nothing.
func copied(done []store.Changed, to store.Folder) *imap.CopyData {
	if len(done) == 0 {
		return nil
	}
	var from, there []uint32
	for _, one := range done {
		from, there = append(from, one.UID), append(there, one.NewUID)
	}
	return &imap.CopyData{UIDValidity: to.Validity, SourceUIDs: uidSet(from), DestUIDs: uidSet(there)}
}

// Append implements imapserver.Session: RFC 9051, section 6.3.12.
func (s *session) Append(name string, r imap.LiteralReader, o *imap.AppendOptions) (*imap.AppendData, error) {
	b, f, err := s.appendTo(name)
	if err != nil {
		return nil, err
	}
	// Without the lock: a slow client must not keep its idling half from ending.
	_, uid, err := b.box.Append(s.ctx, f.Folder, bitsOf(o.Flags), dated(o.Time), r.Size(), &exact{r, r.Size()})
	if err != nil {
		return nil, refused(err)
	}
	return &imap.AppendData{UID: imap.UID(uid), UIDValidity: f.Validity}, nil
}

// appendTo finds the folder of an APPEND.
func (s *session) appendTo(name string) (*shelf, store.Folder, error) {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return nil, store.Folder{}, err
	}
	return s.target(name)
}

// An exact reads a literal, and fails where it ends too early: half a mail is none.
type exact struct {
	r    io.Reader
	left int64
}

// Read implements io.Reader.
func (e *exact) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// dated leaves out dates that nobody can mean: databases keep years from 1 to 9999.
func dated(t time.Time) time.Time {
	if t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}
