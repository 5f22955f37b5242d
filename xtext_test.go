package doppelboden

import (
	"testing"

	"pgregory.net/rapid"
)

func TestXtextComesBackAsItWasAndHasNothingThatEndsAParameter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.String().Draw(rt, "text")
		encoded := Xtext(text)
		if got := FromXtext(encoded); got != text {
			rt.Errorf("%q became %q and came back as %q", text, encoded, got)
		}
		for _, c := range []byte(encoded) {
			if c < '!' || c > '~' || c == '=' {
				rt.Errorf("%q holds %q", encoded, c)
			}
		}
	})
}

func TestWhatIsNoXtextComesBackAsItIs(t *testing.T) {
	for _, text := range []string{"", "plain", "+", "a+", "a+4", "+G0", "+4x"} {
		if got := FromXtext(text); got != text {
			t.Errorf("%q became %q, want it as it is", text, got)
		}
	}
	if got := FromXtext("a+2bb+2Bc"); got != "a+b+c" {
		t.Errorf("a+2bb+2Bc became %q, want a+b+c", got)
	}
}
