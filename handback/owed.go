package handback

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// An Owed is one deed, in words that say nothing of what the mail says.
type Owed struct {
	Act     string    `json:"act"` // "sent", "written", "copied", "moved", "deleted" or "marked"
	At      time.Time `json:"at"`  // when it was done
	Message string    `json:"message"`
	Size    int64     `json:"size"`            // of the mail, in bytes
	Waits   bool      `json:"waits,omitempty"` // the mail itself has not been handed over yet; it goes with it
}

// An Account says how far what was done in a mailbox has gone back.
type Account struct {
	Owed  int64                `json:"owed"`            // deeds that have not gone back
	Why   string               `json:"why,omitempty"`   // what is in the way; hostile text
	Event int64                `json:"event,omitempty"` // to which Done and Left belong; 0 or less: none
	Since time.Time            `json:"since,omitzero"`  // of the first
	Done  store.HandbackCounts `json:"done"`
	Left  int                  `json:"left"` // what could not be done
	Told  bool                 `json:"told"` // the owner has got the last mail about it
}

// Owed yields what was done in a mailbox and has not gone back, by number.
func (r *Room) Owed(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, yield func(Owed) error) error {
	var page []store.Deed
	err := r.opts.Store.Deeds(ctx, store.DeedFilter{Tenant: t, Mailbox: m}, func(d store.Deed) error {
		page = append(page, d)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what was done: %w", err)
	}
	for _, d := range page {
		tasks, err := r.read(ctx, []store.Deed{d}, nil)
		if err != nil {
			return err
		}
		o := Owed{Act: actOf(&d), At: d.At, Message: d.Message.String(), Size: d.Size, Waits: tasks[0].stay == whyWaiting}
		if err := yield(o); err != nil {
			return err
		}
	}
	return nil
}

// actOf names what was done.
func actOf(d *store.Deed) string {
	switch {
	case d.Is == nil:
		return "deleted"
	case d.Was == nil && d.Is.Use == store.UseSent:
		return "sent"
	case d.Was == nil && d.Is.Use == store.UseDrafts:
		return "written"
	case d.Was == nil:
		return "copied"
	case d.Is.Use == store.UseTrash && d.Was.Use != store.UseTrash:
		return "deleted"
	case d.Is.Folder != d.Was.Folder:
		return "moved"
	}
	return "marked"
}

// Account returns how far what was done in a mailbox has gone back.
func (r *Room) Account(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (Account, error) {
	h, err := r.state(ctx, t, m)
	if err != nil {
		return Account{}, err
	}
	a := Account{Event: h.Event, Since: h.Since, Done: h.Done, Left: len(h.Left) + h.More, Told: h.Event != 0 && h.Told == h.Event}
	a.Owed, a.Why = r.Waiting(m)
	a.Why = plain(a.Why)
	return a, nil
}
