package intake

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

// scanner is a sender that may write as anybody in stadt.example.
var scanner = &Own{Tenant: 1, Name: "scanner", MaySend: func(a doppelboden.Address) bool { return a.Domain == "stadt.example" }}

// ours is an envelope of the scanner.
func ours(t *testing.T, from string) Envelope {
	e := Envelope{Door: "submission", Peer: "192.0.2.7", Helo: "scanner.example", Proto: "ESMTP", Own: scanner}
	if from != "" {
		e.Sender = address(t, from)
	}
	return e
}

// internet knows one domain's box.
func internet(_ context.Context, t doppelboden.TenantID, domain string) (doppelboden.BoxID, error) {
	if domain == "closed.example" {
		return 0, &doppelboden.Error{Code: doppelboden.Policy, Public: "this tenant sends nothing to the Internet"}
	}
	return doppelboden.BoxID(-len(domain)), nil
}

func TestOnlyOwnSendersReachTheInternetWhateverTricksAStrangerKnows(t *testing.T) {
	in, f := newIntake(t, 0)
	in.opts.Internet = internet
	stranger, err := in.Begin(Envelope{Door: "mx", Sender: address(t, "a@strange.example")})
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"eva@strange.example", `"eva@strange.example"@strange.example`, "eva%other.example@strange.example", "other.example!eva@strange.example"} {
		if err := stranger.Rcpt(t.Context(), Recipient{Address: address(t, to)}); doppelboden.CodeOf(err) != doppelboden.Policy {
			t.Errorf("a stranger's RCPT %s: %v, want policy", to, err)
		}
	}
	tx, err := in.Begin(ours(t, "scan@stadt.example"))
	if err != nil {
		t.Fatal(err)
	}
	in.opts.Directory = func() Directory { return foreign{} } // also for these domains
	for _, to := range []string{"eva@[192.0.2.1]", "eva@localhost", "eva@closed.example"} {
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, to)}); doppelboden.CodeOf(err) != doppelboden.Policy {
			t.Errorf("RCPT %s: %v, want policy", to, err)
		}
	}
	in.opts.Directory = func() Directory { return f }
	for _, to := range []string{"anna@stadt.example", "eva@strange.example", "ada@strange.example"} {
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, to)}); err != nil {
			t.Fatalf("RCPT %s: %v", to, err)
		}
	}
	if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "carl@kreis.example")}); doppelboden.CodeOf(err) != doppelboden.OtherTenant {
		t.Errorf("RCPT of another tenant: %v, want other_tenant", err)
	}
	io.WriteString(tx, "Subject: x\r\n\r\nhello\r\n")
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := f.accepted[0]
	if len(m.Deliveries) != 3 || m.Deliveries[1].Box != -15 || m.Deliveries[1].Mailbox != 0 || len(m.Copies) != 1 || m.Tenant != 1 || !m.Confirmed || m.Door != "submission" {
		t.Errorf("kept %+v, want three deliveries, two of them to box -15 of nobody here, one copy, and a confirmed sender", m)
	}
}

// foreign is a Directory for which every domain is somebody else's.
type foreign struct{}

func (foreign) Find(*Envelope, doppelboden.Address) (Found, error) {
	return Found{}, &doppelboden.Error{Code: doppelboden.Policy, Public: "relaying denied"}
}

func TestMailOfAnOwnSenderToAnotherTenantIsThatTenantsMail(t *testing.T) {
	in, f := newIntake(t, 0)
	in.opts.Internet = internet
	tx, err := in.Begin(ours(t, "scan@stadt.example"))
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "carl@kreis.example")}); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"anna@stadt.example", "eva@strange.example"} {
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, to)}); doppelboden.CodeOf(err) != doppelboden.OtherTenant {
			t.Errorf("RCPT %s behind another tenant's: %v, want other_tenant", to, err)
		}
	}
	io.WriteString(tx, "Subject: x\r\n\r\nhello\r\n")
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.accepted[0].Tenant; got != 2 {
		t.Errorf("tenant %d, want 2", got)
	}
}

