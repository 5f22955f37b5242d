package mailauth

import "strings"

// believed is what a trusted hop found. Its Authentication-Results stay in the mail, so
// they are not said again; they count for what we decide.
type believed struct {
	spf   map[string]bool // the domains of reverse-paths that passed
	dmarc map[string]bool // the author domains that passed
}

// believe reads the values of a trusted hop's Authentication-Results fields. What does
// not keep to the form counts for nothing.
func believe(values []string) believed {
	b := believed{spf: map[string]bool{}, dmarc: map[string]bool{}}
	for _, v := range values {
		_, results, ok := Parse([]byte(v))
		if !ok {
			continue
		}
		for _, r := range results {
			if r.Value != Pass {
				continue
			}
			switch r.Method {
			case "spf":
				if d, ok := dnsName(domainOf(r.Prop("smtp", "mailfrom"))); ok {
					b.spf[d] = true
				}
			case "dmarc":
				if d, ok := dnsName(domainOf(r.Prop("header", "from"))); ok {
					b.dmarc[d] = true
				}
			}
		}
	}
	return b
}

// domainOf returns what follows the last "@", or all of s without one.
func domainOf(s string) string { return s[strings.LastIndexByte(s, '@')+1:] }
