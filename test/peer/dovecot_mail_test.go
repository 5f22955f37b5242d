package peer

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDovecotAnswersEverySenderOnceFromVacationAndAMasterOpensItsMailboxes(t *testing.T) {
	Need(t, DovecotProgram, LMTPProgram, IMAPProgram, SieveProgram, SwaksProgram)
	users := []string{"amt@stadt.example", "b@stadt.example"}
	d := For(t, Dovecot{Users: users, QuotaKB: 1000, AlwaysSync: true})
	for range 2 {
		swaksTo(t, d, users...)
	}
	var replies []string
	err := poll(time.Now().Add(limit), func() (ok bool, err error) {
		replies, err = d.Replies()
		return len(replies) >= 2, err
	})
	if err != nil || !slices.Equal(replies, []string{"a@fremd.example", "a@fremd.example"}) {
		t.Errorf("replies %v (%v), want one from each of two mailboxes to a@fremd.example", replies, err)
	}
	if got := imapStatus(t, d.IMAP(), "b@stadt.example*"+DovecotMaster); !strings.Contains(got, "MESSAGES 2") {
		t.Errorf("IMAP STATUS as the master: wanted MESSAGES 2, got %q", got)
	}
}

func TestADovecotForgetsLosesAndIsRestoredAsATestWants(t *testing.T) {
	Need(t, DovecotProgram, LMTPProgram, SieveProgram, SwaksProgram)
	users := []string{"amt@stadt.example", "b@stadt.example"}
	backup := filepath.Join(t.TempDir(), "backup")
	d := For(t, Dovecot{Users: users, Quiet: true})
	swaksTo(t, d, users...)

	at := func(what string, change func(o *Dovecot) error, want ...int) {
		t.Helper()
		o, err := d.Halt()
		if err == nil {
			err = change(&o)
		}
		if err != nil {
			t.Fatal(what, err)
		}
		d = For(t, o)
		swaksTo(t, d, users...)
		for i, user := range users {
			if mails, err := d.Mails(user); err != nil || len(mails) != want[i] {
				t.Errorf("%s: %s has %d mails (%v), want %d", what, user, len(mails), err, want[i])
			}
		}
	}
	at("backed up", func(o *Dovecot) error { return o.Backup(backup) }, 2, 2)
	at("lost", func(o *Dovecot) error { return o.Lose("b@stadt.example") }, 3, 1)
	at("forgetting", func(o *Dovecot) error { o.Forgets = true; return nil }, 3, 1)
	at("restored", func(o *Dovecot) error { o.Forgets = false; return o.Restore(backup) }, 2, 2)
	if replies, err := d.Replies(); err != nil || len(replies) > 0 {
		t.Errorf("replies of a quiet Dovecot: %v (%v), want none", replies, err)
	}
}

func TestDovecotOffersTLSWithACertificate(t *testing.T) {
	Need(t, DovecotProgram, IMAPProgram)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := WriteCertificate(cert, key, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	d := For(t, Dovecot{Users: []string{"amt@stadt.example"}, Certificate: cert, Key: key})
	c, err := net.Dial("tcp", d.IMAP())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	fmt.Fprint(c, "a CAPABILITY\r\n")
	var got []byte
	for buf := make([]byte, 4096); !bytes.Contains(got, []byte("\r\na OK")); {
		n, err := c.Read(buf)
		if got = append(got, buf[:n]...); err != nil {
			t.Fatalf("read: %v after %q", err, got)
		}
	}
	if !bytes.Contains(got, []byte("STARTTLS")) {
		t.Errorf("capabilities without STARTTLS: %q", got)
	}
}

// swaksTo sends a mail to all.
func swaksTo(t *testing.T, d *DovecotServer, to ...string) {
	t.Helper()
	send := Swaks{Addr: d.Addr(), LMTP: true, From: "a@fremd.example", To: to}
	if out, err := send.Run(t.Context()); err != nil {
		t.Fatalf("send: %v\n%s", err, out)
	}
}
