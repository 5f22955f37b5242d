package mailauth

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/resolver"
	"doppelboden/test/peer"

	"github.com/miekg/dns"
)

// A suite is one part of the openspf test suite for RFC 7208.
type suite struct {
	Description string
	Tests       map[string]struct {
		Helo, Host, MailFrom string
		Result               []string
	}
	ZoneData map[string][]map[string]any
}

// notOurs are tests of the suite whose verdict is another with us, and why that is
// harmless.
var notOurs = map[string]string{
	"a-colon-domain":            "(a slash in a domain: nobody has one)",
	"a-colon-domain-ip4mapped":  "(the same)",
	"mx-colon-domain":           "(the same)",
	"mx-colon-domain-ip4mapped": "(the same)",
	"p-macro-multiple":          "(%{p} is always unknown: RFC 7208, section 7.3, advises against it)",
}

func TestSPFJudgesAsTheTestSuiteOfRFC7208Says(t *testing.T) {
	text, err := os.ReadFile("testdata/rfc7208-tests.json")
	if err != nil {
		t.Fatal(err)
	}
	var suites []suite
	if err := json.Unmarshal(text, &suites); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, s := range suites {
		t.Run(s.Description, func(t *testing.T) {
			server := peer.For(t, peer.DNS{Zone: zoneOf(t, s)})
			for name, records := range s.ZoneData {
				for _, r := range records {
					if r["TIMEOUT"] == true && !hasTXT(records, "v=") { // else it is about the old type
						server.Treat(name, peer.ServFail) // what a recursive server makes of a time-out
					}
				}
			}
			c := newChecker(t, server.Addr(), Mark)
			for name, tc := range s.Tests {
				count++
				ip := netip.MustParseAddr(tc.Host).Unmap()
				local, domain := "", tc.MailFrom
				if at := strings.LastIndexByte(tc.MailFrom, '@'); at >= 0 {
					local, domain = tc.MailFrom[:at], tc.MailFrom[at+1:]
				}
				v := c.spf(t.Context(), ip, tc.Helo, local, domain)
				if tc.MailFrom == "" {
					v = c.mailFrom(t.Context(), ip, tc.Helo, doppelboden.Address{})
				}
				why, other := notOurs[name]
				if agreed := slices.Contains(tc.Result, string(v.value)); agreed == other {
					t.Errorf("%s: %s from %s at %q: got %s (%s), want %v %s", name, tc.MailFrom, tc.Host, tc.Helo, v.value, v.reason, tc.Result, why)
				}
			}
		})
	}
	if count != 203 {
		t.Errorf("%d tests, the suite has 203", count)
	}
}

// zoneOf writes the records of a suite as a zone. Like the suite says, records of the
// old type SPF stand for TXT where there are none.
func zoneOf(t *testing.T, s suite) string {
	t.Helper()
	var b strings.Builder
	for name, records := range s.ZoneData {
		add := func(kind, data string) {
			rr, err := dns.NewRR(fmt.Sprintf("%s. 300 IN %s %s", strings.ReplaceAll(strings.TrimSuffix(name, "."), " ", `\032`), kind, data))
			if err != nil {
				t.Fatalf("%s %s %s: %v", name, kind, data, err)
			}
			fmt.Fprintln(&b, rr)
		}
		for _, r := range records {
			for kind, v := range r {
				switch kind {
				case "TXT", "SPF":
					if kind == "SPF" && hasTXT(records, "") {
						continue
					}
					var parts []string
					for _, p := range v.([]any) {
						parts = append(parts, quoteTXT(p.(string)))
					}
					add("TXT", strings.Join(parts, " "))
				case "MX":
					mx := v.([]any)
					add("MX", fmt.Sprintf("%v %s.", mx[0], strings.TrimSuffix(mx[1].(string), ".")))
				case "A", "AAAA":
					add(kind, v.(string))
				case "PTR", "CNAME":
					add(kind, strings.TrimSuffix(v.(string), ".")+".")
				}
			}
		}
	}
	return b.String()
}

// hasTXT reports whether there is a TXT record that begins so. "NONE" keeps the suite's
// drivers from making one.
func hasTXT(records []map[string]any, prefix string) bool {
	return slices.ContainsFunc(records, func(r map[string]any) bool {
		list, _ := r["TXT"].([]any)
		return len(list) > 0 && strings.HasPrefix(list[0].(string), prefix)
	})
}

// quoteTXT writes a text as zones have it, in strings of at most 255 octets.
func quoteTXT(s string) string {
	var parts []string
	for len(s) > 0 || parts == nil {
		n := min(len(s), 200)
		var b strings.Builder
		for i := range n {
			if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == ';' {
				fmt.Fprintf(&b, `\%03d`, c)
			} else {
				b.WriteByte(c)
			}
		}
		parts = append(parts, `"`+b.String()+`"`)
		s = s[n:]
	}
	return strings.Join(parts, " ")
}

var _ DNS = (*resolver.Client)(nil)
