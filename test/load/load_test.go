package load

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"doppelboden/test/peer"
)

// boxes are mailboxes of a city.
var boxes = []string{"a@stadt.example", "b@stadt.example", "c@stadt.example", "d@stadt.example", "e@stadt.example"}

func receiver(t *testing.T, lmtp bool) *Receiver {
	t.Helper()
	r := &Receiver{LMTP: lmtp}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}

func TestSizesAreThoseOfACity(t *testing.T) {
	c := NewCorpus(CorpusOptions{Seed: 7, Recipients: boxes})
	var sizes []int
	sum, big := 0, 0
	const n = 4000
	for i := range n {
		size := len(c.Mail(i).Data)
		sizes, sum = append(sizes, size), sum+size
		if size >= bigFrom {
			big++
		}
	}
	slices.Sort(sizes)
	if m := sizes[n/2]; m < 17_000 || m > 24_000 {
		t.Errorf("wanted a median of about 20 KB, got %d", m)
	}
	if mean := sum / n; mean < 70_000 || mean > 110_000 {
		t.Errorf("wanted a mean of 75 to 100 KB, got %d", mean)
	}
	if big == 0 || sizes[n-1] > 50_000_000 {
		t.Errorf("wanted some mails from 20 MB to below 50 MB, got %d, the largest with %d", big, sizes[n-1])
	}
}

func TestTheSameSeedMakesTheSameMails(t *testing.T) {
	one := NewCorpus(CorpusOptions{Seed: 3, Recipients: boxes})
	two := NewCorpus(CorpusOptions{Seed: 3, Recipients: boxes})
	other := NewCorpus(CorpusOptions{Seed: 4, Recipients: boxes})
	for i := range 50 {
		a, b, c := one.Mail(i), two.Mail(i), other.Mail(i)
		if a.From != b.From || !slices.Equal(a.To, b.To) || !bytes.Equal(unsigned(a), unsigned(b)) {
			t.Errorf("mail %d: wanted the same from the same seed", i)
		}
		if bytes.Equal(unsigned(a), unsigned(c)) {
			t.Errorf("mail %d: wanted another from another seed", i)
		}
	}
}

// unsigned returns the mail from its From on, below the signature.
func unsigned(m *Mail) []byte {
	return m.Data[bytes.Index(m.Data, []byte("\r\nFrom: ")):]
}

func TestMailsAreWellFormedAndHalfOfThemSigned(t *testing.T) {
	c := NewCorpus(CorpusOptions{Seed: 1, Recipients: boxes, Largest: 300_000})
	signed, several, utf8, dots := 0, 0, 0, 0
	const n = 300
	for i := range n {
		m := c.Mail(i)
		if _, err := mail.ReadMessage(bytes.NewReader(m.Data)); err != nil {
			t.Fatalf("mail %d: %v", i, err)
		}
		if bytes.Count(m.Data, []byte("\n")) != bytes.Count(m.Data, []byte("\r\n")) || bytes.Count(m.Data, []byte("\r")) != bytes.Count(m.Data, []byte("\r\n")) {
			t.Errorf("mail %d: wanted CRLF alone as line end", i)
		}
		for _, line := range bytes.Split(m.Data, []byte("\r\n")) {
			if len(line) > 998 { // RFC 5321, section 4.5.3.1.6
				t.Errorf("mail %d: line of %d octets", i, len(line))
			}
		}
		proofs, err := dkim.VerifyWithOptions(bytes.NewReader(m.Data), &dkim.VerifyOptions{LookupTXT: c.LookupTXT})
		if err != nil {
			t.Fatalf("mail %d: verify: %v", i, err)
		}
		for _, p := range proofs {
			signed++
			if p.Err != nil {
				t.Errorf("mail %d: signature: %v", i, p.Err)
			}
		}
		several += min(1, len(m.To)-1)
		if m.UTF8() {
			utf8++
		}
		if bytes.Contains(m.Data, []byte("\r\n.\r\n")) {
			dots++
		}
	}
	if signed != n/2 {
		t.Errorf("wanted %d signed mails, got %d", n/2, signed)
	}
	if several == 0 || utf8 == 0 || dots == 0 {
		t.Errorf("wanted several recipients, UTF-8 and lone dots in some mails, got %d, %d, %d", several, utf8, dots)
	}
}

