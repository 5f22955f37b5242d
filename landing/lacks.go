package landing

import (
	"context"
	"maps"
)

// said notes that the store said that it has the links of a chain up to last.
func (d *drainer) said(chain string, last int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rewound == d.seen { // else it is asked again
		d.has[chain] = max(d.has[chain], last)
	}
}

// Lacks reports whether the working store does not have any more what it said it had: of
// this run, and of the earlier ones whose journal is still here. What has landed and was not
// drained yet is nothing that it could have lost.
func (l *Landing) Lacks(ctx context.Context) (bool, error) {
	l.drainer.mu.Lock()
	said := maps.Clone(l.drainer.has)
	l.drainer.mu.Unlock()
	for chain, number := range said {
		last, err := l.opts.Store.Drained(ctx, chain)
		if err != nil || last < number {
			return err == nil, err
		}
	}
	return false, nil
}
