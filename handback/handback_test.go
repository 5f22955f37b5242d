package handback

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/store"
)

var (
	sentSpot  = store.Spot{Folder: "Gesendet", Use: store.UseSent, Flags: doppelboden.Seen}
	draftSpot = store.Spot{Folder: "Entwürfe", Use: store.UseDrafts, Flags: doppelboden.Draft | doppelboden.Seen}
)

// equal fails when the mailbox here is not that in the groupware.
func (w *world) equal() {
	w.t.Helper()
	if d := w.differences(); len(d) > 0 {
		w.t.Fatalf("%d differences between here and there:\n%s", len(d), strings.Join(d, "\n"))
	}
	if d := w.deeds(); len(d) > 0 {
		w.t.Fatalf("%d deeds are left: %+v", len(d), d)
	}
}

func TestEverythingThatPeopleDidLiesInTheGroupware(t *testing.T) {
	w := newWorld(t)
	w.folders["Sent Items"], w.uses["Sent Items"] = &folder{validity: 5, next: 1}, string(store.UseSent)
	w.folders["Trash"], w.uses["Trash"] = &folder{validity: 6, next: 1}, string(store.UseTrash)
	seen, moved, gone, binned, foreign := w.delivered("a"), w.delivered("b"), w.delivered("c"), w.delivered("d"), w.read("e")
	w.do(seen, flag(doppelboden.Seen|doppelboden.Answered|doppelboden.Label3, 0))
	w.do(moved, move("Bauamt/2026", store.UseNone))
	w.do(moved, flag(doppelboden.Flagged, 0))
	w.do(binned, move("Papierkorb", store.UseTrash))
	w.do(foreign, move("Archiv", store.UseArchive))
	w.made("sent", "<1@x>", sentSpot)
	w.made("draft", "", draftSpot)
	there := w.text(w.messages[w.copies[gone].Message])
	w.do(gone, remove)
	w.back(w.room())
	bin := w.folders["Trash"].mails
	if len(bin) != 2 || bin[0].text != there && bin[1].text != there {
		t.Fatalf("in the bin lie %+v, want what was removed here and what lies in the bin here", bin)
	}
	w.folders["Trash"].mails = bin[:0]
	for _, m := range bin {
		if m.text != there {
			w.folders["Trash"].mails = append(w.folders["Trash"].mails, m)
		}
	}
	w.equal()
	if len(w.folders["Sent Items"].mails) != 1 {
		t.Errorf("the sent mail does not lie in the folder that the groupware has for it: %+v", w.folders)
	}
}

func TestMarksThatSomebodySetInTheGroupwareMeanwhileStay(t *testing.T) {
	w := newWorld(t)
	a := w.delivered("a")
	w.do(a, flag(doppelboden.Seen, 0))
	w.folders[""].mails[0].flags = doppelboden.Flagged | doppelboden.Label1
	w.back(w.room())
	if got, want := w.folders[""].mails[0].flags, doppelboden.Seen|doppelboden.Flagged|doppelboden.Label1; got != want {
		t.Errorf("flags %x, want %x", got, want)
	}
}

func TestAMailThatIsGoneThereComesAgainOnlyWhereMoreThanAMarkWasSet(t *testing.T) {
	w := newWorld(t)
	w.number = 3
	marked, moved, gone := w.delivered("a"), w.delivered("b"), w.delivered("c")
	w.do(marked, flag(doppelboden.Seen, 0))
	w.do(moved, move("Bauamt", store.UseNone))
	w.do(gone, remove)
	w.folders[""].mails = nil
	r := w.room()
	w.back(r)
	if n := len(w.folders["Bauamt"].mails); n != 1 || len(w.folders[""].mails) != 0 || len(w.deeds()) != 0 {
		t.Fatalf("%d mails in the folder, %d in the inbox, deeds %+v; want the one that was moved", n, len(w.folders[""].mails), w.deeds())
	}
	w.now = w.now.Add(time.Hour)
	if _, err := w.serve(r); err != nil {
		t.Fatal(err)
	}
	if len(w.written) != 1 || !strings.Contains(w.written[0], "gibt es in Ihrem Postfach nicht mehr") {
		t.Errorf("letters %q, want one that tells of the mail that is gone", w.written)
	}
}

func TestOfSeveralMailsThatCouldBeMeantNoneIsChanged(t *testing.T) {
	w := newWorld(t)
	a := w.read("a")
	w.seen = nil // it came by a journal report, and the mailbox is not read
	w.there("", w.text(w.messages[w.copies[a].Message]), 0, w.copies[a].Date)
	w.do(a, move("Bauamt", store.UseNone))
	w.back(w.room())
	if len(w.folders[""].mails) != 2 || w.folders["Bauamt"] != nil && len(w.folders["Bauamt"].mails) > 0 {
		t.Errorf("the groupware has %+v, want both mails where they were", w.folders)
	}
	h, err := w.HandbackOf(t.Context(), user)
	if err != nil || len(h.Left) != 1 || h.Left[0].Why != whyAmbiguous {
		t.Errorf("left %+v, %v; want the ambiguous mail", h.Left, err)
	}
}

