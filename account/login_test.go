package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func TestASheetEnrolsOnceAndThePasswordLogsInAfterwards(t *testing.T) {
	w := newWorld(t, "")
	anna := w.person("anna@stadt.example")
	sheets, err := w.room.Sheets(ctx, []Person{anna}, true, "test")
	w.must(err)
	first, err := w.room.LogIn(ctx, web("", strings.ToLower(strings.ReplaceAll(sheets[0].Code, "-", " "))))
	w.must(err)
	if first.Needs != NeedsEnrol || first.Person.ID != anna.ID {
		t.Fatalf("with a code: needs %q as person %d, wanted to enrol as %d", first.Needs, first.Person.ID, anna.ID)
	}
	second, err := w.room.LogIn(ctx, web("anna@stadt.example", sheets[0].Code))
	w.must(err) // somebody closed the window and began again
	for _, bad := range []string{"", "kurz", "aaaaaaaaaaaaaaaa", "anna", strings.Repeat("abcdefgh", 40), sheets[0].Code} {
		_, err := w.room.Step(ctx, second.Session, NeedsPassword, bad)
		code(t, "the password "+bad, err, doppelboden.Invalid)
	}
	done, err := w.room.Step(ctx, second.Session, NeedsPassword, good)
	w.must(err)
	if done.Needs != NeedsNothing || done.Device == "" || done.Session == second.Session {
		t.Errorf("after she has set a password: %+v, wanted a session with another cookie that needs nothing", done)
	}
	_, err = w.room.Step(ctx, first.Session, NeedsPassword, "ein anderes passwort")
	code(t, "the other window", err, doppelboden.NotFound)
	_, err = w.room.LogIn(ctx, web("", sheets[0].Code))
	code(t, "the spent code", err, doppelboden.Policy)
	for _, user := range []string{"anna@stadt.example", "ANNA@stadt.example", " a.mueller@stadt.example "} {
		l, err := w.room.LogIn(ctx, web(user, good))
		w.must(err)
		s, err := w.room.Session(ctx, l.Session)
		w.must(err)
		if s.Person.ID != anna.ID || s.Needs != "" {
			t.Errorf("as %s: session %+v", user, s)
		}
	}
}

func TestACodeThatTwoWindowsShowAtOnceIsSpentOnce(t *testing.T) {
	w := newWorld(t, "")
	sheets, err := w.room.Sheets(ctx, []Person{w.person("anna@stadt.example")}, true, "test")
	w.must(err)
	var logins [4]Login
	for i := range logins {
		logins[i], err = w.room.LogIn(ctx, web("", sheets[0].Code))
		w.must(err)
	}
	results := make(chan error, len(logins))
	for i, l := range logins {
		go func() {
			_, err := w.room.Step(ctx, l.Session, NeedsPassword, fmt.Sprintf("%s %d", good, i))
			results <- err
		}()
	}
	won := 0
	for range logins {
		if err := <-results; err == nil {
			won++
		} else if c := doppelboden.CodeOf(err); c != doppelboden.Policy && c != doppelboden.NotFound {
			t.Errorf("one of them: %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d windows have set a password with one code, wanted 1", won)
	}
}

func TestEveryWrongLogInIsAnsweredAlikeAndCostsTheSame(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		lines, hashes := "", int64(1)
		if keeps {
			lines, hashes = "directory_password_days = 7", 2
		}
		w := newWorld(t, lines)
		asked := 0
		w.verify = func(string, string) (bool, error) { asked++; return false, nil }
		w.enrolled("anna@stadt.example")
		w.leave("clara@stadt.example")
		for _, user := range []string{"anna@stadt.example", "bert@stadt.example", "niemand@stadt.example", "clara@stadt.example", "buergerbuero@stadt.example"} {
			for i, door := range []string{DoorWeb, DoorIMAP, DoorSubmission} {
				before, askedBefore := w.room.hasher.runs.Load(), asked
				a := web(user, "das falsche passwort")
				a.Door, a.Peer = door, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
				_, err := w.room.LogIn(ctx, a)
				if !errors.Is(err, errWrong) {
					t.Errorf("%s at %s: %v, wanted the answer for all", user, door, err)
				}
				if n := w.room.hasher.runs.Load() - before; n != hashes {
					t.Errorf("%s at %s: %d hashes were computed, wanted %d", user, door, n, hashes)
				}
				if n := asked - askedBefore; n != int(hashes)-1 {
					t.Errorf("%s at %s: the directory was asked %d times, wanted %d", user, door, n, hashes-1)
				}
			}
		}
	}
}

