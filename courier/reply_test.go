package courier

import (
	"bufio"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"doppelboden"
)

// read1 reads the first reply of a text, and what is left.
func read1(text string) (doppelboden.Reply, string, error) {
	r := bufio.NewReaderSize(strings.NewReader(text), 2*maxReplyLine)
	rep, err := readReply(r, nil)
	if err != nil {
		return doppelboden.Reply{}, "", err
	}
	left := new(strings.Builder)
	r.WriteTo(left)
	return rep.public(), left.String(), nil
}

func TestRepliesAreReadAsRFC5321HasThem(t *testing.T) {
	for _, c := range []struct {
		in   string
		want doppelboden.Reply
		left string
	}{
		{"250 2.0.0 Ok: queued as 4F2\r\n", doppelboden.Reply{Code: 250, Enhanced: "2.0.0", Text: "2.0.0 Ok: queued as 4F2"}, ""},
		{"250\r\nnext", doppelboden.Reply{Code: 250}, "next"},
		{"250 \r\n", doppelboden.Reply{Code: 250}, ""},
		{"250 ok\nrest", doppelboden.Reply{Code: 250, Text: "ok"}, "rest"},
		{"550-5.1.1 No such user\r\n550-5.1.1 here\r\n550 5.1.1 Bye\r\n", doppelboden.Reply{Code: 550, Enhanced: "5.1.1", Text: "5.1.1 No such user / 5.1.1 here / 5.1.1 Bye"}, ""},
		{"554-gmx.net (mxgmx104) Nemesis ESMTP Service not available\r\n554-No SMTP service\r\n554 IP address is block listed.\r\n",
			doppelboden.Reply{Code: 554, Text: "gmx.net (mxgmx104) Nemesis ESMTP Service not available / No SMTP service / IP address is block listed."}, ""},
		{"550 2.1.1 contradiction\r\n", doppelboden.Reply{Code: 550, Text: "2.1.1 contradiction"}, ""},
		{"550 5.1111.1 no code\r\n", doppelboden.Reply{Code: 550, Text: "5.1111.1 no code"}, ""},
		{"550 5..1 no code\r\n", doppelboden.Reply{Code: 550, Text: "5..1 no code"}, ""},
		{"550 5.7.606\r\n", doppelboden.Reply{Code: 550, Enhanced: "5.7.606", Text: "5.7.606"}, ""},
		{"550 \x1b[31mred\x00\x7f\r\n", doppelboden.Reply{Code: 550, Text: "\ufffd[31mred\ufffd\ufffd"}, ""},
		{"550 a\rb\r\n", doppelboden.Reply{Code: 550, Text: "a\ufffdb"}, ""},
		{"550 \xff\xfe\u202etxt.exe\u2028\u0085\r\n", doppelboden.Reply{Code: 550, Text: "\ufffd\ufffd\ufffdtxt.exe\ufffd\ufffd"}, ""},
		{"550 Postfach für Müller ist voll\r\n", doppelboden.Reply{Code: 550, Text: "Postfach für Müller ist voll"}, ""},
		{"550 " + strings.Repeat("ü", 1000) + "\r\n", doppelboden.Reply{Code: 550, Text: strings.Repeat("ü", 500)}, ""},
	} {
		got, left, err := read1(c.in)
		if err != nil || got != c.want || left != c.left {
			t.Errorf("%q:\n got %+v, left %q, error %v\nwant %+v, left %q", c.in, got, left, err, c.want, c.left)
		}
	}
}

func TestWhatIsNoReplyIsNonsense(t *testing.T) {
	for _, in := range []string{
		"\r\n", "25\r\n", "2500 ok\r\n", "250_ok\r\n", "150 ok\r\n", "650 ok\r\n", "abc\r\n", "+OK\r\n", "2 0 ok\r\n",
		"250-a\r\n251 b\r\n", "250-a\r\n\r\n", "-250 ok\r\n",
		"250 " + strings.Repeat("x", maxReplyLine) + "\r\n",
		strings.Repeat("x", 3*maxReplyLine),
		strings.Repeat("250-x\r\n", maxReplyLines) + "250 x\r\n",
	} {
		if got, _, err := read1(in); !errors.Is(err, errNonsense) {
			t.Errorf("%.40q: got %+v and error %v, want an error that says nonsense", in, got, err)
		}
	}
}

func TestTheLargestLawfulReplyIsRead(t *testing.T) {
	line := strings.Repeat("x", maxReplyLine-6)
	in := strings.Repeat("250-"+line+"\r\n", maxReplyLines-1) + "250 " + line + "\r\n"
	got, left, err := read1(in)
	if err != nil || got.Code != 250 || left != "" || len(got.Text) != maxReplyText {
		t.Errorf("got code %d, %d octets of text, left %d octets, error %v", got.Code, len(got.Text), len(left), err)
	}
}

// FuzzReply feeds a server's octets to the parser: what it returns is bounded, plain,
// and never a class that is not on the wire.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		"250 2.0.0 Ok\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 no\n", "250-a\r\n550 b\r\n", "\x00\xff", "250", "354 go\r\n250 early\r\n",
		"550 \u202e\r\n", "220-" + strings.Repeat("x", 2100) + "\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReaderSize(strings.NewReader(string(in)), 2*maxReplyLine)
		rep, err := readReply(r, nil)
		if err != nil {
			return
		}
		p := rep.public()
		if !strings.HasPrefix(string(in), string([]byte{byte('0' + p.Code/100), byte('0' + p.Code/10%10), byte('0' + p.Code%10)})) {
			t.Errorf("code %d is not what %q begins with", p.Code, in)
		}
		if len(p.Text) > maxReplyText || !utf8.ValidString(p.Text) || len(p.Enhanced) > 9 {
			t.Errorf("text %q or enhanced code %q is out of bounds", p.Text, p.Enhanced)
		}
		for _, c := range p.Text + p.Enhanced {
			if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
				t.Errorf("text %q holds %U", p.Text, c)
			}
		}
		parseCapabilities(rep.text)
	})
}
