package app

import (
	"context"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/clock"
	"doppelboden/folder"
	"doppelboden/intake"
	"doppelboden/store"
)

const (
	// otherNodes is the time between two looks for what other nodes changed in mailboxes that
	// somebody watches.
	otherNodes = 15 * time.Second
	// forgetEvery is the time between two rounds that remove keys of sent mail.
	forgetEvery = 6 * time.Hour
	// limitTold is how long an alarm stays open about somebody who wrote to too many.
	limitTold = 6 * time.Hour
)

// openIntake makes what makes messages, for all doors of the node.
func (n *Node) openIntake() error {
	checks, err := n.senders()
	if err != nil {
		return err
	}
	node := n.opts.Node
	n.intake, err = intake.New(intake.Options{
		Hostname:  node.Hostname,
		Directory: n.house.snapshot,
		Bodies:    segments{n.bodies}, Store: n.landing, Tally: n.doors,
		Log: n.log, Registry: n.registry, Clock: n.clock,
		Budget: node.Limits.MemoryMB << 20, MostRecipients: node.Limits.Recipients,
		Internet: n.internet.landingBox, NextHop: n.passages, Checks: append(checks, scanCheck{n.scanning.station}),
	})
	return err
}

// openFolders makes what opens mailboxes for doors.
func (n *Node) openFolders() error {
	n.limited = &limited{clock: n.clock, look: n.lookNow, who: n.writer}
	node := n.opts.Node
	o := folder.Options{
		Store: n.store, Intake: n.intake, CatchUp: n.landing.CatchUp, Mail: n.agents,
		Mailbox: n.house.mailbox, Most: n.house.mostHourly, Limited: n.limited.note, Node: node.Name, Log: n.log,
		Here: func(m doppelboden.MailboxID) bool { return n.house.Here(doppelboden.BoxID(m)) }, MaxSize: node.Limits.MessageMB << 20,
		Clock: n.clock, Timer: n.opts.Timer, Used: func(m doppelboden.MailboxID) { n.modes.Used(m) },
	}
	shared := n.db.keeper != nil
	if shared {
		o.Poll = otherNodes
	}
	var err error
	if n.folders, err = folder.New(o); err != nil {
		return err
	}
	n.modes, err = folder.NewModes(folder.ModesOptions{
		Store: n.store, Concerned: n.events.Concerned, Mailbox: n.house.mailbox,
		Outage: func(m doppelboden.MailboxID) (int64, bool) {
			event, _, in := n.events.InOutage(m)
			return event, in
		},
		Quiet: n.house.quietTime, Log: n.log, Clock: n.clock, Timer: n.opts.Timer, Shared: shared, Follow: node.Has(city.RoleQueue),
	})
	return err
}

// workFolders starts what mailboxes need of the database.
func (n *Node) workFolders(ctx context.Context) error {
	if err := n.modes.Load(ctx); err != nil {
		return err
	}
	w := &n.working
	w.background(ctx, "the modes of mailboxes", n.modes.Run)
	w.background(ctx, "the watchers of mailboxes", n.folders.Run)
	w.background(ctx, "the keys of sent mail", func(ctx context.Context) {
		clock.Every(ctx, n.opts.Timer, forgetEvery, func() {
			if err := n.folders.Forget(ctx); err != nil && ctx.Err() == nil {
				n.log.Error("keys of sent mail can't be removed", "err", err)
			}
		})
	})
	return nil
}

// made tells of a message that was written straight into the database.
func (n *Node) made(m *doppelboden.Message) {
	n.house.queue.Notify(m)
	n.folders.Arrived([]*doppelboden.Message{m})
}

// setMode is webmail.Options.SetMode.
func (n *Node) setMode(ctx context.Context, m doppelboden.MailboxID, emergency bool, by string) error {
	_, err := n.modes.Set(ctx, []doppelboden.MailboxID{m}, emergency, by)
	return err
}

// mailbox returns what the directory knows of a mailbox.
func (h *house) mailbox(id doppelboden.MailboxID) (doppelboden.Mailbox, bool) {
	return h.Directory().Mailbox(id)
}

