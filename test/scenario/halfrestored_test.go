package scenario

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/app"
	conf "doppelboden/city"
	"doppelboden/control"
	"doppelboden/send"
	"doppelboden/setup"
	"doppelboden/test/hand"
	"doppelboden/test/peer"
)

// TestAHalfRestoredGroupwareDestroysNothingAndAMailboxThatIsReallyGoneIsReturned lets a real
// Dovecot come back without its users: for ten minutes it answers 550 to everybody. Then a
// mailbox is really deleted, and the directory, a real slapd, is first of yesterday, then
// dead, then fresh.
//
// It was shown to find its faults: when appeals are not told of refusals, all stays held; when
// the directory is not asked whether it lists the address, the deleted mailbox's mail goes back
// too early; and when a 550 bounces at once, everything does.
func TestAHalfRestoredGroupwareDestroysNothingAndAMailboxThatIsReallyGoneIsReturned(t *testing.T) {
	t.Parallel()
	peer.Need(t, peer.DovecotProgram, peer.SlapdProgram, peer.SlapaddProgram, peer.LdapmodifyProgram)
	onBothEngines(t, halfRestoredGroupware)
}

func halfRestoredGroupware(t *testing.T, db conf.Database) {
	t.Parallel()
	h := newHalfRestored(t, db, 12)

	h.groupware() // without users
	const each = 6
	for n := range each {
		for _, box := range h.people[1:] {
			h.send(box, fmt.Sprintf("mail %d", n))
		}
	}
	h.count("while the groupware answers 550", each*(len(h.people)-1))
	for range 4 {
		h.clock.Forward(2 * time.Minute)
		h.calm()
	}
	h.groupware(h.people...)
	h.clock.Forward(3 * time.Minute) // the first trial is due ten minutes after the refusal
	h.await("all is delivered by itself", func(queued, held int) bool { return queued+held == 0 })
	for _, box := range h.people[1:] {
		h.lies(box, each)
	}
	b := h.balance()
	if b.Difference != 0 || b.Bounced != 0 || b.Duplicates != 0 || b.Delivered != int64(each*(len(h.people)-1)) {
		t.Fatalf("after the groupware was well: %+v", b)
	}

	gone := h.people[len(h.people)-1]
	others := h.people[1:5]
	h.groupware(h.people[:len(h.people)-1]...)
	h.send(gone, "to nobody")
	h.send(gone, "to nobody either")
	h.count("for a mailbox that the groupware deleted", 2)
	stays := func(what string, readable bool) {
		t.Helper()
		for i := range 3 {
			h.clock.Forward(25 * time.Minute) // it is tried, and refused again
			h.calm()
			h.refresh(readable)
			for _, box := range others {
				h.send(box, fmt.Sprintf("%s %d", what, i))
			}
			h.calm()
			h.clock.Forward(2 * time.Minute)
			h.calm()
		}
		h.count(what, 2)
	}
	stays("while a fresh directory lists it", true)
	h.modify("dn: uid=" + strings.TrimSuffix(gone, "@stadt.example") + "," + peer.SlapdSuffix + "\nchangetype: delete\n\n")
	h.directoryDies()
	stays("while the directory is dead", false)
	h.directoryReturns()
	h.refresh(true)
	for _, box := range others {
		h.send(box, "after the directory was read")
	}
	h.clock.Forward(2 * time.Minute)
	h.await("what was for the deleted mailbox went back", func(queued, held int) bool { return queued+held == 0 })
	b = h.balance()
	if b.Difference != 0 || b.Bounced != 2 || b.Duplicates != 0 {
		t.Errorf("at the end: %+v, want two returned and no difference", b)
	}
	h.notices(2, gone)
	t.Logf("balance %+v", b)
}

// A halfRestored is a node in this process, with a clock that can be moved, over a real
// Dovecot and a real slapd.
type halfRestored struct {
	t       *testing.T
	clock   *hand.Clock
	client  *control.Client
	node    *app.Node
	people  []string // addresses; the first sends all mail, through the submission
	dovecot *peer.DovecotServer
	slapd   *peer.SlapdServer
	resting peer.Slapd
}

