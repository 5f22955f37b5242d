package harvest

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A groupware that was restored from a backup lacks what came after it, and so does one that was
// set up anew. That looks like mail that its owner deleted, a few percent of a mailbox. But then
// it lies here alone: what vanished until the restore was seen is not hidden before a person says
// so. What its owner deletes afterwards is, as ever.

// restored notes that mails of a folder are gone because the groupware gave other UIDs, or the
// same ones again, and not because somebody deleted them. Whoever calls it writes the state
// together with them. When all of them are found again it is forgotten.
func (v *visit) restored(gone []store.Harvest) {
	if len(gone) > 0 {
		v.state.Restored = v.began
	}
}

// lacks parts what a restore may have lost from what vanished since then.
func (v *visit) lacks(all []*lost) (lacking, rest []*lost) {
	for _, one := range all {
		if v.state.Restored.IsZero() || one.since.After(v.state.Restored) {
			rest = append(rest, one)
		} else {
			lacking = append(lacking, one)
		}
	}
	if len(lacking) == 0 {
		v.state.Restored = time.Time{}
	}
	return lacking, rest
}

// displaced returns what is known of mails that are gone and whose UIDs others have now, as it is
// to be noted: under UIDVALIDITY 0, which no server has (RFC 9051, section 9: nz-number).
func (v *visit) displaced(ctx context.Context, f *store.HarvestFolder, mails []store.Harvest) (list []store.Harvest, err error) {
	if len(mails) == 0 {
		return nil, nil
	}
	is := map[uint32]doppelboden.ID{}
	low, high := mails[0].UID, mails[0].UID
	for _, m := range mails {
		is[m.UID] = m.Message
		low, high = min(low, m.UID), max(high, m.UID)
	}
	filter := store.HarvestFilter{Tenant: v.route.Tenant, Mailbox: v.box.ID, Folder: f.Name, Validity: f.Validity, From: low, To: high, Gone: true}
	err = v.r.opts.Store.Harvested(ctx, filter, func(h store.Harvest) error {
		if id, taken := is[h.UID]; taken && id != h.Message {
			h.Validity = 0
			list = append(list, h)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is gone: %w", err)
	}
	return list, nil
}
