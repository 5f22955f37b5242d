package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"doppelboden/clock"
)

const host = "mx.stadt.example"

// put writes a certificate for a name that ends at a time.
func put(t *testing.T, dir, name string, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(until.UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// keeper returns a keeper of files whose certificate ends at a time, and its clock.
func keeper(t *testing.T, until time.Time, a *Authority) (k *Keeper, dir string, now *time.Time) {
	t.Helper()
	dir, now = t.TempDir(), new(time.Time)
	*now = time.Now()
	cert, key := put(t, dir, host, until)
	k, err := New(Options{Certificate: cert, Key: key, Authority: a, Clock: func() time.Time { return *now }, Timer: clock.Or(nil), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return k, dir, now
}

// touch makes files look newer than before: two writes may come within one tick of a clock.
func touch(t *testing.T, at time.Time, files ...string) {
	t.Helper()
	for _, f := range files {
		if err := os.Chtimes(f, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func TestANewCertificateInTheFilesIsShownWithoutARestart(t *testing.T) {
	year := time.Now().AddDate(1, 0, 0)
	k, dir, now := keeper(t, year, nil)
	cert, key := put(t, dir, host, year.AddDate(1, 0, 0))
	touch(t, now.Add(time.Minute), cert, key)
	k.look(t.Context())
	if got := k.Leaf().NotAfter; !got.Equal(year.AddDate(1, 0, 0).UTC().Truncate(time.Second)) {
		t.Errorf("the certificate that is shown ends at %v, want the new one", got)
	}
	if k.Trouble().String() != "" {
		t.Errorf("trouble: %s", k.Trouble().String())
	}
}

func TestHalfANewCertificateReplacesNothingAndIsTold(t *testing.T) {
	year := time.Now().AddDate(1, 0, 0)
	k, dir, now := keeper(t, year, nil)
	was := k.Leaf()
	old, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	cert, key := put(t, dir, host, year.AddDate(1, 0, 0))
	if err := os.WriteFile(key, old, 0o600); err != nil { // the certificate is there, its key not yet
		t.Fatal(err)
	}
	touch(t, now.Add(time.Minute), cert, key)
	k.look(t.Context())
	if k.Leaf() != was || !strings.Contains(k.Trouble().String(), "from before is shown") {
		t.Errorf("shown is another one, or nobody is told: %q", k.Trouble().String())
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	k.look(t.Context())
	if k.Leaf() != was || k.Trouble().String() == "" {
		t.Errorf("without the file: %q", k.Trouble().String())
	}
}

func TestACertificateThatEndsIsToldTwoWeeksBefore(t *testing.T) {
	k, _, now := keeper(t, time.Now().AddDate(0, 0, 15), nil)
	for days, want := range map[int]string{0: "", 2: "ends at", 16: "refuse to connect"} {
		start := *now
		*now = now.AddDate(0, 0, days)
		k.look(t.Context())
		if got := k.Trouble().String(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("after %d days: %q, want %q", days, got, want)
		}
		*now = start
	}
}

// authority starts a certificate authority that finds our host at port of this machine.
func authority(t *testing.T, port int) *Authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := &dns.Server{Listener: ln, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(m)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = names.ActivateAndServe() })
	t.Cleanup(func() { _ = names.Shutdown(); serving.Wait() })
	quiet := log.New(io.Discard, "", 0)
	rows := db.NewMemoryStore()
	maker := ca.New(quiet, rows, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	front := wfe.New(quiet, rows, va.New(quiet, 1, port, false, ln.Addr().String(), rows), maker, []string{"ca.example"}, false, false, 1, 1)
	server := httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	return &Authority{Directory: server.URL + wfe.DirectoryPath, Host: host, Cache: filepath.Join(t.TempDir(), "acme"), Client: server.Client()}
}

// serve opens a door with k's certificate on ln.
func serve(t *testing.T, ln net.Listener, k *Keeper) {
	t.Helper()
	s := &http.Server{TLSConfig: k.ConfigHTTPS(), Handler: http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.ServeTLS(ln, "", "") })
	t.Cleanup(func() { _ = s.Close(); serving.Wait() })
}

func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln, ln.Addr().(*net.TCPAddr).Port
}

// shown is the certificate that a client sees at the door.
func shown(t *testing.T, ln net.Listener) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func TestAnAuthorityMakesTheCertificateAndItIsThereAfterARestart(t *testing.T) {
	ln, port := listen(t)
	a := authority(t, port)
	k, dir, _ := keeper(t, time.Now().AddDate(1, 0, 0), a)
	serve(t, ln, k)
	if got := shown(t, ln); got.Issuer.CommonName != host {
		t.Errorf("before the authority was asked: issued by %q, want the one in the files", got.Issuer.CommonName)
	}
	k.look(t.Context())
	got := shown(t, ln)
	if !strings.Contains(got.Issuer.CommonName, "Pebble") || got.VerifyHostname(host) != nil || k.Trouble().String() != "" {
		t.Fatalf("shown is one of %q for %q; trouble: %q", got.Issuer.CommonName, got.DNSNames, k.Trouble().String())
	}
	a.Client = &http.Client{Transport: refusing{}}
	again, err := New(Options{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), Authority: a, Clock: time.Now, Timer: clock.Or(nil), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	again.look(t.Context())
	if again.Leaf().SerialNumber.Cmp(got.SerialNumber) != 0 {
		t.Error("after a restart without the authority another certificate is shown")
	}
}

// refusing is a network on which nobody answers.
type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, net.ErrClosed }

func TestAnAuthorityThatCannotReachUsLeavesTheOldOneAndIsAskedAgainLater(t *testing.T) {
	ln, port := listen(t)
	ln.Close() // nobody is there
	k, _, now := keeper(t, time.Now().AddDate(1, 0, 0), authority(t, port))
	k.look(t.Context())
	if k.Leaf().Issuer.CommonName != host || !strings.Contains(k.Trouble().String(), "makes no certificate") {
		t.Fatalf("shown is one of %q; trouble: %q", k.Leaf().Issuer.CommonName, k.Trouble().String())
	}
	next := k.next
	*now = now.Add(askEvery / 2)
	k.look(t.Context())
	if k.next != next || k.Trouble().String() == "" {
		t.Error("it was asked again too soon, or the trouble is forgotten")
	}
}

func TestAQuestionToTheAuthorityEndsWithTheNode(t *testing.T) {
	hangs := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hangs.Close()
	k, _, _ := keeper(t, time.Now().AddDate(1, 0, 0), &Authority{Directory: hangs.URL, Host: host, Cache: t.TempDir(), Client: hangs.Client()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); k.Run(ctx) }()
	cancel()
	<-done // or the test times out
}
