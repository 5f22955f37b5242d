package control

import (
	"context"
	"net/url"
	"time"

	"doppelboden"
	"doppelboden/ledger"
)

// Balance asks for the balance sheet of a period; zero times mean from the beginning
// and until now.
func (c *Client) Balance(ctx context.Context, from, to time.Time) (doppelboden.Balance, error) {
	var b doppelboden.Balance
	err := c.ask(ctx, "GET", "/balance", period(from, to), nil, nil, &b)
	return b, err
}

// EventBalance asks for the balance sheet of the time of an event.
func (c *Client) EventBalance(ctx context.Context, ref EventRef) (doppelboden.Balance, error) {
	var b doppelboden.Balance
	err := c.ask(ctx, "GET", "/balance", ref.query(), nil, nil, &b)
	return b, err
}

// period puts two times into a query.
func period(from, to time.Time) url.Values {
	q := url.Values{}
	for name, t := range map[string]time.Time{"from": from, "to": to} {
		if !t.IsZero() {
			q.Set(name, t.Format(time.RFC3339Nano))
		}
	}
	return q
}

// period reads what the client's put there.
func (c *call) period() (from, to time.Time, err error) {
	for name, t := range map[string]*time.Time{"from": &from, "to": &to} {
		text := c.query.Get(name)
		if text == "" {
			continue
		}
		if *t, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return from, to, invalid("times are written as in RFC 3339")
		}
	}
	if !to.IsZero() && !from.Before(to) {
		return from, to, invalid("the period ends before it begins")
	}
	return from, to, nil
}

func (d *Desk) balance(ctx context.Context, c *call) (any, error) {
	from, to, err := c.period()
	if c.query.Has("number") {
		from, to, err = d.eventPeriod(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	if to.IsZero() {
		to = d.opts.Clock()
	}
	return d.opts.Ledger.Balance(ctx, from, to, c.steps)
}

// steps passes on how far the ledger is.
func (c *call) steps(p ledger.Progress) { c.progress(Progress{Step: p.Step, Done: p.Done}) }
