package filing

import (
	"context"

	"doppelboden"
	"doppelboden/mailbox"
)

// gauge reads how the items lie in their mailbox here, and cuts off what does not go into the
// folder of the first: that is for another run. It reports whether that could be read.
func (r *run) gauge(ctx context.Context) bool {
	d := &r.items[0].Delivery
	if r.opts.People == nil || d.Mailbox == 0 || d.Box != doppelboden.BoxID(d.Mailbox) || r.groupw.Change == nil {
		return true
	}
	ids := make([]doppelboden.ID, len(r.items))
	for i := range r.items {
		ids[i] = r.items[i].Delivery.Message
	}
	var err error
	if r.lying, err = r.opts.People.Lying(ctx, d.Tenant, d.Mailbox, ids); err != nil {
		r.fail(doppelboden.Later, doppelboden.AboutRecipient, phaseAppend, "what people did with it cannot be read: "+err.Error())
		return false
	}
	for i := range r.items {
		if r.place(i) != r.place(0) {
			r.items = r.items[:i]
			break
		}
	}
	return true
}

// touched reports whether somebody has done something with the i-th item.
func (r *run) touched(i int) bool {
	_, is := r.lying[r.items[i].Delivery.Message]
	return is
}

// A place says into which folder of ours an item belongs.
type place struct {
	folder string
	bin    bool // it was deleted
}

// place of an item that lies in the inbox, or that nobody has touched, is zero.
func (r *run) place(i int) place {
	l, is := r.lying[r.items[i].Delivery.Message]
	switch {
	case !is:
		return place{}
	case l.Is == nil:
		return place{bin: true}
	case l.Is.Folder == doppelboden.Inbox:
		return place{}
	}
	return place{folder: l.Is.Folder}
}

// begin opens the mailbox.
func (r *run) begin(ctx context.Context, owner doppelboden.Address) (mailbox.Session, error) {
	if r.place(0) == (place{}) {
		return r.groupw.Backend.Open(ctx, owner)
	}
	return r.groupw.Change(ctx, owner)
}

// target returns the folder into which the items go.
func (r *run) target(ctx context.Context) (string, error) {
	changer, ok := r.session.(mailbox.Changer)
	if r.place(0) == (place{}) || !ok {
		return r.groupw.Folder, nil
	}
	d := &r.items[0].Delivery
	return r.opts.People.Folder(ctx, changer, d.Tenant, d.Mailbox, r.lying[d.Message])
}

// filed tells of items that were just put into the folder. What is not told is found there
// when the rest of what people did goes back.
func (r *run) filed(ctx context.Context, from, to int) {
	var list []Lying
	for i := from; i < to; i++ {
		if l, is := r.lying[r.items[i].Delivery.Message]; is && l.Number != 0 {
			list = append(list, l)
		}
	}
	if len(list) == 0 {
		return
	}
	d := &r.items[from].Delivery
	if err := r.opts.People.Filed(ctx, d.Tenant, d.Mailbox, list); err != nil {
		r.opts.Courier.Log.Warn("what was put into a folder is not noted; it will be looked for", "lane", r.lane, "err", err)
	}
}
