package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

const limit = 60 * time.Second // far above what any of these needs, also on a busy machine

// afterwards checks that nothing of a stopped peer is left.
func afterwards(t *testing.T, p Peer, pid int, dir string) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Errorf("stop: wanted no error, got %v", err)
	}
	if left, err := descendants(pid); err != nil || len(left) > 0 {
		t.Errorf("after stop: wanted no process of group or session %d, got %v (%v)", pid, left, err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("after stop: wanted process %d gone, got %v", pid, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after stop: wanted folder %s gone, got %v", dir, err)
	}
	if c, err := net.Dial("tcp", p.Addr()); err == nil {
		c.Close()
		t.Errorf("after stop: something still listens on %s", p.Addr())
	}
}

func TestPostfixTakesMailIntoMaildirsAndLeavesNothingBehind(t *testing.T) {
	Need(t, PostfixProgram, SwaksProgram)
	p := For(t, PostfixReceiver{Domain: "stadt.example"})
	mail := "Subject: Gruesse\n\n.Punkt am Anfang\nEnde\n"
	out, err := Swaks{Addr: p.Addr(), From: "a@fremd.example", To: []string{"amt@stadt.example"}, Data: []byte(mail)}.Run(t.Context())
	if err != nil {
		t.Fatalf("send: %v\n%s", err, out)
	}
	mails, err := WaitMails(p, "amt@stadt.example", 1, limit)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(mails[0], []byte(mail)) {
		t.Errorf("wanted a mail that ends with %q, got %q", mail, mails[0])
	}
	afterwards(t, p, p.cmd.Process.Pid, p.Dir())
}

func TestPostfixRelayKeepsMailUntilReleased(t *testing.T) {
	Need(t, PostfixProgram, SourceProgram, SinkProgram)
	sink := For(t, Sink{})
	known, err := Numbered(t.Context(), "u@stadt.example", 3)
	if err != nil {
		t.Fatal(err)
	}
	p := For(t, PostfixRelay{Domain: "stadt.example", NextHop: sink.Addr(), Recipients: known, Defer: true})
	src := Source{Addr: p.Addr(), Sessions: 1, Messages: 3, Size: 1000, From: "a@fremd.example", To: "u@stadt.example", Number: true}
	if _, err := src.Run(t.Context()); err != nil {
		t.Fatalf("send to the recipients that exist: %v", err)
	}
	src.Messages = 4
	if _, err := src.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "User unknown") {
		t.Errorf("send to a fourth recipient, whom nobody knows: wanted a refusal, got %v", err)
	}
	if n, err := p.Queued(); err != nil || n != 6 {
		t.Errorf("wanted 6 mails in the queue, got %d (%v)", n, err)
	}
	if n, _, _ := sink.Taken(); n != 0 {
		t.Errorf("while deferred: wanted no mail at the sink, got %d", n)
	}
	if err := p.Release(t.Context()); err != nil {
		t.Fatalf("release: %v", err)
	}
	if err := sink.Wait(6, limit); err != nil {
		t.Fatal(err)
	}
	afterwards(t, p, p.cmd.Process.Pid, p.Dir())
	afterwards(t, sink, sink.cmd.Process.Pid, sink.dir)
}

func TestSeveralPostfixRunSideBySide(t *testing.T) {
	Need(t, PostfixProgram, SourceProgram)
	inner := For(t, PostfixReceiver{Domain: "stadt.example"})
	outer := For(t, PostfixRelay{Domain: "stadt.example", NextHop: inner.Addr()})
	src := Source{Addr: outer.Addr(), Sessions: 2, Messages: 20, Size: 2000, From: "a@fremd.example", To: "amt@stadt.example"}
	if _, err := src.Run(t.Context()); err != nil {
		t.Fatalf("send: %v", err)
	}
	if mails, err := WaitMails(inner, "amt@stadt.example", 20, limit); err != nil || len(mails) != 20 {
		t.Errorf("wanted 20 mails, got %d (%v)", len(mails), err)
	}
}

