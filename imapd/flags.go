package imapd

import (
	"strings"

	"doppelboden"

	"github.com/emersion/go-imap/v2"
)

// A flagName is what IMAP calls a flag of ours.
type flagName struct {
	bit  uint32
	name imap.Flag
}

// known returns the flags that mails have, in the order in which they are told. There are
// no others: keywords that nobody could hand back to the groupware would be lost.
func known() []flagName {
	return []flagName{
		{doppelboden.Answered, imap.FlagAnswered}, {doppelboden.Flagged, imap.FlagFlagged},
		{doppelboden.Deleted, imap.FlagDeleted}, {doppelboden.Seen, imap.FlagSeen},
		{doppelboden.Draft, imap.FlagDraft}, {doppelboden.Forwarded, imap.FlagForwarded},
		{doppelboden.MDNSent, imap.FlagMDNSent}, {doppelboden.Junk, imap.FlagJunk},
		{doppelboden.NotJunk, imap.FlagNotJunk}, {doppelboden.Label1, "$label1"},
		{doppelboden.Label2, "$label2"}, {doppelboden.Label3, "$label3"},
		{doppelboden.Label4, "$label4"}, {doppelboden.Label5, "$label5"},
	}
}

// allFlags returns the names of all flags.
func allFlags() []imap.Flag {
	var list []imap.Flag
	for _, f := range known() {
		list = append(list, f.name)
	}
	return list
}

// flagsOf names flags.
func flagsOf(bits uint32) []imap.Flag {
	list := make([]imap.Flag, 0, 4)
	if bits == 0 {
		return list
	}
	for _, f := range known() {
		if bits&f.bit != 0 {
			list = append(list, f.name)
		}
	}
	return list
}

// bitOf returns the flag with a name in any case, or 0 for one that is not kept. Thunderbird
// and Outlook write some keywords in their own way.
func bitOf(name imap.Flag) uint32 {
	lower := strings.ToLower(string(name))
	for _, f := range known() {
		if strings.ToLower(string(f.name)) == lower {
			return f.bit
		}
	}
	switch lower {
	case "junk":
		return doppelboden.Junk
	case "nonjunk", "notjunk", "$nonjunk":
		return doppelboden.NotJunk
	case "forwarded":
		return doppelboden.Forwarded
	}
	return 0
}

// bitsOf returns those of the named flags that are kept.
func bitsOf(names []imap.Flag) (bits uint32) {
	for _, name := range names {
		bits |= bitOf(name)
	}
	return bits
}
