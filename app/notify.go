package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/city"
	"doppelboden/clock"
	"doppelboden/event"
	"doppelboden/notify"
	"doppelboden/store"
)

const (
	// crisisPriority is that of the crisis team.
	crisisPriority = 9
	// crisisEvery is the time between two looks whether the crisis team must be told.
	crisisEvery = 2 * time.Second
	// crisisAgain is the time after which the team is looked up again: somebody may have got
	// a telephone.
	crisisAgain = time.Minute
)

// gateways are the ways by which tenants send SMS.
type gateways struct {
	n *Node

	mu  sync.Mutex
	all map[string]gatewayOf // by the tenant's name
}

// A gatewayOf is a gateway and the configuration that it was made of.
type gatewayOf struct {
	conf *city.SMS
	way  notify.Way
}

// way returns how a tenant sends SMS; ok is false when it does not.
func (g *gateways) way(t doppelboden.TenantID) (way notify.Way, ok bool) {
	d := g.n.house.Directory()
	tenant, ok := d.City().Tenant(d.TenantName(t))
	if !ok || tenant.SMS == nil {
		return way, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	had := g.all[tenant.Name]
	if had.conf == tenant.SMS {
		return had.way, true
	}
	var secret func() (string, error)
	if tenant.SMS.Password != (city.Secret{}) {
		secret = func() (string, error) { return g.n.secret(tenant.SMS.Password) }
	}
	way = notify.Way{Gateway: notify.NewGateway(tenant.SMS, secret), PerDay: tenant.SMS.PerDay}
	if g.all == nil {
		g.all = map[string]gatewayOf{}
	}
	g.all[tenant.Name] = gatewayOf{tenant.SMS, way}
	return way, true
}

// openNotify makes the room that tells people by SMS.
func (n *Node) openNotify() error {
	g := &gateways{n: n}
	var err error
	n.sms, err = notify.New(notify.Options{Store: n.store, Way: g.way, Clock: n.clock, Timer: n.opts.Timer, Log: n.log, Registry: n.registry})
	return err
}

// runCrisis has the crisis team of each tenant that wants it told of outages by SMS, while
// they last.
func (n *Node) runCrisis(ctx context.Context) {
	told := map[crisisCall]crisisTeam{}
	clock.Every(ctx, n.opts.Timer, crisisEvery, func() {
		now := map[crisisCall]crisisTeam{}
		for _, e := range n.events.Open() {
			c, ok := n.crisisCall(e)
			if !ok {
				continue
			}
			team := told[c]
			if team.codes == nil {
				team.codes = crisisCodes{}
			}
			if n.clock().Sub(team.at) >= crisisAgain {
				team.at = n.clock()
				n.tellCrisis(c, e, team.codes)
			}
			now[c] = team
		}
		for c := range told {
			if _, lasts := now[c]; !lasts {
				n.sms.Done(c.tenant, c.about)
			}
		}
		told = now
	})
}

// A crisisCall is an event that a crisis team is told of.
type crisisCall struct {
	tenant doppelboden.TenantID
	about  string
}

// A crisisTeam is who is told of an event.
type crisisTeam struct {
	at    time.Time // when it was last looked up
	codes crisisCodes
}

// crisisCodes are the codes that were put into texts about an event, kept in memory while it
// lasts: who is sent another SMS because nobody knows the end of the first gets the same.
// Only the room of SMS uses them, for one text after the other.
type crisisCodes map[doppelboden.MailboxID]account.Sheet

// crisisCall reports whether the crisis team is told of an event by itself: of each that
// somebody would get an alarm about and that is not planned.
func (n *Node) crisisCall(e event.Summary) (crisisCall, bool) {
	d := n.house.Directory()
	t, ok := d.City().Tenant(e.Tenant)
	id, known := d.TenantNamed(e.Tenant)
	if !ok || !known || t.SMS == nil || !t.SMS.Crisis || e.Minor || e.Kind == store.Maintenance || e.State != event.Open {
		return crisisCall{}, false
	}
	return crisisCall{id, fmt.Sprintf("event/%d", e.Number)}, true
}

// tellCrisis has everybody of a crisis team told who has a telephone.
func (n *Node) tellCrisis(c crisisCall, e event.Summary, codes crisisCodes) {
	d := n.house.Directory()
	call := notify.Call{Tenant: c.tenant, About: c.about}
	for m := range d.All() {
		if m.Tenant == c.tenant && m.Kind == doppelboden.Person && m.Phone != "" && m.Gone.IsZero() && d.PriorityOf(m.ID) == crisisPriority {
			call.People = append(call.People, notify.Person{Mailbox: m.ID, Phone: m.Phone})
		}
	}
	call.Text = func(p notify.Person) (string, error) { return n.crisisText(context.Background(), e, p, codes) }
	n.sms.Tell(call)
}

// crisisText is what the crisis team reads on its telephones. It names nobody: telephones
// are read by others. Each try holds the same code, as long as that is good.
func (n *Node) crisisText(ctx context.Context, e event.Summary, p notify.Person, codes crisisCodes) (string, error) {
	d := n.house.Directory()
	t, _ := d.City().Tenant(e.Tenant)
	english := t.Accounts.Language == "en"
	var b strings.Builder
	at := e.Since.Local().Format("02.01. 15:04")
	switch {
	case e.Kind == store.Attack && english:
		fmt.Fprintf(&b, "%s: attack on our mail since %s. Do not use your usual mailbox.", t.Domains[0], at)
	case e.Kind == store.Attack:
		fmt.Fprintf(&b, "%s: Angriff auf unsere E-Mail seit %s. Bitte das gewohnte Postfach nicht benutzen.", t.Domains[0], at)
	case english:
		fmt.Fprintf(&b, "%s: e-mail is down since %s. No mail is lost.", t.Domains[0], at)
	default:
		fmt.Fprintf(&b, "%s: E-Mail gestört seit %s. Keine Mail geht verloren.", t.Domains[0], at)
	}
	person, known := n.accounts.PersonOf(account.PersonID(p.Mailbox))
	if !known {
		return b.String(), nil
	}
	box, _ := d.Mailbox(p.Mailbox)
	if e.Kind == store.Attack && box.Source != "" {
		// Who has the directory may have put a number of his own into it.
		return b.String(), nil
	}
	code, needed, err := n.accounts.CrisisCode(ctx, person, codes[p.Mailbox], fmt.Sprintf("event %d", e.Number))
	if err != nil {
		return "", err
	}
	link := n.accounts.Page(person.Tenant)
	if needed {
		codes[p.Mailbox] = code
		link = code.Link()
	}
	if english {
		b.WriteString(" Your emergency mailbox: " + link)
	} else {
		b.WriteString(" Ihr Notfall-Postfach: " + link)
	}
	return b.String(), nil
}

// sms tells of people who could not be told by SMS.
func (w *watcher) sms(wrong alarms) {
	d := w.n.house.Directory()
	for _, s := range w.n.sms.Status() {
		if len(s.Failed) == 0 {
			continue
		}
		one := slices.Min(slices.Collect(maps.Keys(s.Failed))) // always the same, so that the alarm stays as it is
		box, _ := d.Mailbox(one)
		wrong[alarmKey{"sms", d.TenantName(s.Tenant) + "/" + s.About}] = doppelboden.Tell("%s of %s people of the crisis team could not be told by SMS, %s for one: %s. "+
			"Call them by telephone. Mail is not concerned. Look at [tenant.sms] in city.toml and at the gateway.", len(s.Failed), s.People, box.Address, s.Failed[one])
	}
}
