package scan

import (
	"bytes"
	"strconv"
	"strings"

	"doppelboden"
)

// Names of the header fields that tell what scanners said. Fields with these names that
// came with a mail that we scanned are left out at hand-over (package courier): what
// stands there is ours. Rules of groupware know the first two from other filters.
const (
	FlagField   = "X-Spam-Flag"
	StatusField = "X-Spam-Status"
	VirusField  = "X-Virus-Scanned"
)

// marks returns header lines that say what came of scanning a mail with a plan.
func marks(hostname string, p *Plan, r Result) []byte {
	var b []byte
	if r.rspamd.state != unknown {
		yes := "No"
		if r.rspamd.state == spam {
			yes = "Yes"
			b = append(b, FlagField+": YES\r\n"...)
		}
		b = append(b, StatusField+": "+yes+", score="...)
		b = strconv.AppendFloat(b, r.rspamd.score, 'f', 2, 64)
		b = append(b, "\r\n\tby=rspamd at "+hostname...)
		if len(r.rspamd.symbols) > 0 {
			// Twelve names of 64 characters at most: below the 998 of RFC 5322, section
			// 2.1.1.
			b = append(b, "\r\n\ttests=["+strings.Join(r.rspamd.symbols, ",")+"]"...)
		}
		b = append(b, "\r\n"...)
	}
	switch {
	case r.State == doppelboden.Unscanned || r.State == doppelboden.Waived:
		b = append(b, VirusField+": NO, "+r.Scanner+" at "+hostname+" did not answer\r\n"...)
	case r.State == doppelboden.Malware:
		b = append(b, VirusField+": "+ClamAV+" at "+hostname+", found "+token(r.Malware)+"\r\n"...)
	case len(p.ClamAV) > 0:
		b = append(b, VirusField+": "+ClamAV+" at "+hostname+"\r\n"...)
	}
	return b
}

// token returns s with nothing but what may stand in a header field as it is.
func token(s string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f {
			return r
		}
		return '_'
	}, s)
}

// remark replaces our marks in a message's prefix.
func remark(prefix, marks []byte) []byte {
	out := bytes.Clone(marks)
	keep := false
	for len(prefix) > 0 {
		end := bytes.IndexByte(prefix, '\n') + 1
		if end == 0 {
			end = len(prefix)
		}
		line := prefix[:end]
		prefix = prefix[end:]
		if line[0] != ' ' && line[0] != '\t' {
			keep = !IsMark(line)
		}
		if keep {
			out = append(out, line...)
		}
	}
	return out
}

// IsMark reports whether a header line begins a field of ours. White space before the
// colon is obsolete (RFC 5322, section 4.5), and is still understood by some.
func IsMark(line []byte) bool {
	name, _, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return false
	}
	name = bytes.TrimRight(name, " \t")
	for _, ours := range [...]string{FlagField, StatusField, VirusField} {
		if len(name) == len(ours) && bytes.EqualFold(name, []byte(ours)) {
			return true
		}
	}
	return false
}
