package smtpd

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"doppelboden"
)

// everybody is a Hop that trusts any address that has one.
func everybody(a netip.Addr) bool { return a.IsLoopback() }

func TestAHopNamesItsClientByXCLIENT(t *testing.T) {
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag, Hop: everybody})
	d := connect(t, addr)
	if got := d.ask("EHLO gw.example", "250-"); !strings.Contains(got, "250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n") {
		t.Fatalf("EHLO does not offer XCLIENT to a hop: %q", got)
	}
	d.ask("XCLIENT NAME=mail.strange.example ADDR=192.0.2.77 PROTO=ESMTP", "220 mx.city.example")
	d.ask("MAIL FROM:<a@strange.example>", "503 5.5.1 EHLO or HELO first")
	d.ask("XCLIENT HELO=hi+2Dhi.strange.example LOGIN=[UNAVAILABLE]", "220 ")
	d.ask("EHLO gw.example", "250-")
	d.ask("MAIL FROM:<a@strange.example>", "250")
	d.ask("XCLIENT ADDR=192.0.2.1", "503 5.5.1 Not within a mail transaction")
	d.ask("RCPT TO:<b@city.example>", "250")
	d.ask("DATA", "354")
	d.ask(".", "250")
	if e := bag.parcels()[0].envelope; e.Peer.String() != "192.0.2.77" || e.PeerName != "mail.strange.example" || e.Helo != "hi-hi.strange.example" {
		t.Errorf("envelope %+v, wanted what both commands told", e)
	}
}

func TestWhatAHopTellsIsInTheEnvelope(t *testing.T) {
	for _, c := range []struct {
		say              string
		peer, name, helo string
		told             bool
	}{
		{"XCLIENT ADDR=192.0.2.77 NAME=mail.strange.example HELO=hi.strange.example", "192.0.2.77", "mail.strange.example", "hi.strange.example", true},
		{"XCLIENT ADDR=IPV6:2001:db8::1 NAME=[TEMPUNAVAIL]", "2001:db8::1", "", "gw.example", true},
		{"xclient addr=192.0.2.77", "192.0.2.77", "", "gw.example", true},
		{"XCLIENT ADDR=[UNAVAILABLE] NAME=[UNAVAILABLE]", "127.0.0.1", "localhost", "gw.example", false},
		{"NOOP", "127.0.0.1", "localhost", "gw.example", false},
	} {
		bag := newBag()
		_, addr := overTCP(t, Options{Intake: bag, Hop: everybody})
		d := connect(t, addr)
		d.ask(c.say, "2")
		d.ask("EHLO gw.example", "250-")
		d.mail()
		d.ask(".", "250")
		e := bag.parcels()[0].envelope
		if e.Peer.String() != c.peer || e.PeerName != c.name || e.Helo != c.helo || e.Told != c.told || e.Hop.String() != "127.0.0.1" {
			t.Errorf("%s: %+v, wanted %+v", c.say, e, c)
		}
	}
}

func TestMalformedXCLIENTIsRefusedAndChangesNothing(t *testing.T) {
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag, Hop: everybody, MaxErrors: 100})
	d := connect(t, addr)
	for _, s := range []string{"XCLIENT", "XCLIENT ADDR", "XCLIENT ADDR=", "XCLIENT ADDR=300.1.1.1", "XCLIENT ADDR=2001:db8::1",
		"XCLIENT ADDR=IPV6:192.0.2.1", "XCLIENT ADDR=192.0.2.1 ADDR=192.0.2.2", "XCLIENT NAME=a+20b", "XCLIENT NAME=a+0D+0Ab",
		"XCLIENT HELO=<x>", "XCLIENT NAME=+zz", "XCLIENT FOO=bar", "XCLIENT  ADDR=192.0.2.1", "XCLIENT ADDR=IPV6:fe80::1%25eth0"} {
		d.ask(s, "501 5.5.4")
	}
	d.ask("EHLO gw.example", "250-")
	d.mail()
	d.ask(".", "250")
	if e := bag.parcels()[0].envelope; e.Told || e.Peer.String() != "127.0.0.1" {
		t.Errorf("envelope %+v, wanted that of the hop itself", e)
	}
}

func TestWhatAHopTellsInClearTextIsForgottenAfterStartTLS(t *testing.T) {
	server, client := certificate(t)
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag, Hop: everybody, TLS: server})
	d := connect(t, addr)
	d.ask("XCLIENT ADDR=192.0.2.77 HELO=evil.example", "220")
	d.ask("EHLO gw.example", "250-")
	d.secure(client)
	d.ask("EHLO gw.example", "250-")
	d.mail()
	d.ask(".", "250")
	if e := bag.parcels()[0].envelope; e.Told || e.Peer.String() != "127.0.0.1" || e.Helo != "gw.example" {
		t.Errorf("envelope %+v, wanted that of the hop itself", e)
	}
}

