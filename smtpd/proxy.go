package smtpd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// The header of the PROXY protocol, as HAProxy's document proxy-protocol.txt has it.
const (
	// proxyV2 begins a header of version 2; no other protocol begins like this.
	proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"
	// maxProxyV1 is the greatest length of a header of version 1, CRLF included.
	maxProxyV1 = 107
	// maxProxyV2 bounds a header of version 2 with its extensions. It fits into the
	// input of a connection; load balancers send some hundred octets.
	maxProxyV2 = inputBase
)

var (
	errProxyShort = errors.New("header of the PROXY protocol has not come to its end")
	errProxyBad   = errors.New("malformed header of the PROXY protocol")
)

// parseProxy reads a header at the front of b and returns its length and who the client
// is; the zero Addr means the load balancer itself. errProxyShort asks for more octets.
func parseProxy(b []byte) (n int, client netip.Addr, err error) {
	switch {
	case len(b) >= len(proxyV2) && string(b[:len(proxyV2)]) == proxyV2:
		return parseProxyV2(b)
	case len(b) < len(proxyV2) && strings.HasPrefix(proxyV2, string(b)):
		return 0, netip.Addr{}, errProxyShort
	}
	return parseProxyV1(b)
}

// parseProxyV1 reads "PROXY TCP4 source destination port port" CRLF: section 2.1.
func parseProxyV1(b []byte) (n int, client netip.Addr, err error) {
	const word = "PROXY "
	if !strings.HasPrefix(string(b[:min(len(b), len(word))]), word[:min(len(b), len(word))]) {
		return 0, client, errProxyBad
	}
	end := bytes.IndexByte(b[:min(len(b), maxProxyV1)], '\n')
	if end < 0 {
		if len(b) >= maxProxyV1 {
			return 0, client, errProxyBad
		}
		return 0, client, errProxyShort
	}
	line, ok := bytes.CutSuffix(b[:end], crlf[:1])
	if !ok {
		return 0, client, errProxyBad
	}
	fields := strings.Split(string(line), " ")
	if len(fields) >= 2 && fields[1] == "UNKNOWN" { // what follows is to be ignored
		return end + 1, client, nil
	}
	if len(fields) != 6 {
		return 0, client, errProxyBad
	}
	from, errFrom := netip.ParseAddr(fields[2])
	to, errTo := netip.ParseAddr(fields[3])
	v4 := fields[1] == "TCP4"
	switch {
	case !v4 && fields[1] != "TCP6", errFrom != nil, errTo != nil, from.Zone() != "", to.Zone() != "",
		from.Is4() != v4, to.Is4() != v4, !isPort(fields[4]), !isPort(fields[5]):
		return 0, client, errProxyBad
	}
	return end + 1, from.Unmap(), nil
}

// isPort reports whether s is a decimal number from 0 to 65535 without leading zeros.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// parseProxyV2 reads the binary header: section 2.2.
func parseProxyV2(b []byte) (n int, client netip.Addr, err error) {
	const fixed = len(proxyV2) + 4
	if len(b) < fixed {
		return 0, client, errProxyShort
	}
	version, family := b[12], b[13]
	n = fixed + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case version>>4 != 2 || version&0xf > 1, n > maxProxyV2:
		return 0, client, errProxyBad
	case len(b) < n:
		return 0, client, errProxyShort
	case version&0xf == 0: // LOCAL: the load balancer speaks for itself
		return n, client, nil
	}
	addresses := b[fixed:n]
	switch family {
	case 0x11: // TCP over IPv4: two addresses and two ports
		if len(addresses) < 12 {
			return 0, client, errProxyBad
		}
		return n, netip.AddrFrom4([4]byte(addresses)), nil
	case 0x21: // TCP over IPv6
		if len(addresses) < 36 {
			return 0, client, errProxyBad
		}
		return n, netip.AddrFrom16([16]byte(addresses)).Unmap(), nil
	case 0x00: // UNSPEC: to be taken as if there were no header
		return n, client, nil
	}
	return 0, client, errProxyBad // UDP, UNIX sockets: nobody relays SMTP over them to us
}
