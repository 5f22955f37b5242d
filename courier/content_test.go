package courier

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"doppelboden"
)

// oneBody is a cellar with one body, read in steps of the test's choice.
type oneBody struct {
	text string
	wrap func(io.Reader) io.Reader
}

func (b oneBody) Reader(doppelboden.TenantID, doppelboden.Body) (io.ReadCloser, error) {
	var r io.Reader = strings.NewReader(b.text)
	if b.wrap != nil {
		r = b.wrap(r)
	}
	return io.NopCloser(r), nil
}

// convert returns what would be sent between DATA and the final dot.
func convert(c *content, prefix, text, ourID string, wrap func(io.Reader) io.Reader) (string, error) {
	m := &doppelboden.Message{Prefix: []byte(prefix), Body: doppelboden.Body{Size: int64(len(text))}}
	defer c.close()
	if err := c.open(m, oneBody{text, wrap}, ourID); err != nil {
		return "", err
	}
	var all bytes.Buffer
	for {
		all.Write(c.out)
		c.out = c.out[:0]
		if c.whole {
			return all.String(), nil
		}
		if err := c.fill(); err != nil {
			return "", err
		}
	}
}

// slowly is the reference: octet by octet, as RFC 5321, section 4.5.2, reads.
func slowly(text string) (string, error) {
	var out []byte
	bol := true
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == 0:
			return "", errNUL
		case c == '\r':
			if i+1 == len(text) || text[i+1] != '\n' {
				return "", errBareCR
			}
		case c == '\n':
			out = append(out, '\r', '\n')
			bol = true
		default:
			if bol && c == '.' {
				out = append(out, '.')
			}
			out = append(out, c)
			bol = false
		}
	}
	if !bol {
		out = append(out, '\r', '\n')
	}
	return string(out), nil
}

