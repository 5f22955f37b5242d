package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
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
	imapBig      = 1 << 20           // octets of a big mail
	imapBigCount = 200               // of them
	imapPassword = "geheim-geheim-1" // of our people
	idleClients  = 10_000
)

// A programMeasure is what one round measures of both, one after the other.
type programMeasure struct {
	name  string
	want  float64
	big   bool // with the folder of big mails
	mails int  // that one run handles
	times int  // runs of a round: processor time is told in hundredths of a second
	run   func(c *imapClient, n int) error

	rate, used *row
}

// programMeasures returns what is measured of a connection that has selected a folder.
func (b *bench) programMeasures() []*programMeasure {
	count, big := imapMails/b.scale, imapBigCount/b.scale
	fetch := func(items string) func(*imapClient, int) error {
		return func(c *imapClient, _ int) error { return c.do("FETCH 1:* (" + items + ")") }
	}
	search := func(c *imapClient, n int) error { return c.do(fmt.Sprintf("SEARCH TEXT nirgends%d", n)) }
	return []*programMeasure{
		{name: "IMAP SEARCH in texts of mails that have just come", want: 0.5, mails: count, times: 1, run: search},
		{name: "IMAP FETCH of headers", want: 0.5, mails: count, times: 2 * b.scale,
			run: fetch("UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER]")},
		{name: "IMAP FETCH of whole mails", want: 0.7, mails: count, times: 2 * b.scale, run: fetch("UID BODY.PEEK[]")},
		{name: "IMAP FETCH of mails of 1 MB", want: 0.7, mails: big, times: b.scale, big: true, run: fetch("UID BODY.PEEK[]")},
		{name: "IMAP SEARCH in texts", want: 0.5, mails: count, times: b.scale, run: search},
		{name: "IMAP STORE, one mail each", want: 0.3, mails: count / 10, times: 1, run: func(c *imapClient, round int) error {
			for n := 1; n <= count/10; n++ {
				if err := c.do(fmt.Sprintf("STORE %d %cFLAGS (\\Flagged)", n, "+-"[round%2])); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

// mailPrograms measures what IMAP clients feel, beside a Dovecot with mail_fsync=always.
// Both speak TLS; the client does nothing but count. The rows' second column is Dovecot.
// Both stand for all of it, and only one has something to do.
func (b *bench) mailPrograms(ctx context.Context) error {
	appends := &programMeasure{name: "IMAP APPEND, 4 KB, 20 connections", want: 1, mails: imapMails / b.scale, times: 1}
	measures := b.programMeasures()
	for _, m := range append([]*programMeasure{appends}, measures...) {
		m.rate = b.t.add(row{name: m.name + "; beside Dovecot", unit: "mails/s", want: m.want, ratio: true})
		m.used = b.t.add(row{name: "  processor time", unit: "µs/mail", ratio: true})
	}
	return b.imapSides(ctx, func(sides []imapSide) error {
		for round := range b.rounds {
			folder := fmt.Sprintf("runde%d", round)
			var readers []*imapClient
			for _, s := range sides {
				c, err := b.appendRound(s, appends, folder)
				if err != nil {
					return fmt.Errorf("%s: %w", s.starter.name, err)
				}
				defer c.Close()
				readers = append(readers, c)
				if err := measures[0].measure(s, c, folder, round); err != nil {
					return fmt.Errorf("%s: %w", s.starter.name, err)
				}
			}
			time.Sleep(imapSettle)
			for _, m := range measures[1:] {
				for i, s := range sides {
					if err := m.measure(s, readers[i], folder, round); err != nil {
						return fmt.Errorf("%s: %w", s.starter.name, err)
					}
				}
			}
		}
		return nil
	})
}

// appendRound measures APPEND into a new folder, and returns a connection that reads. The
// folder of big mails is filled beside it.
func (b *bench) appendRound(s imapSide, m *programMeasure, folder string) (*imapClient, error) {
	list, err := s.connectAll(connections)
	if err != nil {
		return nil, err
	}
	err = errors.Join(list[0].do("CREATE "+folder), list[0].do("CREATE "+folder+"-gross"))
	if err == nil {
		err = fill(list[:2], folder+"-gross", imapBigCount/b.scale, bigMail)
	}
	if err == nil {
		err = m.note(s, func() error { return fill(list, folder, m.mails, imapMail) })
	}
	if err = errors.Join(err, closeAll(list[1:])); err != nil {
		return nil, errors.Join(err, list[0].Close())
	}
	return list[0], nil
}

// measure runs one round over a folder.
func (m *programMeasure) measure(s imapSide, c *imapClient, folder string, round int) error {
	if m.big {
		folder += "-gross"
	}
	if err := c.do("SELECT " + folder); err != nil {
		return err
	}
	return m.note(s, func() error {
		for n := range m.times {
			if err := m.run(c, round*m.times+n); err != nil {
				return err
			}
		}
		return nil
	})
}

// note notes how fast f was, and what it took of the server's processor time.
func (m *programMeasure) note(s imapSide, f func() error) error {
	before, err := worked(s)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := f(); err != nil {
		return err
	}
	took := time.Since(start)
	after, err := worked(s)
	if err != nil {
		return err
	}
	done := m.mails * m.times
	v, used := rate(done, took), float64((after-before).Microseconds())/float64(done)
	progress("  %s, %s: %s/s, %s µs of processor time", m.name, s.starter.name, number(v), number(used))
	m.rate.note(s.starter, v)
	m.used.note(s.starter, used)
	return nil
}

// imapSides starts our node and a Dovecot and has them measured.
func (b *bench) imapSides(ctx context.Context, measure func([]imapSide) error) (err error) {
	user := "anna@" + domain
	cert, key := filepath.Join(b.dir, "imap.pem"), filepath.Join(b.dir, "imap.key")
	if err := peer.WriteCertificate(cert, key, "127.0.0.1"); err != nil {
		return err
	}
	d, err := peer.Dovecot{Users: []string{user}, Quiet: true, AlwaysSync: true, Certificate: cert, Key: key, Parent: b.dir}.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	sides := []imapSide{{starter: starter{name: "Dovecot"}, dial: afterSTARTTLS(d.IMAP()), user: user, pass: peer.DovecotPassword, processes: d.Processes}}
	if !b.node {
		return measure(sides)
	}
	return b.withReaders(ctx, []string{user}, func(n *node, addr string) error {
		ours := imapSide{starter: ourSystem, dial: overTLS(addr), user: user, pass: imapPassword, processes: n.Processes}
		return measure(append([]imapSide{ours}, sides...))
	})
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
	desk := n.desk()
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

// imapMail is a mail of 4 KB.
func imapMail(n int) string {
	head := fmt.Sprintf("From: =?utf-8?q?J=C3=B6rg?= Bauer <joerg%d@fern.example>\r\nTo: Anna Amt <anna@%s>\r\nSubject: Antrag %d auf eine Genehmigung\r\n"+
		"Date: Mon, 23 Nov 2026 10:00:00 +0100\r\nMessage-ID: <%d.bench@fern.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Transfer-Encoding: 8bit\r\n\r\n", n%97, domain, n, n)
	line := "Sehr geehrte Damen und Herren, hiermit stelle ich den Antrag, wie besprochen.\r\n"
	return head + strings.Repeat(line, (smallSize-len(head))/len(line))
}

// bigMail is a mail of 1 MB, nearly all of which is a file.
func bigMail(n int) string {
	head := fmt.Sprintf("From: Anna Amt <anna@%s>\r\nSubject: Plan %d\r\nMessage-ID: <gross%d.bench@fern.example>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n", domain, n, n)
	line := strings.Repeat("QUJD", 19) + "\r\n"
	return head + strings.Repeat(line, (imapBig-len(head))/len(line))
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