func TestWhoHasLeftIsNobodyAtOnce(t *testing.T) {
	w := newWorld(t, "")
	l := w.enrolled("anna@stadt.example")
	w.leave("anna@stadt.example")
	_, err := w.room.Session(ctx, l.Session)
	code(t, "her session", err, doppelboden.NotFound)
	_, err = w.room.LogIn(ctx, web("anna@stadt.example", good))
	code(t, "her password", err, doppelboden.Policy)
	if g, err := w.room.Grants(ctx, l.Person.ID); err != nil || len(g) != 0 {
		t.Errorf("grants of somebody who has left: %v, %v", g, err)
	}
	// A namesake who comes later is somebody else.
	m := w.box(1, "anna@stadt.example", "Anna Neu", doppelboden.Person, "")
	m.ID = 99
	w.change(m)
	_, err = w.room.LogIn(ctx, web("anna@stadt.example", good))
	code(t, "the password of her predecessor", err, doppelboden.Policy)
}

func TestSessionsEndByThemselves(t *testing.T) {
	w := newWorld(t, "idle_minutes = 60\nsession_hours = 8")
	l := w.enrolled("anna@stadt.example")
	for range 3 { // she works
		w.forward(50 * time.Minute)
		if _, err := w.room.Session(ctx, l.Session); err != nil {
			t.Fatalf("while she works: %v", err)
		}
	}
	w.forward(61 * time.Minute)
	_, err := w.room.Session(ctx, l.Session)
	code(t, "after an hour of nothing", err, doppelboden.NotFound)
	l, err = w.room.LogIn(ctx, web("anna@stadt.example", good))
	w.must(err)
	for range 9 {
		w.forward(50 * time.Minute)
		if _, err = w.room.Session(ctx, l.Session); err != nil {
			t.Fatalf("while she works: %v", err)
		}
	}
	w.forward(31 * time.Minute)
	_, err = w.room.Session(ctx, l.Session)
	code(t, "after eight hours of work", err, doppelboden.NotFound)
	w.must(w.room.Sweep(ctx))
}

func TestALogInAndEveryStepGiveAnotherCookie(t *testing.T) {
	w := newWorld(t, "")
	planted, err := w.room.LogIn(ctx, web("", func() string {
		s, err := w.room.Sheets(ctx, []Person{w.person("anna@stadt.example")}, true, "test")
		w.must(err)
		return s[0].Code
	}()))
	w.must(err)
	l, err := w.room.Step(ctx, planted.Session, NeedsPassword, good)
	w.must(err)
	if l.Session == planted.Session {
		t.Error("a session with more rights has the cookie from before")
	}
	_, err = w.room.Session(ctx, planted.Session)
	code(t, "the cookie from before", err, doppelboden.NotFound)
	for _, made := range []string{"", "x", strings.Repeat("A", 43), planted.Session[:42]} {
		_, err = w.room.Session(ctx, made)
		code(t, "a cookie that somebody made up", err, doppelboden.NotFound)
	}
	other, err := w.room.LogIn(ctx, web("anna@stadt.example", good))
	w.must(err)
	if n, err := w.room.LogOutEverywhere(ctx, l.Session); err != nil || n != 1 {
		t.Errorf("out everywhere: %d, %v, wanted one other session", n, err)
	}
	_, err = w.room.Session(ctx, other.Session)
	code(t, "the other session", err, doppelboden.NotFound)
	w.must(w.room.LogOut(ctx, l.Session))
	w.must(w.room.LogOut(ctx, l.Session))
	_, err = w.room.Session(ctx, l.Session)
	code(t, "after she has logged out", err, doppelboden.NotFound)
}

