package scan

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/test/peer"
)

// drainHTTP reads one request.
func drainHTTP(c net.Conn) bool {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

// say answers a request with text.
func say(kind, text string) func(*fakeConn) {
	return func(c *fakeConn) {
		if drain(kind, c) {
			io.WriteString(c, text)
		}
	}
}

// body is a response of HTTP.
func body(status int, text string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", status, len(text), text)
}

const cleanAnswer = `{"score":0.5,"required_score":15,"action":"no action","symbols":{}}`

// waitForEnd waits until the other side ends the connection.
func waitForEnd(c net.Conn) { io.Copy(io.Discard, c) }

// faults are things that a scanner may do instead of answering.
var faults = []struct {
	name string
	kind string
	do   func(c *fakeConn)
}{
	{"closes at once", Rspamd, func(*fakeConn) {}},
	{"closes at once", ClamAV, func(*fakeConn) {}},
	{"hangs before it reads", Rspamd, func(c *fakeConn) { <-c.over }},
	{"hangs before it reads", ClamAV, func(c *fakeConn) { <-c.over }},
	{"hangs after the mail", Rspamd, func(c *fakeConn) { drain(Rspamd, c); waitForEnd(c) }},
	{"hangs after the mail", ClamAV, func(c *fakeConn) { drain(ClamAV, c); waitForEnd(c) }},
	{"ends after the mail", Rspamd, say(Rspamd, "")},
	{"ends after the mail", ClamAV, say(ClamAV, "")},
	{"half an answer", Rspamd, say(Rspamd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"+cleanAnswer)},
	{"half a header", Rspamd, say(Rspamd, "HTTP/1.1 200 OK\r\nContent-Le")},
	{"half of the JSON", Rspamd, say(Rspamd, body(200, cleanAnswer[:30]))},
	{"half an answer", ClamAV, say(ClamAV, "stream: OK")},
	{"garbage", Rspamd, say(Rspamd, strings.Repeat("\x00\xff\x1b[2J", 100))},
	{"garbage", ClamAV, say(ClamAV, strings.Repeat("\xff\x1b[2J", 100)+"\x00")},
	{"no JSON", Rspamd, say(Rspamd, body(200, "OK"))},
	{"JSON of another kind", Rspamd, say(Rspamd, body(200, `{"action":"no action"}`))},
	{"an action that nobody knows", Rspamd, say(Rspamd, body(200, `{"score":1,"action":"dance"}`))},
	{"no action at all", Rspamd, say(Rspamd, body(200, `{"score":1}`))},
	{"status 500", Rspamd, say(Rspamd, body(500, cleanAnswer))},
	{"status 404 with a clean answer", Rspamd, say(Rspamd, body(404, cleanAnswer))},
	{"status 200 and an error", Rspamd, say(Rspamd, body(200, `{"error":"no memory"}`))},
	{"an error", ClamAV, say(ClamAV, "stream: Can't open file or directory ERROR\x00")},
	{"OK of something else", ClamAV, say(ClamAV, "PONG\x00")},
	{"found nothing with a name", ClamAV, say(ClamAV, "stream:  FOUND\x00")},
	{"an endless answer", Rspamd, func(c *fakeConn) {
		if drain(Rspamd, c) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n{\"score\":1,\"action\":\"")
			endless(c)
		}
	}},
	{"an endless header", Rspamd, func(c *fakeConn) {
		if drain(Rspamd, c) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
			endless(c)
		}
	}},
	{"an endless answer", ClamAV, func(c *fakeConn) {
		if drain(ClamAV, c) {
			endless(c)
		}
	}},
	{"one byte a moment", ClamAV, func(c *fakeConn) {
		if drain(ClamAV, c) {
			slowly(c, "stream: OK"+strings.Repeat(" ", 1000)+"\x00")
		}
	}},
	{"one byte a moment", Rspamd, func(c *fakeConn) {
		if drain(Rspamd, c) {
			slowly(c, body(200, cleanAnswer+strings.Repeat(" ", 1000)))
		}
	}},
	{"an answer before the mail", ClamAV, func(c *fakeConn) { io.WriteString(c, "stream: OK\x00") }},
	{"an answer before the mail", Rspamd, func(c *fakeConn) { io.WriteString(c, body(200, cleanAnswer)) }},
	{"a reset", ClamAV, func(c *fakeConn) { c.SetLinger(0) }},
	{"a reset", Rspamd, func(c *fakeConn) { c.SetLinger(0) }},
}

// endless writes until the other side has enough.
func endless(c net.Conn) {
	for block := bytes.Repeat([]byte("a"), 64<<10); ; {
		if _, err := c.Write(block); err != nil {
			return
		}
	}
}

// slowly writes a byte every ten milliseconds.
func slowly(c net.Conn, text string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range len(text) {
		<-tick.C
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
	}
}

func TestWhateverAScannerDoesInsteadOfAnsweringAMailIsUnscanned(t *testing.T) {
	const deadline = 300 * time.Millisecond
	text := plainMail + strings.Repeat("0123456789abcdef\r\n", 1<<20/18*8) // more than sockets buffer
	for _, f := range faults {
		t.Run(f.kind+" "+f.name, func(t *testing.T) {
			t.Parallel()
			server := newFake(t, f.do)
			p := planOf(f.kind, server.url(f.kind))
			p.Deadline = deadline
			s, _ := newStation(t, p)
			// Who hangs does so for ever, and who is slow ends with a clean answer.
			r := s.Scan(t.Context(), s.Plan(tenant), mailText(text), false)
			if r.State != doppelboden.Unscanned {
				t.Errorf("result %v, want unscanned", r.State)
			}
			if r.Trouble == "" || r.Scanner != f.kind {
				t.Errorf("trouble %q of %q, want it named", r.Trouble, r.Scanner)
			}
		})
	}
}

func TestAScannerThatNobodyListensForIsUnscanned(t *testing.T) {
	for _, p := range []Plan{{Rspamd: []string{"http://127.0.0.1:1"}}, {ClamAV: []string{"tcp://127.0.0.1:1"}}, {ClamAV: []string{"unix:///nonexistent/clamd.ctl"}}} {
		s, _ := newStation(t, p)
		if r := s.Scan(t.Context(), s.Plan(tenant), mailText(plainMail), false); r.State != doppelboden.Unscanned {
			t.Errorf("plan %+v: %v, want unscanned", p, r.State)
		}
	}
}

func TestAnAnswerWithoutEndNeedsNoMoreMemoryThanItsLimit(t *testing.T) {
	server := newFake(t, func(c *fakeConn) {
		if drain(Rspamd, c) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			endless(c)
		}
	})
	s, _ := newStation(t, planOf(Rspamd, server.url(Rspamd)))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := s.Scan(t.Context(), s.Plan(tenant), mailText(plainMail), false)
	runtime.ReadMemStats(&after)
	if !strings.Contains(r.Trouble, "longer than") {
		t.Errorf("trouble %q, want that the answer is too long", r.Trouble)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 16*maxRspamdReply {
		t.Errorf("%d bytes were allocated for an answer of at most %d", used, maxRspamdReply)
	}
}

func TestABigMailIsStreamedAndNeverHeldInMemory(t *testing.T) {
	const size = 50 << 20
	for _, kind := range []string{Rspamd, ClamAV} {
		answer := body(200, cleanAnswer)
		if kind == ClamAV {
			answer = "stream: OK\x00"
		}
		server := newFake(t, say(kind, answer))
		s, _ := newStation(t, planOf(kind, server.url(kind)))
		m := mailText("")
		m.Size = size
		m.Open = func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(zeros{}, size)), nil }
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := s.Scan(t.Context(), s.Plan(tenant), m, false)
		runtime.ReadMemStats(&after)
		if r.State != doppelboden.Clean {
			t.Errorf("%s: %v (%s), want clean", kind, r.State, r.Trouble)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
			t.Errorf("%s: %d bytes were allocated for a mail of %d", kind, used, size)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAMailThatCannotBeReadSaysNothingOfTheScanner(t *testing.T) {
	broken := errors.New("damage")
	for _, kind := range []string{Rspamd, ClamAV} {
		server := newFake(t, func(c *fakeConn) { drain(kind, c) })
		s, _ := newStation(t, planOf(kind, server.url(kind)))
		for range 2 * breakAfter {
			m := mailText(plainMail)
			m.Open = func() (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader("From: a\r\n"), iotestErr{broken})), nil
			}
			if r := s.Scan(t.Context(), s.Plan(tenant), m, false); r.State != doppelboden.Unscanned || !strings.Contains(r.Trouble, "damage") {
				t.Errorf("%s: %v, trouble %q; want unscanned because of damage", kind, r.State, r.Trouble)
			}
		}
		if st := s.Status()[0]; !st.Up {
			t.Errorf("%s counts as dead after mails that could not be read", kind)
		}
	}
}