func TestDovecotTakesMailByLMTPAndShowsItByIMAP(t *testing.T) {
	Need(t, DovecotProgram, LMTPProgram, IMAPProgram, SwaksProgram)
	d := For(t, Dovecot{Users: []string{"amt@stadt.example", "b@stadt.example"}})
	mail := "Subject: Gruesse\n\nGuten Tag\n"
	send := Swaks{LMTP: true, From: "a@fremd.example", To: []string{"amt@stadt.example", "b@stadt.example"}, Data: []byte(mail)}
	send.Addr = d.Addr()
	if out, err := send.Run(t.Context()); err != nil {
		t.Fatalf("send: %v\n%s", err, out)
	}
	for _, user := range send.To {
		mails, err := WaitMails(d, user, 1, limit)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(mails[0], []byte(mail)) {
			t.Errorf("mailbox %s: wanted a mail that ends with %q, got %q", user, mail, mails[0])
		}
	}
	if c, err := net.Dial("unix", d.Socket()); err != nil {
		t.Errorf("wanted LMTP on the Unix socket too: %v", err)
	} else {
		c.Close()
	}
	if got := imapStatus(t, d.IMAP(), "amt@stadt.example"); !strings.Contains(got, "MESSAGES 1") {
		t.Errorf("IMAP STATUS: wanted MESSAGES 1, got %q", got)
	}
	afterwards(t, d, d.cmd.Process.Pid, d.opts.Dir)
}

// imapStatus logs in and returns the answer to STATUS INBOX.
func imapStatus(t *testing.T, addr, user string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatalf("connect to IMAP: %v", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	fmt.Fprintf(c, "a LOGIN %s %s\r\n", user, DovecotPassword)
	var got []byte
	for asked := false; ; {
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil || bytes.Contains(got, []byte("\r\nb ")) || bytes.Contains(got, []byte("a NO")) {
			return string(got)
		}
		if !asked && bytes.Contains(got, []byte("\r\na OK")) {
			asked = true
			fmt.Fprint(c, "b STATUS INBOX (MESSAGES)\r\n")
		}
	}
}

func TestAHaltedDovecotComesBackWithItsMails(t *testing.T) {
	Need(t, DovecotProgram, LMTPProgram, SwaksProgram)
	d := For(t, Dovecot{Users: []string{"amt@stadt.example"}})
	send := Swaks{Addr: d.Addr(), LMTP: true, From: "a@fremd.example", To: []string{"amt@stadt.example"}}
	if out, err := send.Run(t.Context()); err != nil {
		t.Fatalf("send: %v\n%s", err, out)
	}
	again, err := d.Halt()
	if err != nil {
		t.Fatalf("halt: %v", err)
	}
	if _, err := send.Run(t.Context()); err == nil {
		t.Error("while halted: wanted an error from swaks, got none")
	}
	d = For(t, again)
	if out, err := send.Run(t.Context()); err != nil {
		t.Fatalf("send again: %v\n%s", err, out)
	}
	if mails, err := WaitMails(d, "amt@stadt.example", 2, limit); err != nil || len(mails) != 2 {
		t.Errorf("wanted 2 mails, got %d (%v)", len(mails), err)
	}
}

func TestTheSinkCountsWhatItTakes(t *testing.T) {
	Need(t, SinkProgram, SourceProgram)
	for _, lmtp := range []bool{false, true} {
		t.Run(fmt.Sprintf("LMTP=%v", lmtp), func(t *testing.T) {
			s := For(t, Sink{LMTP: lmtp})
			src := Source{Addr: s.Addr(), LMTP: lmtp, Sessions: 4, Messages: 200, Size: 500, From: "a@fremd.example", To: "u@stadt.example"}
			if _, err := src.Run(context.Background()); err != nil {
				t.Fatalf("send: %v", err)
			}
			if err := s.Wait(200, limit); err != nil {
				t.Fatal(err)
			}
			n, first, last := s.Taken()
			if n != 200 || first.IsZero() || last.Before(first) {
				t.Errorf("wanted 200 mails, the first before the last, got %d from %v to %v", n, first, last)
			}
		})
	}
}

func TestASinkCanRefuse(t *testing.T) {
	Need(t, SinkProgram, SwaksProgram)
	s := For(t, Sink{Args: []string{"-r", "RCPT"}})
	out, err := Swaks{Addr: s.Addr(), From: "a@fremd.example", To: []string{"u@stadt.example"}}.Run(t.Context())
	if err == nil || !strings.Contains(out, "450 ") {
		t.Errorf("wanted swaks to fail with a 450, got %v and:\n%s", err, out)
	}
}

func TestAPeerThatCannotStartSaysWhy(t *testing.T) {
	Need(t, SinkProgram)
	s, err := Sink{Args: []string{"-Z"}}.Start()
	if err == nil {
		s.Stop()
		t.Fatal("smtp-sink with an unknown option: wanted an error, got none")
	}
	if !strings.Contains(err.Error(), "usage") {
		t.Errorf("wanted the program's own words in the error, got %q", err)
	}
}
