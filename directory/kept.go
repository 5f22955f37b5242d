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
// what was set by hand stays.
func kept(dir *city.Directory, boxes []doppelboden.Mailbox, at time.Time) (list []store.Belonging) {
	for _, b := range boxes {
		for _, a := range b.Members {
			id, ok := dir.Holder(a)
			who, _ := dir.Mailbox(id)
			if ok && who.Kind == doppelboden.Person && who.Tenant == b.Tenant {
				list = append(list, store.Belonging{Tenant: b.Tenant, Mailbox: b.ID, Person: id, Kind: "function", By: "list", At: at})
			}
		}
	}
	return list
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
