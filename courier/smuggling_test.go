package courier_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/courier"
)

// TestNothingIsSmuggledOutwards sends bodies with every combination of line ends around
// a dot, and looks at the very octets that leave. Whatever a body holds, the only end
// of a mail on the wire must be its last five octets, every LF must follow a CR, every
// CR must precede a LF, and there is no NUL.
func TestNothingIsSmuggledOutwards(t *testing.T) {
	ends := []string{"", "\r", "\n", "\r\n", "\r\r\n", "\n\r", "\x00\r\n", "\r\x00\n", "\r\n\x00", "\r\n ", "\v", "\x85", "\u2028"}
	var texts []string
	for _, before := range ends {
		for _, after := range ends {
			for _, dot := range []string{".", "..", ""} {
				texts = append(texts, "Subject: x\r\n\r\nhello"+before+dot+after+"MAIL FROM:<evil@x.example>"+after+"RCPT TO:<b@x.example>"+after+"DATA"+after)
			}
		}
	}
	texts = append(texts, "\r\n.\rX", "x\r\n.\rX\r\n.\r\n", "x\r\r\n.\r\n", ".\r\n", "\n.\n", ".", "\r\n.", "\r\n.\r", "x\r\n.\r\n.\r\n")

	wire := make(chan []byte, 1)
	s := newRawServer(t, func(_ int, c net.Conn) { record(c, wire) })
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.addr())
	sent, refused := 0, 0
	for _, text := range texts {
		j := store.message("m", text, "clerk@city.example")
		out := a.Hand(context.Background(), j)
		switch {
		case out[0].Verdict == doppelboden.Took:
			sent++
			if err := careful(<-wire, string(j.Message.Prefix)+text); err != nil {
				t.Errorf("%q: %v", text, err)
			}
			if strings.Contains(text, "\x00") || bareCR(text) {
				t.Errorf("%q was handed over", text)
			}
		case brief(out[0]) == "0 refused about message at data 5.6.0" && (strings.Contains(text, "\x00") || bareCR(text)):
			refused++
		default:
			t.Errorf("%q: got %s: %s", text, brief(out[0]), out[0].Reply.Text)
		}
	}
	if sent < 50 || refused < 50 {
		t.Errorf("of %d bodies %d were sent and %d refused; both paths must be walked", len(texts), sent, refused)
	}
}

// bareCR reports whether s holds a CR without its LF.
func bareCR(s string) bool {
	return strings.Count(s, "\r") != strings.Count(s, "\r\n")
}

// record is a server that gives every mail to wire as it came, from after 354 to the
// first CRLF . CRLF and whatever came with it.
func record(c net.Conn, wire chan<- []byte) {
	io.WriteString(c, "220 raw\r\n")
	b := make([]byte, 1<<20)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(b[:n], []byte("DATA\r\n")) {
			io.WriteString(c, "250-raw\r\n250 PIPELINING\r\n")
			continue
		}
		io.WriteString(c, "250 ok\r\n250 ok\r\n354 go\r\n")
		for n = 0; !bytes.Contains(b[:n], []byte("\r\n.\r\n")) && !bytes.HasPrefix(b[:n], []byte(".\r\n")); {
			more, err := c.Read(b[n:])
			if err != nil {
				return
			}
			n += more
		}
		wire <- bytes.Clone(b[:n])
		io.WriteString(c, "250 ok\r\n")
	}
}

// careful checks the octets of one mail against its text.
func careful(wire []byte, text string) error {
	w := string(wire)
	if i := strings.Index("\r\n"+w, "\r\n.\r\n"); i != len(w)-3 {
		return fmt.Errorf("the mail ends at octet %d of %d: %q", i, len(w), w)
	}
	if strings.Contains(w, "\x00") || bareCR(w) || strings.Count(w, "\n") != strings.Count(w, "\r\n") {
		return fmt.Errorf("odd octets: %q", w)
	}
	// A server that takes LF for a line end must see the same mail.
	lines := strings.Split(strings.TrimSuffix(w, "\r\n.\r\n"), "\r\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			if !strings.HasPrefix(line, "..") {
				return fmt.Errorf("line %d begins with one dot: %q", i, line)
			}
			lines[i] = line[1:]
		}
	}
	got := strings.Join(lines, "\n")
	if want := strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"); got != want {
		return fmt.Errorf("text\n got %q\nwant %q", got, want)
	}
	return nil
}
