package smtpd

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A stopping is a Shutdown under way.
type stopping struct {
	err  chan error
	serv chan error
}

// startAndStop serves one client, lets before bring it somewhere, and then begins to
// shut down with ten minutes of patience. It runs in a bubble.
func startAndStop(t *testing.T, o Options, before func(d *dialogue)) (*dialogue, stopping) {
	s, l := newServer(t, o), newPipeListener()
	st := stopping{err: make(chan error, 1), serv: make(chan error, 1)}
	go func() { st.serv <- s.Serve(t.Context(), l) }()
	conn := l.dial()
	d := &dialogue{t: t, conn: conn, r: newReader(conn)}
	before(d)
	synctest.Wait()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		st.err <- s.Shutdown(ctx)
	}()
	synctest.Wait()
	return d, st
}

// done checks that the server has stopped, and in which way.
func (st stopping) done(t *testing.T, want error) {
	t.Helper()
	if err := <-st.err; !errors.Is(err, want) {
		t.Errorf("Shutdown: %v, wanted %v", err, want)
	}
	if err := <-st.serv; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestShutdownSaysGoodbyeToWhoeverIsNotInABody(t *testing.T) {
	server, _ := certificate(t)
	for phase, before := range map[string]func(d *dialogue){
		"greeting": func(d *dialogue) { d.hear("220") },
		"EHLO":     func(d *dialogue) { d.hear("220"); d.ask("EHLO x", "250-") },
		"MAIL":     func(d *dialogue) { d.hear("220"); d.ask("EHLO x", "250-"); d.ask("MAIL FROM:<>", "250") },
		"RCPT":     func(d *dialogue) { d.hear("220"); d.ask("EHLO x", "250-"); d.envelope() },
		"command":  func(d *dialogue) { d.hear("220"); d.say("EHL") },
		"chunks":   func(d *dialogue) { d.hear("220"); d.ask("EHLO x", "250-"); d.envelope(); d.bdat("x", "", "250") },
		"kept": func(d *dialogue) {
			d.hear("220")
			d.ask("EHLO x", "250-")
			d.mail()
			d.ask(".", "250")
		},
	} {
		bag := newBag()
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			d, st := startAndStop(t, Options{Intake: bag, TLS: server}, before)
			d.hear("421 4.3.2 Shutting down")
			d.ended()
			st.done(t, nil)
			if took := time.Since(start); took != 0 {
				t.Errorf("%s: took %v, wanted no time", phase, took)
			}
		})
		if bag.open != 0 {
			t.Errorf("%s: %d transactions were never ended", phase, bag.open)
		}
	}
}

func TestShutdownBreaksAHandshake(t *testing.T) {
	server, _ := certificate(t)
	synctest.Test(t, func(t *testing.T) {
		d, st := startAndStop(t, Options{Intake: newBag(), TLS: server}, func(d *dialogue) {
			d.hear("220")
			d.ask("EHLO x", "250-")
			d.ask("STARTTLS", "220")
		})
		d.ended()
		st.done(t, nil)
	})
}

func TestShutdownLetsABodyFinish(t *testing.T) {
	bag := newBag()
	synctest.Test(t, func(t *testing.T) {
		d, st := startAndStop(t, Options{Intake: bag}, func(d *dialogue) {
			d.hear("220")
			d.ask("EHLO x", "250-")
			d.mail()
			d.say("first\r\n")
		})
		time.Sleep(9 * time.Minute / 2)
		d.say("second\r\n.\r\nMAIL FROM:<>\r\n")
		d.hear("250 2.0.0 Ok: receipt")
		d.hear("421 4.3.2 Shutting down")
		d.ended()
		st.done(t, nil)
	})
	if got := bag.bodies(); len(got) != 1 || got[0] != "first\r\nsecond\r\n" {
		t.Errorf("kept %q, wanted the whole mail", got)
	}
}

func TestShutdownCutsABodyThatTakesTooLong(t *testing.T) {
	bag := newBag()
	synctest.Test(t, func(t *testing.T) {
		d, st := startAndStop(t, Options{Intake: bag}, func(d *dialogue) {
			d.hear("220")
			d.ask("EHLO x", "250-")
			d.mail()
		})
		for range 9 {
			d.say(strings.Repeat("x", 32<<10))
			time.Sleep(time.Minute)
		}
		d.say(strings.Repeat("x", 32<<10))
		d.ended()
		st.done(t, context.DeadlineExceeded)
	})
	if bag.aborted != 1 || bag.open != 0 {
		t.Errorf("aborted %d, open %d, wanted 1 and 0", bag.aborted, bag.open)
	}
}

func TestShutdownWaitsForACommitHoweverLongItTakes(t *testing.T) {
	bag := newBag()
	bag.commit = func(ctx context.Context, _ *parcel) error {
		select {
		case <-time.After(time.Hour):
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		d, st := startAndStop(t, Options{Intake: bag}, func(d *dialogue) {
			d.hear("220")
			d.ask("EHLO x", "250-")
			d.mail()
			d.say("x\r\n.\r\n")
		})
		st.done(t, context.DeadlineExceeded)
		if took := time.Since(start); took != time.Hour {
			t.Errorf("Shutdown took %v, wanted it to wait an hour for Commit", took)
		}
		d.ended() // the client was cut off at the end of our patience
	})
	if len(bag.kept) != 1 || len(bag.acked) != 1 || bag.acked[0] {
		t.Errorf("kept %d, acked %v, wanted one mail whose 250 was not written", len(bag.kept), bag.acked)
	}
}

func TestServeEndsWithItsContextAndConnectionsGoOn(t *testing.T) {
	s := newServer(t, Options{Intake: newBag()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	d := connect(t, l.Addr().String())
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v, wanted nil", err)
	}
	d.ask("EHLO x", "250-")
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	d.hear("421 4.3.2")
	if err := s.Serve(context.Background(), l); err != nil {
		t.Errorf("Serve after Shutdown: %v, wanted nil", err)
	}
}

func TestServeReportsAListenerThatBroke(t *testing.T) {
	s := newServer(t, Options{Intake: newBag()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.Serve(context.Background(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, wanted an error about the listener", err)
	}
	s.Shutdown(context.Background())
}
