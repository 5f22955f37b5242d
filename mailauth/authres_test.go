package mailauth

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestResultsAreWrittenAsRFC8601HasThem(t *testing.T) {
	got := string(Format(us, []Result{
		{Method: "spf", Value: Pass, Props: []Property{{"smtp", "mailfrom", "a@b.example"}}},
		{Method: "dkim", Value: Fail, Reason: `the "body" was changed`, Props: []Property{{"header", "d", "b.example"}, {"header", "b", "ab+/cd=="}, {"header", "i", ""}}},
		{Method: "iprev", Value: PermError, Props: []Property{{"policy", "iprev", "2001:db8::1"}}},
	}))
	want := "Authentication-Results: mx.stadt.example;\r\n" +
		"\tspf=pass smtp.mailfrom=a@b.example;\r\n" +
		"\tdkim=fail reason=\"the \\\"body\\\" was changed\" header.d=b.example header.b=\"ab+/cd==\";\r\n" +
		"\tiprev=permerror policy.iprev=2001:db8::1\r\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := string(Format(us, nil)); got != "Authentication-Results: mx.stadt.example; none\r\n" {
		t.Errorf("without results: %q", got)
	}
}

func TestFieldsOfOtherProgramsAreRead(t *testing.T) {
	spf := Result{Method: "spf", Value: Pass, Props: []Property{{"smtp", "mailfrom", "example.net"}}}
	for _, tc := range []struct {
		field string
		id    string
		want  []Result
	}{
		// RFC 8601, appendix B.
		{"Authentication-Results: example.org 1; none", "example.org", nil},
		{"example.com;\r\n\tspf=pass smtp.mailfrom=example.net", "example.com", []Result{spf}},
		{"example.com;\r\n\tauth=pass (cram-md5) smtp.auth=sender@example.net;\r\n\tspf=pass smtp.mailfrom=example.net", "example.com",
			[]Result{{Method: "auth", Value: Pass, Props: []Property{{"smtp", "auth", "sender@example.net"}}}, spf}},
		{"example.com;\r\n\tdkim=pass reason=\"good signature\"\r\n\theader.i=@mail-router.example.net;\r\n\tdkim=fail reason=\"bad signature\"\r\n\theader.i=@newyork.example.com",
			"example.com", []Result{
				{Method: "dkim", Value: Pass, Reason: "good signature", Props: []Property{{"header", "i", "@mail-router.example.net"}}},
				{Method: "dkim", Value: Fail, Reason: "bad signature", Props: []Property{{"header", "i", "@newyork.example.com"}}},
			}},
		// Appendix B.7: comments everywhere.
		{"foo.example.net (foobar) 1 (baz);\r\n\tdkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n\tpolicy (A dot can go here) . (like that) expired\r\n\t(this surprised me) = (as I wasn't expecting it) 1362471462",
			"foo.example.net", []Result{{Method: "dkim", Value: Fail, Props: []Property{{"policy", "expired", "1362471462"}}}}},
		{"\"mx \\\"a\\\"\";SPF=Pass SMTP.MailFrom=\"a;b\\\"c@x\";", "mx \"a\"", []Result{{Method: "spf", Value: Pass, Props: []Property{{"smtp", "mailfrom", "a;b\"c@x"}}}}},
		{"mx; dmarc=fail action=none header.from=b.example (p=none)", "mx", []Result{{Method: "dmarc", Value: Fail, Props: []Property{{"header", "from", "b.example"}}}}},
	} {
		id, got, ok := Parse([]byte(tc.field))
		if !ok || id != tc.id || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q:\n%s %+v %v\nwant\n%s %+v", tc.field, id, got, ok, tc.id, tc.want)
		}
	}
	for _, bad := range []string{
		"", ";", " ; none", "example.com 2; none", "example.com; spf", "example.com; spf=", "example.com; =pass", "example.com; none x",
		"example.com spf=pass", "example.com; spf=pass smtp", "example.com; spf=pass smtp.mailfrom", "example.com; spf=pass smtp.=x",
		"example.com; spf=pass smtp.mailfrom=\"a", "example.com (; spf=pass", "example.com; spf=pass" + strings.Repeat(" a.b=c", 30),
		"example.com" + strings.Repeat("; spf=pass", 101), "example.com; spf=pass (" + strings.Repeat("x", 40<<10) + ")",
		"Authentication-Results-X: example.com; none",
	} {
		if id, got, ok := Parse([]byte(bad)); ok {
			t.Errorf("%.80q was read: %s %+v", bad, id, got)
		}
	}
}

