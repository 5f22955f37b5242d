package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/store"
)

// migrationText is cityText with a second route for a's single mailboxes.
var migrationText = strings.Replace(cityText, `[[tenant]]
name = "b"`, `[[tenant.route]]
name = "new"
hosts = ["lmtp://new:24"]
[[tenant]]
name = "b"`, 1)

// newMigration returns a town with the mailboxes u0 to u9 of a, one of them at aa.de and
// two in a department, and x@b.de.
func newMigration(t *testing.T) *town {
	t.Helper()
	w := newTown(t)
	if _, err := w.client.ApplyConfig(t.Context(), "c.toml", []byte(migrationText), 0); err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	list.WriteString("address,department\nx@b.de,IT\nv@aa.de,\n")
	for i := range 10 {
		fmt.Fprintf(&list, "u%d@a.de,%s\n", i, map[bool]string{true: "IT"}[i >= 8])
	}
	if _, err := w.client.ImportMailboxes(t.Context(), "list.csv", []byte(list.String())); err != nil {
		t.Fatal(err)
	}
	return w
}

// by returns the addresses that go by a route, sorted.
func (w *town) by(route string) []string {
	var all []string
	for m := range w.Directory().All() {
		if r, ok := w.Directory().RouteOf(m.ID); ok && r.Key() == route {
			all = append(all, m.Address.String())
		}
	}
	slices.Sort(all)
	return all
}

func TestMailboxesAreMovedByAddressListDepartmentAndRoute(t *testing.T) {
	w := newMigration(t)
	move := func(m Move, moved, unchanged, confirm int) {
		t.Helper()
		got, err := w.client.MoveMailboxes(t.Context(), m)
		if err != nil || got != (Moved{Mailboxes: moved, Unchanged: unchanged, Confirm: confirm}) {
			t.Fatalf("%+v moved %+v, %v; want %d, %d as before, confirm %d", m, got, err, moved, unchanged, confirm)
		}
	}
	move(Move{Addresses: []string{"U1@a.de", "u1+tag@a.de"}, To: "new"}, 1, 0, 0)
	move(Move{List: "u1@a.de\nu2@a.de\n", ListName: "l", To: "a/new"}, 1, 1, 0)
	move(Move{Department: "it", Tenant: "a", To: "new"}, 2, 0, 2) // two of eleven are more than a tenth
	move(Move{Department: "it", Tenant: "a", To: "new", Yes: 3}, 2, 0, 2)
	move(Move{Department: "it", Tenant: "a", To: "new", Yes: 2}, 2, 0, 0)
	if got := w.by("a/new"); !slices.Equal(got, []string{"u1@a.de", "u2@a.de", "u8@a.de", "u9@a.de"}) {
		t.Errorf("by the new route go %v", got)
	}
	move(Move{From: "new", To: "groupware", Also: []string{"new"}, Yes: 4}, 4, 0, 0)
	if got := w.by("a/new"); len(got) != 0 {
		t.Errorf("by the new route still go %v", got)
	}
	for _, local := range []string{"u1", "u9"} {
		target, err := w.Directory().Lookup(doppelboden.Address{Local: local, Domain: "a.de"})
		if err != nil || len(target.Also) != 1 || target.Also[0].Route.Key() != "a/new" || target.Also[0].Box >= 0 {
			t.Errorf("%s goes to %+v, %v; want also by the new route", local, target, err)
		}
	}
	var ways []Way
	if err := w.client.Ways(t.Context(), "a", func(one Way) error { ways = append(ways, one); return nil }); err != nil || len(ways) != 4 {
		t.Errorf("ways %+v, %v; want four", ways, err)
	}
	if err := w.client.Ways(t.Context(), "b", func(one Way) error { return errors.New("b has a way: " + one.Address) }); err != nil {
		t.Error(err)
	}
	move(Move{All: true, Tenant: "a", Reset: true, Yes: 4}, 4, 7, 0)
	if got := len(w.Directory().Decided().Ways); got != 0 {
		t.Errorf("after a reset of all %d ways are left", got)
	}
}

