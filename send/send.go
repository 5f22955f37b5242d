// Package send hands mail to an MX as a stranger's server would.
//
// It takes an address and some words, makes a small mail of them, and gives back the
// server's answer with the receipt number in it. It promises nothing about the mail:
// who wants to know what became of it asks the node. It never logs in and never tries
// again.
package send

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"time"

	"doppelboden"
)

// A Mail is what is sent.
type Mail struct {
	From    doppelboden.Address // the null reverse-path is allowed
	To      doppelboden.Address
	Subject string
	Text    string

	// MessageID is for the field of this name, without angle brackets; empty: a fresh one.
	MessageID string
}

// An Answer is what the MX said to the final dot, or where it refused.
type Answer struct {
	Code    int                 // RFC 5321, section 4.2
	Text    string              // one line; as hostile as any server's
	Receipt doppelboden.Receipt // zero when there is none in Text
}

// Kept reports whether the MX took responsibility for the mail.
func (a Answer) Kept() bool { return a.Code/100 == 2 }

// A Conn is one connection to an MX.
type Conn struct {
	text *textproto.Conn
	net  net.Conn
	utf8 bool // the server offers SMTPUTF8 (RFC 6531)
}

// timeout bounds every step. RFC 5321, section 4.5.3.2, allows minutes, but a person
// waits here.
const timeout = 60 * time.Second

// Dial connects to an MX, greets it and encrypts if it can, without a look at the
// certificate (RFC 7435: better than nothing, as strangers do).
func Dial(ctx context.Context, addr string) (*Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to the MX: %w", err)
	}
	c := &Conn{text: textproto.NewConn(nc), net: nc}
	if err := c.greet(); err != nil {
		c.text.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) greet() error {
	if err := c.net.SetDeadline(time.Now().Add(timeout)); err != nil {
		return fmt.Errorf("set a deadline: %w", err)
	}
	if _, _, err := c.text.ReadResponse(220); err != nil {
		return fmt.Errorf("read the greeting: %w", err)
	}
	offers, err := c.ehlo()
	if err != nil || !offers["STARTTLS"] {
		return err
	}
	if _, _, err := c.command(220, "STARTTLS"); err != nil {
		return fmt.Errorf("start TLS: %w", err)
	}
	secure := tls.Client(c.net, &tls.Config{InsecureSkipVerify: true})
	if err := secure.Handshake(); err != nil {
		return fmt.Errorf("start TLS: %w", err)
	}
	c.net, c.text = secure, textproto.NewConn(secure)
	_, err = c.ehlo()
	return err
}

// ehlo returns the keywords that the server offers.
func (c *Conn) ehlo() (map[string]bool, error) {
	_, text, err := c.command(250, "EHLO localhost")
	if err != nil {
		return nil, fmt.Errorf("say hello: %w", err)
	}
	offers := map[string]bool{}
	for _, line := range strings.Split(text, "\n") {
		word, _, _ := strings.Cut(line, " ")
		offers[strings.ToUpper(word)] = true
	}
	c.utf8 = offers["SMTPUTF8"]
	return offers, nil
}

// command sends one line and reads the reply.
func (c *Conn) command(expect int, line string) (int, string, error) {
	if err := c.text.PrintfLine("%s", line); err != nil {
		return 0, "", err
	}
	return c.text.ReadResponse(expect)
}

// Send sends one mail. The error is about the connection; a refusal is an answer.
func (c *Conn) Send(m Mail, now time.Time) (Answer, error) {
	if err := c.net.SetDeadline(time.Now().Add(timeout)); err != nil {
		return Answer{}, fmt.Errorf("set a deadline: %w", err)
	}
	params := ""
	if c.utf8 && !(m.From.IsASCII() && m.To.IsASCII()) {
		params = " SMTPUTF8"
	}
	for _, step := range []struct {
		expect int
		line   string
	}{
		{250, "MAIL FROM:<" + m.From.String() + ">" + params},
		{250, "RCPT TO:<" + m.To.String() + ">"},
		{354, "DATA"},
	} {
		code, text, err := c.command(step.expect, step.line)
		if refused(err) {
			c.text.PrintfLine("RSET")
			c.text.ReadResponse(250)
			return answer(code, text), nil
		}
		if err != nil {
			return Answer{}, fmt.Errorf("send %s: %w", strings.Fields(step.line)[0], err)
		}
	}
	w := c.text.DotWriter()
	if m.MessageID == "" {
		m.MessageID = newMessageID()
	}
	if _, err := w.Write(compose(m, now)); err != nil {
		return Answer{}, fmt.Errorf("send the mail: %w", err)
	}
	if err := w.Close(); err != nil {
		return Answer{}, fmt.Errorf("send the mail: %w", err)
	}
	code, text, err := c.text.ReadResponse(250)
	if err != nil && !refused(err) {
		return Answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return answer(code, text), nil
}

// Close says goodbye.
func (c *Conn) Close() error {
	c.text.PrintfLine("QUIT")
	return c.text.Close()
}

// refused reports whether err is a reply of the server.
func refused(err error) bool {
	var reply *textproto.Error
	return errors.As(err, &reply)
}

// receiptNumber finds a receipt in the text of a reply.
var receiptNumber = regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){4}\b`)

func answer(code int, text string) Answer {
	a := Answer{Code: code, Text: strings.Join(strings.Split(text, "\n"), " / ")}
	if number := receiptNumber.FindString(text); number != "" {
		if r, err := doppelboden.ParseReceipt(number); err == nil {
			a.Receipt = r
		}
	}
	return a
}

func newMessageID() string {
	var id [12]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(id[:]) + "@localhost"
}

// compose makes the mail: RFC 5322, section 3.6.
func compose(m Mail, now time.Time) []byte {
	from := m.From.String()
	if m.From.IsNull() {
		from = "mailer-daemon@localhost"
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("Date: %s", now.Format(time.RFC1123Z))
	line("From: <%s>", from)
	line("To: <%s>", m.To)
	line("Subject: %s", mime.QEncoding.Encode("utf-8", m.Subject))
	line("Message-ID: <%s>", m.MessageID)
	line("MIME-Version: 1.0")
	line("Content-Type: text/plain; charset=utf-8")
	line("Content-Transfer-Encoding: 8bit")
	line("")
	line("%s", strings.ReplaceAll(m.Text, "\n", "\r\n"))
	return []byte(b.String())
}
