package control

import (
	"context"
	"net/url"

	"doppelboden"
	"doppelboden/handback"
)

// Handback knows what people did that has not gone back to the groupware; handback.Room is
// one.
type Handback interface {
	Status() handback.Status
	Owed(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, yield func(handback.Owed) error) error
	Account(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (handback.Account, error)
}

// Deeds yields what was done in a mailbox and has not gone back, and returns how far the rest
// is. NotFound.
func (c *Client) Deeds(ctx context.Context, address string, yield func(handback.Owed) error) (handback.Account, error) {
	var got handback.Account
	err := c.ask(ctx, "GET", "/mailboxes/deeds", url.Values{"address": {address}}, nil, each(yield), &got)
	return got, err
}

func (d *Desk) listDeeds(ctx context.Context, c *call) (any, error) {
	a, err := doppelboden.ParseAddress(c.query.Get("address"))
	if err != nil {
		return nil, err
	}
	dir := d.opts.House.Directory()
	id, ok := dir.Holder(a)
	if !ok {
		return nil, &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such mailbox"}
	}
	if d.opts.Handback == nil {
		return nil, refuse("this node hands nothing over")
	}
	box, _ := dir.Mailbox(id)
	if err := d.opts.Handback.Owed(ctx, box.Tenant, id, func(o handback.Owed) error { return c.item(o) }); err != nil {
		return nil, err
	}
	return d.opts.Handback.Account(ctx, box.Tenant, id)
}

// owed fills in what has not gone back to the groupware.
func (d *Desk) owed(s *Status) {
	if d.opts.Handback == nil {
		return
	}
	if h := d.opts.Handback.Status(); h.Deeds > 0 || h.Untold > 0 {
		s.Handback = &h
	}
}
