package folder

import (
	"context"
	"fmt"

	"doppelboden"
	"doppelboden/segment"
)

const (
	// pageOf is how many mails Several finds at once.
	pageOf = 100
	// widest is how far apart the first and the last of them may be, by UID: what lies
	// between is found for nothing.
	widest = 2 * pageOf
)

// Several opens mails of a folder in the order of their UIDs, which rise, at less cost than
// Open each, if all of them are freed (Mail.Free). Those that are not there are passed over; err says why one cannot be read, as
// Open does. The Message of such a Mail has its ID, Tenant, Scan, Prefix and Body alone. An
// error of yield ends it and is returned.
func (b *Box) Several(ctx context.Context, folder int64, uids []uint32, yield func(uid uint32, m *Mail, err error) error) error {
	o := b.room.opts.Mail
	if all, ok := o.Bodies.(*segment.Store); ok {
		run := all.Run()
		defer run.Close()
		o.Bodies = run
	}
	for len(uids) > 0 {
		n := 1
		for n < len(uids) && n < pageOf && uids[n]-uids[0] < widest {
			n++
		}
		page := uids[:n]
		uids = uids[n:]
		var broken error // of yield
		err := b.room.opts.Store.Texts(ctx, b.place(folder), page[0], page[n-1], func(uid uint32, m *doppelboden.Message) error {
			for len(page) > 0 && page[0] < uid {
				page = page[1:]
			}
			if len(page) == 0 || page[0] != uid {
				return nil
			}
			mail, err := b.read(m, o, true)
			broken = yield(uid, mail, err)
			return broken
		})
		if broken != nil {
			return broken
		}
		if err != nil {
			return fmt.Errorf("find the mails: %w", err)
		}
	}
	return nil
}
