package smtpd

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
)

// evil is what a smuggler wants to be read as a command.
const evil = "MAIL FROM:<evil@smuggler.example>\r\n"

// A smuggle is one line of the matrix: what the client sends after 354 up to and with
// the true end of its mail, and what comes of it.
type smuggle struct {
	name string
	in   string
	body string // what is kept, when it is
	bad  string // what the refusal says, when it is refused
}

// smuggles returns the matrix: every pair of line ends around a lone dot, and the
// special cases. The true end of each is its first CRLF.CRLF, which is its last octets.
func smuggles() []smuggle {
	ends := []struct{ name, octets string }{
		{"CRLF", "\r\n"}, {"LF", "\n"}, {"CR", "\r"}, {"CRCRLF", "\r\r\n"}, {"none", ""},
	}
	const cr, nul = "CR without LF", "NUL"
	var all []smuggle
	for _, before := range ends {
		for _, after := range ends {
			in := "A" + before.octets + "." + after.octets + evil + "\r\n.\r\n"
			c := smuggle{name: before.name + " . " + after.name, in: in}
			switch {
			case strings.HasSuffix(before.octets, "\r\n") && after.octets == "\r\n":
				// This is an end. What is behind it is a command, and rightly so.
				c.in = "A" + before.octets + ".\r\n"
			}
			switch {
			case strings.Contains(before.octets+after.octets, "\r\r"), before.octets == "\r", after.octets == "\r":
				c.bad = cr
			case before.octets == "\r\n" && after.octets == "\r\n":
				c.body = "A\r\n"
			case before.octets == "\r\n":
				c.body = "A\r\n" + normal(after.octets) + evil + "\r\n"
			default:
				c.body = "A" + normal(before.octets) + "." + normal(after.octets) + evil + "\r\n"
			}
			all = append(all, c)
		}
	}
	return append(all,
		smuggle{name: "CRLF . CR X", in: "A\r\n.\rX\r\n.\r\n", bad: cr},
		smuggle{name: "CRLF . CR NUL LF", in: "A\r\n.\r\x00\n" + evil + ".\r\n", bad: nul},
		smuggle{name: "LF CR . CRLF", in: "A\n\r.\r\n" + evil + ".\r\n", bad: cr},
		smuggle{name: "CRLF NUL . CRLF", in: "A\r\n\x00.\r\n" + evil + ".\r\n", bad: nul},
		smuggle{name: "CRLF . NUL CRLF", in: "A\r\n.\x00\r\n" + evil + ".\r\n", bad: nul},
		smuggle{name: "CR within a line", in: "A\rB\r\n.\r\n", bad: cr},
		smuggle{name: "LF within a line", in: "A\nB\r\n.\r\n", body: "A\r\nB\r\n"},
		smuggle{name: "NUL within a line", in: "A\x00B\r\n.\r\n", bad: nul},
		smuggle{name: "CR at the very end", in: "A\r\r\n.\r\n", bad: cr},
		smuggle{name: "leading dots", in: "..A\r\n...B\r\n.C\r\n..\r\n.\r\n", body: ".A\r\n..B\r\nC\r\n.\r\n"},
		smuggle{name: "dots after LF are content", in: "A\n..B\n.C\r\n.\r\n", body: "A\r\n..B\r\n.C\r\n"},
		smuggle{name: "no body", in: ".\r\n", body: ""},
		smuggle{name: "one empty line", in: "\r\n.\r\n", body: "\r\n"},
		smuggle{name: "LF first", in: "\n.\r\n" + evil + ".\r\n", body: "\r\n.\r\n" + evil},
		smuggle{name: "dot LF first", in: ".\n" + evil + ".\r\n", body: "\r\n" + evil},
		smuggle{name: "dot CR first", in: ".\r" + evil + ".\r\n", bad: cr},
		smuggle{name: "LF LF . LF LF", in: "A\n\n.\n\n" + evil + ".\r\n", body: "A\r\n\r\n.\r\n\r\n" + evil},
		smuggle{name: "8 bits", in: "\xff\xfe\x80\r\n.\r\n", body: "\xff\xfe\x80\r\n"},
	)
}

// normal returns a line end as it is kept.
func normal(end string) string {
	if end == "\n" {
		return "\r\n"
	}
	return end
}

// TestNothingInABodyIsReadAsACommand plays the matrix with the octets cut in two at
// every place. After each mail the client says NOOP: one reply to the body and one to
// NOOP, and nothing else, say that both sides agree where the body ended.
func TestNothingInABodyIsReadAsACommand(t *testing.T) {
	for _, c := range smuggles() {
		t.Run(c.name, func(t *testing.T) {
			bag := newBag()
			_, l := overPipes(t, Options{Intake: bag, MaxErrors: 1 << 30, MaxJunk: 1 << 30})
			d := talk(t, l.dial())
			d.ask("EHLO sender.example", "250-")
			for cut := range len(c.in) + 1 {
				d.mail()
				for _, part := range []string{c.in[:cut], c.in[cut:] + "NOOP\r\n"} {
					if part != "" {
						d.say(part)
					}
				}
				checkSmuggle(t, d, bag, c, fmt.Sprintf("cut at %d", cut))
			}
		})
	}
}

