package load

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// A Phase is how far a mail came.
type Phase string

// The phases in their order.
const (
	AtMail Phase = "mail"
	AtRcpt Phase = "rcpt"
	AtData Phase = "data"
	AtDot  Phase = "dot" // the final dot may have reached the server
)

// A client is one connection to the server.
type client struct {
	conn       net.Conn
	in         *bufio.Reader
	opts       *Options
	pipelining bool // RFC 2920: it was announced and is wanted
}

// dial connects and greets.
func dial(ctx context.Context, o *Options) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &client{conn: conn, in: bufio.NewReader(conn), opts: o}
	if err := c.greet(); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) greet() error {
	c.conn.SetDeadline(time.Now().Add(c.opts.Timeout))
	if code, text, err := c.reply(); err != nil || code != 220 {
		return fmt.Errorf("greeting: %d %s: %w", code, text, orRefused(err))
	}
	code, text, err := c.command("EHLO load.example\r\n")
	if err != nil || code != 250 {
		return fmt.Errorf("EHLO: %d %s: %w", code, text, orRefused(err))
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.EqualFold(line, "PIPELINING") {
			c.pipelining = !c.opts.NoPipelining
		}
	}
	return nil
}

// orRefused returns err, or says that the answer was the problem.
func orRefused(err error) error {
	if err != nil {
		return err
	}
	return errRefused
}

// close says QUIT and does not wait for an answer longer than a moment.
func (c *client) close() {
	c.conn.SetDeadline(time.Now().Add(time.Second))
	c.command("QUIT\r\n")
	c.conn.Close()
}

// reply reads one reply; several lines are joined by line feeds.
func (c *client) reply() (code int, text string, err error) {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return 0, "", err
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) < 3 {
			return 0, "", fmt.Errorf("reply too short: %q", line)
		}
		if code, err = strconv.Atoi(line[:3]); err != nil {
			return 0, "", fmt.Errorf("no reply: %q", line)
		}
		if len(line) > 4 {
			text += line[4:]
		}
		if len(line) == 3 || line[3] != '-' {
			return code, text, nil
		}
		text += "\n"
	}
}

func (c *client) command(line string) (code int, text string, err error) {
	if _, err := c.conn.Write([]byte(line)); err != nil {
		return 0, "", err
	}
	return c.reply()
}

// send sends one mail and fills in r. An error says that the connection is of no use
// any more.
func (c *client) send(m *Mail, r *Record) error {
	r.Phase = AtMail
	c.conn.SetDeadline(time.Now().Add(c.opts.Timeout))
	commands := make([]string, 0, len(m.To)+2)
	mail := "MAIL FROM:<" + m.From + ">"
	if m.UTF8() {
		mail += " SMTPUTF8"
	}
	commands = append(commands, mail+" BODY=8BITMIME\r\n")
	for _, to := range m.To {
		commands = append(commands, "RCPT TO:<"+to+">\r\n")
	}
	commands = append(commands, "DATA\r\n")
	if c.pipelining {
		if _, err := c.conn.Write([]byte(strings.Join(commands, ""))); err != nil {
			return err
		}
	}
	ask := func(i int) (int, string, error) {
		if c.pipelining {
			return c.reply()
		}
		return c.command(commands[i])
	}
	return c.transaction(m, r, ask)
}

// transaction asks for each command's answer in turn. Without pipelining it stops at
// the first refusal of MAIL, or when no recipient was taken.
func (c *client) transaction(m *Mail, r *Record, ask func(int) (int, string, error)) error {
	var err error
	if r.Code, r.Text, err = ask(0); err != nil {
		return err
	}
	refused := r.Code/100 != 2
	if refused && !c.pipelining {
		return c.reset()
	}
	for i, to := range m.To {
		code, text, err := ask(i + 1)
		if err != nil {
			return err
		}
		if code/100 == 2 {
			r.Taken = append(r.Taken, to)
		} else if !refused {
			r.Phase, r.Code, r.Text = AtRcpt, code, text
		}
	}
	if len(r.Taken) == 0 && !c.pipelining {
		return c.reset()
	}
	code, text, err := ask(len(m.To) + 1)
	if err != nil {
		return err
	}
	if code != 354 {
		if len(r.Taken) > 0 {
			r.Phase, r.Code, r.Text = AtData, code, text
		}
		r.Taken = nil
		return c.reset()
	}
	return c.data(m, r)
}

// data sends the mail itself. The clock of Latency starts with the write that carries
// the final dot.
func (c *client) data(m *Mail, r *Record) error {
	r.Phase, r.Code, r.Text = AtData, 0, ""
	wire := m.wire()
	last := len(wire)
	if last > lastWrite {
		last = lastWrite
	}
	if _, err := c.conn.Write(wire[:len(wire)-last]); err != nil {
		return err
	}
	r.Phase, r.Dot = AtDot, time.Now()
	if _, err := c.conn.Write(wire[len(wire)-last:]); err != nil {
		return err
	}
	code, text, err := c.reply()
	r.Latency = time.Since(r.Dot)
	if err != nil {
		return err
	}
	r.Code, r.Text = code, text
	return nil
}

// lastWrite is how much goes out with the final dot: small mails in one write, as
// real servers send them.
const lastWrite = 16 << 10

// reset ends a transaction that was refused (RFC 5321, section 4.1.1.5).
func (c *client) reset() error {
	code, text, err := c.command("RSET\r\n")
	if err == nil && code/100 != 2 {
		err = fmt.Errorf("RSET: %d %s: %w", code, text, errRefused)
	}
	return err
}
