package ledger

import (
	"testing"

	"doppelboden"
	"doppelboden/tally"
)

func TestWhatWasFoundInAMailboxIsTheAnswerToAnEarlierAttemptAndNoSecondOne(t *testing.T) {
	attempt := tally.ReplyRecord{Kind: tally.Attempt}
	answer := func(v doppelboden.Verdict, phase string, doubt bool) tally.ReplyRecord {
		return tally.ReplyRecord{Kind: tally.Answer, Verdict: v, Phase: phase, InDoubt: doubt}
	}
	const took, later = doppelboden.Took, doppelboden.Later
	for _, c := range []struct {
		name  string
		log   []tally.ReplyRecord
		took  uint16
		doubt uint16
		open  bool
	}{
		{"a crash, and it is there", []tally.ReplyRecord{attempt, answer(took, "found", false)}, 1, 0, false},
		{"a crash, and it is not there", []tally.ReplyRecord{attempt, answer(later, "found", false), attempt, answer(took, "append", false)}, 1, 0, false},
		{"no answer, and it is there", []tally.ReplyRecord{attempt, answer(later, "append", true), answer(took, "found", false)}, 1, 0, false},
		{"an answer that was not written down", []tally.ReplyRecord{attempt, answer(took, "append", false), answer(took, "found", false)}, 1, 0, false},
		{"a doubt that nobody resolved", []tally.ReplyRecord{attempt, answer(later, "dot", true), attempt, answer(took, "dot", false)}, 1, 1, false},
		{"two doubts, one of them resolved", []tally.ReplyRecord{attempt, answer(later, "dot", true), attempt, answer(took, "found", false)}, 1, 1, false},
		{"twice taken", []tally.ReplyRecord{attempt, answer(took, "dot", false), attempt, answer(took, "append", false)}, 2, 0, false},
	} {
		var d counted
		for _, r := range c.log {
			d.reply(&r)
		}
		if uint16(d.took) != c.took || uint16(d.doubt) != c.doubt || d.is(isOpen) != c.open {
			t.Errorf("%s: taken %d times, %d in doubt, open %v; want %d, %d, %v", c.name, d.took, d.doubt, d.is(isOpen), c.took, c.doubt, c.open)
		}
	}
}
