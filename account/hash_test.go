package account

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The promise of 20,000 log-ins in ten minutes rests on these parameters as much as safety.
func TestAHashSaysWhatItCosts(t *testing.T) {
	h := newHasher(1, time.Minute)
	text, err := h.hash(ctx, "ein passwort")
	if err != nil || !strings.HasPrefix(text, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("a hash: %s, %v", text, err)
	}
	for password, want := range map[string]bool{"ein passwort": true, "ein Passwort": false, "": false} {
		if got, err := h.matches(ctx, text, password); err != nil || got != want {
			t.Errorf("%q: %v, %v, wanted %v", password, got, err, want)
		}
	}
	if got, err := h.matches(ctx, "", ""); got || err != nil {
		t.Errorf("nobody's hash matches: %v, %v", got, err)
	}
	if _, err := h.matches(ctx, "$argon2id$damaged", "x"); err == nil {
		t.Error("a damaged hash is no error")
	}
}

func TestALogInThatGetsNoTurnIsBusyAndNotWrong(t *testing.T) {
	w := newWorld(t, "")
	w.enrolled("anna@stadt.example")
	room := w.newRoom() // which has seen no password yet
	for range cap(room.hasher.turns) {
		room.hasher.turns <- struct{}{} // others are at it
	}
	room.hasher.patience = time.Millisecond
	for range freeTries * 3 {
		_, err := room.LogIn(ctx, web("anna@stadt.example", good))
		if !errors.Is(err, errTurn) {
			t.Fatalf("while others have all turns: %v", err)
		}
	}
	<-room.hasher.turns
	room.hasher.patience = time.Minute
	if _, err := room.LogIn(ctx, web("anna@stadt.example", good)); err != nil {
		t.Errorf("when it is her turn: %v", err)
	}
}

func BenchmarkHash(b *testing.B) {
	h := newHasher(1, time.Minute)
	for b.Loop() {
		if _, err := h.hash(ctx, "drei kleine worte"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLogIn is a whole log-in of the web with a database, from as many people at once
// as there are processors. 20,000 in ten minutes are 33 a second.
func BenchmarkLogIn(b *testing.B) {
	w := newWorld(b, "")
	w.enrolled("anna@stadt.example")
	w.room.seen.clock = func() time.Time { return w.clock().Add(time.Hour) } // nothing is remembered
	for k := range w.room.seen.until {
		delete(w.room.seen.until, k)
	}
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := w.room.LogIn(ctx, web("anna@stadt.example", good)); err != nil && !errors.Is(err, errTries) {
				b.Error(err)
			}
			w.forward(time.Hour)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "log-ins/s")
	b.ReportMetric(float64((used()-before).Microseconds())/1000/float64(b.N), "cpu-ms/log-in")
}
