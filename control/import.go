package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/directory"
	"doppelboden/store"
)

func (d *Desk) importMailboxes(ctx context.Context, c *call) (any, error) {
	text, err := io.ReadAll(c.body)
	if err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	d.change.Lock()
	defer d.change.Unlock()
	// A city's list leaves some ten MB behind, which an idle node would keep for hours.
	defer debug.FreeOSMemory()
	dir := d.opts.House.Directory()
	list, err := city.ParseCSV(c.query.Get("name"), text, dir.TenantOf)
	if err != nil {
		return nil, err
	}
	boxes := make([]doppelboden.Mailbox, len(list.Mailboxes))
	for i, m := range list.Mailboxes {
		boxes[i] = owned(dir, m)
	}
	if err := foreignAddress(dir, boxes); err != nil {
		return nil, err
	}
	before := dir.Len()
	if err := d.write(ctx, boxes, c); err != nil {
		return nil, err
	}
	after := d.opts.House.Directory().Len()
	return Imported{Mailboxes: len(list.Mailboxes), New: max(0, after-before), Encoding: list.Encoding, Separator: list.Separator}, nil
}

// foreignAddress refuses a list with an address of somebody who is not in the list.
func foreignAddress(dir *city.Directory, boxes []doppelboden.Mailbox) error {
	listed := make(map[string]bool, len(boxes))
	for _, b := range boxes {
		listed[b.Address.Key()] = true
	}
	for _, b := range boxes {
		for i, a := range append([]doppelboden.Address{b.Address}, b.Aliases...) {
			id, taken := dir.Holder(a)
			if !taken {
				continue
			}
			holder, _ := dir.Mailbox(id)
			same := holder.Address.Key() == b.Address.Key()
			if !same && (i == 0 || !listed[holder.Address.Key()]) {
				return invalid("the address " + a.String() + " belongs to " + holder.Address.String() + " already; nothing was changed")
			}
		}
	}
	return nil
}

// write writes many mailboxes, so that mail goes on coming in meanwhile, and has the doors
// use them all at once. Should the node end in between, unknown recipients of these
// tenants are put off until a list was imported as a whole: a part of a list would refuse
// people's mail.
func (d *Desk) write(ctx context.Context, boxes []doppelboden.Mailbox, c *call) error {
	ctx = context.WithoutCancel(ctx) // who asked may go; the list is written to its end
	var tenants []doppelboden.TenantID
	for _, b := range boxes {
		if !slices.Contains(tenants, b.Tenant) {
			tenants = append(tenants, b.Tenant)
		}
	}
	if err := d.writing(ctx, tenants, true); err != nil {
		return err
	}
	put, refused, err := directory.Put(ctx, d.opts.Store, boxes, func(done int) {
		c.progress(Progress{Step: "mailboxes", Done: int64(done)})
	})
	if err != nil {
		return errors.Join(fmt.Errorf("write the mailboxes: %w", err), d.opts.House.Listed(ctx))
	}
	if err := d.opts.House.Install(ctx, d.opts.House.Directory().With(put)); err != nil {
		return fmt.Errorf("let the doors know the mailboxes: %w", err)
	}
	err = errors.Join(d.writing(ctx, tenants, false), d.opts.House.Listed(ctx))
	if err == nil && len(refused) > 0 {
		return fmt.Errorf("%d of %d mailboxes were not written, such as %s: %w", len(refused), len(boxes), refused[0].Mailbox.Address, refused[0].Why)
	}
	return err
}

// writing notes that mailboxes of tenants are being written, or that all are.
func (d *Desk) writing(ctx context.Context, tenants []doppelboden.TenantID, now bool) error {
	at := d.opts.Clock()
	for _, t := range tenants {
		l := store.Listing{Tenant: t, Tried: at, Writing: now}
		if !now {
			l.Read = at
		}
		if err := d.opts.Store.PutListing(ctx, l); err != nil {
			return fmt.Errorf("note that mailboxes are written: %w", err)
		}
	}
	return nil
}

// retired returns a mailbox as it is when it was retired.
func retired(m doppelboden.Mailbox, at time.Time) doppelboden.Mailbox {
	m.Gone, m.Aliases, m.Members = at, nil, nil
	return m
}
