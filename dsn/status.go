package dsn

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"doppelboden"
)

// statusPart writes the part for machines: RFC 3464, section 2.1, and RFC 6533, section
// 4, for addresses beyond US-ASCII.
func (r *Report) statusPart() part {
	international := r.international()
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			b.WriteString(fold(name + ": " + value))
		}
	}
	text := ascii
	if international {
		text = plain
	}
	// RFC 3464, section 2.2.1: decoded from xtext.
	field("Original-Envelope-Id", text(doppelboden.FromXtext(r.EnvID), 200))
	field("Reporting-MTA", "dns; "+r.Hostname)
	if helo := hostname(r.Helo); helo != "" {
		field("Received-From-MTA", "dns; "+helo)
	}
	field("Arrival-Date", date(r.Arrived))
	for i := range r.Recipients {
		to := &r.Recipients[i]
		b.WriteString("\r\n")
		field("Original-Recipient", originalRecipient(to.ORcpt, text))
		field("Final-Recipient", typed(to.Address))
		field("Action", string(to.Action))
		field("Status", to.status())
		field("Remote-MTA", remote(to.Server))
		if to.Reply.Code != 0 {
			// RFC 3464, section 2.3.6; section 9.2 has the type smtp.
			field("Diagnostic-Code", "smtp; "+text(to.words(), maxWords))
		}
		field("Last-Attempt-Date", date(to.LastAttempt))
		if to.Action == Delayed {
			field("Will-Retry-Until", date(to.Until))
		}
	}
	p := part{kind: "message/delivery-status", about: "Delivery report", encoding: "7bit", body: []byte(b.String())}
	if international {
		// RFC 6533, section 6.3: encoded, it passes servers without SMTPUTF8 and 8BITMIME.
		p.kind, p.encoding, p.body = "message/global-delivery-status", "quoted-printable", quoted(p.body)
	}
	return p
}

// words are the next server's reply as it gave it.
func (to *Recipient) words() string {
	w := fmt.Sprintf("%d", to.Reply.Code)
	if to.Reply.Enhanced != "" && !strings.HasPrefix(to.Reply.Text, to.Reply.Enhanced) {
		w += " " + to.Reply.Enhanced
	}
	return w + " " + to.Reply.Text
}

// status returns the enhanced code when it fits the action, else a general one: RFC 3464,
// section 2.3.4.
func (to *Recipient) status() string {
	class, general := byte('5'), "5.0.0"
	switch to.Action {
	case Delayed:
		class, general = '4', "4.0.0"
	case Delivered, Relayed:
		class, general = '2', "2.0.0"
	}
	if s := to.Status; isStatus(s) {
		if s[0] == class {
			return s
		}
		// A time-out that has become an end (4.4.7) keeps its subject.
		return string(class) + s[1:]
	}
	return general
}

// isStatus checks a code of RFC 3463, section 2.
func isStatus(s string) bool {
	words := strings.Split(s, ".")
	if len(words) != 3 || words[0] != "2" && words[0] != "4" && words[0] != "5" {
		return false
	}
	for _, w := range words[1:] {
		if w == "" || len(w) > 3 || strings.Trim(w, "0123456789") != "" {
			return false
		}
	}
	return true
}

// typed writes an address with its type: RFC 3464, section 2.1.2, and RFC 6533, section 3.
func typed(a doppelboden.Address) string {
	if a.IsASCII() {
		return "rfc822; " + ascii(a.String(), 320)
	}
	return "utf-8; " + plain(a.String(), 320)
}

// originalRecipient decodes ORCPT: RFC 3464, section 2.3.1.
func originalRecipient(orcpt string, text func(string, int) string) string {
	kind, address, ok := strings.Cut(orcpt, ";")
	if !ok || kind == "" || !isToken(kind) || address == "" {
		return ""
	}
	if strings.EqualFold(kind, "utf-8") {
		address = decodeUTF8Type(address)
	} else {
		address = doppelboden.FromXtext(address)
	}
	return kind + "; " + text(address, 500)
}

// OriginalOf returns the address that ORCPT names: RFC 3461, section 4.2.
func OriginalOf(orcpt string) (doppelboden.Address, bool) {
	_, written, _ := strings.Cut(originalRecipient(orcpt, func(s string, _ int) string { return s }), "; ")
	a, err := doppelboden.ParseAddress(written)
	return a, err == nil && written != ""
}

// remote names the next server: RFC 3464, section 2.3.5.
func remote(server string) string {
	h := host(server)
	if h == "" {
		return ""
	}
	if a, err := netip.ParseAddr(strings.Trim(h, "[]")); err == nil {
		if a = a.Unmap(); a.Is6() {
			h = "[IPv6:" + a.WithZone("").String() + "]"
		} else {
			h = "[" + a.String() + "]"
		}
	}
	return "dns; " + h
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC1123Z)
}
