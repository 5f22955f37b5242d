package city

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// An IMAP is how we look into the mailboxes of a route's groupware, with the rights of an
// administrator.
type IMAP struct {
	Server      IMAPServer // where it answers
	TLS         TLSMode    // TLSVerified, TLSRequired or TLSOff; never opportunistic, for a password is sent
	CA          string     // PEM file of who signs the server's certificate; empty: the system's
	User        string     // the master user
	Password    Secret     // of User
	Separator   string     // logs in as mailbox+Separator+User; empty: SASL PLAIN with an authorization identity
	Mailbox     NameMode   // what the groupware calls a mailbox
	Inbox       string     // the folder in which it puts what it takes
	Connections int        // at most so many at once
	Readback    Readback   // how much of what it took is looked for
	// AppendAfter is the age from which on mail is put straight into its mailbox, with its
	// date, instead of being handed to the route's hosts; 0: never.
	AppendAfter time.Duration
	SyncDays    int // so many days back its mailboxes are read, so that ours show them; 0: they are not
}

// An IMAPServer is where a groupware answers IMAP.
type IMAPServer struct {
	TLS  bool   // imaps://: encrypted from the first octet (RFC 8314)
	Addr string // host:port
}

// String returns the server as city.toml writes it.
func (s IMAPServer) String() string {
	if s.TLS {
		return "imaps://" + s.Addr
	}
	return "imap://" + s.Addr
}

// A NameMode says what a groupware calls a mailbox.
type NameMode string

const (
	// NameAddress is the whole address.
	NameAddress NameMode = "address"
	// NameLocal is what stands before the "@".
	NameLocal NameMode = "local"
)

// A Readback says how much of what a groupware took is looked for in its mailboxes.
type Readback string

const (
	// ReadbackSample looks for a share, and for everything after an outage.
	ReadbackSample Readback = "sample"
	// ReadbackFull looks for everything.
	ReadbackFull Readback = "full"
	// ReadbackOff looks for nothing.
	ReadbackOff Readback = "off"
)

// Limits of [tenant.route.imap], and what is taken when nothing is written.
const (
	defaultIMAPConnections = 4 // three for the way back and one to look: a groupware serves thousands
	defaultAppendAfter     = 6 // hours: what is older comes behind a night or a working day, and its date matters
	maxAppendAfter         = 90 * 24
	maxIMAPConnections     = 50 // Dovecot's default for one user and address is 10; a master user's mailboxes count apart
)

const (
	wantIMAPServer = `write server = "imaps://host:993" or "imap://host:143"`
	wantIMAPSecret = `write password_file = "imap.password" (a file in the folder of the keys), or password_credential = "imap"`
	wantIMAPUser   = `write the name of the master user, such as "doppelboden"`
)

// parseIMAP reads the imap table of a route; nil when it is not written.
func parseIMAP(s *section) *IMAP {
	if !s.has("imap") {
		return nil
	}
	s = s.table("imap")
	m := &IMAP{}
	m.Server = parseIMAPServer(s)
	m.TLS = parseIMAPTLS(s, m.Server)
	m.CA = s.text("ca_file", "", says(`write a PEM file, such as "imap-ca.pem" (in the folder of the keys)`))
	if m.CA != "" && m.TLS != TLSVerified && m.TLS != "" {
		s.wrong("ca_file", says(`checks a certificate, and tls says that nobody does`), says(`write tls = "verified", or leave it out`))
	}
	m.User = s.must("user", says(wantIMAPUser))
	m.Password = parseSecret(s, says(wantIMAPSecret))
	m.Separator = s.text("separator", "", says(`write what stands between mailbox and master user, such as "*"`))
	if strings.ContainsAny(m.User+m.Separator, "\x00\r\n") {
		s.wrong("user", says("not a name"), says(wantIMAPUser))
	}
	m.Mailbox = NameMode(s.text("mailbox", string(NameAddress), says(`write "address" or "local"`)))
	if m.Mailbox != NameAddress && m.Mailbox != NameLocal && m.Mailbox != "" {
		s.wrong("mailbox", says("none of the words that are known here"), says(`write "address" or "local"`))
	}
	m.Inbox = s.text("inbox", "INBOX", says(`write the name of a folder, with "/" between its parts`))
	m.Connections = int(s.number("connections", defaultIMAPConnections, 1, maxIMAPConnections))
	m.Readback = Readback(s.text("readback", string(ReadbackSample), says(`write "sample", "full" or "off"`)))
	switch m.Readback {
	case ReadbackSample, ReadbackFull, ReadbackOff, "":
	default:
		s.wrong("readback", says("none of the words that are known here"), says(`write "sample", "full" or "off"`))
	}
	m.AppendAfter = time.Duration(s.number("append_after_hours", defaultAppendAfter, 0, maxAppendAfter)) * time.Hour
	m.SyncDays = parseSync(s)
	s.done()
	return m
}