// mailboxes returns how the mailboxes of a tenant are used in an emergency.
func (h *house) mailboxes(id doppelboden.TenantID) city.Mailboxes {
	d := h.Directory()
	t, _ := d.City().Tenant(d.TenantName(id))
	return t.Mailboxes
}

// mostHourly returns to how many recipients somebody may write from a mailbox in an hour.
func (h *house) mostHourly(m doppelboden.Mailbox) int {
	return h.mailboxes(m.Tenant).Most(h.Directory().PriorityOf(m.ID))
}

// quietTime returns after how much time without use a mailbox goes back to its groupware.
func (h *house) quietTime(t doppelboden.TenantID) time.Duration { return h.mailboxes(t).Quiet }

// sentBy returns the mailbox of a tenant that has an address and shows what is written in
// its name among its sent mail: that of a person or a function, no list.
func (h *house) sentBy(t doppelboden.TenantID, a doppelboden.Address) (doppelboden.MailboxID, bool) {
	d := h.Directory()
	r, err := d.Resolve(a, h.freshnessOf(d), h.node.clock())
	if err != nil || r.Tenant != t || len(r.Targets) != 1 || len(r.Outside) > 0 {
		return 0, false
	}
	box, ok := d.Mailbox(r.Targets[0].Mailbox)
	if !ok || box.Kind == doppelboden.List {
		return 0, false
	}
	for _, known := range append([]doppelboden.Address{box.Address}, box.Aliases...) {
		if known.Key() == a.Key() {
			return box.ID, true
		}
	}
	return 0, false // the only member of a list
}

// limited remembers who wanted to write to more recipients than an hour allows.
type limited struct {
	clock func() time.Time
	look  func()
	who   func(by string) string // says by her address who it is

	mu   sync.Mutex
	told map[string]limitedOne // by who it was
}

// A limitedOne is what the alarm says of one person.
type limitedOne struct {
	at   time.Time
	said doppelboden.Telling
}

// note is folder.Options.Limited. Whoever is to be put out logs in as the person who wrote:
// the mailbox may be that of a function, which has no log-in, or of whom she stands in for.
func (l *limited) note(m doppelboden.Mailbox, by string, most int) {
	who := l.who(by)
	l.mu.Lock()
	if l.told == nil {
		l.told = map[string]limitedOne{}
	}
	l.told[by] = limitedOne{l.clock(), doppelboden.Tell("%s wanted to write from %s to more than %s recipients within an hour and was stopped. All other mail goes on. "+
		"Ask that person. If nobody knows why, the password may be stolen: doppelboden account revoke --person %s --everything. The limit is recipients_per_hour in [tenant.mailboxes].", who, m.Address, most, who)}
	l.mu.Unlock()
	l.look()
}

// limits tells of people who wanted to write to too many.
func (w *watcher) limits(wrong alarms) {
	l := w.n.limited
	l.mu.Lock()
	defer l.mu.Unlock()
	for by, one := range l.told {
		if l.clock().Sub(one.at) > limitTold {
			delete(l.told, by)
			continue
		}
		wrong[alarmKey{"limit", by}] = one.said
	}
}

// A waking store tells those who watch mailboxes what came into them with settlements.
type waking struct {
	store.Store
	n *Node
}

// Settle implements store.Store.
func (s waking) Settle(ctx context.Context, lease store.Lease, list []doppelboden.Settlement) error {
	err := s.Store.Settle(ctx, lease, list)
	if err != nil {
		return err
	}
	var made []*doppelboden.Message
	var changed []doppelboden.MailboxID
	for i := range list {
		if list[i].Generated != nil {
			made = append(made, list[i].Generated)
		}
		for _, c := range list[i].Copies {
			changed = append(changed, c.Mailbox)
		}
	}
	if len(made) > 0 {
		s.n.folders.Arrived(made)
	}
	if len(changed) > 0 {
		s.n.folders.Changed(changed...)
	}
	return nil
}
