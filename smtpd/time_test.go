package smtpd

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble runs play with a server and a client under a clock of their own: hours pass
// at once.
func inBubble(t *testing.T, o Options, play func(t *testing.T, d *dialogue)) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newServer(t, o), newPipeListener()
		served := make(chan error, 1)
		go func() { served <- s.Serve(t.Context(), l) }()
		conn := l.dial()
		play(t, &dialogue{t: t, conn: conn, r: newReader(conn)})
		conn.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// endsAfter checks that the server says want, and when.
func (d *dialogue) endsAfter(start time.Time, took time.Duration, want string) {
	d.t.Helper()
	d.hear(want)
	if got := time.Since(start); got != took {
		d.t.Errorf("%q after %v, wanted it after %v", want, got, took)
	}
	d.ended()
}

func TestAClientThatSaysNothingIsSentAwayAfterFiveMinutes(t *testing.T) {
	inBubble(t, Options{Intake: newBag()}, func(t *testing.T, d *dialogue) {
		start := time.Now()
		d.hear("220 ")
		d.endsAfter(start, 5*time.Minute, "421 4.4.2 Timeout")
	})
}

func TestACommandInDripsIsSentAwayAfterFiveMinutes(t *testing.T) {
	inBubble(t, Options{Intake: newBag()}, func(t *testing.T, d *dialogue) {
		start := time.Now()
		d.hear("220 ")
		for range 4 {
			d.say("N")
			time.Sleep(time.Minute)
		}
		d.endsAfter(start, 5*time.Minute, "421 4.4.2 Timeout")
	})
}

func TestAConnectionWithoutMailEndsAfterHalfAnHour(t *testing.T) {
	inBubble(t, Options{Intake: newBag()}, func(t *testing.T, d *dialogue) {
		d.hear("220 ")
		d.ask("EHLO x", "250-")
		time.Sleep(4 * time.Minute)
		d.mail()
		d.ask("x\r\n.", "250 2.0.0")
		start := time.Now()
		for range 7 {
			time.Sleep(4 * time.Minute)
			d.ask("NOOP", "250")
		}
		d.endsAfter(start, 30*time.Minute, "421 4.4.2 No mail")
	})
}

func TestASlowSenderWhoMakesProgressGoesOnForHours(t *testing.T) {
	bag := newBag()
	inBubble(t, Options{Intake: bag}, func(t *testing.T, d *dialogue) {
		d.hear("220 ")
		d.ask("EHLO x", "250-")
		d.mail()
		start := time.Now()
		for time.Since(start) < 6*time.Hour { // 120 octets a second
			d.say(strings.Repeat("x", 1198) + "\r\n")
			time.Sleep(10 * time.Second)
		}
		d.ask(".", "250 2.0.0")
	})
	if got := bag.bodies(); len(got) != 1 || len(got[0]) != 1200*6*360 {
		t.Errorf("the mail of a slow sender was not kept")
	}
}

func TestASenderWhoStallsOnceGoesOn(t *testing.T) {
	inBubble(t, Options{Intake: newBag()}, func(t *testing.T, d *dialogue) {
		d.hear("220 ")
		d.ask("EHLO x", "250-")
		d.mail()
		time.Sleep(4 * time.Minute)
		d.say(strings.Repeat("x", 32<<10) + "\r\n")
		time.Sleep(4 * time.Minute)
		d.ask(".", "250 2.0.0")
	})
}

func TestABodyInDripsEndsAfterFiveMinutes(t *testing.T) {
	bag := newBag()
	inBubble(t, Options{Intake: bag}, func(t *testing.T, d *dialogue) {
		d.hear("220 ")
		d.ask("EHLO x", "250-")
		d.mail()
		start := time.Now()
		for range 4 {
			d.say(strings.Repeat("x", 1000))
			time.Sleep(time.Minute)
		}
		d.endsAfter(start, 5*time.Minute, "421 4.4.2 Body comes too slowly")
	})
	if bag.aborted != 1 || bag.open != 0 {
		t.Errorf("aborted %d, open %d, wanted 1 and 0", bag.aborted, bag.open)
	}
}

func TestChunksInDripsEndAfterFiveMinutes(t *testing.T) {
	inBubble(t, Options{Intake: newBag()}, func(t *testing.T, d *dialogue) {
		d.hear("220 ")
		d.ask("EHLO x", "250-")
		d.envelope()
		start := time.Now()
		for range 4 {
			d.bdat("x", "", "250")
			time.Sleep(time.Minute)
		}
		d.endsAfter(start, 5*time.Minute, "421 4.4.2 Body comes too slowly")
	})
}

func TestAClientThatDoesNotReadItsRepliesIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bag := newBag()
		s, l := newServer(t, Options{Intake: bag}), newPipeListener()
		served := make(chan error, 1)
		go func() { served <- s.Serve(t.Context(), l) }()
		conn := l.dial() // nobody reads from it
		start := time.Now()
		if _, err := io.WriteString(conn, "EHLO x\r\n"); err == nil {
			t.Error("the server took a command although its greeting was not read")
		}
		if got := time.Since(start); got != time.Minute {
			t.Errorf("dropped after %v, wanted a minute", got)
		}
		conn.Close()
		s.Shutdown(context.Background())
		<-served
	})
}

