package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/test/peer"
)

// A smartHost wants TLS and a password, and says good-bye after each mail.
type smartHost struct {
	ln   net.Listener
	cert tls.Certificate

	mu       sync.Mutex
	password string
	taken    int // mails
	refused  int // log-ins
}

// startSmartHost starts one that ends with the test.
func startSmartHost(t *testing.T, password string) *smartHost {
	t.Helper()
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	if err := peer.WriteCertificate(cert, key, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	h := &smartHost{password: password}
	var err error
	if h.cert, err = tls.LoadX509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	if h.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := h.ln.Accept()
			if err != nil {
				return
			}
			open.Go(func() { h.serve(c) })
		}
	})
	t.Cleanup(func() { h.ln.Close(); open.Wait() })
	return h
}

func (h *smartHost) serve(c net.Conn) {
	defer func() { c.Close() }()
	in, safe := bufio.NewReader(c), false
	say := func(s string) { io.WriteString(c, s+"\r\n") }
	say("220 relay")
	for mail := false; ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch {
		case mail && line == ".":
			h.mu.Lock()
			h.taken++
			h.mu.Unlock()
			say("250 2.0.0 taken")
			return
		case mail:
		case verb == "EHLO" && safe:
			say("250-relay\r\n250 AUTH PLAIN")
		case verb == "EHLO":
			say("250-relay\r\n250 STARTTLS")
		case verb == "STARTTLS":
			say("220 go")
			secured := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{h.cert}})
			c, in, safe = secured, bufio.NewReader(secured), true
		case verb == "AUTH" && h.knows(rest):
			say("235 2.7.0 welcome")
		case verb == "AUTH":
			say("535 5.7.8 who are you")
			return
		case verb == "DATA":
			say("354 go")
			mail = true
		default:
			say("250 2.0.0 ok")
		}
	}
}

// knows judges a log-in.
func (h *smartHost) knows(said string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	good := said == "PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00stadt\x00"+h.password))
	if !good {
		h.refused++
	}
	return good
}

// set makes another password the right one.
func (h *smartHost) set(password string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.password = password
}

// counts returns the mails that it took, and the log-ins that it refused.
func (h *smartHost) counts() (taken, refused int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.taken, h.refused
}

func TestTheSmartHostsPasswordIsReadAnewByItself(t *testing.T) {
	relay := startSmartHost(t, "first")
	node := cityOnInternet(t, peer.For(t, peer.DNS{}),
		fmt.Sprintf("relay = [\"smtp://%s\"]\ntls = \"required\"\nuser = \"stadt\"\npassword_file = \"relay.password\"", relay.ln.Addr()))
	password := filepath.Join(node.Keys, "relay.password")
	if err := os.WriteFile(password, []byte("first\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n := startOnInternet(t, node, relay.ln.Addr().String())
	if a := outbound(t, n, "a@x.example"); !a.Kept() {
		t.Fatalf("submission: %d %s", a.Code, a.Text)
	}
	w := newWatcher(n, func() time.Duration { return 0 })
	w.look(t.Context())
	if text := w.open[alarmKey{"internet", "stadt/Internet"}]; !strings.Contains(text, "can be read by others") || !strings.Contains(text, "reads it again every ten seconds") {
		t.Errorf("while everybody may read the password the alarm says %q", text)
	}
	if taken, refused := relay.counts(); taken != 0 || refused != 0 {
		t.Errorf("without a password %d mails were taken, %d log-ins refused", taken, refused)
	}

	if err := os.Chmod(password, 0o600); err != nil {
		t.Fatal(err)
	}
	w.look(t.Context())
	waitFor(t, "the mail left with the password", func() bool { return counted(t, n, doppelboden.Delivered) == 1 })
	if text, told := w.open[alarmKey{"internet", "stadt/Internet"}]; told {
		t.Errorf("afterwards the alarm says %q", text)
	}

	relay.set("second")
	if a := outbound(t, n, "b@x.example"); !a.Kept() {
		t.Fatalf("submission: %d %s", a.Code, a.Text)
	}
	waitFor(t, "the old password is refused", func() bool { _, refused := relay.counts(); return refused > 0 })
	if err := os.WriteFile(password, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.look(t.Context())
	waitFor(t, "the other mail left with the new password", func() bool { return counted(t, n, doppelboden.Delivered) == 2 })
}

// TestTheLogSaysOnceThatAPasswordIsUsed has a queue that does not run, as while the database is
// away: nobody logs in with the new password then.
func TestTheLogSaysOnceThatAPasswordIsUsed(t *testing.T) {
	node := cityOnInternet(t, peer.For(t, peer.DNS{}), "relay = [\"smtp://127.0.0.1:1\"]\ntls = \"required\"\nuser = \"stadt\"\npassword_file = \"relay.password\"")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(node.Keys, "relay.password"), []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	var log bytes.Buffer
	n, err := New(t.Context(), Options{Node: node, Version: "test", Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the node: %v", err)
		}
	})
	said := func(when string, want int) {
		t.Helper()
		if got := strings.Count(log.String(), "is used from now on"); got != want {
			t.Errorf("%s the log says %d times that a password is used, want %d", when, got, want)
		}
	}
	for _, open := range []func() error{n.openScanning, n.openQueue} {
		if err := open(); err != nil {
			t.Fatal(err)
		}
	}
	n.internet.Outlets() // as a queue that has run
	said("at first", 0)
	write("second")
	for range 3 {
		n.internet.follow()
	}
	said("while no outlet takes it over", 0)
	n.internet.Outlets()
	said("when outlets take it over", 1)
	n.internet.Outlets()
	n.internet.follow()
	said("afterwards", 1)
}
