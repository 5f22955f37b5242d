package dsn

import (
	"bufio"
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"
	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// zone is where the reports of the tests are read.
var zone = time.FixedZone("", 3600)

const originalHeader = "Received: from laptop ([192.0.2.7]) by mx.stadt.example; now\r\n" +
	"Subject: =?utf-8?q?Bescheid_=C3=BCber_Gr=C3=BCnschnitt?=\r\n" +
	"From: Anna <anna@stadt.example>\r\nTo: eva@example.org\r\nMessage-ID: <1234.abc@stadt.example>\r\n"

// basic is a report about one recipient who does not exist.
func basic() Report {
	return Report{
		ID: "019aa0b1-7f00-7000-8000-000000000001", Hostname: "mx.stadt.example",
		From: doppelboden.Address{Local: "postmaster", Domain: "stadt.example"},
		To:   doppelboden.Address{Local: "anna", Domain: "stadt.example"},
		Date: time.Date(2026, 11, 22, 21, 4, 5, 0, zone), EnvID: "QQ314159+2B", Helo: "laptop.stadt.example",
		Arrived: time.Date(2026, 11, 22, 20, 0, 0, 0, zone), Receipt: "7Q2K-MH4D-9TWX-3VBN-RS5A",
		Recipients: []Recipient{{
			Address: doppelboden.Address{Local: "eva", Domain: "example.org"}, ORcpt: "rfc822;eva+2Blist@example.org",
			Action: Failed, Status: "5.1.1", Server: "mx1.example.org:25",
			Reply:       doppelboden.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user here / see https://example.org/help"},
			LastAttempt: time.Date(2026, 11, 22, 21, 4, 0, 0, zone),
		}},
		Original: Original{Header: []byte(originalHeader)},
	}
}

// reports are the cases of the golden files.
func reports() map[string]Report {
	all := map[string]Report{"failed": basic()}

	full := basic()
	full.Original.Body, full.Original.Whole = []byte("Guten Tag,\r\n.\r\nmit Gr\xc3\xbc\xc3\x9fen\r\n"), true
	all["failed-full"] = full

	several := basic()
	several.Original.Body, several.Original.Whole = []byte("x\r\n"), true
	several.Recipients = append(several.Recipients,
		Recipient{Address: doppelboden.Address{Local: "big", Domain: "example.net"}, Action: Failed, Status: "5.2.2", Server: "192.0.2.25:25",
			Reply: doppelboden.Reply{Code: 552, Enhanced: "5.2.2", Text: "over quota"}},
		Recipient{Address: doppelboden.Address{Local: "old", Domain: "example.com"}, Action: Failed, Status: "4.4.7", Server: "[2001:db8::25]:25",
			Reply: doppelboden.Reply{Text: "no answer in time"}},
		Recipient{Address: doppelboden.Address{Local: "ok", Domain: "example.com"}, Action: Relayed, Server: "mx.example.com:25",
			Reply: doppelboden.Reply{Code: 250, Text: "queued as 1"}},
		Recipient{Address: doppelboden.Address{Local: "bert", Domain: "stadt.example"}, Action: Delivered})
	all["several"] = several

	delayed := basic()
	delayed.Recipients[0].Action, delayed.Recipients[0].Status = Delayed, "4.2.0"
	delayed.Recipients[0].Reply = doppelboden.Reply{Code: 451, Enhanced: "4.2.0", Text: "greylisted"}
	delayed.Recipients[0].Until = time.Date(2026, 11, 27, 20, 0, 0, 0, zone)
	delayed.Original.Body, delayed.Original.Whole = []byte("not returned"), true
	all["delayed"] = delayed

	returned := basic()
	returned.Recipients[0].Why = "Bürgerbüro: falsch zugestellt"
	all["returned"] = returned

	international := basic()
	international.SMTPUTF8 = true
	international.To.Local = "änne"
	international.Recipients[0].Address = doppelboden.Address{Local: "jürgen", Domain: "xn--mnchen-3ya.example"}
	international.Recipients[0].ORcpt = `utf-8;j\x{FC}rgen@m\x{FC}nchen.example`
	international.Recipients[0].Reply.Text = "kein Postfach für jürgen"
	international.Original.Header = []byte("Subject: Grüße\r\nFrom: änne@stadt.example\r\n")
	international.Original.Body, international.Original.Whole = []byte("Grüße\r\n"), true
	all["international"] = international

	hostile := basic()
	hostile.EnvID = "x+0D+0AX-Evil: 1"
	hostile.Helo = "evil\r\nX-Evil: 1"
	hostile.Recipients[0].ORcpt = "rfc822;eva+0D+0AX-Evil:+201@example.org"
	hostile.Recipients[0].Server = "evil\r\nX-Evil: 1:25"
	hostile.Recipients[0].Reply.Text = "no\r\n\r\n--=_019aa0b1-7f00-7000-8000-000000000001_0\r\nX-Evil: 1 \u202egnp.exe\x00 \x1b[2J" + strings.Repeat(" long", 400) + strings.Repeat("x", 3000)
	hostile.Original.Header = []byte("Subject: a\r\n b =?utf-8?q?=0D=0AX-Evil:_1?=\r\nMessage-ID: <a@b>\r\n X: <evil@c>\r\nX-8bit: \xff\xfe\r\nX-Long: " + strings.Repeat("y", 3000) + "\r\n")
	hostile.Original.Body, hostile.Original.Whole = []byte("bare \r CR, NUL \x00\r\n"), true
	all["hostile"] = hostile
	return all
}

func TestReportsLookAsTheyDid(t *testing.T) {
	for name, r := range reports() {
		c, err := Build(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		path := filepath.Join("testdata", name+".eml")
		if *update {
			if err := os.WriteFile(path, c.Bytes, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(c.Bytes)); diff != "" {
			t.Errorf("%s differs from %s (-want +got):\n%s", name, path, diff)
		}
	}
}

// sound reports what is wrong with a notification as an independent reader sees it, and
// returns its parts by media type.
func sound(t *testing.T, r Report, c Content) map[string]string {
	t.Helper()
	for _, line := range strings.Split(string(c.Bytes), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("a line that cannot be sent: %.200q", line)
		}
	}
	if !bytes.HasSuffix(c.Bytes, crlf) {
		t.Errorf("the last line does not end")
	}
	head, _, _ := bytes.Cut(c.Bytes, []byte("\r\n\r\n"))
	if hasHigh(head) && !c.SMTPUTF8 {
		t.Errorf("the header holds UTF-8 and SMTPUTF8 is not set")
	}
	if hasHigh(c.Bytes[len(head):]) && !c.EightBit {
		t.Errorf("octets above 127, and EightBit is not set")
	}
	e, err := message.Read(bytes.NewReader(c.Bytes))
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	h := mail.Header{Header: e.Header}
	to, err := h.AddressList("To")
	if err != nil || len(to) != 1 || to[0].Address != r.To.String() {
		t.Errorf("To: %v, %v, want %s", to, err, r.To)
	}
	if _, err := h.Date(); err != nil {
		t.Errorf("Date: %v", err)
	}
	if id, err := h.MessageID(); err != nil || id != r.ID+"@"+r.Hostname {
		t.Errorf("Message-ID: %q, %v", id, err)
	}
	if got := h.Get("Auto-Submitted"); got != "auto-replied" {
		t.Errorf("Auto-Submitted: %q", got)
	}
	if h.Has("X-Evil") {
		t.Errorf("a header field was smuggled in: %q", head)
	}
	kind, params, err := e.Header.ContentType()
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("Content-Type: %q %v %v", kind, params, err)
	}
	return partsOf(t, e)
}

// partsOf reads the three parts of a report.
func partsOf(t *testing.T, e *message.Entity) map[string]string {
	t.Helper()
	parts := map[string]string{}
	var order []string
	mr := e.MultipartReader()
	for {
		p, err := mr.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("part %d: %v", len(order), err)
		}
		kind, _, err := p.Header.ContentType()
		if err != nil {
			t.Fatalf("type of part %d: %v", len(order), err)
		}
		text, err := io.ReadAll(p.Body)
		if err != nil {
			t.Fatalf("part %s: %v", kind, err)
		}
		order, parts[kind] = append(order, kind), string(text)
	}
	if len(order) != 3 || order[0] != "text/plain" || !strings.HasSuffix(order[1], "delivery-status") {
		t.Errorf("parts %v, want text, delivery status and the original", order)
	}
	return parts
}

