package imapd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/account"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// errRenumbered ends a session whose folder got another UIDVALIDITY.
var errRenumbered = errors.New("the folder was numbered anew")

// loginFailures is how many log-ins may fail on one connection.
const loginFailures = 3

// A session is one connection, as imapserver calls it. Its methods come from the
// connection's goroutine, and from a second one while it idles.
type session struct {
	server *Server
	gate   *gate
	conn   *imapserver.Conn
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	failed  int // log-ins
	person  account.Person
	way     int64 // what let her in
	counted bool  // among the connections of the person
	shelves []*shelf
	checked time.Time // when rights were asked for last
	view    *view     // nil: nothing is selected
	found   imap.UIDSet
}

// Close implements imapserver.Session.
func (s *session) Close() error {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.unselect()
	if s.counted {
		s.server.leave(s.person.ID)
		s.counted = false
	}
	return nil
}

// Login implements imapserver.Session: RFC 9051, section 6.2.3.
func (s *session) Login(user, password string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	done, err := s.server.logins.take(s.ctx, s.gate.peer.String()+" "+strings.ToLower(user[:min(len(user), 320)]))
	if err != nil {
		return err
	}
	in, err := s.server.opts.People.LogIn(s.ctx, account.Attempt{
		Door: account.DoorIMAP, Peer: s.gate.peer, Agent: s.gate.agent, User: user, Password: password,
	})
	done()
	if err != nil {
		return s.loginFailed(err)
	}
	if in.Needs != account.NeedsNothing {
		return no(imap.ResponseCodeContactAdmin, sayNeeds)
	}
	if !s.server.opts.People.Open(in.Person.Tenant, account.DoorIMAP) {
		return no(imap.ResponseCodeUnavailable, sayClosed)
	}
	if !s.server.enter(in.Person.ID) {
		return no(imap.ResponseCodeLimit, sayMany)
	}
	s.person, s.way, s.counted = in.Person, in.Way, true
	if err := s.rights(true); err != nil {
		return err
	}
	s.server.metrics.logins.WithLabelValues("done").Inc()
	s.gate.loggedIn()
	return nil
}

// loginFailed says why somebody is not let in, which is the same for every reason of hers.
func (s *session) loginFailed(err error) error {
	s.server.metrics.logins.WithLabelValues("failed").Inc()
	if s.failed++; s.failed >= loginFailures {
		s.gate.end("Too many log-ins failed.")
	}
	switch doppelboden.CodeOf(err) {
	case doppelboden.Policy:
		if errors.Is(err, account.ErrClosed) {
			return no(imap.ResponseCodeUnavailable, sayClosed)
		}
		return no(imap.ResponseCodeAuthenticationFailed, sayWrong)
	case doppelboden.Busy:
		return no(imap.ResponseCodeUnavailable, sayBusy)
	}
	s.server.opts.Log.Warn("a log-in by IMAP cannot be checked", "err", err)
	return no(imap.ResponseCodeUnavailable, sayTrouble)
}

// rights asks for the person's mailboxes again, when it is time or at once. What she may
// not open any more is gone; when that is her own mailbox, so is she, and so is who came by a
// password that is no longer good.
func (s *session) rights(now bool) error {
	at := s.server.opts.Clock()
	if !now && at.Sub(s.checked) < s.server.opts.Recheck {
		return nil
	}
	list, err := s.server.opts.People.Grants(s.ctx, s.person.ID)
	if err == nil {
		var still bool
		if still, err = s.server.opts.People.Still(s.ctx, s.person.ID, s.way); err == nil && !still {
			list = nil
		}
	}
	if err != nil {
		if now {
			return refused(err)
		}
		return nil // while nobody can be asked, what held a minute ago holds
	}
	s.checked = at
	s.shelve(list)
	if len(s.shelves) == 0 || s.view != nil && !s.has(s.view.shelf) {
		s.gate.end(sayRights)
		return no(imap.ResponseCodeAuthorizationFailed, sayRights)
	}
	return nil
}

// begin is what every command begins with. The caller unlocks mu.
func (s *session) begin() error {
	s.mu.Lock()
	if s.closed {
		return context.Canceled
	}
	return s.rights(false)
}

// Poll implements imapserver.Session: what a client is told after a command.
func (s *session) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil || s.closed {
		return nil
	}
	return s.poll(w, allowExpunge)
}

// poll tells what changed. What cannot be read now is told later: a database that is away
// must not end 10,000 connections.
func (s *session) poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	expunged, err := s.sync(allowExpunge)
	if errors.Is(err, errRenumbered) {
		s.gate.end("The folder was numbered anew.")
		return err
	}
	if err != nil {
		s.server.opts.Log.Debug("a folder cannot be looked into now", "err", err)
	}
	return s.view.tell(w, expunged)
}

// Idle implements imapserver.Session: RFC 9051, section 6.3.13.
func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	s.mu.Lock()
	var changed <-chan struct{}
	if s.view != nil {
		changed = s.view.changed
		s.view.dirty = true // and what came until now
	}
	s.mu.Unlock()
	recheck := time.NewTicker(s.server.opts.Recheck)
	defer recheck.Stop()
	for {
		if err := s.wake(w, changed != nil); err != nil {
			return err
		}
		select {
		case <-changed:
			s.mu.Lock()
			if s.view != nil {
				s.view.dirty = true
			}
			s.mu.Unlock()
		case <-recheck.C:
		case <-stop:
			return nil
		case <-s.ctx.Done():
			return nil
		}
	}
}

// wake tells an idling client what changed.
func (s *session) wake(w *imapserver.UpdateWriter, selected bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || selected && s.view == nil {
		return nil
	}
	if err := s.rights(false); err != nil {
		return err
	}
	if s.view == nil {
		return nil
	}
	if err := s.poll(w, true); err != nil {
		return fmt.Errorf("tell an idling client: %w", err)
	}
	return s.gate.flush()
}

// Namespace implements imapserver.SessionNamespace: RFC 9051, section 6.3.10.
func (s *session) Namespace() (*imap.NamespaceData, error) {
	prefix := sharedPrefixUTF7
	if caps := s.conn.EnabledCaps(); caps.Has(imap.CapIMAP4rev2) || caps.Has(imap.CapUTF8Accept) {
		prefix = sharedPrefix
	}
	return &imap.NamespaceData{
		Personal: []imap.NamespaceDescriptor{{Prefix: "", Delim: delimiter}},
		Shared:   []imap.NamespaceDescriptor{{Prefix: prefix + "/", Delim: delimiter}},
	}, nil
}

// AppendLimit implements imapserver.SessionAppendLimit: RFC 7889.
func (s *session) AppendLimit() uint32 { return uint32(min(s.server.opts.MaxSize, 1<<32-1)) }
