package app

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/courier"
	"doppelboden/queue"
	"doppelboden/store"
)

// An internet is the house as the way out touches it. It fulfils queue.Internet.
type internet struct {
	n            *Node
	destinations *queue.Destinations

	mu     sync.Mutex
	own    []netip.Addr // of this machine, as they were at asked
	asked  time.Time
	logins map[string]courier.Login // that outlets log in with; zero where the password cannot be read
}

// openInternet reads where mail went so far.
func (n *Node) openInternet(ctx context.Context) error {
	n.internet = &internet{n: n, destinations: queue.NewDestinations(n.store, n.clock)}
	if n.db.start != nil {
		return nil
	}
	return n.internet.destinations.Read(ctx)
}

// landingBox is box for what lands first: a number that cannot be had now is had when it is
// drained, so that nobody's mail is put off.
func (i *internet) landingBox(ctx context.Context, t doppelboden.TenantID, domain string) (doppelboden.BoxID, error) {
	ctx, cancel := context.WithTimeout(ctx, numberPatience)
	defer cancel()
	b, err := i.box(ctx, t, domain)
	if err != nil && !doppelboden.CodeOf(err).Permanent() {
		return store.Unnumbered, nil
	}
	return b, err
}

// numberPatience is how long a RCPT waits for the number of a domain that is new.
const numberPatience = 2 * time.Second

// A numbering has the domains of what is drained numbered. Whatever number a mail landed
// with, it gets the one that its domain has now: the database may have been restored to a
// time at which it had not given it yet.
type numbering struct {
	store.Drainer
	n *Node
}

// Drain implements store.Drainer.
func (d numbering) Drain(ctx context.Context, landed []store.Landed) error {
	for _, l := range landed {
		for _, m := range l.Messages {
			for i := range m.Deliveries {
				to := &m.Deliveries[i]
				if to.Mailbox != 0 || to.Box >= 0 {
					continue
				}
				box, err := d.n.internet.destinations.Box(ctx, m.Tenant, to.Recipient.Domain)
				if err != nil {
					return err
				}
				to.Box = box
			}
		}
	}
	return d.Drainer.Drain(ctx, landed)
}

// box returns the box for a tenant's mail to a domain; see intake.ReturnerOptions.
func (i *internet) box(ctx context.Context, t doppelboden.TenantID, domain string) (doppelboden.BoxID, error) {
	d := i.n.house.Directory()
	if conf, _ := d.City().Tenant(d.TenantName(t)); conf.Internet == nil {
		return 0, &doppelboden.Error{Code: doppelboden.Policy, Public: "nothing is sent to the Internet from here"}
	}
	return i.destinations.Box(ctx, t, domain)
}

// Outlet implements queue.Internet.
func (i *internet) Outlet(b doppelboden.BoxID) (name, domain string, ok bool) {
	to, ok := i.destinations.Of(b)
	if !ok {
		return "", "", false
	}
	d := i.n.house.Directory()
	t, ok := d.City().Tenant(d.TenantName(to.Tenant))
	if !ok || t.Internet == nil || d.Stopped(to.Tenant) {
		return "", "", false
	}
	return t.InternetKey(), to.Domain, true
}

