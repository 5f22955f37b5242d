package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/directory"
	"doppelboden/event"
	"doppelboden/ledger"
	"doppelboden/queue"
	"doppelboden/store"
	"doppelboden/store/sqlite"
	"doppelboden/tally"
)

const cityText = `format = 1
[[tenant]]
name = "a"
domains = ["a.de", "aa.de"]
default_route = "groupware"
[[tenant.route]]
name = "groupware"
hosts = ["lmtp://gw:24"]
[[tenant.route]]
name = "other"
domains = ["aa.de"]
hosts = ["lmtp://gw:24"]
[[tenant]]
name = "b"
domains = ["b.de"]
[[tenant.route]]
name = "other"
here = true
`

// A town is a node's cellar with a desk and a client, and stand-ins for the rest.
type town struct {
	replays replaying
	t       *testing.T
	store   *sqlite.Store
	client  *Client
	now     time.Time
	doors   *tally.Doors
	events  *event.Tracker
	dir     string // the data folder

	mu        sync.Mutex
	directory *city.Directory
	changing  sync.Mutex
	prepared  []doppelboden.Tenant
	refuse    error // what Install answers
	decisions []queue.Decision
	failAt    int // the decision that fails, from 1; 0: none
	period    [2]time.Time
	progress  []Progress
	version   int64    // of the configuration that is pinned
	rotations []string // "master by NAME", or the tenant
	ids       doppelboden.IDs
}

func newTown(t *testing.T) *town {
	t.Helper()
	now := time.Date(2026, 7, 14, 9, 0, 0, 0, time.UTC)
	w := &town{t: t, now: now, dir: t.TempDir(), version: 1}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(w.dir, "db"), Chain: ledger.NewChain("n", now), Clock: w.clock})
	must(err)
	t.Cleanup(func() { w.store.Close() })
	w.doors, err = tally.OpenDoors(w.dir, w.clock)
	must(err)
	t.Cleanup(func() { w.doors.Close() })
	c, err := city.Parse("city.toml", []byte(cityText))
	must(err)
	tenants, err := w.store.PutTenants(t.Context(), c.Names())
	must(err)
	_, err = w.store.PutConfig(t.Context(), store.ConfigVersion{Text: []byte(cityText), By: "init", At: now})
	must(err)
	w.directory = city.NewDirectory(c, tenants, nil)
	w.events, err = event.New(event.Options{
		Store: w.store, Directory: w.Directory, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Clock: w.clock,
		Probe:    func(context.Context, string) (doppelboden.Outcome, bool) { return doppelboden.Outcome{}, false },
		InFlight: func() map[string]int { return nil }, Waiting: func(func(doppelboden.BoxID, int64)) {}, Changed: func() {},
		Try: func(context.Context, event.Trial) error { return nil }, Touched: func(doppelboden.MailboxID) bool { return false },
	})
	must(err)
	lease, err := w.store.Join(t.Context(), "n", now)
	must(err)
	must(w.events.Lead(t.Context(), lease))
	desk, err := NewDesk(Options{
		Events: w.events,
		Node:   &city.Node{Name: "n", Roles: []city.Role{city.RoleMX}}, Version: "test", Started: now, Store: w.store, Queue: w, House: w, Ledger: w, Keys: w, Backups: w, Salvage: w, Replays: &w.replays, Directories: w,
		Tallies: Tallies{Doors: w.dir, Replies: w.dir, Flush: w.doors.Flush}, Clock: w.clock, Log: slog.New(slog.DiscardHandler),
	})
	must(err)
	server, err := Start(w.dir, desk, slog.New(slog.DiscardHandler))
	must(err)
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w.client = NewClient(w.dir, func(p Progress) { w.progress = append(w.progress, p) })
	return w
}

func (w *town) clock() time.Time { return w.now }

// The town is its own queue, house, ledger and vault.

func (w *town) Decide(_ context.Context, d queue.Decision) (int, error) {
	w.decisions = append(w.decisions, d)
	if len(w.decisions) == w.failAt {
		return 1, errors.New("the disk is gone")
	}
	return 2, nil
}

func (w *town) Status() []queue.LaneStatus {
	return []queue.LaneStatus{{Name: "a/groupware", Up: true}}
}

