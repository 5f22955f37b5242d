package main

import (
	"strings"

	"doppelboden/control"
	"doppelboden/say"
)

// verdicts shows what was found out about the sender of a message, in a line each. The
// words are those of RFC 8601, which stand in the mail too.
func (p *program) verdicts(t *table, all []control.Verdict) {
	label := p.say.T("the sender")
	for _, v := range all {
		text := strings.ToUpper(v.Method) + ": " + v.Value
		if v.About != "" {
			text += " (" + say.Plain(v.About) + ")"
		}
		if v.Reason != "" {
			text += ", " + say.Plain(v.Reason)
		}
		t.row(label, text)
		label = ""
	}
}
