package scan

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"
)

// harmlessText fails for what must not reach a log, a header or a terminal.
func harmlessText(t *testing.T, what, s string) {
	t.Helper()
	if len(s) > 4*mostSaid || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) }) {
		t.Errorf("%s is not harmless: %q", what, s)
	}
}

func FuzzClamReply(f *testing.F) {
	for _, seed := range []string{"stream: OK\x00", "stream: Eicar-Test-Signature FOUND\x00", "INSTREAM size limit exceeded. ERROR\x00",
		"stream: OK", "1: stream: OK\x00", "stream: \x1b[2J\r\nX: FOUND\x00", "stream:  FOUND\x00", "UNKNOWN COMMAND\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		reply, err := readReply(bytes.NewReader(in))
		if err != nil {
			harmlessText(t, "error", err.Error())
			return
		}
		r, err := parseClam(reply)
		if err != nil {
			harmlessText(t, "error", err.Error())
			return
		}
		switch r.state {
		case clean:
			if string(reply) != "stream: OK" {
				t.Errorf("%q is clean", reply)
			}
		case malware:
			harmlessText(t, "name", r.name)
			if r.name == "" || !bytes.HasSuffix(reply, []byte(" FOUND")) {
				t.Errorf("%q is malware %q", reply, r.name)
			}
		default:
			t.Errorf("%q has no state and no error", reply)
		}
	})
}

func FuzzRspamdAnswer(f *testing.F) {
	for _, seed := range []string{
		body(200, cleanAnswer), body(200, `{"score":15.0,"required_score":15.0,"action":"reject","symbols":{"GTUBE":{"score":0.0}}}`),
		body(200, `{"score":1e400,"action":"reject"}`), body(200, `{"score":7,"action":"add header","symbols":{"A\r\nX: y":{"score":1},"B":{"score":-3}}}`),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"sco\r\n0\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 413 X\r\n\r\n", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		conn := &rspamdConn{Conn: scripted{}, limit: io.LimitedReader{R: bytes.NewReader(in), N: maxRspamdReply}}
		conn.r = bufio.NewReader(&conn.limit)
		status, text, _, err := conn.answer()
		if err != nil || status != 200 {
			return
		}
		r, err := parseRspamd(text)
		if err != nil {
			return
		}
		if r.state != clean && r.state != spam {
			t.Errorf("%q: state %v without an error", text, r.state)
		}
		if r.state == clean && r.action != "no action" && r.action != "greylist" {
			t.Errorf("%q is clean with action %q", text, r.action)
		}
		for _, line := range bytes.SplitAfter(marks("mx.example", &Plan{}, Result{rspamd: r}), []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsAny(bytes.TrimSuffix(line, []byte("\r\n")), "\r\n\x00") {
				t.Errorf("header line %q", line)
			}
			if len(line) > 0 && line[0] != '\t' && !IsMark(line) {
				t.Errorf("a line that is no mark: %q", line)
			}
		}
	})
}

// scripted is a connection that only has deadlines.
type scripted struct{ net.Conn }

func (scripted) SetReadDeadline(time.Time) error { return nil }

func FuzzRemark(f *testing.F) {
	f.Add([]byte("X-Spam-Flag: YES\r\nX-Spam-Status: Yes\r\n\ttests=[A]\r\nReceived: from a\r\n\tby b\r\n"))
	f.Add([]byte("x-virus-scanned : no\r\n x\r\n"))
	f.Fuzz(func(t *testing.T, prefix []byte) {
		m := []byte("X-Spam-Flag: YES\r\n")
		once := remark(prefix, m)
		if again := remark(once, m); !bytes.Equal(once, again) {
			t.Errorf("marks pile up: %q, then %q", once, again)
		}
	})
}
