package mailbox

import (
	"context"
	"errors"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// A Place is where the mailbox of a box lies.
type Place struct {
	Route   string // the route's key
	Backend Backend
	Owner   doppelboden.Address // what the groupware knows the mailbox by
}

// mostFolders is how many folders of a mailbox are looked through for a mail that is not
// where it was put: people's own rules move mail.
const mostFolders = 60

// A view is what a look into a mailbox gave.
type view struct {
	gone  bool // there is no such mailbox
	inbox Folder
	seen  map[doppelboden.ID]store.Sighting // what is there
	moved int                               // of these, what is not in the inbox
	// blurred says why not all folders could be looked into: what was not seen may be there.
	blurred error
}

// look looks for the mails in a mailbox: in the inbox, and then for those that are not there
// in all other folders.
func look(ctx context.Context, at Place, mails []store.Handed) (v view, err error) {
	s, err := at.Backend.Open(ctx, at.Owner)
	switch {
	case doppelboden.CodeOf(err) == doppelboden.NotFound && err != nil:
		return view{gone: true}, nil
	case err != nil:
		return v, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	wanted := make(map[doppelboden.ID]bool, len(mails))
	for i := range mails {
		wanted[mails[i].Ref.Message] = true
	}
	v.seen = make(map[doppelboden.ID]store.Sighting, len(mails))
	if v.inbox, err = v.find(ctx, s, "", wanted, true); err != nil || len(wanted) == 0 {
		return v, err
	}
	folders, err := s.Folders(ctx, mostFolders)
	for _, name := range folders[min(1, len(folders)):] {
		if len(wanted) == 0 {
			break
		}
		if _, err = v.find(ctx, s, name, wanted, false); err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound {
			break
		}
		err = nil
	}
	if err != nil && len(wanted) > 0 {
		v.blurred = fmt.Errorf("look into other folders: %w", err)
	}
	return v, ctx.Err()
}

// find looks into one folder and takes what it finds out of wanted.
func (v *view) find(ctx context.Context, s Session, folder string, wanted map[doppelboden.ID]bool, inbox bool) (Folder, error) {
	f, err := s.Select(ctx, folder)
	if err != nil {
		return f, err
	}
	ids := make([]doppelboden.ID, 0, len(wanted))
	for id := range wanted {
		ids = append(ids, id)
	}
	found, err := s.Find(ctx, ids)
	for id, m := range found {
		if !wanted[id] {
			continue
		}
		delete(wanted, id)
		sighting := store.Sighting{UID: m.UID, Size: m.Size, Date: m.Date}
		if inbox {
			sighting.Validity = f.Validity
		} else {
			v.moved++
		}
		v.seen[id] = sighting
	}
	return f, err
}

// A fate is what became of a mail that a next server took.
type fate int

const (
	there   fate = iota // it lies in the mailbox
	missing             // it does not
	unclear             // nobody could look everywhere
	removed             // it was there, and its owner has deleted it since
)

// fates tells what became of the mails of a mailbox. What was seen there before and is gone
// was deleted by its owner when something that came after it is still there as it was: the
// mailbox is then not older than that. Without such a witness nobody knows, and it counts
// as missing: in doubt twice, never not at all.
func (v *view) fates(mails []store.Handed) []fate {
	witness := uint32(0)
	for i := range mails {
		was, now := mails[i].Sighting, v.seen[mails[i].Ref.Message]
		if was.UID != 0 && was.Validity == v.inbox.Validity && now.Validity == was.Validity && now.UID == was.UID {
			witness = max(witness, was.UID)
		}
	}
	all := make([]fate, len(mails))
	for i := range mails {
		was := mails[i].Sighting
		_, is := v.seen[mails[i].Ref.Message]
		switch {
		case is:
		case was.UID != 0 && was.Validity == v.inbox.Validity && was.UID < witness:
			all[i] = removed
		case v.blurred != nil:
			all[i] = unclear
		default:
			all[i] = missing
		}
	}
	return all
}

// wentBack reports whether a mailbox is older than what was seen in it: its UIDs are
// counted anew, or have not come as far (RFC 9051, section 2.3.1.1).
func (v *view) wentBack(mails []store.Handed) bool {
	if v.gone {
		return true
	}
	for i := range mails {
		was := mails[i].Sighting
		if was.UID == 0 || was.Validity == 0 {
			continue
		}
		if was.Validity != v.inbox.Validity || v.inbox.Next != 0 && was.UID >= v.inbox.Next {
			return true
		}
	}
	return false
}

// confirmations says of what is there that it is.
func (v *view) confirmations(mails []store.Handed, o *Options) []store.Confirmation {
	var list []store.Confirmation
	now := o.Clock()
	for i := range mails {
		is, ok := v.seen[mails[i].Ref.Message]
		if ok && (mails[i].State == doppelboden.Delivered || is != mails[i].Sighting) {
			list = append(list, store.Confirmation{Ref: mails[i].Ref, Sighting: is, By: "readback", At: now})
		}
	}
	return list
}
