package mailbox

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

// mirrored opens a mailbox of a server that plays a script, to read it whole.
func mirrored(t testing.TB, s script, timeout time.Duration) Mirror {
	t.Helper()
	one, err := hostile(t, s, timeout)
	if err != nil {
		t.Fatal("open:", err)
	}
	t.Cleanup(func() { one.Close() })
	return one.(*session)
}

func TestAServerThatShowsMailsWithoutEndIsCutOff(t *testing.T) {
	looked := func(do func(Mirror) error) func(Mirror) error {
		return func(s Mirror) error {
			if _, err := s.Look(t.Context(), ""); err != nil {
				return err
			}
			return do(s)
		}
	}
	heads := looked(func(s Mirror) error { _, err := s.Heads(t.Context(), []uint32{1, 2}); return err })
	read := looked(func(s Mirror) error {
		return s.Read(t.Context(), []uint32{1}, 100, func(_ uint32, _ int64, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		})
	})
	flags := looked(func(s Mirror) error {
		return s.Flags(t.Context(), 1, 100, 0, func(uint32, uint32) error { return nil })
	})
	for name, c := range map[string]struct {
		script script
		do     func(Mirror) error
	}{
		"a header":                {script{in, inbox, "* 1 FETCH (UID 1 BODY[HEADER]<0> {99999999999}\r\nSubject: xxxxxxxxxxxxxxxxxxxxx", "…"}, heads},
		"one mail for ever":       {script{in, inbox, "* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n", "…"}, heads},
		"flags":                   {script{in, inbox, "* 1 FETCH (UID 1 FLAGS (", "a a a a a a a a a a a a a a a a a ", "…"}, flags},
		"a mail":                  {script{in, inbox, "* 1 FETCH (UID 1 BODY[] {99999999999}\r\n", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", "…"}, read},
		"a mail that breaks off":  {script{in, inbox, "* 1 FETCH (UID 1 BODY[] {100}\r\nxxx"}, read},
		"a way around the filter": {script{in, inbox, "* OK [X] {60}\r\n* CAPABILITY (", "…"}, read},
		"another way around it":   {script{in, inbox, "* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n* CAPABILITY (x)\r\n%T OK x\r\n"}, read},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s := mirrored(t, c.script, 2*time.Second)
			start := time.Now()
			err := c.do(s)
			if doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
				t.Errorf("error %v, want a temporary one", err)
			}
			if d := time.Since(start); d > time.Minute {
				t.Errorf("it took %v", d)
			}
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 400<<20 {
				t.Errorf("memory has grown by %d MB", grown>>20)
			}
		})
	}
}

func TestTheTextOfAMailMayLookLikeAnything(t *testing.T) {
	text := "Subject: x\r\n\r\nThe CAPABILITY (of a list)\r\n* CAPABILITY (x)\r\n* OK [CAPABILITY ((\r\nT1 OK {5}\r\n)\r\n"
	s := mirrored(t, script{in, inbox, fmt.Sprintf("* 1 FETCH (UID 7 BODY[] {%d}\r\n%s FLAGS (\\Seen))\r\n%%T OK done\r\n", len(text), text), "* 1 EXISTS\r\n%T OK done\r\n"}, 5*time.Second)
	if _, err := s.Look(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	err := s.Read(t.Context(), []uint32{7}, int64(len(text)), func(_ uint32, size int64, r io.Reader) error {
		n, err := io.Copy(&got, r)
		if n != size {
			t.Errorf("%d bytes of a mail of %d were read", n, size)
		}
		return err
	})
	if err != nil || got.String() != text {
		t.Errorf("the mail is %q (%v), want it as it is", got.String(), err)
	}
	if _, err := s.Look(t.Context(), ""); err != nil {
		t.Errorf("the next command: %v", err)
	}
}
