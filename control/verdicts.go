package control

import (
	"doppelboden"
	"doppelboden/mailauth"
)

// A Verdict is what one check said about the sender of a message.
type Verdict struct {
	Method string `json:"method"`           // "iprev", "spf", "dkim", "dmarc": RFC 8601
	Value  string `json:"value"`            // "pass", "fail", "temperror"…
	About  string `json:"about,omitempty"`  // whom it is about: an address or a domain; hostile
	Reason string `json:"reason,omitempty"` // why, in English
}

// verdicts reads what package mailauth wrote above a message.
func verdicts(m *doppelboden.Message, hostname string) []Verdict {
	var all []Verdict
	for _, r := range mailauth.Found(m.Prefix, hostname) {
		v := Verdict{Method: r.Method, Value: string(r.Value), Reason: r.Reason}
		if len(r.Props) > 0 {
			v.About = r.Props[0].Value
		}
		all = append(all, v)
	}
	return all
}
