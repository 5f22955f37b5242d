package search

import (
	"context"
	"fmt"
	"sync"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/store"
)

// A Hit is a mail that was found.
type Hit struct {
	Place   store.Place
	Shown   store.Shown
	Summary letter.Summary
}

const (
	// firstBatch is how many mails are looked through before the first hits are told; each
	// batch after it is larger, up to lastBatch.
	firstBatch, lastBatch = 50, 400
)

// Search yields what q finds in the places, the newest first as far as their folders are
// in the order in which mails came. All places are of one tenant. What nobody has looked
// at yet (store.Folders.Look) is not found, and neither is what waits for scanners or is
// in quarantine. An error of yield ends the search and is returned.
func (r *Room) Search(ctx context.Context, at []store.Place, q Query, yield func(Hit) error) error {
	m, found := newMatcher(&q), 0
	return r.inBatches(ctx, at, &q, m, func(hits []Hit) error {
		for _, h := range hits {
			if err := yield(h); err != nil {
				return err
			}
			if found++; q.Limit > 0 && found == q.Limit {
				return errEnough
			}
		}
		return nil
	})
}

// A spot is a mail in one of the places.
type spot struct {
	place store.Place
	shown store.Shown
}

// errEnough ends a search that has found as much as was asked for.
var errEnough = fmt.Errorf("enough was found")

// A batch is mails that are looked through together, and where the result goes.
type batch struct {
	spots  []spot
	result chan result // has room for one
}

type result struct {
	hits []Hit
	err  error
}

// inBatches looks through the mails of the places, several batches at a time, and hands
// the hits to take in the order of the batches.
func (r *Room) inBatches(ctx context.Context, at []store.Place, q *Query, m *matcher, take func([]Hit) error) error {
	if len(at) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	order := make(chan batch, 2*r.workers) // bounds what is looked through ahead of take
	work := make(chan batch)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for range r.workers {
		running.Go(func() {
			for b := range work {
				hits, err := r.match(ctx, at[0].Tenant, b.spots, m)
				b.result <- result{hits, err}
			}
		})
	}
	var failed error
	running.Go(func() {
		defer close(order)
		defer close(work)
		failed = r.feed(ctx, at, q, func(spots []spot) error {
			b := batch{spots, make(chan result, 1)}
			select {
			case order <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case work <- b:
			case <-ctx.Done():
				b.result <- result{err: ctx.Err()}
				return ctx.Err()
			}
			return nil
		})
	})
	for b := range order {
		res := <-b.result
		if res.err == nil {
			res.err = take(res.hits)
		}
		if res.err == errEnough {
			return nil
		}
		if res.err != nil {
			return res.err
		}
	}
	return failed // written before order was closed
}

// feed hands out the mails of the places in batches, the newest first.
func (r *Room) feed(ctx context.Context, at []store.Place, q *Query, hand func([]spot) error) error {
	var walks []*folderWalk
	for _, p := range at {
		walks = append(walks, &folderWalk{room: r, place: p, q: q, page: firstBatch})
	}
	size := firstBatch
	spots := make([]spot, 0, size)
	for {
		next, err := newest(ctx, walks)
		if err != nil {
			return fmt.Errorf("read a folder: %w", err)
		}
		if next != nil {
			spots = append(spots, spot{next.place, next.pop()})
		}
		if len(spots) == size || next == nil && len(spots) > 0 {
			if err := hand(spots); err != nil {
				return err
			}
			size = min(2*size, lastBatch)
			spots = make([]spot, 0, size)
		}
		if next == nil {
			return nil
		}
	}
}

// newest returns the folder whose next mail is the newest, or nil.
func newest(ctx context.Context, walks []*folderWalk) (first *folderWalk, err error) {
	for _, w := range walks {
		if err := w.fill(ctx); err != nil {
			return nil, err
		}
		if len(w.rest) > 0 && (first == nil || w.rest[0].Date.After(first.rest[0].Date)) {
			first = w
		}
	}
	return first, nil
}

