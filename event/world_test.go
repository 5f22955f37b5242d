package event

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"

	"github.com/prometheus/client_golang/prometheus"
)

// noon is when the tests begin.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// cityText is two tenants; the first has two routes.
const cityText = `format = 1
[[tenant]]
name = "stadt"
domains = ["stadt.example", "neu.example"]
postmaster = "m1@stadt.example"
default_route = "alt"
[[tenant.route]]
name = "alt"
hosts = ["lmtp://a:24", "lmtp://b:24"]
[[tenant.route]]
name = "neu"
domains = ["neu.example"]
hosts = ["lmtp://c:24"]
[[tenant]]
name = "kreis"
domains = ["kreis.example"]
postmaster = "m1@kreis.example"
[[tenant.route]]
name = "gw"
hosts = ["lmtp://d:24"]
`

// Mailboxes 1 to people are of stadt and go by its route alt, the first half in department
// Bauamt and building Rathaus, the others in Ordnungsamt, every tenth of all in Altbau;
// people+1 to people+20 are of kreis.
func directory(t testing.TB, people int) *city.Directory {
	t.Helper()
	c, err := city.Parse("city.toml", []byte(cityText))
	if err != nil {
		t.Fatal(err)
	}
	var boxes []doppelboden.Mailbox
	for i := 1; i <= people+20; i++ {
		b := doppelboden.Mailbox{ID: doppelboden.MailboxID(i), Tenant: 1, Kind: doppelboden.Person, Priority: 5, Department: "Bauamt", Building: "Rathaus",
			Address: doppelboden.Address{Local: fmt.Sprintf("m%d", i), Domain: "stadt.example"}}
		switch {
		case i > people:
			b.Tenant, b.Address.Domain = 2, "kreis.example"
		case i > people/2:
			b.Department, b.Building = "Ordnungsamt", "Neubau"
		}
		if i%10 == 0 {
			b.Building = "Altbau"
		}
		boxes = append(boxes, b)
	}
	return city.NewDirectory(c, []doppelboden.Tenant{{ID: 1, Name: "stadt"}, {ID: 2, Name: "kreis"}}, boxes)
}

// A world is a tracker without a node.
type world struct {
	t     testing.TB
	store *memory
	dir   *city.Directory
	now   time.Time
	mails uint32
	track *Tracker

	queued map[doppelboden.BoxID]int64
	flying map[string]int
	alarms int // calls of Changed

	letters []Trial // that went out
	touched map[doppelboden.MailboxID]bool
	tryErr  error
}

func newWorld(t testing.TB, people int) *world {
	w := &world{t: t, store: &memory{}, dir: directory(t, people), now: noon, queued: map[doppelboden.BoxID]int64{}, flying: map[string]int{}}
	w.start()
	return w
}

// start makes a tracker of what the store knows.
func (w *world) start() {
	w.t.Helper()
	var err error
	w.track, err = New(Options{
		Store: w.store, Directory: func() *city.Directory { return w.dir }, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		Probe:    func(context.Context, string) (doppelboden.Outcome, bool) { return doppelboden.Outcome{}, false },
		InFlight: func() map[string]int { return w.flying },
		Waiting: func(yield func(doppelboden.BoxID, int64)) {
			for b, n := range w.queued {
				yield(b, n)
			}
		},
		Changed: func() { w.alarms++ },
		Try:     w.try,
		Touched: func(id doppelboden.MailboxID) bool { return w.touched[id] },
		Clock:   func() time.Time { return w.now },
	})
	if err == nil {
		err = w.track.Lead(context.Background(), store.Lease{Node: "node", Epoch: 1})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// try takes a letter that goes out.
func (w *world) try(_ context.Context, one Trial) error {
	w.track.mu.Lock()
	defer w.track.mu.Unlock()
	if e := w.track.find(one.Tenant, one.Event); e == nil || !e.members[one.Mailbox] || w.queued[doppelboden.BoxID(one.Mailbox)] > 0 {
		w.t.Errorf("a letter goes to mailbox %d, which is not in event %d, or for which mail waits", one.Mailbox, one.Event)
	}
	w.letters = append(w.letters, one)
	return w.tryErr
}

// tick lets a second go by, and the tracker decide.
func (w *world) tick() {
	w.now = w.now.Add(time.Second)
	w.track.decide()
	var beside sync.WaitGroup
	w.track.try(context.Background(), &beside)
	beside.Wait()
	w.track.write(context.Background())
	w.track.tell()
}

// wait lets time go by.
func (w *world) wait(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.tick()
	}
}

// Outcomes of single recipients.
var (
	tookIt   = doppelboden.Outcome{Verdict: doppelboden.Took, Scope: doppelboden.AboutRecipient, Phase: "dot", Server: "a:24"}
	noUser   = doppelboden.Outcome{Verdict: doppelboden.Refused, Scope: doppelboden.AboutRecipient, Phase: "rcpt", Server: "a:24", Reply: doppelboden.Reply{Code: 550, Enhanced: "5.1.1", Text: "5.1.1 <x@stadt.example> User doesn't exist"}}
	notNow   = doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRecipient, Phase: "rcpt", Server: "a:24", Reply: doppelboden.Reply{Code: 451, Enhanced: "4.3.0", Text: "4.3.0 Temporary internal failure"}}
	full     = doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRecipient, Phase: "dot", Server: "a:24", Reply: doppelboden.Reply{Code: 452, Enhanced: "4.2.2", Text: "4.2.2 Mailbox is full"}}
	badMail  = doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutMessage, Phase: "dot", Server: "a:24", Reply: doppelboden.Reply{Code: 451, Enhanced: "4.7.1", Text: "4.7.1 cannot be scanned"}}
	nobody   = doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRoute, Phase: "connect", Server: "a:24", Reply: doppelboden.Reply{Text: "connection refused"}}
	brokeOff = doppelboden.Outcome{Verdict: doppelboden.Later, Scope: doppelboden.AboutRoute, Phase: "data", Server: "a:24", Reply: doppelboden.Reply{Text: "no answer in time"}}
)