// String says of a route with m what a person must know of it.
func (m *IMAP) String() string {
	line := "IMAP " + m.Server.String()
	if m.SyncDays > 0 {
		line += fmt.Sprintf(", mailboxes are read %d days back", m.SyncDays)
	}
	if m.AppendAfter == 0 {
		return line + ", old mail goes to the hosts as well"
	}
	return fmt.Sprintf("%s, mail older than %d h goes into the mailboxes with its date", line, int(m.AppendAfter.Hours()))
}

// parseIMAPServer reads imap://host:port or imaps://host:port; ports have defaults.
func parseIMAPServer(s *section) IMAPServer {
	written := s.must("server", says(wantIMAPServer))
	if written == "" {
		return IMAPServer{}
	}
	scheme, rest, ok := strings.Cut(written, "://")
	problem := Text{}
	switch {
	case !ok || scheme != "imap" && scheme != "imaps":
		problem = says("not an IMAP server")
	case strings.Contains(rest, "@"):
		problem = says("a user and password have no place here")
	case strings.ContainsAny(rest, "/?;"):
		problem = says("only host and port belong here")
	}
	server := IMAPServer{TLS: scheme == "imaps", Addr: rest}
	if problem.IsZero() {
		if _, _, err := net.SplitHostPort(rest); err != nil && rest != "" {
			port := map[bool]string{false: "143", true: "993"}[server.TLS] // RFC 9051, section 2.1; RFC 8314, section 3.2
			server.Addr = net.JoinHostPort(strings.Trim(rest, "[]"), port)
		}
		problem = badHostPort(server.Addr)
	}
	if !problem.IsZero() {
		s.wrong("server", problem, says(wantIMAPServer))
	}
	return server
}

// parseIMAPTLS reads how connections are encrypted. In clear text the password goes to
// this machine alone.
func parseIMAPTLS(s *section, server IMAPServer) TLSMode {
	want := says(`write "verified" or "required"; "off" only for a server on this machine`)
	mode := TLSMode(s.text("tls", string(TLSVerified), want))
	switch mode {
	case TLSVerified, TLSRequired, "":
	case TLSOff:
		host, _, _ := net.SplitHostPort(server.Addr)
		ip, err := netip.ParseAddr(host)
		switch {
		case server.TLS:
			s.wrong("tls", says(`contradicts "imaps://" in server`), want)
		case host != "" && host != "localhost" && (err != nil || !ip.IsLoopback()):
			s.wrong("tls", says("the password would go to %s in clear text", server), want)
		}
	default:
		s.wrong("tls", says("not a way to encrypt"), want)
	}
	return mode
}

// parseSecret reads where a password lies that must be there.
func parseSecret(s *section, want Text) Secret {
	secret := Secret{File: s.text("password_file", "", want), Credential: s.text("password_credential", "", want)}
	switch {
	case secret == Secret{} && !s.has("password_file") && !s.has("password_credential"):
		s.missing("password_file", want)
	case secret.File != "" && secret.Credential != "":
		s.wrong("password_credential", says("contradicts password_file"), says("leave out one of the two"))
	case strings.ContainsAny(secret.Credential, "/\x00"):
		s.wrong("password_credential", says("not a name"), want)
	}
	return secret
}