func TestLimitsForStrangersDoNotHoldForHops(t *testing.T) {
	none := []netip.Prefix{}
	bag := newBag()
	bag.rcpt = func(Recipient) error { return fails(doppelboden.NoSuchMailbox, "no") }
	_, addr := overTCP(t, Options{Intake: bag, Hop: everybody, Trusted: none, MaxPerAddress: 1, MaxRefusedRecipients: 2, MaxJunk: 3})
	connect(t, addr)
	d := connect(t, addr) // one more than MaxPerAddress
	d.ask("EHLO gw.example", "250-")
	for range 10 {
		d.ask("MAIL FROM:<a@strange.example>", "250")
		d.ask("RCPT TO:<x@city.example>", "550")
		d.ask("RSET", "250")
	}
}

// overProxy serves a port with the PROXY protocol.
func overProxy(t *testing.T, o Options) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, o)
	served := make(chan error, 1)
	go func() { served <- s.ServeProxied(context.Background(), l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
	})
	return l.Addr().String()
}

// greeted sends a header and returns a dialogue that has heard the greeting.
func greeted(t *testing.T, addr, header string) *dialogue {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	d := &dialogue{t: t, conn: conn, r: newReader(conn)}
	d.say(header)
	d.hear("220 ")
	return d
}

const (
	v2head = proxyV2 + "\x21"
	v4From = "\xc0\x00\x02\x4d\x7f\x00\x00\x01\x12\x34\x00\x19"
)

func TestALoadBalancerNamesItsClientByThePROXYProtocol(t *testing.T) {
	v6 := strings.Repeat("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", 2) + "\x12\x34\x00\x19"
	for header, peer := range map[string]string{
		"PROXY TCP4 192.0.2.77 127.0.0.1 4660 25\r\n":            "192.0.2.77",
		"PROXY TCP6 2001:db8::1 ::1 4660 25\r\n":                 "2001:db8::1",
		"PROXY UNKNOWN\r\n":                                      "127.0.0.1",
		"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n":          "127.0.0.1",
		v2head + "\x11\x00\x0c" + v4From:                         "192.0.2.77",
		v2head + "\x11\x00\x0f" + v4From + "\x04\x00\x00":        "192.0.2.77", // an extension follows
		v2head + "\x21\x00\x24" + v6:                             "2001:db8::1",
		proxyV2 + "\x20\x11\x00\x0c" + v4From:                    "127.0.0.1", // LOCAL
		v2head + "\x00\x00\x00":                                  "127.0.0.1", // UNSPEC
		"PROXY TCP4 192.0.2.77 127.0.0.1 4660 25\r\nEHLO lb\r\n": "192.0.2.77",
		v2head + "\x11\x00\x0c" + v4From + "EHLO lb.example\r\n": "192.0.2.77",
	} {
		bag := newBag()
		d := greeted(t, overProxy(t, Options{Intake: bag, Hop: everybody}), header)
		if strings.Contains(header, "EHLO") {
			d.hear("250-")
		} else {
			d.ask("EHLO client.example", "250-")
		}
		d.mail()
		d.ask(".", "250")
		if e := bag.parcels()[0].envelope; e.Peer.String() != peer || e.Hop.IsValid() != (peer == "127.0.0.1") {
			t.Errorf("%q: %+v, wanted peer %s", header, e, peer)
		}
	}
}

func TestAWrongPROXYHeaderGetsNoGreeting(t *testing.T) {
	for _, header := range []string{"EHLO x\r\n", "PROXY\r\n", "PROXY TCP4 192.0.2.77 127.0.0.1 4660\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n",
		"PROXY TCP4 192.0.2.77 127.0.0.1 04660 25\r\n", "PROXY TCP4 192.0.2.77 127.0.0.1 99999 25\r\n", "PROXY TCP4 1.2.3.4 127.0.0.1 1 2\n",
		"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY " + strings.Repeat("x", 200), proxyV2 + "\x31\x11\x00\x0c" + v4From,
		v2head + "\x11\x00\x04" + v4From, v2head + "\x31\x00\x00", v2head + "\x11\xff\xff" + v4From, proxyV2 + "\x22\x11\x00\x0c" + v4From} {
		addr := overProxy(t, Options{Intake: newBag(), Hop: everybody})
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		d := &dialogue{t: t, conn: conn, r: newReader(conn)}
		d.say(header)
		d.ended()
		conn.Close()
	}
}

func TestAStrangerAtThePortOfLoadBalancersIsNotHeard(t *testing.T) {
	bag := newBag()
	addr := overProxy(t, Options{Intake: bag, Hop: func(netip.Addr) bool { return false }})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d := &dialogue{t: t, conn: conn, r: newReader(conn)}
	d.hear("554 5.7.0")
	d.ended()
}

