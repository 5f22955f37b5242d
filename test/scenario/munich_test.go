package scenario

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/event"
	"doppelboden/harvest"
	"doppelboden/send"
	"doppelboden/test/peer"
)

// fewPeople is how many make test lets a city have: it must be over in a minute.
const fewPeople = 2000

// people is how many mailboxes the city of TestMailIsAwayForDays… has: fewPeople, or
// SCENARIO_PEOPLE, which make scenario sets to 20,000.
func people(t *testing.T) int {
	s := os.Getenv("SCENARIO_PEOPLE")
	if s == "" {
		return fewPeople
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < offices {
		t.Fatalf("SCENARIO_PEOPLE=%q: want a number from %d", s, offices)
	}
	return n
}

const (
	// offices is how many departments the people belong to.
	offices = 50
	// outage is how long the groupware is away.
	outage = 3 * 24 * time.Hour
	// promised is within what time of the first mail that could not be delivered a clerk has
	// read old mail and answered, as far as it is not her machine that is slow.
	promised = time.Minute
)

// TestMailIsAwayForDaysInACityOfThousandsAndEverybodyGoesOnWorking is the second outage of
// CASES.md. The mailboxes of a real Dovecot are full of mail of thirty days, and are read. The
// groupware dies. Within a minute by the node's clock a clerk, with nothing but her printed
// sheet, reads a mail that is thirty days old and one of a colleague, and answers; the mayor's
// telephone tells her the way in; people of every department work. Days pass, in which mail
// comes for everybody and the node is killed. The groupware returns: every mail lies there
// once, what people did is there, nobody's vacation answers for it, and the balance is 0.
//
// It was shown to find its faults: with append_after_hours = 0 vacation answers everybody who
// wrote meanwhile, and marks that are left out of the way back are missing in each mailbox.
//
// make test plays it with 2,000 people; make scenario with 20,000 as in CASES.md, and with
// 2,000 on PostgreSQL (docs/figures.md).
func TestMailIsAwayForDaysInACityOfThousandsAndEverybodyGoesOnWorking(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram, peer.LMTPProgram, peer.SieveProgram)
	n := people(t)
	t.Run("SQLite", func(t *testing.T) { downForDays(t, nil, n) })
	if n > fewPeople {
		t.Run("PostgreSQL", func(t *testing.T) {
			downForDays(t, peer.For[*peer.PostgresServer](t, peer.Postgres{}), fewPeople)
		})
	}
}

// downForDays plays it with n people, on SQLite where there is no PostgreSQL.
func downForDays(t *testing.T, db *peer.PostgresServer, n int) {
	m := newMunich(t, db, n)
	m.fill()
	m.prepared()
	m.before()
	m.dies()
	m.clerkWorks()
	m.mayorWorks()
	m.manyWork()
	m.asked()
	m.daysPass()
	m.returns()
	m.compare()
}

// munich is the stage: a city, the groupware, and a node whose clock is moved.
type munich struct {
	*mayors
	remote  *remote
	boxes   []string          // of the people, and the mayor's as the last
	codes   map[string]string // of the sheets, by address
	page    string            // of the emergency mailboxes
	replied int               // replies of people on vacation before the groupware died
	failed  time.Time         // by the node's clock: when a mail could not be delivered for the first time
	moved   time.Duration     // how far the clock was moved since then
	rest    peer.Dovecot      // the groupware, while it is down
}

