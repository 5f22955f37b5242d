package harvest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/mailbox"
	"doppelboden/store"
)

const (
	// headsAtOnce is how many mails are looked at together, and noted in one commit.
	headsAtOnce = 100
	// bytesAtOnce bounds the texts that are read together: they are in memory until their
	// common commit, unless they are so big that they lie in files.
	bytesAtOnce = 4 << 20
	// mostBytes is the greatest mail that is read: what no door of ours would take.
	mostBytes = 200 << 20
)

// readFolder reads what is new in a folder, what is missing of the time before, and what
// changed. It reports whether there is no more to be read.
func (v *visit) readFolder(ctx context.Context, f *store.HarvestFolder) (done bool, err error) {
	now, err := v.s.Look(ctx, f.Name)
	if err != nil {
		return false, err
	}
	next := now.Next
	if next == 0 { // RFC 9051, section 7.1: a server may not know it
		all, err := v.s.Behind(ctx, 1)
		if err != nil {
			return false, err
		}
		if next = 1; len(all) > 0 {
			next = all[len(all)-1] + 1
		}
	}
	// Where a server does not say UIDNEXT, it falls with each deletion of the newest mail.
	if f.Validity != now.Validity || f.Gone || now.Next != 0 && next < f.Next {
		if err := v.anew(ctx, f, now, next); err != nil {
			return false, err
		}
	} else if err := v.reused(ctx, f, now, next); err != nil {
		return false, err
	}
	if err := v.ours(ctx, f); err != nil {
		return false, err
	}
	if done, err = v.mails(ctx, f, next); err != nil || !done {
		return false, err
	}
	if err := v.changes(ctx, f, now); err != nil {
		return false, err
	}
	f.At = v.began
	return true, v.put(ctx, store.HarvestBatch{Folders: []store.HarvestFolder{*f}})
}

// anew begins a folder: UIDs that were known say nothing any more (RFC 9051, section
// 2.3.1.1). What was there counts as gone until it is found again.
func (v *visit) anew(ctx context.Context, f *store.HarvestFolder, now mailbox.State, next uint32) error {
	gone, err := v.live(ctx, f)
	if err != nil {
		return err
	}
	for i := range gone {
		gone[i].Gone = v.began
	}
	v.restored(gone)
	f.Validity, f.Next, f.Low, f.Filled, f.ModSeq, f.Exists, f.Gone = now.Validity, next, next, false, now.ModSeq, now.Exists, false
	f.Flags, f.Since, f.At = v.began, v.window(), time.Time{}
	return v.put(ctx, store.HarvestBatch{Box: &v.state, Folders: []store.HarvestFolder{*f}, Mails: gone})
}

// window returns since when mails are read.
func (v *visit) window() time.Time { return v.began.AddDate(0, 0, -v.route.Days) }

// mails reads what came since the last look, and then backwards what is missing of the
// window, so that the newest are there first.
func (v *visit) mails(ctx context.Context, f *store.HarvestFolder, next uint32) (done bool, err error) {
	if next == f.Next && f.Filled {
		return true, nil
	}
	from := v.window()
	if !f.Filled && !f.Since.IsZero() && f.Since.Before(from) {
		from = f.Since // filling may take days, and what it proves begins there
	}
	// A server counts days in its own time zone.
	uids, err := v.s.Since(ctx, from.Add(-24*time.Hour))
	if err != nil {
		return false, err
	}
	cut, _ := slices.BinarySearch(uids, f.Next)
	for chunk := range slices.Chunk(uids[cut:], headsAtOnce) {
		if v.budget <= 0 {
			return false, nil
		}
		f.Next = chunk[len(chunk)-1] + 1
		if err := v.take(ctx, f, chunk); err != nil {
			return false, err
		}
	}
	f.Next = max(f.Next, next)
	if f.Filled {
		return true, nil
	}
	low, _ := slices.BinarySearch(uids, f.Low)
	for older := uids[:low]; len(older) > 0; {
		if v.budget <= 0 {
			return false, nil
		}
		from := max(0, len(older)-headsAtOnce)
		f.Low = older[from]
		if err := v.take(ctx, f, older[from:]); err != nil {
			return false, err
		}
		older = older[:from]
	}
	f.Filled = true
	return true, nil
}