func TestWhatWasAckedArrivesByteForByte(t *testing.T) {
	for _, noPipelining := range []bool{false, true} {
		r := receiver(t, false)
		c := NewCorpus(CorpusOptions{Seed: 9, Recipients: boxes, Largest: 2_000_000})
		report, err := Run(t.Context(), Options{Addr: r.Addr, Source: c, Messages: 200, Connections: 4, NoPipelining: noPipelining})
		if err != nil {
			t.Fatal(err)
		}
		arrived := map[string]Arrival{}
		for _, a := range r.Arrivals() {
			arrived[a.ID] = a
		}
		if got := len(report.Acked()); got != 200 || len(arrived) != 200 {
			t.Errorf("wanted 200 acked and arrived, got %d and %d", got, len(arrived))
		}
		for _, rec := range report.Records {
			if a := arrived[rec.ID]; a.Sum != rec.Sum || !slices.Equal(a.To, rec.To) {
				t.Errorf("mail %s of %d octets arrived changed: to %v, wanted %v", rec.ID, rec.Size, a.To, rec.To)
			}
			if rec.Latency <= 0 || rec.Dot.IsZero() {
				t.Errorf("mail %s: wanted a latency, got %v from %v", rec.ID, rec.Latency, rec.Dot)
			}
		}
		if p50, p99 := report.Latency(0.5), report.Latency(0.99); p50 <= 0 || p99 < p50 {
			t.Errorf("wanted 0 < p50 <= p99, got %v and %v", p50, p99)
		}
	}
}

func TestTheReceiverSpeaksLMTPAndFindsThePrefix(t *testing.T) {
	peer.Need(t, peer.SwaksProgram)
	r := receiver(t, true)
	data := "Received: by somebody\nX-Load-Id: 5-1\nSubject: a\n\n.a\n"
	if out, err := (peer.Swaks{Addr: r.Addr, LMTP: true, From: "x@y.example", To: boxes[:2], Data: []byte(data)}).Run(t.Context()); err != nil {
		t.Fatalf("send: %v\n%s", err, out)
	}
	a := r.Arrivals()
	want := NewMail("5-1", "", nil, []byte("Subject: a\r\n\r\n.a\r\n"))
	if len(a) != 1 || a[0].ID != "5-1" || string(a[0].Prefix) != "Received: by somebody\r\n" || a[0].Sum != want.Sum || !slices.Equal(a[0].To, boxes[:2]) {
		t.Errorf("wanted mail 5-1 to both with its prefix, got %+v", a)
	}
}

func TestTheReceiverTakesFromSMTPSource(t *testing.T) {
	peer.Need(t, peer.SourceProgram)
	r := receiver(t, false)
	src := peer.Source{Addr: r.Addr, Sessions: 3, Messages: 30, Size: 4096, From: "x@y.example", To: "u@stadt.example", Number: true}
	if _, err := src.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, a := range r.Arrivals() {
		seen[a.To[0]] = true
	}
	if len(seen) != 30 {
		t.Errorf("wanted 30 recipients, each with a number, got %v", seen)
	}
}

// refusing is a server that answers as told and closes; answers are by verb.
func refusing(t *testing.T, answers map[string]string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			scripted(c, answers)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// scripted speaks with one client. The answer "!" closes the connection.
func scripted(c net.Conn, answers map[string]string) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	c.Write([]byte("220 x\r\n"))
	buf, inData := []byte{}, false
	for {
		at := bytes.Index(buf, []byte("\r\n"))
		if at < 0 {
			chunk := make([]byte, 4096)
			n, err := c.Read(chunk)
			if err != nil {
				return
			}
			buf = append(buf, chunk[:n]...)
			continue
		}
		line := string(buf[:at])
		buf = buf[at+2:]
		verb := strings.ToUpper(strings.SplitN(line, " ", 2)[0])
		if inData && line != "." {
			continue
		}
		inData = false
		answer, ok := answers[verb]
		if !ok {
			answer = "250 ok"
			if verb == "DATA" {
				answer = "354 go"
			}
		}
		if answer == "!" {
			return
		}
		inData = strings.HasPrefix(answer, "354")
		c.Write([]byte(answer + "\r\n"))
	}
}