func TestWhatIsFullStaysAndGoesBackWhenThereIsRoom(t *testing.T) {
	w := newWorld(t)
	w.made("sent", "<1@x>", sentSpot)
	a := w.delivered("a")
	w.do(a, flag(doppelboden.Seen, 0))
	w.full = true
	r := w.room()
	res := w.back(r)
	if res.staying != 1 || res.why != whyFull || len(w.deeds()) != 1 {
		t.Fatalf("%+v, deeds %+v; want that the mail alone stays", res, w.deeds())
	}
	w.full = false
	w.back(r)
	w.equal()
}

func TestOfMailsThatGoTogetherThoseThatWereTakenDoNotGoAgain(t *testing.T) {
	for taken := range 4 {
		w := newWorld(t)
		w.multi = true
		for _, name := range []string{"one", "two", "three"} {
			w.made(name, "<"+name+"@x>", sentSpot)
		}
		left := taken
		w.fault = func(what string, after bool) error {
			if what == "append all" && (after || left == 0) || what == "half of all" && left == 1 {
				return errors.New("the groupware died")
			}
			if what == "half of all" {
				left--
			}
			return nil
		}
		if _, err := w.serve(w.room()); err == nil {
			t.Errorf("%d were taken before the groupware died: no error", taken)
		}
		w.fault = nil
		if n := len(w.folders["Gesendet"].mails); n != taken {
			t.Fatalf("%d mails lie there, want that the groupware died after %d", n, taken)
		}
		w.back(w.room())
		w.equal()
	}
}

func TestAMailThatWaitsIsLeftToTheQueue(t *testing.T) {
	w := newWorld(t)
	a := w.delivered("a")
	w.messages[w.copies[a].Message].Deliveries[0].State = doppelboden.Queued
	w.folders[""].mails = nil
	w.do(a, move("Bauamt", store.UseNone))
	res := w.back(w.room())
	if res.waiting != 1 || len(w.folders) != 1 || len(w.deeds()) != 1 {
		t.Errorf("%+v, folders %v; want that nothing happens to a mail that waits", res, w.folders)
	}
}

func TestNothingGoesBackWhenTheNodeMayNotHandOver(t *testing.T) {
	w := newWorld(t)
	w.made("sent", "<1@x>", sentSpot)
	w.may = false
	if _, err := w.serve(w.room()); !errors.Is(err, errMayNot) {
		t.Errorf("error %v, want that it may not", err)
	}
	if f := w.folders["Gesendet"]; f != nil && len(f.mails) > 0 {
		t.Errorf("it was put into the folder all the same")
	}
}

func TestTheOwnerGetsOneMailAboutAnEventWhateverDiesInBetween(t *testing.T) {
	w := newWorld(t)
	w.number = 7
	w.made("sent", "<1@x>", sentSpot)
	a := w.delivered("a")
	w.do(a, flag(doppelboden.Seen, 0))
	w.back(w.room())
	if len(w.letters) != 0 {
		t.Fatalf("a letter was written before it was quiet")
	}
	w.now = w.now.Add(time.Hour)
	w.fault = func(what string, after bool) error { // the letter is kept, and the node dies
		w.putErr = errors.New("dead")
		return w.putErr
	}
	if _, err := w.serve(w.room()); err == nil {
		t.Fatal("no error although the node died")
	}
	w.fault, w.putErr = nil, nil
	for range 3 {
		if _, err := w.serve(w.room()); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.letters) != 1 {
		t.Fatalf("%d letters, want one", len(w.letters))
	}
	text := w.written[0]
	for _, want := range []string{"Auto-Submitted: auto-generated\r\n", "To: <u@stadt.example>", "Eingegangen: 17 E-Mails", "eine E-Mail"} {
		if !strings.Contains(text, want) {
			t.Errorf("the letter does not hold %q:\n%s", want, text)
		}
	}
	// Another event is another letter.
	w.number = 8
	w.do(a, flag(doppelboden.Flagged, 0))
	w.back(w.room())
	w.now = w.now.Add(time.Hour)
	if _, err := w.serve(w.room()); err != nil || len(w.letters) != 2 {
		t.Errorf("%d letters after a second event, %v; want two", len(w.letters), err)
	}
}

