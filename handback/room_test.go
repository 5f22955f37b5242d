package handback

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/filing"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// turn lets a room work on the mailboxes whose turn it is, as Run does.
func (w *world) turn(r *Room) {
	w.t.Helper()
	if err := r.recount(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	var working sync.WaitGroup
	r.assign(context.Background(), &working)
	working.Wait()
	w.now = w.now.Add(time.Hour)
}

func TestWhatWasTakenBackAfterABrokenVisitIsTakenBackThereWithoutARestart(t *testing.T) {
	w := newWorld(t)
	a := w.delivered("a")
	w.do(a, move("Bauamt", store.UseNone))
	w.now = w.now.Add(time.Hour)
	died := errors.New("the groupware died")
	w.fault = func(what string, after bool) error {
		if what == "move" && after {
			w.opened = func() error { return died }
			return died
		}
		return nil
	}
	w.folders["Bauamt"] = &folder{validity: 9, next: 1}
	r := w.room()
	w.turn(r)
	w.do(a, move("INBOX", store.UseInbox)) // nothing is owed any more
	w.turn(r)                              // the groupware is still away
	w.turn(r)
	w.opened, w.fault = nil, nil
	w.turn(r)
	w.equal()
}

func TestTheOwnerIsToldAlsoWhenAnEarlierTryFailed(t *testing.T) {
	w := newWorld(t)
	w.number = 3
	a := w.delivered("a")
	w.do(a, flag(doppelboden.Seen, 0))
	w.now = w.now.Add(time.Hour)
	r := w.room()
	w.turn(r)
	w.equal()
	w.putErr = errors.New("the database is away")
	w.turn(r)
	w.turn(r)
	w.putErr = nil
	w.turn(r)
	if len(w.letters) != 1 {
		t.Errorf("%d letters, want one: the database was away only while the first was begun", len(w.letters))
	}
}

func TestAttackModeEndsAVisitThatIsUnderWay(t *testing.T) {
	for name, stop := range map[string]func(w *world, o *Options){
		"its way is shut":     func(w *world, _ *Options) { w.well = false },
		"a tenant is stopped": func(_ *world, o *Options) { o.Stopped = func(doppelboden.TenantID) bool { return true } },
	} {
		w := newWorld(t)
		w.made("one", "<1@x>", sentSpot)
		w.made("two", "<2@x>", sentSpot)
		w.made("three", "<3@x>", draftSpot)
		a := w.delivered("a")
		w.do(a, flag(doppelboden.Seen, 0))
		w.now = w.now.Add(time.Hour)
		r := w.room()
		begun := 0
		w.fault = func(what string, after bool) error {
			if what == "append" && after {
				stop(w, &r.opts)
			}
			if !after && (what == "append" || what == "flag" || what == "make") && len(w.deeds()) > 0 && (!w.well || r.opts.Stopped(1)) {
				if what != "append" { // opening the next mail fails
					begun++
				}
			}
			return nil
		}
		if _, err := w.serve(r); err == nil {
			t.Errorf("%s: the visit ended well, want an error", name)
		}
		in := 0
		for _, f := range w.folders {
			in += len(f.mails)
		}
		if in != 2 || begun != 0 || w.folders[""].mails[0].flags != 0 {
			t.Errorf("%s: %d mails in the groupware, %d other things begun, flags %x; want the one that was on its way, and nothing after it", name, in, begun, w.folders[""].mails[0].flags)
		}
		w.fault, w.well = nil, true
		r.opts.Stopped = func(doppelboden.TenantID) bool { return false }
		w.back(r)
		w.equal()
	}
}

func TestWhatWentBackBeforeTheDatabaseCameBackOlderIsNotPutThereTwice(t *testing.T) {
	w := newWorld(t)
	before := []int64{w.made("sent", "<1@x>", sentSpot), w.made("draft", "", draftSpot), w.delivered("a")}
	w.do(before[2], move("Bauamt", store.UseNone))
	copies := map[int64]store.Deed{}
	for n, c := range w.copies {
		copies[n] = c.Deed
	}
	w.now = w.now.Add(time.Hour)
	w.back(w.room())
	w.equal()
	clear(w.state) // yesterday's database knows nothing of it
	for n, d := range copies {
		w.copies[n] = &lying{d}
	}
	restored := w.now
	w.now = w.now.Add(time.Hour)
	w.made("later", "<2@x>", sentSpot)
	w.back(w.room(func(o *Options) { o.Older = func() time.Time { return restored } }))
	w.equal()
}

func TestAMailThatTheGroupwareSentThroughUsIsFoundAmongWhatItSent(t *testing.T) {
	w := newWorld(t)
	w.folders["Sent Items"], w.uses["Sent Items"] = &folder{validity: 5, next: 1}, string(store.UseSent)
	seen := sentSpot
	a := w.here(w.message("a", "<a@stadt.example>", true), &seen, &seen)
	other := "Subject: b\r\nMessage-ID: <b@stadt.example>\r\n\r\nb\r\n"
	// The groupware kept its copy before it gave the mail to us, and without what was added on the way.
	w.there("Sent Items", other, doppelboden.Seen, w.now)
	w.there("Sent Items", w.bodies[w.copies[a].Message.String()], doppelboden.Seen, w.now.Add(-20*time.Second))
	w.do(a, move("Bauamt", store.UseNone))
	w.back(w.room())
	if sent, moved := w.folders["Sent Items"].mails, w.folders["Bauamt"].mails; len(sent) != 1 || sent[0].text != other || len(moved) != 1 {
		t.Errorf("%d mails among the sent ones and %d in the folder; want the other one, and the one that was moved", len(sent), len(moved))
	}
}

func TestAMailThatWaitsForItsAuthorGoesIntoTheInboxAndNotWhereSheKeepsWhatSheSent(t *testing.T) {
	inbox := store.Spot{Folder: "INBOX", Use: store.UseInbox}
	other := store.Spot{Folder: "Bauamt"}
	for name, place := range map[string]store.Spot{"sent": sentSpot, "copied": other} {
		for range 20 { // copies come in any order
			w := newWorld(t)
			m := w.message("to me and all", "<1@x>", true)
			m.Deliveries = []doppelboden.Delivery{{Message: m.ID, Mailbox: user, Box: doppelboden.BoxID(user), State: doppelboden.Queued}}
			one, two := inbox, place
			w.here(m, &one, &one)
			w.here(m, &two, &two) // it went back before the mail itself did
			lying, err := w.room().Lying(t.Context(), 1, user, []doppelboden.ID{m.ID})
			if err != nil || len(lying) != 0 {
				t.Fatalf("%s: the mail is to lie %+v, %v; want that nobody has touched it", name, lying, err)
			}
		}
	}
	w := newWorld(t)
	m := w.message("to me and all", "<1@x>", true)
	m.Deliveries = []doppelboden.Delivery{{Message: m.ID, Mailbox: user, Box: doppelboden.BoxID(user), State: doppelboden.Queued}}
	one, two := inbox, sentSpot
	w.here(m, &one, &one)
	w.do(w.here(m, &two, &two), flag(doppelboden.Flagged, 0))
	r := w.room()
	if touched, err := r.Touched(t.Context(), user, []doppelboden.ID{m.ID}); err != nil || len(touched) != 0 {
		t.Errorf("touched %v, %v; want nothing: only the copy of what she sent was", touched, err)
	}
	if lying, err := r.Lying(t.Context(), 1, user, []doppelboden.ID{m.ID}); err != nil || len(lying) != 0 {
		t.Errorf("the mail is to lie %+v, %v; want that nobody has touched it", lying, err)
	}
}

// doors open no mailboxes: who comes is told, and waits before it is sent away.
type doors struct {
	came chan doppelboden.MailboxID
	in   chan bool
}

func (d *doors) place(m doppelboden.MailboxID, priority, atOnce int) Place {
	return Place{Tenant: 1, Route: "stadt/kolab", Backend: door{d, m}, Owner: owner, Priority: priority, AtOnce: atOnce}
}

type door struct {
	*doors
	box doppelboden.MailboxID
}

func (d door) Change(context.Context, doppelboden.Address) (mailbox.Changer, error) {
	d.came <- d.box
	<-d.in
	return nil, &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such mailbox"}
}

// crowd returns a room that counts mailboxes with what was done in each.
func (w *world) crowd(d *doors, atOnce int, busy bool) *Room {
	w.do(w.delivered("a"), flag(doppelboden.Seen, 0))
	w.now = w.now.Add(time.Hour)
	return w.room(func(o *Options) {
		o.Place = func(m doppelboden.MailboxID) (Place, bool) { return d.place(m, int(m)%10, atOnce), true }
		o.Busy = func(string) bool { return busy }
	})
}

func counts(boxes ...doppelboden.MailboxID) (list []store.DeedCount) {
	for _, m := range boxes {
		list = append(list, store.DeedCount{Tenant: 1, Mailbox: m, Deeds: 1, Oldest: day})
	}
	return list
}

func TestAMailboxWhoseTurnComesLaterGoesBeforeThoseThatCountLess(t *testing.T) {
	w, d := newWorld(t), &doors{make(chan doppelboden.MailboxID), make(chan bool)}
	r := w.crowd(d, 1, false)
	var working sync.WaitGroup
	defer working.Wait()
	r.counted(counts(11, 12, 13))
	r.assign(t.Context(), &working)
	got := []doppelboden.MailboxID{<-d.came}
	r.counted(counts(11, 12, 13, 29))
	r.assign(t.Context(), &working)
	for range 3 {
		d.in <- true
		got = append(got, <-d.came)
	}
	d.in <- true
	if want := []doppelboden.MailboxID{13, 29, 12, 11}; !slices.Equal(got, want) {
		t.Errorf("worked on %v, want %v", got, want)
	}
}

func TestWhileOldMailWaitsHalfAsManyMailboxesAreWorkedOn(t *testing.T) {
	for _, c := range []struct {
		atOnce, want int
		busy         bool
	}{{0, 1, false}, {1, 1, true}, {3, 3, false}, {3, 2, true}, {7, 4, true}} {
		w, d := newWorld(t), &doors{make(chan doppelboden.MailboxID, 20), make(chan bool)}
		r := w.crowd(d, c.atOnce, c.busy)
		var working sync.WaitGroup
		ctx, end := context.WithCancel(t.Context())
		r.counted(counts(1, 2, 3, 4, 5, 6, 7, 8, 9))
		r.assign(ctx, &working)
		r.assign(ctx, &working)
		r.mu.Lock()
		got := r.routes["stadt/kolab"].busy
		r.mu.Unlock()
		end()
		close(d.in)
		working.Wait()
		if got != c.want {
			t.Errorf("%d mailboxes at once, old mail waits %v: %d are worked on, want %d", c.atOnce, c.busy, got, c.want)
		}
	}
}

func TestWhoIsAskedWhetherAMailboxIsWellMayAskWhatWasDoneInIt(t *testing.T) {
	w := newWorld(t)
	w.do(w.delivered("a"), flag(doppelboden.Seen, 0))
	w.now = w.now.Add(time.Hour)
	may := make(chan bool, 1)
	var r *Room
	r = w.room(func(o *Options) {
		o.Well = func(m doppelboden.MailboxID) bool { // an event decides meanwhile, and asks
			go func() { may <- r.May(m) }()
			select {
			case is := <-may:
				if !is {
					t.Errorf("nothing was done in mailbox %d, want that something was", m)
				}
			case <-time.After(time.Minute):
				t.Error("no answer for a minute: each waits for the other")
			}
			return false
		}
	})
	r.counted(counts(user))
	var working sync.WaitGroup
	r.assign(t.Context(), &working)
	working.Wait()
	r.counted(nil)
	if r.May(user) {
		t.Error("something was done in a mailbox from which all went back")
	}
}

func TestAMailPutIntoItsFolderWhileSomebodyWorksOnTheMailboxIsNotTakenBack(t *testing.T) {
	for name, begun := range map[string]bool{"a visit had begun to move it": true, "no visit knew it": false} {
		w := newWorld(t)
		a := w.delivered("a")
		w.folders["Bauamt"] = &folder{validity: 9, next: 1}
		w.do(a, move("Bauamt", store.UseNone))
		w.now = w.now.Add(time.Hour)
		r := w.room()
		if begun {
			w.fault = func(what string, after bool) error {
				if what == "move" {
					return errors.New("the groupware died")
				}
				return nil
			}
			w.turn(r)
			w.fault = nil
		}
		// It was rebuilt without its mail, which goes there once more.
		m := w.messages[w.copies[a].Message]
		own := &m.Deliveries[0]
		w.folders[""].mails, own.State = nil, doppelboden.Queued
		lying, err := r.Lying(t.Context(), 1, user, []doppelboden.ID{m.ID})
		if err != nil || len(lying) != 1 {
			t.Fatalf("%s: it is to lie %+v, %v; want in its folder", name, lying, err)
		}
		w.there("Bauamt", w.text(m), 0, m.Received)
		release, _ := r.claim(1, user)
		if err := r.Filed(t.Context(), 1, user, []filing.Lying{lying[m.ID]}); err != nil {
			t.Fatal(err)
		}
		release()
		own.State, own.Changed = doppelboden.Delivered, w.now
		w.fault = func(what string, after bool) error {
			if what == "move" && !after {
				t.Errorf("%s: the mail is moved although it lies where it is to lie", name)
			}
			return nil
		}
		for range 3 {
			w.turn(r)
		}
		w.equal()
		if h, err := w.HandbackOf(t.Context(), user); begun && (err != nil || len(h.Doing) > 0) {
			t.Errorf("%s: begun is %+v, %v; want nothing any more", name, h.Doing, err)
		}
	}
}