func FuzzFormatAndParse(f *testing.F) {
	f.Add("a@b.example", "fine", "b.example")
	f.Add("a\r\nX-Evil: 1", "x\"; spf=pass", "(;\\\"")
	f.Add("", "\x00ü", strings.Repeat("x", 300))
	f.Fuzz(func(t *testing.T, sender, reason, domain string) {
		field := Format(us, []Result{
			{Method: "spf", Value: Fail, Reason: reason, Props: []Property{{"smtp", "mailfrom", sender}}},
			{Method: "dkim", Value: None, Props: []Property{{"header", "d", domain}}},
		})
		for _, line := range bytes.SplitAfter(field, []byte("\r\n")) {
			if len(line) > 0 && (len(line) > 998 || bytes.ContainsAny(line[:len(line)-2], "\r\n\x00") || !bytes.HasSuffix(line, []byte("\r\n"))) {
				t.Errorf("line %q", line)
			}
		}
		if bytes.Count(field, []byte("\r\n")) != bytes.Count(field, []byte("\r\n\t"))+1 {
			t.Errorf("more than one field: %q", field)
		}
		id, got, ok := Parse(field)
		if !ok || id != us || len(got) != 2 || got[0].Value != Fail || got[1].Value != None || got[0].Method != "spf" {
			t.Errorf("%q is read as %s %+v, %v", field, id, got, ok)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("foo.example.net (foobar) 1 (baz); dkim (x) / 1 = fail policy . expired = 1"))
	f.Add([]byte("mx; spf=pass smtp.mailfrom=\"a\\\"b\""))
	f.Fuzz(func(t *testing.T, field []byte) {
		id, results, ok := Parse(field)
		if ok && id == "" || len(results) > mostResults {
			t.Errorf("%q: %q, %d results", field, id, len(results))
		}
		believe([]string{string(field)})
	})
}

func FuzzRecord(f *testing.F) {
	f.Add("v=DMARC1; p=reject; sp=none; rua=mailto:a@b")
	f.Add("v=DMARC1;;;=;p")
	f.Fuzz(func(t *testing.T, text string) {
		r, usable, ok := parseRecord(text)
		if ok && usable && (r.policy == "" || r.sub == "" || r.none == "" || r.psd == 0) {
			t.Errorf("%q: %+v", text, r)
		}
	})
}

func FuzzSPFSyntax(f *testing.F) {
	f.Add("v=spf1 a:%{d1r}.example.com/24//64 -all")
	f.Add("v=spf1 redirect=%{")
	f.Fuzz(func(t *testing.T, text string) {
		if isSPF(text) {
			validSPF(text)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte(rfc8463Mail))
	f.Add([]byte("From: \"a\\\" <b@c>\r\nFrom: (x <y@z>"))
	f.Add([]byte("DKIM-Signature: v=1; a=rsa-sha256; b=; bh=; d=a; s=b; h=from\r\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		all, size := fields(header), 0
		for _, one := range all {
			size += len(one)
			s, err := parseSignature(one)
			if err == nil {
				if s.cutFrom > s.cutTo || s.cutTo > len(one) || len(s.sig) == 0 {
					t.Errorf("%q: b= from %d to %d", one, s.cutFrom, s.cutTo)
				}
				s.signedHeader(nil, all, map[string][]int{})
			}
		}
		if size != len(header) {
			t.Errorf("fields of %q hold %d octets of %d", header, size, len(header))
		}
		if domains, ok := authors(all); ok && (len(domains) == 0 || len(domains) > mostAuthors) {
			t.Errorf("%q: authors %q", header, domains)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
	f.Add("p=MIG;h=sha256:sha1;t=y:s;s=*")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := parseKey(text); err == nil && (k.rsa == nil) == (k.ed == nil) {
			t.Errorf("%q: %+v", text, k)
		}
	})
}
