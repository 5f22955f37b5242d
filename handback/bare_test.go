package handback

import (
	"context"
	"testing"
	"time"

	"doppelboden"
)

// rebuilt makes a world in which three mails lay in the groupware before an event, and people
// marked one, deleted one and wrote one; then the groupware is rebuilt without its mail.
func rebuilt(t *testing.T) (w *world, r *Room, mails [3]int64) {
	w = newWorld(t)
	w.number = 3
	for i, name := range []string{"a", "b", "c"} {
		mails[i] = w.delivered(name)
	}
	w.now = w.now.Add(time.Hour)
	since := w.now
	r = w.room(func(o *Options) {
		o.Event = func(context.Context, doppelboden.MailboxID, time.Time) (int64, time.Time, error) {
			return w.number, since, nil
		}
	})
	w.now = w.now.Add(time.Hour)
	w.do(mails[0], flag(doppelboden.Seen, 0))
	w.do(mails[1], remove)
	w.made("sent", "<1@x>", sentSpot)
	return w, r, mails
}

func TestWhatWasDoneWithMailThatARebuiltGroupwareLostWaitsForAReplay(t *testing.T) {
	w, r, mails := rebuilt(t)
	w.folders[""].mails = nil
	res := w.back(r)
	if res.staying != 2 || res.why != whyBare || len(w.folders["Gesendet"].mails) != 1 || len(w.deeds()) != 2 {
		t.Fatalf("%+v, deeds %+v; want that the mark and the deletion wait, and what was sent is there", res, w.deeds())
	}
	if h, err := w.HandbackOf(t.Context(), user); err != nil || len(h.Doing) > 0 {
		t.Errorf("begun are %+v, %v; want nothing, for a replay is to lay it there", h.Doing, err)
	}
	// A replay opens them again: they go with their mails.
	for _, n := range mails {
		w.messages[w.copies[n].Message].Deliveries[0].State = doppelboden.Queued
	}
	if res := w.back(r); res.waiting != 2 || res.staying != 0 {
		t.Errorf("%+v, want that both wait with their mails", res)
	}
}

func TestWithoutAReplayNobodyWaitsForLongerThanADay(t *testing.T) {
	w, r, _ := rebuilt(t)
	w.folders[""].mails = nil
	if n := w.quiet(r, 26*time.Hour); n != 1 || len(w.deeds()) != 0 {
		t.Errorf("%d letters and deeds %+v after a day, want one and none", n, w.deeds())
	}
	w.says(w.written[0], "gibt es in Ihrem Postfach nicht mehr")
}

func TestAMailThatItsOwnerDeletedThereIsNoReasonToWait(t *testing.T) {
	w, r, _ := rebuilt(t)
	w.folders[""].mails = w.folders[""].mails[2:] // she kept one
	if res := w.back(r); res.staying != 0 || len(w.deeds()) != 0 {
		t.Errorf("%+v, deeds %+v; want that nothing waits", res, w.deeds())
	}
	h, err := w.HandbackOf(t.Context(), user)
	if err != nil || len(h.Left) != 1 || h.Left[0].Why != whyGone {
		t.Errorf("left %+v, %v; want the mark alone", h.Left, err)
	}
}
