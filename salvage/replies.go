package salvage

import (
	"time"

	"doppelboden"
	"doppelboden/tally"
)

// replies returns what next servers said, as it was a moment ago. Damage in the log makes
// mail go again, and nothing worse.
func (s *Salvager) replies() replies {
	now := s.o.Clock()
	s.mu.Lock()
	known, fresh := s.known, now.Sub(s.read) < fresh
	s.mu.Unlock()
	if known != nil && fresh {
		return known
	}
	answers := replies{}
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
	s.known, s.read = answers, now
	return answers
}

// forget gives back the memory of what was read.
func (s *Salvager) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = nil
}