func TestGuessingASlowsDownAndLocksNobodyElseOut(t *testing.T) {
	w := newWorld(t, "")
	mine := w.enrolled("anna@stadt.example")
	w.enrolled("bert@stadt.example")
	attacker := netip.MustParseAddr("203.0.113.66")
	tried := 0
	for range 24 * 60 { // a day, a try each minute
		a := web("anna@stadt.example", fmt.Sprint("raten ", tried, " wird nichts"))
		a.Peer = attacker
		before := w.room.hasher.runs.Load()
		_, err := w.room.LogIn(ctx, a)
		if c := doppelboden.CodeOf(err); c != doppelboden.Policy && c != doppelboden.Busy {
			t.Fatalf("guessing: %v", err)
		}
		tried += int(w.room.hasher.runs.Load() - before)
		w.forward(time.Minute)
	}
	if tried > 200 || tried < 50 {
		t.Errorf("%d guesses of a person were looked at in a day, wanted some hundred", tried)
	}
	if _, err := w.room.LogIn(ctx, web("anna@stadt.example", good)); err != nil {
		t.Errorf("she herself, from elsewhere: %v", err)
	}
	a := web("anna@stadt.example", good)
	a.Peer, a.Device = attacker, mine.Device
	if _, err := w.room.LogIn(ctx, a); err != nil {
		t.Errorf("she herself, from the attacker's network and her own device: %v", err)
	}
	b := web("bert@stadt.example", good)
	b.Peer = attacker
	if _, err := w.room.LogIn(ctx, b); err != nil {
		t.Errorf("a colleague in the attacker's network: %v", err)
	}
}

func TestANetworkThatTriesEverybodyIsStoppedAndTheCitysOwnHasRoom(t *testing.T) {
	w := newWorld(t, "")
	mine := w.enrolled("anna@stadt.example")
	spray := func(from string, most int) (looked int) {
		for i := range most {
			a := web(fmt.Sprintf("name%d@stadt.example", i), "Sommer2026! Sommer")
			a.Peer = netip.MustParseAddr(from)
			if _, err := w.room.LogIn(ctx, a); doppelboden.CodeOf(err) == doppelboden.Policy {
				looked++
			}
		}
		return looked
	}
	if n := spray("2001:db8:1:2::1", 60) + spray("2001:db8:1:2:ffff::2", 60); n != networkTries {
		t.Errorf("%d tries of one network were looked at, wanted %d", n, networkTries)
	}
	if n := spray("192.0.2.77", 105); n != 105 {
		t.Errorf("%d tries of the city's own network were looked at, wanted all 105", n)
	}
	a := web("anna@stadt.example", good)
	a.Peer, a.Device = netip.MustParseAddr("2001:db8:1:2::3"), mine.Device
	if _, err := w.room.LogIn(ctx, a); err != nil {
		t.Errorf("a known device in a network that is stopped: %v", err)
	}
	a.Device = mine.Device[:len(mine.Device)-2] + "AA"
	_, err := w.room.LogIn(ctx, a)
	code(t, "a device that somebody made up", err, doppelboden.Busy)
	w.forward(networkEvery)
	if _, err := w.room.LogIn(ctx, a); err != nil {
		t.Errorf("when the network may try again: %v", err)
	}
}

func TestTriesAtTheSameMomentAreNoMoreThanOneAfterTheOther(t *testing.T) {
	w := newWorld(t, "")
	w.enrolled("anna@stadt.example")
	before := w.room.hasher.runs.Load()
	done := make(chan error)
	const tries = 40
	for i := range tries {
		go func() {
			_, err := w.room.LogIn(ctx, web("anna@stadt.example", fmt.Sprint("falsch und falsch ", i)))
			done <- err
		}()
	}
	for range tries {
		<-done
	}
	if n := w.room.hasher.runs.Load() - before; n != freeTries {
		t.Errorf("%d of %d tries at once were looked at, wanted %d", n, tries, freeTries)
	}
}

