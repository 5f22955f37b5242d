package scenario

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"doppelboden"
	"doppelboden/harvest"
	"doppelboden/send"
	"doppelboden/test/peer"
)

const (
	mayor     = "mayor@stadt.example"
	treasurer = "treasurer@stadt.example"
)

// telephones is an SMS gateway that keeps what it was given.
type telephones struct {
	mu   sync.Mutex
	sent map[string][]string // by number
}

func (p *telephones) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var sms struct{ To, Text string }
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&sms); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent[sms.To] = append(p.sent[sms.To], sms.Text)
}

func (p *telephones) got(number string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent[number])
}

// mayors is the stage of the ten minutes.
type mayors struct {
	*city
	dovecot *peer.DovecotServer
	phones  *telephones
}

// newMayors makes a city with a real Dovecot whose mailboxes are read, a mayor with a
// telephone, and an SMS gateway.
func newMayors(t *testing.T) *mayors {
	t.Helper()
	m := &mayors{phones: &telephones{sent: map[string][]string{}}}
	gateway := httptest.NewServer(m.phones)
	t.Cleanup(gateway.Close)
	m.dovecot = peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: []string{mayor, treasurer}})
	m.city = foundAs(t, "", "lmtp://"+m.dovecot.Addr(), 1, func(c *city) {
		c.edit("node.toml", "web = \"127.0.0.1:0\"", "web = \"127.0.0.1:"+freePort(t)+"\"")
		m.reads(c, gateway.URL)
	})
	m.must("mailbox", "add", mayor, "--name", "Maria Meier", "--priority", "9", "--phone", "0171 1234567")
	m.must("mailbox", "add", treasurer, "--name", "Karl Kämmerer")
	return m
}