func (w *town) Directory() *city.Directory {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.directory
}

func (w *town) Version() int64 { return w.version }

func (w *town) Pin(_ context.Context, version int64) error {
	w.version = version
	return nil
}

func (w *town) Prepare(_ context.Context, tenants []doppelboden.Tenant) error {
	w.prepared = tenants
	return nil
}

func (w *town) Install(_ context.Context, d *city.Directory) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse == nil {
		w.directory = d
	}
	return w.refuse
}

func (w *town) Changing() sync.Locker { return &w.changing }

func (w *town) Listed(context.Context) error { return nil }

func (w *town) Listings() []store.Listing {
	all, err := w.store.Listings(context.Background())
	if err != nil {
		w.t.Error(err)
	}
	return all
}

func (w *town) Resolve(a doppelboden.Address) (city.Resolution, error) {
	d := w.Directory()
	return d.Resolve(a, city.NewFreshness(d.City(), d.Tenants(), w.Listings()), w.now)
}

func (w *town) Assign(ctx context.Context, a store.Assignment) error {
	lease, err := w.store.Join(ctx, "n", w.now)
	if err != nil {
		return err
	}
	return w.store.Assign(ctx, lease, a)
}

func (w *town) Refresh(_ context.Context, tenant, source string, accept int) (directory.Report, error) {
	return directory.Report{Tenant: tenant, Source: source, Gone: accept}, nil
}

func (w *town) Listeners() map[string]string { return map[string]string{"mx": "127.0.0.1:2525"} }

func (w *town) Space() (free, total int64, err error) { return 1 << 30, 2 << 30, nil }

func (w *town) Balance(_ context.Context, from, to time.Time, progress func(ledger.Progress)) (doppelboden.Balance, error) {
	w.period = [2]time.Time{from, to}
	progress(ledger.Progress{Step: "rows", Done: 10_000})
	return doppelboden.Balance{Accepted: 3, Delivered: 2, Difference: 1, Findings: []doppelboden.Finding{{N: -1, What: "x"}}}, nil
}

func (w *town) Verify(context.Context, func(ledger.Progress)) (ledger.Report, error) {
	return ledger.Report{Links: 7}, nil
}

func (w *town) Export(_ context.Context, out io.Writer, _, _ time.Time) error {
	for _, part := range []string{"{\"a\":1}\n{\"b\"", ":2}\n", `{"c":3}`} {
		if _, err := io.WriteString(out, part); err != nil {
			return err
		}
	}
	return nil
}

// accept keeps a message for an address and returns it.
func (w *town) accept(to string) *doppelboden.Message {
	w.t.Helper()
	a, err := doppelboden.ParseAddress(to)
	if err != nil {
		w.t.Fatal(err)
	}
	target, err := w.Directory().Lookup(a)
	if err != nil {
		w.t.Fatal(err)
	}
	id := w.ids.New(w.now)
	m := &doppelboden.Message{
		ID: id, Tenant: target.Tenant, Receipt: doppelboden.NewReceipt(w.now), Door: "mx", Received: w.now, Peer: "192.0.2.1",
		Body: doppelboden.Body{Segment: "s", Size: 9, Key: []byte("k"), KeyVersion: 1}, Recipients: 1,
		Deliveries: []doppelboden.Delivery{{Message: id, Tenant: target.Tenant, Mailbox: target.Mailbox, Recipient: a, Changed: w.now}},
		Copies:     []doppelboden.Copy{{Mailbox: target.Mailbox, Folder: doppelboden.Inbox, Message: id, Date: w.now}},
	}
	w.doors.Intent(id, 1, w.now)
	if _, err := w.store.Accept(w.t.Context(), m); err != nil {
		w.t.Fatal(err)
	}
	w.doors.Sent(id, w.now.Add(time.Millisecond))
	return m
}