// TestNothingInABodyIsReadAsACommandOctetByOctet sends the matrix over TCP, each octet
// in a segment of its own.
func TestNothingInABodyIsReadAsACommandOctetByOctet(t *testing.T) {
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag, MaxErrors: 1 << 30, MaxJunk: 1 << 30})
	d := connect(t, addr)
	if err := d.conn.(*net.TCPConn).SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	d.ask("EHLO sender.example", "250-")
	for _, c := range smuggles() {
		d.mail()
		for i := range len(c.in) {
			d.say(c.in[i : i+1])
		}
		d.say("NOOP\r\n")
		checkSmuggle(t, d, bag, c, c.name+", octet by octet")
	}
}

// checkSmuggle reads the replies to a mail of the matrix and to the NOOP behind it, and
// compares what was kept.
func checkSmuggle(t *testing.T, d *dialogue, bag *mailbag, c smuggle, how string) {
	t.Helper()
	want := "250 2.0.0 Ok: receipt "
	if c.bad != "" {
		want = "550 5.6.0 "
	}
	got := d.hear(want)
	if !strings.Contains(got, c.bad) {
		t.Errorf("%s: reply %q to %q, wanted it to say %q", how, got, c.in, c.bad)
	}
	d.hear("250 2.0.0 Ok\r\n")
	bodies := bag.bodies()
	bag.change(func() { bag.kept = nil })
	switch {
	case c.bad != "" && len(bodies) > 0:
		t.Errorf("%s: %q was kept as %q, wanted none of it", how, c.in, bodies)
	case c.bad == "" && (len(bodies) != 1 || bodies[0] != c.body):
		t.Errorf("%s: %q was kept as %q, wanted %q", how, c.in, bodies, c.body)
	}
}

func TestABareLFIsRefusedWhereTheCityWantsThat(t *testing.T) {
	bag := newBag()
	_, l := overPipes(t, Options{Intake: bag, BareLF: RefuseBareLF})
	d := talk(t, l.dial())
	d.ask("EHLO sender.example", "250-")
	d.mail()
	d.ask("A\nB\r\n.", "550 5.6.0 message contains a LF without CR")
	d.mail()
	d.ask("A\r\nB\r\n.", "250 2.0.0 Ok: receipt")
	if got := bag.bodies(); len(got) != 1 {
		t.Errorf("kept %q, wanted one mail", got)
	}
}

// slowBody is the reference: it reads octet by octet, straight from RFC 5321, section
// 4.5.2, and returns what is kept, what is left behind the end, and whether an end came.
func slowBody(in []byte, dots bool) (body []byte, rest []byte, ended, nul, cr bool) {
	line := true // at the start of a line
	for i := 0; i < len(in); i++ {
		at := in[i:]
		if line && dots {
			if bytes.HasPrefix(at, []byte(".\r\n")) {
				return body, at[3:], true, nul, cr
			}
			if at[0] == '.' {
				line = false
				continue
			}
		}
		line = false
		switch {
		case bytes.HasPrefix(at, []byte("\r\n")):
			body = append(body, "\r\n"...)
			line = true
			i++
		case at[0] == '\n':
			body = append(body, "\r\n"...)
		default:
			nul = nul || at[0] == 0
			cr = cr || at[0] == '\r'
			body = append(body, at[0])
		}
	}
	return body, nil, false, nul, cr
}

// fastBody feeds in to a body in pieces whose sizes come from cuts.
func fastBody(in, cuts []byte, dots bool) (b body, out, rest []byte, ended bool) {
	var kept bytes.Buffer
	b.start(&kept, 1<<40, NormaliseBareLF, !dots)
	var window []byte
	for i := 0; ; i++ {
		n, end := b.take(window)
		window = window[n:]
		if end {
			return b, kept.Bytes(), append(bytes.Clone(window), in...), true
		}
		if len(in) == 0 {
			return b, kept.Bytes(), nil, false
		}
		step := 1
		if len(cuts) > 0 {
			step += int(cuts[i%len(cuts)])
		}
		step = min(step, len(in))
		window = append(bytes.Clone(window), in[:step]...)
		in = in[step:]
	}
}

// FuzzDotReader compares the body reader with the reference, for DATA and for BDAT.
func FuzzDotReader(f *testing.F) {
	for _, c := range smuggles() {
		f.Add([]byte(c.in+"QUIT\r\n"), []byte{0})
		f.Add([]byte(c.in), []byte{2, 0, 5})
	}
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		for _, dots := range []bool{true, false} {
			want, wantRest, wantEnd, nul, cr := slowBody(in, dots)
			b, got, rest, end := fastBody(in, cuts, dots)
			if end != wantEnd || !bytes.Equal(rest, wantRest) {
				t.Fatalf("dots %v, %q: end %v with %q behind it, wanted %v with %q", dots, in, end, rest, wantEnd, wantRest)
			}
			if !end && dots {
				continue // the body never ended, so nothing is asked of it
			}
			if b.nul != nul || (b.cr != b.pairs) != cr {
				t.Fatalf("dots %v, %q: NUL %v, bare CR %v, wanted %v, %v", dots, in, b.nul, b.cr != b.pairs, nul, cr)
			}
			if !nul && !bytes.Equal(got, want) {
				t.Fatalf("dots %v, %q: body %q, wanted %q", dots, in, got, want)
			}
		}
	})
}
