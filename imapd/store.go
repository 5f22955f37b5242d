package imapd

import (
	"doppelboden"
	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// Store implements imapserver.Session: RFC 9051, section 6.4.6. Keywords that are not kept
// are passed over; PERMANENTFLAGS says which are.
func (s *session) Store(w *imapserver.FetchWriter, set imap.NumSet, flags *imap.StoreFlags, _ *imap.StoreOptions) error {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return err
	}
	places := s.pick(set)
	if len(places) == 0 {
		return nil
	}
	c := store.Change{Action: store.ActFlag, UIDs: s.view.uidsOf(places)}
	switch bits := bitsOf(flags.Flags); flags.Op {
	case imap.StoreFlagsAdd:
		c.Set = bits
	case imap.StoreFlagsDel:
		c.Clear = bits
	default:
		c.Set, c.Clear = bits, ^doppelboden.Hidden&^bits
	}
	if err := s.flag(c); err != nil {
		return err
	}
	if flags.Silent {
		return nil
	}
	_, byUID := set.(imap.UIDSet)
	for _, at := range places {
		m := s.view.mails[at]
		r := w.CreateMessage(uint32(at) + 1)
		if byUID {
			r.WriteUID(imap.UID(m.uid))
		}
		r.WriteFlags(flagsOf(m.flags))
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// flag changes flags of mails of the selected folder, and in the view.
func (s *session) flag(c store.Change) error {
	v := s.view
	c.Folder = v.folder
	done, err := v.box.Change(s.ctx, []store.Change{c})
	if err != nil {
		return refused(err)
	}
	for _, one := range done[0] {
		if at := v.find(one.UID); at < len(v.mails) && v.mails[at].uid == one.UID {
			v.mails[at].flags = one.Flags
		}
	}
	return nil
}