// mailbox adds a mailbox.
func (w *town) mailbox(addresses ...string) {
	w.t.Helper()
	for _, a := range addresses {
		if _, err := w.client.AddMailbox(w.t.Context(), Mailbox{Address: a, Kind: "person"}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// wantCode fails unless err has a code and its text holds part.
func wantCode(t *testing.T, err error, code doppelboden.Code, part string) {
	t.Helper()
	if err == nil || doppelboden.CodeOf(err) != code || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v (%v), want %v with %q", err, doppelboden.CodeOf(err), code, part)
	}
}

func TestALongQueueIsGivenWholeAndInItsOrder(t *testing.T) {
	w := newTown(t)
	w.mailbox("x@a.de", "y@aa.de")
	var want []string
	accepts := make(chan *doppelboden.Message, 2*page+10)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 2*page/10 + 1 {
				accepts <- w.accept("x@a.de")
			}
		})
	}
	all.Wait()
	close(accepts)
	for range accepts {
		want = append(want, "x@a.de")
	}
	w.accept("y@aa.de")
	var got []string
	seen := map[doppelboden.ID]bool{}
	collect := func(v Waiting) error {
		got = append(got, v.Recipient)
		if seen[v.Message] {
			t.Errorf("%v came twice", v.Message)
		}
		seen[v.Message] = true
		return nil
	}
	for _, c := range []struct {
		choice Choice
		limit  int
		want   []string
	}{
		{Choice{}, 0, append(want, "y@aa.de")},
		{Choice{}, 7, want[:7]},
		{Choice{Route: "a/groupware"}, 0, want},
		{Choice{Route: "a/other"}, 0, []string{"y@aa.de"}},
		{Choice{To: "Y+tag@aa.de", Tenant: "a", State: "queued"}, 0, []string{"y@aa.de"}},
		{Choice{State: "held"}, 0, nil},
		{Choice{Tenant: "b"}, 0, nil},
	} {
		got, seen = nil, map[doppelboden.ID]bool{}
		if err := w.client.Queue(t.Context(), c.choice, c.limit, collect); err != nil {
			t.Fatalf("%+v: %v", c.choice, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v, limit %d (-want +got):\n%s", c.choice, c.limit, diff)
		}
	}
}

func TestAChoiceThatMeansNothingIsRefused(t *testing.T) {
	w := newTown(t)
	w.mailbox("x@a.de")
	for _, c := range []struct {
		choice Choice
		code   doppelboden.Code
		part   string
	}{
		{Choice{State: "delivered"}, doppelboden.Invalid, "queued or held"},
		{Choice{Tenant: "c"}, doppelboden.NotFound, "no tenant"},
		{Choice{Route: "c"}, doppelboden.NotFound, "no route"},
		{Choice{Route: "other"}, doppelboden.Invalid, "a/other, b/other"},
		{Choice{To: "z@a.de"}, doppelboden.NotFound, "no mailbox"},
		{Choice{To: "z"}, doppelboden.Invalid, "not a mail address"},
		{Choice{ID: "z"}, doppelboden.Invalid, "neither the id"},
		{Choice{ID: "019aaaaa-0000-7000-8000-000000000000/x"}, doppelboden.Invalid, "ID/N"},
		{Choice{ID: doppelboden.NewReceipt(w.now).String()}, doppelboden.NotFound, ""},
	} {
		_, err := w.client.Decide(t.Context(), Decision{Verb: queue.Hold, Choice: c.choice})
		wantCode(t, err, c.code, c.part)
	}
	if len(w.decisions) > 0 {
		t.Errorf("decided all the same: %+v", w.decisions)
	}
}

func TestADecisionIsMadeUnderTheNameOfTheUnixUser(t *testing.T) {
	w := newTown(t)
	w.mailbox("x@a.de")
	m := w.accept("x@a.de")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.client.Decide(t.Context(), Decision{Verb: queue.Discard, Choice: Choice{ID: m.Receipt.String() + "/0"}, Why: "spam"})
	if err != nil || got.Changed != 2 || got.By != me.Username {
		t.Errorf("decided %+v, %v; want 2 by %s", got, err, me.Username)
	}
	if len(w.decisions) != 1 {
		t.Fatalf("decisions: %+v, want one", w.decisions)
	}
	d := w.decisions[0]
	if d.Verb != queue.Discard || d.By != me.Username || d.Why != "spam" || d.Ref != (doppelboden.Ref{Message: m.ID}) || d.Filter.States != nil {
		t.Errorf("decision %+v is not what was asked for", d)
	}
	_, err = w.client.Decide(t.Context(), Decision{Verb: queue.Hold, Choice: Choice{ID: m.ID.String()}, Why: "two\nlines"})
	wantCode(t, err, doppelboden.Invalid, "one line")
}