func newHalfRestored(t *testing.T, db conf.Database, n int) *halfRestored {
	t.Helper()
	h := &halfRestored{t: t, clock: hand.At(time.Now()), people: users(n)}
	ldif := ""
	for _, a := range append([]string{"postmaster@stadt.example"}, h.people...) {
		name := strings.TrimSuffix(a, "@stadt.example")
		ldif += fmt.Sprintf("dn: uid=%s,%s\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nsn: x\nmail: %s\n\n", name, peer.SlapdSuffix, name, name, a)
	}
	h.slapd = peer.For[*peer.SlapdServer](t, peer.Slapd{LDIF: ldif})
	h.dovecot = peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: h.people, Quiet: true})
	node, err := setup.Create(setup.Options{Dir: filepath.Join(t.TempDir(), "city"), Domain: "stadt.example", Groupware: "lmtp://" + h.dovecot.Addr(),
		Listen: "127.0.0.1", DNS: "none", Now: h.clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	node.Limits.MinFreeMB = 16
	if node.Database = db; db.Postgres() {
		node.Database.Password.File = "database.password"
		if err := os.WriteFile(filepath.Join(node.Keys, "database.password"), []byte(peer.PostgresPassword+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.configure(node.City, node.Keys)
	h.node, err = app.New(t.Context(), app.Options{Node: node, Version: "test", Clock: h.clock.Now, Timer: h.clock.Timer,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.node.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the node: %v", err)
		}
	})
	if err := h.node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.client = control.NewClient(node.Data, nil)
	h.refresh(true)
	return h
}

// configure adds the directory and the city's own senders.
func (h *halfRestored) configure(file, keys string) {
	h.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		h.t.Fatal(err)
	}
	text = fmt.Appendf(text, `
[[tenant.ldap]]
name = "ldap"
preset = "openldap"
servers = ["ldap://%s"]
tls = "off"
base = %q
bind_dn = %q
password_file = "ldap.password"

[[tenant.sender]]
name = "house"
networks = ["127.0.0.0/8"]
`, h.slapd.Addr(), peer.SlapdSuffix, peer.SlapdAdmin)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(keys, "ldap.password"), []byte(peer.SlapdPassword+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// groupware ends Dovecot and starts it again with these users alone.
func (h *halfRestored) groupware(users ...string) {
	h.t.Helper()
	resting, err := h.dovecot.Halt()
	if err != nil {
		h.t.Fatal(err)
	}
	resting.Users = users
	h.dovecot = peer.For[*peer.DovecotServer](h.t, resting)
}

// send sends a mail from the first person.
func (h *halfRestored) send(to, subject string) {
	h.t.Helper()
	c, err := send.Dial(h.t.Context(), h.node.Listeners()["submission"])
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Send(send.Mail{From: address(h.t, h.people[0]), To: address(h.t, to), Subject: subject, Text: subject}, h.clock.Now())
	if err != nil || !a.Kept() {
		h.t.Fatalf("mail to %s: %d %s, %v", to, a.Code, a.Text, err)
	}
}

// refresh has the directory read; it must be readable or not.
func (h *halfRestored) refresh(works bool) {
	h.t.Helper()
	err := h.client.Refresh(h.t.Context(), "", "", 2, func(r control.Refreshed) error {
		if (r.Error == "") != works {
			h.t.Errorf("the directory was read: %q, want that it works: %t", r.Error, works)
		}
		return nil
	})
	if err != nil && works {
		h.t.Fatal(err)
	}
}

// modify changes the directory.
func (h *halfRestored) modify(ldif string) {
	h.t.Helper()
	if err := h.slapd.Modify(h.t.Context(), ldif); err != nil {
		h.t.Fatal(err)
	}
}

func (h *halfRestored) directoryDies() {
	h.t.Helper()
	addr := h.slapd.Addr()
	dir, err := h.slapd.Halt()
	if err != nil {
		h.t.Fatal(err)
	}
	h.resting = peer.Slapd{Dir: dir, Addr: addr}
}

func (h *halfRestored) directoryReturns() {
	h.t.Helper()
	h.slapd = peer.For[*peer.SlapdServer](h.t, h.resting)
}

// balance draws the balance sheet of everything.
func (h *halfRestored) balance() doppelboden.Balance {
	h.t.Helper()
	b, err := h.client.Balance(h.t.Context(), h.clock.Now().Add(-240*time.Hour), h.clock.Now().Add(time.Hour))
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// await waits until what waits is so. A mail that was on its way when the clock was moved is
// put off for some seconds, for the lease was old by then; they pass quicker here.
func (h *halfRestored) await(what string, is func(queued, held int) bool) {
	h.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for n := 1; ; n++ {
		time.Sleep(50 * time.Millisecond) // polls: real processes have no event
		if n%10 == 0 {
			h.clock.Forward(5 * time.Second)
		}
		waits := map[string]int{}
		err := h.client.Queue(h.t.Context(), control.Choice{}, 0, func(w control.Waiting) error { waits[w.State]++; return nil })
		if err != nil {
			h.t.Fatal(err)
		}
		if is(waits["queued"], waits["held"]) {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("still not: %s: %v\n%s", what, waits, h.queue())
		}
	}
}

// count waits until so many deliveries are held and none is queued.
func (h *halfRestored) count(what string, n int) {
	h.t.Helper()
	h.await(fmt.Sprintf("%s: %d held", what, n), func(queued, held int) bool { return queued == 0 && held == n })
}

// calm waits until nothing is on its way, so that the clock can be moved.
func (h *halfRestored) calm() {
	h.t.Helper()
	h.await("nothing is queued", func(queued, _ int) bool { return queued == 0 })
}

// queue returns what waits, for the report of a failure.
func (h *halfRestored) queue() string {
	var b strings.Builder
	_ = h.client.Queue(h.t.Context(), control.Choice{}, 20, func(w control.Waiting) error {
		fmt.Fprintf(&b, "%s %s %s %+v\n", w.State, w.Recipient, w.Reply, w.Held)
		return nil
	})
	return b.String()
}

// lies checks that a mailbox has so many mails, each once and in the order in which they
// were accepted.
func (h *halfRestored) lies(box string, n int) {
	h.t.Helper()
	last := doppelboden.ID{}
	mails := inInbox(h.t, h.dovecot.IMAP(), box)
	for _, m := range mails {
		if m.ID.String() <= last.String() {
			h.t.Errorf("in %s a mail lies behind one that came later, or twice", box)
		}
		last = m.ID
	}
	if len(mails) != n {
		h.t.Errorf("in %s lie %d mails, want %d", box, len(mails), n)
	}
}

// notices checks that the first person was told of so many mails to an address.
func (h *halfRestored) notices(n int, to string) {
	h.t.Helper()
	mails, err := h.dovecot.Mails(h.people[0])
	if err != nil {
		h.t.Fatal(err)
	}
	told := 0
	for _, m := range mails {
		if bytes.Contains(m, []byte("report-type=delivery-status")) && bytes.Contains(m, []byte("Final-Recipient: rfc822; "+to)) &&
			bytes.Contains(m, []byte("Status: 5.1.1")) {
			told++
		}
	}
	if told != n || len(mails) != n {
		h.t.Errorf("%d mails lie with the sender, of which %d tell of %s with 5.1.1; want %d\n%s", len(mails), told, to, n, bytes.Join(mails, []byte("\n----\n")))
	}
}