func TestAnOwnSenderWritesInItsOwnNameOnly(t *testing.T) {
	in, _ := newIntake(t, 0)
	if _, err := in.Begin(ours(t, "boss@strange.example")); doppelboden.CodeOf(err) != doppelboden.Policy {
		t.Errorf("MAIL in a foreign name: %v, want policy", err)
	}
	for header, want := range map[string]doppelboden.Code{
		"From: Scanner <scan@stadt.example>\r\n":                          -1,
		"from : <scan@stadt.example>\r\n":                                 -1,
		"From: =?utf-8?q?B=C3=BCrgeramt?= <amt@stadt.example>\r\n":        -1,
		"Subject: no From at all\r\n":                                     -1,
		"From: <boss@strange.example>\r\n":                                doppelboden.Policy,
		"From: <a@stadt.example>, <boss@strange.example>\r\n":             doppelboden.Policy,
		"From: <a@stadt.example>\r\nFROM:\r\n <boss@strange.example>\r\n": doppelboden.Policy,
		"From: scan@stadt.example <boss@strange.example>\r\n":             doppelboden.BadMessage,
		"From: \"scan@stadt.example\" <boss@strange.example>\r\n":         doppelboden.Policy,
		"From: Scanner\r\n":                                               doppelboden.BadMessage,
	} {
		tx, err := in.Begin(ours(t, ""))
		if err != nil {
			t.Fatalf("the null reverse-path is everybody's: %v", err)
		}
		if strings.HasPrefix(header, "Subject") {
			tx.env.Sender = address(t, "scan@stadt.example")
		}
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "anna@stadt.example")}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(tx, header+"\r\nhello\r\n")
		_, err = tx.Commit(t.Context())
		if want == -1 && err != nil || want != -1 && (err == nil || doppelboden.CodeOf(err) != want) {
			t.Errorf("%q: %v, want code %v", header, err, want)
		}
	}
	if in.budget.used.Load() != 0 {
		t.Errorf("%d bytes of the budget are still taken", in.budget.used.Load())
	}
}

func TestAPersonNamesNobodyElseAsTheSender(t *testing.T) {
	in, _ := newIntake(t, 0)
	own := &Own{Tenant: 1, Name: "person:1", Person: true, MaySend: func(a doppelboden.Address) bool { return a.Local == "anna" || a.Local == "office" }}
	for header, want := range map[string]doppelboden.Code{
		"":                                      -1,
		"Sender: Anna <anna@stadt.example>\r\n": -1,
		"Sender: office@stadt.example\r\n":      -1,
		"Sender: Boss <boss@strange.example>\r\n":                           doppelboden.Policy,
		"sender :\r\n <bert@stadt.example>\r\n":                             doppelboden.Policy,
		"Sender: anna@stadt.example\r\nSender: bert@stadt.example\r\n":      doppelboden.Policy,
		"Sender: nobody\r\n":                                                doppelboden.BadMessage,
		"Resent-From: anna@stadt.example\r\n":                               -1,
		"Resent-From: <bert@stadt.example>\r\n":                             doppelboden.Policy,
		"Resent-From: anna@stadt.example\r\nResent-Sender: b@x.example\r\n": doppelboden.Policy,
		"Resent-From: anna@stadt.example, bert@stadt.example\r\n":           doppelboden.Policy,
		"X-Sender: bert@stadt.example\r\nReply-To: bert@stadt.example\r\n":  -1,
	} {
		tx, err := in.Begin(Envelope{Door: "submission", Sender: address(t, "anna@stadt.example"), Own: own})
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "anna@stadt.example")}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(tx, header+"From: anna@stadt.example\r\n\r\nhello\r\n")
		_, err = tx.Commit(t.Context())
		if want == -1 && err != nil || want != -1 && (err == nil || doppelboden.CodeOf(err) != want) {
			t.Errorf("%q: %v, want code %v", header, err, want)
		}
	}
	// A scanner says which program writes for it.
	tx, err := in.Begin(ours(t, "scan@stadt.example"))
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "anna@stadt.example")}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(tx, "From: scan@stadt.example\r\nSender: printd@printer\r\n\r\nhello\r\n")
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Errorf("a machine with a Sender: %v", err)
	}
}