func TestADecisionAboutARouteIsMadeForItsMailboxesAlone(t *testing.T) {
	w := newTown(t)
	w.mailbox("x@a.de", "y@aa.de", "z@aa.de", "idle@aa.de")
	for _, to := range []string{"x@a.de", "y@aa.de", "z@aa.de", "y@aa.de"} {
		w.accept(to)
	}
	got, err := w.client.Decide(t.Context(), Decision{Verb: queue.Hold, Choice: Choice{Route: "a/other", State: "queued"}})
	if err != nil || got.Changed != 4 {
		t.Fatalf("decided %+v, %v; want 4 (2 mailboxes at 2)", got, err)
	}
	var names []string
	for _, d := range w.decisions {
		m, _ := w.Directory().Mailbox(doppelboden.MailboxID(d.Filter.Box))
		names = append(names, fmt.Sprint(m.Address, d.Filter.States))
	}
	if diff := cmp.Diff([]string{"y@aa.de [queued]", "z@aa.de [queued]"}, names); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	w.decisions, w.failAt = nil, 2
	_, err = w.client.Decide(t.Context(), Decision{Verb: queue.Hold, Choice: Choice{Route: "a/other"}})
	wantCode(t, err, doppelboden.Temporary, "after 3 deliveries: the disk is gone")
}

func TestAListIsTakenAsAWholeOrNotAtAll(t *testing.T) {
	w := newTown(t)
	w.mailbox("x@a.de")
	for name, list := range map[string]string{
		"a mistake":           "address\nok@a.de\nnonsense\n",
		"a taken address":     "address,aliases\nok@a.de,x@a.de\n",
		"a stranger's domain": "address\nok@c.de\n",
	} {
		_, err := w.client.ImportMailboxes(t.Context(), "l.csv", []byte(list))
		wantCode(t, err, doppelboden.Invalid, "")
		if n := w.Directory().Len(); n != 1 {
			t.Errorf("%s: %d mailboxes afterwards, want 1", name, n)
		}
	}
	var mistakes city.Mistakes
	_, err := w.client.ImportMailboxes(t.Context(), "l.csv", []byte("address\nnonsense\n"))
	if !errors.As(err, &mistakes) || len(mistakes) != 1 || mistakes[0].Line != 2 || mistakes[0].File != "l.csv" {
		t.Errorf("mistakes %+v from %v, want one in line 2 of l.csv", mistakes, err)
	}
	got, err := w.client.ImportMailboxes(t.Context(), "l.csv", []byte("address,priority\nx@a.de,9\ny@b.de,1\n"))
	if err != nil || got.Mailboxes != 2 || got.New != 1 {
		t.Errorf("imported %+v, %v; want 2, of which 1 is new", got, err)
	}
	var all []string
	err = w.client.Mailboxes(t.Context(), "", func(m Mailbox) error {
		all = append(all, fmt.Sprint(m.Address, m.Tenant, m.Priority, m.Route))
		return nil
	})
	if diff := cmp.Diff([]string{"x@a.dea9a/groupware", "y@b.deb1b/other"}, all); err != nil || diff != "" {
		t.Errorf("mailboxes: %v (-want +got):\n%s", err, diff)
	}
}

