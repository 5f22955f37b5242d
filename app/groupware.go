package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/filing"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// imapPatience bounds one command of IMAP: a groupware that needs longer to open a mailbox
// is as good as down.
const imapPatience = time.Minute

// groupwares are the ways into the mailboxes of the routes that have one.
type groupwares struct {
	n *Node

	mu  sync.Mutex
	all map[string]access // by the route's key
}

// An access is the way into the mailboxes of one route.
type access struct {
	conf    city.IMAP
	ca      string // what the file says that conf.CA names
	backend *mailbox.IMAP
}

// follow makes the ways those of a configuration. Its error, with the code Invalid, tells
// what cannot be used; then nothing has changed.
func (g *groupwares) follow(d *city.Directory) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := map[string]access{}
	var errs []error
	for _, t := range d.City().Tenants {
		for _, r := range t.Routes {
			if r.IMAP == nil {
				continue
			}
			way, err := g.renew(g.all[r.Key()], r.IMAP)
			if err != nil {
				errs = append(errs, fmt.Errorf("imap of route %s: %w", r.Key(), err))
				continue
			}
			next[r.Key()] = way
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: err.Error()}
	}
	old := g.all
	g.all = next
	for key, was := range old {
		if next[key].backend != was.backend {
			was.backend.Close() // ends idle connections; there is nothing to write
		}
	}
	return nil
}

// renew returns the way of a configuration, which is the one before when nothing has changed:
// neither what is written, nor the file that it names.
func (g *groupwares) renew(was access, c *city.IMAP) (access, error) {
	var ca []byte
	if c.CA != "" {
		var err error
		if ca, err = os.ReadFile(g.n.keyFile(c.CA)); err != nil {
			return access{}, err
		}
	}
	if was.backend != nil && was.conf == *c && was.ca == string(ca) {
		return was, nil
	}
	backend, err := g.open(c, ca)
	return access{*c, string(ca), backend}, err
}

// open makes a backend; it connects only when it is needed.
func (g *groupwares) open(c *city.IMAP, ca []byte) (*mailbox.IMAP, error) {
	o := mailbox.IMAPOptions{
		Addr: c.Server.Addr, Implicit: c.Server.TLS, User: c.User, Separator: c.Separator,
		Password:  func() (string, error) { return g.n.secret(c.Password) },
		LocalOnly: c.Mailbox == city.NameLocal, Inbox: c.Inbox, AtOnce: c.Connections, Timeout: imapPatience,
	}
	if c.TLS != city.TLSOff {
		host, _, err := net.SplitHostPort(c.Server.Addr)
		if err != nil {
			return nil, err
		}
		o.TLS = &tls.Config{ServerName: host, InsecureSkipVerify: c.TLS != city.TLSVerified, MinVersion: tls.VersionTLS12}
	}
	if c.CA != "" {
		if o.TLS.RootCAs = x509.NewCertPool(); !o.TLS.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%s holds no certificate", c.CA)
		}
	}
	return mailbox.NewIMAP(o)
}

// of returns the way into the mailboxes of a route.
func (g *groupwares) of(route string) (access, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w, ok := g.all[route]
	return w, ok
}

// close ends all connections that nobody uses.
func (g *groupwares) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for _, w := range g.all {
		errs = append(errs, w.backend.Close())
	}
	g.all = nil
	return errors.Join(errs...)
}

// filer makes the one who puts old mail straight into mailboxes.
func (n *Node) filer() (*filing.Filer, error) {
	return filing.New(filing.Options{
		Courier: n.agents, Store: n.store, Lease: func() store.Lease { return n.lease },
		Groupware: func(lane string) (filing.Groupware, bool) {
			w, ok := n.groupwares.of(lane)
			g := filing.Groupware{Backend: w.backend, Server: w.conf.Server.Addr}
			if ok {
				g.Change = w.backend.Change
			}
			return g, ok
		},
		People: n.handback,
		Owner: func(d doppelboden.Delivery) (doppelboden.Address, bool) {
			box, ok := n.house.Directory().Mailbox(d.Mailbox)
			return box.Address, ok
		},
	})
}

// filingOf returns from what age on mail of a route is put straight into its mailbox, 0 for
// never, and how many mailboxes are worked on at once. A connection is left to who looks
// into mailboxes for other reasons.
func filingOf(r *city.Route) (after time.Duration, atOnce int) {
	if r.IMAP == nil {
		return 0, 1
	}
	return r.IMAP.AppendAfter, max(1, r.IMAP.Connections-1)
}

// filing tells of mailboxes that old mail cannot be put into, although their route takes new
// mail: a password or a right that is missing, which nobody would notice before an outage
// is over. While the route is down as a whole, that is told.
func (w *watcher) filing(wrong alarms) {
	now := w.n.clock()
	for _, l := range w.n.house.queue.Status() {
		if f := l.Filing; f != nil && !f.Up && l.Up && now.Sub(f.Since) >= routeDown {
			wrong[alarmKey{"mailboxes", l.Name}] = doppelboden.Tell("Mail that waits for longer than %s cannot be put into the mailboxes of %s since %s: %s. "+
				"It waits; newer mail is handed over. Look at [tenant.route.imap] in city.toml and at the master user of the groupware.",
				f.After, l.Name, f.Since, f.Reply)
		}
	}
}