// Outlets implements queue.Internet.
func (i *internet) Outlets() []queue.OutletConfig {
	var all []queue.OutletConfig
	logins := map[string]courier.Login{}
	d := i.n.house.Directory()
	for _, t := range d.City().Tenants {
		if id, ok := d.TenantNamed(t.Name); t.Internet == nil || !ok || d.Stopped(id) {
			continue
		}
		c := queue.OutletConfig{Route: i.route(&t), AtOnce: t.Internet.AtOnce, PerDomain: t.Internet.PerPlace, Limit: t.Internet.Limit}
		if err := i.login(t.Internet, &c.Route); err != nil {
			c.AtOnce = 0 // without it every attempt would fail; an alarm tells it
			i.n.log.Error("mail to the Internet waits: the smart host's password cannot be read", "tenant", t.Name, "err", err)
			logins[t.InternetKey()] = courier.Login{}
		} else if c.Route.Login != nil {
			logins[t.InternetKey()] = *c.Route.Login
		}
		all = append(all, c)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for name, login := range logins {
		if was, known := i.logins[name]; known && login.Password != "" && login.Password != was.Password {
			i.n.log.Info("the smart host's password was put there or changed, and is used from now on", "outlet", name)
		}
	}
	i.logins = logins
	return all
}

// follow has outlets log in with the passwords that are there now: somebody may have put one
// there, or another one. While the queue does not run nobody logs in, and they are read when
// it does.
func (i *internet) follow() {
	i.mu.Lock()
	logins := i.logins
	i.mu.Unlock()
	for _, t := range i.n.house.Directory().City().Tenants {
		if t.Internet == nil {
			continue
		}
		used, known := logins[t.InternetKey()]
		var r courier.Route
		if err := i.login(t.Internet, &r); !known || err != nil || r.Login == nil || *r.Login == used {
			continue
		}
		i.n.house.queue.Reload(func() []doppelboden.BoxID { return nil })
		return // all of them were read again
	}
}

// route is a way to the Internet as the courier knows it.
func (i *internet) route(t *city.Tenant) courier.Route {
	r := i.n.house.route(&city.Route{Tenant: t.Name, Hosts: t.Internet.Relay, TLS: t.Internet.TLS})
	r.Name, r.Internet, r.Sources = t.InternetKey(), true, t.Internet.Sources
	if t.Internet.Helo != "" {
		r.HeloName = t.Internet.Helo
	}
	return r
}

// login reads who we are to the smart hosts.
func (i *internet) login(c *city.Internet, r *courier.Route) error {
	if c.User == "" {
		return nil
	}
	password, err := i.n.secret(c.Password)
	if err != nil {
		return fmt.Errorf("read the smart host's password: %w", err)
	}
	r.Login = &courier.Login{User: c.User, Password: password}
	return nil
}

// agents makes what hands mail to strangers of what hands it to the groupware. Strangers
// get the time that RFC 5321, section 4.5.3.2, gives them.
func (i *internet) agents(o courier.Options) courier.Options {
	o.Resolver, o.Own, o.Memory = i.n.resolver(), i.isOwn, courier.NewMemory()
	o.ExchangerPort, o.Loopback = i.n.opts.ExchangerPort, i.n.opts.LoopbackExchangers
	o.Deadlines = courier.Deadlines{
		Connect: 30 * time.Second, Greeting: 5 * time.Minute, Helo: 5 * time.Minute, Mail: 5 * time.Minute,
		Rcpt: 5 * time.Minute, Data: 2 * time.Minute, Block: 3 * time.Minute, Dot: 10 * time.Minute,
	}
	o.HostRest = 5 * time.Minute
	return o
}

// ownEvery is how long the addresses of this machine are believed.
const ownEvery = time.Minute

// isOwn reports whether a mail exchanger is this machine; see courier.Options. Behind a
// firewall that changes addresses, the name tells.
func (i *internet) isOwn(name string, addr netip.Addr) bool {
	if strings.EqualFold(name, i.n.opts.Node.Hostname) {
		return true
	}
	if !addr.IsValid() {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if now := i.n.clock(); now.Sub(i.asked) >= ownEvery {
		i.own, i.asked = ownAddresses(), now
	}
	return slices.Contains(i.own, addr.Unmap())
}

// ownAddresses returns the addresses of this machine but loopback ones, which every
// machine has.
func ownAddresses() (own []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
			own = append(own, p.Addr().Unmap())
		}
	}
	return own
}

// awayLong is how long nobody on the Internet may answer before that is an alarm: a line
// that is renewed for some minutes at night is none.
const awayLong = 10 * time.Minute

// internet tells of what keeps mail from leaving for the Internet, after it has had the smart
// hosts' passwords read anew: an alarm about one ends when it is used.
func (w *watcher) internet(wrong alarms) {
	w.n.internet.follow()
	now := w.n.clock()
	for _, l := range w.n.house.queue.Status() {
		if !l.Internet {
			continue
		}
		var refusing []string
		silent := time.Time{} // the one that has been silent for longest
		for _, d := range l.Ill {
			if d.Refuses {
				refusing = append(refusing, d.Domain)
			} else if silent.IsZero() || d.Since.Before(silent) {
				silent = d.Since
			}
		}
		switch {
		case !l.Up && now.Sub(l.Since) >= routeDown:
			wrong[alarmKey{"internet", l.Name}] = doppelboden.Tell("The smart host has not taken mail since %s. Mail to the Internet is kept and waits; mail from outside goes on. Look at the smart host; see what it says: doppelboden status", l.Since)
		case l.Away && !silent.IsZero() && now.Sub(silent) >= awayLong:
			wrong[alarmKey{"internet", l.Name}] = doppelboden.Tell("Nobody on the Internet answers. Mail to the Internet is kept and waits. Look whether our own line is down, the DNS, or outgoing connections to port 25.")
		}
		if len(refusing) > 0 {
			slices.Sort(refusing)
			wrong[alarmKey{"refused", l.Name}] = doppelboden.Tell("These domains refuse mail because of our address or our domain: %s. Mail for them is kept and waits; it is not returned before its time is over. Look at their words (doppelboden status), at block lists, at the name of our address in the DNS, and at SPF and DMARC.", strings.Join(refusing, ", "))
		}
	}
	for _, t := range w.n.house.Directory().City().Tenants {
		if t.Internet == nil || t.Internet.User == "" {
			continue
		}
		if _, err := w.n.secret(t.Internet.Password); err != nil {
			wrong[alarmKey{"internet", t.InternetKey()}] = doppelboden.Tell("The smart host's password cannot be read: %s. Mail to the Internet is kept and waits. Put it there; the node reads it again every ten seconds.", err)
		}
	}
}