func TestTheSenderOfAnUnreadReceiptIsUnacknowledged(t *testing.T) {
	bag := newBag()
	inBubble(t, Options{Intake: bag}, func(t *testing.T, d *dialogue) {
		d.hear("220 ")
		d.ask("EHLO x", "250-")
		d.mail()
		bag.commit = func(ctx context.Context, _ *parcel) error {
			d.conn.Close() // the client hangs up
			time.Sleep(time.Hour)
			return ctx.Err()
		}
		d.say("x\r\n.\r\n")
		synctest.Wait()
		time.Sleep(2 * time.Hour)
	})
	if len(bag.kept) != 1 || len(bag.acked) != 1 || bag.acked[0] {
		t.Errorf("kept %d, acked %v, wanted one mail whose 250 was not written", len(bag.kept), bag.acked)
	}
}

func TestWhoTalksBeforeTheGreetingIsRefused(t *testing.T) {
	nobody := []netip.Prefix{}
	for _, c := range []struct {
		later bool
		want  string
	}{{false, "554 5.5.0"}, {true, "421 4.7.0"}} {
		o := Options{Intake: newBag(), GreetDelay: 2 * time.Second, Trusted: nobody, EarlyTalkerTryLater: c.later}
		inBubble(t, o, func(t *testing.T, d *dialogue) {
			time.Sleep(time.Second)
			d.say("EHLO x\r\n")
			d.hear(c.want)
			d.ended()
		})
		inBubble(t, o, func(t *testing.T, d *dialogue) {
			start := time.Now()
			d.hear("220 ")
			if got := time.Since(start); got != 2*time.Second {
				t.Errorf("greeting after %v, wanted it after 2 s", got)
			}
			d.ask("EHLO x", "250-")
		})
	}
}

// An answering Resolver says what it was told, after a while.
type answering struct {
	names []string
	addrs []netip.Addr
	after time.Duration
	asked int
}

func (r *answering) LookupAddr(ctx context.Context, _ string) ([]string, error) {
	r.asked++
	select {
	case <-time.After(r.after):
		return r.names, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *answering) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return r.addrs, nil
}

func TestNamesAreLookedUpOnceInTheBackgroundAndBothWays(t *testing.T) {
	peer := netip.MustParseAddr("192.0.2.7")
	for _, c := range []struct {
		what  string
		r     answering
		want  string
		asked int
	}{
		{"confirmed", answering{names: []string{"mail.sender.example."}, addrs: []netip.Addr{peer}}, "mail.sender.example", 1},
		{"leads elsewhere", answering{names: []string{"mail.bank.example."}, addrs: []netip.Addr{netip.MustParseAddr("192.0.2.8")}}, "", 1},
		{"hostile", answering{names: []string{"a\r\nb."}, addrs: []netip.Addr{peer}}, "", 1},
		{"DNS is dead", answering{names: []string{"mail.sender.example."}, addrs: []netip.Addr{peer}, after: time.Hour}, "", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := names{resolver: &c.r, clock: time.Now, known: map[netip.Addr]name{}}
			for range 3 {
				n.ask(t.Context(), peer)
			}
			if got := n.of(peer); got != "" {
				t.Errorf("%s: name %q before the answer, wanted none", c.what, got)
			}
			time.Sleep(nameTimeout)
			synctest.Wait()
			n.ask(t.Context(), peer)
			if got := n.of(peer); got != c.want || c.r.asked != c.asked {
				t.Errorf("%s: name %q after %d questions, wanted %q after %d", c.what, got, c.r.asked, c.want, c.asked)
			}
			time.Sleep(nameTTL)
			n.ask(t.Context(), peer)
			n.running.Wait()
			if c.r.asked != c.asked+1 {
				t.Errorf("%s: asked %d times after the time to live, wanted %d", c.what, c.r.asked, c.asked+1)
			}
		})
	}
}

func TestLoopbackIsNeverLookedUp(t *testing.T) {
	r := &answering{}
	n := names{resolver: r, clock: time.Now, known: map[netip.Addr]name{}}
	local := netip.MustParseAddr("127.0.0.1")
	n.ask(t.Context(), local)
	n.running.Wait()
	if got := n.of(local); got != "localhost" || r.asked != 0 {
		t.Errorf("name %q after %d questions, wanted localhost without any", got, r.asked)
	}
}

func TestTheCacheOfNamesIsBounded(t *testing.T) {
	n := names{resolver: &answering{}, clock: time.Now, known: map[netip.Addr]name{}}
	at := netip.MustParseAddr("10.0.0.0")
	for range 2*maxNames + 5 {
		at = at.Next()
		n.ask(t.Context(), at)
		n.running.Wait()
		if len(n.known) > maxNames {
			t.Fatalf("%d names are kept, wanted at most %d", len(n.known), maxNames)
		}
	}
}

var _ Resolver = (*net.Resolver)(nil)
