package mailauth

import (
	"bytes"
	"crypto/sha256"
	"io"
	"log/slog"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/resolver"

	"github.com/prometheus/client_golang/prometheus"
)

const us = "mx.stadt.example"

// newChecker returns a checker that asks one name server.
func newChecker(t testing.TB, server string, h Handling) *Checker {
	t.Helper()
	r, err := resolver.New(resolver.Options{Servers: []string{server}, Registry: prometheus.NewRegistry(), Patience: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Wait)
	c, err := New(Options{
		AuthservID: us, DNS: r, Handling: func(doppelboden.TenantID) Handling { return h },
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Registry: prometheus.NewRegistry(), Patience: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// incoming is a mail as intake shows it.
func incoming(t testing.TB, peer, helo, sender string, mail []byte) *intake.Incoming {
	t.Helper()
	var from doppelboden.Address
	if sender != "" {
		var err error
		if from, err = doppelboden.ParseAddress(sender); err != nil {
			t.Fatal(err)
		}
	}
	header := mail
	if i := bytes.Index(mail, []byte("\r\n\r\n")); i >= 0 {
		header = mail[:i+2]
	}
	return &intake.Incoming{
		Envelope: intake.Envelope{Door: "mx", Peer: peer, Helo: helo, Sender: from},
		Message:  &doppelboden.Message{Door: "mx", Tenant: 1, Received: time.Unix(1_800_000_000, 0), Peer: peer, Helo: helo, Sender: from},
		Header:   header,
		Open:     func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(mail)), nil },
	}
}

func sum256(s string) []byte { sum := sha256.Sum256([]byte(s)); return sum[:] }
