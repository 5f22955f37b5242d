package postgres

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestEveryTextFitsIntoATextAndComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := rapid.SliceOf(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("\x00\x1a\xffa1ä")))).Draw(rt, "bytes")
		text := string(b)
		stored := escape(text)
		if !utf8.ValidString(stored) || strings.IndexByte(stored, 0) >= 0 {
			rt.Errorf("%q is stored as %q, which PostgreSQL does not take", text, stored)
		}
		if back := unescape(stored); back != text {
			rt.Errorf("%q is stored as %q and comes back as %q", text, stored, back)
		}
	})
	for _, plain := range []string{"", "anna@stadt.example", "Müller 你好 �", "\x01 1/anna"} {
		if escape(plain) != plain {
			t.Errorf("%q is stored as %q, wanted it as it is", plain, escape(plain))
		}
	}
}
