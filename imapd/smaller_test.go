package imapd

import (
	"fmt"
	"strings"
	"testing"
)

func TestASmallerIsSaidByLarger(t *testing.T) {
	for _, c := range []struct{ said, want string }{
		{"a SEARCH SMALLER 300 SINCE 1-Jan-2026", "a SEARCH NOT LARGER 299 SINCE 1-Jan-2026"},
		{"a uid search return (all) (smaller 1) OR SMALLER 0 NOT (SEEN SMALLER 5)", "a uid search return (all) (NOT LARGER 0) OR NOT ALL NOT (SEEN NOT LARGER 4)"},
		{"a SEARCH SUBJECT SMALLER 7 FROM \"x \\\" SMALLER 8 \" HEADER SMALLER SMALLER 9", "a SEARCH SUBJECT SMALLER 7 FROM \"x \\\" SMALLER 8 \" HEADER SMALLER SMALLER 9"},
		{"a SEARCH CHARSET UTF-8 1:* UID SMALLER KEYWORD SMALLER SMALLER 2", "a SEARCH CHARSET UTF-8 1:* UID SMALLER KEYWORD SMALLER NOT LARGER 1"},
		{"a SEARCH TEXT {9}", "a SEARCH TEXT {9}"},
		{"a SEARCH SMALLER", "a SEARCH SMALLER"},
		{"a SEARCH SMALLER ", "a SEARCH SMALLER "},
		{"a SEARCH SMALLER -5 SMALLER x SMALLER 99999999999999999999", "a SEARCH SMALLER -5 SMALLER x SMALLER 99999999999999999999"},
		{"a SEARCH SMALLER \"5\"", "a SEARCH SMALLER \"5\""},
		{"a SEARCH SUBJECT \"SMALLER 5", "a SEARCH SUBJECT \"SMALLER 5"},
		{"SMALLER LOGIN SMALLER 5", "SMALLER LOGIN SMALLER 5"},
		{"a APPEND SEARCH SMALLER 5", "a APPEND SEARCH SMALLER 5"},
		{"a SEARCHES SMALLER 5", "a SEARCHES SMALLER 5"},
	} {
		g := &gate{}
		if got := string(g.conditions([]byte(c.said + "\r\n"))); got != c.want+"\r\n" {
			t.Errorf("%s:\ngot  %q\nwant %q", c.said, got, c.want+"\r\n")
		}
	}
}

func TestAMailIsFoundBySizeAndDateTogether(t *testing.T) {
	r := start(t, nil)
	for _, size := range []int{10, 500, 3000} {
		r.put(t, 1, 1, 0, mail("SMALLER", strings.Repeat("x", size)))
	}
	c := r.rawIn(t, "anna@stadt.example")
	c.do("SELECT INBOX", "OK")
	for keys, want := range map[string]string{
		"SMALLER 600":                                             " 1",
		"SMALLER 600 SINCE 1-Jan-2020":                            " 1",
		"SMALLER 3000 BEFORE 1-Jan-2999 LARGER 300":               " 2",
		"SMALLER 3000 LARGER 300 SENTON 22-Nov-2026 SMALLER 9999": " 2",
		"OR SMALLER 300 LARGER 3000 SINCE 1-Jan-2020":             " 1 3",
		"NOT SMALLER 600 SINCE 1-Jan-2020":                        " 2 3",
		"SMALLER 0 SINCE 1-Jan-2020":                              "",
		"SUBJECT SMALLER SINCE 1-Jan-2020":                        " 1 2 3",
	} {
		if got := c.do("SEARCH "+keys, "OK"); !strings.Contains(got, "* SEARCH"+want+"\n") {
			t.Errorf("SEARCH %s: want%s, got %s", keys, want, got)
		}
	}
	c.n++
	tag := fmt.Sprintf("t%d", c.n)
	c.send(tag + " UID SEARCH SUBJECT {7}\r\n")
	c.want("+")
	c.send("SMALLER SMALLER 600 SINCE 1-Jan-2020\r\n")
	if got := c.until(tag, "OK", "a literal"); !strings.Contains(got, "* SEARCH 1\n") {
		t.Errorf("a condition behind a literal: %s", got)
	}
}