func TestClientsBehindALoadBalancerAreCountedEachForItself(t *testing.T) {
	addr := overProxy(t, Options{Intake: newBag(), Hop: everybody, MaxPerAddress: 1})
	first := greeted(t, addr, "PROXY TCP4 192.0.2.77 127.0.0.1 4660 25\r\n")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialogue{t: t, conn: conn, r: newReader(conn)}
	d.say("PROXY TCP4 192.0.2.77 127.0.0.1 4661 25\r\n")
	d.hear("421 4.7.0")
	d.ended()
	conn.Close()
	greeted(t, addr, "PROXY TCP4 192.0.2.78 127.0.0.1 4662 25\r\n")
	first.ask("QUIT", "221")
	first.ended()
}

func FuzzProxy(f *testing.F) {
	for _, s := range []string{"PROXY TCP4 192.0.2.77 127.0.0.1 4660 25\r\nx", "PROXY TCP6 2001:db8::1 ::1 4660 25\r\n", "PROXY UNKNOWN\r\n",
		v2head + "\x11\x00\x0c" + v4From, v2head + "\x11\x00\x0f" + v4From + "\x04\x00\x00x", proxyV2 + "\x20\x00\x00\x00", "P", "\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		n, client, err := parseProxy(in)
		switch {
		case err == nil && (n <= 0 || n > len(in)):
			t.Fatalf("%q: %d octets of %d", in, n, len(in))
		case err == nil && client.IsValid() && (client.Zone() != "" || client.Is4In6()):
			t.Fatalf("%q: client %v", in, client)
		case err == errProxyShort && len(in) >= maxProxyV2:
			t.Fatalf("%d octets and no decision", len(in))
		case err == nil:
			// What follows must not matter, nor in how many pieces it comes.
			m, again, err := parseProxy(in[:n])
			if m != n || again != client || err != nil {
				t.Fatalf("%q: %d, %v, %v; alone %d, %v, %v", in, n, client, nil, m, again, err)
			}
			for i := range n {
				if _, _, err := parseProxy(in[:i]); err != errProxyShort {
					t.Fatalf("%q: the first %d octets give %v", in, i, err)
				}
			}
		}
	})
}

func FuzzXclient(f *testing.F) {
	for _, s := range []string{"ADDR=192.0.2.1 NAME=a.example HELO=x+2Dy", "ADDR=IPV6:2001:db8::1", "NAME=[UNAVAILABLE]", "HELO=+0D+0A", "PROTO=SMTP LOGIN=a+40b PORT=25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x, ok := parseXclient(s)
		if !ok {
			return
		}
		for _, v := range []*string{x.name, x.helo} {
			if v != nil && strings.ContainsFunc(*v, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("<>()@,;\\\"", r) }) {
				t.Fatalf("%q gives %q, which could leave its place in a Received line", s, *v)
			}
		}
		if x.addr != nil && (x.addr.Zone() != "" || x.addr.Is4In6()) {
			t.Fatalf("%q gives address %v", s, *x.addr)
		}
	})
}

// FuzzOwnCommands plays whole sessions of a hop at a door for own senders; see
// FuzzCommands.
func FuzzOwnCommands(f *testing.F) {
	const head = "XCLIENT ADDR=192.0.2.9\r\nEHLO x\r\nMAIL FROM:<a@b.example> AUTH=x\r\nRCPT TO:<c@city.example>\r\n"
	for _, s := range []string{
		head + "DATA\r\nA\rB\x00\nC\r\n.\r\nXCLIENT NAME=y\r\nAUTH PLAIN AGEAYg==\r\nQUIT\r\n",
		head + "BDAT 4\r\nA\r\x00\rBDAT 1 LAST\r\n\r" + head + "XCLIENT ADDR=1\r\nDATA\r\n.\r\n",
		"PROXY TCP4 192.0.2.9 127.0.0.1 1 2\r\n" + head + "DATA\r\n\r.\r\n.\r\n",
	} {
		f.Add([]byte(s), uint16(len(s)/2), strings.HasPrefix(s, "PROXY"))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16, proxied bool) {
		bag := newBag()
		s := newServer(t, Options{Intake: bag, MaxSize: 1000, Mend: true, Gate: &gatekeeper{addr: "192.0.2.9"},
			Hop: func(a netip.Addr) bool { return a.String() == "192.0.2.1" }})
		how := viaPort
		if proxied {
			how = viaProxy
		}
		at := min(int(cut), len(in))
		client := &script{parts: [][]byte{in[:at], in[at:]}, done: make(chan struct{})}
		s.take(context.Background(), client, how)
		<-client.done
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		checkReplies(t, bag, in, client.heard.Bytes())
		for _, p := range bag.kept {
			if p.envelope.Login != "neighbour" || p.envelope.Peer.String() != "192.0.2.9" {
				t.Fatalf("%q: kept a mail of %+v", in, p.envelope)
			}
		}
	})
}
