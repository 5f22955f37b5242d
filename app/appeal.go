package app

import (
	"time"

	"doppelboden"
	"doppelboden/appeal"
	"doppelboden/city"
	"doppelboden/store"
)

// openAppeals makes what looks after mail that the groupware refused.
func (n *Node) openAppeals() (err error) {
	n.appeals, err = appeal.New(appeal.Options{
		Store: n.store, Log: n.log, Registry: n.registry, Clock: n.clock, Timer: n.opts.Timer,
		Queue: func() appeal.Queue { return n.house.queue },
		Lane: func(b doppelboden.BoxID) string {
			lane, _, _ := n.house.Place(b)
			return lane
		},
		Unlisted: n.house.unlisted,
	})
	return err
}

// unlisted returns when the lists of a tenant's mailboxes were last read as a whole, and
// whether none of them has an address. It is true only when a list is there that could
// have it, and is in order: nobody's word is no word.
func (h *house) unlisted(t doppelboden.TenantID, m doppelboden.MailboxID, to doppelboden.Address) (read time.Time, ok bool) {
	d, now := h.Directory(), h.node.clock()
	conf, known := d.City().Tenant(d.TenantName(t))
	if owner, ours := d.TenantOf(to.Domain); !known || !ours || owner != t || h.freshnessOf(d).Stale(t, now) {
		return time.Time{}, false
	}
	// Here it does not matter that an address stopped to be listed only yesterday: the
	// groupware does not know it either.
	if _, err := d.Resolve(to, nil, now.Add(city.GoneGrace)); doppelboden.CodeOf(err) != doppelboden.NoSuchMailbox || err == nil {
		return time.Time{}, false
	}
	if len(conf.Directories) == 0 {
		box, known := d.Mailbox(m)
		if !known || box.Gone.IsZero() || box.Source != "" {
			return time.Time{}, false
		}
		return readOf(h.Listings(), t, "")
	}
	for i := range conf.Directories {
		at, ok := readOf(h.Listings(), t, conf.Directories[i].Name)
		if !ok {
			return time.Time{}, false
		}
		if read.IsZero() || at.Before(read) {
			read = at
		}
	}
	return read, true
}

// readOf returns when a list was last read as a whole, unless something is wrong with it
// since.
func readOf(all []store.Listing, t doppelboden.TenantID, source string) (time.Time, bool) {
	for _, l := range all {
		if l.Tenant == t && l.Source == source {
			return l.Read, !l.Read.IsZero() && l.Trouble == "" && !l.Writing
		}
	}
	return time.Time{}, false
}
