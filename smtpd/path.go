package smtpd

import (
	"bytes"
	"strings"

	"doppelboden"
)

// A path is what stands between "<" and ">" in MAIL and RCPT: RFC 5321, section 4.1.2.
type path struct {
	address doppelboden.Address // zero for "<>"; without Domain for "<postmaster>"
	utf8    bool                // it holds octets above US-ASCII: RFC 6531
}

// cutPath takes a path, with its angle brackets, from the front of s and returns what
// follows. ok is false when there is none or it is malformed.
func cutPath(s []byte) (p path, rest []byte, ok bool) {
	end := pathEnd(s)
	if end < 0 {
		return path{}, nil, false
	}
	inner := string(s[1:end])
	rest = s[end+1:]
	for i := range len(inner) {
		p.utf8 = p.utf8 || inner[i] >= 0x80
	}
	if inner == "" {
		return p, rest, true
	}
	inner, ok = cutRoute(inner)
	if !ok {
		return path{}, nil, false
	}
	// RFC 5321, section 4.5.1: postmaster needs no domain.
	if !p.utf8 && strings.EqualFold(inner, "postmaster") {
		p.address.Local = "postmaster"
		return p, rest, true
	}
	var err error
	p.address, err = doppelboden.ParseAddress(inner)
	return p, rest, err == nil
}

// pathEnd returns the index of the ">" that closes the path at the front of s, or -1.
// A ">" within a quoted local part closes nothing.
func pathEnd(s []byte) int {
	if len(s) == 0 || s[0] != '<' {
		return -1
	}
	if len(s) > 1 && s[1] != '"' && s[1] != '@' {
		return bytes.IndexByte(s, '>')
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i
		}
	}
	return -1
}

// cutRoute leaves a source route out: RFC 5321, section 4.1.1.3 and appendix C, has
// servers ignore "@a,@b:" before the mailbox.
func cutRoute(s string) (string, bool) {
	if s[0] != '@' {
		return s, true
	}
	route, mailbox, ok := strings.Cut(s, ":")
	if !ok || mailbox == "" {
		return "", false
	}
	for _, hop := range strings.Split(route, ",") {
		if len(hop) < 2 || hop[0] != '@' || strings.ContainsAny(hop[1:], "@<>\" ") {
			return "", false
		}
	}
	return mailbox, true
}
