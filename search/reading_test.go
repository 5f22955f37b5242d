package search

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

// countingPuts counts commits of extracts.
type countingPuts struct {
	Store
	commits, kept int
}

func (c *countingPuts) PutExtracts(ctx context.Context, list []store.Extract) error {
	c.commits++
	c.kept += len(list)
	return c.Store.PutExtracts(ctx, list)
}

func TestMailsWithoutExtractsAreReadTogetherAndEachForItself(t *testing.T) {
	w := newTown(t)
	var ids []doppelboden.ID
	want := map[doppelboden.ID]string{}
	for i := range 2*readAtOnce + 5 {
		text := fmt.Sprintf("wort%d.", i)
		switch i {
		case 3: // more than is kept in memory for the next one
			text += strings.Repeat("viel Text in einer großen Mail.\r\n", 60_000)
		case 7:
			text += strings.Repeat("etwas mehr Text.\r\n", 20_000)
		}
		id := w.accept(mail("x@y.example", "anna@stadt.example", fmt.Sprintf("Betreff %d", i), text), w.anna)
		ids, want[id] = append(ids, id), fmt.Sprintf("Betreff %d", i)
	}
	broken := w.message(mail("x@y.example", "anna@stadt.example", "kaputt", "wort1."), w.anna)
	broken.Body.Sum[0] ^= 1
	w.must(w.bodies.Sync())
	_, err := w.db.Accept(ctx, broken)
	w.must(err)
	ids = append(ids[:5], append([]doppelboden.ID{broken.ID, {9}}, ids[5:]...)...)

	for i := range want { // as IMAP asks
		var n int
		_, err := fmt.Sscanf(want[i], "Betreff %d", &n)
		w.must(err)
		if n > 10 {
			continue
		}
		found := 0
		w.must(w.room.Holds(ctx, w.anna.Tenant, ids, []Probe{{Field: AnyBody, Value: fmt.Sprintf("wort%d.", n)}}, func(id doppelboden.ID, has []bool) error {
			if has[0] != (id == i) {
				t.Errorf("wort%d. in %q: %v", n, want[id], has[0])
			}
			found++
			return nil
		}))
		if found != len(want) {
			t.Errorf("%d mails were answered for, wanted %d: what is damaged or gone is missing", found, len(want))
		}
	}

	puts := &countingPuts{Store: w.room.opts.Store}
	w.room.opts.Store = puts
	sums, err := w.room.Summaries(ctx, w.anna.Tenant, ids)
	w.must(err)
	for id, subject := range want {
		if sums[id].Subject != subject {
			t.Errorf("got subject %q, wanted %q", sums[id].Subject, subject)
		}
	}
	if len(sums) != len(want) || puts.kept != len(want) || puts.commits > 3 {
		t.Errorf("%d summaries, %d extracts kept in %d commits; wanted %d, all of them, in 3", len(sums), puts.kept, puts.commits, len(want))
	}
}
