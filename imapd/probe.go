package imapd

import (
	"context"
	"slices"
	"strings"

	"doppelboden"
	"doppelboden/search"

	"github.com/emersion/go-imap/v2"
)

// Holds answers probes of mails of a tenant without opening them, as search.Room does. Mails
// of which it knows nothing are missing in its answers.
type Holds func(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, probes []search.Probe, yield func(id doppelboden.ID, has []bool) error) error

// probe decides about candidates by what is known of their texts, and returns the places of
// those that are found, and the candidates that have to be opened all the same.
func (s *session) probe(c *imap.SearchCriteria, open []*candidate) (places []int, rest []*candidate, err error) {
	probes := probesOf(nil, c)
	if s.server.opts.Holds == nil || len(probes) == 0 {
		return nil, open, nil
	}
	byID := map[doppelboden.ID][]*candidate{}
	var ids []doppelboden.ID
	for _, m := range open {
		// Nobody may know what waits for scanners; who opens it is told so.
		if id := m.row.Message; m.row.Scan != doppelboden.Unscanned && m.row.Scan != doppelboden.Malware {
			if byID[id] == nil {
				ids = append(ids, id)
			}
			byID[id] = append(byID[id], m)
		}
	}
	err = s.server.opts.Holds(s.ctx, s.person.Tenant, ids, probes, func(id doppelboden.ID, has []bool) error {
		told := make(map[search.Probe]bool, len(probes))
		for i, p := range probes {
			told[p] = has[i]
		}
		for _, m := range byID[id] {
			m.told = told
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for _, m := range open {
		switch m.holds(c, false) {
		case yes:
			places = append(places, m.at)
		case unknown:
			rest = append(rest, m)
		}
	}
	return places, rest, nil
}

// probesOf adds what c and the conditions below it ask of texts, each once.
func probesOf(list []search.Probe, c *imap.SearchCriteria) []search.Probe {
	for _, p := range probesIn(c) {
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	for i := range c.Not {
		list = probesOf(list, &c.Not[i])
	}
	for i := range c.Or {
		list = probesOf(probesOf(list, &c.Or[i][0]), &c.Or[i][1])
	}
	return list
}

// probesIn returns what c itself asks of texts.
func probesIn(c *imap.SearchCriteria) (list []search.Probe) {
	for _, h := range c.Header {
		list = append(list, search.Probe{Field: strings.ToLower(h.Key), Value: h.Value})
	}
	for _, text := range c.Body {
		list = append(list, search.Probe{Field: search.AnyBody, Value: text})
	}
	for _, text := range c.Text {
		list = append(list, search.Probe{Field: search.AnyText, Value: text})
	}
	return list
}

// holdsTold reports whether the texts of a mail are as c itself wants them.
func (m *candidate) holdsTold(c *imap.SearchCriteria) bool {
	for _, p := range probesIn(c) {
		if !m.told[p] {
			return false
		}
	}
	return true
}
