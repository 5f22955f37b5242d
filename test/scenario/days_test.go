package scenario

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/app"
	conf "doppelboden/city"
	"doppelboden/control"
	"doppelboden/mailbox"
	"doppelboden/send"
	"doppelboden/setup"
	"doppelboden/test/hand"
	"doppelboden/test/load"
	"doppelboden/test/peer"
)

// outageDays is how long the groupware is away: twelve weeks, as in Warstein.
const outageDays = 84

// mailsADay is how many mails a day each tenant gets: 10, or DAYS_MAILS.
func mailsADay(t *testing.T) int {
	n := 10
	if s := os.Getenv("DAYS_MAILS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			t.Fatalf("DAYS_MAILS=%q: want a number from 1", s)
		}
	}
	return n
}

// TestEightyFourDaysOfMailArriveInARebuiltGroupwareAsIfTheyHadComeOnTheirDays plays the
// outage of Warstein: three tenants of one provider have no groupware for twelve weeks, and
// then one that is rebuilt empty. Everything is in its mailbox, in order, with its date;
// nobody's out-of-office reply goes to a citizen who wrote weeks ago; the balance is 0;
// nothing of one tenant lies with another; and mail that was delivered before the outage is
// still with us, although it is older than the retention. Nothing runs beside it: it looks at
// the memory and the files of its process.
//
// It was shown to find its fault: with append_after_hours = 0 every mail has the date of the
// hand-over, and all 2,520 senders are answered.
func TestEightyFourDaysOfMailArriveInARebuiltGroupwareAsIfTheyHadComeOnTheirDays(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram)
	onBothEngines(t, eightyFourDays)
}

func eightyFourDays(t *testing.T, db conf.Database) {
	w := newWeeks(t, db)
	w.send(1) // the 29th day before the outage: delivered to the groupware that will be lost
	before := len(w.sent)
	w.await("what came before the outage is delivered", func() bool {
		return !slices.ContainsFunc(w.sent, func(s sentMail) bool { return !w.delivered(s) })
	})
	w.days(28)
	if len(w.replies()) == 0 {
		t.Fatal("nobody on vacation answered mail that came by LMTP: the absence of answers would show nothing")
	}
	w.lose()
	works := w.elsewhere()
	for week := range outageDays / 7 {
		mails := len(w.sent)
		w.sending = 0
		for range 7 {
			w.send(mailsADay(t))
			w.days(1)
		}
		w.measure(week+1, float64(len(w.sent)-mails)/w.sending.Seconds())
	}
	w.level()
	w.stillThere(w.sent[:before])
	w.gone(works)
	w.rebuild()
	w.handedOver(w.sent[before:])
	w.stillThere(w.sent[:before])
	w.today()
}

// weeks is one node with three tenants, whose clock the test moves.
type weeks struct {
	t       *testing.T
	clock   *hand.Clock
	node    *app.Node
	data    string
	client  *control.Client
	dovecot *peer.DovecotServer
	works   *load.Receiver // a groupware that is never down
	boxes   []string       // of all tenants
	sent    []sentMail     // to boxes
	sending time.Duration  // real time in which mail was sent
	seen    []week
}

// A sentMail is a mail that was acknowledged.
type sentMail struct {
	to, receipt, text string
	from, until       time.Time // around the moment of its acceptance
}

// A week is what was measured at its end.
type week struct {
	heap, disk int64 // bytes
	files      int   // that are open
	rate       float64
}

const (
	tenantsOfThem = 3
	boxesEach     = 5
)

