package smtpd

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

func TestALineThatIsTooLongIsReadToItsEndAndRefused(t *testing.T) {
	d := begin(t, Options{Intake: newBag()})
	fits := "NOOP " + strings.Repeat("x", maxLine-len("NOOP \r\n"))
	d.ask(fits, "250 2.0.0")
	d.ask(fits+"x", "500 5.5.2 Line too long")
	d.ask("NOOP "+strings.Repeat("x", 100_000)+" QUIT", "500 5.5.2 Line too long")
	d.say(strings.Repeat("x", maxLine-1) + "\r") // the CRLF is cut where the buffer ends
	d.say("\n")
	d.hear("500 5.5.2 Line too long")
	d.say("NOOP\r\nNOOP " + strings.Repeat("x", 3000) + "\r\nNOOP\r\n")
	d.hear("250 2.0.0")
	d.hear("500 5.5.2")
	d.hear("250 2.0.0")
	d.mail()
	// Behind a body, in the same write, a longer line fits into the buffer; it is no
	// less too long.
	d.say("x\r\n.\r\nNOOP " + strings.Repeat("x", maxLine) + "\r\nNOOP\r\n")
	d.hear("250 2.0.0 Ok: receipt")
	d.hear("500 5.5.2 Line too long")
	d.hear("250 2.0.0 Ok\r\n")
	d.say(strings.Repeat("x", 5000) + "\nNOOP\r\n")
	d.hear("500 5.5.2 Commands must end in CRLF")
	d.ended()
}

func TestALongLineInABodyIsKeptAsItCame(t *testing.T) {
	bag := newBag()
	d := begin(t, Options{Intake: bag})
	long := strings.Repeat("x", 999) + "\r\n" + strings.Repeat("y", 3_000_000) + "\r\n"
	d.mail()
	d.ask(long+".", "250 2.0.0")
	if got := bag.bodies(); len(got) != 1 || got[0] != long {
		t.Errorf("a line of 3,000,000 octets was not kept as it came")
	}
}

// TestAHundredThousandRecipientsOnOneConnection: a thousand are taken, the rest is told
// to come again, and somebody who goes on and on is sent away.
func TestAHundredThousandRecipientsOnOneConnection(t *testing.T) {
	bag := newBag()
	d := begin(t, Options{Intake: bag})
	d.ask("MAIL FROM:<a@sender.example>", "250")
	var burst bytes.Buffer
	for i := range 10_000 {
		fmt.Fprintf(&burst, "RCPT TO:<u%d@city.example>\r\n", i)
	}
	d.say(burst.String())
	for i := range 10_000 {
		if i < 1000 {
			d.hear("250 2.1.5")
		} else {
			d.hear("452 4.5.3")
		}
	}
	d.ask("DATA", "354")
	d.ask("x\r\n.", "250 2.0.0")
	if kept := bag.parcels(); len(kept) != 1 || len(kept[0].recipients) != 1000 {
		t.Fatalf("kept %d mails, wanted one with 1,000 recipients", len(kept))
	}

	d.ask("MAIL FROM:<a@sender.example>", "250")
	go func() { // all 100,000; the connection ends before
		for range 10 {
			if _, err := d.conn.Write(burst.Bytes()); err != nil {
				return
			}
		}
	}()
	for range 1000 {
		d.hear("250 2.1.5")
	}
	for range 9000 {
		d.hear("452 4.5.3")
	}
	d.hear("421 4.5.3")
	d.ended()
	if bag.aborted != 1 || bag.open != 0 {
		t.Errorf("aborted %d, open %d, wanted 1 and 0", bag.aborted, bag.open)
	}
}

func TestTooManyErrorsEndTheConnectionAndAMailForgivesThem(t *testing.T) {
	d := begin(t, Options{Intake: newBag()})
	for range 2 {
		for range 19 {
			d.ask("WORDS", "500 5.5.1")
		}
		d.mail()
		d.ask("x\r\n.", "250 2.0.0")
	}
	for range 20 {
		d.ask("WORDS", "500 5.5.1")
	}
	d.hear("421 4.7.0 Too many errors")
	d.ended()
}

func TestTooManyCommandsWithoutMailEndTheConnection(t *testing.T) {
	for _, word := range []string{"NOOP", "RSET", "VRFY a", "HELP", "EHLO x", "MAIL FROM:<a@b.example> SIZE=99999999999"} {
		d := begin(t, Options{Intake: newBag()})
		for range 100 {
			d.say(word + "\r\n")
			d.hear("")
		}
		d.ask(word, "421 4.7.0 Too many commands")
		d.ended()
	}
}

func TestGuessingNamesEndsTheConnection(t *testing.T) {
	bag := newBag()
	bag.rcpt = func(Recipient) error { return fails(doppelboden.NoSuchMailbox, "no such mailbox") }
	d := begin(t, Options{Intake: bag})
	d.ask("MAIL FROM:<>", "250")
	for range 200 {
		d.ask("RCPT TO:<x@city.example>", "550 5.1.1")
	}
	d.hear("421 4.7.0 Too many unknown")
	d.ended()
}

