package directory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"
)

// peoples returns those of a change's mailboxes to keep of which people said who may open
// them. dir knows where they are from: a directory that city.toml names no more, or under
// another name, is none of people's.
func peoples(dir *city.Directory, keep []doppelboden.Mailbox) []doppelboden.Mailbox {
	return slices.DeleteFunc(slices.Clone(keep), func(b doppelboden.Mailbox) bool {
		was, _ := dir.Mailbox(b.ID)
		return was.Source != ""
	})
}

// kept returns who may open mailboxes that become a directory's, as people said it before:
// what was set by hand stays. An address means whom it meant before the reading, and only
// if nobody had it, who came with it: a successor must not get what was another's. nobody
// are the addresses that nobody has even then.
func kept(before, after *city.Directory, boxes []doppelboden.Mailbox, at time.Time) (list []store.Belonging, nobody []doppelboden.Address) {
	for _, b := range boxes {
		for _, a := range b.Members {
			dir := before
			id, ok := dir.Holder(a)
			if !ok {
				dir = after
				id, ok = dir.Holder(a)
			}
			who, _ := dir.Mailbox(id)
			switch {
			case !ok:
				nobody = append(nobody, a)
			case who.Kind == doppelboden.Person && who.Tenant == b.Tenant:
				list = append(list, store.Belonging{Tenant: b.Tenant, Mailbox: b.ID, Person: id, Kind: "function", By: "list", At: at})
			}
		}
	}
	return list, nobody
}

// put writes the mailboxes of a change. Those whose openers people named come last, when
// everybody of the reading is known and may be kept as one of them: should the node end in
// between, they are still people's, and the next reading keeps them again.
func (r *Refresher) put(ctx context.Context, dir *city.Directory, c *Change, at time.Time, report *Report) ([]doppelboden.Mailbox, error) {
	boxes := peoples(dir, c.Keep)
	named := map[doppelboden.MailboxID]bool{}
	for _, b := range boxes {
		named[b.ID] = true
	}
	var first, last []doppelboden.Mailbox
	for _, b := range c.Put {
		if named[b.ID] {
			last = append(last, b)
		} else {
			first = append(first, b)
		}
	}
	put, refused, err := Put(ctx, r.opts.Store, first, func(int) {})
	if err != nil {
		return nil, fmt.Errorf("write mailboxes: %w", err)
	}
	if len(last) > 0 {
		list, nobody := kept(dir, dir.With(put), boxes, at)
		if err := r.belong(ctx, list); err != nil {
			return nil, err
		}
		for _, a := range nobody {
			report.note(fmt.Sprintf("%s was named as one who may open a mailbox, and nobody has this address; to be said again: doppelboden mailbox member", a))
			r.opts.Log.Warn("somebody was named as one who may open a mailbox, and nobody has the address", "address", a.String(), "tenant", report.Tenant, "directory", report.Source)
		}
		for _, one := range refused { // what the last give up, they may have now
			last = append(last, one.Mailbox)
		}
		var more []doppelboden.Mailbox
		if more, refused, err = Put(ctx, r.opts.Store, last, func(int) {}); err != nil {
			return nil, fmt.Errorf("write mailboxes: %w", err)
		}
		put = append(put, more...)
	}
	for _, one := range refused {
		report.note(fmt.Sprintf("%s: %v", one.Mailbox.Address, one.Why))
	}
	return put, nil
}

// belong writes who may open mailboxes, and notes it in the ledger, as it is when people
// say it.
func (r *Refresher) belong(ctx context.Context, list []store.Belonging) error {
	if len(list) == 0 {
		return nil
	}
	if err := r.opts.Store.PutBelongings(ctx, list); err != nil {
		return fmt.Errorf("keep whom people let open mailboxes: %w", err)
	}
	var entries []doppelboden.Entry
	for _, b := range list {
		entries = append(entries, doppelboden.Entry{Kind: doppelboden.EntryConfig, At: b.At, Tenant: b.Tenant, By: b.By,
			Note: fmt.Sprintf("account: person %d may open mailbox %d (%s), by %s", b.Person, b.Mailbox, b.Kind, b.By)})
	}
	if err := r.opts.Store.Note(ctx, entries...); err != nil {
		return fmt.Errorf("note in the ledger who may open mailboxes: %w", err)
	}
	return nil
}
