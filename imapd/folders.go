package imapd

import (
	"strings"

	"doppelboden"
	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"
)

// Create implements imapserver.Session: RFC 9051, section 6.3.4.
func (s *session) Create(name string, o *imap.CreateOptions) error {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	if len(o.SpecialUse) > 0 { // RFC 6154, section 3
		return no("USEATTR", "Every mailbox has its special folders.")
	}
	b, folder, err := s.place(name)
	if err != nil {
		return err
	}
	_, err = b.box.PutFolder(s.ctx, store.Folder{Name: folder, Subscribed: b.under == ""})
	return refused(err)
}

// place returns where a folder that does not exist would lie.
func (s *session) place(name string) (*shelf, string, error) {
	b, folder, ok := s.split(name)
	if !ok || strings.Contains(folder, "//") || strings.HasPrefix(folder, "/") {
		return nil, "", no(imap.ResponseCodeCannot, "There can be no folder of this name.")
	}
	_, _, err := s.folder(name)
	e, _ := err.(*imap.Error)
	switch {
	case err == nil:
		return nil, "", no(imap.ResponseCodeAlreadyExists, "There is a folder of this name.")
	case e == nil || e.Code != imap.ResponseCodeNonExistent:
		return nil, "", err
	}
	return b, folder, nil
}

// Delete implements imapserver.Session: RFC 9051, section 6.3.5.
func (s *session) Delete(name string) error {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	b, f, err := s.folder(name)
	if err != nil {
		return err
	}
	if f.Use != store.UseNone {
		return no(imap.ResponseCodeCannot, sayFixed)
	}
	return refused(b.box.DropFolder(s.ctx, f.Folder))
}

// Rename implements imapserver.Session: RFC 9051, section 6.3.6.
func (s *session) Rename(name, newName string, _ *imap.RenameOptions) error {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	b, f, err := s.folder(name)
	if err != nil {
		return err
	}
	to, folder, err := s.place(newName)
	if err != nil {
		return err
	}
	if to.mailbox != b.mailbox || strings.HasPrefix(folder, f.Name+"/") {
		return no(imap.ResponseCodeCannot, "A folder cannot go there.")
	}
	if f.Use == store.UseInbox {
		return s.empty(b, f, folder)
	}
	f.Name = folder
	_, err = b.box.PutFolder(s.ctx, f)
	return refused(err)
}

// empty is RENAME of the inbox: its mails go to a new folder, and it stays.
func (s *session) empty(b *shelf, inbox store.Folder, folder string) error {
	made, err := b.box.PutFolder(s.ctx, store.Folder{Name: folder, Subscribed: b.under == ""})
	if err != nil {
		return refused(err)
	}
	if _, err := b.box.Look(s.ctx, inbox.Folder); err != nil {
		return refused(err)
	}
	var uids []uint32
	err = b.box.Shown(s.ctx, inbox.Folder, store.ShownFilter{}, func(m store.Shown) error {
		uids = append(uids, m.UID)
		return nil
	})
	if err != nil || len(uids) == 0 {
		return refused(err)
	}
	_, err = b.box.Change(s.ctx, []store.Change{{Place: store.Place{Folder: inbox.Folder}, Action: store.ActMove, UIDs: uids, To: made.Folder}})
	return refused(err)
}

// Subscribe implements imapserver.Session: RFC 9051, section 6.3.7.
func (s *session) Subscribe(name string) error { return s.subscribe(name, true) }

// Unsubscribe implements imapserver.Session: RFC 9051, section 6.3.8.
func (s *session) Unsubscribe(name string) error { return s.subscribe(name, false) }

// subscribe notes whether a folder of the person's own mailbox is subscribed. Shared ones
// always are: several people use them, and one must not take them away from another.
func (s *session) subscribe(name string, yes bool) error {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	b, f, err := s.folder(name)
	switch {
	case err != nil:
		return err
	case b.under != "" && yes, f.Subscribed == yes:
		return nil
	case b.under != "":
		return no(imap.ResponseCodeCannot, "A shared folder stays subscribed.")
	}
	f.Subscribed = yes
	_, err = b.box.PutFolder(s.ctx, f)
	return refused(err)
}

// Status implements imapserver.Session: RFC 9051, section 6.3.11; RFC 8438; RFC 7889.
func (s *session) Status(name string, o *imap.StatusOptions) (*imap.StatusData, error) {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	b, f, err := s.folder(name)
	if err != nil {
		return nil, err
	}
	data, err := s.status(b, &f, name, o)
	return data, refused(err)
}

// status counts a folder.
func (s *session) status(b *shelf, f *store.Folder, name string, o *imap.StatusOptions) (*imap.StatusData, error) {
	if f.Fresh > 0 { // without a number they are not in it yet
		looked, err := b.box.Look(s.ctx, f.Folder)
		if err != nil {
			return nil, err
		}
		f = &looked
	}
	total, unseen, none, limit := uint32(f.Total), uint32(f.Unseen), uint32(0), s.AppendLimit()
	data := &imap.StatusData{Mailbox: norm.NFC.String(name), NumMessages: &total, NumUnseen: &unseen, NumRecent: &none,
		UIDNext: imap.UID(f.Next), UIDValidity: f.Validity, AppendLimit: &limit}
	if !o.NumDeleted && !o.Size && !o.DeletedStorage {
		return data, nil
	}
	var deleted uint32
	var size, storage int64
	err := b.box.Shown(s.ctx, f.Folder, store.ShownFilter{}, func(m store.Shown) error {
		size += m.Size
		if m.Flags&doppelboden.Deleted != 0 {
			deleted++
			storage += m.Size
		}
		return nil
	})
	data.NumDeleted, data.Size, data.DeletedStorage = &deleted, &size, &storage
	return data, err
}
