package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"doppelboden/city"
)

// A session is a connection to a directory on which we are who we say.
type session struct {
	*ldap.Conn
	frame *frame
}

// connect connects to the first server that answers, and binds.
func (s *Source) connect(ctx context.Context) (*session, error) {
	var errs []error
	for _, server := range s.opts.LDAP.Servers {
		c, err := s.connectTo(ctx, server)
		if err == nil {
			return c, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", server, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// connectTo connects to one server, encrypts and binds.
func (s *Source) connectTo(ctx context.Context, server city.LDAPServer) (*session, error) {
	dialing, cancel := context.WithTimeout(ctx, s.opts.PageTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(dialing, "tcp", server.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if conn, err = s.encrypt(dialing, conn, server); err != nil {
		return nil, err
	}
	f := newFrame(conn, s.opts.PageTime)
	c := &session{Conn: ldap.NewConn(f, true), frame: f}
	c.Start()
	if err := s.bind(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// encrypt turns a fresh connection into one that nobody can read or change, unless the
// configuration says otherwise. After an error the connection is closed.
func (s *Source) encrypt(ctx context.Context, conn net.Conn, server city.LDAPServer) (net.Conn, error) {
	l := &s.opts.LDAP
	if !server.TLS && !l.StartTLS {
		return conn, nil
	}
	roots, err := s.roots()
	if err == nil && !server.TLS {
		deadline, _ := ctx.Deadline()
		if err = askTLS(conn, deadline); err != nil {
			err = fmt.Errorf("ask for StartTLS: %w", err)
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	host, _, _ := net.SplitHostPort(server.Addr)
	secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return secure, nil
}

// startTLS is the request name of StartTLS: RFC 4511, section 4.14.1.
const startTLS = "1.3.6.1.4.1.1466.20037"

// askTLS asks for StartTLS. The library would put its encryption around the frame,
// which then could not look at the messages.
func askTLS(conn net.Conn, deadline time.Time) error {
	request := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "")
	request.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, startTLS, ""))
	packet := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	packet.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, ""))
	packet.AppendChild(request)
	f := newFrame(oneByOne{conn}, time.Until(deadline))
	if _, err := f.Write(packet.Bytes()); err != nil {
		return err
	}
	answer, err := ber.ReadPacket(f)
	if err != nil {
		return err
	}
	return guarded(func() error { return ldap.GetLDAPError(answer) })
}

// oneByOne is a connection of which no more is read than is asked for, so that the
// first bytes of the encryption stay where they are.
type oneByOne struct{ net.Conn }

// Read returns one byte: the answer has some dozens.
func (c oneByOne) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(1, len(p))]) }

// bind says who we are. An empty name stays anonymous.
func (s *Source) bind(c *session) error {
	l := &s.opts.LDAP
	if l.BindDN == "" {
		return nil
	}
	password, err := s.opts.Password()
	if err != nil {
		return fmt.Errorf("read the password: %w", err)
	}
	// Neither the library nor a server repeats the password in an error.
	if err := guarded(func() error { return c.Bind(l.BindDN, password) }); err != nil {
		return fmt.Errorf("bind as %s: %w", l.BindDN, err)
	}
	return nil
}

// guarded runs what calls the library and turns its panics into errors: it trusts the
// types of what a server sends.
func guarded(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the server's answer makes no sense: %v", v)
		}
	}()
	return do()
}
