package search

import (
	"context"
	"fmt"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/store"
)

// atOnce is how many extracts are asked for at once: see store.Extracts.
const atOnce = 1000

// Summaries returns what lists show of messages of a tenant. Messages that are not there,
// or whose bytes cannot be read, are missing in it.
func (r *Room) Summaries(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID) (map[doppelboden.ID]letter.Summary, error) {
	all := make(map[doppelboden.ID]letter.Summary, len(ids))
	for len(ids) > 0 {
		some := ids[:min(len(ids), atOnce)]
		ids = ids[len(some):]
		if err := r.someSummaries(ctx, t, some, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// someSummaries adds summaries to all.
func (r *Room) someSummaries(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, all map[doppelboden.ID]letter.Summary) error {
	var without []doppelboden.ID
	err := r.opts.Store.Extracts(ctx, t, ids, store.TakeSummary, func(e store.Extracted) error {
		s, ok := r.openSummary(t, &e)
		if !ok {
			without = append(without, e.Message)
			return nil
		}
		all[e.Message] = s
		return nil
	})
	if err != nil {
		return fmt.Errorf("read summaries: %w", err)
	}
	return r.readAll(ctx, t, without, func(id doppelboden.ID, e made) { all[id] = e.summary })
}

// openSummary opens a summary. It reports false when there is none, or it is damaged or
// of another message: then it is made again.
func (r *Room) openSummary(t doppelboden.TenantID, e *store.Extracted) (letter.Summary, bool) {
	plain, ok := r.open(t, e, sealedSummary, e.Summary)
	if !ok {
		return letter.Summary{}, false
	}
	s, err := decodeSummary(plain)
	return s, err == nil
}

// open opens one blob of an extract.
func (r *Room) open(t doppelboden.TenantID, e *store.Extracted, kind byte, sealed []byte) ([]byte, bool) {
	if e.Format != format {
		return nil, false
	}
	key, err := r.opts.Keys.Unwrap(t, e.KeyVersion, e.Key)
	if err != nil {
		return nil, false
	}
	s, err := newSealer(&key, t, e.Message)
	if err != nil {
		return nil, false
	}
	plain, err := s.open(kind, sealed)
	return plain, err == nil
}