func TestWhatADeviceLeavesOutIsAddedBeforeItsMail(t *testing.T) {
	m := &doppelboden.Message{Sender: doppelboden.Address{Local: "scan", Domain: "stadt.example"}, Received: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
	const date, id, from = "Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n", "Message-ID: <00000000-0000-0000-0000-000000000000@mx.stadt.example>\r\n", "From: <scan@stadt.example>\r\n"
	for header, want := range map[string]string{
		"Date: x\r\nMessage-ID: <y>\r\nFrom: <a@b.example>\r\n": "",
		"date : x\r\nMESSAGE-ID:\r\n <y>\r\nfrom:<a@b.example>": "",
		"Subject: Scan\r\n":                      date + id + from,
		"Date: x\r\n":                            id + from,
		"X-From: a\r\nResent-Date: x\r\n":        date + id + from,
		"":                                       date + id + from + "\r\n",
		"Just text, no header\r\n":               date + id + from + "\r\n",
		"\r\n":                                   date + id + from, // an empty header section, and its end
		" folded first\r\n":                      date + id + from + "\r\n",
		"No header: just text: x\r\nDate: x\r\n": date + id + from + "\r\n",
	} {
		got, err := repair([]byte(header), m, "mx.stadt.example")
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v; want %q", header, got, err, want)
		}
	}
	m.Sender = doppelboden.Address{}
	if _, err := repair([]byte("Date: x\r\n"), m, "mx.stadt.example"); doppelboden.CodeOf(err) != doppelboden.BadMessage {
		t.Errorf("neither From nor sender: %v, want bad_message", err)
	}
}

func TestAMailThatHairpinsIsNoLoopAndARealLoopEnds(t *testing.T) {
	line := func(door string, n int) string {
		return strings.Repeat("Received: from x (x [192.0.2.1])\r\n\tby mx.stadt.example (Doppelboden"+door+") with ESMTP id y;\r\n\tz\r\n", n)
	}
	for _, c := range []struct {
		header string
		loop   bool
	}{
		{line(" submission", 1), false},
		{line(" submission", 1) + line("", 1), false},
		{line(" submission", 10) + line("", 4), false},
		{line(" submission", 11), true},
		{line("", 5), true},
		{strings.Repeat("Received: from a by b; c\r\n", 101), true},
		{"X: by mx.stadt.example (Doppelboden) \r\n" + line("", 4), false},
	} {
		err := checkLoop([]byte(c.header), "MX.stadt.example")
		if c.loop != (err != nil) || err != nil && doppelboden.CodeOf(err) != doppelboden.Loop {
			t.Errorf("%q…: %v, want a loop: %v", c.header[:40], err, c.loop)
		}
	}
	in, f := newIntake(t, 0)
	for door, want := range map[string]string{"mx": " (Doppelboden) ", "submission": " (Doppelboden submission) "} {
		e := Envelope{Door: door, Peer: "192.0.2.1"}
		if door == "submission" {
			e = ours(t, "scan@stadt.example")
		}
		tx, err := in.Begin(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "anna@stadt.example")}); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := string(f.accepted[len(f.accepted)-1].Prefix); !strings.Contains(got, want) {
			t.Errorf("through %s: %q, want %q in it", door, got, want)
		}
	}
}

func TestARefusalOfACheckForMailOfATrustedHopHoldsIt(t *testing.T) {
	in, f := newIntake(t, 0, checkFunc(func(*Incoming) (Finding, error) {
		return Finding{}, &doppelboden.Error{Code: doppelboden.Policy, Public: "DMARC says no"}
	}))
	e := Envelope{Door: "mx", Peer: "192.0.2.20", Hop: &Hop{Inside: func(netip.Addr) bool { return false }}}
	tx, err := in.Begin(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "anna@stadt.example")}); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatalf("a 5xx would make the gateway bounce to a sender who may be forged: %v", err)
	}
	if d := f.accepted[0].Deliveries[0]; d.State != doppelboden.Held || !strings.Contains(d.Reply, "DMARC says no") {
		t.Errorf("%v %q, want held, with the check's words", d.State, d.Reply)
	}
}
