package control

import (
	"context"
	"strconv"
	"time"

	"doppelboden/salvage"
)

// Salvage brings back from the landing what the database has lost.
type Salvage interface {
	// Salvage offers the database everything that landed from the day of from on: what its
	// ledger does not have, or, with all, every mail. It returns when that is done; when ctx
	// ends before, the node goes on. progress is told how many mails wait.
	Salvage(ctx context.Context, from time.Time, all bool, progress func(waiting int64)) (salvage.Report, error)
}

// Salvage has the node bring back what its database has lost; the zero time means
// everything that the landing keeps.
func (c *Client) Salvage(ctx context.Context, from time.Time, all bool) (salvage.Report, error) {
	var r salvage.Report
	q := period(from, time.Time{})
	q.Set("all", strconv.FormatBool(all))
	err := c.ask(ctx, "POST", "/salvage", q, nil, nil, &r)
	return r, err
}

func (d *Desk) salvage(ctx context.Context, c *call) (any, error) {
	from, _, err := c.period()
	if err != nil {
		return nil, err
	}
	return d.opts.Salvage.Salvage(ctx, from, c.query.Get("all") == "true", func(waiting int64) {
		c.progress(Progress{Step: "landed", Done: waiting})
	})
}
