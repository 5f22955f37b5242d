package account

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// inFiles reports whether a database's files hold a text.
func inFiles(t *testing.T, path, text string) bool {
	t.Helper()
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("files of %s: %v, %v", path, files, err)
	}
	return slices.ContainsFunc(files, func(name string) bool {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(content, []byte(text))
	})
}

// ready shows the readiness of the first city.
func (w *world) ready() string {
	w.t.Helper()
	list, err := w.room.Readiness(ctx, 1)
	w.must(err)
	var lines []string
	for _, d := range list {
		line := fmt.Sprintf("%s %d/%d", d.Department, d.Ready, d.People)
		for _, p := range d.Missing {
			line += " -" + p.Address.Local
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

func TestReadinessCountsWhoCouldLogInNow(t *testing.T) {
	w := newWorld(t, "directory_password_days = 7")
	if got, want := w.ready(), "Bauamt 0/1 -clara; Bürgerbüro 0/2 -anna -bert"; got != want {
		t.Errorf("at first: %s, wanted %s", got, want)
	}
	l := w.withTOTP(w.enrolled("anna@stadt.example"))
	_, err := w.room.Sheets(ctx, []Person{w.person("clara@stadt.example")}, true, "it")
	w.must(err)
	if got, want := w.ready(), "Bauamt 1/1; Bürgerbüro 1/2 -bert"; got != want {
		t.Errorf("with a password and a sheet: %s, wanted %s", got, want)
	}
	list, err := w.room.Readiness(ctx, 1)
	w.must(err)
	if d := list[1]; d.Password != 1 || d.TOTP != 1 || d.Code != 0 || d.Percent() != 50 || list[0].Code != 1 {
		t.Errorf("counts: %+v", list)
	}
	ways, err := w.room.Ways(ctx, l.Person, true)
	w.must(err)
	for _, way := range ways {
		if way.Kind == kindPassword {
			w.must(w.room.RevokeWay(ctx, l.Person, way.ID, "it"))
		}
	}
	w.forward(401 * 24 * time.Hour) // the sheet is over
	if got, want := w.ready(), "Bauamt 0/1 -clara; Bürgerbüro 0/2 -anna -bert"; got != want {
		t.Errorf("with one-time passwords alone, and an old sheet: %s, wanted %s", got, want)
	}
	w.verify = func(string, string) (bool, error) { return true, nil }
	_, err = w.room.LogIn(ctx, web("bert@stadt.example", "passwort der arbeit"))
	w.must(err)
	if got, want := w.ready(), "Bauamt 0/1 -clara; Bürgerbüro 1/2 -anna"; got != want {
		t.Errorf("with a kept password: %s, wanted %s", got, want)
	}
	list, err = w.room.Readiness(ctx, 1)
	w.must(err)
	if d := list[1]; d.InAttack != 0 || len(d.Doubtful) != 1 || d.Doubtful[0].Address.Local != "bert" {
		t.Errorf("with a kept password %d are ready for an attack, and doubtful are %v; wanted none and bert", d.InAttack, d.Doubtful)
	}
	_, err = w.room.Distrust(ctx, 1, "it")
	w.must(err)
	if got, want := w.ready(), "Bauamt 0/1 -clara; Bürgerbüro 0/2 -anna -bert"; got != want {
		t.Errorf("when the directory is not believed: %s, wanted %s", got, want)
	}
}

func TestReadinessTellsWhoCouldLogInDuringAnAttack(t *testing.T) {
	w := newWorld(t, "directory_password_days = 7")
	w.verify = func(string, string) (bool, error) { return true, nil }
	// Anna has enrolled with a sheet, Bert with the directory's password.
	w.enrolled("anna@stadt.example")
	l, err := w.room.LogIn(ctx, web("bert@stadt.example", "passwort der arbeit"))
	w.must(err)
	l, err = w.room.Step(ctx, l.Session, NeedsPassword, good)
	w.must(err)
	_, err = w.room.NewApp(ctx, l.Session, "Telefon")
	w.must(err)
	list, err := w.room.Readiness(ctx, 1)
	w.must(err)
	if d := list[1]; d.Ready != 2 || d.InAttack != 1 || d.PercentInAttack() != 50 || len(d.Doubtful) != 1 || d.Doubtful[0].Address.Local != "bert" {
		t.Errorf("of two people: %+v; wanted both ready, and Anna alone in an attack", d)
	}
	// What is told comes true.
	_, err = w.room.Distrust(ctx, 1, "it")
	w.must(err)
	after, err := w.room.Readiness(ctx, 1)
	w.must(err)
	if d := after[1]; d.Ready != list[1].InAttack || d.InAttack != list[1].InAttack {
		t.Errorf("in the attack: %+v; wanted as many as it was told before: %d", d, list[1].InAttack)
	}
	// Who gets a sheet is ready again.
	_, err = w.room.Sheets(ctx, []Person{w.person("bert@stadt.example")}, true, "it")
	w.must(err)
	if after, err = w.room.Readiness(ctx, 1); err != nil || after[1].InAttack != 2 {
		t.Errorf("with a sheet: %+v, %v", after, err)
	}
}

func TestPasswordsOfTheDirectoryAreKeptOnlyWhereTheCitySaysAndForItsTime(t *testing.T) {
	const work = "passwort der arbeit"
	asked := 0
	right := func(address, password string) (bool, error) {
		asked++
		return address == "anna@stadt.example" && password == work, nil
	}
	w := newWorld(t, "")
	w.verify = right
	_, err := w.room.LogIn(ctx, web("anna@stadt.example", work))
	code(t, "where none are kept", err, doppelboden.Policy)
	if asked != 0 {
		t.Error("the directory was asked where the city does not want that")
	}

	w = newWorld(t, "directory_password_days = 7")
	w.verify = right
	_, err = w.room.LogIn(ctx, web("bert@stadt.example", work))
	code(t, "a password that the directory refuses", err, doppelboden.Policy)
	l, err := w.room.LogIn(ctx, web("a.mueller@stadt.example", work))
	w.must(err)
	w.verify = nil // the directory is dead
	w.forward(6 * 24 * time.Hour)
	_, err = w.room.LogIn(ctx, web("anna@stadt.example", "etwas anderes ist es"))
	code(t, "another password without the directory", err, doppelboden.Policy)
	_, err = w.room.LogIn(ctx, web("anna@stadt.example", work))
	w.must(err)
	w.verify = func(string, string) (bool, error) { return false, nil } // she has changed it there
	_, err = w.room.LogIn(ctx, web("anna@stadt.example", work))
	code(t, "a kept password that the directory refuses now", err, doppelboden.Policy)
	w.verify = nil
	w.forward(24 * time.Hour)
	_, err = w.room.LogIn(ctx, web("anna@stadt.example", work))
	code(t, "a kept password after its time", err, doppelboden.Policy)
	_ = l
}

func TestInAnAttackWhatTheDirectoryLetInIsVoid(t *testing.T) {
	const work = "passwort der arbeit"
	w := newWorld(t, "directory_password_days = 7")
	w.verify = func(_, password string) (bool, error) { return password == work, nil }
	own := w.enrolled("bert@stadt.example")
	l, err := w.room.LogIn(ctx, web("anna@stadt.example", work))
	w.must(err)
	if n, err := w.room.Distrust(ctx, 1, "it"); err != nil || n != 1 {
		t.Errorf("%d sessions ended, %v, wanted 1", n, err)
	}
	if _, err := w.room.Distrust(ctx, 1, "it"); err != nil {
		t.Errorf("once more: %v", err)
	}
	_, err = w.room.Session(ctx, l.Session)
	code(t, "a session from the directory", err, doppelboden.NotFound)
	if _, err := w.room.Session(ctx, own.Session); err != nil {
		t.Errorf("a session from her own password: %v", err)
	}
	if _, err := w.room.LogIn(ctx, web("bert@stadt.example", good)); err != nil {
		t.Errorf("her own password: %v", err)
	}
	for _, directory := range []func(string, string) (bool, error){w.verify, nil} {
		w.verify = directory
		w.forward(time.Hour)
		_, err = w.room.LogIn(ctx, web("anna@stadt.example", work))
		code(t, "the directory's password", err, doppelboden.Policy)
	}
	w.must(w.room.Trust(ctx, 1, "it"))
	_, err = w.room.LogIn(ctx, web("anna@stadt.example", work))
	code(t, "what was void, when the directory is believed and dead", err, doppelboden.Policy)
	w.verify = func(_, password string) (bool, error) { return password == work, nil }
	_, err = w.room.LogIn(ctx, web("anna@stadt.example", work))
	w.must(err)
}

func TestInAnAttackWhatTheOwnerOfTheDirectorySetForHimselfIsVoid(t *testing.T) {
	const work, his = "passwort der arbeit", "das nur der angreifer kennt"
	w := newWorld(t, "directory_password_days = 7")
	w.verify = func(_, password string) (bool, error) { return password == work, nil }
	program := func(password string) (Login, error) {
		a := web("anna@stadt.example", password)
		a.Door = DoorIMAP
		return w.room.LogIn(ctx, a)
	}
	still := func(l Login) bool {
		t.Helper()
		ok, err := w.room.Still(ctx, l.Person.ID, l.Way)
		w.must(err)
		return ok
	}
	// As Anna he sets a password, logs in with it, and makes himself at home.
	byDirectory, err := program(work)
	w.must(err)
	l, err := w.room.LogIn(ctx, web("anna@stadt.example", work))
	w.must(err)
	_, err = w.room.Step(ctx, l.Session, NeedsPassword, his)
	w.must(err)
	byHis, err := program(his)
	w.must(err)
	l, err = w.room.LogIn(ctx, web("anna@stadt.example", his))
	w.must(err)
	app, err := w.room.NewApp(ctx, l.Session, "hintertür")
	w.must(err)
	byApp, err := program(app)
	w.must(err)
	key := newAuthenticator(t)
	w.withPasskey(l, key)
	l, err = w.show(key)
	w.must(err)
	for name, one := range map[string]Login{"the directory's password": byDirectory, "his password": byHis, "his app": byApp} {
		if !still(one) {
			t.Errorf("before the attack is known, a program with %s is not good any more", name)
		}
	}
	// Bert enrolled with a sheet.
	own := w.enrolled("bert@stadt.example")
	a := web("bert@stadt.example", good)
	a.Door = DoorIMAP
	bert, err := w.room.LogIn(ctx, a)
	w.must(err)

	if _, err := w.room.Distrust(ctx, 1, "it"); err != nil {
		t.Fatal(err)
	}
	_, err = w.room.Session(ctx, l.Session)
	code(t, "his session", err, doppelboden.NotFound)
	_, err = w.room.LogIn(ctx, web("anna@stadt.example", his))
	code(t, "his password", err, doppelboden.Policy)
	_, err = w.show(key)
	code(t, "his passkey", err, doppelboden.Policy)
	for name, one := range map[string]Login{"the directory's password": byDirectory, "his password": byHis, "his app": byApp} {
		if still(one) {
			t.Errorf("a program with %s stays connected", name)
		}
	}
	for name, password := range map[string]string{"his password": his, "his app": app} {
		_, err := program(password)
		code(t, "a program with "+name, err, doppelboden.Policy)
	}
	if _, err := w.room.Session(ctx, own.Session); err != nil || !still(bert) {
		t.Errorf("Bert, who enrolled with a sheet, is thrown out: %v", err)
	}
	// With a sheet Anna is herself again, and stays so in the next attack.
	w.enrolled("anna@stadt.example")
	if _, err := w.room.Distrust(ctx, 1, "it"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.room.LogIn(ctx, web("anna@stadt.example", good)); err != nil {
		t.Errorf("Anna's own password: %v", err)
	}
}

func TestInAnAttackWhomTheOwnerOfTheDirectoryVouchedForIsOut(t *testing.T) {
	const work, his = "passwort der arbeit", "das nur der angreifer kennt"
	w := newWorld(t, "directory_password_days = 7")
	w.verify = func(_, password string) (bool, error) { return password == work, nil }
	w.must(w.room.Appoint(ctx, w.person("anna@stadt.example"), RoleHead, "Bürgerbüro", "it"))
	// As Anna, who is a head without a second factor, he makes himself one.
	l, err := w.room.LogIn(ctx, web("anna@stadt.example", work))
	w.must(err)
	l = w.withPasskey(l, newAuthenticator(t))
	vouch := func() string {
		t.Helper()
		sheet, err := w.room.Vouch(ctx, l.Session, addr(t, "bert@stadt.example"))
		w.must(err)
		return sheet.Code
	}
	bert, err := w.room.LogIn(ctx, web("", vouch()))
	w.must(err)
	bert, err = w.room.Step(ctx, bert.Session, NeedsPassword, his)
	w.must(err)
	unused := vouch()
	if _, err := w.room.Distrust(ctx, 1, "it"); err != nil {
		t.Fatal(err)
	}
	_, err = w.room.Session(ctx, bert.Session)
	code(t, "Bert's session", err, doppelboden.NotFound)
	_, err = w.room.LogIn(ctx, web("bert@stadt.example", his))
	code(t, "Bert's password", err, doppelboden.Policy)
	_, err = w.room.LogIn(ctx, web("", unused))
	code(t, "a code that was not used", err, doppelboden.Policy)
}

func TestALogInThatTheDirectoryIsStillAskedAboutEndsWithTheTrustInIt(t *testing.T) {
	const work = "passwort der arbeit"
	w := newWorld(t, "directory_password_days = 7")
	w.verify = func(_, password string) (bool, error) {
		_, err := w.room.Distrust(ctx, 1, "it") // while it answers
		return password == work, err
	}
	for _, door := range []string{DoorWeb, DoorIMAP} {
		a := web("anna@stadt.example", work)
		a.Door = door
		_, err := w.room.LogIn(ctx, a)
		code(t, "a log-in at the door "+door, err, doppelboden.Policy)
		w.must(w.room.Trust(ctx, 1, "it"))
	}
}

func TestPeopleAreRemindedSeldomAndNotInAnEvent(t *testing.T) {
	w := newWorld(t, "remind_weeks = 4")
	w.enrolled("anna@stadt.example")
	remind := func(want int) {
		t.Helper()
		n, err := w.room.Remind(ctx)
		w.must(err)
		if n != want {
			t.Errorf("%d people were reminded, wanted %d", n, want)
		}
	}
	w.events = map[doppelboden.MailboxID]time.Time{w.boxes["anna@stadt.example"]: w.clock()}
	remind(0)
	w.events = nil
	remind(2)
	w.forward(27 * 24 * time.Hour)
	remind(0)
	w.enrolled("bert@stadt.example")
	w.forward(24 * time.Hour)
	remind(1)
	for _, m := range w.mails {
		if a := m.To.Local; a != "bert" && a != "clara" || !strings.Contains(m.Text, "https://notfall.stadt.example") {
			t.Errorf("a reminder: %+v", m)
		}
	}
	silent := newWorld(t, "")
	if n, err := silent.room.Remind(ctx); n != 0 || err != nil {
		t.Errorf("where nobody is to be reminded: %d, %v", n, err)
	}
}

func TestOthersHearOfMailboxesThatNobodyOpensForADay(t *testing.T) {
	w := newWorld(t, "")
	anna, bert, clara := w.boxes["anna@stadt.example"], w.boxes["bert@stadt.example"], w.boxes["clara@stadt.example"]
	began := w.clock()
	look := func(want ...string) {
		t.Helper()
		w.mails = nil
		_, err := w.room.Untouched(ctx)
		w.must(err)
		var to []string
		for _, m := range w.mails {
			to = append(to, m.To.Local)
		}
		slices.Sort(to)
		if !slices.Equal(to, want) {
			t.Errorf("after %v told %v, wanted %v", w.clock().Sub(began), to, want)
		}
	}
	w.must(w.room.Belong(ctx, []store.Belonging{w.belonging("clara@stadt.example", "bert@stadt.example", GrantDeputy, began.Add(100*time.Hour))}))
	w.must(w.room.Appoint(ctx, w.person("bert@stadt.example"), RoleHead, "Bürgerbüro", "it"))
	w.events = map[doppelboden.MailboxID]time.Time{anna: began, bert: began, clara: began}
	w.forward(20 * time.Hour)
	w.room.Opened(ctx, 1, bert)
	look()
	w.forward(4 * time.Hour)
	// Of Anna her head and the mailbox of the office hear, of Clara her deputy.
	look("bert", "buergerbuero")
	look()
	w.forward(20 * time.Hour) // a day after Bert was here
	look("buergerbuero")
	w.room.Opened(ctx, 1, anna)
	w.events = nil
	look()
	list := 0
	for _, what := range []string{memoOpened, memoUntouched} {
		w.must(w.store.Memos(ctx, 0, what, func(store.Memo) error { list++; return nil }))
	}
	if list != 0 {
		t.Errorf("%d memos of who opened mailboxes are left after the event", list)
	}
	w.events = map[doppelboden.MailboxID]time.Time{clara: w.clock()}
	w.forward(25 * time.Hour)
	look("bert")
}