// newMunich founds the city, with the people in their departments.
func newMunich(t *testing.T, db *peer.PostgresServer, n int) *munich {
	t.Helper()
	m := &munich{mayors: &mayors{phones: &telephones{sent: map[string][]string{}}}, boxes: append(users(n), mayor), codes: map[string]string{}}
	gateway := httptest.NewServer(m.phones)
	t.Cleanup(gateway.Close)
	m.dovecot = peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: m.boxes, Large: true})
	start := time.Now().Add(-outage - 6*time.Hour)
	web := freePort(t)
	m.page = "https://127.0.0.1:" + web
	m.city = foundAs(t, "", "lmtp://"+m.dovecot.Addr(), 1, func(c *city) {
		c.edit("node.toml", "web = \"127.0.0.1:0\"", "web = \"127.0.0.1:"+web+"\"")
		m.reads(c, gateway.URL)
		c.edit("city.toml", "sync = true\n", "sync = true\nconnections = 16\n")
		if db != nil {
			c.onPostgres(db)
		}
		m.remote = clocked(c, start)
	})
	var list strings.Builder
	list.WriteString("address,name,kind,department,priority,phone\n")
	for i, a := range m.boxes[:n] {
		fmt.Fprintf(&list, "%s,Person %d,person,%s,5,\n", a, i, m.office(i))
	}
	fmt.Fprintf(&list, "%s,Maria Meier,person,Krisenstab,9,0171 1234567\n", mayor)
	file := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(file, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	m.timed("mailbox", "import", file)
	return m
}

// office is the department of a person.
func (m *munich) office(i int) string { return fmt.Sprintf("Amt %02d", i*offices/(len(m.boxes)-1)) }

// timed runs a command that has to succeed, and tells how long it took.
func (m *munich) timed(args ...string) string {
	m.t.Helper()
	began := time.Now()
	out := m.must(args...)
	now, most := m.remote.memory()
	m.t.Logf("doppelboden %s: %v, %d bytes; the node has %.0f MB resident, at most %.0f", strings.Join(args, " "), time.Since(began).Round(time.Millisecond), len(out), now, most)
	return out
}

// neighbour is the colleague who has written to a person.
func (m *munich) neighbour(i int) string { return m.boxes[(i+1)%len(m.boxes)] }

// What lies in every mailbox, with the address of its owner behind it.
const (
	oldText      = "Mein Antrag fuer "
	internalText = "Kommst du mit in die Kantine, "
	circularText = "Das Rathaus ist am Freitag zu."
)

// fill lays mail of thirty days into the groupware, and waits until all of it is here.
func (m *munich) fill() {
	began, now := time.Now(), m.remote.now()
	mail := func(at time.Time, id, from, to, subject, text string) string {
		return fmt.Sprintf("From: <%s>\nTo: <%s>\nSubject: %s\nDate: %s\nMessage-ID: <%s@laid.example>\n\n%s\n%s", from, to, subject, at.Format(time.RFC1123Z), id, text,
			strings.Repeat("All work and no play makes a mail of some size.\n", 30))
	}
	old, internal, circular := now.AddDate(0, 0, -30).Add(time.Hour), now.AddDate(0, 0, -7), now.AddDate(0, 0, -3)
	for i, a := range m.boxes {
		mails := []peer.Laid{
			{At: old, Seen: i%2 == 0, Text: mail(old, fmt.Sprintf("alt%d", i), "buerger@home.example", a, "Mein Antrag", oldText+a+";")},
			{At: internal, Seen: i%3 == 0, Text: mail(internal, fmt.Sprintf("intern%d", i), m.neighbour(i), a, "Kantine", internalText+a+"?")},
			{At: circular, Text: mail(circular, "alle", mayor, "alle@stadt.example", "An alle", circularText)},
		}
		if err := m.dovecot.Lay(a, mails...); err != nil {
			m.t.Fatal(err)
		}
	}
	m.t.Logf("%d mails lie in %d mailboxes after %v", 3*len(m.boxes), len(m.boxes), time.Since(began).Round(time.Millisecond))
	began = time.Now()
	m.remote.until("a round over all mailboxes has begun", 5*time.Second, func() bool { return m.round().Mailboxes == len(m.boxes) })
	m.sheets()
	m.remote.until("all mailboxes are filled", 0, func() bool {
		r := m.round()
		return r.Done == r.Mailboxes && r.Filling == 0 && !r.Round.Before(r.Began)
	})
	took := time.Since(began)
	rss, most := m.remote.memory()
	m.t.Logf("filled after %v: %.0f mailboxes a second; the node has %.0f MB resident, at most %.0f", took.Round(time.Second), float64(len(m.boxes))/took.Seconds(), rss, most)
}