func TestMovesThatMakeNoSenseAreRefusedAndChangeNothing(t *testing.T) {
	w := newMigration(t)
	if m, err := w.client.MoveMailboxes(t.Context(), Move{Addresses: []string{"u3@a.de"}, Also: []string{"new"}}); err != nil || m.Mailboxes != 1 {
		t.Fatal(m, err)
	}
	before := w.Directory().Decided()
	for name, m := range map[string]Move{
		"no tenant":                {Addresses: []string{"u1@a.de"}, To: "new", Tenant: "c"},
		"another tenant's mailbox": {Addresses: []string{"u1@a.de", "x@b.de"}, To: "new", Tenant: "a"},
		"no route of the tenant":   {Addresses: []string{"u1@a.de", "x@b.de"}, To: "new"},
		"another tenant's route":   {Addresses: []string{"u1@a.de"}, To: "b/other"},
		"no mailbox":               {Addresses: []string{"nobody@a.de"}, To: "new"},
		"no address":               {Addresses: []string{"nobody"}, To: "new"},
		"nothing chosen":           {To: "new"},
		"no such department":       {Department: "HR", To: "new"},
		"the same route twice":     {Addresses: []string{"u1@a.de"}, To: "new", Also: []string{"new"}},
		"its route as the second":  {Addresses: []string{"u1@a.de"}, Also: []string{"groupware"}},
		"two equal second routes":  {Addresses: []string{"u1@a.de"}, Also: []string{"new", "a/new"}},
		"a second route here":      {Addresses: []string{"x@b.de"}, Also: []string{"other"}},
	} {
		if _, err := w.client.MoveMailboxes(t.Context(), m); doppelboden.CodeOf(err) != doppelboden.Invalid && doppelboden.CodeOf(err) != doppelboden.NotFound {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	_, err := w.client.MoveMailboxes(t.Context(), Move{List: "u1@a.de\nnobody@a.de\n", ListName: "wave.csv", To: "new"})
	var mistakes city.Mistakes
	if !errors.As(err, &mistakes) || mistakes[0].Line != 2 || mistakes[0].File != "wave.csv" {
		t.Errorf("a list with an unknown mailbox: %v, want a mistake in line 2", err)
	}
	if after := w.Directory().Decided(); len(after.Ways) != len(before.Ways) {
		t.Errorf("ways %v, want %v", after.Ways, before.Ways)
	}
}

func TestAMailboxWhoseMailLiesOnlyHereDoesNotLeave(t *testing.T) {
	w := newMigration(t)
	next := strings.Replace(migrationText, "name = \"other\"\nhere = true", "name = \"other\"\nhere = true\n[[tenant.route]]\nname = \"gw\"\nhosts = [\"lmtp://b:24\"]", 1)
	next = strings.Replace(next, "domains = [\"b.de\"]", "domains = [\"b.de\"]\ndefault_route = \"other\"", 1)
	if _, err := w.client.ApplyConfig(t.Context(), "c.toml", []byte(next), 0); err != nil {
		t.Fatal(err)
	}
	w.accept("x@b.de")
	_, err := w.client.MoveMailboxes(t.Context(), Move{Addresses: []string{"x@b.de"}, To: "gw"})
	wantCode(t, err, doppelboden.Invalid, "mail of x@b.de lies only here")
	got, err := w.client.MoveMailboxes(t.Context(), Move{Addresses: []string{"x@b.de"}, Also: []string{"gw"}})
	if err != nil || got.Mailboxes != 1 {
		t.Errorf("a groupware as the second route of a mailbox that lies here: %+v, %v; want that it is taken", got, err)
	}
	_, err = w.client.ApplyConfig(t.Context(), "c.toml", []byte(strings.Replace(next, `default_route = "other"`, `default_route = "gw"`, 1)), 1)
	wantCode(t, err, doppelboden.Invalid, "mail of x@b.de lies only here")
}

func TestATenantIsPausedClosedAndOpenedAndNothingElseChanges(t *testing.T) {
	w := newMigration(t)
	a, b := doppelboden.Address{Local: "u1", Domain: "a.de"}, doppelboden.Address{Local: "x", Domain: "b.de"}
	change := func(c StandingChange, want doppelboden.Code) StandingChanged {
		t.Helper()
		got, err := w.client.ChangeStanding(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Directory().Takes(a)
		if code := doppelboden.CodeOf(err); want == doppelboden.Temporary && err != nil || want != doppelboden.Temporary && code != want {
			t.Errorf("after %+v the door says %v, want %v", c, err, want)
		}
		if err := w.Directory().Takes(b); err != nil {
			t.Errorf("after %+v the other tenant's door says %v", c, err)
		}
		return got
	}
	w.accept("u1@a.de")
	const open = doppelboden.Temporary // which no answer has
	if got := change(StandingChange{Tenant: "a", State: store.TenantPaused, Stops: true, Why: "moves"}, doppelboden.TenantPaused); got.Tenant.Waiting != 1 || !got.Tenant.Stops || got.Tenant.Why != "moves" || got.Tenant.By == "" {
		t.Errorf("paused: %+v", got)
	}
	if id, _ := w.Directory().TenantNamed("a"); !w.Directory().Stopped(id) {
		t.Error("its hand-over goes on")
	}
	change(StandingChange{Tenant: "a", State: store.TenantOpen}, open)
	for _, yes := range []int{0, 10, 12} {
		if got := change(StandingChange{Tenant: "a", State: store.TenantClosed, Yes: yes}, open); got.Confirm != 11 {
			t.Errorf("closed with yes %d: %+v, want that it asks for 11", yes, got)
		}
	}
	change(StandingChange{Tenant: "a", State: store.TenantClosed, Yes: 11}, doppelboden.TenantClosed)
	if n, err := w.store.Counts(t.Context()); err != nil || len(n) != 1 || n[0].State != doppelboden.Queued || n[0].Deliveries != 1 {
		t.Errorf("counts %+v, %v; want that what waited still waits", n, err)
	}
	onlyB := "format = 1\n" + cityText[strings.LastIndex(cityText, "[[tenant]]"):]
	_, err := w.client.ApplyConfig(t.Context(), "c.toml", []byte(onlyB), 0)
	wantCode(t, err, doppelboden.Invalid, "1 deliveries of it wait")
	s, err := w.client.Status(t.Context())
	if err != nil || len(s.Tenants) != 1 || s.Tenants[0].State != "closed" {
		t.Errorf("status %+v, %v; want that a is closed", s.Tenants, err)
	}
	for _, c := range []StandingChange{{Tenant: "c", State: store.TenantPaused}, {Tenant: "b", State: "shut"}, {Tenant: "b", State: store.TenantPaused, Why: "a\nb"}} {
		if _, err := w.client.ChangeStanding(t.Context(), c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	if err := w.Directory().Takes(b); err != nil {
		t.Errorf("b's door says %v", err)
	}
}

func TestACommandOfOneTenantShowsNothingOfAnother(t *testing.T) {
	w := newMigration(t)
	w.accept("u1@a.de")
	w.accept("v@aa.de")
	for _, route := range []string{"", "other"} { // both tenants have a route of this name
		err := w.client.Queue(t.Context(), Choice{Tenant: "b", Route: route}, 0, func(q Waiting) error { return fmt.Errorf("shown: %s", q.Recipient) })
		if err != nil {
			t.Errorf("queue of b by route %q: %v", route, err)
		}
	}
	err := w.client.Queue(t.Context(), Choice{Tenant: "b", To: "u1@a.de"}, 0, func(q Waiting) error { return fmt.Errorf("shown: %s", q.Recipient) })
	if err != nil {
		t.Errorf("queue of b to a mailbox of a: %v", err)
	}
	var shown []string
	if err := w.client.Mailboxes(t.Context(), "b", func(m Mailbox) error { shown = append(shown, m.Address); return nil }); err != nil || !slices.Equal(shown, []string{"x@b.de"}) {
		t.Errorf("mailboxes of b: %v, %v", shown, err)
	}
	wantCode(t, w.client.Mailboxes(t.Context(), "c", func(Mailbox) error { return nil }), doppelboden.NotFound, "no tenant")
	shown = nil
	if err := w.client.Routes(t.Context(), "b", func(r Route) error { shown = append(shown, r.Name); return nil }); err != nil || !slices.Equal(shown, []string{"b/other"}) {
		t.Errorf("routes of b: %v, %v", shown, err)
	}
	if _, err := w.client.Decide(t.Context(), Decision{Verb: "hold", Choice: Choice{Tenant: "b", Route: "other"}}); err != nil || len(w.decisions) != 0 {
		t.Errorf("a decision about b's route: %v, decisions %+v; want none, for nothing of it waits", err, w.decisions)
	}
}

func TestAPlanTellsOfEverythingAndForHowMany(t *testing.T) {
	w := newMigration(t)
	if _, err := w.client.MoveMailboxes(t.Context(), Move{Addresses: []string{"u1@a.de", "u2@a.de"}, To: "new"}); err != nil {
		t.Fatal(err)
	}
	next := strings.NewReplacer(`default_route = "groupware"`, `default_route = "other2"`, "name = \"other\"\ndomains = [\"aa.de\"]", "name = \"other2\"",
		`domains = ["a.de", "aa.de"]`, `domains = ["a.de"]`, "name = \"groupware\"\n", "name = \"groupware\"\ntls = \"off\"\n").Replace(migrationText)
	got, err := w.client.PlanConfig(t.Context(), "c.toml", []byte(strings.Replace(next, "format = 1", "format = 1\nretention_days = 60", 1)))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, c := range got.Changes {
		told = append(told, fmt.Sprintf("%s %s%s%s→%s %d", c.What, c.Tenant, c.Name, c.From, c.To, c.Count))
	}
	want := []string{
		"domain removed aaa.de→ 1",
		"route added aother2→lmtp://gw:24, 8 connections, TLS opportunistic 8",
		"route changed agroupwarelmtp://gw:24, 8 connections, TLS opportunistic→lmtp://gw:24, 8 connections, TLS off 0",
		"route removed aotherlmtp://gw:24, 8 connections, TLS opportunistic→ 1",
		"mailboxes left aother→ 1",
		"mailboxes moved agroupware→other2 8",
		"mailboxes stay a→new 2",
		"setting added retention_days→60 0",
	}
	if !slices.Equal(told, want) {
		t.Errorf("the plan tells\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	if got.Moves != 9 || got.Mailboxes != 12 || got.Confirm != 9 {
		t.Errorf("the plan concerns %d of %d mailboxes, confirm %d; want 9 of 12 and 9", got.Moves, got.Mailboxes, got.Confirm)
	}
}

func TestAnOlderVersionComesBackAsANewOne(t *testing.T) {
	w := newMigration(t) // version 2
	asked, err := w.client.RollBackConfig(t.Context(), 1, 0, false)
	if err != nil || asked.Version != 0 || len(asked.Changes) != 1 || asked.Changes[0].What != "route removed" || w.version != 2 {
		t.Fatalf("planned %+v, %v; want that route new would go and nothing is done", asked, err)
	}
	w.now = w.now.Add(time.Hour)
	done, err := w.client.RollBackConfig(t.Context(), 1, 0, true)
	if err != nil || done.Version != 3 || w.version != 3 {
		t.Fatalf("rolled back: %+v, %v; want version 3", done, err)
	}
	var history []Version
	if err := w.client.ConfigHistory(t.Context(), func(v Version) error { history = append(history, v); return nil }); err != nil || len(history) != 3 {
		t.Fatalf("history %+v, %v; want three versions", history, err)
	}
	if v := history[0]; v.Version != 3 || v.Again != 1 || !v.InUse || !v.At.Equal(w.now) || len(v.Changes) != 1 {
		t.Errorf("the newest is %+v, want version 3, again 1, in use, with its change", v)
	}
	if v := history[1]; v.InUse || len(v.Changes) != 1 || v.Changes[0].What != "route added" {
		t.Errorf("version 2 is %+v, want the route that it added, and not in use", v)
	}
	text, err := w.client.ConfigText(t.Context(), 0)
	if err != nil || text.Version != 3 || text.Text != cityText {
		t.Errorf("the text in use is %+v, %v; want that of version 1", text, err)
	}
	_, err = w.client.RollBackConfig(t.Context(), 9, 0, true)
	wantCode(t, err, doppelboden.Invalid, "no version 9")
}
