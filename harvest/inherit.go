package harvest

import (
	"context"
	"fmt"
	"slices"

	"doppelboden"
	"doppelboden/store"
)

// inherit does with a copy that stays, the one at i of kept, what people did with the one that
// goes, and gives it the flags of that. It returns kept as it is then.
func (b *shelf) inherit(ctx context.Context, gone doppelboden.Copy, kept []doppelboden.Copy, i int, from, to store.Place) ([]doppelboden.Copy, error) {
	did, err := b.did(ctx, gone)
	if err != nil {
		return kept, err
	}
	uid, _, err := b.find(ctx, to, kept[i].Message)
	if err != nil || uid == 0 {
		return kept, err
	}
	stays, at := kept[i], to
	if did != nil && from != to && filed(did) {
		if kept, uid, at, err = b.file(ctx, did, kept, i, uid, from, to); err != nil {
			return kept, err
		}
	}
	set := gone.Flags &^ stays.Flags &^ doppelboden.Hidden
	if set == 0 {
		return kept, nil
	}
	_, err = b.r.opts.Store.Change(ctx, []store.Change{{Place: at, Action: store.ActFlag, UIDs: []uint32{uid}, Set: set, Deed: did != nil, At: b.r.opts.Clock()}})
	if err != nil {
		return kept, fmt.Errorf("take over flags: %w", err)
	}
	return kept, nil
}

// file takes the copy at i of kept to where somebody has filed the one that goes, or copies it
// there, unless she has filed this one too. It returns where it is then.
func (b *shelf) file(ctx context.Context, did *store.Deed, kept []doppelboden.Copy, i int, uid uint32, from, to store.Place) ([]doppelboden.Copy, uint32, store.Place, error) {
	own, err := b.did(ctx, kept[i])
	if err != nil || own != nil && filed(own) {
		return kept, uid, to, err
	}
	c := store.Change{Place: to, Action: store.ActMove, UIDs: []uint32{uid}, To: from.Folder, Deed: true, At: did.At}
	if did.Was == nil {
		c.Action = store.ActCopy
	}
	done, err := b.r.opts.Store.Change(ctx, []store.Change{c})
	if err != nil {
		return kept, uid, to, fmt.Errorf("file a mail where its double was: %w", err)
	}
	if len(done[0]) == 0 { // it went meanwhile
		return kept, uid, to, nil
	}
	now := kept[i]
	now.Folder = did.Is.Folder
	kept = slices.Clone(kept)
	if c.Action == store.ActMove {
		kept[i] = now
	} else {
		kept = append(kept, now)
	}
	return kept, done[0][0].NewUID, from, nil
}

// remove removes the copy of kept that lies where somebody has removed its double for good,
// unless she has done something with it since then.
func (b *shelf) remove(ctx context.Context, d *store.Deed, kept []doppelboden.Copy) ([]doppelboden.Copy, error) {
	i := slices.IndexFunc(kept, func(k doppelboden.Copy) bool { return k.Folder == d.Was.Folder })
	if i < 0 {
		return kept, nil
	}
	own, err := b.did(ctx, kept[i])
	if err != nil || own != nil {
		return kept, err
	}
	at, ok := b.place(kept[i].Folder)
	if !ok {
		return kept, nil
	}
	uid, _, err := b.find(ctx, at, kept[i].Message)
	if err != nil || uid == 0 {
		return kept, err
	}
	_, err = b.r.opts.Store.Change(ctx, []store.Change{{Place: at, Action: store.ActRemove, UIDs: []uint32{uid}, Deed: true, At: d.At}})
	if err != nil {
		return kept, fmt.Errorf("remove a mail whose double was removed: %w", err)
	}
	b.r.metrics.doubles.Inc()
	b.r.opts.Changed(b.id)
	return slices.Delete(slices.Clone(kept), i, i+1), nil
}

// did returns what somebody did with a copy; nil: nothing that has not gone back.
func (b *shelf) did(ctx context.Context, c doppelboden.Copy) (did *store.Deed, err error) {
	err = b.r.opts.Store.Deeds(ctx, store.DeedFilter{Tenant: b.t, Mailbox: b.id, Message: c.Message}, func(d store.Deed) error {
		if d.Is != nil && d.Is.Folder == c.Folder {
			did = &d
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what people did: %w", err)
	}
	return did, nil
}

// filed reports whether somebody has put a mail into another folder, and not only marked it.
func filed(d *store.Deed) bool { return d.Is != nil && (d.Was == nil || d.Was.Folder != d.Is.Folder) }
