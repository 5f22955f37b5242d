package mailbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"doppelboden"
)

// A link is a connection on which we are logged in as the owner of a mailbox.
type link struct {
	owner  doppelboden.Address
	wire   *tether
	lines  *filter // on top of wire, and of TLS
	client *imapclient.Client
	bye    time.Duration
	timer  *time.Timer // while idle
}

const (
	// small bounds the answer to a command that has a short one, and what a server tells
	// unasked meanwhile.
	small = 1 << 20
	// large bounds lists of UIDs and headers: 2,000,000 numbers, or 2,000 headers of 8 KB.
	large = 16 << 20
	// byeLimit is how long we wait at most for a server to let us go.
	byeLimit = 2 * time.Second
)

// end logs out, so that the server's log shows no broken connection, and closes.
func (l *link) end() {
	if l.wire.arm(l.bye, small) == nil {
		_ = l.client.Logout().Wait() // the connection ends in any case
	}
	_ = l.client.Close() // nothing was written that could be lost
}

// connect makes a connection and logs in.
func (m *IMAP) connect(ctx context.Context, owner doppelboden.Address) (*link, error) {
	password, err := m.opts.Password()
	if err != nil {
		return nil, temporary("its password cannot be read", err)
	}
	dialer := net.Dialer{Timeout: m.opts.Timeout}
	raw, err := dialer.DialContext(ctx, "tcp", m.opts.Addr)
	if err != nil {
		return nil, temporary("does not answer", err)
	}
	wire := newTether(raw)
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	client, lines, err := m.greet(ctx, wire)
	if err != nil {
		raw.Close()
		return nil, temporary("does not greet as it should", err)
	}
	if err := m.login(client, m.name(owner), password); err != nil {
		_ = client.Close() // the log-in's error says more
		return nil, err
	}
	return &link{owner: owner, wire: wire, lines: lines, client: client, bye: min(byeLimit, m.opts.Timeout)}, nil
}

// greet waits for the greeting, encrypted if the options want it.
func (m *IMAP) greet(ctx context.Context, wire *tether) (*imapclient.Client, *filter, error) {
	if err := wire.arm(m.opts.Timeout, small); err != nil {
		return nil, nil, err
	}
	lines := &filter{Conn: wire}
	if m.opts.TLS != nil {
		if !m.opts.Implicit {
			if err := startTLS(wire); err != nil {
				return nil, nil, fmt.Errorf("begin to encrypt: %w", err)
			}
			lines.first = []byte("* OK encrypted\r\n") // the client has not seen the greeting
		}
		c := tls.Client(wire, m.opts.TLS)
		if err := c.HandshakeContext(ctx); err != nil {
			return nil, nil, fmt.Errorf("encrypt: %w", err)
		}
		lines.Conn = c
	}
	client := imapclient.New(lines, nil)
	return client, lines, greeted(client)
}

// startTLS asks for encryption: RFC 9051, section 6.2.1. Nothing else is said or believed in
// clear text, and nothing is read behind the answer, so that what somebody put there does
// not count as said within TLS.
func startTLS(c io.ReadWriter) error {
	greeting, err := clearLine(c)
	if err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	if word, _, _ := strings.Cut(strings.ToUpper(greeting), "OK"); word != "* " {
		return fmt.Errorf("the greeting is %q", harmless(greeting))
	}
	if _, err := io.WriteString(c, "T0 STARTTLS\r\n"); err != nil {
		return fmt.Errorf("write STARTTLS: %w", err)
	}
	for {
		line, err := clearLine(c)
		switch {
		case err != nil:
			return fmt.Errorf("read answer: %w", err)
		case strings.HasPrefix(strings.ToUpper(line), "T0 OK"):
			return nil
		case !strings.HasPrefix(line, "* "):
			return fmt.Errorf("the answer is %q", harmless(line))
		}
	}
}

// clearLine reads one line, octet by octet.
func clearLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); b[0] != '\n'; line = append(line, b[0]) {
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		if len(line) > 8<<10 { // RFC 7162, section 4
			return "", errTooMuch
		}
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// greeted waits for a greeting that asks for a log-in.
func greeted(c *imapclient.Client) error {
	err := c.WaitGreeting()
	if err == nil && c.State() != imap.ConnStateNotAuthenticated {
		err = errors.New("it lets everybody in without a log-in")
	}
	if err != nil {
		_ = c.Close() // the greeting's error says more
	}
	return err
}

// login logs in as the owner of a mailbox with the rights of the master user: as
// mailbox*master, or by SASL PLAIN with the mailbox as authorization identity (RFC 4616).
func (m *IMAP) login(c *imapclient.Client, mailbox, password string) error {
	var err error
	if m.opts.Separator == "" {
		err = c.Authenticate(sasl.NewPlainClient(mailbox, m.opts.User, password))
	} else {
		err = c.Login(mailbox+m.opts.Separator+m.opts.User, password).Wait()
	}
	var no *imap.Error
	if !errors.As(err, &no) || no.Type != imap.StatusResponseTypeNo {
		if err != nil {
			err = temporary("breaks off at the log-in", clean(err))
		}
		return err
	}
	switch no.Code {
	// RFC 5530, section 3. Whatever else is unknown is temporary.
	case imap.ResponseCodeAuthenticationFailed, imap.ResponseCodeAuthorizationFailed, imap.ResponseCodeExpired,
		imap.ResponseCodePrivacyRequired, imap.ResponseCodeContactAdmin, imap.ResponseCodeNonExistent, imap.ResponseCodeNoPerm, "":
		return &doppelboden.Error{Code: doppelboden.Policy, Public: "the groupware's IMAP server refuses our log-in", Cause: clean(err)}
	}
	return temporary("refuses the log-in for now", clean(err))
}

// clean makes a server's words harmless.
func clean(err error) error {
	var no *imap.Error
	if errors.As(err, &no) {
		return &imap.Error{Type: no.Type, Code: imap.ResponseCode(harmless(string(no.Code))), Text: harmless(no.Text)}
	}
	return err
}