// reads has a city read the mailboxes of its groupware, and tell the crisis team by SMS.
func (m *mayors) reads(c *city, gateway string) {
	c.edit("city.toml", "tls = \"opportunistic\"    # or \"off\", \"required\", \"verified\"", fmt.Sprintf(`[tenant.route.imap]
server = "imap://%s"
tls = "off"
user = %q
separator = "*"
password_file = "imap.password"
sync = true
[tenant.sms]
url = %q
body = '{"to":"{to}","text":"{text}"}'
crisis_at_once = true
`, m.dovecot.IMAP(), peer.DovecotMaster, gateway))
	if err := os.WriteFile(filepath.Join(c.dir, "keys", "imap.password"), []byte(peer.DovecotPassword+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// lies puts a mail into a mailbox of the groupware, which we never saw before.
func (m *mayors) lies(owner string, at time.Time, text string) {
	m.t.Helper()
	c, err := imapclient.DialInsecure(m.dovecot.IMAP(), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(owner, peer.DovecotPassword).Wait(); err != nil {
		m.t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "\n", "\r\n")
	cmd := c.Append("INBOX", int64(len(text)), &imap.AppendOptions{Time: at})
	if _, err := io.WriteString(cmd, text); err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Close(); err != nil {
		m.t.Fatal(err)
	}
	if _, err := cmd.Wait(); err != nil {
		m.t.Fatal(err)
	}
}

// until waits for something that other processes do.
func (m *mayors) until(what string, limit time.Duration, is func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(limit); !is(); time.Sleep(100 * time.Millisecond) { // there is no event to wait for
		if time.Now().After(deadline) {
			m.t.Fatalf("after %v still not: %s\n%s", limit, what, m.told())
		}
	}
}

// told returns what an administrator is told, for the failure of a test.
func (m *mayors) told() string {
	status, _ := m.run("status")
	deeds, _ := m.run("mailbox", "deeds", mayor)
	return status + deeds
}

// journalist writes to the mayor from outside and returns the number of her receipt.
func (m *mayors) journalist(subject string) doppelboden.Receipt {
	m.t.Helper()
	c, err := send.Dial(m.t.Context(), m.mx)
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close()
	from, to := doppelboden.Address{Local: "journalist", Domain: "paper.example"}, doppelboden.Address{Local: "mayor", Domain: "stadt.example"}
	a, err := c.Send(send.Mail{From: from, To: to, Subject: subject, Text: "What do you say?"}, time.Now())
	if err != nil || !a.Kept() || a.Receipt.IsZero() {
		m.t.Fatalf("the journalist is told %+v, %v", a, err)
	}
	return a.Receipt
}

// in reports whether a folder of a mailbox of the groupware holds a mail with a text, and
// returns it.
func (m *mayors) in(owner, folder, text string) (found []peer.Lying) {
	m.t.Helper()
	for _, l := range peer.ReadIMAP(m.t, m.dovecot.IMAP(), owner)[folder] {
		if strings.Contains(l.Text, text) {
			found = append(found, l)
		}
	}
	return found
}

// TestTheTenMinutesThatConvinceAMayor is the scene of CASES.md: a journalist writes from
// outside. The groupware's plug is pulled. The mayor's phone gets an SMS; she opens a mail
// of last week, an internal one, and answers. The node loses power and comes back with
// nothing missing. The journalist looks up his receipt. The groupware returns: her answer is
// in Sent, and the balance sheet says that nothing is missing.
func TestTheTenMinutesThatConvinceAMayor(t *testing.T) {
	t.Parallel()
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram, peer.SieveProgram)
	m := newMayors(t)
	m.lies(mayor, time.Now().AddDate(0, 0, -7), "From: Karl <treasurer@stadt.example>\nTo: <mayor@stadt.example>\nSubject: Haushalt\nDate: "+
		time.Now().AddDate(0, 0, -7).Format(time.RFC1123Z)+"\nMessage-ID: <haushalt@stadt.example>\n\nReicht das Geld fuer die Bruecke?\n")
	m.must("mailbox", "sync", mayor)
	m.until("her mailbox is complete", time.Minute, func() bool {
		var c struct {
			harvest.Coverage
		}
		if err := json.Unmarshal([]byte(m.must("mailbox", "coverage", mayor, "--json")), &c); err != nil {
			t.Fatal(err)
		}
		return !c.Internal.Since.IsZero()
	})
	early := m.journalist("Interview")
	m.until("the first mail is in the groupware", time.Minute, func() bool { return len(m.in(mayor, "INBOX", "Interview")) == 1 })

	resting, err := m.dovecot.Halt() // the plug
	if err != nil {
		t.Fatal(err)
	}
	pulled := time.Now()
	m.until("the mayor's telephone rings", 2*time.Minute, func() bool { return len(m.phones.got("+491711234567")) > 0 })
	rang := time.Since(pulled)
	late := m.journalist("Rueckfrage")
	sms := m.phones.got("+491711234567")[0]
	_, link, found := strings.Cut(sms, "Notfall-Postfach: ")
	page, code, coded := strings.Cut(link, "/enrol#")
	if !found || !coded {
		t.Fatalf("the SMS says %q, want the way in", sms)
	}

	// On her telephone, with nothing but the SMS.
	opened := time.Now()
	v := visit(t, page+"/enrol")
	v.submit("Weiter", map[string]string{"code": code})
	const password = "drei rote Brücken"
	v.submit("Passwort speichern", map[string]string{"password": password, "again": password})
	v.open("/")
	v.sees("antwortet seit")
	v.sees("Interview")
	v.sees("Rueckfrage")
	v.follow("Haushalt")
	v.sees("Reicht das Geld fuer die Bruecke?")
	v.follow("Antworten")
	v.submit("Senden", map[string]string{"text": "Ja, bauen Sie."})
	v.sees("gesendet")
	answered := time.Since(opened)

	m.kill()
	m.start()
	v = visit(t, page+"/login")
	v.submit("Anmelden", map[string]string{"user": mayor, "password": password})
	v.open("/")
	v.follow("Gesendet")
	v.follow("Haushalt")
	v.sees("Ja, bauen Sie.")

	look := func(r doppelboden.Receipt) *visitor { return visit(t, page+"/receipt?number="+r.String()) }
	look(early).sees("Ihre E-Mail ist angekommen.")
	look(late).sees("Wir haben Ihre E-Mail, und sie ist sicher aufbewahrt.")

	m.dovecot = peer.For[*peer.DovecotServer](t, resting) // the plug is in again
	returned := time.Now()
	m.until("her answer is in Sent of the groupware", 3*time.Minute, func() bool {
		return len(m.in(mayor, "Gesendet", "Ja, bauen Sie.")) == 1
	})
	back := time.Since(returned)
	m.until("the treasurer has her answer", time.Minute, func() bool { return len(m.in(treasurer, "INBOX", "Ja, bauen Sie.")) == 1 })
	m.until("the mail of last week is read and answered", time.Minute, func() bool {
		l := m.in(mayor, "INBOX", "Reicht das Geld")
		return len(l) == 1 && slices.Contains(l[0].Flags, `\Seen`) && slices.Contains(l[0].Flags, `\Answered`)
	})
	m.until("what waited is there", time.Minute, func() bool { return len(m.in(mayor, "INBOX", "Rueckfrage")) == 1 })
	m.until("the journalist learns that", time.Minute, func() bool {
		return strings.Contains(look(late).text(), "Ihre E-Mail ist angekommen.")
	})
	for _, text := range []string{"Interview", "Rueckfrage", "Reicht das Geld"} {
		if n := len(m.in(mayor, "INBOX", text)); n != 1 {
			t.Errorf("%q lies %d times in the mayor's inbox, want once", text, n)
		}
	}
	if n := len(m.in(mayor, "Gesendet", "Ja, bauen Sie.")); n != 1 {
		t.Errorf("her answer lies %d times among her sent mail, want once", n)
	}
	b := m.settled(time.Minute)
	if b.Difference != 0 || b.Held != 0 || b.Bounced != 0 {
		t.Errorf("balance %+v, want difference 0 and nothing held or returned", b)
	}
	if got := m.phones.got("+491711234567"); len(got) != 1 {
		t.Errorf("the mayor got %d SMS: %q", len(got), got)
	}
	t.Logf("the telephone rang after %v; from the SMS to the answer %v; back in Sent %v after the groupware; balance %+v",
		rang.Round(time.Second), answered.Round(time.Millisecond), back.Round(time.Second), b)
}
