package imapd

import (
	"doppelboden"
	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// Expunge implements imapserver.Session: RFC 9051, sections 6.4.3 and 6.4.9.
func (s *session) Expunge(w *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	if s.view.readOnly {
		return s.writableUnlessClose(w)
	}
	// What somebody else has undeleted since is not removed.
	if _, err := s.sync(false); err != nil {
		return refused(err)
	}
	var gone []uint32
	for _, m := range s.view.mails {
		if m.flags&doppelboden.Deleted != 0 && (uids == nil || s.inSet(*uids, m.uid)) {
			gone = append(gone, m.uid)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	done, err := s.view.box.Change(s.ctx, []store.Change{{Place: store.Place{Folder: s.view.folder}, Action: store.ActRemove, UIDs: gone}})
	if err != nil {
		return refused(err)
	}
	return s.leaves(done[0], w.WriteExpunge)
}

// writableUnlessClose refuses EXPUNGE in a folder that was opened for reading; CLOSE of
// one removes nothing and is none the worse: RFC 9051, section 6.4.1.
func (s *session) writableUnlessClose(w *imapserver.ExpungeWriter) error {
	if *w == (imapserver.ExpungeWriter{}) {
		return nil
	}
	return s.writable()
}

// inSet reports whether a set, in which "*" is the last mail, names a UID.
func (s *session) inSet(set imap.UIDSet, uid uint32) bool {
	if imap.IsSearchRes(set) {
		set = s.found
	}
	last := s.view.mails[len(s.view.mails)-1].uid
	for _, r := range spans(set, last) {
		if r.from <= uid && uid <= r.to {
			return true
		}
	}
	return false
}

// leaves takes what was moved or removed out of the view and tells the client.
func (s *session) leaves(done []store.Changed, tell func(seq uint32) error) error {
	gone := make(map[uint32]struct{}, len(done))
	for _, one := range done {
		gone[one.UID] = struct{}{}
	}
	for _, n := range s.view.drop(func(uid uint32) bool { _, yes := gone[uid]; return yes }) {
		if err := tell(n); err != nil {
			return err
		}
	}
	return nil
}
