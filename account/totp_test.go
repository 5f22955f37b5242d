package account

import (
	"encoding/base32"
	"fmt"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

// RFC 6238, appendix B: its last six digits, for SHA-1.
func TestOneTimePasswordsAreThoseOfTheRFC(t *testing.T) {
	seed := []byte("12345678901234567890")
	for at, want := range map[int64]int{59: 287082, 1111111109: 81804, 1111111111: 50471, 1234567890: 5924, 2000000000: 279037, 20000000000: 353130} {
		if got := totpAt(seed, at/30); got != want {
			t.Errorf("at %d: %06d, wanted %06d", at, got, want)
		}
		if step := totpStepOf(seed, fmt.Sprintf("%03d %03d", want/1000, want%1000), time.Unix(at, 0)); step != at/30 {
			t.Errorf("typed at %d: step %d, wanted %d", at, step, at/30)
		}
	}
}

// totp returns the one-time password of a seed as a telephone shows it now.
func (w *world) totp(s Seed) string {
	w.t.Helper()
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(s.Text, " ", ""))
	w.must(err)
	return fmt.Sprintf("%06d", totpAt(raw, w.clock().Unix()/30))
}

// withTOTP sets up one-time passwords in a session.
func (w *world) withTOTP(l Login) Login {
	w.t.Helper()
	seed, err := w.room.SetUpTOTP(ctx, l.Session)
	w.must(err)
	l, err = w.room.Step(ctx, l.Session, StepSetUpTOTP, w.totp(seed))
	w.must(err)
	return l
}

func TestAOneTimePasswordLetsInOnce(t *testing.T) {
	w := newWorld(t, "")
	l := w.enrolled("anna@stadt.example")
	seed, err := w.room.SetUpTOTP(ctx, l.Session)
	w.must(err)
	if again, err := w.room.SetUpTOTP(ctx, l.Session); err != nil || again != seed {
		t.Errorf("a page that is loaded again shows another seed: %v", err)
	}
	if !strings.HasPrefix(seed.URI, "otpauth://totp/Doppelboden:anna@stadt.example?secret=") {
		t.Errorf("URI %s", seed.URI)
	}
	_, err = w.room.Step(ctx, l.Session, StepSetUpTOTP, "000000")
	code(t, "a wrong first one", err, doppelboden.Policy)
	first := w.totp(seed)
	l, err = w.room.Step(ctx, l.Session, StepSetUpTOTP, first)
	w.must(err)
	if s, err := w.room.Session(ctx, l.Session); err != nil || !s.Second {
		t.Errorf("a session that has shown one: %+v, %v", s, err)
	}
	logIn := func() Login {
		t.Helper()
		l, err := w.room.LogIn(ctx, web("anna@stadt.example", good))
		w.must(err)
		if l.Needs != NeedsTOTP {
			t.Fatalf("with a seed, a password needs %q", l.Needs)
		}
		return l
	}
	half := logIn()
	_, err = w.room.Step(ctx, half.Session, NeedsTOTP, first)
	code(t, "the one that confirmed the seed", err, doppelboden.Policy)
	w.forward(30 * time.Second)
	next := w.totp(seed)
	done, err := w.room.Step(ctx, half.Session, NeedsTOTP, next)
	w.must(err)
	if done.Needs != "" || done.Session == half.Session || done.Device == "" {
		t.Errorf("after it: %+v", done)
	}
	_, err = w.room.Session(ctx, half.Session)
	code(t, "the cookie from before the step", err, doppelboden.NotFound)
	_, err = w.room.Step(ctx, logIn().Session, NeedsTOTP, next)
	code(t, "the same once more", err, doppelboden.Policy)
	if _, err := w.newRoom().Step(ctx, logIn().Session, NeedsTOTP, next); doppelboden.CodeOf(err) != doppelboden.Policy {
		t.Errorf("the same at another node: %v", err)
	}
	half = logIn()
	for _, kind := range []string{NeedsPassword, StepSetUpTOTP} {
		if _, err := w.room.Step(ctx, half.Session, kind, good); err == nil {
			t.Errorf("half a session may %s", kind)
		}
	}
	if _, err := w.room.SetUpTOTP(ctx, half.Session); err == nil {
		t.Error("half a session may set up another seed")
	}
	if _, err := w.room.NewApp(ctx, half.Session, "x"); err == nil {
		t.Error("half a session may make a password for a program")
	}
}

func TestGuessingOneTimePasswordsSlowsDown(t *testing.T) {
	w := newWorld(t, "")
	l := w.withTOTP(w.enrolled("anna@stadt.example"))
	_ = l
	looked := 0
	for i := range 200 { // who knows the password logs in again and again
		half, err := w.room.LogIn(ctx, web("anna@stadt.example", good))
		w.must(err)
		_, err = w.room.Step(ctx, half.Session, NeedsTOTP, fmt.Sprintf("%06d", i))
		if doppelboden.CodeOf(err) == doppelboden.Policy {
			looked++
		}
		w.forward(time.Second)
	}
	if looked > 15 {
		t.Errorf("%d one-time passwords were looked at in three minutes, wanted a few", looked)
	}
}

func TestASecondFactorThatTheCityWantsIsSetUpFirst(t *testing.T) {
	w := newWorld(t, "second_factor = true")
	sheets, err := w.room.Sheets(ctx, []Person{w.person("anna@stadt.example")}, true, "test")
	w.must(err)
	l, err := w.room.LogIn(ctx, web("", sheets[0].Code))
	w.must(err)
	l, err = w.room.Step(ctx, l.Session, NeedsPassword, good)
	w.must(err)
	if l.Needs != NeedsSecond {
		t.Fatalf("after the password it needs %q, wanted a second factor", l.Needs)
	}
	again, err := w.room.LogIn(ctx, web("anna@stadt.example", good))
	w.must(err)
	if again.Needs != NeedsSecond {
		t.Errorf("with the password alone it needs %q", again.Needs)
	}
	if l = w.withTOTP(l); l.Needs != "" {
		t.Errorf("with a seed it needs %q", l.Needs)
	}
}

func TestACodeReplacesASeedOnALostTelephone(t *testing.T) {
	w := newWorld(t, "")
	old := w.withTOTP(w.enrolled("anna@stadt.example"))
	sheets, err := w.room.Sheets(ctx, []Person{old.Person}, false, "test")
	w.must(err)
	l, err := w.room.LogIn(ctx, web("", sheets[0].Code))
	w.must(err)
	_, err = w.room.Step(ctx, l.Session, NeedsPassword, "neue worte fuer mich")
	w.must(err)
	_, err = w.room.Session(ctx, old.Session)
	code(t, "the session of whoever has the telephone", err, doppelboden.NotFound)
	l, err = w.room.LogIn(ctx, web("anna@stadt.example", "neue worte fuer mich"))
	w.must(err)
	if l.Needs != "" {
		t.Errorf("it still needs %q", l.Needs)
	}
}
