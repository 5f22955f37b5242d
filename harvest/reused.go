package harvest

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"
)

const (
	// lastSpan is how many UIDs before the next one are looked through for mails that are known.
	lastSpan = 200
	// lastMails is how many of these are asked for: the last one may have been moved just now.
	lastMails = 2
)

// reused finds out whether a folder was restored from a backup, and gave UIDs once more that
// other mails had (against RFC 9051, section 2.3.1.1, and with nothing to be seen of it once
// as many came as were lost). What came since the backup was made is read again then; what was
// known of these UIDs counts as gone.
func (v *visit) reused(ctx context.Context, f *store.HarvestFolder, now mailbox.State, next uint32) error {
	if next == f.Next && now.Exists == f.Exists && !v.flagsDue(f, now) {
		return nil
	}
	// UIDs grow: if any was given once more, so was the last one that is there.
	known, err := v.liveFrom(ctx, f, f.Next-min(f.Next, lastSpan))
	if err != nil {
		return err
	}
	there, other, err := v.other(ctx, known[max(0, len(known)-lastMails):])
	if err != nil || there && !other {
		return err
	}
	if known, err = v.stillThere(ctx, f); err != nil || len(known) == 0 {
		return err
	}
	if _, other, err = v.other(ctx, known[len(known)-1:]); err != nil || !other {
		return err
	}
	first := sort.Search(len(known)-1, func(i int) bool {
		if err != nil {
			return false
		}
		_, other, err = v.other(ctx, known[i:i+1])
		return other
	})
	if err != nil {
		return err
	}
	return v.again(ctx, f, known[first].UID)
}

// stillThere returns what is known of those mails of the open folder that lie there still, by UID.
func (v *visit) stillThere(ctx context.Context, f *store.HarvestFolder) (list []store.Harvest, err error) {
	known, err := v.liveFrom(ctx, f, 1)
	if err != nil || len(known) == 0 {
		return nil, err
	}
	uids, err := v.s.Behind(ctx, known[0].UID)
	if err != nil {
		return nil, err
	}
	for _, h := range known {
		if _, is := slices.BinarySearch(uids, h.UID); is {
			list = append(list, h)
		}
	}
	return list, nil
}

// liveFrom returns the mails of a folder from a UID on that are known and not gone, by UID.
func (v *visit) liveFrom(ctx context.Context, f *store.HarvestFolder, from uint32) (list []store.Harvest, err error) {
	filter := store.HarvestFilter{Tenant: v.route.Tenant, Mailbox: v.box.ID, Folder: f.Name, From: from}
	if from > 0 {
		filter.Validity = f.Validity // under which alone a UID says something
	}
	err = v.r.opts.Store.Harvested(ctx, filter, func(h store.Harvest) error {
		if h.Gone.IsZero() {
			list = append(list, h)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is known of mails: %w", err)
	}
	return list, nil
}

// other looks at the last of some mails of the open folder that is there still, and reports
// whether another one than the one that is known lies at its UID.
func (v *visit) other(ctx context.Context, known []store.Harvest) (there, other bool, err error) {
	if len(known) == 0 {
		return false, false, nil
	}
	uids := make([]uint32, len(known))
	for i := range known {
		uids[i] = known[i].UID
	}
	heads, err := v.s.Heads(ctx, uids)
	if err != nil {
		return false, false, err
	}
	for _, h := range slices.Backward(known) {
		if i := slices.IndexFunc(heads, func(head mailbox.Head) bool { return head.UID == h.UID }); i >= 0 {
			other, err = v.differs(ctx, h.Message, &heads[i])
			return true, other, err
		}
	}
	return false, false, nil
}

// differs reports whether a mail of the groupware is not a message of ours. A message that
// cannot be read says nothing.
func (v *visit) differs(ctx context.Context, id doppelboden.ID, head *mailbox.Head) (bool, error) {
	v.t.deciding.Lock()
	defer v.t.deciding.Unlock()
	if err := v.r.load(ctx, v.t); err != nil {
		return false, err
	}
	header, text, size := split(slices.Concat(head.Header, head.Text), head.Size)
	is := v.t.marker.key.of(header, text, size)
	marked, err := v.r.opts.Store.Marked(ctx, v.route.Tenant, [][16]byte{is.weak, is.stranger})
	if err != nil {
		return false, fmt.Errorf("look for the mail: %w", err)
	}
	if slices.ContainsFunc(marked, func(k store.HarvestMark) bool { return k.Message == id }) {
		return false, nil
	}
	// It may have no marks yet, or none at all.
	m, err := v.r.opts.Store.Message(ctx, id)
	if doppelboden.CodeOf(err) == doppelboden.NotFound && err != nil {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read a message: %w", err)
	}
	was, _, err := v.r.sumsOf(v.t, m)
	return err == nil && was.weak != is.weak, nil // what damages bodies is told elsewhere
}

// again has a folder read once more from a UID on.
func (v *visit) again(ctx context.Context, f *store.HarvestFolder, from uint32) error {
	gone, err := v.liveFrom(ctx, f, from)
	if err != nil {
		return err
	}
	for i := range gone {
		gone[i].Gone = v.began
	}
	v.r.opts.Log.Warn("mails of the groupware have UIDs that others had, as after a restore; the folder is read again from there",
		"mailbox", int64(v.box.ID), "mails", len(gone))
	v.restored(gone)
	f.Next = from
	f.ModSeq, f.Flags = 0, v.began.Add(-v.r.opts.Pace.Flags) // all flags may be others
	return v.put(ctx, store.HarvestBatch{Box: &v.state, Folders: []store.HarvestFolder{*f}, Mails: gone})
}
