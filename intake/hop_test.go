package intake

import (
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"doppelboden"
)

func TestReceivedLinesOfRealServersAreUnderstood(t *testing.T) {
	for _, c := range []struct{ line, client, helo, by string }{
		{"from mail.strange.example (mail.strange.example [192.0.2.77]) by gw.stadt.example (Postfix) with ESMTPS id 4F for <a@b>; Sun", "192.0.2.77", "mail.strange.example", "gw.stadt.example"},
		{"from x (unknown [IPv6:2001:db8::1]) (using TLSv1.3 with cipher Y (256/256 bits)) (Client CN \"a [198.51.100.6] b\", Issuer \"z\" (not verified)) by gw.stadt.example (Postfix) with ESMTPS", "2001:db8::1", "x", "gw.stadt.example"},
		{"from [198.51.100.6] (unknown [192.0.2.77]) by gw.stadt.example (Postfix) with ESMTP", "192.0.2.77", "[198.51.100.6]", "gw.stadt.example"},
		{"from mail.example ([192.0.2.77] helo=hi.example) by gw.stadt.example with esmtps (TLS1.3) (Exim 4.96)", "192.0.2.77", "hi.example", "gw.stadt.example"},
		{"from [192.0.2.77] (helo=hi.example) by gw.stadt.example with esmtp (Exim 4.96)", "", "hi.example", "gw.stadt.example"},
		{"from mail.example ([192.0.2.77]:4711 helo=[198.51.100.6]) by gw.stadt.example with esmtp", "192.0.2.77", "[198.51.100.6]", "gw.stadt.example"},
		{"from mail.example (mail.example [192.0.2.77] (may be forged)) by gw.stadt.example (8.17/8.17) with ESMTP", "192.0.2.77", "mail.example", "gw.stadt.example"},
		{"from unknown (HELO hi.example) (192.0.2.77) by gw.stadt.example with SMTP", "192.0.2.77", "hi.example", "gw.stadt.example"},
		{"from unknown (HELO [198.51.100.6]) (192.0.2.77) by gw.stadt.example with SMTP", "192.0.2.77", "[198.51.100.6]", "gw.stadt.example"},
		{"from EX1.stadt.example (192.0.2.77) by EX2.stadt.example (10.0.0.2) with Microsoft SMTP Server", "192.0.2.77", "EX1.stadt.example", "EX2.stadt.example"},
		{"by gw.stadt.example (Postfix, from userid 0) id 4F; Sun", "", "", "gw.stadt.example"},
	} {
		got, ok := parseReceived(c.line)
		client := ""
		if got.client.IsValid() {
			client = got.client.String()
		}
		if !ok || client != c.client || got.helo != c.helo || got.by != c.by {
			t.Errorf("%q: %+v, %v; want %q, %q, %q", c.line, got, ok, c.client, c.helo, c.by)
		}
	}
	for _, line := range []string{"", "from", "from x", "from x (", "from x (a [192.0.2.1] [192.0.2.2]) by gw.stadt.example", "from x (a [192.0.2.999]) by gw",
		"from x (a [192.0.2.1]) with ESMTP by gw.stadt.example", "via x by y"} {
		if got, ok := parseReceived(line); ok {
			t.Errorf("%q was understood as %+v", line, got)
		}
	}
}

