package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"doppelboden/control"
	"doppelboden/test/peer"
)

// What mail programs are measured with.
const (
	imapMails    = 10_000
	imapSettle   = 15 * time.Second  // in which both do what follows an APPEND, such as our extracts
	imapPassword = "geheim-geheim-1" // of our people
	idleClients  = 10_000
)

// An imapSide is a server with one mailbox, and how to log into it.
type imapSide struct {
	name string
	dial func() (net.Conn, error)
	user string
	pass string
}

// mailPrograms measures what IMAP clients feel, beside a Dovecot with mail_fsync=always.
// Both speak TLS; the client does nothing but count. The rows' second column is Dovecot.
func (b *bench) mailPrograms(ctx context.Context) error {
	rows := []struct {
		r   *row
		run func(*imapClient, int) error
	}{
		{b.t.add(row{name: "IMAP APPEND, 4 KB, 20 connections; beside Dovecot", unit: "mails/s", want: 1, ratio: true}), nil},
		{b.t.add(row{name: "IMAP FETCH of headers; beside Dovecot", unit: "mails/s", want: 0.5, ratio: true}), func(c *imapClient, _ int) error {
			return c.do("FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER])")
		}},
		{b.t.add(row{name: "IMAP FETCH of whole mails; beside Dovecot", unit: "mails/s", want: 0.7, ratio: true}), func(c *imapClient, _ int) error {
			return c.do("FETCH 1:* (UID BODY.PEEK[])")
		}},
		{b.t.add(row{name: "IMAP SEARCH in texts; beside Dovecot", unit: "mails/s", want: 0.5, ratio: true}), func(c *imapClient, round int) error {
			return c.do(fmt.Sprintf("SEARCH TEXT nirgends%d", round))
		}},
		{b.t.add(row{name: "IMAP STORE, one mail each; beside Dovecot", unit: "mails/s", want: 0.3, ratio: true}), func(c *imapClient, round int) error {
			for n := 1; n <= imapMails/b.scale/10; n++ {
				if err := c.do(fmt.Sprintf("STORE %d %cFLAGS (\\Flagged)", n, "+-"[round%2])); err != nil {
					return err
				}
			}
			return nil
		}},
	}
	count := imapMails / b.scale
	return b.imapSides(ctx, func(side imapSide, into starter) error {
		start := time.Now()
		if err := side.fill(count, connections); err != nil {
			return err
		}
		rows[0].r.note(into, rate(count, time.Since(start)))
		c, err := side.connect()
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.do("SELECT INBOX"); err != nil {
			return err
		}
		time.Sleep(imapSettle)
		for round := range b.rounds {
			for i, m := range rows[1:] {
				done := count
				if i == 3 {
					done = count / 10
				}
				start := time.Now()
				if err := m.run(c, round); err != nil {
					return err
				}
				v := rate(done, time.Since(start))
				progress("  %s, %s: %s/s", m.r.name, side.name, number(v))
				m.r.note(into, v)
			}
		}
		return nil
	})
}

// imapSides starts our node and a Dovecot and has both measured.
func (b *bench) imapSides(ctx context.Context, measure func(imapSide, starter) error) (err error) {
	user := "anna@" + domain
	if b.node {
		err = b.withReaders(ctx, []string{user}, func(n *node, addr string) error {
			return measure(imapSide{name: "doppelboden", dial: overTLS(addr), user: user, pass: imapPassword}, ourSystem)
		})
		if err != nil {
			return err
		}
	}
	cert, key := filepath.Join(b.dir, "imap.pem"), filepath.Join(b.dir, "imap.key")
	if err := peer.WriteCertificate(cert, key, "127.0.0.1"); err != nil {
		return err
	}
	d, err := peer.Dovecot{Users: []string{user}, Quiet: true, AlwaysSync: true, Certificate: cert, Key: key, Parent: b.dir}.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	return measure(imapSide{name: "Dovecot", dial: afterSTARTTLS(d.IMAP()), user: user, pass: peer.DovecotPassword}, starter{name: "Dovecot"})
}

// withReaders starts a node whose people have passwords and gives the address of its IMAP.
func (b *bench) withReaders(ctx context.Context, boxes []string, f func(n *node, addr string) error) (err error) {
	down, err := peer.FreePort()
	if err != nil {
		return err
	}
	sys, err := startNode(ctx, b.config, setup{boxes: boxes, nextHop: down, down: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.Stop()) }()
	n, ok := sys.(*node)
	if !ok {
		return errors.New("our system is no node")
	}
	if err := n.givePasswords(ctx, boxes); err != nil {
		return err
	}
	out, err := n.run(ctx, "--node", n.config(), "status", "--json")
	var status struct{ Listeners map[string]string }
	// It ends with 1 as soon as there is an alarm: nobody answers behind this node.
	if bad := json.Unmarshal(out, &status); bad != nil || status.Listeners["imap"] == "" {
		return errors.Join(err, bad, errors.New("the node does not say where its IMAP is"))
	}
	return f(n, status.Listeners["imap"])
}

// givePasswords gives the people of mailboxes the password imapPassword, on all cores: each
// is hashed.
func (n *node) givePasswords(ctx context.Context, boxes []string) error {
	desk := control.NewClient(filepath.Join(n.dir, "data"), nil)
	errs := make([]error, runtime.NumCPU())
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			for k := i; errs[i] == nil && k < len(boxes); k += len(errs) {
				if err := desk.SetPassword(ctx, control.Secret{Person: boxes[k], Password: imapPassword}); err != nil {
					errs[i] = fmt.Errorf("give %s a password: %w", boxes[k], err)
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func clientTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true} // servers of this run, on this machine
}

func overTLS(addr string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return tls.Dial("tcp", addr, clientTLS()) }
}