// groups reads the groups of fields of the part for machines.
func groups(t *testing.T, status string) []textproto.Header {
	t.Helper()
	var all []textproto.Header
	for _, group := range strings.Split(strings.TrimSuffix(status, "\r\n"), "\r\n\r\n") {
		h, err := textproto.ReadHeader(newReader(group + "\r\n\r\n"))
		if err != nil {
			t.Fatalf("fields %q: %v", group, err)
		}
		all = append(all, h)
	}
	return all
}

func TestAnIndependentReaderFindsEveryPartAndField(t *testing.T) {
	for name, r := range reports() {
		t.Run(name, func(t *testing.T) {
			c, err := Build(r)
			if err != nil {
				t.Fatal(err)
			}
			parts := sound(t, r, c)
			status := parts["message/delivery-status"] + parts["message/global-delivery-status"]
			got := groups(t, status)
			if len(got) != 1+len(r.Recipients) {
				t.Fatalf("%d groups of fields for %d recipients:\n%s", len(got), len(r.Recipients), status)
			}
			if mta := got[0].Get("Reporting-MTA"); mta != "dns; mx.stadt.example" {
				t.Errorf("Reporting-MTA: %q", mta)
			}
			for i, to := range r.Recipients {
				h := got[i+1]
				if h.Get("Action") != string(to.Action) || !strings.HasSuffix(h.Get("Final-Recipient"), "; "+to.Address.String()) || !isStatus(h.Get("Status")) {
					t.Errorf("recipient %d: %v", i, h.Map())
				}
				if h.Has("X-Evil") || got[0].Has("X-Evil") {
					t.Errorf("a field was smuggled in:\n%s", status)
				}
			}
		})
	}
}

