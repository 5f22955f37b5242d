package intake

import (
	"bytes"
	"net/netip"
	"strings"
	"time"

	"doppelboden"
)

// received returns our trace line, RFC 5321, section 4.4. Names that the client chose
// are reduced to harmless characters: they stand in a header that people's programs
// read. first is the first recipient as RCPT named it.
func received(e Envelope, hostname string, m *doppelboden.Message, first doppelboden.Address) []byte {
	b := make([]byte, 0, 384)
	b = append(b, "Received: "...)
	if !e.Own.isPerson() { // where somebody works, or lives, is nobody's business
		b = appendFrom(b, e)
	}
	b = append(b, "by "...)
	b = append(b, hostname...)
	if e.Own != nil {
		b = append(b, " (Doppelboden submission) with "...)
	} else {
		b = append(b, " (Doppelboden) with "...)
	}
	b = append(b, e.Proto...)
	b = append(b, " id "...)
	b = append(b, m.ID.String()...)
	// RFC 5321, section 7.6: with several recipients "for" would tell each of the
	// others, blind copies too. Non-ASCII addresses need a header in UTF-8.
	if m.Recipients == 1 && (m.SMTPUTF8 || first.IsASCII()) {
		b = append(b, "\r\n\tfor <"...)
		b = append(b, first.String()...)
		b = append(b, '>')
	}
	b = append(b, ";\r\n\t"...)
	b = m.Received.AppendFormat(b, time.RFC1123Z)
	return append(b, "\r\n"...)
}

// appendFrom says who the client is.
func appendFrom(b []byte, e Envelope) []byte {
	b = append(b, "from "...)
	b = append(b, heloWord(e.Helo)...)
	b = append(b, " ("...)
	if e.PeerName != "" {
		b = append(b, harmless(e.PeerName)...)
		b = append(b, ' ')
	}
	b = append(b, addressLiteral(e.Peer)...)
	b = append(b, ")\r\n"...)
	if e.TLS != "" {
		b = append(b, "\t(using "...)
		b = append(b, harmless(e.TLS)...)
		b = append(b, ")\r\n"...)
	}
	return append(b, '\t')
}

// generated returns the trace line of a message that we make ourselves: by it the message
// is found again in a mailbox.
func generated(hostname string, m *doppelboden.Message) []byte {
	b := append([]byte("Received: by "), hostname...)
	b = append(b, " (Doppelboden) with local id "...)
	b = append(b, m.ID.String()...)
	b = append(b, ";\r\n\t"...)
	b = m.Received.AppendFormat(b, time.RFC1123Z)
	return append(b, "\r\n"...)
}

// heloWord returns what the client calls itself, or "unknown".
func heloWord(helo string) string {
	if w := harmless(helo); w != "" {
		return w
	}
	return "unknown"
}

// harmless keeps the characters of host names and address literals.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-._:[] ", r):
			return r
		}
		return -1
	}, s[:min(len(s), 255)])
}

// addressLiteral writes an IP address as RFC 5321, section 4.1.3, has it.
func addressLiteral(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return "[unknown]"
	}
	if a = a.Unmap(); a.Is6() {
		return "[IPv6:" + a.WithZone("").String() + "]"
	}
	return "[" + a.String() + "]"
}

const (
	// mostHops is the greatest number of Received lines: RFC 5321, section 6.3, asks
	// for at least 100.
	mostHops = 100
	// mostVisits is how often a mail may have come to us from strangers: once, and again
	// for each forward that led it out of the city and back.
	mostVisits = 4
	// mostHairpins is how often the city's own senders may have given us a mail.
	// Groupware that sends internal mail to us and gets it back does so once, and again
	// for each forward from one colleague to the next.
	mostHairpins = 10
)

// checkLoop counts the Received lines of a header section. The code is Loop.
func checkLoop(header []byte, hostname string) error {
	hops, visits, hairpins := 0, 0, 0
	host := strings.ToLower(hostname)
	visit, hairpin := []byte(" by "+host+" (doppelboden) "), []byte(" by "+host+" (doppelboden submission) ")
	eachField(header, func(field []byte) {
		if len(field) < 9 || !bytes.EqualFold(field[:9], []byte("received:")) {
			return
		}
		hops++
		switch line := bytes.ToLower(unfold(field)); {
		case bytes.Contains(line, visit):
			visits++
		case bytes.Contains(line, hairpin):
			hairpins++
		}
	})
	if hops > mostHops || visits > mostVisits || hairpins > mostHairpins {
		return &doppelboden.Error{Code: doppelboden.Loop, Public: "this message is going round in circles"}
	}
	return nil
}

// eachField calls do for every header field, folded lines included.
func eachField(header []byte, do func(field []byte)) {
	for len(header) > 0 {
		var field []byte
		field, header = doppelboden.NextField(header)
		do(field)
	}
}

// unfold joins the lines of a field: every run of white space becomes one space.
func unfold(field []byte) []byte { return bytes.Join(bytes.Fields(field), []byte(" ")) }
