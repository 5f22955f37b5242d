package courier_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"doppelboden/courier"
	"doppelboden/sink"
)

// authServer is a smart host that wants a log-in, with TLS or without.
func authServer(cert *tls.Certificate, secret string, heard *[]string) func(int, net.Conn) {
	return func(_ int, c net.Conn) {
		in := bufio.NewReader(c)
		say := func(s string) { io.WriteString(c, s+"\r\n") }
		say("220 relay")
		in354 := false
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimRight(line, "\r\n")
			*heard = append(*heard, line)
			switch verb, rest, _ := strings.Cut(line, " "); {
			case in354:
				if in354 = line != "."; !in354 {
					say("250 2.0.0 taken")
				}
			case verb == "EHLO" && cert != nil:
				say("250-relay\r\n250 STARTTLS")
			case verb == "EHLO":
				say("250-relay\r\n250 AUTH PLAIN")
			case verb == "STARTTLS":
				say("220 go")
				tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*cert}})
				c, in, cert = tc, bufio.NewReader(tc), nil
			case verb == "AUTH" && rest == "PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00stadt\x00"+secret)):
				say("235 2.7.0 welcome")
			case verb == "AUTH":
				say("535 5.7.8 who are you")
			case verb == "DATA":
				say("354 go")
				in354 = true
			default:
				say("250 2.0.0 ok")
			}
		}
	}
}

func TestASmartHostIsToldWhoWeAreWithinTLSOnly(t *testing.T) {
	cert, roots := certificate(t, "relay.example")
	for _, c := range []struct {
		name   string
		cert   *tls.Certificate
		mode   courier.RouteTLS
		secret string
		want   string
	}{
		{"right", &cert, courier.RouteTLS{Mode: courier.RequireTLS, Verify: true, ServerName: "relay.example"}, "geheim", "0 took about message at dot 250 2.0.0"},
		{"wrong password", &cert, courier.RouteTLS{Mode: courier.RequireTLS}, "other", "0 later about route at helo 535 5.7.8"},
		{"no TLS offered", nil, courier.RouteTLS{}, "geheim", "0 later about route at helo"},
		{"no TLS wanted", &cert, courier.RouteTLS{Mode: courier.NoTLS}, "geheim", "0 later about route at helo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var heard []string
			s := newRawServer(t, authServer(c.cert, c.secret, &heard))
			store := bodies{}
			a := courier.NewAgent(courier.Options{Bodies: store, TLS: &tls.Config{RootCAs: roots}}, courier.Route{
				Name: "relay", Hosts: []courier.Host{{Addr: s.addr()}}, TLS: c.mode, Internet: true,
				Login: &courier.Login{User: "stadt", Password: "geheim"},
			})
			hand(t, a, store.message("m", "x\r\n", "clerk@x.example"), c.want)
			a.Close()
			s.close()
			said := slices.ContainsFunc(heard, func(line string) bool { return strings.HasPrefix(line, "AUTH") })
			if wanted := c.cert != nil && c.mode.Mode == courier.RequireTLS; said != wanted {
				t.Errorf("the password was sent: %v, want %v; heard %q", said, wanted, heard)
			}
		})
	}
}

func TestConnectionsComeFromTheAddressThatIsConfigured(t *testing.T) {
	var from string
	s := newRawServer(t, func(_ int, c net.Conn) { from = c.RemoteAddr().(*net.TCPAddr).IP.String(); nullServer(0, c) })
	z := zone{"MX x.example": "10 one.example", "A one.example": "2001:db8::1 127.0.0.1"}
	store := bodies{}
	port := s.l.Addr().(*net.TCPAddr).Port
	a := courier.NewAgent(courier.Options{Bodies: store, Resolver: z, Loopback: true, ExchangerPort: port}, courier.Route{
		Name: "internet", Domain: "x.example", Internet: true, Sources: []netip.Addr{netip.MustParseAddr("127.0.0.7")},
	})
	hand(t, a, store.message("m", "x\r\n", "clerk@x.example"), "0 took about message at dot 250 2.0.0")
	a.Close()
	s.close()
	if from != "127.0.0.7" {
		t.Errorf("the connection came from %s, want 127.0.0.7", from)
	}
}

// TestAnExchangerWhoseTLSIsBrokenGetsItInPlainText is RFC 7435: a new connection, and the
// name of the exchanger in the handshake.
func TestAnExchangerWhoseTLSIsBrokenGetsItInPlainText(t *testing.T) {
	cert, _ := certificate(t, "one.example")
	for _, broken := range []bool{false, true} {
		var name string
		s := startSink(t, sink.Options{TLS: &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name = h.ServerName
			if broken {
				return nil, io.ErrUnexpectedEOF
			}
			return &cert, nil
		}}})
		z := zone{"MX x.example": "10 one.example", "A one.example": "127.0.0.1"}
		store := bodies{}
		_, port, err := net.SplitHostPort(s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		a := courier.NewAgent(courier.Options{Bodies: store, Resolver: z, Memory: courier.NewMemory(),
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
			}, Loopback: true}, courier.Route{Name: "internet", Domain: "x.example", Internet: true})
		hand(t, a, store.message("m", "x\r\n", "clerk@x.example"), tookSMTP)
		a.Close()
		if got := s.Messages()[0].TLS; got == broken || name != "one.example" {
			t.Errorf("broken %v: mail within TLS %v, name in the handshake %q", broken, got, name)
		}
	}
}
