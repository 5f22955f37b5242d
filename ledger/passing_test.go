package ledger

import (
	"testing"

	"doppelboden"
	"doppelboden/tally"
)

// passing logs that a delivery was handed over before its message was kept.
func (w *town) passing(id doppelboden.ID) {
	ref := doppelboden.Ref{Message: id}
	w.replies = append(w.replies,
		tally.ReplyRecord{Kind: tally.Attempt, Ref: ref, At: w.tick(), Passing: true},
		tally.ReplyRecord{Kind: tally.Answer, Ref: ref, At: w.tick(), Verdict: doppelboden.Took, Code: 250})
}

func TestMailThatPassedThroughIsDeliveredAndProvedByTheNextServersAnswer(t *testing.T) {
	w := newTown()
	id := w.intent(1)
	w.passing(id)
	ref := doppelboden.Ref{Message: id}
	w.rows[ref], w.order = doppelboden.Delivered, append(w.order, ref)
	w.commit(w.entryFor(id, 1), doppelboden.Entry{Kind: doppelboden.EntrySettled, At: w.now, Tenant: 1, Message: id,
		State: doppelboden.Delivered, By: "courier"})
	w.fate(id, tally.Sent)
	b := draw(t, w)
	if b.Accepted != 1 || b.Delivered != 1 || b.Difference != 0 || b.Acknowledged != 1 {
		t.Errorf("after one mail that passed through: %+v, want one accepted and delivered", b)
	}
	w.replies = nil
	if b := draw(t, w); b.Difference != 1 {
		t.Errorf("without the next server's answer: difference %d, want 1", b.Difference)
	}
}

func TestACrashBetweenTheNextServersAnswerAndTheCommitIsInDoubtAndNoDifference(t *testing.T) {
	w := newTown()
	w.passing(w.intent(1))
	w.restart()
	if b := draw(t, w); b.Accepted != 0 || b.Difference != 0 || b.InDoubt != 1 {
		t.Errorf("%+v, want nothing accepted, no difference, and one in doubt", b)
	}
	// Whoever got a 250 must find the mail, however it went.
	w.fate(w.intent(1), tally.Sent)
	w.passing(w.ids.New(w.now))
	if b := draw(t, w); b.Difference != 2 {
		t.Errorf("a 250 without a mail, and an answer without an intent: difference %d, want 2: %v", b.Difference, b.Findings)
	}
}