// A find is a mail of the groupware and the message of ours that it is.
type find struct {
	head    mailbox.Head
	sums    sums
	message doppelboden.ID
	fresh   bool // the message was made for it, with its copy
	like    int  // the place of an equal mail among the finds that is being read; -1: none
}

// take takes mails over: those that are known are noted, the others read. Then how far the
// folder was read is noted with them, in one commit.
func (v *visit) take(ctx context.Context, f *store.HarvestFolder, uids []uint32) error {
	heads, err := v.s.Heads(ctx, uids)
	if err != nil {
		return err
	}
	finds, err := v.recognise(ctx, heads)
	if err != nil {
		return err
	}
	if err := v.fetch(ctx, f, finds); err != nil {
		return err
	}
	batch := store.HarvestBatch{Folders: []store.HarvestFolder{*f}}
	var todo []follow
	laid := map[[16]byte]doppelboden.ID{} // by weak sum: what gets a copy with this batch
	for i := range finds {
		one := &finds[i]
		if one.message.IsZero() && one.like >= 0 {
			one.message = finds[one.like].message
		}
		if one.message.IsZero() {
			continue // it went meanwhile, or is too big
		}
		if id, is := laid[one.sums.weak]; is {
			one.message = id
		} else if err := v.stand(ctx, one); err != nil {
			return err
		}
		batch.Mails = append(batch.Mails, store.Harvest{Folder: f.Name, Validity: f.Validity, UID: one.head.UID, Message: one.message, Flags: one.head.Flags})
		if one.fresh || laid[one.sums.weak] == one.message {
			continue
		}
		lay, what, err := v.settle(ctx, f, one)
		if err != nil {
			return err
		}
		if len(lay) > 0 {
			laid[one.sums.weak] = one.message
		}
		batch.Copies = append(batch.Copies, lay...)
		todo = append(todo, what...)
	}
	displaced, err := v.displaced(ctx, f, batch.Mails)
	if err != nil {
		return err
	}
	batch.Mails = append(batch.Mails, displaced...)
	v.budget -= len(uids)
	v.read += len(uids)
	v.changed = v.changed || len(batch.Copies) > 0
	if err := v.put(ctx, batch); err != nil {
		return err
	}
	return v.follow(ctx, todo)
}

// stand sees to it that a find is the message which this mailbox shows: another one that is
// the same mail may have come to lie here with this very batch.
func (v *visit) stand(ctx context.Context, one *find) error {
	there, err := v.r.opts.Store.CopiesOf(ctx, v.route.Tenant, v.box.ID, []doppelboden.ID{one.message})
	if err != nil {
		return fmt.Errorf("read copies: %w", err)
	}
	if len(there) > 0 {
		return nil
	}
	known, err := v.r.opts.Store.Marked(ctx, v.route.Tenant, [][16]byte{one.sums.weak})
	if err != nil {
		return fmt.Errorf("look for the mail: %w", err)
	}
	same := match{body: one.message}
	for _, k := range known {
		same.same = append(same.same, k.Message)
	}
	id, err := v.choose(ctx, same)
	if err == nil && !id.IsZero() && id != one.message {
		one.message, one.fresh = id, false
	}
	return err
}

// recognise finds out which mails are messages of ours.
func (v *visit) recognise(ctx context.Context, heads []mailbox.Head) ([]find, error) {
	if err := v.r.opts.CatchUp(ctx); err != nil {
		return nil, fmt.Errorf("wait for what landed: %w", err)
	}
	v.t.deciding.Lock()
	defer v.t.deciding.Unlock()
	if err := v.r.advance(ctx, v.t); err != nil {
		return nil, err
	}
	finds := make([]find, len(heads))
	first := map[[16]byte]int{}
	for i, h := range heads {
		header, text, size := split(append(h.Header[:len(h.Header):len(h.Header)], h.Text...), h.Size)
		finds[i] = find{head: h, sums: v.t.marker.key.of(header, text, size), like: -1}
		one := &finds[i]
		found, err := v.r.recognise(ctx, v.t, header, one.sums)
		if err != nil {
			return nil, err
		}
		if one.message, err = v.choose(ctx, found); err != nil {
			return nil, err
		}
		if !one.message.IsZero() || !one.sums.whole {
			continue
		}
		if at, ok := first[one.sums.strong]; ok {
			one.like = at
		} else {
			first[one.sums.strong] = i
		}
	}
	return finds, nil
}

