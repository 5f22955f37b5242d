package salvage

import (
	"time"

	"doppelboden"
	"doppelboden/tally"
)

// readReplies reads what next servers said, unless that was read a moment ago. Damage in
// the log makes mail go again, and nothing worse.
func (s *Salvager) readReplies() {
	now := s.o.Clock()
	s.mu.Lock()
	have := s.answers != nil && now.Sub(s.read) < fresh
	s.mu.Unlock()
	if have {
		return
	}
	answers := map[doppelboden.Ref]answer{}
	err := s.o.Replies.ReadReplies(now.Add(-s.o.Back), now.Add(time.Hour), func(r tally.ReplyRecord) error {
		if r.Kind != tally.Answer {
			return nil
		}
		old, known := answers[r.Ref]
		switch {
		case known && r.At.Before(old.at):
		case r.Verdict == doppelboden.Took:
			answers[r.Ref] = answer{took: true, at: r.At}
		case known: // what was taken and then refused goes again
			delete(answers, r.Ref)
		}
		return nil
	})
	if err != nil {
		s.o.Log.Warn("the log of the replies cannot be read as a whole; what it does not tell goes again", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers, s.read = answers, now
}

// forget gives back the memory of what was read.
func (s *Salvager) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = nil
}
