package landing

import (
	"context"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

// A sinking store takes one call after it has refused a message, and then dies.
type sinking struct {
	*base
	refused bool
	dead    bool
}

func (s *sinking) Drain(ctx context.Context, all []store.Landed) error {
	if s.dead {
		return &doppelboden.Error{Code: doppelboden.Temporary, Public: "gone"}
	}
	err := s.base.Drain(ctx, all)
	s.dead = s.refused
	s.refused = s.refused || doppelboden.CodeOf(err).Permanent()
	return err
}

// The database dies, or the node, right after the link of a commit with a refused message
// is there: the messages beside it must come in at the next start all the same.
func TestACrashAmongWhatIsDrainedSinglyLosesNothing(t *testing.T) {
	q := newQuay(t)
	bad, good := q.message(), q.message()
	q.base.refused[bad.ID] = true
	r := q.enter(bad, good) // in one commit
	<-r.done
	q.Landing.opts.Store = &sinking{base: q.base}
	q.run()
	for {
		q.drainer.mu.Lock()
		trouble, changed := q.drainer.trouble.Err, q.drainer.changed
		q.drainer.mu.Unlock()
		if trouble != nil {
			break
		}
		<-changed
	}
	if err := q.leave(); err != nil {
		t.Fatal(err)
	}
	q.open(t)
	q.run()
	q.caughtUp(t)
	last := q.accept(t)
	q.caughtUp(t)
	if !q.base.has(good.ID) || !q.base.has(last.ID) {
		t.Error("an acknowledged message never came into the store")
	}
}

// enter has messages written in one commit.
func (q *quay) enter(all ...*doppelboden.Message) *round {
	l := q.Landing
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.gather()
	for _, m := range all {
		r.messages, r.encoded = append(r.messages, m), append(r.encoded, appendMessage(nil, m))
		l.pending[m.ID] = r
	}
	return r
}