func TestCodesCannotBeGuessedAndNobodyUsesUpTheTriesOfOthers(t *testing.T) {
	w := newWorld(t, "")
	sheets, err := w.room.Sheets(ctx, []Person{w.person("anna@stadt.example")}, true, "test")
	w.must(err)
	looked := 0
	for range networkTries * 2 {
		if _, err := w.room.LogIn(ctx, web("", newCode())); doppelboden.CodeOf(err) == doppelboden.Policy {
			looked++
		}
	}
	if looked != networkTries {
		t.Errorf("%d wrong codes of one network were looked at, wanted %d", looked, networkTries)
	}
	if _, err := w.room.LogIn(ctx, web("", sheets[0].Code)); err != nil {
		t.Errorf("a right code from the same network: %v", err)
	}
	_, err = w.room.LogIn(ctx, web("bert@stadt.example", sheets[0].Code))
	if err == nil {
		t.Error("a code let somebody else in")
	}
}

func TestAppPasswordsAreForProgramsAndASecondFactorKeepsThePasswordFromThem(t *testing.T) {
	w := newWorld(t, "")
	l := w.enrolled("anna@stadt.example")
	app, err := w.room.NewApp(ctx, l.Session, "Telefon\x1b[2J\u202e")
	w.must(err)
	imap := func(password string) error {
		a := web("anna@stadt.example", password)
		a.Door = DoorIMAP
		got, err := w.room.LogIn(ctx, a)
		if err == nil && (got.Session != "" || got.Person.ID != l.Person.ID) {
			t.Errorf("a program got %+v", got)
		}
		return err
	}
	for _, password := range []string{app, strings.ToUpper(app), strings.ReplaceAll(app, "-", ""), good} {
		if err := imap(password); err != nil {
			t.Errorf("with %s: %v", password, err)
		}
	}
	runs := w.room.hasher.runs.Load()
	for range 50 {
		w.must(imap(app))
		w.must(imap(good))
	}
	if n := w.room.hasher.runs.Load() - runs; n != 0 {
		t.Errorf("%d hashes for log-ins that were right a moment ago, wanted none", n)
	}
	_, err = w.room.LogIn(ctx, web("anna@stadt.example", app))
	code(t, "an app password in the browser", err, doppelboden.Policy)
	if err := w.person("bert@stadt.example"); err.ID != 0 {
		a := web("bert@stadt.example", app)
		a.Door = DoorIMAP
		_, err := w.room.LogIn(ctx, a)
		code(t, "somebody else's app password", err, doppelboden.Policy)
	}
	ways, err := w.room.Ways(ctx, l.Person, true)
	w.must(err)
	if len(ways) != 2 || ways[0].Kind != kindApp || strings.ContainsAny(ways[0].Label, "\x1b\u202e") {
		t.Fatalf("ways: %+v, wanted the program, harmless, and the password", ways)
	}
	w.must(w.room.Revoke(ctx, l.Session, ways[0].ID))
	code(t, "the revoked one", imap(app), doppelboden.Policy)
	l = w.withTOTP(l)
	code(t, "the password alone, once there is a second factor", imap(good), doppelboden.Policy)
}

func TestANewPasswordIsKnownToProgramsAtOnce(t *testing.T) {
	w := newWorld(t, "")
	l := w.enrolled("anna@stadt.example")
	a := web("anna@stadt.example", good)
	a.Door = DoorSubmission
	_, err := w.room.LogIn(ctx, a)
	w.must(err)
	other := w.newRoom() // another node, which does not hear of it
	_, err = other.LogIn(ctx, a)
	w.must(err)
	_, err = w.room.Step(ctx, l.Session, NeedsPassword, "ganz andere worte")
	w.must(err)
	for name, r := range map[string]*Room{"here": w.room, "at another node": other} {
		_, err = r.LogIn(ctx, a)
		code(t, "the old password "+name, err, doppelboden.Policy)
	}
}

