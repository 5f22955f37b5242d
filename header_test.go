package doppelboden

import (
	"bytes"
	"testing"
)

func TestAFieldHasTheLinesThatContinueIt(t *testing.T) {
	for _, c := range []struct{ header, field, rest string }{
		{"A: 1\r\nB: 2\r\n", "A: 1\r\n", "B: 2\r\n"},
		{"A: 1\r\n 2\r\n\t3\r\nB: 4\r\n", "A: 1\r\n 2\r\n\t3\r\n", "B: 4\r\n"},
		{"A: 1\n 2\nB", "A: 1\n 2\n", "B"},
		{"A: 1", "A: 1", ""}, {"A: 1\r\n ", "A: 1\r\n ", ""}, {"A: 1\r\n", "A: 1\r\n", ""},
		{"no field\r\nA: 1", "no field\r\n", "A: 1"}, {"", "", ""}, {"\r\nbody", "\r\n", "body"},
	} {
		field, rest := NextField([]byte(c.header))
		if string(field) != c.field || string(rest) != c.rest {
			t.Errorf("%q: field %q and rest %q, want %q and %q", c.header, field, rest, c.field, c.rest)
		}
	}
}

func FuzzNextField(f *testing.F) {
	f.Add([]byte("A: 1\r\n 2\r\nB: 3"))
	f.Fuzz(func(t *testing.T, header []byte) {
		var joined []byte
		for rest := header; len(rest) > 0; {
			var field []byte
			if field, rest = NextField(rest); len(field) == 0 {
				t.Fatalf("%q: nothing is cut off, for ever", header)
			}
			joined = append(joined, field...)
		}
		if !bytes.Equal(joined, header) {
			t.Errorf("the fields of %q are together %q", header, joined)
		}
	})
}
