package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"time"

	"doppelboden/ledger"
)

// VerifyLedger has all chains and knots computed again.
func (c *Client) VerifyLedger(ctx context.Context) (ledger.Report, error) {
	var r ledger.Report
	err := c.ask(ctx, "GET", "/ledger/verify", url.Values{}, nil, nil, &r)
	return r, err
}

// ExportLedger writes the ledger of a period to w, as ledger.Export does; zero times
// mean everything.
func (c *Client) ExportLedger(ctx context.Context, from, to time.Time, w io.Writer) error {
	return c.ask(ctx, "GET", "/ledger/export", period(from, to), nil, func(text json.RawMessage) error {
		if _, err := w.Write(append(text, '\n')); err != nil {
			return fmt.Errorf("write the export: %w", err)
		}
		return nil
	}, new(struct{}))
}

func (d *Desk) verifyLedger(ctx context.Context, c *call) (any, error) {
	return d.opts.Ledger.Verify(ctx, c.steps)
}

func (d *Desk) exportLedger(ctx context.Context, c *call) (any, error) {
	from, to, err := c.period()
	if err != nil {
		return nil, err
	}
	w := &items{call: c}
	if err := d.opts.Ledger.Export(ctx, w, from, to); err != nil {
		return nil, err
	}
	return struct{}{}, w.end()
}

// items makes each line of JSON that is written to it an item of the answer.
type items struct {
	call *call
	rest []byte // a line whose end has not come yet
}

// Write implements io.Writer.
func (w *items) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		one, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if err := w.call.item(json.RawMessage(one)); err != nil {
			return 0, err
		}
		w.rest = rest
	}
}

// end gives the last line, if nothing ended it.
func (w *items) end() error {
	if len(w.rest) == 0 {
		return nil
	}
	return w.call.item(json.RawMessage(w.rest))
}
