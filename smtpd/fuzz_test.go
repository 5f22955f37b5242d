package smtpd

import (
	"bytes"
	"context"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
)

// wellFormed is one whole reply: RFC 5321, section 4.2; RFC 2034, section 4.
var wellFormed = regexp.MustCompile(`\A(?:([2345][0-9][0-9])-[ -~]*\r\n)*([2345][0-9][0-9]) [ -~]*\r\n`)

// FuzzCommands plays whole sessions. Whatever the client says: nothing panics, every
// reply is well formed, every mail has its 250 and every receipt its mail, and there are
// no more mails than ends of mails in the input.
func FuzzCommands(f *testing.F) {
	const head = "EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@city.example>\r\n"
	for _, c := range smuggles() {
		f.Add([]byte(head+"DATA\r\n"+c.in+"QUIT\r\n"), uint16(7))
	}
	for _, s := range []string{
		head + "BDAT 3\r\nA\r\nBDAT 2 LAST\r\nB\n" + head + "DATA\r\n.\r\nQUIT\r\n",
		head + "BDAT 3\r\nA\r\x00RSET\r\nBDAT 9\r\nBDAT 1 LAST\r\nBDAT 0 LAST\r\n",
		"HELO x\r\nVRFY a\r\nEXPN a\r\nHELP\r\nNOOP\r\nRSET\r\nAUTH x\r\nSTARTTLS\r\nGET / HTTP/1.1\r\n",
		"EHLO x\r\nMAIL FROM:<\"a>b\"@c.example> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2B\r\n" +
			"RCPT TO:<@r.example:ü@city.example> NOTIFY=NEVER ORCPT=utf-8;ü\r\nDATA\r\n.\r\n",
		head + "RCPT TO:<refused@city.example>\r\nDATA\r\n..\r\n.\r\n" + strings.Repeat("x", 3000) + "\r\nNOOP x\nQUIT\r\n",
	} {
		f.Add([]byte(s), uint16(len(s)/2))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		bag := newBag()
		bag.rcpt = func(r Recipient) error {
			if strings.HasPrefix(r.Address.Local, "refused") {
				return fails(doppelboden.NoSuchMailbox, "no")
			}
			return nil
		}
		heard := session(t, bag, in, int(cut))
		checkReplies(t, bag, in, heard)
	})
}

// A script is a client that says its parts, one with each read, and then hangs up. It
// hears everything.
type script struct {
	parts [][]byte
	heard bytes.Buffer
	deaf  bool          // every write to it fails
	done  chan struct{} // closed by Close
	once  sync.Once
}

func (s *script) Read(b []byte) (int, error) {
	for len(s.parts) > 0 && len(s.parts[0]) == 0 {
		s.parts = s.parts[1:]
	}
	if len(s.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.parts[0])
	s.parts[0] = s.parts[0][n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error) {
	if s.deaf {
		return 0, io.ErrClosedPipe
	}
	return s.heard.Write(b)
}

func (s *script) Close() error                     { s.once.Do(func() { close(s.done) }); return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// session plays in, cut in two, and returns all replies.
func session(t *testing.T, bag *mailbag, in []byte, cut int) []byte {
	s := newServer(t, Options{Intake: bag, MaxSize: 1000})
	cut = min(cut, len(in))
	client := &script{parts: [][]byte{in[:cut], in[cut:]}, done: make(chan struct{})}
	s.take(context.Background(), client, viaPort)
	<-client.done
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	return client.heard.Bytes()
}

// checkReplies checks what a session must keep, whatever came in.
func checkReplies(t *testing.T, bag *mailbag, in, heard []byte) {
	receipts := 0
	for rest := heard; len(rest) > 0; {
		m := wellFormed.FindSubmatch(rest)
		if m == nil {
			t.Fatalf("malformed reply %q to %q", rest, in)
		}
		for line := range bytes.SplitAfterSeq(m[0], []byte("\r\n")) {
			if len(line) > maxReply {
				t.Fatalf("reply line of %d octets to %q", len(line), in)
			}
		}
		if isSecret(string(m[0])) {
			t.Fatalf("reply %q to %q tells a cause", m[0], in)
		}
		if bytes.Contains(m[0], []byte("receipt")) {
			receipts++
		}
		rest = rest[len(m[0]):]
	}
	ends := bytes.Count(in, []byte("\r\n.\r\n")) + bytes.Count(bytes.ToUpper(in), []byte(" LAST"))
	switch {
	case bag.open != 0:
		t.Fatalf("%d transactions were never ended: %q", bag.open, in)
	case len(bag.acked) != len(bag.kept):
		t.Fatalf("kept %d mails, acked %d: %q", len(bag.kept), len(bag.acked), in)
	case receipts != len(bag.kept) || slices.Contains(bag.acked, false):
		t.Fatalf("kept %d mails, gave %d receipts, acked %v: %q", len(bag.kept), receipts, bag.acked, in)
	case len(bag.kept) > ends:
		t.Fatalf("kept %d mails out of %d ends: %q", len(bag.kept), ends, in)
	}
	for _, p := range bag.kept {
		body := p.body.String()
		bare := strings.ReplaceAll(body, "\r\n", "")
		if strings.ContainsAny(bare, "\r\n\x00") || body != "" && !strings.HasSuffix(body, "\r\n") || len(body) > 1000 {
			t.Fatalf("kept the body %q out of %q", body, in)
		}
	}
}

// FuzzPath checks that a path that is taken means the same when we write it ourselves.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"<>", "<a@b.example>", "<@x,@y:a@b.example> SIZE=1", `<"a>\"b"@c.example>`, "<postmaster>",
		"<ü@ü.example>", "<a@[IPv6:::1]>", "<a@b", "a@b", "<@>", "<@a:>", "<\"\"@b>", `<"\`, "<a@b.example>>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p, rest, ok := cutPath(in)
		if !ok {
			return
		}
		if !bytes.HasSuffix(in, rest) || len(rest) >= len(in) {
			t.Fatalf("%q: rest %q is not its end", in, rest)
		}
		again := "<" + p.address.String() + ">"
		if strings.ContainsAny(again, "\r\n\x00") {
			t.Fatalf("%q: address %q", in, again)
		}
		q, more, ok := cutPath([]byte(again))
		if !ok || len(more) > 0 || q.address != p.address {
			t.Fatalf("%q is %+v, written %q and read again %+v, %v, with %q left", in, p.address, again, q.address, ok, more)
		}
	})
}
