package harvest

import (
	"context"
	"slices"

	"doppelboden/mailbox"
	"doppelboden/store"
)

// changes follows what changed in a folder since the last look: flags, and what is gone.
func (v *visit) changes(ctx context.Context, f *store.HarvestFolder, now mailbox.State) error {
	first := f.At.IsZero()
	flags := v.flagsDue(f, now)
	gone := first || f.Exists != now.Exists || f.ModSeq != now.ModSeq || flags
	if !flags && !gone {
		return nil
	}
	known, err := v.live(ctx, f)
	if err != nil {
		return err
	}
	var notes []store.Harvest
	if flags && len(known) > 0 {
		changed, err := v.flags(ctx, f, known)
		if err != nil {
			return err
		}
		notes = append(notes, changed...)
	}
	if gone && len(known) > 0 {
		missing, err := v.missing(ctx, known)
		if err != nil {
			return err
		}
		notes = append(notes, missing...)
	}
	f.ModSeq, f.Exists = now.ModSeq, now.Exists
	if flags {
		f.Flags = v.began
	}
	if len(notes) == 0 {
		return nil
	}
	return v.put(ctx, store.HarvestBatch{Mails: notes})
}

// flagsDue reports whether flags are to be compared: some changed, or nobody knows and it is time.
func (v *visit) flagsDue(f *store.HarvestFolder, now mailbox.State) bool {
	return f.ModSeq != now.ModSeq || now.ModSeq == 0 && v.began.Sub(f.Flags) >= v.r.opts.Pace.Flags
}

// flags follows changed flags, and returns what is to be noted of them.
func (v *visit) flags(ctx context.Context, f *store.HarvestFolder, known []store.Harvest) (notes []store.Harvest, err error) {
	byUID := make(map[uint32]*store.Harvest, len(known))
	low, high := known[0].UID, known[0].UID
	for i := range known {
		byUID[known[i].UID] = &known[i]
		low, high = min(low, known[i].UID), max(high, known[i].UID)
	}
	var todo []follow
	err = v.s.Flags(ctx, low, high, f.ModSeq, func(uid, flags uint32) error {
		h := byUID[uid]
		if h == nil || h.Flags == flags {
			return nil
		}
		busy, err := v.hasDeed(ctx, h.Message)
		if err != nil {
			return err
		}
		if !busy {
			todo = append(todo, follow{message: h.Message, at: f.Ours, set: flags &^ h.Flags, clear: h.Flags &^ flags & followed})
		}
		h.Flags = flags
		notes = append(notes, *h)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return notes, v.follow(ctx, todo)
}

// missing returns what is known of a folder and does not lie there any more, as it is to be
// noted.
func (v *visit) missing(ctx context.Context, known []store.Harvest) (notes []store.Harvest, err error) {
	low := known[0].UID
	for _, h := range known {
		low = min(low, h.UID)
	}
	there, err := v.s.Behind(ctx, low)
	if err != nil {
		return nil, err
	}
	for _, h := range known {
		if _, is := slices.BinarySearch(there, h.UID); !is {
			h.Gone = v.began
			notes = append(notes, h)
		}
	}
	return notes, nil
}
