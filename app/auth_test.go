package app

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/send"
	"doppelboden/sink"
	"doppelboden/test/peer"
)

func TestWhatIsTrueAboutASenderStandsInTheMailAndInItsStory(t *testing.T) {
	dns := peer.For(t, peer.DNS{Zone: `
strange.example.         TXT "v=spf1 ip4:127.0.0.0/8 -all"
_dmarc.strange.example.  TXT "v=DMARC1; p=reject"
`})
	gw, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	node := install(t, "smtp://"+gw.Addr())
	node.DNS = city.DNS{Servers: []string{dns.Addr()}}
	n := start(t, node)
	client := control.NewClient(node.Data, nil)
	if _, err := client.AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	a := mail(t, n, "anna@stadt.example")
	if !a.Kept() {
		t.Fatalf("%d %s", a.Code, a.Text)
	}
	story, err := client.Message(t.Context(), a.Receipt.String())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range story.Checks {
		got = append(got, fmt.Sprintf("%s=%s %s", v.Method, v.Value, v.About))
	}
	want := "iprev=permerror 127.0.0.1, spf=pass citizen@strange.example, dkim=none , dmarc=pass strange.example"
	if strings.Join(got, ", ") != want || !story.Confirmed {
		t.Errorf("the story tells %s, confirmed %v; want %s", strings.Join(got, ", "), story.Confirmed, want)
	}
}

func TestANodeWhoseNameServersAreDeadRaisesAnAlarmAndTakesMail(t *testing.T) {
	dns := peer.For(t, peer.DNS{})
	dns.Treat("", peer.Silent)
	node := install(t, "here")
	node.DNS = city.DNS{Servers: []string{dns.Addr()}}
	n := start(t, node)
	w := newWatcher(n, func() time.Duration { return 0 })
	wrong := alarms{}
	w.nameServers(t.Context(), wrong)
	if !strings.Contains(wrong[alarmKey{"dns", ""}].String(), dns.Addr()) {
		t.Errorf("no alarm names %s: %v", dns.Addr(), wrong)
	}
	if _, err := control.NewClient(node.Data, nil).AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	if a := mail(t, n, "anna@stadt.example"); !a.Kept() {
		t.Errorf("%d %s, want 250", a.Code, a.Text)
	}
	dns.Treat("", peer.Well)
	clear(wrong)
	if w.nameServers(t.Context(), wrong); len(wrong) > 0 {
		t.Errorf("when they answer again: %v", wrong)
	}
}

func TestATenantThatRefusesByDMARCRefusesWithAPermanentAnswerButNeverWithoutDNS(t *testing.T) {
	dns := peer.For(t, peer.DNS{Zone: `
strange.example.         TXT "v=spf1 -all"
_dmarc.strange.example.  TXT "v=DMARC1; p=reject"
`})
	node := install(t, "here")
	node.DNS = city.DNS{Servers: []string{dns.Addr()}}
	n := start(t, node)
	client := control.NewClient(node.Data, nil)
	if _, err := client.AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	for _, c := range n.house.Directory().City().Tenants {
		if c.DMARC != city.MarkDMARC {
			t.Fatalf("a new city does something about DMARC: %v", c.DMARC)
		}
	}
	if a := mail(t, n, "anna@stadt.example"); !a.Kept() {
		t.Errorf("a tenant that only marks: %d %s, want 250", a.Code, a.Text)
	}
	text, err := os.ReadFile(node.City)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`dmarc = "mark"`), []byte(`dmarc = "refuse"`), 1)
	if _, err := client.ApplyConfig(t.Context(), "city.toml", text, 0); err != nil {
		t.Fatal(err)
	}
	if a := mail(t, n, "anna@stadt.example"); a.Code != 554 || !strings.Contains(a.Text, "strange.example") {
		t.Errorf("a tenant that refuses: %d %s, want 554 that names the domain", a.Code, a.Text)
	}
	dns.Treat("", peer.ServFail)
	clean := send.Mail{From: parse(t, "x@other.example"), To: parse(t, "anna@stadt.example"), Subject: "x", Text: "y"}
	c, err := send.Dial(t.Context(), n.Listeners()["mx"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, err := c.Send(clean, time.Now()); err != nil || !a.Kept() {
		t.Errorf("while the DNS fails: %d %s, %v; want 250", a.Code, a.Text, err)
	}
}