func TestTheWriterSendsOnlyCRLFAndStuffsDots(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a", "a\r\n"},
		{"a\r\n", "a\r\n"},
		{".\r\n", "..\r\n"},
		{"a\n.\nb", "a\r\n..\r\nb\r\n"},
		{"a\r\n.\r\nMAIL FROM:<x>\r\n", "a\r\n..\r\nMAIL FROM:<x>\r\n"},
		{"a\n.\r\nMAIL", "a\r\n..\r\nMAIL\r\n"},
		{"a\r\n.\nMAIL", "a\r\n..\r\nMAIL\r\n"},
		{"\n\n", "\r\n\r\n"},
		{"..\r\n...x", "...\r\n....x\r\n"},
		{"x.\r\n", "x.\r\n"},
	} {
		got, err := convert(new(content), "", c.in, "", nil)
		if err != nil || got != c.want {
			t.Errorf("%q: got %q and error %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestBareCRAndNULAreNeverSent(t *testing.T) {
	for in, want := range map[string]error{
		"a\rb\r\n": errBareCR, "a\r": errBareCR, "\r": errBareCR, "a\r\r\n": errBareCR, "a\r\n\r.\r\n": errBareCR,
		"a\r\n.\rX\r\n": errBareCR, "a\x00b\r\n": errNUL, "\x00": errNUL,
		strings.Repeat("x", sourceSize-1) + "\rX": errBareCR, strings.Repeat("x", sourceSize-1) + "\rX\r\n": errBareCR, strings.Repeat("x", 5*outSize) + "\r": errBareCR,
	} {
		if _, err := convert(new(content), "", in, "", nil); !errors.Is(err, want) {
			t.Errorf("%.40q: got error %v, want %v", in, err, want)
		}
	}
}

func TestABodyOfTheWrongLengthIsNotWhole(t *testing.T) {
	for _, size := range []int64{2, 4, 0} {
		m := &doppelboden.Message{Body: doppelboden.Body{Size: size}}
		if err := new(content).open(m, oneBody{text: "abc"}, ""); err == nil {
			t.Errorf("a body of 3 octets passed for one of %d", size)
		}
	}
}

func TestOurNameInAuthenticationResultsIsLeftOut(t *testing.T) {
	const us = "mx.city.example"
	for _, c := range []struct{ name, in, want string }{
		{"ours", "A: 1\r\nAuthentication-Results: mx.city.example; spf=pass\r\nB: 2\r\n\r\nx\r\n", "A: 1\r\nB: 2\r\n\r\nx\r\n"},
		{"another's", "Authentication-Results: mx.other.example; spf=pass\r\n\r\n", "Authentication-Results: mx.other.example; spf=pass\r\n\r\n"},
		{"a longer name", "Authentication-Results: mx.city.example.org; spf=pass\r\n\r\n", "Authentication-Results: mx.city.example.org; spf=pass\r\n\r\n"},
		{"case", "AUTHENTICATION-results: MX.City.Example; spf=pass\r\n\r\n", "\r\n"},
		{"folded", "A: 1\r\nAuthentication-Results:\r\n mx.city.example;\r\n\tspf=pass;\r\n dkim=pass\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n"},
		{"folded, another's", "Authentication-Results:\r\n other;\r\n\tspf=pass\r\nB: 2\r\n\r\n", "Authentication-Results:\r\n other;\r\n\tspf=pass\r\nB: 2\r\n\r\n"},
		{"comments", "Authentication-Results: (a (b) \\) c)\r\n (d) mx.city.example (e) 1; spf=pass\r\n\r\n", "\r\n"},
		{"quoted", "Authentication-Results: \"mx.city\\.example\"; spf=pass\r\n\r\n", "\r\n"},
		{"blank before colon", "Authentication-Results \t: mx.city.example; spf=pass\r\n\r\n", "\r\n"},
		{"no results", "Authentication-Results: mx.city.example\r\n\r\n", "\r\n"},
		{"version", "Authentication-Results: mx.city.example 1; none\r\n\r\n", "\r\n"},
		{"version behind a slash", "Authentication-Results: mx.city.example/1; spf=pass\r\n\r\n", "\r\n"},
		{"dot at the end", "Authentication-Results: mx.city.example.; spf=pass\r\n\r\n", "\r\n"},
		{"two", "Authentication-Results: mx.city.example; a\r\nAuthentication-Results: mx.city.example; b\r\n\r\n", "\r\n"},
		{"in the body", "A: 1\r\n\r\nAuthentication-Results: mx.city.example; spf=pass\r\n", "A: 1\r\n\r\nAuthentication-Results: mx.city.example; spf=pass\r\n"},
		{"no header", "\r\nAuthentication-Results: mx.city.example; spf=pass\r\n", "\r\nAuthentication-Results: mx.city.example; spf=pass\r\n"},
		{"no body", "Authentication-Results: mx.city.example; spf=pass", ""},
		{"no body, another's", "Authentication-Results: o; spf=pass", "Authentication-Results: o; spf=pass\r\n"},
		{"cut off in the name", "Authentication-Results: mx.city.exam", "Authentication-Results: mx.city.exam\r\n"},
		{"name at the end", "Authentication-Results: mx.city.example", ""},
		{"empty", "Authentication-Results:\r\n\r\n", "Authentication-Results:\r\n\r\n"},
		{"ARC", "ARC-Authentication-Results: i=1; mx.city.example; spf=pass\r\n\r\n", "ARC-Authentication-Results: i=1; mx.city.example; spf=pass\r\n\r\n"},
		{"other field", "X-Authentication-Results: mx.city.example\r\nAuthentication-Results-X: mx.city.example\r\n\r\n", "X-Authentication-Results: mx.city.example\r\nAuthentication-Results-X: mx.city.example\r\n\r\n"},
		{"bare LF", "Authentication-Results: mx.city.example; a\n b\nB: 2\n\nx\n", "B: 2\r\n\r\nx\r\n"},
		{"behind rubbish", "rubbish\r\nAuthentication-Results: mx.city.example; a\r\n\r\n", "rubbish\r\n\r\n"},
		{"leading fold", " x\r\nA: 1\r\n\r\n", " x\r\nA: 1\r\n\r\n"},
		{"dots", ".A: 1\r\nAuthentication-Results: mx.city.example\r\n .\r\n.\r\n\r\n.\r\n", "..A: 1\r\n..\r\n\r\n..\r\n"},
		{"long line", "Authentication-Results: mx.city.example; " + strings.Repeat("x", 2*sourceSize) + "\r\n\r\nx\r\n", "\r\nx\r\n"},
		{"long field of another", "Authentication-Results: o; " + strings.Repeat("x", 2*sourceSize) + "\r\n\r\nx\r\n", "Authentication-Results: o; " + strings.Repeat("x", 2*sourceSize) + "\r\n\r\nx\r\n"},
		{"hidden behind comments", "Authentication-Results: " + strings.Repeat("(x)\r\n ", maxHeld/3) + "mx.city.example; a\r\n\r\n", "\r\n"},
	} {
		for _, wrap := range []func(io.Reader) io.Reader{nil, iotest.OneByteReader, iotest.DataErrReader} {
			got, err := convert(new(content), "", c.in, us, wrap)
			if err != nil || got != c.want {
				t.Errorf("%s: got %.200q and error %v, want %.200q", c.name, got, err, c.want)
			}
		}
	}
}

func TestOurOwnPrefixStaysAndIsStuffed(t *testing.T) {
	prefix := "Authentication-Results: mx.city.example; spf=fail\r\n"
	got, err := convert(new(content), prefix, "Authentication-Results: mx.city.example; spf=pass\r\n\r\nx", "mx.city.example", nil)
	if want := prefix + "\r\nx\r\n"; err != nil || got != want {
		t.Errorf("got %q and error %v, want %q", got, err, want)
	}
}

// TestRealMailsLeaveUnchanged takes the mails that lie beside the project, where they
// do, and a few of its own: all that is stored must come out.
func TestRealMailsLeaveUnchanged(t *testing.T) {
	mails := []string{"A: 1\r\n\r\n" + strings.Repeat(strings.Repeat("x", 996)+"\r\n", 1000), strings.Repeat("Ä", 100_000) + "\r\n"}
	filepath.WalkDir("../../shared/mails", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".eml" {
			return nil // the folder exists only where the project is developed
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("read mail: %v", err)
		}
		mails = append(mails, string(text))
		return nil
	})
	t.Logf("%d mails", len(mails))
	c := new(content)
	for i, text := range mails {
		got, err := convert(c, "", text, "mx.city.example", nil)
		want, wantErr := slowly(text)
		if got != want || !errors.Is(err, wantErr) {
			t.Errorf("mail %d (%d octets): %d octets and error %v, want %d octets and error %v", i, len(text), len(got), err, len(want), wantErr)
		}
	}
}

// FuzzDotWriter compares the writer with the reference, with any split of the body.
func FuzzDotWriter(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\nb", "a\n.\n", "\r\n.\r", ".", "\r.\r\n", "a\r\r\n.\r\n", "a\rb\r\n", "\x00", "x\r\n..\r\n.\xff"} {
		f.Add(s, uint8(3), uint16(0))
		f.Add(s, uint8(0), uint16(0))
	}
	f.Fuzz(func(t *testing.T, text string, step uint8, pad uint16) {
		text = strings.Repeat("p", int(pad)) + text // moves it over the edges of the buffers
		want, wantErr := slowly(text)
		c := new(content)
		got, err := convert(c, "", text, "", func(r io.Reader) io.Reader { return stepper{r, int(step) + 1} })
		if got != want || (err == nil) != (wantErr == nil) {
			t.Fatalf("%q in steps of %d:\n got %q, %v\nwant %q, %v", text, step, got, err, want, wantErr)
		}
		if err != nil {
			return
		}
		if s := "\r\n" + got + ".\r\n"; strings.Index(s, "\r\n.\r\n") != len(s)-5 {
			t.Fatalf("%q ends before its end", got)
		}
		if c.eightBit != (strings.IndexFunc(text, func(r rune) bool { return r > 127 }) >= 0) {
			t.Fatalf("%q: 8-bit is %v", text, c.eightBit)
		}
	})
}

// stepper reads a few octets at a time.
type stepper struct {
	r io.Reader
	n int
}

func (s stepper) Read(p []byte) (int, error) { return s.r.Read(p[:min(s.n, len(p))]) }

func BenchmarkContent(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			text := "A: 1\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78)
			c := new(content)
			m := &doppelboden.Message{Body: doppelboden.Body{Size: int64(len(text))}}
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.open(m, oneBody{text: text}, "mx"); err != nil {
					b.Fatal(err)
				}
				for !c.whole {
					c.out = c.out[:0]
					if err := c.fill(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