// mail reports one mail to mailboxes by a route, with the same outcome for each.
func (w *world) mail(lane string, o doppelboden.Outcome, ids ...doppelboden.MailboxID) {
	w.mails++
	m := doppelboden.ID{12: byte(w.mails >> 24), 13: byte(w.mails >> 16), 14: byte(w.mails >> 8), 15: byte(w.mails)}
	w.report(lane, o, m, ids...)
}

func (w *world) report(lane string, o doppelboden.Outcome, m doppelboden.ID, ids ...doppelboden.MailboxID) {
	var outcomes []doppelboden.Outcome
	var items []store.Item
	for n, id := range ids {
		o.Ref, o.At = doppelboden.Ref{Message: m, N: n}, w.now
		box, _ := w.dir.Mailbox(id)
		outcomes = append(outcomes, o)
		items = append(items, store.Item{Delivery: doppelboden.Delivery{Message: m, N: n, Tenant: box.Tenant, Mailbox: id, Box: doppelboden.BoxID(id)}})
	}
	w.track.Report(lane, outcomes, items)
}

// each reports a mail of its own to each mailbox.
func (w *world) each(lane string, o doppelboden.Outcome, ids ...doppelboden.MailboxID) {
	for _, id := range ids {
		w.mail(lane, o, id)
	}
}

// asked reports what a probe found.
func (w *world) asked(lane string, o doppelboden.Outcome) {
	ob := observation{lane: lane, sort: answered, at: w.now, began: w.now}
	if o.Verdict != doppelboden.Took {
		ob.sort, ob.reply = silent, gist(&o)
	}
	w.track.pend.Lock()
	w.track.pending = append(w.track.pending, ob)
	w.track.pend.Unlock()
}

// open returns the events that last.
func (w *world) open() []Summary { return w.track.Open() }

// only returns the one event that lasts.
func (w *world) only() Summary {
	w.t.Helper()
	all := w.open()
	if len(all) != 1 {
		w.t.Fatalf("%d events last, want one: %+v", len(all), all)
	}
	return all[0]
}

// none sees to it that no event lasts.
func (w *world) none(when string) {
	w.t.Helper()
	if all := w.open(); len(all) != 0 {
		w.t.Fatalf("%s: events last, want none: %+v", when, all)
	}
}

// story returns what happened in an event, in words.
func (w *world) story(number int64) string {
	w.t.Helper()
	c, err := w.store.Event(context.Background(), 1, number)
	if err != nil {
		w.t.Fatal(err)
	}
	var words []string
	for _, s := range c.Steps {
		words = append(words, s.What)
	}
	return strings.Join(words, " ")
}

// in reports who of the mailboxes is in an outage.
func (w *world) in(ids ...doppelboden.MailboxID) (in []doppelboden.MailboxID) {
	for _, id := range ids {
		if _, _, ok := w.track.InOutage(id); ok {
			in = append(in, id)
		}
	}
	return in
}

// span returns the numbers from one to another.
func span(from, to doppelboden.MailboxID) (ids []doppelboden.MailboxID) {
	for id := from; id <= to; id++ {
		ids = append(ids, id)
	}
	return ids
}

// memory is a store of events. Package storetest proves the real ones.
type memory struct {
	mu     sync.Mutex
	events []store.EventChange
	notes  []string
	held   []store.Item
	fails  error
}

func (s *memory) PutEvent(_ context.Context, _ store.Lease, c store.EventChange) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return s.fails
	}
	i := slices.IndexFunc(s.events, func(e store.EventChange) bool {
		return e.Event.Tenant == c.Event.Tenant && e.Event.Number == c.Event.Number
	})
	if i < 0 {
		s.events = append(s.events, store.EventChange{})
		i = len(s.events) - 1
	}
	e := &s.events[i]
	e.Event = c.Event
	for _, st := range c.Steps {
		if st.N == len(e.Steps)+1 {
			e.Steps = append(e.Steps, st)
		}
	}
	for _, r := range c.Replies {
		e.Replies = slices.DeleteFunc(e.Replies, func(o store.EventReply) bool { return o.Text == r.Text })
		e.Replies = append(e.Replies, r)
	}
	slices.SortFunc(e.Replies, func(a, b store.EventReply) int { return int(b.Count - a.Count) })
	return nil
}

func (s *memory) Events(_ context.Context, t doppelboden.TenantID, yield func(store.Event) error) error {
	for _, e := range s.events {
		if t == 0 || e.Event.Tenant == t {
			if err := yield(e.Event); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *memory) Event(_ context.Context, t doppelboden.TenantID, n int64) (store.EventChange, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Event.Tenant == t && e.Event.Number == n {
			e.Steps, e.Replies = slices.Clone(e.Steps), slices.Clone(e.Replies)
			return e, nil
		}
	}
	return store.EventChange{}, &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no event with this number"}
}

func (s *memory) Deliveries(_ context.Context, f store.Filter, yield func(store.Item) error) error {
	for _, it := range s.held {
		if it.Delivery.Tenant == f.Tenant {
			if err := yield(it); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *memory) Note(_ context.Context, entries ...doppelboden.Entry) error {
	for _, e := range entries {
		s.notes = append(s.notes, e.Note)
	}
	return nil
}
