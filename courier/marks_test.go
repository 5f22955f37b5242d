package courier

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestForgedMarksAreLeftOutOfAMailThatWeScanned(t *testing.T) {
	isMark := func(line []byte) bool { return bytes.HasPrefix(bytes.ToLower(line), []byte("x-spam-flag:")) }
	const prefix = "X-Spam-Flag: YES\r\nReceived: ours\r\n"
	for _, c := range []struct{ name, text, want string }{
		{"a forged mark", "From: a\r\nX-Spam-Flag: NO\r\nSubject: s\r\n\r\nbody\r\n", "From: a\r\nSubject: s\r\n\r\nbody\r\n"},
		{"a folded one", "x-spam-flag: NO,\r\n\tthat is\r\n sure\r\nTo: b\r\n\r\n", "To: b\r\n\r\n"},
		{"one longer than any buffer", "X-Spam-Flag: " + strings.Repeat("n", 2*sourceSize) + "\r\nTo: b\r\n\r\n", "To: b\r\n\r\n"},
		{"only marks", "X-Spam-Flag: NO\r\nX-Spam-Flag: NO\r\n\r\nx\r\n", "\r\nx\r\n"},
		{"one without an end", "To: b\r\nX-Spam-Flag: NO", "To: b\r\n"},
		{"in the body", "To: b\r\n\r\nX-Spam-Flag: NO\r\n", "To: b\r\n\r\nX-Spam-Flag: NO\r\n"},
		{"in a folded line of another field", "To: b\r\n\tX-Spam-Flag: NO\r\n\r\n", "To: b\r\n\tX-Spam-Flag: NO\r\n\r\n"},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{"whole": nil, "one byte": iotest.OneByteReader} {
			for _, id := range []string{"", "mx.city.example"} {
				got, err := convert(&content{forged: isMark}, prefix, c.text, id, wrap)
				if err != nil || got != prefix+c.want {
					t.Errorf("%s, %s, our id %q:\n got %q, err %v\nwant %q", c.name, name, id, got, err, prefix+c.want)
				}
			}
		}
		if got, err := convert(&content{}, prefix, c.text, "mx.city.example", nil); err != nil || len(got) < len(prefix)+len(c.text) {
			t.Errorf("%s, not scanned by us: got %q, err %v; want everything that came", c.name, got, err)
		}
	}
}
