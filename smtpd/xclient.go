package smtpd

import (
	"net/netip"
	"strings"

	"doppelboden"
)

// ehloXclient is what EHLO tells trusted hops: Postfix's XCLIENT_README. Others learn
// nothing of it.
const ehloXclient = "250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n"

// A told is what a trusted hop said about its client.
type told struct {
	client bool   // it named the address
	name   string // of the client, or ""
	helo   string // what the client called itself, or ""
}

// peerName returns the client's name: what a hop told, else what the DNS says.
func (c *conn) peerName() string {
	if c.told.client {
		return c.told.name
	}
	return c.server.names.of(c.peer)
}

// doXclient: XCLIENT_README. What was told earlier on the connection stays, where it is
// not told anew, so that long attributes can come in several commands.
func (c *conn) doXclient(arg []byte) {
	switch {
	case !c.hop.IsValid():
		c.wrong(replyNotHop)
		return
	case c.mail.tx != nil:
		c.wrong(replyXclientMail)
		return
	}
	x, ok := parseXclient(string(arg))
	if !ok {
		c.wrong(replyXclient)
		return
	}
	if x.addr != nil {
		c.peer, c.told.client = *x.addr, x.addr.IsValid()
		if !c.told.client { // the hop does not know: then it speaks for itself
			c.peer = c.hop
		}
	}
	if x.name != nil {
		c.told.name = *x.name
	}
	if x.helo != nil {
		c.told.helo = *x.helo
	}
	// The session begins anew, with the greeting.
	c.helo, c.extended, c.login = "", false, ""
	c.welcome()
}

// An xclient holds the attributes of one command that we use; nil: not given.
type xclient struct {
	addr *netip.Addr // the zero Addr: unknown
	name *string     // "": unknown
	helo *string     // "": unknown
}

// parseXclient reads "NAME=value ADDR=value …". Attributes that we have no use for are
// checked and forgotten: PROTO is what we see in EHLO, and LOGIN is another server's
// word for a user whom we don't know.
func parseXclient(arg string) (x xclient, ok bool) {
	if arg == "" {
		return x, false
	}
	for word := range strings.SplitSeq(arg, " ") {
		name, raw, has := strings.Cut(word, "=")
		value, good := xclientValue(raw)
		if !has || !good {
			return xclient{}, false
		}
		switch strings.ToUpper(name) {
		case "ADDR":
			addr, good := xclientAddr(value)
			if !good || x.addr != nil {
				return xclient{}, false
			}
			x.addr = &addr
		case "NAME":
			if value != "" && !isHostName(value) || x.name != nil {
				return xclient{}, false
			}
			x.name = &value
		case "HELO":
			if value != "" && !isHelo([]byte(value)) || x.helo != nil {
				return xclient{}, false
			}
			x.helo = &value
		case "PORT", "PROTO", "LOGIN", "DESTADDR", "DESTPORT":
		default:
			return xclient{}, false
		}
	}
	return x, true
}

// xclientValue decodes xtext (RFC 3461, section 4). What the hop does not know, or does
// not know yet, is "".
func xclientValue(raw string) (string, bool) {
	if strings.EqualFold(raw, "[UNAVAILABLE]") || strings.EqualFold(raw, "[TEMPUNAVAIL]") {
		return "", true
	}
	if len(raw) > 255 || !isXtext([]byte(raw), false) {
		return "", false
	}
	return doppelboden.FromXtext(raw), true
}

// xclientAddr reads an address: IPv6 has "IPV6:" in front.
func xclientAddr(s string) (netip.Addr, bool) {
	if s == "" {
		return netip.Addr{}, true
	}
	const v6 = "IPV6:"
	if len(s) > len(v6) && strings.EqualFold(s[:len(v6)], v6) {
		a, err := netip.ParseAddr(s[len(v6):])
		return a.Unmap(), err == nil && a.Is6() && a.Zone() == ""
	}
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Is4()
}