func TestAStoryTellsWhatAllThreeRecordsHoldInTheOrderOfTime(t *testing.T) {
	w := newTown(t)
	w.mailbox("x@a.de")
	other := w.accept("x@a.de")
	m := w.accept("x@a.de")
	for _, name := range []string{m.ID.String(), m.Receipt.String(), strings.ToUpper(m.ID.String())} {
		s, err := w.client.Message(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		var events []string
		for _, e := range s.Events {
			events = append(events, e.Source+" "+e.What)
		}
		if diff := cmp.Diff([]string{"door intent", "ledger accepted", "door sent"}, events); diff != "" {
			t.Errorf("%s: events (-want +got):\n%s", name, diff)
		}
		if s.ID != m.ID || s.Receipt != m.Receipt || len(s.Deliveries) != 1 || s.Deliveries[0].Mailbox != "x@a.de" || s.Gone {
			t.Errorf("%s: story %+v is not that of the message", name, s)
		}
	}
	if m.ID == other.ID {
		t.Error("two messages have one id")
	}
	_, err := w.client.Message(t.Context(), "019f5e24-0000-7000-8000-000000000000")
	wantCode(t, err, doppelboden.NotFound, "no message")
}

func TestAnAppliedConfigurationIsStoredNotedAndUsed(t *testing.T) {
	w := newTown(t)
	w.mailbox("x@a.de", "y@aa.de")
	next := strings.NewReplacer(`domains = ["a.de", "aa.de"]`, `domains = ["a.de", "aa.de", "c.de"]`,
		`domains = ["aa.de"]`, `domains = ["c.de"]`, `lmtp://gw:24`, `lmtp://gw2:24`).Replace(cityText)
	planned, err := w.client.PlanConfig(t.Context(), "c.toml", []byte(next))
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{What: "domain added", Tenant: "a", Name: "c.de"},
		{What: "route changed", Tenant: "a", Name: "groupware", From: "lmtp://gw:24, 8 connections, TLS opportunistic", To: "lmtp://gw2:24, 8 connections, TLS opportunistic", Count: 2},
		{What: "route changed", Tenant: "a", Name: "other", From: "lmtp://gw:24, 8 connections, TLS opportunistic", To: "lmtp://gw2:24, 8 connections, TLS opportunistic"},
		{What: "mailboxes moved", Tenant: "a", From: "other", To: "groupware", Count: 1},
		{What: "mailboxes moved", Tenant: "a", From: "groupware (lmtp://gw:24)", To: "groupware (lmtp://gw2:24)", Count: 1},
	}
	if diff := cmp.Diff(want, planned.Changes); diff != "" || planned.Version != 0 {
		t.Errorf("planned version %d (-want +got):\n%s", planned.Version, diff)
	}
	if _, ok := w.Directory().TenantOf("c.de"); ok {
		t.Error("a check changed the directory")
	}
	if planned.Confirm != 2 || planned.Moves != 2 || planned.Mailboxes != 2 {
		t.Errorf("planned %+v, want that 2 of 2 mailboxes must be confirmed", planned)
	}
	for _, yes := range []int{0, 1, 3} {
		asked, err := w.client.ApplyConfig(t.Context(), "c.toml", []byte(next), yes)
		if err != nil || asked.Version != 0 || asked.Confirm != 2 || w.version != 1 {
			t.Errorf("with yes %d: %+v, %v, version %d in use; want that it asks", yes, asked, err, w.version)
		}
	}
	applied, err := w.client.ApplyConfig(t.Context(), "c.toml", []byte(next), 2)
	if err != nil || applied.Version != 2 || w.version != 2 {
		t.Fatalf("applied %+v, %v; want version 2", applied, err)
	}
	if _, ok := w.Directory().TenantOf("c.de"); !ok || len(w.prepared) != 2 {
		t.Errorf("after applying: c.de known %v, prepared %v", ok, w.prepared)
	}
	var notes []string
	err = w.store.Links(t.Context(), time.Time{}, func(l doppelboden.Link) error {
		entries, err := ledger.Decode(l)
		for _, e := range entries {
			if e.Kind == doppelboden.EntryConfig {
				notes = append(notes, e.Note)
			}
		}
		return err
	})
	if err != nil || len(notes) != 1 || !strings.HasPrefix(notes[0], "version 2 of city.toml by ") {
		t.Errorf("notes in the ledger: %q, %v; want one about version 2", notes, err)
	}
	again, err := w.client.ApplyConfig(t.Context(), "c.toml", []byte(next), 0)
	if err != nil || again.Version != 2 || len(again.Changes) != 0 {
		t.Errorf("applied again: %+v, %v; want version 2 without changes", again, err)
	}
	w.refuse = &doppelboden.Error{Code: doppelboden.Invalid, Public: "relay.password cannot be read"}
	if again, err = w.client.ApplyConfig(t.Context(), "c.toml", []byte(next), 0); err == nil || !strings.Contains(err.Error(), "relay.password cannot be read") {
		t.Errorf("applied again while a file that it names is broken: %+v, %v; want that files are read anew", again, err)
	}
}

