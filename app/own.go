package app

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/intake"
	"doppelboden/sender"
	"doppelboden/store"
)

// rereadEvery is how long a new password or certificate in a file waits until it holds.
const rereadEvery = 10 * time.Second

// owns are the city's own senders as the doors ask for them.
type owns struct {
	n    *Node
	book *sender.Book

	known atomic.Pointer[map[string]own] // by key

	mu     sync.Mutex
	read   []byte // what the files said at the last look
	broken string // what is wrong with them, or ""
}

// An own is one of the city's own senders.
type own struct {
	*city.Sender
	tenant doppelboden.TenantID
}

func newOwns(n *Node) *owns {
	o := &owns{n: n, book: sender.NewBook(sender.Options{Clock: n.clock})}
	o.known.Store(&map[string]own{})
	return o
}

// startOwns makes the senders known and keeps them so. A file that cannot be read takes
// one way of one sender away, and is told in an alarm: the others must go on.
func (n *Node) startOwns(ctx context.Context) {
	n.own = newOwns(n)
	if !n.opts.Node.Has(city.RoleMX) {
		return
	}
	if err := n.own.follow(n.house.Directory()); err != nil {
		n.log.Error("a sender cannot be made known", "err", err)
	}
	n.background(ctx, "the senders", func(ctx context.Context) {
		ticker := time.NewTicker(rereadEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				n.own.follow(n.house.Directory()) // what is wrong is told in an alarm
			}
		}
	})
}

// follow makes the senders of a configuration those who are known. Its error, with the
// code Invalid, tells what is wrong with their files; the senders are known by the rest.
func (o *owns) follow(d *city.Directory) error {
	if !o.n.opts.Node.Has(city.RoleMX) {
		return nil // its files are on other machines
	}
	var list []sender.Sender
	var errs []error
	known := map[string]own{}
	var read bytes.Buffer
	for _, t := range d.City().Tenants {
		id, _ := d.TenantNamed(t.Name)
		for _, s := range t.Senders {
			one, err := o.sender(s, &read)
			if err != nil {
				errs = append(errs, fmt.Errorf("sender %s: %w", s.Key(), err))
			}
			list = append(list, one)
			known[s.Key()] = own{s, id}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !bytes.Equal(read.Bytes(), o.read) || !o.same(known) {
		o.book.Use(list)
		o.known.Store(&known)
		o.read = read.Bytes()
	}
	o.broken = ""
	if err := errors.Join(errs...); err != nil {
		o.broken = strings.ReplaceAll(err.Error(), "\n", "; ")
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: o.broken}
	}
	return nil
}

// same reports whether the senders are those that are known already.
func (o *owns) same(next map[string]own) bool {
	now := *o.known.Load()
	for key, one := range next {
		if now[key] != one {
			return false
		}
	}
	return len(now) == len(next)
}

// sender reads how a sender is known. read collects what the files say.
func (o *owns) sender(s *city.Sender, read *bytes.Buffer) (sender.Sender, error) {
	one := sender.Sender{Key: s.Key(), Networks: s.Networks, Fingerprints: s.Fingerprints, CANames: s.CANames}
	var errs []error
	if s.CA != "" {
		text, err := os.ReadFile(o.n.keyFile(s.CA))
		pool := x509.NewCertPool()
		switch {
		case err != nil:
			errs = append(errs, err)
		case !pool.AppendCertsFromPEM(text):
			errs = append(errs, fmt.Errorf("%s holds no certificate", s.CA))
		default:
			one.CA = pool
			read.Write(text)
		}
	}
	if s.User != "" {
		text, err := o.n.secret(s.Password)
		if err == nil {
			one.Hash, err = sender.ParseHash(text)
		}
		if err != nil {
			errs = append(errs, err)
		} else {
			one.User = s.User
			read.WriteString(s.Key() + text)
		}
	}
	return one, errors.Join(errs...)
}

// trouble returns what is wrong with the senders' files, or "".
func (o *owns) trouble() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.broken
}

// senders tells of files of senders that cannot be used.
func (w *watcher) senders(wrong alarms) {
	if trouble := w.n.own.trouble(); trouble != "" {
		wrong[alarmKey{"sender", ""}] = doppelboden.Tell("Not every sender can log in: %s. Mail of all others goes on. Repair the file; the node reads it again every ten seconds.", trouble)
	}
}

// asOwn returns a sender as intake knows it. The code of its error is Policy when the
// sender has gone from the configuration, else that of its tenant, paused or closed.
func (o *owns) asOwn(key string) (*intake.Own, error) {
	one, ok := (*o.known.Load())[key]
	if !ok {
		return nil, &doppelboden.Error{Code: doppelboden.Policy, Public: "you are not known any more"}
	}
	d := o.n.house.Directory()
	if d.Shut(one.tenant, store.ShutSenders) {
		return nil, &doppelboden.Error{Code: doppelboden.TenantPaused, Public: "this administration is in attack mode: its own systems send nothing through us at the moment"}
	}
	if t, ok := d.City().Tenant(one.Tenant); ok {
		if err := d.Takes(doppelboden.Address{Local: "postmaster", Domain: t.Domains[0]}); err != nil {
			return nil, err
		}
	}
	own := &intake.Own{Tenant: one.tenant, Name: one.Name, Home: func(a doppelboden.Address) bool {
		t, ok := d.TenantOf(a.Domain)
		return ok && t == one.tenant
	}}
	if !one.Anybody {
		own.MaySend = one.MaySend
		return own, nil
	}
	// Who may send in anybody's name is the groupware: what its people send lies here among
	// their sent mail too.
	own.SentBy = func(a doppelboden.Address) (doppelboden.MailboxID, bool) { return o.n.house.sentBy(one.tenant, a) }
	return own, nil
}

// isHop reports whether an address is a trusted hop's.
func (h *house) isHop(a netip.Addr) bool { return h.Directory().City().Hop(a) != nil }

// hop returns a trusted hop as intake knows it, or nil.
func (h *house) hop(a netip.Addr, told bool) *intake.Hop {
	if !a.IsValid() {
		return nil
	}
	c := h.Directory().City().Hop(a)
	if c == nil {
		return nil
	}
	return &intake.Hop{Told: told, Names: slices.Clone(c.ReceivedBy), Inside: c.Contains, AuthservID: c.AuthservID}
}
