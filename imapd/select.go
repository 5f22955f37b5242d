package imapd

import (
	"doppelboden"
	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
)

// Select implements imapserver.Session: RFC 9051, section 6.3.2.
func (s *session) Select(name string, o *imap.SelectOptions) (*imap.SelectData, error) {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s.unselect()
	if err := s.rights(true); err != nil {
		return nil, err
	}
	b, f, err := s.folder(name)
	if err != nil {
		return nil, err
	}
	v := &view{shelf: b, folder: f.Folder, name: name, readOnly: o.ReadOnly}
	v.changed, v.stop = b.box.Watch() // before looking, so that nothing is missed
	next, err := s.open(v)
	if err != nil {
		v.stop()
		return nil, refused(err)
	}
	s.view = v
	s.server.opts.People.Opened(s.ctx, s.person.Tenant, b.mailbox)
	data := &imap.SelectData{
		Flags: allFlags(), NumMessages: uint32(len(v.mails)), UIDNext: imap.UID(next), UIDValidity: v.validity,
		List: &imap.ListData{Delim: delimiter, Mailbox: b.nameOn(&f)},
	}
	if !o.ReadOnly {
		data.PermanentFlags = allFlags()
	}
	for i, m := range v.mails {
		if m.flags&doppelboden.Seen == 0 {
			data.FirstUnseenSeqNum = uint32(i) + 1
			break
		}
	}
	return data, nil
}

// open reads a folder for the first time and returns its UIDNEXT.
func (s *session) open(v *view) (next uint32, err error) {
	f, err := v.box.Look(s.ctx, v.folder)
	if err != nil {
		return 0, err
	}
	v.validity, v.change = f.Validity, f.Change
	next = f.Next
	v.mails = make([]seen, 0, f.Total)
	err = v.box.Shown(s.ctx, v.folder, store.ShownFilter{}, func(m store.Shown) error {
		v.mails = append(v.mails, seen{m.UID, m.Flags})
		next = max(next, m.UID+1)
		return nil
	})
	v.told = len(v.mails)
	return next, err
}

// Unselect implements imapserver.Session.
func (s *session) Unselect() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unselect()
	return nil
}

// unselect closes the folder. The caller holds mu.
func (s *session) unselect() {
	if s.view != nil {
		s.view.stop()
		s.view = nil
	}
	s.found = nil
}

// writable reports whether the selected folder may be changed.
func (s *session) writable() error {
	if s.view.readOnly {
		return no(imap.ResponseCodeCannot, sayRead)
	}
	return nil
}