type iotestErr struct{ err error }

func (e iotestErr) Read([]byte) (int, error) { return 0, e.err }

func TestADeadScannerCostsNothingAndIsFoundAgain(t *testing.T) {
	for _, kind := range []string{Rspamd, ClamAV} {
		answer := body(200, cleanAnswer)
		if kind == ClamAV {
			answer = "stream: OK\x00"
		}
		addr, err := peer.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		dead := newFakeAt(t, addr, func(c *fakeConn) { waitForEnd(c) })
		p := planOf(kind, dead.url(kind))
		p.Deadline = 100 * time.Millisecond
		s, back := newStation(t, p)
		for range breakAfter {
			s.Scan(t.Context(), s.Plan(tenant), mailText(plainMail), false)
		}
		if st := s.Status()[0]; st.Up || st.Trouble == "" {
			t.Fatalf("%s after %d mails without an answer: %+v, want it down", kind, breakAfter, st)
		}
		dead.caughtUp(t)
		asked := dead.conns.Load()
		for range 1000 {
			if r := s.Scan(t.Context(), s.Plan(tenant), mailText(plainMail), false); r.State != doppelboden.Unscanned {
				t.Fatalf("%s: %v, want unscanned", kind, r.State)
			}
		}
		if now := dead.conns.Load(); now != asked {
			t.Errorf("%s: a dead scanner was asked %d times", kind, now-asked)
		}
		// It comes back where it was.
		dead.Close()
		newFakeAt(t, addr, say(kind, answer))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		select {
		case <-back:
		case <-time.After(time.Minute):
			t.Fatalf("%s was not found again", kind)
		}
		if r := s.Scan(t.Context(), s.Plan(tenant), mailText(plainMail), false); r.State != doppelboden.Clean {
			t.Errorf("%s after its return: %v (%s), want clean", kind, r.State, r.Trouble)
		}
		cancel()
		<-done
	}
}