func TestWithoutAWayIntoMailboxesTheOwnerGetsWhatSheWroteOnce(t *testing.T) {
	w := newWorld(t)
	r := w.room(func(o *Options) {
		o.Place = func(m doppelboden.MailboxID) (Place, bool) {
			p, ok := w.place(m)
			p.Backend = nil
			return p, ok
		}
	})
	serve := func() {
		t.Helper()
		p, _ := r.opts.Place(user)
		if _, err := r.serve(t.Context(), user, p); err != nil {
			t.Fatal(err)
		}
	}
	w.made("Antwort an den Bürger", "<1@x>", sentSpot)
	w.made("Entwurf", "", draftSpot)
	a, b := w.delivered("Anfrage"), w.delivered("Zweite")
	w.do(a, flag(doppelboden.Seen, 0))
	w.do(b, remove)
	serve()
	if len(w.letters) != 0 {
		t.Fatal("a letter was written before it was quiet")
	}
	w.now = w.now.Add(time.Hour)
	w.clear = false
	serve()
	if len(w.letters) != 0 {
		t.Fatal("a letter was written while mail waits")
	}
	w.clear = true
	for range 3 {
		serve()
	}
	if len(w.letters) != 1 || len(w.deeds()) != 0 {
		t.Fatalf("%d letters and deeds %+v, want one and none", len(w.letters), w.deeds())
	}
	text := strings.ReplaceAll(w.written[0], "=\r\n", "")
	if n := strings.Count(text, "Content-Type: message/rfc822"); n != 2 {
		t.Errorf("%d mails are attached, want 2:\n%s", n, text)
	}
	for _, want := range []string{"Subject: Antwort an den B", "Message-ID: <1@x>", "Anfrage: gelesen", "Zweite: gel=C3=B6scht"} {
		if !strings.Contains(text, want) {
			t.Errorf("the letter does not hold %q:\n%s", want, text)
		}
	}
}

// TestWhateverBreaksTheMailboxesAreEqualInTheEnd lets people do anything, the groupware and
// the node break anywhere, and compares.
func TestWhateverBreaksTheMailboxesAreEqualInTheEnd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.moves, w.multi = rapid.Bool().Draw(rt, "has MOVE"), rapid.Bool().Draw(rt, "takes several at once")
		w.torn = w.moves && rapid.Bool().Draw(rt, "dies while it moves")
		w.folders["Papierkorb"], w.uses["Papierkorb"] = &folder{validity: 9, next: 1}, string(store.UseTrash)
		var all []int64
		for i := range rapid.IntRange(1, 8).Draw(rt, "mails") {
			if rapid.Bool().Draw(rt, "through us") {
				all = append(all, w.delivered(fmt.Sprintf("d%d", i)))
			} else {
				all = append(all, w.read(fmt.Sprintf("r%d", i)))
			}
		}
		r, broke := w.room(), false
		for round := range rapid.IntRange(1, 12).Draw(rt, "rounds") {
			for i := range rapid.IntRange(0, 4).Draw(rt, "acts") {
				act(rt, w, &all, fmt.Sprintf("m%d.%d", round, i))
			}
			steps := rapid.IntRange(0, 40).Draw(rt, "breaks after")
			if broke && (w.torn || !w.moves) {
				steps = 1000 // a move in two steps survives being broken off once, not any number of times
			}
			w.fault = func(string, bool) error {
				if steps--; steps < 0 {
					broke = true
					return errors.New("broken")
				}
				return nil
			}
			if rapid.Bool().Draw(rt, "the node dies with it") {
				broken := w.fault
				w.fault = func(what string, after bool) error {
					err := broken(what, after)
					if err != nil {
						w.putErr = err
					}
					return err
				}
			}
			_, _ = w.serve(r) // whatever it says
			if w.putErr != nil {
				r, w.putErr = w.room(), nil
			}
		}
		w.fault = nil
		w.back(r)
		if d := w.differences(); len(d) > 0 || len(w.deeds()) > 0 {
			rt.Fatalf("%d differences:\n%s\ndeeds: %+v", len(d), strings.Join(d, "\n"), w.deeds())
		}
	})
}

// act does one thing that people do. What they delete goes into the bin.
func act(rt *rapid.T, w *world, all *[]int64, name string) {
	one := rapid.SampledFrom(*all).Draw(rt, "which")
	switch rapid.IntRange(0, 6).Draw(rt, "act") {
	case 0:
		w.do(one, flag(doppelboden.Seen, 0))
	case 1:
		w.do(one, flag(doppelboden.Flagged, doppelboden.Seen))
	case 2:
		w.do(one, move(rapid.SampledFrom([]string{"Bauamt", "Bauamt/2026", "Termine"}).Draw(rt, "folder"), store.UseNone))
	case 3:
		w.do(one, move("Papierkorb", store.UseTrash))
	case 4:
		w.do(one, move("INBOX", store.UseInbox))
	case 5:
		*all = append(*all, w.made(name, "<"+name+"@stadt.example>", sentSpot))
	case 6:
		*all = append(*all, w.made(name, "", draftSpot))
	}
}
