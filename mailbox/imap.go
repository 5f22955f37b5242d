package mailbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"doppelboden"
)

// IMAPOptions say how an IMAP backend reaches a groupware.
type IMAPOptions struct {
	Addr      string                 // host:port
	Implicit  bool                   // TLS from the first octet: RFC 8314, section 3.2
	TLS       *tls.Config            // with ServerName; nil: in clear text
	User      string                 // the master user
	Password  func() (string, error) // of User; asked for each connection, so that it can be changed
	Separator string                 // logs in as mailbox+Separator+User; empty: SASL PLAIN with an authorization identity
	LocalOnly bool                   // the groupware knows only what stands before the "@"
	Inbox     string                 // what Select takes for ""
	AtOnce    int                    // connections at once
	Timeout   time.Duration          // for one command, of which none answers more than some megabytes
}

func (o *IMAPOptions) validate() error {
	if o.Addr == "" || o.User == "" || o.Password == nil || o.Inbox == "" || o.AtOnce < 1 || o.Timeout <= 0 || o.Implicit && o.TLS == nil {
		return errors.New("mailbox: Addr, User, Password, Inbox, AtOnce and Timeout must be set, and TLS with Implicit")
	}
	return nil
}

const (
	// idleLimit is how long a connection is kept for the same mailbox.
	idleLimit = 20 * time.Second
	// provenLimit is how long a log-in that worked proves that the master user may log in.
	provenLimit = time.Minute
)

// An IMAP is a Backend over IMAP: RFC 9051 and RFC 3501.
type IMAP struct {
	opts  IMAPOptions
	slots chan struct{} // one for each connection, idle ones too

	mu     sync.Mutex
	idle   []*link // the oldest first
	closed bool
	wanted int // who waits for a connection
	proven proof
	single bool // it has not understood several mails at once, although it said that it would
}

// A proof is a log-in that worked.
type proof struct {
	owner doppelboden.Address
	at    time.Time
}

// NewIMAP returns a backend. It connects when it is asked for a mailbox.
func NewIMAP(o IMAPOptions) (*IMAP, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &IMAP{opts: o, slots: make(chan struct{}, o.AtOnce)}, nil
}

// Open logs in as the owner of a mailbox, through the master user.
func (m *IMAP) Open(ctx context.Context, owner doppelboden.Address) (Session, error) {
	if l := m.reuse(owner); l != nil {
		s := &session{backend: m, link: l}
		if err := s.do(ctx, m.opts.Timeout, func() error { return l.client.Noop().Wait() }); err == nil {
			return s, nil
		}
		s.Close()
	}
	if err := m.slot(ctx); err != nil {
		return nil, err
	}
	l, err := m.connect(ctx, owner)
	if err == nil {
		m.note(owner)
		return &session{backend: m, link: l}, nil
	}
	<-m.slots
	if doppelboden.CodeOf(err) == doppelboden.Policy && m.worksForOthers(ctx, owner) {
		err = &doppelboden.Error{Code: doppelboden.NotFound, Public: "the groupware has no such mailbox, or lets nobody into it", Cause: err}
	}
	return nil, err
}

// slot waits for a free connection; an idle one is ended for it.
func (m *IMAP) slot(ctx context.Context) error {
	select {
	case m.slots <- struct{}{}:
		return nil
	default:
	}
	m.want(1) // so that who ends a session now does not keep its connection
	defer m.want(-1)
	if l := m.reuse(doppelboden.Address{}); l != nil {
		l.end()
		return nil // its slot is ours
	}
	select {
	case m.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &doppelboden.Error{Public: "no connection to the groupware's IMAP server is free", Cause: ctx.Err()}
	}
}

// want counts who waits for a connection.
func (m *IMAP) want(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted += n
}

// reuse takes an idle connection of an owner, or of anybody for the null address.
func (m *IMAP) reuse(owner doppelboden.Address) *link {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, l := range m.idle {
		if owner.IsNull() || l.owner == owner {
			m.idle = append(m.idle[:i], m.idle[i+1:]...)
			l.timer.Stop()
			return l
		}
	}
	return nil
}

// keep keeps a connection for the next who wants the same mailbox; false: it must end.
func (m *IMAP) keep(l *link) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.wanted > 0 {
		return false
	}
	m.idle = append(m.idle, l)
	l.timer = time.AfterFunc(idleLimit, func() { m.expire(l) })
	return true
}

// expire ends a connection that nobody wanted for a while.
func (m *IMAP) expire(l *link) {
	m.mu.Lock()
	found := false
	for i := range m.idle {
		if m.idle[i] == l {
			m.idle, found = append(m.idle[:i], m.idle[i+1:]...), true
			break
		}
	}
	m.mu.Unlock()
	if found {
		l.end()
		<-m.slots
	}
}

// Close ends idle connections; those of sessions end with their sessions.
func (m *IMAP) Close() error {
	m.mu.Lock()
	m.closed = true
	idle := m.idle
	m.idle = nil
	m.mu.Unlock()
	for _, l := range idle {
		l.timer.Stop()
		l.end()
		<-m.slots
	}
	return nil
}

// note keeps that a log-in worked.
func (m *IMAP) note(owner doppelboden.Address) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.proven = proof{owner, time.Now()}
}

// worksForOthers reports whether the master user gets into the mailbox that it last got
// into. Many servers refuse a mailbox that does not exist as they refuse a wrong password,
// so that nobody learns who exists.
func (m *IMAP) worksForOthers(ctx context.Context, owner doppelboden.Address) bool {
	m.mu.Lock()
	last := m.proven
	m.mu.Unlock()
	switch {
	case last.owner.IsNull() || last.owner == owner:
		return false
	case time.Since(last.at) < provenLimit:
		return true
	}
	if m.slot(ctx) != nil {
		return false
	}
	defer func() { <-m.slots }()
	l, err := m.connect(ctx, last.owner)
	if err != nil {
		return false
	}
	l.end()
	m.note(last.owner)
	return true
}

// name is what the groupware calls a mailbox.
func (m *IMAP) name(owner doppelboden.Address) string {
	if m.opts.LocalOnly {
		return owner.Local
	}
	return owner.String()
}

// temporary wraps what went wrong on the way to a server.
func temporary(what string, err error) error {
	return &doppelboden.Error{Code: doppelboden.Temporary, Public: "the groupware's IMAP server: " + what, Cause: fmt.Errorf("%s: %w", what, err)}
}

// harmless is a server's text as a log may show it.
func harmless(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return s[:min(len(s), 300)]
}