// newWeeks founds the cities with a Dovecot that works, and starts their node.
func newWeeks(t *testing.T, db conf.Database) *weeks {
	t.Helper()
	w := &weeks{t: t, clock: hand.At(time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)), works: &load.Receiver{LMTP: true}}
	if err := w.works.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.works.Stop)
	for k := range tenantsOfThem {
		for i := range boxesEach {
			w.boxes = append(w.boxes, fmt.Sprintf("u%d@%s", i, domainOf(k)))
		}
	}
	w.dovecot = peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: w.boxes})
	dir := filepath.Join(t.TempDir(), "city")
	node, err := setup.Create(setup.Options{Dir: dir, Domain: domainOf(0), Groupware: "lmtp://" + w.dovecot.Addr(), Listen: "127.0.0.1", DNS: "none", Now: w.clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	node.Limits.MinFreeMB = 1
	node.Database = db
	for name, text := range map[string]string{"imap.password": peer.DovecotPassword, "database.password": peer.PostgresPassword} {
		if err := os.WriteFile(filepath.Join(node.Keys, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if db.Postgres() {
		node.Database.Password.File = "database.password"
	}
	if err := os.WriteFile(node.City, []byte(w.city()), 0o600); err != nil {
		t.Fatal(err)
	}
	w.data = node.Data
	log := slog.New(slog.NewTextHandler(&lines{}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if w.node, err = app.New(t.Context(), app.Options{Node: node, Version: "test", Log: log, Clock: w.clock.Now, Timer: w.clock.Timer}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.node.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the node: %v", err)
		}
	})
	if err := w.node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.client = control.NewClient(node.Data, nil)
	for _, a := range append(slices.Clone(w.boxes), "works@"+domainOf(tenantsOfThem-1)) {
		priority := 5
		if strings.HasPrefix(a, "u0@") {
			priority = 9
		}
		if _, err := w.client.AddMailbox(t.Context(), control.Mailbox{Address: a, Kind: "person", Priority: priority}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.client.MoveMailboxes(t.Context(), control.Move{Tenant: "stadt" + string(rune('a'+tenantsOfThem-1)), To: "works", Addresses: []string{"works@" + domainOf(tenantsOfThem-1)}, Yes: 1}); err != nil {
		t.Fatal(err)
	}
	return w
}

func domainOf(tenant int) string { return fmt.Sprintf("stadt%c.example", 'a'+tenant) }

// city is the configuration: every tenant has a route of its own to the provider, and the
// last a second one to a groupware that is never down.
func (w *weeks) city() string {
	var b strings.Builder
	b.WriteString("format = 1\nretention_days = 30\n")
	for k := range tenantsOfThem {
		also := ""
		if k == tenantsOfThem-1 {
			also = fmt.Sprintf("\n[[tenant.route]]\nname = \"works\"\nhosts = [\"lmtp://%s\"]\n", w.works.Addr)
		}
		fmt.Fprintf(&b, `
[[tenant]]
name = "stadt%c"
domains = [%q]
default_route = "groupware"
[[tenant.route]]
name = "groupware"
hosts = ["lmtp://%s"]
[tenant.route.imap]
server = "imap://%s"
tls = "off"
user = %q
separator = "*"
password_file = "imap.password"
readback = "off"
connections = 5
%s`, 'a'+k, domainOf(k), w.dovecot.Addr(), w.dovecot.IMAP(), peer.DovecotMaster, also)
	}
	return b.String()
}

// send sends n mails to mailboxes of every tenant, and one to the groupware that works.
func (w *weeks) send(n int) {
	w.t.Helper()
	began := time.Now()
	defer func() { w.sending += time.Since(began) }()
	c, err := send.Dial(w.t.Context(), w.node.Listeners()["mx"])
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	for k := range tenantsOfThem {
		for range n {
			w.sent = append(w.sent, w.one(c, w.boxes[k*boxesEach+len(w.sent)%boxesEach], len(w.sent)))
		}
	}
}

// one sends one mail.
func (w *weeks) one(c *send.Conn, to string, number int) sentMail {
	w.t.Helper()
	s := sentMail{to: to, text: fmt.Sprintf("mail %d for %s;", number, to), from: w.clock.Now()}
	a, err := c.Send(send.Mail{From: address(w.t, fmt.Sprintf("citizen%d@strange.example", number)), To: address(w.t, to),
		Subject: "x", Text: s.text + "\n" + strings.Repeat("All work and no play makes a mail of some size.\n", 40)}, s.from)
	if err != nil || !a.Kept() {
		w.t.Fatalf("send to %s: %+v, %v", to, a, err)
	}
	s.until, s.receipt = w.clock.Now(), a.Receipt.String()
	return s
}

func address(t *testing.T, s string) doppelboden.Address {
	t.Helper()
	a, err := doppelboden.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// days lets so many days pass, each in twelve steps.
func (w *weeks) days(n int) {
	for range n * 12 {
		move(w.clock, 2*time.Hour)
	}
}

// await waits until something is so, and lets the clock go on a little meanwhile.
func (w *weeks) await(what string, is func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !is() {
		if time.Now().After(deadline) {
			s, _ := w.client.Status(w.t.Context())
			w.t.Fatalf("still not: %s\n%+v", what, s.Routes)
		}
		w.clock.Forward(time.Second)
		time.Sleep(10 * time.Millisecond) // polls a real server
	}
}

// waiting counts what is queued or held.
func (w *weeks) waiting() (n int64) {
	w.t.Helper()
	s, err := w.client.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, tenant := range s.Tenants {
		n += tenant.Counts["queued"] + tenant.Counts["held"]
	}
	return n
}

// replies returns who was answered by somebody on vacation.
func (w *weeks) replies() []string {
	w.t.Helper()
	all, err := w.dovecot.Replies()
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// lose ends the groupware for good: nothing of it is left.
func (w *weeks) lose() {
	w.t.Helper()
	if err := w.dovecot.Stop(); err != nil {
		w.t.Fatal(err)
	}
}

// rebuild starts an empty groupware where the lost one was, and waits until all that waits
// is handed over.
func (w *weeks) rebuild() {
	w.t.Helper()
	all := w.waiting()
	w.dovecot = peer.For[*peer.DovecotServer](w.t, peer.Dovecot{Users: w.boxes, LMTPAddr: w.dovecot.Addr(), IMAPAddr: w.dovecot.IMAP()})
	began, from := time.Now(), w.clock.Now()
	var guesses []time.Time // of the end
	w.await("everything is handed over", func() bool {
		if end := w.estimate(); !end.IsZero() {
			guesses = append(guesses, end)
		}
		return w.waiting() == 0
	})
	took := time.Since(began).Seconds()
	w.t.Logf("%d mails were handed over in %.1f s, %.0f a second", all, took, float64(all)/took)
	if len(guesses) == 0 {
		w.t.Error("nobody said when it would be done")
		return
	}
	whole, worst := w.clock.Now().Sub(from).Seconds(), 0.0
	for _, g := range guesses {
		worst = max(worst, math.Abs(g.Sub(w.clock.Now()).Seconds())/whole)
	}
	w.t.Logf("of %d estimates of the end the worst was off by %.0f %% of the whole time", len(guesses), 100*worst)
}

// estimate returns when the last route says that it will be done; zero when one does not.
func (w *weeks) estimate() (end time.Time) {
	w.t.Helper()
	s, err := w.client.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range s.Routes {
		if r.Waiting == 0 {
			continue
		}
		if r.Flow == nil || len(r.Flow.Done) == 0 || r.Flow.Done[len(r.Flow.Done)-1].At.IsZero() {
			return time.Time{}
		}
		if at := r.Flow.Done[len(r.Flow.Done)-1].At; at.After(end) {
			end = at
		}
	}
	return end
}

// measure notes how the node is at the end of a week.
func (w *weeks) measure(number int, rate float64) {
	w.t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := week{heap: int64(m.HeapAlloc), rate: rate}
	if err := filepath.WalkDir(w.data, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				s.disk += info.Size()
			}
		}
		return nil // a file may go while it is looked at
	}); err != nil {
		w.t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		w.t.Fatal(err)
	}
	s.files = len(open)
	w.seen = append(w.seen, s)
	w.t.Logf("week %2d: heap %5.1f MB, disk %6.1f MB, %d open files, %.0f mails a second", number, float64(s.heap)/1e6, float64(s.disk)/1e6, s.files, s.rate)
}

// level compares the last week with the third: what waits is on the disk, not in memory.
func (w *weeks) level() {
	w.t.Helper()
	third, last := w.seen[2], w.seen[len(w.seen)-1]
	if last.heap > third.heap*3/2+8<<20 {
		w.t.Errorf("the heap grew from %d bytes in the third week to %d in the last", third.heap, last.heap)
	}
	if last.files > third.files+30 {
		w.t.Errorf("open files grew from %d to %d", third.files, last.files)
	}
	first, second := w.seen[5].disk-w.seen[2].disk, last.disk-w.seen[8].disk // of three weeks each
	if second > 2*first+4<<20 {
		w.t.Errorf("three weeks took %d bytes of disk in the beginning, and %d at the end", first, second)
	}
}

// stillThere looks whether mails that were delivered before the outage are still with us.
func (w *weeks) stillThere(mails []sentMail) {
	w.t.Helper()
	for _, s := range mails {
		m, err := w.client.Message(w.t.Context(), s.receipt)
		if err != nil {
			w.t.Errorf("the mail of the 29th day before the outage to %s is gone: %v", s.to, err)
			continue
		}
		if m.Deliveries[0].State != "delivered" {
			w.t.Errorf("the mail of the 29th day before the outage to %s is %s", s.to, m.Deliveries[0].State)
		}
	}
}

// elsewhere sends a mail to the groupware that works.
func (w *weeks) elsewhere() sentMail {
	w.t.Helper()
	c, err := send.Dial(w.t.Context(), w.node.Listeners()["mx"])
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	s := w.one(c, "works@"+domainOf(tenantsOfThem-1), 0)
	w.await("mail to the groupware that works is delivered", func() bool { return w.delivered(s) })
	return s
}

// gone looks whether retention has removed a mail that nobody needs any more.
func (w *weeks) gone(s sentMail) {
	w.t.Helper()
	w.await("retention has removed what was delivered elsewhere twelve weeks ago", func() bool {
		m, err := w.client.Message(w.t.Context(), s.receipt)
		return doppelboden.CodeOf(err) == doppelboden.NotFound || m.Gone
	})
}

// delivered reports whether a mail is.
func (w *weeks) delivered(s sentMail) bool {
	m, err := w.client.Message(w.t.Context(), s.receipt)
	return err == nil && m.Deliveries[0].State == "delivered"
}

// handedOver looks into every mailbox of the rebuilt groupware.
func (w *weeks) handedOver(mails []sentMail) {
	w.t.Helper()
	for _, box := range w.boxes {
		var want []sentMail
		for _, s := range mails {
			if s.to == box {
				want = append(want, s)
			}
		}
		w.compare(box, inInbox(w.t, w.dovecot.IMAP(), box), want)
		texts, err := w.dovecot.Mails(box)
		if err != nil {
			w.t.Fatal(err)
		}
		all := ""
		for _, text := range texts {
			all += string(text)
		}
		if n := strings.Count(all, " for "+box+";"); n != len(want) || strings.Count(all, "\nmail ") != n {
			w.t.Errorf("in %s lie %d mails, of which %d are its own; want %d and no other", box, strings.Count(all, "\nmail "), n, len(want))
		}
		for _, s := range want {
			if n := strings.Count(all, s.text); n != 1 {
				w.t.Errorf("%q lies %d times in its mailbox", s.text, n)
			}
		}
	}
	if got := w.replies(); len(got) != 0 {
		w.t.Errorf("%d senders were answered for mail that is weeks old, such as %s", len(got), got[0])
	}
	from := w.sent[0].from.Add(-time.Hour)
	b, err := w.client.Balance(w.t.Context(), from, w.clock.Now().Add(time.Minute))
	if err != nil {
		w.t.Fatal(err)
	}
	if b.Difference != 0 || b.Queued != 0 || b.Held != 0 || b.Duplicates != 0 || b.Delivered+b.Confirmed < int64(len(w.sent)) {
		w.t.Errorf("the balance: %+v, want at least %d delivered, none waiting, difference 0", b, len(w.sent))
	}
	w.t.Logf("balance: %+v", b)
}

// inInbox returns what lies in a mailbox of a Dovecot, by UID.
func inInbox(t *testing.T, imap, box string) (all []mailbox.Seen) {
	t.Helper()
	b, err := mailbox.NewIMAP(mailbox.IMAPOptions{Addr: imap, User: peer.DovecotMaster, Separator: "*", Inbox: "INBOX", AtOnce: 1,
		Password: func() (string, error) { return peer.DovecotPassword, nil }, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s, err := b.Open(t.Context(), address(t, box))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Select(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Seen(t.Context(), 1, func(m mailbox.Seen) error { all = append(all, m); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// compare looks whether a mailbox holds the mails in their order with their dates.
func (w *weeks) compare(box string, got []mailbox.Seen, want []sentMail) {
	w.t.Helper()
	if len(got) != len(want) {
		w.t.Errorf("%s holds %d mails, want %d", box, len(got), len(want))
		return
	}
	for i, m := range got {
		// INTERNALDATE has no parts of a second: RFC 9051, section 2.3.3.
		if m.Date.Before(want[i].from.Truncate(time.Second)) || m.Date.After(want[i].until) {
			w.t.Errorf("mail %d of %s has the date %v, want %v, when it came", i, box, m.Date, want[i].from)
		}
		if i > 0 && got[i-1].ID.String() >= m.ID.String() {
			w.t.Errorf("mail %d of %s came before the one in front of it", i, box)
		}
	}
}

// today sends a mail that is new: it goes by LMTP, and its sender is answered.
func (w *weeks) today() {
	w.t.Helper()
	c, err := send.Dial(w.t.Context(), w.node.Listeners()["mx"])
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	w.one(c, w.boxes[0], len(w.sent))
	w.await("the sender of a new mail is answered", func() bool { return len(w.replies()) == 1 })
}