func TestOneMailThatNoScannerGetsThroughDoesNotStopOthers(t *testing.T) {
	server := newFake(t, func(c *fakeConn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		text, _ := io.ReadAll(r.Body)
		if bytes.Contains(text, []byte("bomb")) {
			waitForEnd(c)
			return
		}
		io.WriteString(c, body(200, cleanAnswer))
	})
	p := planOf(Rspamd, server.url(Rspamd))
	p.Deadline = 200 * time.Millisecond
	s, _ := newStation(t, p)
	for range 2 * breakAfter {
		if r := s.Scan(t.Context(), s.Plan(tenant), mailText("Subject: bomb\r\n\r\n"), true); r.State != doppelboden.Unscanned {
			t.Errorf("bomb: %v, want unscanned", r.State)
		}
	}
	patient := *s.Plan(tenant)
	patient.Deadline = time.Minute // on a busy machine an answer may take longer than the bombs have
	if r := s.Scan(t.Context(), &patient, mailText(plainMail), false); r.State != doppelboden.Clean {
		t.Errorf("a mail after bombs that were tried again: %v (%s), want clean", r.State, r.Trouble)
	}
}

func TestOfTwoScannersTheOneThatWorksIsAsked(t *testing.T) {
	server := newFake(t, say(ClamAV, "stream: OK\x00"))
	s, _ := newStation(t, Plan{ClamAV: []string{"tcp://127.0.0.1:1", server.url(ClamAV)}})
	for range 10 {
		if r := s.Scan(t.Context(), s.Plan(tenant), mailText(plainMail), false); r.State != doppelboden.Clean {
			t.Errorf("%v (%s), want clean from the second", r.State, r.Trouble)
		}
	}
	if !s.works(s.Plan(tenant)) {
		t.Error("the plan counts as dead while one of its scanners works")
	}
}

func TestAKeptConnectionIsUsedAgainAndOneThatEndedIsReplaced(t *testing.T) {
	answers := 0
	server := newFake(t, func(c *fakeConn) {
		r := bufio.NewReader(c)
		for range 3 { // then it ends the connection while it is idle
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			answers++
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(cleanAnswer), cleanAnswer)
		}
	})
	s, _ := newStation(t, planOf(Rspamd, server.url(Rspamd)))
	for i := range 9 {
		if r := s.Scan(t.Context(), s.Plan(tenant), mailText(plainMail), false); r.State != doppelboden.Clean {
			t.Fatalf("mail %d: %v (%s), want clean", i, r.State, r.Trouble)
		}
	}
	if got := server.conns.Load(); got != 3 {
		t.Errorf("9 mails used %d connections of 3 mails each, want 3", got)
	}
}
