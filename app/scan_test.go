package app

import (
	"os"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/queue"
	"doppelboden/send"
	"doppelboden/sink"
	"doppelboden/test/peer"
)

// scanned adds [tenant.scan] to the configuration of a new city.
func scanned(t *testing.T, node *city.Node, lines ...string) {
	t.Helper()
	f, err := os.OpenFile(node.City, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("\n[tenant.scan]\n" + strings.Join(lines, "\n") + "\n")
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
}

// say sends a mail with a subject and a text.
func say(t *testing.T, n *Node, subject, text string) send.Answer {
	t.Helper()
	c, err := send.Dial(t.Context(), n.Listeners()["mx"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Send(send.Mail{From: parse(t, "citizen@strange.example"), To: parse(t, "anna@stadt.example"), Subject: subject, Text: text}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// inQueue returns what is queued or held, by receipt.
func inQueue(t *testing.T, client *control.Client) map[doppelboden.Receipt]control.Waiting {
	t.Helper()
	all := map[doppelboden.Receipt]control.Waiting{}
	err := client.Queue(t.Context(), control.Choice{}, 0, func(w control.Waiting) error {
		all[w.Receipt] = w
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// freeAddr is where nobody listens until the test does.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func TestMailThatCameWhileBothScannersWereDownWaitsAndIsScannedWhenTheyReturn(t *testing.T) {
	peer.Need(t, peer.RspamdProgram, peer.ClamdProgram)
	gw, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	node := install(t, "smtp://"+gw.Addr())
	rspamdAddr, clamAddr := freeAddr(t), freeAddr(t)
	scanned(t, node, `rspamd = ["http://`+rspamdAddr+`"]`, `clamav = ["tcp://`+clamAddr+`"]`)
	n := start(t, node)
	client := control.NewClient(n.opts.Node.Data, nil)
	if _, err := client.AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}

	plain, bad, unwanted := say(t, n, "plain", "hello"), say(t, n, "bad", peer.Eicar()), say(t, n, peer.SpamSubject, "buy")
	for _, a := range []send.Answer{plain, bad, unwanted} {
		if !a.Kept() {
			t.Fatalf("with both scanners down: %d %s, want 250", a.Code, a.Text)
		}
	}
	// Long enough for a hand-over, if there were one: the queue has asked the gate.
	waitFor(t, "all three wait unscanned", func() bool {
		w := inQueue(t, client)
		return len(w) == 3 && w[plain.Receipt].Scan == "unscanned" && w[bad.Receipt].Scan == "unscanned"
	})
	if got := gw.Stats().Messages; got != 0 {
		t.Fatalf("the groupware got %d mails that no scanner has seen", got)
	}

	clamav := peer.For(t, peer.ClamAV{Addr: clamAddr})
	peer.For(t, peer.Rspamd{Addr: rspamdAddr})
	waitFor(t, "the clean mail and the spam are handed over", func() bool { return gw.Stats().Messages == 2 })
	waitFor(t, "the malware is in quarantine", func() bool { return inQueue(t, client)[bad.Receipt].State == "held" })
	w := inQueue(t, client)[bad.Receipt]
	if !strings.HasPrefix(w.Reply, "quarantine: Eicar-Test") || w.Scan != "malware" {
		t.Errorf("EICAR waits as %q, scan %q; want a quarantine", w.Reply, w.Scan)
	}
	for _, m := range gw.Messages() {
		text := string(m.Data)
		flagged := strings.Contains(text, "X-Spam-Flag: YES\r\n")
		if spam := strings.Contains(text, "Subject: "+peer.SpamSubject); flagged != spam || !strings.Contains(text, "X-Virus-Scanned: ClamAV at") {
			t.Errorf("spam %v is flagged %v, or it is not said who scanned it:\n%s", spam, flagged, text)
		}
	}

	// With both of them there malware is refused in the dialogue.
	if a := say(t, n, "worse", peer.Eicar()); a.Code != 554 || !strings.Contains(a.Text, "malware") {
		t.Errorf("EICAR with ClamAV there: %d %s, want 554", a.Code, a.Text)
	}
	quarantine(t, n, client, gw, bad.Receipt)
	if err := clamav.Stop(); err != nil {
		t.Error(err)
	}
	waitFor(t, "what was handed over is settled", func() bool { return balance(t, n).Delivered == 3 })
	if b := balance(t, n); b.Accepted != 3 || b.Difference != 0 || b.Held != 0 {
		t.Errorf("balance %+v, want 3 accepted, all delivered, difference 0", b)
	}
}

// quarantine releases a mail from quarantine, which must be asked for explicitly.
func quarantine(t *testing.T, n *Node, client *control.Client, gw *sink.Sink, r doppelboden.Receipt) {
	t.Helper()
	choice := control.Choice{ID: r.String()}
	for _, verb := range []queue.Verb{queue.Release, queue.Retry} {
		done, err := client.Decide(t.Context(), control.Decision{Verb: verb, Choice: choice})
		if err != nil || done.Changed != 0 || done.Quarantined != 1 {
			t.Errorf("%s of malware: %+v, err %v; want nothing changed and one in quarantine", verb, done, err)
		}
	}
	if _, err := client.Decide(t.Context(), control.Decision{Verb: queue.Hold, Choice: choice, Malware: true}); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("hold with malware: %v, want invalid", err)
	}
	done, err := client.Decide(t.Context(), control.Decision{Verb: queue.Release, Choice: choice, Malware: true})
	if err != nil || done.Changed != 1 || done.Quarantined != 0 {
		t.Errorf("release of malware that asks for it: %+v, err %v; want one changed", done, err)
	}
	waitFor(t, "the released mail is handed over", func() bool { return gw.Stats().Messages == 3 })
	story, err := client.Message(t.Context(), r.String())
	if err != nil {
		t.Fatal(err)
	}
	by := ""
	for _, e := range story.Events {
		if e.Source == "ledger" && e.What == "queued" {
			by = e.By
		}
	}
	if by == "" || by == "scanner" || story.Scan != "waived" {
		t.Errorf("the ledger says that %q released it, scan %q; want a person, waived", by, story.Scan)
	}
}

func TestMailThatNobodyCouldScanGoesWithAMarkWhenItsTimeIsOver(t *testing.T) {
	gw, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	node := install(t, "smtp://"+gw.Addr())
	scanned(t, node, `clamav = ["tcp://127.0.0.1:1"]`, `unscanned_hours = 0`)
	n := start(t, node)
	if _, err := control.NewClient(n.opts.Node.Data, nil).AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	if a := say(t, n, "plain", "hello"); !a.Kept() {
		t.Fatalf("%d %s, want 250", a.Code, a.Text)
	}
	waitFor(t, "the mail is handed over", func() bool { return gw.Stats().Messages == 1 })
	if text := string(gw.Messages()[0].Data); !strings.Contains(text, "X-Virus-Scanned: NO, ClamAV at") {
		t.Errorf("it is not said that nobody scanned it:\n%s", text)
	}
}

func TestAnUnscannedMailOfAMailboxHereIsNotDeliveredBeforeItWasScanned(t *testing.T) {
	peer.Need(t, peer.ClamdProgram)
	node := install(t, "here")
	addr := freeAddr(t)
	scanned(t, node, `clamav = ["tcp://`+addr+`"]`)
	n := start(t, node)
	client := control.NewClient(n.opts.Node.Data, nil)
	if _, err := client.AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	plain, bad := say(t, n, "plain", "hello"), say(t, n, "bad", peer.Eicar())
	if w := inQueue(t, client); w[plain.Receipt].State != "queued" || w[bad.Receipt].State != "queued" {
		t.Errorf("before they were scanned: %+v, want both queued", w)
	}
	peer.For(t, peer.ClamAV{Addr: addr})
	waitFor(t, "one is held and one is delivered", func() bool {
		w := inQueue(t, client)
		return len(w) == 1 && w[bad.Receipt].State == "held"
	})
	if b := balance(t, n); b.Delivered != 1 || b.Held != 1 || b.Difference != 0 {
		t.Errorf("balance %+v, want 1 delivered, 1 held, difference 0", b)
	}
}
