// Package peer starts real mail programs for tests and benches: Postfix, Dovecot,
// smtp-sink, smtp-source and swaks, on free ports of 127.0.0.1, each in a temporary
// folder of its own.
//
// It takes options and gives back a running peer that answers on its port. It promises
// that Stop ends every process of the peer, by its id, and removes its folder. It never
// uses the machine's own Postfix or Dovecot configuration, queue or users, never waits
// for a fixed time, and never pretends: when a program is missing, Need says so.
package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Peer is a running program. Stop ends it and all its processes and removes its
// folder; it may be called again.
type Peer interface {
	Addr() string       // host:port on which it takes mail
	LogTail(int) string // the last lines of what it logged, for a failed test
	Stop() error
}

// A Starter is the options of a peer.
type Starter[P Peer] interface {
	Start() (P, error)
}

// For starts a peer for a test and stops it when the test ends. A peer that does not
// stop cleanly fails the test.
func For[P Peer](t testing.TB, s Starter[P]) P {
	t.Helper()
	p, err := s.Start()
	if err != nil {
		t.Fatalf("start peer: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the log of %T at %s:\n%s", p, p.Addr(), p.LogTail(40))
		}
		if err := p.Stop(); err != nil {
			t.Errorf("stop peer: %v", err)
		}
	})
	return p
}

// Programs that tests may need, with the Debian package that has them.
const (
	PostfixProgram    = "/usr/sbin/postfix"
	DovecotProgram    = "/usr/sbin/dovecot"
	LMTPProgram       = "/usr/lib/dovecot/lmtp"
	IMAPProgram       = "/usr/lib/dovecot/imap"
	SieveProgram      = "/usr/bin/sievec"
	SourceProgram     = "/usr/sbin/smtp-source"
	SinkProgram       = "/usr/sbin/smtp-sink"
	SwaksProgram      = "/usr/bin/swaks"
	SlapdProgram      = "/usr/sbin/slapd"
	SlapaddProgram    = "/usr/sbin/slapadd"
	LdapmodifyProgram = "/usr/bin/ldapmodify"
	RspamdProgram     = "/usr/bin/rspamd"
	ClamdProgram      = "/usr/sbin/clamd"
)

// Need skips the test, loudly, when a program is missing or the test is not run by
// root, who alone may start Postfix and Dovecot. Where CI=true a skip would hide what
// was not tested, so there it fails.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	err := Missing(programs...)
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("in CI nothing may be missing: %v", err)
	}
	fmt.Fprintf(os.Stderr, "\n*** NOT TESTED: %s: %v\n\n", t.Name(), err)
	t.Skip(err)
}

// Missing returns an error that says which of the programs are not installed, or that
// we are not root.
func Missing(programs ...string) error {
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not installed: %s (scripts/need.sh installs what tests need)", strings.Join(missing, ", "))
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("must be root to start mail programs")
	}
	return nil
}

// newDir makes a folder that the unprivileged users of Postfix and Dovecot may enter.
// parent may be empty for the system's folder of temporary files.
func newDir(parent, name string) (string, error) {
	dir, err := os.MkdirTemp(parent, "doppelboden-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("make folder for %s: %w", name, err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", fmt.Errorf("find folder for %s: %w", name, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("open folder for %s: %w", name, err)
	}
	return dir, nil
}
