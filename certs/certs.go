package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"doppelboden"
	"doppelboden/clock"
)

// An Authority makes certificates: RFC 8555.
type Authority struct {
	Directory string       // its URL
	Email     string       // where it may write to; may be empty
	Host      string       // the name that the certificate is for
	Cache     string       // folder for the account's key and the certificates
	Client    *http.Client // nil: the default
}

// Options say what a Keeper works with. All must be set unless a default is named.
type Options struct {
	Certificate string     // PEM file, with its chain
	Key         string     // PEM file
	Authority   *Authority // nil: only the files
	Clock       func() time.Time
	Timer       clock.Timer
	Log         *slog.Logger
}

const (
	// lookEvery is the time between two looks at the files.
	lookEvery = 30 * time.Second
	// askEvery is the time between two questions to an authority that has refused: it bears
	// five an hour (Let's Encrypt's limit of failed validations).
	askEvery = 15 * time.Minute
	// renewEvery is the time between two looks for a renewed certificate.
	renewEvery = time.Hour
	// soon is how long before its end somebody hears of it. Renewal begins a month before.
	soon = 14 * 24 * time.Hour
)

// A Keeper holds the certificate.
type Keeper struct {
	opts    Options
	manager *autocert.Manager // nil without an authority
	shown   atomic.Pointer[tls.Certificate]
	asking  atomic.Pointer[context.Context] // of Run: with it every question to the authority ends

	mu      sync.Mutex
	stamp   [2]time.Time        // of the files when they were read last
	made    bool                // the authority made what is shown
	trouble doppelboden.Telling // what is wrong; none: nothing
	denied  doppelboden.Telling // of that, what the authority said when it was asked last
	next    time.Time           // when the authority is asked again
}

// New reads the files.
func New(o Options) (*Keeper, error) {
	if o.Certificate == "" || o.Key == "" || o.Clock == nil || o.Timer == nil || o.Log == nil {
		return nil, errors.New("certs: all of Certificate, Key, Clock, Timer and Log must be set")
	}
	k := &Keeper{opts: o}
	if a := o.Authority; a != nil {
		k.manager = &autocert.Manager{Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(a.Cache), Email: a.Email,
			HostPolicy: autocert.HostWhitelist(a.Host), Client: &acme.Client{DirectoryURL: a.Directory, UserAgent: "doppelboden"}}
		client := http.Client{Timeout: time.Minute}
		if a.Client != nil {
			client = *a.Client
		}
		client.Transport = stoppable{k, client.Transport}
		k.manager.Client.HTTPClient = &client
	}
	return k, k.read()
}

// Config returns a new configuration with the certificate, for a door.
func (k *Keeper) Config() *tls.Config {
	return &tls.Config{GetCertificate: k.get, MinVersion: tls.VersionTLS12}
}

// ConfigHTTPS is the same for the door at which the authority looks: RFC 8737.
func (k *Keeper) ConfigHTTPS() *tls.Config {
	c := k.Config()
	if k.manager != nil {
		c.NextProtos = []string{"h2", "http/1.1", acme.ALPNProto}
	}
	return c
}

// get answers a handshake.
func (k *Keeper) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	// RFC 8737, section 3: a client that offers only this asks for the challenge.
	if k.manager != nil && len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto {
		return k.manager.GetCertificate(hello)
	}
	return k.shown.Load(), nil
}

// Leaf returns the certificate that is shown, parsed.
func (k *Keeper) Leaf() *x509.Certificate { return k.shown.Load().Leaf }

// read shows what the files have.
func (k *Keeper) read() error {
	stamp, err := k.stamps()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(k.opts.Certificate, k.opts.Key)
	if err == nil && pair.Leaf == nil {
		pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0])
	}
	if err != nil {
		return fmt.Errorf("load the certificate: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stamp = stamp
	if !k.made {
		k.shown.Store(&pair)
	}
	return nil
}

// stamps returns when the files were written.
func (k *Keeper) stamps() (stamp [2]time.Time, err error) {
	for i, name := range []string{k.opts.Certificate, k.opts.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, fmt.Errorf("look at the certificate: %w", err)
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}

// Run keeps the certificate new until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	k.look(ctx)
	clock.Every(ctx, k.opts.Timer, lookEvery, func() { k.look(ctx) })
}

// look does what is due.
func (k *Keeper) look(ctx context.Context) {
	var wrong doppelboden.Telling
	k.mu.Lock()
	was := k.stamp
	k.mu.Unlock()
	if stamp, err := k.stamps(); err != nil || stamp != was {
		if err = k.read(); err != nil {
			// Whoever writes the two files has perhaps written one; the old pair is good.
			wrong = doppelboden.Tell("The new certificate cannot be used: %s. The one from before is shown, and all doors work. Put both files in order; they are read by themselves.", err)
		}
	}
	if k.manager != nil {
		wrong = wrong.And(k.ask(ctx))
	}
	if len(wrong) == 0 {
		wrong = k.age()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if text := wrong.String(); text != "" && text != k.trouble.String() {
		k.opts.Log.Error("the certificate", "trouble", text)
	}
	k.trouble = wrong
}

// ask shows what the authority has made, and has it made when it is time. It says what is
// wrong, or nothing.
func (k *Keeper) ask(ctx context.Context) doppelboden.Telling {
	now := k.opts.Clock()
	k.mu.Lock()
	due, denied := !now.Before(k.next), k.denied
	k.mu.Unlock()
	if !due {
		return denied
	}
	a := k.opts.Authority
	k.asking.Store(&ctx)
	cert, err := k.manager.GetCertificate(&tls.ClientHelloInfo{ServerName: a.Host,
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}})
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.next = now.Add(askEvery)
		k.denied = doppelboden.Tell("%s makes no certificate for %s: %s. It must reach this node at port 443 by that name; it is asked again every %s. Until then browsers warn of the certificate that is shown. Mail goes on.", a.Directory, a.Host, err, askEvery)
		return k.denied
	}
	k.next, k.made, k.denied = now.Add(renewEvery), true, nil
	k.shown.Store(cert)
	return nil
}

// age warns of a certificate that ends.
func (k *Keeper) age() doppelboden.Telling {
	leaf, now := k.Leaf(), k.opts.Clock()
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		return doppelboden.Tell("The certificate ended at %s: browsers and telephones refuse to connect. Mail goes on. Put a new one into %s; it is read by itself.", leaf.NotAfter, k.opts.Certificate)
	case left < soon:
		return doppelboden.Tell("The certificate ends at %s. Then browsers and telephones refuse to connect. Put a new one into %s; it is read by itself.", leaf.NotAfter, k.opts.Certificate)
	}
	return nil
}

// stoppable lets no question to the authority outlive Run: package autocert asks with a
// context of its own.
type stoppable struct {
	k    *Keeper
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (s stoppable) RoundTrip(r *http.Request) (*http.Response, error) {
	if run := s.k.asking.Load(); run != nil {
		if err := (*run).Err(); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(r.Context())
		context.AfterFunc(*run, cancel)
		r = r.WithContext(ctx)
	}
	if s.base == nil {
		return http.DefaultTransport.RoundTrip(r)
	}
	return s.base.RoundTrip(r)
}

// Trouble returns what is wrong with the certificate, or nothing.
func (k *Keeper) Trouble() doppelboden.Telling {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trouble
}
