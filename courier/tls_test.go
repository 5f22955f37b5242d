package courier_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"doppelboden/courier"
	"doppelboden/sink"
)

// certificate makes a self-signed certificate for a name.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatalf("make certificate: %v", err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("parse certificate: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLSIsUsedAsTheRouteWants(t *testing.T) {
	cert, roots := certificate(t, "groupware.example")
	// A server that offers STARTTLS and then goes on in plain text.
	broken := `extensions = ["PIPELINING", "STARTTLS"]` + "\n[[rule]]\nphase = \"starttls\"\nreply = \"220 go ahead\""
	refusing := "[[rule]]\nphase = \"starttls\"\nreply = \"454 4.7.0 TLS not available\""
	require := courier.RouteTLS{Mode: courier.RequireTLS}
	verify := courier.RouteTLS{Mode: courier.RequireTLS, Verify: true, ServerName: "groupware.example"}
	for _, c := range []struct {
		name        string
		tls         courier.RouteTLS
		cert        bool // the server has a certificate
		roots       *x509.CertPool
		script      string
		want        string
		encrypted   bool
		connections int64
	}{
		{"offered", courier.RouteTLS{}, true, nil, "", tookSMTP, true, 1},
		{"offered, not wanted", courier.RouteTLS{Mode: courier.NoTLS}, true, nil, "", tookSMTP, false, 1},
		{"not offered", courier.RouteTLS{}, false, nil, "", tookSMTP, false, 1},
		{"not offered, required", require, false, nil, "", "0 later about route at helo", false, 1},
		{"broken", courier.RouteTLS{}, false, nil, broken, tookSMTP, false, 2},
		{"broken, required", require, false, nil, broken, "0 later about route at helo", false, 1},
		{"refused", courier.RouteTLS{}, true, nil, refusing, tookSMTP, false, 1},
		{"refused, required", require, true, nil, refusing, "0 later about route at helo 454 4.7.0", false, 1},
		{"5xx, required", require, true, nil, strings.Replace(refusing, "454 4.7.0", "554 5.7.0", 1), "0 later about route at helo 554 5.7.0", false, 1},
		{"any certificate", require, true, nil, "", tookSMTP, true, 1},
		{"unknown certificate", verify, true, nil, "", "0 later about route at helo", false, 1},
		{"known certificate", verify, true, roots, "", tookSMTP, true, 1},
		{"name of another", courier.RouteTLS{Mode: courier.RequireTLS, Verify: true, ServerName: "x.example"}, true, roots, "", "0 later about route at helo", false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := sink.Options{Script: script(t, c.script)}
			if c.cert {
				o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			}
			s := startSink(t, o)
			store := bodies{}
			opts := courier.Options{Bodies: store, TLS: &tls.Config{RootCAs: c.roots}}
			a := courier.NewAgent(opts, courier.Route{Name: "groupware", Hosts: []courier.Host{{Addr: s.Addr()}}, TLS: c.tls})
			defer a.Close()
			j := store.message("m", "x\r\n", "a@city.example")
			hand(t, a, j, c.want)
			if c.want == tookSMTP {
				hand(t, a, j, c.want) // on the kept connection
			}
			st := s.Stats()
			if encrypted := st.TLS > 0; encrypted != c.encrypted || st.Connections != c.connections {
				t.Errorf("encrypted %v in %d connections, want %v in %d", encrypted, st.Connections, c.encrypted, c.connections)
			}
			if c.want == tookSMTP && s.Messages()[0].TLS != c.encrypted {
				t.Error("the mail did not go the way the handshake went")
			}
		})
	}
}

// TestPlainTextBehindSTARTTLSIsNotBelieved plays the injection of CVE-2011-0411 from
// the server's side: words that came in plain text must not count within TLS.
func TestPlainTextBehindSTARTTLSIsNotBelieved(t *testing.T) {
	cert, _ := certificate(t, "groupware.example")
	s := newRawServer(t, func(_ int, c net.Conn) {
		b := make([]byte, 4096)
		io.WriteString(c, "220 raw\r\n")
		c.Read(b)
		io.WriteString(c, "250-raw\r\n250 STARTTLS\r\n")
		c.Read(b)
		io.WriteString(c, "220 go\r\n250 injected\r\n")
		tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
		io.Copy(io.Discard, c)
	})
	store := bodies{}
	a := courier.NewAgent(courier.Options{Bodies: store}, courier.Route{
		Name: "groupware", Hosts: []courier.Host{{Addr: s.addr()}}, TLS: courier.RouteTLS{Mode: courier.RequireTLS},
	})
	defer a.Close()
	out := a.Hand(context.Background(), store.message("m", "x\r\n", "a@city.example"))
	if got, want := brief(out[0]), "0 later about route at helo"; got != want || !strings.Contains(out[0].Reply.Text, "behind the answer to STARTTLS") {
		t.Errorf("got %s, %q, want %s", got, out[0].Reply.Text, want)
	}
}
