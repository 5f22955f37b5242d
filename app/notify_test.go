package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/notify"
	"doppelboden/test/hand"
)

// addToCity appends lines to the configuration of a city that was never started.
func addToCity(t *testing.T, node *city.Node, lines string) {
	t.Helper()
	text, err := os.ReadFile(node.City)
	if err == nil {
		err = os.WriteFile(node.City, append(text, lines...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// phones is an SMS gateway that keeps what it was given.
type phones struct {
	mu  sync.Mutex
	got map[string][]string // by number
}

func (p *phones) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var sms struct{ To, Text string }
	if err := json.NewDecoder(r.Body).Decode(&sms); err != nil || r.Header.Get("X-Api-Key") != "secret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got[sms.To] = append(p.got[sms.To], sms.Text)
}

// texts returns what a telephone got.
func (p *phones) texts(number string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got[number]
}

func TestTheMayorGetsOneSMSWithTheWayIntoHerMailboxWhenTheGroupwareDies(t *testing.T) {
	sms := &phones{got: map[string][]string{}}
	gateway := httptest.NewServer(sms)
	defer gateway.Close()
	node := install(t, "lmtp://127.0.0.1:1")
	if err := os.WriteFile(filepath.Join(node.Keys, "sms.password"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addToCity(t, node, "\n[tenant.sms]\nurl = \""+gateway.URL+"\"\nbody = '{\"to\":\"{to}\",\"text\":\"{text}\"}'\nauth = \"header\"\nheader = \"X-Api-Key\"\npassword_file = \"sms.password\"\ncrisis_at_once = true\n")
	n := start(t, node)
	client := control.NewClient(node.Data, nil)
	for _, m := range []control.Mailbox{
		{Address: "mayor@stadt.example", Name: "Mayor", Kind: "person", Priority: 9, Phone: "0171 1234567"},
		{Address: "clerk@stadt.example", Name: "Clerk", Kind: "person", Priority: 5, Phone: "0171 7654321"},
	} {
		if _, err := client.AddMailbox(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the mayor is told", func() bool { return len(sms.texts("+491711234567")) > 0 })
	text := sms.texts("+491711234567")[0]
	_, code, found := strings.Cut(text, "/enrol#")
	if !found || !strings.Contains(text, "gestört seit") {
		t.Fatalf("the SMS says %q, want since when and the way in", text)
	}
	login, err := n.accounts.LogIn(t.Context(), account.Attempt{Door: account.DoorWeb, Peer: netip.MustParseAddr("192.0.2.1"), Password: code})
	if err != nil || login.Person.Address.Local != "mayor" || login.Needs != account.NeedsEnrol {
		t.Errorf("the code lets %v in, who needs %q: %v", login.Person.Address, login.Needs, err)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = start(t, node)
	waitFor(t, "the crisis is known again", func() bool { s := n.sms.Status(); return len(s) == 1 && len(s[0].Told) == 1 })
	if got := sms.texts("+491711234567"); len(got) != 1 {
		t.Errorf("after a restart the mayor was told %d times", len(got))
	}
	if got := sms.texts("+491717654321"); len(got) != 0 {
		t.Errorf("the clerk was told %q", got)
	}
}

// TestALinkThatArrivedStaysGoodWhateverItsGatewaySays has a gateway that sends, and answers what
// is taken for a refusal.
func TestALinkThatArrivedStaysGoodWhateverItsGatewaySays(t *testing.T) {
	sms := &phones{got: map[string][]string{}}
	gateway := httptest.NewServer(sms)
	defer gateway.Close()
	node := install(t, "lmtp://127.0.0.1:1")
	if err := os.WriteFile(filepath.Join(node.Keys, "sms.password"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addToCity(t, node, "\n[tenant.sms]\nurl = \""+gateway.URL+"\"\nbody = '{\"to\":\"{to}\",\"text\":\"{text}\"}'\nauth = \"header\"\nheader = \"X-Api-Key\"\npassword_file = \"sms.password\"\nsuccess = \"misspelt\"\ncrisis_at_once = true\n")
	h := hand.At(time.Now())
	n := startAt(t, node, h)
	if _, err := client(n).AddMailbox(t.Context(), control.Mailbox{Address: "mayor@stadt.example", Name: "Mayor", Kind: "person", Priority: 9, Phone: "0171 1234567"}); err != nil {
		t.Fatal(err)
	}
	got := func() []string { return sms.texts("+491711234567") }
	passes := func(what string, many int) {
		t.Helper()
		waitFor(t, what, func() bool { h.Forward(2 * time.Minute); return len(got()) >= many })
	}
	passes("the mayor is told", 1)
	passes("she is told again", 2)
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = startAt(t, node, h)
	passes("she is told by another run", 3)
	links := map[string]bool{}
	for i, text := range got() {
		_, code, _ := strings.Cut(text, "/enrol#")
		links[code] = true
		login, err := n.accounts.LogIn(t.Context(), account.Attempt{Door: account.DoorWeb, Peer: netip.MustParseAddr("192.0.2.1"), Password: code})
		if err != nil || login.Person.Address.Local != "mayor" {
			t.Errorf("the code of SMS %d lets %v in: %v", i+1, login.Person.Address, err)
		}
	}
	if len(links) != 2 {
		t.Errorf("%d links in %d SMS, want one for each run", len(links), len(got()))
	}
}

func TestTheAlarmAboutWhoGotNoSMSSaysTheSameAtEachLook(t *testing.T) {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no such number "+r.FormValue("to"), http.StatusBadRequest)
	}))
	defer gateway.Close()
	node := install(t, "here")
	addToCity(t, node, "\n[tenant.sms]\nurl = \""+gateway.URL+"?to={digits}&text={text}\"\nmethod = \"GET\"\n")
	n := start(t, node)
	call := notify.Call{Tenant: 1, About: "event/1", Text: func(notify.Person) (string, error) { return "x", nil }}
	for i, name := range []string{"anna", "bert", "cara", "dora"} {
		m := control.Mailbox{Address: name + "@stadt.example", Name: name, Kind: "person", Priority: 9, Phone: "+49171123456" + strconv.Itoa(i)}
		if _, err := client(n).AddMailbox(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		box, _ := n.house.Directory().Holder(parse(t, m.Address))
		call.People = append(call.People, notify.Person{Mailbox: box, Phone: doppelboden.Phone(m.Phone)})
	}
	n.sms.Tell(call)
	waitFor(t, "nobody of the team could be told", func() bool { s := n.sms.Status(); return len(s) == 1 && len(s[0].Failed) == len(call.People) })
	w := newWatcher(n, func() time.Duration { return 0 })
	for range 30 {
		wrong := alarms{}
		w.sms(wrong)
		for key, said := range wrong {
			if text := said.String(); !strings.Contains(text, "anna@stadt.example for one: the SMS gateway answered 400: no such number 491711234560.") {
				t.Fatalf("the alarm %v says %q, want always the first who got none", key, text)
			}
		}
		if len(wrong) != 1 {
			t.Fatalf("%d alarms, want one", len(wrong))
		}
	}
}