func afterSTARTTLS(addr string) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return nil, err
		}
		plain := &imapClient{conn: conn, br: bufio.NewReader(conn)}
		if err := errors.Join(plain.greeting(), plain.do("STARTTLS")); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return &greeted{tls.Client(conn, clientTLS())}, nil
	}
}

// greeted is a connection on which the server says no greeting any more.
type greeted struct{ *tls.Conn }

// An imapClient runs commands and looks at nothing but their tagged answers.
type imapClient struct {
	conn net.Conn
	br   *bufio.Reader
	n    int
}

// connect logs in.
func (s imapSide) connect() (*imapClient, error) {
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	c := &imapClient{conn: conn, br: bufio.NewReaderSize(conn, 64<<10)}
	if _, already := conn.(*greeted); !already {
		err = c.greeting()
	}
	if err = errors.Join(err, c.do("LOGIN "+s.user+" "+s.pass)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (c *imapClient) Close() error { return c.conn.Close() }

func (c *imapClient) greeting() error {
	_, err := c.br.ReadString('\n')
	return err
}

// do runs a command and waits for its end.
func (c *imapClient) do(command string) error {
	c.n++
	tag := fmt.Sprintf("t%d", c.n)
	if _, err := io.WriteString(c.conn, tag+" "+command+"\r\n"); err != nil {
		return err
	}
	return c.until(tag, command)
}

// until reads answers until the tagged one.
func (c *imapClient) until(tag, command string) error {
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("%.40s: %w", command, err)
		}
		if rest, ok := strings.CutPrefix(string(line[:min(len(line), 80)]), tag+" "); ok {
			if !strings.HasPrefix(rest, "OK") {
				return fmt.Errorf("%.40s: %s", command, rest)
			}
			return nil
		}
		if size, ok := literalSize(line); ok {
			if _, err := c.br.Discard(size); err != nil {
				return err
			}
		}
	}
}

// literalSize returns the size of the literal that follows a line.
func literalSize(line []byte) (int, bool) {
	text := strings.TrimRight(string(line[max(0, len(line)-20):]), "\r\n")
	open := strings.LastIndexByte(text, '{')
	if open < 0 || !strings.HasSuffix(text, "}") {
		return 0, false
	}
	size, err := strconv.Atoi(text[open+1 : len(text)-1])
	return size, err == nil
}

// append puts a mail into the inbox.
func (c *imapClient) append(mail string) error {
	c.n++
	tag := fmt.Sprintf("t%d", c.n)
	if _, err := fmt.Fprintf(c.conn, "%s APPEND INBOX {%d}\r\n", tag, len(mail)); err != nil {
		return err
	}
	if line, err := c.br.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+") {
		return fmt.Errorf("APPEND: %q, %w", line, err)
	}
	if _, err := io.WriteString(c.conn, mail+"\r\n"); err != nil {
		return err
	}
	return c.until(tag, "APPEND")
}

// fill appends mails over some connections at once.
func (s imapSide) fill(count, conns int) error {
	errs := make(chan error, conns)
	for i := range conns {
		go func() {
			c, err := s.connect()
			if err != nil {
				errs <- err
				return
			}
			defer c.Close()
			for n := i; n < count && err == nil; n += conns {
				err = c.append(imapMail(n))
			}
			errs <- err
		}()
	}
	var all error
	for range conns {
		all = errors.Join(all, <-errs)
	}
	return all
}

// imapMail is a mail of 4 KB.
func imapMail(n int) string {
	head := fmt.Sprintf("From: =?utf-8?q?J=C3=B6rg?= Bauer <joerg%d@fern.example>\r\nTo: Anna Amt <anna@%s>\r\nSubject: Antrag %d auf eine Genehmigung\r\n"+
		"Date: Mon, 23 Nov 2026 10:00:00 +0100\r\nMessage-ID: <%d.bench@fern.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Transfer-Encoding: 8bit\r\n\r\n", n%97, domain, n, n)
	line := "Sehr geehrte Damen und Herren, hiermit stelle ich den Antrag, wie besprochen.\r\n"
	return head + strings.Repeat(line, (smallSize-len(head))/len(line))
}

// idlers measures what 10,000 clients that wait for mail take of our memory.
func (b *bench) idlers(ctx context.Context) error {
	if !b.node {
		return nil
	}
	count := idleClients / b.scale
	r := b.t.add(row{name: "10,000 waiting IMAP connections: memory", unit: "MB", want: 1000, atMost: true})
	boxes, err := peer.Numbered(ctx, "i@"+domain, max(1, count/30))
	if err != nil {
		return err
	}
	return b.withReaders(ctx, boxes, func(n *node, addr string) error {
		var clients []*imapClient
		defer func() {
			for _, c := range clients {
				c.Close()
			}
		}()
		before, err := residentOf(n.pid())
		if err != nil {
			return err
		}
		for i := range count {
			side := imapSide{dial: overTLS(addr), user: boxes[i%len(boxes)], pass: imapPassword}
			c, err := side.connect()
			if err != nil {
				return fmt.Errorf("connection %d: %w", i+1, err)
			}
			clients = append(clients, c)
			if err := c.do("SELECT INBOX"); err != nil {
				return err
			}
			if _, err := io.WriteString(c.conn, "i IDLE\r\n"); err != nil {
				return err
			}
			if line, err := c.br.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+") {
				return fmt.Errorf("IDLE: %q, %w", line, err)
			}
		}
		after, err := residentOf(n.pid())
		if err != nil {
			return err
		}
		v := (after - before) * float64(b.scale)
		b.t.note("A waiting IMAP connection takes %.0f KB.", (after-before)*1000/float64(count))
		r.note(ourSystem, v)
		return nil
	})
}
