package handback

import (
	"errors"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

// restored takes the groupware back to before its inbox had any mail, and lays others there,
// which get the UIDs of those that are lost.
func (w *world) restored(others ...*doppelboden.Message) {
	f := w.folders[""]
	f.mails, f.next = nil, 1
	for _, m := range others {
		w.there("", w.text(m), 0, w.now)
	}
}

func TestAMailThatGotTheUIDOfAnotherWhenTheGroupwareWasRestoredIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		a, b  string // Message-IDs of the mail that is lost and of the one in its place
		do    func(*store.Spot) *store.Spot
		again int    // so many mails come to lie in the folder into which it was moved
		left  string // why the deed ends without
	}{
		"removed":                {"<a@intern.example>", "<b@fremd.example>", remove, 0, ""},
		"moved":                  {"<a@intern.example>", "<b@fremd.example>", move("Bauamt", store.UseNone), 1, ""},
		"read":                   {"<a@intern.example>", "<b@fremd.example>", flag(doppelboden.Seen, 0), 0, whyGone},
		"removed, without names": {"", "", remove, 0, ""},
		"removed, had no name":   {"", "<b@fremd.example>", remove, 0, ""},
		"removed, named at last": {"<a@intern.example>", "", remove, 0, ""},
	} {
		w := newWorld(t)
		w.folders["Bauamt"] = &folder{validity: 7, next: 1}
		a := w.readOne(w.message("Vermerk", c.a, false))
		b := w.message("Eine Frage des Bürgers", c.b, true)
		w.restored(b)
		w.do(a, c.do)
		w.back(w.room())
		in := w.folders[""].mails
		if len(in) != 1 || in[0].text != w.text(b) || in[0].flags != 0 {
			t.Errorf("%s: in the inbox of the groupware lies %+v, want the other mail as it was", name, in)
		}
		if n := len(w.folders["Bauamt"].mails); n != c.again {
			t.Errorf("%s: %d mails in the folder, want %d", name, n, c.again)
		}
		h, err := w.HandbackOf(t.Context(), user)
		if err != nil || len(w.deeds()) > 0 || (c.left == "") != (len(h.Left) == 0) || c.left != "" && h.Left[0].Why != c.left {
			t.Errorf("%s: deeds %+v, left %+v, %v; want none, and left for %q", name, w.deeds(), h.Left, err, c.left)
		}
	}
}

func TestAMailIsKnownByItsUIDWhereTheGroupwareKeepsNoDate(t *testing.T) {
	for name, c := range map[string]struct{ id, subject string }{
		"with a Message-ID":       {"<a@intern.example>", "Vermerk"},
		"without":                 {"", "Vermerk"},
		"that we could not send":  {"<a@intern.example>", "Ver\rmerk"},
		"that has a NUL for good": {"<a@intern.example>", "Ver\x00merk"},
	} {
		w := newWorld(t)
		a := w.readOne(w.message(c.subject, c.id, false))
		f := w.folders[""]
		f.mails[0].date = day.AddDate(0, 0, -300)
		w.do(a, flag(doppelboden.Seen, 0))
		w.back(w.room())
		if f.mails[0].flags != doppelboden.Seen {
			t.Errorf("%s: flags %x, want that it is read", name, f.mails[0].flags)
		}
	}
}

func TestWhatWasBegunWithADoubleThatIsGoneIsNotTakenBack(t *testing.T) {
	w := newWorld(t)
	w.folders["Akten"] = &folder{validity: 7, next: 1}
	a := w.read("a")
	w.do(a, move("Akten", store.UseNone))
	w.fault = func(what string, after bool) error {
		if what == "move" && after {
			return errors.New("the groupware died")
		}
		return nil
	}
	r := w.room()
	if _, err := w.serve(r); err == nil || len(w.folders["Akten"].mails) != 1 {
		t.Fatalf("error %v, %+v in the folder; want that the groupware died after the move", err, w.folders["Akten"].mails)
	}
	w.fault = nil
	delete(w.copies, a) // another mail is the same one, and its copy lies where this one did
	if _, err := w.serve(r); err != nil {
		t.Fatal(err)
	}
	if in, there := len(w.folders[""].mails), len(w.folders["Akten"].mails); in != 0 || there != 1 {
		t.Errorf("%d mails in the inbox of the groupware and %d where it was moved, want that it stays there", in, there)
	}
	if h, err := w.HandbackOf(t.Context(), user); err != nil || len(h.Doing) > 0 || len(h.Left) > 0 || h.Done != (store.HandbackCounts{}) {
		t.Errorf("begun %+v, left %+v, done %+v, %v; want nothing", h.Doing, h.Left, h.Done, err)
	}
}
