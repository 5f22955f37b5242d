package imapd

import (
	"sort"

	"doppelboden"
	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// A view is a folder as a client knows it. Sequence numbers are places in it, so nothing
// leaves it before the client was told.
type view struct {
	*shelf
	folder   int64
	name     string // as the client called it
	readOnly bool
	validity uint32
	change   int64 // of the folder at the last look
	mails    []seen
	told     int      // how many of them the client knows
	owed     []uint32 // UIDs of mails whose flags it does not know
	dirty    bool     // something changed since the last look
	stale    bool     // something was removed that the client does not know yet
	changed  <-chan struct{}
	stop     func()
}

// A seen is a mail that a client knows of, by rising UID. There may be 50,000 in one view
// and 10,000 views, so it holds no more than what must be compared.
type seen struct{ uid, flags uint32 }

// find returns the place of the first mail with at least this UID.
func (v *view) find(uid uint32) int {
	return sort.Search(len(v.mails), func(i int) bool { return v.mails[i].uid >= uid })
}

// sync takes over what changed in the folder. What was removed stays in the view until
// removals may be told; it returns their sequence numbers, each as of when it is told.
func (s *session) sync(removals bool) (expunged []uint32, err error) {
	v := s.view
	select {
	case <-v.changed:
		v.dirty = true
	default:
	}
	if !v.dirty && !(v.stale && removals) {
		return nil, nil
	}
	f, err := v.box.Look(s.ctx, v.folder)
	if err != nil && doppelboden.CodeOf(err) == doppelboden.NotFound {
		f = store.Folder{Validity: v.validity, Change: v.change} // it was deleted: nothing is in it
	} else if err != nil {
		return nil, err
	}
	if f.Validity != v.validity {
		return nil, errRenumbered
	}
	if f.Change != v.change {
		if err := v.takeOver(s, f.Change); err != nil {
			return nil, err
		}
	}
	v.dirty = false
	v.stale = v.stale || int64(len(v.mails)) != f.Total
	if v.stale && removals {
		return v.remove(s)
	}
	return nil, nil
}

// takeOver adds what is new and changes what has other flags.
func (v *view) takeOver(s *session, change int64) error {
	// By UID: what is new comes in the order of its numbers.
	err := v.box.Shown(s.ctx, v.folder, store.ShownFilter{After: v.change}, func(m store.Shown) error {
		switch at := v.find(m.UID); {
		case at == len(v.mails):
			v.mails = append(v.mails, seen{m.UID, m.Flags})
		case v.mails[at].uid == m.UID && v.mails[at].flags != m.Flags:
			v.mails[at].flags = m.Flags
			if at < v.told {
				v.owed = append(v.owed, m.UID)
			}
		}
		return nil
	})
	if err == nil {
		v.change = change
	}
	return err
}

// remove takes out of the view what is not in the folder any more.
func (v *view) remove(s *session) (expunged []uint32, err error) {
	there := make(map[uint32]struct{}, len(v.mails))
	err = v.box.Shown(s.ctx, v.folder, store.ShownFilter{}, func(m store.Shown) error {
		there[m.UID] = struct{}{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	v.stale = false
	return v.drop(func(uid uint32) bool { _, yes := there[uid]; return !yes }), nil
}

// drop takes mails out of the view and returns the sequence numbers that the client is to
// be told of.
func (v *view) drop(gone func(uid uint32) bool) (expunged []uint32) {
	kept := v.mails[:0]
	told := v.told
	for i, m := range v.mails {
		if !gone(m.uid) {
			kept = append(kept, m)
			continue
		}
		if i < v.told {
			expunged = append(expunged, uint32(len(kept))+1)
			told--
		}
	}
	v.mails, v.told = kept, told
	return expunged
}

// tell writes what the client does not know yet. EXISTS comes after EXPUNGE, or its number
// would be another one: RFC 9051, section 7.5.1.
func (v *view) tell(w *imapserver.UpdateWriter, expunged []uint32) error {
	for _, n := range expunged {
		if err := w.WriteExpunge(n); err != nil {
			return err
		}
	}
	if len(v.mails) > v.told {
		if err := w.WriteNumMessages(uint32(len(v.mails))); err != nil {
			return err
		}
		v.told = len(v.mails)
	}
	owed := v.owed
	v.owed = nil
	for _, uid := range owed {
		at := v.find(uid)
		if at == len(v.mails) || v.mails[at].uid != uid {
			continue
		}
		if err := w.WriteMessageFlags(uint32(at)+1, imap.UID(uid), flagsOf(v.mails[at].flags)); err != nil {
			return err
		}
	}
	return nil
}
