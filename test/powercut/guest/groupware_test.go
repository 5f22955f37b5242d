package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"doppelboden/test/powercut/letter"
	"doppelboden/test/powercut/wire"
)

// hand hands data to a groupware, for the mailboxes of a letter, and returns what it told
// the host before it answered the final dot.
func hand(t *testing.T, l letter.Letter, data []byte) []string {
	t.Helper()
	told, line, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	g := &groupware{host: &port{file: line}}
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- g.serve(theirs) }()
	if err := ours.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c := textproto.NewConn(ours)
	say := func(code int, command string) {
		t.Helper()
		if command != "" {
			if err := c.PrintfLine("%s", command); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := c.ReadResponse(code); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	say(220, "")
	say(250, "MAIL FROM:<"+l.Sender+">")
	for _, m := range l.Recipients {
		say(250, "RCPT TO:<"+letter.Address(m)+">")
	}
	say(354, "DATA")
	w := c.DotWriter()
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	say(250, "")
	line.Close() // what was said later would be lost
	var lines []string
	for in := bufio.NewScanner(told); in.Scan(); {
		lines = append(lines, in.Text())
	}
	say(221, "QUIT")
	if err := <-done; err != nil {
		t.Error(err)
	}
	return lines
}

func TestTheHostKnowsOfADeliveryBeforeTheNodeDoes(t *testing.T) {
	number := int64(1)
	for l := letter.Of(number); len(l.Recipients) < 2 || !bytes.Contains(l.Data, []byte("\r\n.")); l = letter.Of(number) {
		number++
	}
	l := letter.Of(number)
	got := hand(t, l, append([]byte("Received: by mx\r\n"), l.Data...))
	var want []string
	for _, m := range l.Recipients {
		want = append(want, fmt.Sprintf("%c %d %d", wire.Delivered, number, m))
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestADamagedLetterIsToldAsDamaged(t *testing.T) {
	l := letter.Of(1)
	data := bytes.Clone(l.Data)
	data[len(data)-10] ^= 1
	for _, line := range hand(t, l, data) {
		if !strings.HasPrefix(line, string(wire.Damaged)) {
			t.Errorf("told %q, want that it is damaged", line)
		}
	}
}
