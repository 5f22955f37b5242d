package imapd

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden/account"
)

func TestWhoReadsNothingOfWhatSheAskedForLeavesRoomForTheOthers(t *testing.T) {
	certificate := selfSigned(t)
	synctest.Test(t, func(t *testing.T) {
		r := startStill(t, Options{TLS: certificate, Memory: 10 << 20})
		r.put(t, 1, 1, 0, mail("x", strings.Repeat("0123456789abcde\n", 3<<20/16)))
		r.put(t, 2, 1, 0, mail("y", strings.Repeat("0123456789abcde\n", 3<<19/16)))
		var clients []*raw
		for range 3 {
			c := r.in(t, "anna@stadt.example")
			c.send("f FETCH 1 BODY.PEEK[TEXT]\r\n")
			clients = append(clients, c)
		}
		bert := r.in(t, "bert@stadt.example")
		defer r.shutdown(t, append(clients, bert)...)
		synctest.Wait() // anna's sessions hold her mail, or wait for room
		begun := time.Now()
		bert.do("FETCH 1 BODYSTRUCTURE", "OK")
		if waited := time.Since(begun); waited > 0 {
			t.Errorf("bert has waited for %v until anna's sessions were cut off", waited)
		}
	})
}

func TestEachPersonHasHerShareOfTheMemoryForMails(t *testing.T) {
	const anna, bert, cara, dora account.PersonID = 1, 2, 3, 4
	b := newBudget(100 << 20)
	ended, cancel := context.WithCancel(t.Context())
	cancel() // who has to wait hears so at once
	for i, c := range []struct {
		who  account.PersonID
		mb   int64
		want bool
	}{
		{anna, 40, true}, // more than her share
		{anna, 2, false}, {anna, 1, true},
		{bert, 15, true}, {bert, 10, false}, {bert, 5, true},
		{cara, 40, false}, {cara, 39, true},
		{dora, 1, false},
		{anna, -40, true}, {anna, 20, false}, {anna, 19, true},
		{dora, 21, true}, {cara, -39, true}, {bert, -20, true}, {anna, -20, true}, {dora, -21, true},
	} {
		if c.mb < 0 {
			b.give(c.who, -c.mb<<20)
			continue
		}
		if got := b.take(ended, c.who, c.mb<<20) == nil; got != c.want {
			t.Fatalf("step %d: person %d asks for %d MB: %v, want %v", i, c.who, c.mb, got, c.want)
		}
	}
	if b.used != 0 || len(b.of) != 0 {
		t.Errorf("after everything was given back %d bytes are taken, by person %v", b.used, b.of)
	}
}