// round says how the reading of the groupware's mailboxes goes.
func (m *munich) round() harvest.RouteStatus {
	m.t.Helper()
	routes, err := m.client().Coverage(m.t.Context(), mayor, "", func(control.Covered) error { return nil })
	if err != nil {
		m.t.Fatal(err)
	}
	return slices.Concat(routes, []harvest.RouteStatus{{}})[0]
}

// client asks the node.
func (m *munich) client() *control.Client {
	return control.NewClient(filepath.Join(m.dir, "data"), nil)
}

// sheets prints a sheet for everybody.
func (m *munich) sheets() {
	m.timed("account", "codes", "--all", "--pdf", filepath.Join(m.t.TempDir(), "sheets.pdf"))
	for dec := json.NewDecoder(strings.NewReader(m.timed("account", "codes", "--all", "--json"))); dec.More(); {
		var s control.Sheet
		if err := dec.Decode(&s); err != nil {
			m.t.Fatal(err)
		}
		m.codes[s.Address] = s.Code
	}
	if len(m.codes) != len(m.boxes) {
		m.t.Errorf("%d sheets for %d people", len(m.codes), len(m.boxes))
	}
}

// prepared waits until everybody could work, as the commands say that tell a city so. Both
// look at a moment; on a slow machine a mailbox may be read again only after that.
func (m *munich) prepared() {
	t, all := m.t, len(m.boxes)
	m.remote.until("account readiness says that everybody is ready, and every mailbox complete", time.Second, func() bool {
		people, ready, boxes, complete := 0, 0, 0, 0
		for dec := json.NewDecoder(strings.NewReader(m.must("account", "readiness", "--json"))); dec.More(); {
			var d control.Ready
			if err := dec.Decode(&d); err != nil {
				t.Fatal(err)
			}
			people, ready, boxes, complete = people+d.People, ready+d.Ready.Ready, boxes+d.Mailboxes, complete+d.Complete
		}
		if people != all || ready != all || boxes != all {
			t.Fatalf("readiness counts %d people, %d ready, %d mailboxes; want %d of each", people, ready, boxes, all)
		}
		return complete == all
	})
	m.remote.until("mailbox coverage says the same of each", 0, func() bool {
		whole, now := 0, m.remote.now()
		for dec := json.NewDecoder(strings.NewReader(m.must("mailbox", "coverage", "--json"))); dec.More(); {
			var c control.Covered
			if err := dec.Decode(&c); err != nil {
				t.Fatal(err)
			}
			if _, _, is := c.Wanting(now); is {
				whole++
			}
		}
		return whole == all
	})
}