func TestABodyThatIsTooLargeIsReadToItsEndAndRefused(t *testing.T) {
	bag := newBag()
	written := 0
	bag.write = func(p []byte) error { written += len(p); return nil }
	d := begin(t, Options{Intake: bag, MaxSize: 10_000})
	d.mail()
	d.ask(strings.Repeat("12345678\r\n", 1000)+".", "250 2.0.0")
	written = 0
	d.mail()
	d.ask(strings.Repeat("12345678\r\n", 1001)+".", "552 5.3.4")
	d.ask("NOOP", "250 2.0.0")
	if written > 10_000 {
		t.Errorf("%d octets of a mail that is too large were passed on, wanted at most 10,000", written)
	}
	d.mail()
	go io.WriteString(d.conn, strings.Repeat("12345678\r\n", 8000)) // no end in sight
	d.hear("552 5.3.4 Message is far larger")
	d.ended()
	if got := bag.bodies(); len(got) != 1 || len(got[0]) != 10_000 {
		t.Errorf("kept %d mails, wanted the one of 10,000 octets", len(got))
	}
}

func TestTooManyConnectionsOfOneAddressAreRefusedEarly(t *testing.T) {
	_, addr := overTCP(t, Options{Intake: newBag(), MaxPerAddress: 2, Trusted: []netip.Prefix{}})
	first, second := connect(t, addr), connect(t, addr)
	third, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	refused := &dialogue{t: t, conn: third, r: newReader(third)}
	refused.hear("421 4.7.0 Too many connections from your address")
	refused.ended()
	third.Close()
	first.ask("QUIT", "221")
	first.ended()
	// The place is free a moment after the client sees the end.
	for range 1000 {
		again, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		greeting := make([]byte, 4)
		_, err = again.Read(greeting)
		again.Close()
		if err == nil && string(greeting) == "220 " {
			second.ask("QUIT", "221")
			return
		}
		runtime.Gosched()
	}
	t.Error("a connection was still refused after another had ended")
}

// TestTheLastReplyIsReadEvenByAClientThatKeepsTalking: a socket that is closed with
// unread input is reset.
func TestTheLastReplyIsReadEvenByAClientThatKeepsTalking(t *testing.T) {
	_, addr := overTCP(t, Options{Intake: newBag()})
	d := connect(t, addr)
	d.say("GET / HTTP/1.1\r\n" + strings.Repeat("x", 500_000))
	got, err := io.ReadAll(d.r)
	if err != nil || !strings.HasPrefix(string(got), "554 5.5.1 This is SMTP\r\n") {
		t.Errorf("read %q and %v, wanted 554 and a clean end", got, err)
	}
}

func TestOneMachineIsCountedByItsIPv6Network(t *testing.T) {
	a, b := netip.MustParseAddr("2001:db8:1:2:3::4"), netip.MustParseAddr("2001:db8:1:2:ffff::1")
	if countedAs(a) != countedAs(b) {
		t.Errorf("%v and %v are counted apart", a, b)
	}
	if c := netip.MustParseAddr("2001:db8:1:3::4"); countedAs(a) == countedAs(c) {
		t.Errorf("%v and %v are counted as one", a, c)
	}
	if d, e := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"); countedAs(d) == countedAs(e) {
		t.Errorf("%v and %v are counted as one", d, e)
	}
}

// TestTwoThousandIdleConnectionsCostLittleMemory opens them, each after one mail so that
// every buffer was used, and measures. One more is refused.
func TestTwoThousandIdleConnectionsCostLittleMemory(t *testing.T) {
	const open = 2000
	bag := newBag()
	_, addr := overTCP(t, Options{Intake: bag})
	before := inUse()
	conns := make([]net.Conn, open)
	for i := range conns {
		conns[i] = dialAndSendOne(t, addr)
	}
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	bag.change(func() { bag.kept = nil })
	each := (inUse() - before) / open
	// The client's ends are in it: a net.Conn each, and no goroutine. A borrowed buffer
	// that was not given back would be 32 KB; the race detector adds some 4 KB.
	t.Logf("%d octets for each of %d idle connections", each, open)
	if each > 16_000 {
		t.Errorf("an idle connection costs %d octets, wanted at most 16,000", each)
	}
	one, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	d := &dialogue{t: t, conn: one, r: newReader(one)}
	d.hear("421 4.3.2 Too many connections")
	d.ended()
}

// dialAndSendOne sends a mail and leaves the connection open.
func dialAndSendOne(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 1024)
	for _, step := range []struct{ say, hear string }{
		{"", "220 "}, {"EHLO x\r\n", "250-"}, {"MAIL FROM:<>\r\nRCPT TO:<b@city.example>\r\nDATA\r\n", "250 2.1.0"},
		{strings.Repeat("x\r\n", 5000) + ".\r\n", "250 2.0.0"},
	} {
		if _, err := c.Write([]byte(step.say)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		for err == nil && strings.HasPrefix(step.hear, "250 2.1.0") && !bytes.Contains(buf[:n], []byte("354")) {
			var more int
			more, err = c.Read(buf[n:])
			n += more
		}
		if err != nil || !strings.HasPrefix(string(buf[:n]), step.hear) {
			t.Fatalf("after %.40q: %q and %v, wanted %q", step.say, buf[:n], err, step.hear)
		}
	}
	return c
}

// inUse returns the memory of the heap and of the stacks.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