// A folderWalk reads a folder from its end, page by page.
type folderWalk struct {
	room  *Room
	place store.Place
	q     *Query
	page  int // how many mails the next page has
	rest  []store.Shown
	below uint32 // the last UID that was read; 0: none yet
	ended bool
}

// pop takes the next mail.
func (w *folderWalk) pop() store.Shown {
	s := w.rest[0]
	w.rest = w.rest[1:]
	return s
}

// fill makes sure that there is a next mail, unless the folder has no more.
func (w *folderWalk) fill(ctx context.Context) error {
	for len(w.rest) == 0 && !w.ended {
		f := store.ShownFilter{Newest: true, Limit: w.page, Hidden: w.q.Hidden}
		if w.below > 0 {
			if f.To = w.below - 1; f.To == 0 {
				w.ended = true
				return nil
			}
		}
		count := 0
		w.rest = w.rest[:0:0]
		err := w.room.opts.Store.Shown(ctx, w.place, f, func(s store.Shown) error {
			count++
			w.below = s.UID
			if w.q.admits(&s) {
				w.rest = append(w.rest, s)
			}
			return nil
		})
		if err != nil {
			return err
		}
		w.ended = count < w.page
		w.page = min(2*w.page, 2*lastBatch)
	}
	return nil
}

// admits reports whether what the folder says of a mail is as the query wants it.
func (q *Query) admits(s *store.Shown) bool {
	switch {
	case s.Scan == doppelboden.Unscanned || s.Scan == doppelboden.Malware:
		return false
	case s.Flags&q.Set != q.Set || s.Flags&q.Clear != 0:
		return false
	case !q.Since.IsZero() && s.Date.Before(q.Since) || !q.Before.IsZero() && !s.Date.Before(q.Before):
		return false
	}
	return true
}

// match returns the hits among some mails.
func (r *Room) match(ctx context.Context, t doppelboden.TenantID, spots []spot, m *matcher) (hits []Hit, err error) {
	found := spots
	if !m.all {
		has := make(map[doppelboden.ID]bool, len(spots))
		err := r.contents(ctx, t, idsOf(spots), func(id doppelboden.ID, c *content) {
			has[id] = m.matches(c)
		})
		if err != nil {
			return nil, err
		}
		found = nil
		for _, s := range spots {
			if has[s.shown.Message] {
				found = append(found, s)
			}
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	sums, err := r.Summaries(ctx, t, idsOf(found))
	if err != nil {
		return nil, err
	}
	for _, s := range found {
		if sum, ok := sums[s.shown.Message]; ok {
			hits = append(hits, Hit{Place: s.place, Shown: s.shown, Summary: sum})
		}
	}
	return hits, nil
}

// idsOf returns the messages of spots, each once.
func idsOf(spots []spot) []doppelboden.ID {
	ids := make([]doppelboden.ID, 0, len(spots))
	for _, s := range spots {
		ids = append(ids, s.shown.Message)
	}
	return unique(ids)
}

func unique(ids []doppelboden.ID) []doppelboden.ID {
	seen := make(map[doppelboden.ID]struct{}, len(ids))
	kept := ids[:0]
	for _, id := range ids {
		if _, twice := seen[id]; !twice {
			seen[id] = struct{}{}
			kept = append(kept, id)
		}
	}
	return kept
}

// contents yields what of messages is searched. The content is valid until each returns.
func (r *Room) contents(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID, each func(doppelboden.ID, *content)) error {
	var buf []byte
	var without []doppelboden.ID
	for len(ids) > 0 {
		some := ids[:min(len(ids), atOnce)]
		ids = ids[len(some):]
		err := r.opts.Store.Extracts(ctx, t, some, store.TakeText, func(e store.Extracted) error {
			packed, ok := r.open(t, &e, sealedText, e.Text)
			if ok {
				var c content
				var err error
				if c, buf, err = decodeContent(packed, buf); err == nil {
					each(e.Message, &c)
					return ctx.Err() // who searches may have enough by now
				}
			}
			without = append(without, e.Message)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read extracts: %w", err)
		}
	}
	return r.readAll(ctx, t, without, func(id doppelboden.ID, e made) { each(id, e.content) })
}