func TestAProgramsWayEndsWithWhatLetItIn(t *testing.T) {
	w := newWorld(t, "")
	l := w.enrolled("anna@stadt.example")
	app, err := w.room.NewApp(ctx, l.Session, "Telefon")
	w.must(err)
	program := func(password string) Login {
		t.Helper()
		a := web("anna@stadt.example", password)
		a.Door = DoorSubmission
		got, err := w.room.LogIn(ctx, a)
		w.must(err)
		return got
	}
	still := func(name string, p Person, l Login, want bool) {
		t.Helper()
		if ok, err := w.room.Still(ctx, p.ID, l.Way); ok != want || err != nil {
			t.Errorf("%s: %v, %v; wanted %v", name, ok, err, want)
		}
	}
	byApp, byOwn := program(app), program(good)
	still("the app", l.Person, byApp, true)
	still("her password", l.Person, byOwn, true)
	still("her password for Bert", w.person("bert@stadt.example"), byOwn, false)
	l, err = w.room.Step(ctx, l.Session, NeedsPassword, "ein anderes passwort")
	w.must(err)
	still("the password that she has changed", l.Person, byOwn, false)
	w.must(w.room.Revoke(ctx, l.Session, byApp.Way))
	still("the app that she has revoked", l.Person, byApp, false)
}

func TestASessionThatEndsWhileItIsUsedStaysEnded(t *testing.T) {
	w := newWorld(t, "")
	l := w.enrolled("anna@stadt.example")
	w.forward(10 * time.Minute) // its use is to be noted
	ending := &endingStore{Store: w.store}
	w.room.opts.Store = ending
	for name, use := range map[string]func() error{
		"looked at":      func() error { _, err := w.room.Session(ctx, l.Session); return err },
		"a new password": func() error { _, err := w.room.Step(ctx, l.Session, NeedsPassword, "ein anderes passwort"); return err },
		"a new seed":     func() error { _, err := w.room.SetUpTOTP(ctx, l.Session); return err },
	} {
		ending.after = true
		code(t, name, use(), doppelboden.NotFound)
		if n, err := w.store.EndSessions(ctx, store.SessionFilter{Person: l.Person.Mailbox}); n != 0 || err != nil {
			t.Errorf("%s: %d sessions are there again, %v", name, n, err)
		}
		var err error
		if l, err = w.room.LogIn(ctx, web("anna@stadt.example", good)); err != nil {
			t.Fatalf("%s: her password after it: %v", name, err)
		}
		w.forward(10 * time.Minute)
	}
}

// An endingStore has somebody log out everywhere right after a session was read.
type endingStore struct {
	Store
	after bool
}

// SessionOf implements store.Accounts.
func (s *endingStore) SessionOf(ctx context.Context, hash []byte) (store.LoggedIn, error) {
	l, err := s.Store.SessionOf(ctx, hash)
	if err == nil && s.after {
		s.after = false
		_, err = s.EndSessions(ctx, store.SessionFilter{Person: l.Person})
	}
	return l, err
}

func TestDoorsOpenWithEventsAndCodesCanBeUsedBefore(t *testing.T) {
	w := newWorld(t, `open = "events"`)
	if w.room.Open(1, DoorWeb) || !w.room.Open(2, DoorWeb) || w.room.Open(9, DoorWeb) {
		t.Error("outside events: wanted the first city closed, the second open, and none for a tenant that is not there")
	}
	l := w.enrolled("anna@stadt.example") // she can enrol
	_, err := w.room.LogIn(ctx, web("anna@stadt.example", good))
	if !errors.Is(err, ErrClosed) {
		t.Errorf("a log-in while the doors are closed: %v", err)
	}
	if _, err := w.room.Session(ctx, l.Session); err != nil {
		t.Errorf("her session: %v", err)
	}
	w.events = map[doppelboden.MailboxID]time.Time{l.Person.Mailbox: w.clock()}
	if !w.room.Open(1, DoorIMAP) {
		t.Error("in an event: the door is closed")
	}
	_, err = w.room.LogIn(ctx, web("anna@stadt.example", good))
	w.must(err)
	w.events = nil
	w.must(w.room.OpenDoors(ctx, 1, w.clock().Add(time.Hour), "it"))
	if !w.room.Open(1, DoorWeb) {
		t.Error("somebody has opened the doors, and they are closed")
	}
	w.forward(time.Hour)
	if w.room.Open(1, DoorWeb) {
		t.Error("the hour is over, and the doors are open")
	}
}