// post sends a mail to each of some people, over several connections.
func (m *munich) post(boxes []string, subject string) {
	m.t.Helper()
	const connections = 8
	errs := make([]error, connections)
	var all sync.WaitGroup
	for k := range connections {
		all.Go(func() {
			c, err := send.Dial(m.t.Context(), m.mx)
			if err != nil {
				errs[k] = err
				return
			}
			defer c.Close()
			for i := k; i < len(boxes); i += connections {
				a, err := c.Send(send.Mail{From: address(m.t, "citizen"+strconv.Itoa(i)+"@home.example"), To: address(m.t, boxes[i]), Subject: subject,
					Text: subject + " an " + boxes[i] + ";"}, m.remote.now())
				if err != nil || !a.Kept() {
					errs[k] = fmt.Errorf("send to %s: %+v, %w", boxes[i], a, err)
					return
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// workers are the people who work in the outage, of every department; the first is the clerk.
func (m *munich) workers() (list []int) {
	n := len(m.boxes) - 1
	number := min(200, n/20)
	for k := range number {
		list = append(list, k*n/number)
	}
	return list
}

// before lets mail come by the door while the groupware works: its people are on vacation.
func (m *munich) before() {
	var some []string
	for _, i := range m.workers() {
		some = append(some, m.boxes[i])
	}
	m.post(some, "vorher")
	m.remote.until("what came before is delivered, and answered by vacation", time.Second, func() bool {
		return m.waiting() == 0 && len(m.replies()) == len(some)
	})
	m.replied = len(m.replies())
}

// replies returns whom vacation has answered.
func (m *munich) replies() []string {
	m.t.Helper()
	all, err := m.dovecot.Replies()
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

// dies pulls the groupware's plug, and waits until the mayor's telephone rings.
func (m *munich) dies() {
	t := m.t
	var err error
	if m.rest, err = m.dovecot.Halt(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	late := m.journalist("Rueckfrage")
	m.remote.until("a mail could not be delivered", 0, func() bool {
		story, err := m.client().Message(t.Context(), late.String())
		if err != nil {
			t.Fatal(err)
		}
		return story.Deliveries[0].Attempts > 0
	})
	m.remote.until("the mayor's telephone rings", time.Second, func() bool {
		m.moved += time.Second
		return len(m.phones.got("+491711234567")) > 0
	})
	e := m.event()
	m.failed = e.Replies[0].First
	if !e.Whole || e.Concerned != int64(len(m.boxes)) {
		t.Errorf("the outage concerns %d mailboxes (whole route: %v), want all %d", e.Concerned, e.Whole, len(m.boxes))
	}
	if e.Since.After(m.failed) || e.Steps[0].At.Before(m.failed) {
		t.Errorf("the first mail could not be delivered at %v; the outage is told since %v, from %v on", m.failed, e.Since, e.Steps[0].At)
	}
	t.Logf("the outage was known %v after the first failure by the node's clock; the telephone rang after %v", e.Steps[0].At.Sub(m.failed).Round(100*time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// event is the outage.
func (m *munich) event() event.Story {
	m.t.Helper()
	e, err := m.client().Event(m.t.Context(), control.EventRef{Number: 1})
	if err != nil {
		m.t.Fatal(err)
	}
	return e
}

// enters lets somebody in with a code, and leaves her at her inbox.
func (m *munich) enters(t *testing.T, code string) *visitor {
	t.Helper()
	v := visit(t, m.page+"/enrol")
	v.submit("Weiter", map[string]string{"code": code})
	v.submit("Passwort speichern", map[string]string{"password": password, "again": password})
	v.open("/")
	v.sees("antwortet seit")
	return v
}

// clerkWorks lets the clerk work, who comes first.
func (m *munich) clerkWorks() {
	began := time.Now()
	m.works(m.t, 0)
	took := time.Since(began)
	// What a slow machine adds is not the product's: what counts is what it waited for.
	if m.moved > promised {
		m.t.Errorf("the clerk could come in only after %v by the node's clock, want within %v of the first failure", m.moved, promised)
	}
	m.t.Logf("the clerk has answered %v after the first failure by the node's clock; from her sheet to the answer she took %v",
		m.remote.now().Sub(m.failed).Round(100*time.Millisecond), took.Round(time.Millisecond))
}

// works lets a person read her old mail and that of her colleague, answer it, and put the
// circular away.
func (m *munich) works(t *testing.T, i int) {
	t.Helper()
	a := m.boxes[i]
	v := m.enters(t, m.codes[a])
	inbox := v.at.String()
	v.follow("Mein Antrag")
	v.sees(oldText + a)
	v.open(inbox)
	v.follow("Kantine")
	v.sees(internalText + a)
	v.follow("Antworten")
	v.submit("Senden", map[string]string{"text": "Ich komme mit, sagt " + a + "."})
	v.sees("gesendet")
	v.open(inbox)
	v.follow("An alle")
	v.sees(circularText)
	v.submit("Archiv", nil)
	v.open(inbox)
	if strings.Contains(v.text(), "An alle") {
		t.Errorf("what %s has put away still lies in her inbox", a)
	}
}

// mayorWorks lets the mayor come in by the SMS.
func (m *munich) mayorWorks() {
	sms := m.phones.got("+491711234567")[0]
	_, code, found := strings.Cut(sms, "/enrol#")
	if !found {
		m.t.Fatalf("the SMS says %q, want the way in", sms)
	}
	m.codes[mayor] = code
	m.works(m.t, len(m.boxes)-1)
}

// manyWork lets people of all departments work at once.
func (m *munich) manyWork() {
	began, all := time.Now(), m.workers()[1:]
	m.t.Run("people work", func(t *testing.T) {
		const rooms = 4
		for k := range rooms {
			t.Run(strconv.Itoa(k), func(t *testing.T) {
				t.Parallel()
				for i := k; i < len(all); i += rooms {
					m.works(t, all[i])
				}
			})
		}
	})
	took := time.Since(began)
	rss, most := m.remote.memory()
	m.t.Logf("%d people have logged in and worked after %v: %.1f a second; the node has %.0f MB resident, at most %.0f",
		len(all), took.Round(time.Millisecond), float64(len(all))/took.Seconds(), rss, most)
}

// asked tells what commands take that an administrator types in the first hour.
func (m *munich) asked() {
	for _, args := range [][]string{{"status"}, {"event", "list"}, {"event", "show", "1"}, {"account", "readiness"}, {"mailbox", "coverage"},
		{"mailbox", "list"}, {"mailbox", "mode"}, {"queue", "list"}, {"balance"}} {
		began := time.Now()
		out, _ := m.run(args...)
		m.t.Logf("doppelboden %s: %v, %d lines", strings.Join(args, " "), time.Since(began).Round(time.Millisecond), strings.Count(out, "\n"))
	}
}

// daysPass lets mail come for everybody on three days; on the second the node is killed.
func (m *munich) daysPass() {
	day := (len(m.boxes) + 2) / 3
	for k := range 3 {
		began := time.Now()
		today := m.boxes[k*day : min(len(m.boxes), (k+1)*day)]
		m.post(today, "waehrend")
		took := time.Since(began)
		if k == 1 {
			m.kill()
			began = time.Now()
			m.start()
			m.t.Logf("after kill -9 the node was ready after %v", time.Since(began).Round(time.Millisecond))
		}
		began = time.Now()
		m.remote.pass(outage/3, 2*time.Hour)
		rss, most := m.remote.memory()
		m.t.Logf("day %d: %d mails, %.0f a second; it passed in %v; the node has %.0f MB resident, at most %.0f", k+1, len(today), float64(len(today))/took.Seconds(), time.Since(began).Round(time.Millisecond), rss, most)
	}
	m.remote.pass(-m.remote.ahead, time.Hour) // to the real time, by which Dovecot goes
}

// returns starts the groupware again, and waits until everything is handed back.
func (m *munich) returns() {
	before := m.owed()
	waiting := m.waiting()
	m.dovecot = peer.For[*peer.DovecotServer](m.t, m.rest)
	began, from := time.Now(), m.remote.now()
	var done time.Duration // until no mail waits
	m.remote.until("everything is handed back", time.Second, func() bool {
		n := m.waiting()
		if n == 0 && done == 0 {
			done = time.Since(began)
		}
		return n == 0 && m.owed() == 0
	})
	took := time.Since(began)
	rss, most := m.remote.memory()
	m.t.Logf("%d mails were handed over in %v (%.0f a second), %d changes handed back after %v, %v by the node's clock; the node has %.0f MB resident, at most %.0f",
		waiting, done.Round(time.Millisecond), float64(waiting)/done.Seconds(), before, took.Round(time.Millisecond), m.remote.now().Sub(from).Round(time.Second), rss, most)
	m.remote.until("the outage is over", 5*time.Second, func() bool { return !m.event().Until.IsZero() })
	// The clock that is moved is an alarm of its own.
	m.remote.until("no alarm is left of it", 5*time.Second, func() bool {
		s, err := m.client().Status(m.t.Context())
		if err != nil {
			m.t.Fatal(err)
		}
		return !slices.ContainsFunc(s.Alarms, func(a doppelboden.Alarm) bool { return a.Kind != "clock" })
	})
}

// compare looks into all mailboxes of the groupware.
func (m *munich) compare() {
	t, n := m.t, len(m.boxes)
	at := append(m.workers(), n-1)
	wrong := 0
	for i, a := range m.boxes {
		mails, err := m.dovecot.Mails(a)
		if err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, mail := range mails {
			for _, text := range []string{oldText + a + ";", internalText + a + "?", circularText, "waehrend an " + a + ";", "Ich komme mit, sagt"} {
				if strings.Contains(string(mail), text) {
					count[text]++
				}
			}
		}
		want := map[string]int{oldText + a + ";": 1, internalText + a + "?": 1, circularText: 1, "waehrend an " + a + ";": 1}
		if slices.Contains(at, i) {
			delete(want, circularText) // it was put away
		}
		if slices.Contains(at, (i+n-1)%n) {
			want["Ich komme mit, sagt"] = 1 // her colleague has answered
		}
		for text := range count {
			if want[text] == 0 {
				want[text] = 0
			}
		}
		for text, w := range want {
			if count[text] != w {
				if wrong++; wrong <= 20 {
					t.Errorf("%q lies %d times in the inbox of %s, want %d", text, count[text], a, w)
				}
			}
		}
	}
	for _, i := range at {
		m.isAsLeft(i)
	}
	if got := len(m.replies()); got != m.replied {
		t.Errorf("vacation has answered %d times, %d of these before the groupware died: for mail that is days old", got, m.replied)
	}
	b, err := m.client().Balance(t.Context(), m.failed.AddDate(0, 0, -2), m.remote.now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if b.Difference != 0 || b.Queued != 0 || b.Held != 0 || b.Bounced != 0 || b.Duplicates != 0 {
		t.Errorf("the balance: %+v, want difference 0 and nothing waiting, held or returned", b)
	}
	t.Logf("%d mailboxes, %d wrong; balance %+v", n, wrong, b)
}

// isAsLeft looks whether the mailbox of somebody who worked is as she has left it.
func (m *munich) isAsLeft(i int) {
	t, a := m.t, m.boxes[i]
	all := peer.ReadIMAP(t, m.dovecot.IMAP(), a)
	find := func(text string) (folder string, flags []string, n int) {
		for f, mails := range all {
			for _, l := range mails {
				if strings.Contains(l.Text, text) {
					folder, flags, n = f, l.Flags, n+1
				}
			}
		}
		return folder, flags, n
	}
	if f, flags, n := find(oldText + a); n != 1 || f != "INBOX" || !slices.Contains(flags, `\Seen`) {
		t.Errorf("what %s has read lies %d times, in %q with %v, want once in the inbox as read", a, n, f, flags)
	}
	if f, flags, n := find(internalText + a); n != 1 || f != "INBOX" || !slices.Contains(flags, `\Answered`) {
		t.Errorf("what %s has answered lies %d times, in %q with %v, want once in the inbox as answered", a, n, f, flags)
	}
	if f, _, n := find("Ich komme mit, sagt " + a + "."); n != 1 || f != "Gesendet" {
		t.Errorf("the answer of %s lies %d times, in %q, want once in what she has sent", a, n, f)
	}
	if f, _, n := find(circularText); n != 1 || f == "INBOX" {
		t.Errorf("what %s has put away lies %d times, in %q, want once and not in the inbox", a, n, f)
	}
}