// choose returns the message that a mail is: the one that lies in this mailbox, or whose
// body is the same.
func (v *visit) choose(ctx context.Context, found match) (doppelboden.ID, error) {
	if len(found.same) == 0 {
		return doppelboden.ID{}, nil
	}
	there, err := v.r.opts.Store.CopiesOf(ctx, v.route.Tenant, v.box.ID, found.same)
	if err != nil {
		return doppelboden.ID{}, fmt.Errorf("read copies: %w", err)
	}
	if len(there) > 0 {
		return there[0].Message, nil
	}
	return found.body, nil
}

// fetch reads the mails that nobody knows, and makes messages of them.
func (v *visit) fetch(ctx context.Context, f *store.HarvestFolder, finds []find) error {
	var group []int
	var size int64
	flush := func() error {
		err := v.fetchGroup(ctx, f, finds, group, size)
		group, size = group[:0], 0
		return err
	}
	fresh := 0
	for i := range finds {
		one := &finds[i]
		switch {
		case !one.message.IsZero() || one.like >= 0:
			continue
		case one.head.Size > mostBytes:
			v.cause = fmt.Errorf("a mail of %d bytes in the folder %q is too big to be kept", one.head.Size, f.Name)
			continue
		}
		if len(group) > 0 && size+one.head.Size > bytesAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
		group, size = append(group, i), size+one.head.Size
		fresh++
	}
	v.r.metrics.mails.WithLabelValues(v.route.Key, "new").Add(float64(fresh))
	v.r.metrics.mails.WithLabelValues(v.route.Key, "known").Add(float64(len(finds) - fresh))
	if fresh == 0 {
		return nil
	}
	if err := flush(); err != nil {
		return err
	}
	// What refers to them waits until the store has them.
	if err := v.r.opts.CatchUp(ctx); err != nil {
		return fmt.Errorf("wait for what landed: %w", err)
	}
	return v.r.catchUp(ctx, v.t)
}

// fetchGroup reads some mails and keeps them in one commit.
func (v *visit) fetchGroup(ctx context.Context, f *store.HarvestFolder, finds []find, group []int, size int64) error {
	if len(group) == 0 {
		return nil
	}
	byUID := map[uint32]*find{}
	uids := make([]uint32, len(group))
	for n, i := range group {
		uids[n] = finds[i].head.UID
		byUID[uids[n]] = &finds[i]
	}
	slices.Sort(uids)
	var list []*intake.Transaction
	var taken []*find
	defer func() {
		for _, t := range list {
			t.Abort() // harmless for those that were kept
		}
	}()
	err := v.s.Read(ctx, uids, size, func(uid uint32, size int64, r io.Reader) error {
		one := byUID[uid]
		if one == nil || size > mostBytes {
			_, err := io.Copy(io.Discard, r)
			return err
		}
		delete(byUID, uid) // a server may say the same twice
		t, err := v.r.opts.Intake.Begin(intake.Envelope{Door: DoorSync, Tenant: v.route.Tenant, Copies: []doppelboden.Copy{{Mailbox: v.box.ID,
			Folder: v.shelf.name(f.Ours), Flags: one.head.Flags, Date: one.head.Date}}})
		if err != nil {
			return err
		}
		list, taken = append(list, t), append(taken, one)
		_, err = io.Copy(t, r)
		return err
	})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return nil
	}
	kept, err := v.r.opts.Intake.CommitAll(ctx, list)
	if err != nil {
		return fmt.Errorf("keep mails: %w", err)
	}
	v.t.deciding.Lock()
	defer v.t.deciding.Unlock()
	for i, k := range kept {
		list[i].Acked(true)
		taken[i].message, taken[i].fresh = k.ID, true
		v.t.marker.remember(k.ID, taken[i].sums)
	}
	v.changed = true
	return nil
}