func TestWhatComesBackIsBoundedByWhatWasAskedAndWhatCanBeCarried(t *testing.T) {
	has := func(r Report) string {
		c, err := Build(r)
		if err != nil {
			t.Fatal(err)
		}
		for kind := range sound(t, r, c) {
			if kind != "text/plain" && !strings.HasSuffix(kind, "delivery-status") {
				return kind
			}
		}
		return ""
	}
	whole := func(change func(*Report)) Report {
		r := basic()
		r.Original.Body, r.Original.Whole = []byte("x\r\n"), true
		change(&r)
		return r
	}
	for _, c := range []struct {
		name string
		r    Report
		want string
	}{
		{"header alone", basic(), "text/rfc822-headers"},
		{"all of it", whole(func(*Report) {}), "message/rfc822"},
		{"all of it, without a line end", whole(func(r *Report) { r.Original.Body = []byte("x") }), "message/rfc822"},
		{"a delay returns no content", whole(func(r *Report) { r.Recipients[0].Action = Delayed }), "text/rfc822-headers"},
		{"a success returns no content", whole(func(r *Report) { r.Recipients[0].Action = Relayed }), "text/rfc822-headers"},
		{"lines too long for MIME", whole(func(r *Report) { r.Original.Body = bytes.Repeat([]byte("x"), 999) }), "text/rfc822-headers"},
		{"the longest line", whole(func(r *Report) { r.Original.Body = bytes.Repeat([]byte("x"), 998) }), "message/rfc822"},
		{"NUL", whole(func(r *Report) { r.Original.Body = []byte("a\x00b") }), "text/rfc822-headers"},
		{"international", whole(func(r *Report) { r.SMTPUTF8 = true }), "message/global"},
		{"international header", whole(func(r *Report) { r.SMTPUTF8, r.Original.Whole = true, false }), "message/global-headers"},
	} {
		if got := has(c.r); got != c.want {
			t.Errorf("%s: the third part is %q, want %q", c.name, got, c.want)
		}
	}
	big := basic()
	big.Original.Header = bytes.Repeat([]byte("X-A: b\r\n"), 100_000)
	c, err := Build(big)
	if err != nil || len(c.Bytes) > 2*maxHeader {
		t.Errorf("a header of 800 KB makes a notification of %d bytes, %v; want at most %d", len(c.Bytes), err, 2*maxHeader)
	}
}