func TestEveryAnswerIsRecordedWithItsPhase(t *testing.T) {
	for _, tc := range []struct {
		answers map[string]string
		phase   Phase
		code    int
		acked   bool
		doubt   bool
		broken  bool
	}{
		{map[string]string{"MAIL": "451 later"}, AtMail, 451, false, false, false},
		{map[string]string{"RCPT": "550 who"}, AtRcpt, 550, false, false, false},
		{map[string]string{"DATA": "452 full"}, AtData, 452, false, false, false},
		{map[string]string{".": "554 no"}, AtDot, 554, false, false, false},
		{map[string]string{".": "250 kept as 0ABC-DEFG-HJKM-NPQR-STVW"}, AtDot, 250, true, false, false},
		{map[string]string{".": "!"}, AtDot, 0, false, true, true},
		{map[string]string{"DATA": "!"}, AtMail, 0, false, false, true},
	} {
		o := Options{Addr: refusing(t, tc.answers), Source: NewFixed("x", "a@b.example", boxes, 500), Messages: 1, Connections: 1}
		report, err := Run(t.Context(), o)
		if (err != nil) != tc.broken {
			t.Errorf("%v: wanted an error: %v, got %v", tc.answers, tc.broken, err)
		}
		if len(report.Records) != 1 {
			t.Errorf("%v: wanted one record, got %+v", tc.answers, report.Records)
			continue
		}
		r := report.Records[0]
		if r.Phase != tc.phase || r.Code != tc.code || r.Acked() != tc.acked || r.InDoubt() != tc.doubt {
			t.Errorf("%v: wanted %s %d, acked %v, in doubt %v, got %+v", tc.answers, tc.phase, tc.code, tc.acked, tc.doubt, r)
		}
		if want := map[bool]string{true: "0ABC-DEFG-HJKM-NPQR-STVW"}[tc.acked]; r.Receipt() != want {
			t.Errorf("%v: wanted receipt %q, got %q", tc.answers, want, r.Receipt())
		}
	}
}

func TestARunWithReconnectOutlivesTheServer(t *testing.T) {
	addr, err := peer.FreePort() // nobody takes it while the server is down
	if err != nil {
		t.Fatal(err)
	}
	r := &Receiver{Addr: addr}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	result := make(chan *Report, 1)
	go func() {
		report, err := Run(ctx, Options{Addr: r.Addr, Source: NewFixed("x", "a@b.example", boxes, 500), Messages: 5000, Connections: 3, Reconnect: true})
		if err != nil {
			t.Errorf("wanted no error, got %v", err)
		}
		result <- report
	}()
	if err := r.WaitFor(ctx, 100); err != nil {
		t.Fatal(err)
	}
	r.Stop()
	again := &Receiver{Addr: addr}
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Stop)
	report := <-result
	arrived := map[string]bool{}
	for _, a := range slices.Concat(r.Arrivals(), again.Arrivals()) {
		arrived[a.ID] = true
	}
	if len(report.Records) != 5000 {
		t.Errorf("wanted 5000 records, got %d", len(report.Records))
	}
	for _, rec := range report.Records {
		if rec.Acked() && !arrived[rec.ID] {
			t.Errorf("mail %s was acked and did not arrive", rec.ID)
		}
		if !rec.Acked() && !rec.InDoubt() && arrived[rec.ID] {
			t.Errorf("mail %s arrived, and its record says it can't have: %+v", rec.ID, rec)
		}
	}
}

func TestARunMustBeBounded(t *testing.T) {
	_, err := Run(t.Context(), Options{Addr: "127.0.0.1:1", Source: NewFixed("x", "", boxes, 500)})
	if err == nil {
		t.Error("without Messages and Duration: wanted an error, got none")
	}
	start := time.Now()
	_, err = Run(t.Context(), Options{Addr: "127.0.0.1:1", Source: NewFixed("x", "", boxes, 500), Duration: 100 * time.Millisecond, Reconnect: true})
	if err != nil || time.Since(start) > 30*time.Second {
		t.Errorf("with a Duration and no server: wanted an end after it without error, got %v after %v", err, time.Since(start))
	}
}

func TestARunWithoutReconnectSaysThatTheServerIsGone(t *testing.T) {
	_, err := Run(t.Context(), Options{Addr: "127.0.0.1:1", Source: NewFixed("x", "", boxes, 500), Messages: 1})
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("wanted a network error, got %v", err)
	}
}
