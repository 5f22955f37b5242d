package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// An imapSide is a server with one mailbox, and how to log into it.
type imapSide struct {
	starter   starter
	dial      func() (net.Conn, error)
	user      string
	pass      string
	processes func() ([]int, error)
}

// Processes returns the ids of its processes.
func (s imapSide) Processes() ([]int, error) { return s.processes() }

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

// line runs a command and returns the last line of its answers that begins with prefix,
// without that.
func (c *imapClient) line(command, prefix string) (last string, err error) {
	c.n++
	tag := fmt.Sprintf("t%d ", c.n)
	if _, err := io.WriteString(c.conn, tag+command+"\r\n"); err != nil {
		return "", err
	}
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("%.40s: %w", command, err)
		}
		line = strings.TrimRight(line, "\r\n")
		if rest, ok := strings.CutPrefix(line, tag); ok {
			if !strings.HasPrefix(rest, "OK") {
				return "", fmt.Errorf("%.40s: %s", command, rest)
			}
			return last, nil
		}
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			last = rest
		}
	}
}

// append puts a mail into the inbox.
func (c *imapClient) append(mail string) error { return c.appendTo("INBOX", mail) }

// appendTo puts a mail into a folder; flags may stand behind its name.
func (c *imapClient) appendTo(folder, mail string) error {
	c.n++
	tag := fmt.Sprintf("t%d", c.n)
	if _, err := fmt.Fprintf(c.conn, "%s APPEND %s {%d}\r\n", tag, folder, len(mail)); err != nil {
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

// connectAll logs in several times.
func (s imapSide) connectAll(count int) (list []*imapClient, err error) {
	for range count {
		c, err := s.connect()
		if err != nil {
			return nil, errors.Join(err, closeAll(list))
		}
		list = append(list, c)
	}
	return list, nil
}

func closeAll(list []*imapClient) (err error) {
	for _, c := range list {
		err = errors.Join(err, c.Close())
	}
	return err
}

// fill appends mails over some connections at once.
func fill(list []*imapClient, folder string, count int, mail func(int) string) error {
	errs := make(chan error, len(list))
	for i, c := range list {
		go func() {
			var err error
			for n := i; n < count && err == nil; n += len(list) {
				err = c.appendTo(folder, mail(n))
			}
			errs <- err
		}()
	}
	var all error
	for range list {
		all = errors.Join(all, <-errs)
	}
	return all
}
