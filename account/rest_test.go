package account

import (
	"testing"

	"doppelboden"
)

// equipped gives somebody a password, two programs and a code that was not used, and a
// second session.
func (w *world) equipped(address string) (l, other Login, app string) {
	w.t.Helper()
	l = w.enrolled(address)
	var err error
	if app, err = w.room.NewApp(w.t.Context(), l.Session, "Telefon"); err != nil {
		w.t.Fatal(err)
	}
	if _, err = w.room.NewApp(w.t.Context(), l.Session, "Thunderbird"); err != nil {
		w.t.Fatal(err)
	}
	if other, err = w.room.LogIn(w.t.Context(), web(address, good)); err != nil {
		w.t.Fatal(err)
	}
	if _, err = w.room.Sheets(w.t.Context(), []Person{w.person(address)}, false, "test"); err != nil {
		w.t.Fatal(err)
	}
	return l, other, app
}

func TestAChangedPasswordEndsEverythingElseWhenSheSaysSo(t *testing.T) {
	w := newWorld(t, "")
	l, other, app := w.equipped("anna@stadt.example")
	has, err := w.room.RestOf(t.Context(), l.Session)
	if err != nil || has != (Rest{Apps: 2, Codes: 1}) {
		t.Errorf("before: %+v, %v; wanted two programs and a code", has, err)
	}
	fresh, ended, err := w.room.ChangePassword(t.Context(), l.Session, "drei andere Worte hier", true)
	if err != nil || ended != (Rest{Apps: 2, Codes: 1}) {
		t.Fatalf("ended %+v, %v; wanted two programs and a code", ended, err)
	}
	_, err = w.room.LogIn(t.Context(), Attempt{Door: DoorIMAP, User: "anna@stadt.example", Password: app})
	code(t, "a program", err, doppelboden.Policy)
	_, err = w.room.Session(t.Context(), other.Session)
	code(t, "another session", err, doppelboden.NotFound)
	if _, err := w.room.Session(t.Context(), fresh.Session); err != nil {
		t.Errorf("her own session: %v", err)
	}
	ways, err := w.room.Ways(t.Context(), w.person("anna@stadt.example"), true)
	if err != nil || len(ways) != 1 || ways[0].Kind != kindPassword {
		t.Errorf("left are %+v, %v; wanted the password alone", ways, err)
	}
	if _, err := w.room.LogIn(t.Context(), web("anna@stadt.example", "drei andere Worte hier")); err != nil {
		t.Errorf("her new password: %v", err)
	}
}

func TestAChangedPasswordLeavesProgramsWhenSheSaysSo(t *testing.T) {
	w := newWorld(t, "")
	l, _, app := w.equipped("anna@stadt.example")
	if _, ended, err := w.room.ChangePassword(t.Context(), l.Session, "drei andere Worte hier", false); err != nil || ended.Any() {
		t.Fatalf("ended %+v, %v", ended, err)
	}
	if _, err := w.room.LogIn(t.Context(), Attempt{Door: DoorIMAP, User: "anna@stadt.example", Password: app}); err != nil {
		t.Errorf("a program: %v", err)
	}
}

func TestWhoComesWithACodeCanEndEverythingElseAndTheCodeIsNotCounted(t *testing.T) {
	w := newWorld(t, "")
	_, _, app := w.equipped("anna@stadt.example")
	sheets, err := w.room.Sheets(t.Context(), []Person{w.person("anna@stadt.example")}, false, "test")
	if err != nil {
		t.Fatal(err)
	}
	l, err := w.room.LogIn(t.Context(), web("", sheets[0].Code))
	if err != nil {
		t.Fatal(err)
	}
	_, ended, err := w.room.ChangePassword(t.Context(), l.Session, "drei andere Worte hier", true)
	if err != nil || ended != (Rest{Apps: 2, Codes: 1}) {
		t.Errorf("ended %+v, %v; wanted two programs and the other code", ended, err)
	}
	_, err = w.room.LogIn(t.Context(), Attempt{Door: DoorIMAP, User: "anna@stadt.example", Password: app})
	code(t, "a program", err, doppelboden.Policy)
	_, err = w.room.LogIn(t.Context(), web("", sheets[0].Code))
	code(t, "the code that was spent", err, doppelboden.Policy)
}

func TestTheHelpDeskEndsEverythingAtOnce(t *testing.T) {
	w := newWorld(t, "")
	l, other, app := w.equipped("anna@stadt.example")
	ended, err := w.room.RevokeAll(t.Context(), w.person("anna@stadt.example"), "help desk")
	if err != nil || ended != (Rest{Apps: 2, Codes: 1}) {
		t.Fatalf("ended %+v, %v", ended, err)
	}
	for name, cookie := range map[string]string{"one session": l.Session, "another": other.Session} {
		_, err := w.room.Session(t.Context(), cookie)
		code(t, name, err, doppelboden.NotFound)
	}
	_, err = w.room.LogIn(t.Context(), web("anna@stadt.example", good))
	code(t, "her password", err, doppelboden.Policy)
	_, err = w.room.LogIn(t.Context(), Attempt{Door: DoorIMAP, User: "anna@stadt.example", Password: app})
	code(t, "a program", err, doppelboden.Policy)
}

func TestThePasswordAtWorkIsSaidToLetInAfterEverythingHasEnded(t *testing.T) {
	w := newWorld(t, "directory_password_days = 30")
	w.verify = func(_, password string) (bool, error) { return password == "wie bei der Arbeit", nil }
	l, err := w.room.LogIn(t.Context(), web("anna@stadt.example", "wie bei der Arbeit"))
	w.must(err)
	has, err := w.room.RestOf(t.Context(), l.Session)
	if err != nil || has != (Rest{Directory: true}) || !has.Any() || has.Counted() {
		t.Errorf("who has the kept password alone: %+v, %v; wanted that it is told", has, err)
	}
	l, rest, err := w.room.ChangePassword(t.Context(), l.Session, "drei andere Worte hier", true)
	if err != nil || !rest.Directory {
		t.Errorf("a changed password: %+v, %v; wanted that the other one is told", rest, err)
	}
	if rest, err = w.room.RevokeAll(t.Context(), w.person("anna@stadt.example"), "help desk"); err != nil || !rest.Directory {
		t.Errorf("everything was revoked: %+v, %v; wanted that the password at work is told", rest, err)
	}
	if _, err := w.room.LogIn(t.Context(), web("anna@stadt.example", "wie bei der Arbeit")); err != nil {
		t.Errorf("the password at work: %v; wanted what was told", err)
	}
	w.verify = nil // nobody answers any more
	if _, err := w.room.RevokeAll(t.Context(), w.person("anna@stadt.example"), "help desk"); err != nil {
		t.Fatal(err)
	}
	_, err = w.room.LogIn(t.Context(), web("anna@stadt.example", "wie bei der Arbeit"))
	code(t, "what was kept of it", err, doppelboden.Policy)
	if _, err := w.room.Distrust(t.Context(), w.person("anna@stadt.example").Tenant, "it"); err != nil {
		t.Fatal(err)
	}
	if rest, err = w.room.RevokeAll(t.Context(), w.person("anna@stadt.example"), "help desk"); err != nil || rest.Any() {
		t.Errorf("the directory is not believed: %+v, %v; wanted nothing", rest, err)
	}
}
