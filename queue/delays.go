package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

// delayEvery is the time between two looks for senders who should hear of a delay: a
// notice after four hours may as well come after four hours and ten minutes.
const delayEvery = 10 * time.Minute

// delayPage is how many deliveries are read at once.
const delayPage = 200

// DelayOptions say what Delays works with. All fields must be set unless a default is
// named.
type DelayOptions struct {
	Store interface {
		Boxes(ctx context.Context, yield func(store.Box) error) error
		Overdue(ctx context.Context, box doppelboden.BoxID, cut time.Time, after int64, limit int) ([]store.Item, error)
	}
	// After returns how long mail of a tenant to the Internet may wait before its sender
	// hears of it; 0 for never.
	After func(doppelboden.TenantID) time.Duration
	// Tell tells the sender of a message that deliveries of it still wait; see
	// intake.Returner.Delayed.
	Tell  func(ctx context.Context, m *doppelboden.Message, waiting []doppelboden.Delivery) error
	Log   *slog.Logger
	Clock func() time.Time // default time.Now
	Timer clock.Timer      // waits by it; default real time
}

// Delays finds mail to the Internet that waits for long and has its senders told, once
// (promise 2). Mail to the city's own mailboxes is not meant: while the groupware is
// down, notices would wait beside the mail that they are about.
type Delays struct{ opts DelayOptions }

// NewDelays returns a Delays that does nothing until Run.
func NewDelays(o DelayOptions) (*Delays, error) {
	if o.Store == nil || o.After == nil || o.Tell == nil || o.Log == nil {
		return nil, errors.New("queue: all of Store, After, Tell and Log must be set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Timer = clock.Or(o.Timer)
	return &Delays{o}, nil
}

// Run looks again and again until ctx ends.
func (d *Delays) Run(ctx context.Context) {
	look := func() {
		if err := d.Look(ctx); err != nil && ctx.Err() == nil {
			d.opts.Log.Error("senders cannot be told that their mail waits, trying again later", "err", err)
		}
	}
	look()
	clock.Every(ctx, d.opts.Timer, delayEvery, look)
}

// Look looks once. After an error the rest was looked at all the same.
func (d *Delays) Look(ctx context.Context) error {
	now := d.opts.Clock()
	var boxes []store.Box
	err := d.opts.Store.Boxes(ctx, func(b store.Box) error {
		if after := d.opts.After(b.Tenant); b.Box < 0 && after > 0 && b.Since.Before(now.Add(-after)) {
			boxes = append(boxes, b)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what waits: %w", err)
	}
	var errs []error
	for _, b := range boxes {
		if err := d.box(ctx, b, now.Add(-d.opts.After(b.Tenant))); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// box looks at what waits in one box since before cut.
func (d *Delays) box(ctx context.Context, b store.Box, cut time.Time) error {
	var errs []error
	for after := int64(0); ctx.Err() == nil; {
		items, err := d.opts.Store.Overdue(ctx, b.Box, cut, after, delayPage)
		if err != nil {
			return fmt.Errorf("read what waits for long: %w", err)
		}
		if len(items) == 0 {
			break
		}
		after = items[len(items)-1].Delivery.Seq
		errs = append(errs, d.tell(ctx, items))
	}
	return errors.Join(errs...)
}

// tell has the senders of a page told. The deliveries of one message follow each other.
func (d *Delays) tell(ctx context.Context, items []store.Item) error {
	var errs []error
	for len(items) > 0 {
		m := items[0].Message
		var waiting []doppelboden.Delivery
		for len(items) > 0 && items[0].Delivery.Message == m.ID {
			// The second way of a mailbox is nothing that a sender knows of.
			if items[0].Delivery.Mailbox == 0 {
				waiting = append(waiting, items[0].Delivery)
			}
			items = items[1:]
		}
		if len(waiting) == 0 {
			continue
		}
		if err := d.opts.Tell(ctx, m, waiting); err != nil {
			errs = append(errs, fmt.Errorf("message %s: %w", m.ID, err))
		}
	}
	return errors.Join(errs...)
}
