package handback

import (
	"slices"
	"strings"

	"doppelboden"
)

// names are the flags as IMAP calls them: RFC 9051, section 2.3.2, and the keywords of the
// registry.
var names = []struct {
	flag uint32
	name string
}{
	{doppelboden.Seen, `\Seen`}, {doppelboden.Answered, `\Answered`}, {doppelboden.Flagged, `\Flagged`},
	{doppelboden.Draft, `\Draft`}, {doppelboden.Deleted, `\Deleted`},
	{doppelboden.Forwarded, "$Forwarded"}, {doppelboden.MDNSent, "$MDNSent"}, {doppelboden.Junk, "$Junk"}, {doppelboden.NotJunk, "$NotJunk"},
	{doppelboden.Label1, "$label1"}, {doppelboden.Label2, "$label2"}, {doppelboden.Label3, "$label3"},
	{doppelboden.Label4, "$label4"}, {doppelboden.Label5, "$label5"},
}

// flagNames returns what IMAP calls flags. Hidden is ours alone.
func flagNames(flags uint32) []string {
	var list []string
	for _, n := range names {
		if flags&n.flag != 0 {
			list = append(list, n.name)
		}
	}
	return list
}

// flagsOf reads what a server says.
func flagsOf(list []string) (flags uint32) {
	for _, n := range names {
		if slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, n.name) }) {
			flags |= n.flag
		}
	}
	return flags
}

// shared are the flags that the groupware may have.
const shared = ^doppelboden.Hidden