// gateway is a trusted hop with a content filter of its own.
func gateway() *Hop {
	return &Hop{Names: []string{"gw.stadt.example", "localhost"}, AuthservID: "gw.stadt.example",
		Inside: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.20") }}
}

func TestATrustedHopsOwnReceivedLineNamesTheClientAndNothingElseDoes(t *testing.T) {
	const (
		real   = "Received: from hi.example (mail.example [192.0.2.77])\r\n\tby gw.stadt.example (Postfix) with ESMTPS id 1; Sun\r\n"
		inner  = "Received: from localhost (localhost [127.0.0.1])\r\n\tby gw.stadt.example (Postfix) with ESMTP id 2; Sun\r\n"
		filter = "Received: from gw.stadt.example ([192.0.2.20]) by localhost (amavis) with ESMTP id 3; Sun\r\n"
		forged = "Received: from evil (good.example [198.51.100.1]) by gw.stadt.example (Postfix) with ESMTP id 4; Sun\r\n"
		other  = "Received: from evil (good.example [198.51.100.1]) by mx.elsewhere.example (Postfix) with ESMTP id 5; Sun\r\n"
		local  = "Received: by gw.stadt.example (Postfix, from userid 0) id 6; Sun\r\n"
	)
	for _, c := range []struct{ name, header, client, helo string }{
		{"its line", real + other, "192.0.2.77", "hi.example"},
		{"a forged one below it", real + forged, "192.0.2.77", "hi.example"},
		{"headers above it", "X: y\r\nAuthentication-Results: a; b\r\n" + real, "192.0.2.77", "hi.example"},
		{"its filter above it", inner + filter + real + forged, "192.0.2.77", "hi.example"},
		{"another's above it", other + real, "", ""},
		{"no line at all", "Subject: x\r\n", "", ""},
		{"its own mail, a forged line below", local + forged, "", ""},
		{"more than five within it", strings.Repeat(inner, 5) + real, "", ""},
	} {
		e := Envelope{Peer: "192.0.2.20", PeerName: "gw", Helo: "gw.stadt.example", Hop: gateway()}
		got := believe(e, []byte(c.header))
		if got.Peer != c.client || got.Helo != c.helo {
			t.Errorf("%s: client %q, helo %q; want %q, %q", c.name, got.Peer, got.Helo, c.client, c.helo)
		}
		e.Hop = nil
		if got := believe(e, []byte(c.header)); got.Peer != "192.0.2.20" || len(got.Trusted) > 0 {
			t.Errorf("%s, from a stranger: %+v, want nothing of it believed", c.name, got)
		}
		e.Hop = gateway()
		e.Hop.Told, e.Peer = true, "203.0.113.5"
		if got := believe(e, []byte(c.header)); got.Peer != "203.0.113.5" {
			t.Errorf("%s, after XCLIENT: client %q, want what that said", c.name, got.Peer)
		}
		e.Hop = gateway()
		e.Hop.Names = nil
		if got := believe(e, []byte(c.header)); got.Peer != "" {
			t.Errorf("%s, without received_by: client %q, want none", c.name, got.Peer)
		}
	}
}

func TestATrustedHopsResultsAreBelievedAsFarAsItsOwnHeaderReaches(t *testing.T) {
	const (
		received = "Received: from hi.example (mail.example [192.0.2.77])\r\n\tby gw.stadt.example (Postfix) with ESMTPS id 1; Sun\r\n"
		mine     = "Authentication-Results: gw.stadt.example;\r\n\tspf=pass smtp.mailfrom=a.example\r\n"
		others   = "Authentication-Results: mx.elsewhere.example; spf=pass\r\n"
		below    = "Received: from a (b [198.51.100.1]) by c; Sun\r\nAuthentication-Results: GW.stadt.example; dkim=pass\r\n"
	)
	want := []string{"gw.stadt.example; spf=pass smtp.mailfrom=a.example"}
	for _, header := range []string{mine + received + others + below, received + mine + below, others + received + mine + below} {
		e := believe(Envelope{Peer: "192.0.2.20", Hop: gateway()}, []byte(header))
		for i := range e.Trusted {
			e.Trusted[i] = strings.TrimSpace(e.Trusted[i])
		}
		if !slices.Equal(e.Trusted, want) {
			t.Errorf("%q: believed %q, want %q", header, e.Trusted, want)
		}
	}
	for _, odd := range []string{
		"Authentication-Results : gw.stadt.example; spf=pass\r\n", "Authentication-Results: gw.stadt.example 1; spf=pass\r\n",
		"Authentication-Results: (x) gw.stadt.example; spf=pass\r\n", "Authentication-Results: gw.stadt.example\r\n", "A\r\n",
	} {
		if e := believe(Envelope{Peer: "192.0.2.20", Hop: gateway()}, []byte(odd+received)); len(e.Trusted) > 0 {
			t.Errorf("%q is believed, and the hop may not have removed it", odd)
		}
	}
	quiet := gateway()
	quiet.AuthservID = ""
	if e := believe(Envelope{Hop: quiet}, []byte(mine+received)); len(e.Trusted) > 0 {
		t.Errorf("without authserv_id %q is believed", e.Trusted)
	}
}

func TestChecksSeeTheClientOfATrustedHopAndOurTraceLineNamesTheHop(t *testing.T) {
	var saw Envelope
	in, f := newIntake(t, 0, checkFunc(func(in *Incoming) (Finding, error) { saw = in.Envelope; return Finding{}, nil }))
	tx, err := in.Begin(Envelope{Door: "mx", Peer: "192.0.2.20", PeerName: "gw.stadt.example", Helo: "gw.stadt.example", Hop: gateway()})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rcpt(t.Context(), Recipient{Address: address(t, "anna@stadt.example")}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(tx, "Received: from hi.example (mail.example [192.0.2.77])\r\n\tby gw.stadt.example with ESMTP; Sun\r\n\r\nhello\r\n")
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := f.accepted[0]
	if saw.Peer != "192.0.2.77" || saw.Helo != "hi.example" || m.Peer != "192.0.2.77" {
		t.Errorf("checks saw %s (%s), the message has %s; want 192.0.2.77 (hi.example)", saw.Peer, saw.Helo, m.Peer)
	}
	if want := "Received: from gw.stadt.example (gw.stadt.example [192.0.2.20])"; !strings.HasPrefix(string(m.Prefix), want) {
		t.Errorf("our trace line is %q, want %q", m.Prefix, want)
	}
}

func FuzzReceived(f *testing.F) {
	for _, s := range []string{
		"from mail.example (mail.example [192.0.2.77]) by gw.example (Postfix) with ESMTPS id 1; Sun",
		"from unknown (HELO a) (192.0.2.77) by gw.example with SMTP", "from x ([192.0.2.1]:25 helo=[2.2.2.2]) by y", "by z (x)",
		"from a (b \\) [1.2.3.4] (c)) by d", "from a () () () by d", "from x (a [IPv6:::1]) by y",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseReceived(s)
		if !ok {
			return
		}
		if got.by == "" || got.client.Zone() != "" || got.client.Is4In6() || got.helo != "" && !isName(got.helo) {
			t.Fatalf("%q was read as %+v", s, got)
		}
		// Nothing that a client chooses stands outside the first comment that the server
		// wrote itself, so what follows "by" changes nothing.
		if again, ok := parseReceived(s + " (evil [203.0.113.9])"); !ok || again != got {
			t.Fatalf("%q: %+v, with a comment behind it %+v, %v", s, got, again, ok)
		}
	})
}

func FuzzBelieve(f *testing.F) {
	f.Add([]byte("Received: from hi (x [192.0.2.77])\r\n\tby gw.stadt.example; Sun\r\nAuthentication-Results: gw.stadt.example; a=b\r\n"))
	f.Add([]byte("Authentication-Results:\r\nReceived:\r\n by x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		e := believe(Envelope{Peer: "192.0.2.20", Hop: gateway()}, header)
		if e.Peer == "192.0.2.20" || len(e.Trusted) > len(header) {
			t.Fatalf("%q: %+v", header, e)
		}
		if e.Peer != "" {
			if a, err := netip.ParseAddr(e.Peer); err != nil || a.IsLoopback() {
				t.Fatalf("%q: client %q", header, e.Peer)
			}
		}
		m := &doppelboden.Message{Sender: doppelboden.Address{Local: "a", Domain: "b.example"}}
		lacking, err := repair(header, m, "mx.example")
		if err != nil {
			t.Fatalf("%q: %v", header, err)
		}
		if lacking = append(lacking, header...); !fieldsOf(lacking).date || !fieldsOf(lacking).id || !fieldsOf(lacking).from {
			t.Fatalf("%q still lacks a field: %q", header, lacking)
		}
	})
}