func TestTheMessageComesBackByteForByte(t *testing.T) {
	r := basic()
	r.Original.Body, r.Original.Whole = []byte("\r\n.\r\n--\r\n\xe4\xf6\xfc\r\n"), true
	c, err := Build(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := originalHeader + "\r\n" + string(r.Original.Body); sound(t, r, c)["message/rfc822"] != want {
		t.Errorf("got back %q, want %q", sound(t, r, c)["message/rfc822"], want)
	}
	if !c.EightBit {
		t.Errorf("the notification holds octets above 127 and does not say so")
	}
}

func TestTheBoundaryIsFoundInNoPart(t *testing.T) {
	r := basic()
	r.Original.Body = []byte("--=_" + r.ID + "_0\r\n--=_" + r.ID + "_1--\r\n")
	r.Original.Whole = true
	c, err := Build(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := sound(t, r, c)["message/rfc822"]; !strings.HasSuffix(got, "_1--\r\n") {
		t.Errorf("the message was cut at its own text: %q", got)
	}
}

func TestManyRecipientsAreToldToPeopleInPartAndToMachinesInFull(t *testing.T) {
	r := basic()
	for len(r.Recipients) < 1000 {
		r.Recipients = append(r.Recipients, r.Recipients[0])
	}
	c, err := Build(r)
	if err != nil {
		t.Fatal(err)
	}
	parts := sound(t, r, c)
	if n := strings.Count(parts["text/plain"], "An: "); n != maxTold {
		t.Errorf("people read about %d recipients, want %d", n, maxTold)
	}
	if n := len(groups(t, parts["message/delivery-status"])); n != 1001 {
		t.Errorf("machines read %d groups, want 1001", n)
	}
}

func TestAReportThatMakesNoSenseIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Report){
		"no id":          func(r *Report) { r.ID = "" },
		"an id with CR":  func(r *Report) { r.ID = "a\rb" },
		"no host":        func(r *Report) { r.Hostname = "" },
		"null sender":    func(r *Report) { r.To = doppelboden.Address{} },
		"nobody to ask":  func(r *Report) { r.From = doppelboden.Address{} },
		"no recipient":   func(r *Report) { r.Recipients = nil },
		"unknown action": func(r *Report) { r.Recipients[0].Action = "expanded" },
	} {
		r := basic()
		change(&r)
		if _, err := Build(r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestStatusFitsTheAction(t *testing.T) {
	for _, c := range []struct {
		action       Action
		status, want string
	}{
		{Failed, "5.1.1", "5.1.1"}, {Failed, "4.4.7", "5.4.7"}, {Failed, "", "5.0.0"}, {Failed, "5.1", "5.0.0"},
		{Failed, "5.1.1\r\nX: y", "5.0.0"}, {Failed, "5.1.1234", "5.0.0"}, {Delayed, "5.1.1", "4.1.1"}, {Delayed, "nonsense", "4.0.0"},
		{Relayed, "", "2.0.0"}, {Delivered, "2.1.5", "2.1.5"},
	} {
		if got := (&Recipient{Action: c.action, Status: c.status}).status(); got != c.want {
			t.Errorf("%s with %q: %q, want %q", c.action, c.status, got, c.want)
		}
	}
}

func TestOriginalRecipientsAreDecodedAndHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "",
		"eva@example.org":            "",
		"rfc822;eva+2Bx@example.org": "rfc822; eva+x@example.org",
		"rfc822;a+0D+0Ab":            "rfc822; a b",
		"rfc822;a+ZZ":                "rfc822; a+ZZ",
		`utf-8;j\x{FC}rgen`:          "utf-8; jürgen",
		`utf-8;j\x{110000}x\x{`:      `utf-8; j\x{110000}x\x{`,
		`utf-8;\x{0A}X: y`:           "utf-8; X: y",
		"x400;/C=DE/":                "x400; /C=DE/",
		"evil\r\nX: y;z":             "",
	} {
		if got := originalRecipient(in, plain); got != want {
			t.Errorf("ORCPT %q: %q, want %q", in, got, want)
		}
	}
}

func FuzzBuild(f *testing.F) {
	f.Add("No such user", "rfc822;a+40b", "QQ+31", "laptop", "5.1.1", []byte(originalHeader), []byte("body\r\n"), true)
	f.Add("\r\n--x\r\n", "utf-8;\\x{FC}", "+", "a\nb", "9", []byte("X\r\n\r\n"), []byte("\x00\xff"), false)
	f.Fuzz(func(t *testing.T, text, orcpt, envid, helo, status string, header, body []byte, utf8 bool) {
		r := basic()
		to := &r.Recipients[0]
		to.Reply.Text, to.ORcpt, r.EnvID, r.Helo, to.Status, to.Server = text, orcpt, envid, helo, status, helo
		to.Why = status
		r.Original = Original{Header: header, Body: body, Whole: true}
		r.SMTPUTF8 = utf8
		c, err := Build(r)
		if err != nil {
			t.Fatal(err)
		}
		parts := sound(t, r, c)
		if got := groups(t, parts["message/delivery-status"]+parts["message/global-delivery-status"]); len(got) != 2 {
			t.Errorf("%d groups of fields, want 2", len(got))
		}
	})
}

func newReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }
