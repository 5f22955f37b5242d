package wire

import "testing"

func TestParseReadsWhatStringWrites(t *testing.T) {
	for _, want := range []Line{
		{Kind: Acked, Number: 17},
		{Kind: Delivered, Number: 1000001, Mailbox: 19},
		{Kind: Balance, Text: `{"accepted": 3}`},
	} {
		if got, err := Parse(want.String()); got != want || err != nil {
			t.Errorf("%q: %+v, %v; want %+v", want.String(), got, err, want)
		}
	}
	if got := (Line{Kind: Failed, Text: "one\r\ntwo"}).String(); got != "! 0 0 one / two" {
		t.Errorf("two lines of text: %q", got)
	}
	for _, bad := range []string{"", "a", "a 1", "a x 0", "a 1 x", "aa 1 0", "[    0.1] kernel says"} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%q: %+v, want an error", bad, got)
		}
	}
}
