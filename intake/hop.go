package intake

import (
	"bytes"
	"net/netip"
	"strings"
)

// A Hop is a trusted hop: a gateway in front of us that somebody has configured.
type Hop struct {
	// Told says that Envelope.Peer is its client, not the hop itself.
	Told bool
	// Names are what it calls itself behind "by" in its Received lines; none: these are
	// not believed.
	Names []string
	// Inside reports whether an address is one of its own, so that a Received line that
	// names it is about the way within the hop.
	Inside func(netip.Addr) bool
	// AuthservID is its name in Authentication-Results (RFC 8601, section 2.5); empty:
	// these are not believed.
	AuthservID string
}

// mostInside bounds how many Received lines a mail gets within one hop: a content filter
// adds two.
const mostInside = 5

// believe returns e as a trusted hop tells it: with the client that the hop had, and with
// the authentication results that it found. When nobody knows the client, Peer is empty,
// for what the DNS says about a gateway of our own says nothing about a sender.
func believe(e Envelope, header []byte) Envelope {
	if e.Hop == nil {
		return e
	}
	var results []string
	lines := 0 // Received lines so far
	inside := !e.Hop.Told && len(e.Hop.Names) > 0
	if !e.Hop.Told {
		e.Peer, e.PeerName, e.Helo = "", "", ""
	}
	eachField(header, func(field []byte) {
		value, is := cutField(field, "received")
		switch {
		case is:
			if lines++; !inside || lines > mostInside {
				inside = false
				return
			}
			from, ok := parseReceived(string(unfold(value)))
			ok = ok && fold(e.Hop.Names, from.by) && from.client.IsValid()
			// Mail that the hop made itself has no client, and what is below is not its word.
			if inside = ok && (from.client.IsLoopback() || e.Hop.Inside(from.client)); ok && !inside {
				e.Peer, e.Helo = from.client.String(), from.helo
				lines = 1 // what stands above the next one is the hop's
			}
		case e.Hop.AuthservID != "" && (inside || lines <= 1):
			if value := field[min(len(authRes), len(field)):]; strings.EqualFold(string(field[:len(field)-len(value)]), authRes) &&
				authservID(value, e.Hop.AuthservID) {
				results = append(results, string(unfold(value)))
			}
		}
	})
	e.Trusted = results
	return e
}

// authRes begins the field in which a hop tells what it checked: RFC 8601, section 2.
const authRes = "Authentication-Results:"

// fold reports whether names holds name, in either case.
func fold(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// authservID reports whether an Authentication-Results field is the word of id: RFC
// 8601, section 2.2. Only the plain spelling is believed, as every program writes its own
// and removes what strangers forged: a comment, a version or a space before the colon may
// have slipped past the hop.
func authservID(value []byte, id string) bool {
	word, _, ended := bytes.Cut(bytes.TrimLeft(value, " \t\r\n"), []byte(";"))
	return ended && strings.EqualFold(string(word), id)
}

// A trace is what a Received line says.
type trace struct {
	helo   string     // what the client called itself; "" when that is not a name
	client netip.Addr // zero when the line names none
	by     string     // who wrote the line
}

// parseReceived reads "from helo (name [address]) by host …" (RFC 5321, section 4.4) as
// Postfix, Exim, sendmail, qmail and Exchange write it. Only the comment behind the name
// holds what the server itself saw; all the rest may be the client's words. A line with
// more than one address in that comment is not understood.
func parseReceived(value string) (t trace, ok bool) {
	rest, ok := cutWord(&value, "from")
	if !ok {
		return trace{by: byOf(value)}, byOf(value) != ""
	}
	helo, rest, _ := strings.Cut(rest, " ")
	if isName(helo) {
		t.helo = helo
	}
	for seen := false; strings.HasPrefix(rest, "("); {
		comment, after, ok := cutComment(rest)
		if !ok {
			return trace{}, false
		}
		rest = after
		if name, is := strings.CutPrefix(comment, "HELO "); is && !seen { // qmail
			if t.helo = ""; isName(name) {
				t.helo = name
			}
			continue
		}
		if !seen && !t.readComment(comment) {
			return trace{}, false
		}
		seen = true
	}
	t.by = byOf(rest)
	return t, t.by != ""
}

// cutWord cuts a word, in either case, and the space behind it from the front.
func cutWord(s *string, word string) (rest string, ok bool) {
	text := strings.TrimLeft(*s, " ")
	if len(text) <= len(word) || !strings.EqualFold(text[:len(word)], word) || text[len(word)] != ' ' {
		return "", false
	}
	return text[len(word)+1:], true
}

// byOf returns the host behind "by" at the front of s, or "".
func byOf(s string) string {
	rest, ok := cutWord(&s, "by")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, " ")
	return strings.TrimSuffix(host, ";")
}

// cutComment cuts "(…) " from the front of s. What is nested in it is left out.
func cutComment(s string) (text, rest string, ok bool) {
	var b strings.Builder
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return b.String(), strings.TrimLeft(s[i+1:], " "), true
			}
		case depth == 1:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// readComment takes the client's address out of what the server saw. It returns false
// when it finds more than one.
func (t *trace) readComment(text string) bool {
	text = strings.TrimSpace(text)
	if a, err := netip.ParseAddr(text); err == nil { // Exchange, qmail
		t.client = a.Unmap()
		return true
	}
	for word := range strings.FieldsSeq(text) {
		if name, is := strings.CutPrefix(word, "helo="); is { // Exim
			if t.helo = ""; isName(name) {
				t.helo = name
			}
			continue
		}
		inner, is := strings.CutPrefix(word, "[")
		if !is {
			continue
		}
		inner, after, is := strings.Cut(inner, "]")
		if !is || after != "" && !strings.HasPrefix(after, ":") {
			continue
		}
		if len(inner) > 5 && strings.EqualFold(inner[:5], "ipv6:") {
			inner = inner[5:]
		}
		a, err := netip.ParseAddr(inner)
		if err != nil || t.client.IsValid() {
			return false
		}
		t.client = a.Unmap().WithZone("")
	}
	return true
}

// isName reports whether s can be what a client calls itself.
func isName(s string) bool {
	return s != "" && len(s) <= 255 && harmless(s) == s && !strings.Contains(s, " ")
}
