package sqlite

import (
	"context"
)

// windowRows is how many rows one short read looks at: some milliseconds.
const windowRows = 8192

// A scan walks over the deliveries by Seq, in windows, each of which is one short read.
type scan struct {
	next int64
}

// scanFrom starts a walk at a Seq.
func (s *Store) scanFrom(seq int64) *scan { return &scan{next: seq} }

// window returns the next range of Seqs, low <= seq < high, in which there is at least
// one delivery. It leaps over what retention has removed.
func (w *scan) window(ctx context.Context, c *conn) (low, high int64, more bool, err error) {
	row, err := c.one(ctx, "SELECT min(seq) FROM delivery WHERE seq >= ?", w.next)
	if err != nil || row[0] == nil {
		return 0, 0, false, err
	}
	low = asInt(row[0])
	w.next = low + windowRows
	return low, w.next, true, nil
}
