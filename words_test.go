package doppelboden

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIDsIncreaseAlsoWhenTheClockStandsStillOrGoesBack(t *testing.T) {
	var g IDs
	now := time.UnixMilli(1_700_000_000_000)
	var last ID
	for i := range 10_000 {
		if i%100 == 99 {
			now = now.Add(-time.Second)
		}
		id := g.New(now)
		if id.String() <= last.String() {
			t.Fatalf("id %d: %v after %v", i, id, last)
		}
		if id[6]>>4 != 7 || id[8]>>6 != 2 {
			t.Fatalf("%v is no UUID of version 7", id)
		}
		last = id
	}
}

func TestAnIDTellsItsTimeAndItsTextCanBeReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(0, 1<<47).Draw(t, "ms")
		var g IDs
		id := g.New(time.UnixMilli(ms))
		if got := id.Time().UnixMilli(); got != ms {
			t.Errorf("time of %v: %d, want %d", id, got, ms)
		}
		if back, err := ParseID(strings.ToUpper(id.String())); err != nil || back != id {
			t.Errorf("ParseID(%v) = %v, %v", id, back, err)
		}
		first := FirstIDAt(time.UnixMilli(ms))
		if first.String() > id.String() {
			t.Errorf("FirstIDAt %v is after %v", first, id)
		}
		if next := FirstIDAt(time.UnixMilli(ms).Add(time.Microsecond)); next.String() <= id.String() {
			t.Errorf("FirstIDAt of the microsecond after %v is %v", id, next)
		}
	})
}

func TestAReceiptCanBeReadOutAndTypedCarelessly(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	seen := map[Receipt]bool{}
	for range 1000 {
		r := NewReceipt(now)
		if seen[r] {
			t.Fatalf("%v came twice", r)
		}
		seen[r] = true
		text := r.String()
		if len(text) != 24 || strings.ContainsAny(text, "ILOU") {
			t.Fatalf("receipt %q: want five groups of four without I, L, O and U", text)
		}
		careless := strings.NewReplacer("0", "o", "1", "l", "-", " ").Replace(strings.ToLower(text))
		if back, err := ParseReceipt(careless); err != nil || back != r {
			t.Fatalf("ParseReceipt(%q) = %v, %v; want %v", careless, back, err, r)
		}
	}
	for _, bad := range []string{"", "1234", "7Q2K-XXXX-XXXX-XXXX-XXX!", strings.Repeat("A", 21), "019aaaaa-0000-7000-8000-000000000000"} {
		if _, err := ParseReceipt(bad); CodeOf(err) != Invalid {
			t.Errorf("ParseReceipt(%q): %v, want invalid", bad, err)
		}
	}
}

func TestReceiptsOfLaterHoursSortLater(t *testing.T) {
	a := NewReceipt(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	b := NewReceipt(time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC))
	if a.String() >= b.String() {
		t.Errorf("%v is not before %v", a, b)
	}
}

func TestAddressesAreReadAsTheStandardHasThem(t *testing.T) {
	for _, c := range []struct {
		in, local, domain, key string
		ok                     bool
	}{
		{"anna@stadt.example", "anna", "stadt.example", "anna@stadt.example", true},
		{"Anna.Muster@Stadt.EXAMPLE", "Anna.Muster", "stadt.example", "anna.muster@stadt.example", true},
		{`"anna b"@stadt.example`, "anna b", "stadt.example", "anna b@stadt.example", true},
		{`"a\"b"@stadt.example`, `a"b`, "stadt.example", `a"b@stadt.example`, true},
		{"müller@münchen.example", "müller", "xn--mnchen-3ya.example", "müller@xn--mnchen-3ya.example", true},
		{"mu\u0308ller@stadt.example", "mu\u0308ller", "stadt.example", "müller@stadt.example", true},
		{"x@[192.0.2.1]", "x", "[192.0.2.1]", "x@[192.0.2.1]", true},
		{"x@[IPv6:2001:db8::1]", "x", "[ipv6:2001:db8::1]", "", true},
		{"", "", "", "", false},
		{"anna", "", "", "", false},
		{"@stadt.example", "", "", "", false},
		{"anna@", "", "", "", false},
		{".anna@stadt.example", "", "", "", false},
		{"an..na@stadt.example", "", "", "", false},
		{"an na@stadt.example", "", "", "", false},
		{"anna@sta dt.example", "", "", "", false},
		{"anna@stadt..example", "", "", "", false},
		{"anna@stadt.example\r\nRCPT TO:<x@y>", "", "", "", false},
		{"an\x00na@stadt.example", "", "", "", false},
		{"\"an\r\nna\"@stadt.example", "", "", "", false},
		{strings.Repeat("a", 65) + "@stadt.example", "", "", "", false},
		{"a@" + strings.Repeat("b.", 130) + "example", "", "", "", false},
	} {
		a, err := ParseAddress(c.in)
		if (err == nil) != c.ok || a.Local != c.local || a.Domain != c.domain {
			t.Errorf("ParseAddress(%q) = %q, %q, %v; want %q, %q, ok %v", c.in, a.Local, a.Domain, err, c.local, c.domain, c.ok)
		}
		if err == nil && c.key != "" && a.Key() != c.key {
			t.Errorf("Key of %q: %q, want %q", c.in, a.Key(), c.key)
		}
		if err != nil && CodeOf(err) != Invalid {
			t.Errorf("ParseAddress(%q): code %v, want invalid", c.in, CodeOf(err))
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@b.example", `"a b"@c.example`, "ü@ü.example", `"\"@x"@[1.2.3.4]`, "a@b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		written := a.String()
		if strings.ContainsAny(written, "\r\n\x00") {
			t.Fatalf("%q was read as %q, which could end a line", s, written)
		}
		back, err := ParseAddress(written)
		if err != nil || back != a {
			t.Fatalf("%q was read as %+v, written as %q, and read back as %+v (%v)", s, a, written, back, err)
		}
	})
}

func TestAnErrorThatNobodyClassifiedIsTemporary(t *testing.T) {
	inner := &Error{Code: NoSuchMailbox, Public: "no such mailbox", Cause: errors.New("row 17")}
	if got := CodeOf(fmt.Errorf("deliver: %w", inner)); got != NoSuchMailbox {
		t.Errorf("wrapped: %v, want no_such_mailbox", got)
	}
	if got := CodeOf(errors.New("boom")); got != Temporary {
		t.Errorf("unknown: %v, want temporary", got)
	}
	if got := PublicOf(fmt.Errorf("secret: %w", inner)); got != "no such mailbox" {
		t.Errorf("public text %q tells the cause", got)
	}
	if got := PublicOf(errors.New("row 17")); strings.Contains(got, "17") {
		t.Errorf("public text %q tells the cause", got)
	}
	for c := Temporary; c <= Fenced; c++ {
		if c.String() == "temporary" && c != Temporary {
			t.Errorf("code %d has no name", c)
		}
	}
}
