package control

import (
	"context"
	"encoding/hex"
	"net/url"
	"strings"
)

// A Sender is one of the city's own senders, as commands show it. It holds no secret.
type Sender struct {
	Tenant     string   `json:"tenant"`
	Name       string   `json:"name"`
	Owner      string   `json:"owner,omitempty"`
	Department string   `json:"department,omitempty"`
	KnownBy    []string `json:"known_by"` // networks, "certificate …", "user …"
	From       []string `json:"from"`     // in whose name it may write; "*" for anybody's
}

// Senders yields the city's own senders in the order of the configuration.
func (c *Client) Senders(ctx context.Context, yield func(Sender) error) error {
	return c.ask(ctx, "GET", "/senders", url.Values{}, nil, each(yield), new(struct{}))
}

func (d *Desk) listSenders(_ context.Context, c *call) (any, error) {
	for _, t := range d.opts.House.Directory().City().Tenants {
		for _, s := range t.Senders {
			one := Sender{Tenant: s.Tenant, Name: s.Name, Owner: s.Owner, Department: s.Department}
			for _, p := range s.Networks {
				one.KnownBy = append(one.KnownBy, p.String())
			}
			for _, f := range s.Fingerprints {
				one.KnownBy = append(one.KnownBy, "certificate "+hex.EncodeToString(f[:4])+"…")
			}
			if s.CA != "" {
				one.KnownBy = append(one.KnownBy, "certificate of "+strings.Join(s.CANames, ", "))
			}
			if s.User != "" {
				one.KnownBy = append(one.KnownBy, "user "+s.User)
			}
			if s.Anybody {
				one.From = append(one.From, "*")
			}
			one.From = append(one.From, s.Domains...)
			for _, a := range s.Addresses {
				one.From = append(one.From, a.String())
			}
			if err := c.item(one); err != nil {
				return nil, err
			}
		}
	}
	return struct{}{}, nil
}
