package smtpd

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"

	"doppelboden"
)

// An Intake makes messages out of what the door was told.
type Intake interface {
	// Begin is asked at MAIL. It may refuse (overload, no room, paused); its error's
	// code decides the reply. After an error there is no Transaction.
	Begin(ctx context.Context, e Envelope) (Transaction, error)
}

// An Envelope is what is known of a mail at MAIL.
type Envelope struct {
	Peer     netip.Addr           // the client's address, without zone
	PeerName string               // its name, confirmed forward and back; empty when unknown (yet)
	Helo     string               // its claim in EHLO or HELO: printable US-ASCII without spaces
	TLS      *tls.ConnectionState // nil without TLS
	Proto    string               // SMTP, ESMTP, ESMTPS, UTF8SMTP, UTF8SMTPS: RFC 3848; RFC 6531, section 4.3
	Sender   doppelboden.Address  // reverse-path; null for DSNs
	SMTPUTF8 bool                 // RFC 6531 was asked for
	EightBit bool                 // BODY=8BITMIME was declared: RFC 6152
	Ret      string               // "FULL", "HDRS" or empty: RFC 3461, section 4.3
	EnvID    string               // as it came, xtext: RFC 3461, section 4.4
	Size     int64                // octets as declared by SIZE=, or 0: RFC 1870

	// Hop is the trusted hop that the mail came through, or the zero Addr. When the hop
	// has told who its client is (Told), Peer, PeerName and Helo are the client's; else
	// they are the hop's own.
	Hop  netip.Addr
	Told bool
	// Login names the own sender that Gate let in; empty without a Gate.
	Login string
}

// A Gate knows the city's own senders.
type Gate interface {
	// Known returns the name of the sender that a client's address or its certificate
	// stands for, or "". It is asked for every mail and must not wait. What s holds as
	// the client's certificate is one whose key the client has; nobody has verified who
	// signed it.
	Known(peer netip.Addr, s *tls.ConnectionState) string

	// Login returns the name of the sender with this user and password. The code of its
	// error is Policy when they are wrong, else they could not be checked now.
	Login(ctx context.Context, peer netip.Addr, user, password string) (string, error)
}

// A Recipient is what a RCPT command named.
type Recipient struct {
	// Address has an empty Domain for "<postmaster>": RFC 5321, section 4.5.1.
	Address doppelboden.Address
	Notify  string // as it came: RFC 3461, section 4.1
	ORcpt   string // as it came: RFC 3461, section 4.2
}

// A Transaction is one mail on its way in. Its calls come from one goroutine: Rcpt some
// times, Write some times, then Commit or Abort once.
type Transaction interface {
	// Rcpt adds a recipient or refuses it; its error's code decides the reply. A
	// refused recipient changes nothing for the others.
	Rcpt(ctx context.Context, r Recipient) error

	// Write takes the next octets of the body: dots unstuffed, line ends CRLF, the
	// last one present. It must not keep p. An error ends the body: the door reads on to
	// its end, answers with the error and calls Abort.
	io.Writer

	// Commit ends the body, keeps the message and returns its names. Only then 250.
	// Its context ends with nothing but the process; a client that hangs up does not
	// stop it. After an error the message does not exist and the door calls Abort.
	Commit(ctx context.Context) (Kept, error)

	// Acked tells what became of the 250: written to the client or not. It follows
	// every successful Commit once.
	Acked(written bool)

	// Abort gives everything back. It is harmless after Commit.
	Abort()
}

// Kept names a message that exists.
type Kept struct {
	ID      doppelboden.ID      // for logs
	Receipt doppelboden.Receipt // for the client
}
