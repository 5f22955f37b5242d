package scenario

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden/test/peer"

	"golang.org/x/sys/unix"
)

func TestSwaksGetsAReceiptAndItsMailReachesARealPostfix(t *testing.T) {
	t.Parallel()
	peer.Need(t, "swaks", peer.PostfixProgram)
	box := users(1)[0]
	postfix := peer.For[*peer.Postfix](t, peer.PostfixReceiver{Domain: "stadt.example"})
	c := found(t, "", "smtp://"+postfix.Addr(), 1)
	out, err := peer.Swaks{Addr: c.mx, From: "citizen@strange.example", To: []string{box}, Args: []string{"--tls"}}.Run(t.Context())
	if err != nil || !strings.Contains(out, "receipt ") {
		t.Fatalf("swaks over TLS: %v\n%s", err, out)
	}
	got, err := peer.WaitMails(postfix, box, 1, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(got[0], []byte("with ESMTPS id ")) {
		t.Errorf("the mail came over TLS, but the Received line does not say so:\n%s", got[0])
	}
	if b := c.settled(time.Minute); b.Delivered != 1 || b.Difference != 0 {
		t.Errorf("balance %+v", b)
	}
	receipt := out[strings.Index(out, "receipt ")+len("receipt "):][:24]
	story := c.must("message", "show", receipt)
	for _, want := range []string{"citizen@strange.example", box, "delivered"} {
		if !strings.Contains(story, want) {
			t.Errorf("message show %s does not tell %q:\n%s", receipt, want, story)
		}
	}
}

func TestMailOfSmtpSourceWaitsWhileDovecotIsDownAndIsHandedOverWhenItReturns(t *testing.T) {
	t.Parallel()
	const mails = 500
	all := append(users(mails+1), numbered(mails+1)...)
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: all})
	c := found(t, "", "lmtp://"+dovecot.Addr(), mails+1)
	var list strings.Builder
	list.WriteString("address\n")
	for _, a := range numbered(mails + 1) {
		list.WriteString(a + "\n")
	}
	file := filepath.Join(t.TempDir(), "more.csv")
	if err := os.WriteFile(file, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	c.must("mailbox", "import", file)

	resting, err := dovecot.Halt()
	if err != nil {
		t.Fatal(err)
	}
	_, err = peer.Source{Addr: c.mx, Sessions: 10, Messages: mails, Size: 4096, From: "a@b.example", To: "u@stadt.example", Number: true}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b := c.balance(); b.Accepted != mails || b.Queued != mails || b.Difference != 0 {
		t.Errorf("while Dovecot is down: %+v, want %d accepted and queued", b, mails)
	}
	c.kill() // the outage is long enough for us to fall as well
	c.start()
	back := peer.For[*peer.DovecotServer](t, resting)
	b := c.settled(2 * time.Minute)
	if b.Delivered != mails || b.Difference != 0 || b.Duplicates != 0 {
		t.Errorf("after the return: %+v, want %d delivered", b, mails)
	}
	stored := 0
	for _, a := range all {
		got, err := back.Mails(a)
		if err != nil {
			t.Fatal(err)
		}
		stored += len(got)
	}
	if stored != mails {
		t.Errorf("Dovecot holds %d mails, want %d", stored, mails)
	}
}

// numbered returns the addresses that smtp-source makes of u@stadt.example, as old and
// new versions count.
func numbered(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("%du@stadt.example", i))
	}
	return all
}

// TestAFullDiskPutsMailOffLosesNothingAndTheNodeGoesOnByItself fills the disk of a
// running node to its last byte.
func TestAFullDiskPutsMailOffLosesNothingAndTheNodeGoesOnByItself(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256m"); err != nil {
		t.Fatalf("mount a small disk (this test needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	box := users(1)[0]
	c := found(t, dir, "smtp://127.0.0.1:1", 1) // no groupware: everything waits
	mail := []byte("Subject: x\r\n\r\n" + strings.Repeat("x", 70) + "\r\n")
	for range 20 {
		if code, text := sendRaw(t, c.mx, box, mail); code != 250 {
			t.Fatalf("with room: %d %s", code, text)
		}
	}
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	kept := int64(20) // and what still fits into the room that the landing has reserved
	refused := awaitAnswer(t, c.mx, box, mail, func(code int) bool {
		if code == 250 {
			kept++
		}
		return code/100 == 4
	})
	if !strings.Contains(strings.ToLower(refused), "storage") && !strings.Contains(strings.ToLower(refused), "room") {
		t.Errorf("the refusal does not say that there is no room: %q", refused)
	}
	// The first refusal may be earlier than the next look at the room of the disk.
	var out string
	var status int
	for deadline := time.Now().Add(time.Minute); !strings.Contains(out, "NO MAIL IS TAKEN") && time.Now().Before(deadline); {
		out, status = c.run("status")
	}
	if status != 1 || !strings.Contains(out, "NO MAIL IS TAKEN") {
		t.Errorf("status on a full disk: exit code %d, want 1 and that no mail is taken\n%s", status, out)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, c.mx, box, mail, func(code int) bool { return code == 250 })
	kept++
	if b := c.balance(); b.Accepted != kept || b.Queued != kept || b.Difference != 0 {
		t.Errorf("after all: %+v, want %d accepted and queued, difference 0", b, kept)
	}
}

// fill writes a file until there is no room left.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

// awaitAnswer sends a mail now and then until the answer is as wanted, and returns its
// text.
func awaitAnswer(t *testing.T, addr, to string, mail []byte, is func(code int) bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		code, text := tryRaw(addr, to, mail)
		if is(code) {
			return text
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after a minute the answer still is %d %s", code, text)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
