package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/sink"
	"doppelboden/store"
	"doppelboden/test/peer"
)

// A town is a node whose clock can be moved, and its client.
type town struct {
	*Node
	t      *testing.T
	client *control.Client
	ahead  *atomic.Int64 // how far the node's clock is ahead
}

// newTown starts a node with more lines in its city.toml; %s is the groupware's address.
func newTown(t *testing.T, groupware, more string) *town {
	t.Helper()
	node := install(t, "smtp://"+groupware)
	text, err := os.ReadFile(node.City)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(node.City, append(text, more...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(node.Keys, "ldap.password"), []byte(peer.SlapdPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ahead := new(atomic.Int64)
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := New(t.Context(), Options{Node: node, Version: "test", Log: log,
		Clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the node: %v", err)
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &town{Node: n, t: t, client: control.NewClient(node.Data, nil), ahead: ahead}
}

// refresh has all directories read.
func (w *town) refresh(accept int) control.Refreshed {
	w.t.Helper()
	var got control.Refreshed
	err := w.client.Refresh(w.t.Context(), "", "", accept, func(r control.Refreshed) error { got = r; return nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// alarm returns the text of an alarm of a kind; "" when there is none.
func (w *town) alarm(kind string) string {
	w.t.Helper()
	look := newWatcher(w.Node, func() time.Duration { return 0 })
	for key, said := range look.findings(w.t.Context()) {
		if key.kind == kind {
			return said.String()
		}
	}
	return ""
}

// answers checks what the MX answers for recipients.
func (w *town) answers(when string, want map[string]int) {
	w.t.Helper()
	for to, code := range want {
		if a := mail(w.t, w.Node, to); a.Code != code {
			w.t.Errorf("%s: mail to %s: %d %s, want %d", when, to, a.Code, a.Text, code)
		}
	}
}

// ldapOf is a directory in city.toml.
func ldapOf(addr, more string) string {
	return fmt.Sprintf(`
[[tenant.ldap]]
name = "ldap"
preset = "openldap"
servers = ["ldap://%s"]
tls = "off"
base = %q
bind_dn = %q
password_file = "ldap.password"
%s
`, addr, peer.SlapdSuffix, peer.SlapdAdmin, more)
}

func person(name string) string {
	return fmt.Sprintf("dn: uid=%s,%s\nchangetype: add\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nsn: x\nmail: %s@stadt.example\n\n", name, peer.SlapdSuffix, name, name, name)
}

func groupware(t *testing.T) *sink.Sink {
	t.Helper()
	gw, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gw.Close() })
	return gw
}

func TestWhoIsInTheDirectoryGetsMailAndTheListOutlivesIt(t *testing.T) {
	peer.Need(t, peer.SlapdProgram, peer.SlapaddProgram, peer.LdapmodifyProgram)
	s := peer.For(t, peer.Slapd{LDIF: strings.ReplaceAll(person("anna")+person("postmaster"), "changetype: add\n", "")})
	gw := groupware(t)
	w := newTown(t, gw.Addr(), ldapOf(s.Addr(), ""))
	waitFor(t, "the directory was read by itself", func() bool { return w.house.Directory().Len() == 2 })
	waitFor(t, "and is known to be fresh", func() bool { return !w.house.freshnessOf(w.house.Directory()).Stale(1, time.Now()) })
	w.answers("after the first reading", map[string]int{"anna@stadt.example": 250, "bert@stadt.example": 550})

	if err := s.Modify(t.Context(), person("bert")); err != nil {
		t.Fatal(err)
	}
	if r := w.refresh(0); r.New != 1 || r.Listed != 3 || r.Error != "" {
		t.Errorf("refresh: %+v, want one new of three", r)
	}
	w.answers("after a refresh", map[string]int{"bert@stadt.example": 250, "carl@stadt.example": 550})

	if _, err := s.Halt(); err != nil {
		t.Fatal(err)
	}
	if r := w.refresh(0); r.Error == "" {
		t.Errorf("a refresh without a directory: %+v", r)
	}
	w.answers("with a dead directory", map[string]int{"bert@stadt.example": 250, "carl@stadt.example": 550})
	if text := w.alarm("list"); !strings.Contains(text, "was not taken over") || strings.Contains(text, "450") {
		t.Errorf("alarm of a dead directory: %q", text)
	}
	w.ahead.Store(int64(49 * time.Hour))
	w.answers("with a directory that is dead for two days", map[string]int{"bert@stadt.example": 250, "carl@stadt.example": 450})
	if text := w.alarm("list"); !strings.Contains(text, "unknown recipients are put off (450)") {
		t.Errorf("alarm of an old list: %q", text)
	}
	status, err := w.client.Status(t.Context())
	if err != nil || len(status.Lists) != 1 || !status.Lists[0].Stale || status.Lists[0].Trouble == "" {
		t.Errorf("status: %+v, %v; want one stale list with its trouble", status.Lists, err)
	}
}

func TestAListThatWouldTakeMostPeopleAwayWaitsForAPerson(t *testing.T) {
	peer.Need(t, peer.SlapdProgram, peer.SlapaddProgram, peer.LdapmodifyProgram)
	var all, leave strings.Builder
	for i := range 20 {
		all.WriteString(person(fmt.Sprintf("p%d", i)))
		if i >= 8 {
			fmt.Fprintf(&leave, "dn: uid=p%d,%s\nchangetype: delete\n\n", i, peer.SlapdSuffix)
		}
	}
	s := peer.For(t, peer.Slapd{LDIF: strings.ReplaceAll(all.String(), "changetype: add\n", "")})
	w := newTown(t, groupware(t).Addr(), ldapOf(s.Addr(), ""))
	waitFor(t, "the directory was read by itself", func() bool { return w.house.Directory().Len() == 20 })
	if err := s.Modify(t.Context(), leave.String()); err != nil {
		t.Fatal(err)
	}
	if r := w.refresh(0); r.Refused == "" || r.Lost != 12 {
		t.Errorf("12 of 20 left: %+v, want a refusal", r)
	}
	if text := w.alarm("list"); !strings.Contains(text, "--accept-removals 12") {
		t.Errorf("the alarm does not say what a person can do: %q", text)
	}
	w.answers("after a refusal", map[string]int{"p19@stadt.example": 250})
	if r := w.refresh(11); r.Refused == "" {
		t.Errorf("with a number that is too small: %+v", r)
	}
	if r := w.refresh(12); r.Gone != 12 || r.Error != "" {
		t.Errorf("with the number: %+v", r)
	}
	w.answers("on the day they left", map[string]int{"p19@stadt.example": 450, "p0@stadt.example": 250, "nobody@stadt.example": 550})
	if text := w.alarm("list"); text != "" {
		t.Errorf("the alarm stays: %q", text)
	}
	if err := s.Modify(t.Context(), person("p19")); err != nil {
		t.Fatal(err)
	}
	w.refresh(0)
	w.answers("after one came back", map[string]int{"p19@stadt.example": 250, "p18@stadt.example": 450})
	w.ahead.Store(int64(25 * time.Hour))
	w.answers("on the next day", map[string]int{"p18@stadt.example": 550})
}

func TestAListReachesEachMemberOnceAndTheBalanceCountsIt(t *testing.T) {
	gw := groupware(t)
	w := newTown(t, gw.Addr(), "")
	for _, m := range []control.Mailbox{
		{Address: "anna@stadt.example", Kind: "person", Priority: 5, Aliases: []string{"a@stadt.example"}},
		{Address: "bert@stadt.example", Kind: "person", Priority: 5},
		{Address: "alle@stadt.example", Kind: "list", Priority: 5, Members: []string{"a@stadt.example", "leitung@stadt.example", "weg@stadt.example", "eva@strange.example"}},
		{Address: "leitung@stadt.example", Kind: "list", Priority: 5, Members: []string{"anna@stadt.example", "bert@stadt.example", "alle@stadt.example"}},
		{Address: "intern@stadt.example", Kind: "list", Priority: 5, Members: []string{"bert@stadt.example"}, Closed: true},
	} {
		if _, err := w.client.AddMailbox(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	w.answers("lists", map[string]int{"alle@stadt.example": 250, "intern@stadt.example": 550})
	waitFor(t, "two mails are settled", func() bool { return balance(t, w.Node).Delivered == 2 })
	if b := balance(t, w.Node); b.Accepted != 2 || b.Expanded != 1 || b.Merged != 0 || b.Difference != 0 {
		t.Errorf("balance %+v, want 2 accepted, 1 of them expanded, difference 0", b)
	}
	if text := w.alarm("members"); !strings.Contains(text, "all of its members: 2 are missing") {
		t.Errorf("alarm about members that nobody reaches: %q", text)
	}
	s, err := w.client.ShowMailbox(t.Context(), "alle@stadt.example")
	if err != nil || len(s.To) != 2 || len(s.Outside) != 1 || s.Reached || len(s.Nobody) != 1 {
		t.Errorf("show: %+v, %v; want two who get it, one outside and one unknown who don't", s, err)
	}
}

func TestMailForNobodyIsHeldUntilSomebodySaysWhose(t *testing.T) {
	gw := groupware(t)
	w := newTown(t, gw.Addr(), "\n[[tenant.unknown]]\nkeep = true\n\n[[tenant.department]]\nname = \"Feuerwehr\"\npriority = 9\n")
	if _, err := w.client.AddMailbox(t.Context(), control.Mailbox{Address: "anna@stadt.example", Kind: "person", Priority: 5, Department: "feuerwehr"}); err != nil {
		t.Fatal(err)
	}
	if _, rank, ok := w.house.Place(1); rank != 9 || !ok {
		t.Errorf("priority %d, want that of the department", rank)
	}
	w.answers("mail for nobody", map[string]int{"nobody@stadt.example": 250})
	var held []control.Waiting
	err := w.client.Queue(t.Context(), control.Choice{State: "held"}, 0, func(x control.Waiting) error { held = append(held, x); return nil })
	if err != nil || len(held) != 1 || !strings.Contains(held[0].Reply, "mailbox assign") {
		t.Fatalf("held: %+v, %v; want one with the way out", held, err)
	}
	if d, err := w.client.Decide(t.Context(), control.Decision{Verb: "release", Choice: control.Choice{ID: held[0].Message.String()}}); err != nil || d.Changed != 0 {
		t.Errorf("releasing what is nobody's: %+v, %v; want nothing changed, for it could go nowhere", d, err)
	}
	if b := balance(t, w.Node); b.Held != 1 || b.Accepted != 1 || b.Difference != 0 {
		t.Errorf("balance %+v, want one held, difference 0", b)
	}
	if _, err := w.client.Assign(t.Context(), control.Assignment{ID: held[0].Message.String(), To: "anna@stadt.example"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the groupware has it", func() bool { return gw.Stats().Messages == 1 })
	waitFor(t, "it is settled", func() bool { return balance(t, w.Node).Delivered == 1 })
	if b := balance(t, w.Node); b.Held != 0 || b.Difference != 0 {
		t.Errorf("balance %+v, want none held, difference 0", b)
	}
	if _, err := w.client.Assign(t.Context(), control.Assignment{ID: held[0].Message.String(), To: "anna@stadt.example"}); err == nil {
		t.Error("what belongs to somebody was assigned again")
	}
}

func TestACatchAllGetsWhatNobodyHasUnderItsOwnAddress(t *testing.T) {
	gw := groupware(t)
	w := newTown(t, gw.Addr(), "\n[[tenant.unknown]]\ncatch_all = \"post@stadt.example\"\n")
	w.answers("while the catch-all is missing", map[string]int{"x@stadt.example": 450})
	if _, err := w.client.AddMailbox(t.Context(), control.Mailbox{Address: "post@stadt.example", Kind: "function", Priority: 5}); err != nil {
		t.Fatal(err)
	}
	w.answers("with a catch-all", map[string]int{"x@stadt.example": 250})
	waitFor(t, "the groupware has it", func() bool { return gw.Stats().Messages == 1 })
	m, err := w.client.ShowMailbox(t.Context(), "y@stadt.example")
	if err != nil || m.Mailbox == nil || m.Mailbox.Address != "post@stadt.example" {
		t.Errorf("show: %+v, %v; want the catch-all", m, err)
	}
}

func TestAnImportThatBrokeOffPutsUnknownRecipientsOff(t *testing.T) {
	w := newTown(t, "127.0.0.1:1", "")
	if _, err := w.client.AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	w.answers("before", map[string]int{"x@stadt.example": 550})
	if err := w.store.PutListing(t.Context(), listing(w.Node, true)); err != nil {
		t.Fatal(err)
	}
	if err := w.house.Listed(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.answers("with a part of a list", map[string]int{"x@stadt.example": 450, "anna@stadt.example": 250})
	if text := w.alarm("list"); !strings.Contains(text, "in part only") {
		t.Errorf("alarm: %q", text)
	}
	if _, err := w.client.ImportMailboxes(t.Context(), "l", []byte("address\nbert@stadt.example\n")); err != nil {
		t.Fatal(err)
	}
	w.answers("after a whole import", map[string]int{"x@stadt.example": 550, "bert@stadt.example": 250})
}

func TestAPasswordThatOthersCanReadIsNotUsed(t *testing.T) {
	n := &Node{opts: Options{Node: &city.Node{Keys: t.TempDir()}}}
	path := filepath.Join(n.opts.Node.Keys, "p")
	if err := os.WriteFile(path, []byte("geheim123\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := n.secret(city.Secret{File: "p"}); err == nil || !strings.Contains(err.Error(), "chmod 600") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("%q, %v; want a refusal that says what to do", got, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := n.secret(city.Secret{File: "p"}); err != nil || got != "geheim123" {
		t.Errorf("%q, %v", got, err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", n.opts.Node.Keys)
	if got, err := n.secret(city.Secret{Credential: "p"}); err != nil || got != "geheim123" {
		t.Errorf("as a credential: %q, %v", got, err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := n.secret(city.Secret{Credential: "p"}); err == nil {
		t.Error("a credential without systemd was found")
	}
}

// listing is what is known of the mailboxes that people add to the tenant.
func listing(n *Node, writing bool) store.Listing {
	return store.Listing{Tenant: n.house.Directory().Tenants()[0].ID, Writing: writing}
}

func TestADirectoryUnderANewNameKeepsItsMailboxesAndTheirMail(t *testing.T) {
	peer.Need(t, peer.SlapdProgram, peer.SlapaddProgram)
	s := peer.For(t, peer.Slapd{LDIF: strings.ReplaceAll(person("anna")+person("bert"), "changetype: add\n", "")})
	w := newTown(t, groupware(t).Addr(), "")
	w.configure(ldapOf(s.Addr(), ""))
	waitFor(t, "the directory was read by itself", func() bool { return w.house.Directory().Len() == 2 })
	before, _ := w.house.Directory().Holder(parse(t, "anna@stadt.example"))
	w.configure(strings.Replace(ldapOf(s.Addr(), ""), `name = "ldap"`, `name = "other"`, 1))
	if r := w.refresh(0); r.Error != "" || r.Wrong != 0 || r.Changed+r.New > 2 {
		t.Errorf("refresh under another name: %+v", r)
	}
	id, _ := w.house.Directory().Holder(parse(t, "anna@stadt.example"))
	m, _ := w.house.Directory().Mailbox(id)
	if id != before || m.Source != "other" {
		t.Errorf("mailbox %d of %q, want %d of the new name", id, m.Source, before)
	}
	if _, err := w.client.RemoveMailbox(t.Context(), "anna@stadt.example"); err == nil {
		t.Error("a mailbox that its directory lists was removed by hand; it would be back in minutes")
	}
}

func TestMailForNobodyIsPutOffBeforeItFillsTheDisk(t *testing.T) {
	h := &house{}
	if h.mayKeep(1) {
		t.Error("mail was kept before anybody counted")
	}
	counts := keptCounts{1: new(atomic.Int64), 2: new(atomic.Int64)}
	counts[1].Store(maxKept - 1)
	h.people.kept.Store(&counts)
	held := &doppelboden.Message{Tenant: 1, Deliveries: []doppelboden.Delivery{{State: doppelboden.Held}}}
	for i, want := range []bool{true, false, false} {
		for range 3 { // who asks and sends nothing takes no room
			if got := h.mayKeep(1); got != want {
				t.Errorf("mail %d beyond %d: kept %v, want %v", i, maxKept-1, got, want)
			}
		}
		h.keptOne(held)
	}
	if !h.mayKeep(2) {
		t.Error("one tenant's mail for nobody keeps another's out")
	}
}
