package control

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/queue"
	"doppelboden/store"
)

// An UnscannedMail says how much of a tenant's mail waits for scanners.
type UnscannedMail struct {
	Tenant   string    `json:"tenant"`
	Messages int64     `json:"messages"`
	Oldest   time.Time `json:"oldest"` // when the first of them was received
}

// scanOf is what a message's story and the queue say of scanning; empty for mail that
// nobody was to scan.
func scanOf(m *doppelboden.Message) string {
	if m.Scan == doppelboden.NotScanned {
		return ""
	}
	return m.Scan.String()
}

// scanners fills in how scanners are and what waits for them.
func (d *Desk) scanners(ctx context.Context, s *Status) error {
	if d.opts.Scanners != nil {
		s.Scanners = d.opts.Scanners()
	}
	counts, err := d.opts.Store.UnscannedCounts(ctx)
	if err != nil {
		return fmt.Errorf("count what waits for scanners: %w", err)
	}
	dir := d.opts.House.Directory()
	for _, c := range counts {
		s.Unscanned = append(s.Unscanned, UnscannedMail{Tenant: dir.TenantName(c.Tenant), Messages: c.Messages, Oldest: c.Oldest})
	}
	return nil
}

// quarantine finds what of a choice is in quarantine. When the decision says so, the
// scanners' word is waived for it; else it stays, and its number is returned.
func (d *Desk) quarantine(ctx context.Context, c *call, asked *Decision, want chosen) (stays int, err error) {
	if asked.Verb != queue.Release && asked.Verb != queue.Retry {
		if asked.Malware {
			return 0, invalid("only release and retry take malware out of quarantine")
		}
		return 0, nil
	}
	f := want.filter
	f.States = []doppelboden.State{doppelboden.Held}
	dir := d.opts.House.Directory()
	var waived []store.Scan
	seen := map[doppelboden.ID]bool{}
	err = d.opts.Store.Deliveries(ctx, f, func(it store.Item) error {
		if it.Message.Scan != doppelboden.Malware || !want.has(dir, it.Delivery) {
			return nil
		}
		if !asked.Malware {
			stays++
		} else if id := it.Delivery.Message; !seen[id] {
			seen[id] = true
			waived = append(waived, store.Scan{Message: id, State: doppelboden.Waived, At: d.opts.Clock()})
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read what is in quarantine: %w", err)
	}
	if len(waived) == 0 {
		return stays, nil
	}
	if err := d.opts.Store.PutScans(ctx, waived); err != nil {
		return 0, fmt.Errorf("waive the scanners' word: %w", err)
	}
	for _, w := range waived {
		d.opts.Log.WarnContext(ctx, "a person takes malware out of quarantine", "message", w.Message.String(), "by", c.by, "why", asked.Why)
	}
	return 0, nil
}