func TestAConfigurationThatIsRefusedLeavesTheOldOne(t *testing.T) {
	w := newTown(t)
	w.mailbox("x@b.de")
	_, err := w.client.ApplyConfig(t.Context(), "c.toml", []byte("format = 2"), 0)
	var mistakes city.Mistakes
	if !errors.As(err, &mistakes) || mistakes[0].File != "c.toml" {
		t.Errorf("got %v, want mistakes of c.toml", err)
	}
	withoutB := cityText[:strings.LastIndex(cityText, "[[tenant]]")]
	apply := func(ctx context.Context, name string, text []byte) (Planned, error) {
		return w.client.ApplyConfig(ctx, name, text, 1)
	}
	for _, ask := range []func(context.Context, string, []byte) (Planned, error){w.client.PlanConfig, apply} {
		_, err = ask(t.Context(), "c.toml", []byte(withoutB))
		wantCode(t, err, doppelboden.Invalid, "the tenant b has mailboxes")
	}
	if v, err := w.store.Config(t.Context(), 0); err != nil || v.Version != 1 {
		t.Errorf("version %d, %v; want still 1", v.Version, err)
	}
}

func TestStatusSaysWhatWaitsAndWhatIsWrong(t *testing.T) {
	w := newTown(t)
	w.mailbox("x@a.de")
	w.accept("x@a.de")
	alarm := doppelboden.Alarm{Kind: "disk", Text: "the disk is nearly full", Since: w.now}
	over := doppelboden.Alarm{Kind: "clock", Text: "the clock jumped", Since: w.now}
	for _, a := range []doppelboden.Alarm{alarm, over} {
		if err := w.store.Raise(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.store.Clear(t.Context(), "clock", "", w.now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Hour)
	s, err := w.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Alarms) != 1 || s.Alarms[0].Text != alarm.Text {
		t.Errorf("alarms %+v, want only the open one", s.Alarms)
	}
	if len(s.Tenants) != 1 || s.Tenants[0].Name != "a" || s.Tenants[0].Counts["queued"] != 1 || s.Now.Sub(s.Tenants[0].Oldest) != time.Hour {
		t.Errorf("tenants %+v, want one that waits for an hour", s.Tenants)
	}
	if diff := cmp.Diff([]string{"postmaster@a.de"}, s.Postmasters); diff != "" {
		t.Errorf("missing postmasters (-want +got):\n%s", diff)
	}
	if s.Config != 1 || s.Mailboxes != 1 || s.Listeners["mx"] == "" || s.DiskTotal != 2<<30 || s.Refusing != "" {
		t.Errorf("status %+v", s)
	}
}

func TestBalanceAndLedgerPassThroughWithProgress(t *testing.T) {
	w := newTown(t)
	from := w.now.Add(-time.Hour)
	b, err := w.client.Balance(t.Context(), from, time.Time{})
	if err != nil || b.Difference != 1 || len(b.Findings) != 1 {
		t.Errorf("balance %+v, %v", b, err)
	}
	if !w.period[0].Equal(from) || !w.period[1].Equal(w.now) {
		t.Errorf("period %v, want from %v until now", w.period, from)
	}
	if diff := cmp.Diff([]Progress{{Step: "rows", Done: 10_000}}, w.progress); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	_, err = w.client.Balance(t.Context(), w.now, from)
	wantCode(t, err, doppelboden.Invalid, "ends before it begins")
	if r, err := w.client.VerifyLedger(t.Context()); err != nil || r.Links != 7 {
		t.Errorf("report %+v, %v", r, err)
	}
	var out strings.Builder
	if err := w.client.ExportLedger(t.Context(), time.Time{}, time.Time{}, &out); err != nil || out.String() != "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n" {
		t.Errorf("exported %q, %v; want three whole lines", out.String(), err)
	}
}

func TestAMailboxThatTheDoorsCannotLearnIsAnError(t *testing.T) {
	w := newTown(t)
	w.refuse = errors.New("no")
	_, err := w.client.AddMailbox(t.Context(), Mailbox{Address: "x@a.de", Kind: "person"})
	wantCode(t, err, doppelboden.Temporary, "let the doors know the mailboxes")
}
