package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"doppelboden/test/powercut/letter"
	"doppelboden/test/powercut/wire"
)

// A groupware takes what the node hands over, compares it with what was sent, and tells
// the host before it answers 250: what it has acknowledged, the host knows.
type groupware struct {
	host     *port
	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool
}

// groupwareAddr is where the groupware listens, in every boot.
const groupwareAddr = "127.0.0.1:2600"

// listenGroupware starts the groupware.
func listenGroupware(host *port) (*groupware, error) {
	l, err := net.Listen("tcp", groupwareAddr)
	if err != nil {
		return nil, fmt.Errorf("listen for the groupware: %w", err)
	}
	g := &groupware{host: host, listener: l, open: map[net.Conn]bool{}}
	go g.accept()
	return g, nil
}

// close switches the groupware off. It still answers what it has taken, for it has told
// the host already, but reads nothing more.
func (g *groupware) close() {
	g.listener.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // fails only when it is closed already
	}
}

// accept serves every connection until close.
func (g *groupware) accept() {
	for {
		c, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		g.open[c] = true
		g.mu.Unlock()
		go func() {
			defer g.forget(c)
			// The node sees a broken connection for itself and tries again.
			_ = g.serve(c)
		}()
	}
}

// forget closes a connection.
func (g *groupware) forget(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, c)
	c.Close()
}

// serve speaks as much SMTP (RFC 5321, section 4.1.1) as a next server must.
func (g *groupware) serve(c net.Conn) error {
	in := bufio.NewReaderSize(c, 64<<10)
	out := bufio.NewWriter(c)
	var mailboxes []int
	fmt.Fprint(out, "220 groupware ESMTP\r\n")
	for {
		if in.Buffered() == 0 { // RFC 2920, section 3.2: answer a batch at once
			if err := out.Flush(); err != nil {
				return err
			}
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		verb, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			fmt.Fprint(out, "250-groupware\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
		case "MAIL", "RSET", "HELO":
			mailboxes = nil
			fmt.Fprint(out, "250 2.0.0 ok\r\n")
		case "RCPT":
			m, ok := letter.Mailbox(path(rest))
			if !ok {
				g.host.say(wire.Line{Kind: wire.Damaged, Text: "a recipient that nobody wrote to: " + rest})
				fmt.Fprint(out, "550 5.1.1 no such mailbox\r\n")
				continue
			}
			mailboxes = append(mailboxes, m)
			fmt.Fprint(out, "250 2.1.5 ok\r\n")
		case "DATA":
			fmt.Fprint(out, "354 go on\r\n")
			if err := out.Flush(); err != nil {
				return err
			}
			if err := g.take(in, mailboxes); err != nil {
				return err
			}
			fmt.Fprint(out, "250 2.0.0 ok\r\n")
		case "QUIT":
			fmt.Fprint(out, "221 2.0.0 bye\r\n")
			return out.Flush()
		default:
			fmt.Fprint(out, "500 5.5.1 what?\r\n")
		}
	}
}

// path returns the address of "TO:<address> …", or what is there instead.
func path(s string) string {
	_, after, _ := strings.Cut(s, "<")
	address, _, _ := strings.Cut(after, ">")
	return address
}

// take reads a mail up to its final dot (RFC 5321, section 4.5.2) and tells the host
// what it was, for each recipient.
func (g *groupware) take(in *bufio.Reader, mailboxes []int) error {
	var data []byte
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return err
		}
		if string(line) == ".\r\n" {
			break
		}
		data = append(data, bytes.TrimPrefix(line, []byte("."))...)
	}
	number, intact := letter.Check(data)
	for _, m := range mailboxes {
		if !intact || !slices.Contains(letter.Recipients(number), m) {
			g.host.say(wire.Line{Kind: wire.Damaged, Number: number, Mailbox: m, Text: fmt.Sprintf("%d bytes that are not this letter to this mailbox", len(data))})
			continue
		}
		g.host.say(wire.Line{Kind: wire.Delivered, Number: number, Mailbox: m})
	}
	return nil
}
