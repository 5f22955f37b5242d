package handback

import (
	"testing"
	"time"

	"doppelboden/store"
)

// toHerself makes a mail that its owner sent to herself as well: it lies in the inbox of both
// sides, and here among what she sent. In the groupware that copy is still missing.
func (w *world) toHerself(through bool) (inbox, sent int64) {
	inbox = w.copyOfHers(through)
	s := sentSpot
	return inbox, w.here(w.messages[w.copies[inbox].Message], nil, &s)
}

func (w *world) copyOfHers(through bool) int64 {
	if through {
		return w.delivered("An alle und mich")
	}
	return w.read("An alle und mich")
}

func TestOfAMailThatSomebodySentToHerselfTheCopyThatSheReceivedStays(t *testing.T) {
	for name, through := range map[string]bool{"through us": true, "read there": false} {
		w := newWorld(t)
		w.folders["Gesendet"], w.folders["Papierkorb"] = &folder{validity: 8, next: 1}, &folder{validity: 9, next: 1}
		_, sent := w.toHerself(through)
		w.full = true
		r := w.room()
		if res := w.back(r); res.staying != 1 {
			t.Fatalf("%s: %+v, want that what she sent is refused", name, res)
		}
		w.full = false
		w.do(sent, remove)
		w.now = w.now.Add(time.Minute)
		if _, err := w.serve(r); err != nil {
			t.Fatal(err)
		}
		if n, bin := len(w.folders[""].mails), len(w.folders["Papierkorb"].mails); n != 1 || bin != 0 {
			t.Errorf("%s: %d mails in the inbox of the groupware and %d in its bin, want that hers stays where it was", name, n, bin)
		}
		h, err := w.HandbackOf(t.Context(), user)
		if err != nil || len(h.Doing) > 0 || len(h.Left) > 0 {
			t.Errorf("%s: begun %+v, left %+v, %v; want that nothing is owed", name, h.Doing, h.Left, err)
		}
	}
}

func TestOfAMailThatSomebodySentToHerselfTheCopyThatSheSentStays(t *testing.T) {
	for name, through := range map[string]bool{"through us": true, "read there": false} {
		w := newWorld(t)
		inbox, sent := w.toHerself(through)
		r := w.room()
		w.back(r) // what she sent lies there
		w.folders[""].mails = nil
		w.do(inbox, move("Bauamt", store.UseNone))
		w.back(r)
		if n, moved := len(w.folders["Gesendet"].mails), len(w.folders["Bauamt"].mails); n != 1 || moved != 1 {
			t.Errorf("%s: %d mails among what she sent and %d where she moved the one that came, want one in each", name, n, moved)
		}
		// And the other way about: what she sent is gone there, and is not taken from elsewhere.
		w.folders["Gesendet"].mails = nil
		w.do(sent, move("Ablage", store.UseNone))
		w.back(r)
		if n, moved := len(w.folders["Bauamt"].mails), len(w.folders["Ablage"].mails); n != 1 || moved != 1 {
			t.Errorf("%s: %d mails in the one folder and %d in the other, want one in each", name, n, moved)
		}
	}
}
