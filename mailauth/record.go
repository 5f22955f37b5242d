package mailauth

import (
	"strings"
)

// A record is a DMARC policy record: RFC 9989, section 4.7.
type record struct {
	domain string // where it stands, without "_dmarc."
	policy Wish   // p=
	sub    Wish   // sp=; p= when there is none
	none   Wish   // np=: for names that do not exist; sp= when there is none
	dkim   bool   // adkim=s: strict
	spf    bool   // aspf=s: strict
	psd    byte   // psd=: 'y', 'n' or 'u'
	test   bool   // t=y
}

// A Wish is what a domain's owner wants to be done with mail that fails.
type Wish string

// Wishes.
const (
	NoWish     Wish = "none"
	Quarantine Wish = "quarantine"
	Reject     Wish = "reject"
)

// milder returns the wish of a domain that tries DMARC out: one step less.
func (w Wish) milder() Wish {
	if w == Reject {
		return Quarantine
	}
	return NoWish
}

// parseRecord reads a DMARC policy record. Syntax errors after the version become the
// defaults (RFC 9989, section 4.7); "pct", "rf" and "ri" of RFC 7489 are no tags any
// more. ok is false for what is no record; usable is false for one whose policy cannot
// be read and that asks for no reports either (section 4.10.1).
func parseRecord(text string) (r record, usable, ok bool) {
	first, _, _ := strings.Cut(text, ";")
	name, version, _ := strings.Cut(first, "=")
	// The version stands in front and is compared with case.
	if trim(name) != "v" || trim(version) != "DMARC1" {
		return r, false, false
	}
	r.psd = 'u'
	seen := map[string]string{}
	for i, spec := range strings.Split(text, ";") {
		if i == mostTags {
			break
		}
		name, value, ok := strings.Cut(spec, "=")
		if name = strings.ToLower(trim(name)); ok && name != "" {
			if _, twice := seen[name]; !twice {
				seen[name] = strings.ToLower(trim(value))
			}
		}
	}
	bad := false
	wish := func(tag string, otherwise Wish) Wish {
		v, there := seen[tag]
		switch w := Wish(v); {
		case w == NoWish || w == Quarantine || w == Reject:
			return w
		case there:
			bad = true
		}
		return otherwise
	}
	r.policy = wish("p", NoWish)
	r.sub = wish("sp", r.policy)
	r.none = wish("np", r.sub)
	if bad {
		// Section 4.10.1: with an address for reports it counts as p=none.
		r.policy, r.sub, r.none = NoWish, NoWish, NoWish
	}
	r.dkim, r.spf, r.test = seen["adkim"] == "s", seen["aspf"] == "s", seen["t"] == "y"
	if p := seen["psd"]; p == "y" || p == "n" {
		r.psd = p[0]
	}
	return r, !bad || reportable(seen["rua"]), true
}

// reportable reports whether a list of addresses for reports has one that could be one.
func reportable(uris string) bool {
	for _, u := range strings.Split(uris, ",") {
		scheme, rest, ok := strings.Cut(trim(u), ":")
		if ok && rest != "" && isTagName(scheme) {
			return true
		}
	}
	return false
}
