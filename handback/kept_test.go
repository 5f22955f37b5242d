package handback

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// quiet lets a room work on the mailbox for a while, and returns how many letters there are.
func (w *world) quiet(r *Room, d time.Duration) int {
	w.t.Helper()
	r.counted([]store.DeedCount{{Tenant: 1, Mailbox: user, Deeds: int64(len(w.deeds())), Oldest: day}})
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(20 * time.Second) {
		if _, err := w.serve(r); err != nil {
			w.t.Fatal(err)
		}
	}
	return len(w.letters)
}

// says fails unless a letter holds texts; what is quoted-printable is not read.
func (w *world) says(letter string, texts ...string) {
	w.t.Helper()
	plain := strings.NewReplacer("=\r\n", "", "=C3=9F", "ß", "=C3=BC", "ü", "=C3=B6", "ö", "_", " ").Replace(letter)
	for _, want := range texts {
		if !strings.Contains(plain, want) {
			w.t.Errorf("the letter does not say %q:\n%s", want, plain)
		}
	}
}

func TestTheLastLetterGoesAlthoughAMailIsRefusedForGoodAndNamesIt(t *testing.T) {
	w := newWorld(t)
	w.number, w.most = 7, 200
	w.made("Antwort", "<1@x>", sentSpot)
	w.made("Grosse Karte "+strings.Repeat("x", 300), "<2@x>", sentSpot)
	r := w.room()
	if n := w.quiet(r, 40*time.Second); n != 0 {
		t.Fatalf("%d letters before it was quiet", n)
	}
	w.fault = func(what string, _ bool) error { // the node dies before the letter is made
		if what == "letter" {
			return errors.New("dead")
		}
		return nil
	}
	w.now = w.now.Add(2 * time.Minute)
	if _, err := w.serve(r); err == nil {
		t.Fatal("no error although the letter was not made")
	}
	w.fault = nil
	delete(w.messages, w.letters[0].ID)
	w.letters, w.written = nil, nil
	r = w.room()
	if n := w.quiet(r, time.Hour); n != 1 {
		t.Fatalf("%d letters, want one", n)
	}
	w.says(w.written[0], "Subject: =?utf-8?q?=C3=9Cbergabe", "bis auf das", "Zu groß für Ihr Postfach:\r\n- ", "Grosse Karte", "Von Ihnen versendet und übergeben: eine E-Mail")
	if len(w.deeds()) != 1 {
		t.Fatalf("deeds %+v, want that the large mail stays owed", w.deeds())
	}
	w.most = 0 // somebody has raised the limit
	if n := w.quiet(r, time.Hour); n != 1 {
		t.Errorf("%d letters after it went back, want that nobody is told twice", n)
	}
	w.equal()
}

func TestWhatWaitsWithHeldMailDelaysTheLastLetterByADayAtMost(t *testing.T) {
	w := newWorld(t)
	w.number = 7
	w.made("Antwort", "<1@x>", sentSpot)
	held := w.delivered("Abgewiesen")
	own := &w.messages[w.copies[held].Message].Deliveries[0]
	own.State = doppelboden.Held
	w.folders[""].mails = nil
	w.do(held, flag(doppelboden.Seen, 0))
	r := w.room()
	if n := w.quiet(r, 23*time.Hour); n != 0 {
		t.Fatalf("%d letters while it may still be taken", n)
	}
	if n := w.quiet(r, 2*time.Hour); n != 1 {
		t.Fatalf("%d letters after a day, want one", n)
	}
	w.says(w.written[0], "weist sie ab", "Abgewiesen")
}

func TestMailThatIsQueuedKeepsTheLastLetterBack(t *testing.T) {
	w := newWorld(t)
	w.number, w.most = 7, 200
	w.made("Grosse Karte "+strings.Repeat("x", 300), "<2@x>", sentSpot)
	queued := w.delivered("Kommt noch")
	w.messages[w.copies[queued].Message].Deliveries[0].State = doppelboden.Queued
	w.do(queued, flag(doppelboden.Seen, 0))
	if n := w.quiet(w.room(), 30*time.Hour); n != 0 {
		t.Fatalf("%d letters although a mail is still to come", n)
	}
}

func TestWhoKeepsARefusedMailIsToldOfTheNextEventOnceAsWell(t *testing.T) {
	for name, c := range map[string]struct {
		kept  int64 // the event of the refused mail; 0: none
		told  int   // letters before the next event
		opens bool
		sends bool
	}{
		"she opens her mailbox and writes": {5, 1, true, true},
		"she writes":                       {5, 1, false, true},
		"she opens her mailbox":            {5, 1, true, false},
		"the refused mail is of no event":  {0, 0, false, true},
	} {
		w := newWorld(t)
		w.most = 200
		next := day.Add(48 * time.Hour)
		r := w.room(func(o *Options) {
			o.Event = func(_ context.Context, _ doppelboden.MailboxID, at time.Time) (int64, time.Time, error) {
				if at.Before(next) {
					return c.kept, day, nil
				}
				return 6, next, nil
			}
		})
		w.made("Grosse Karte "+strings.Repeat("x", 300), "<1@x>", sentSpot)
		if n := w.quiet(r, time.Hour); n != c.told {
			t.Fatalf("%s: %d letters before the event, want %d", name, n, c.told)
		}
		w.now = next.Add(time.Hour)
		if c.opens {
			w.opens(r)
		}
		if c.sends {
			w.made("Antwort", "<2@x>", sentSpot)
		}
		if n := w.quiet(r, time.Hour); n != c.told+1 {
			t.Errorf("%s: %d letters after it, want %d", name, n, c.told+1)
		}
		if n := w.quiet(r, 30*time.Hour); n > c.told+1 {
			t.Errorf("%s: %d letters 30 hours later, want that nobody is told twice", name, n)
		}
	}
}

func TestTheLastLetterWaitsUntilSheIsQuietAlsoWhileAMailIsRefused(t *testing.T) {
	w := newWorld(t)
	w.number, w.most = 7, 200
	w.made("Grosse Karte "+strings.Repeat("x", 300), "<1@x>", sentSpot)
	r := w.room(func(o *Options) { o.Pace.Quiet = 4 * time.Minute })
	for range 6 {
		if n := w.quiet(r, r.opts.Pace.Quiet/2); n != 0 {
			t.Fatalf("%d letters while she writes", n)
		}
		w.made("Antwort", "", sentSpot) // a minute later
	}
	if n := w.quiet(r, time.Hour); n != 1 {
		t.Fatalf("%d letters after she became quiet, want one", n)
	}
	w.says(w.written[0], "Zu groß für Ihr Postfach:\r\n- ", "Von Ihnen versendet und übergeben: 6 E-Mails")
}
