package mailauth

import (
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/test/peer"
)

func TestRecordsAreReadAsRFC9989Says(t *testing.T) {
	for _, tc := range []struct {
		text   string
		ok     bool // it is a record
		usable bool
		want   record
	}{
		{"v=DMARC1; p=none; rua=mailto:d@example.com", true, true, record{policy: NoWish, sub: NoWish, none: NoWish, psd: 'u'}},
		{"v=DMARC1;p=reject;sp=quarantine;np=none;adkim=s;aspf=S;t=y;psd=n;fo=1;", true, true,
			record{policy: Reject, sub: Quarantine, none: NoWish, dkim: true, spf: true, psd: 'n', test: true}},
		{" v = DMARC1 ; p = Quarantine ", true, true, record{policy: Quarantine, sub: Quarantine, none: Quarantine, psd: 'u'}},
		{"v=DMARC1; p=quarantine; sp=reject", true, true, record{policy: Quarantine, sub: Reject, none: Reject, psd: 'u'}},
		{"v=DMARC1", true, true, record{policy: NoWish, sub: NoWish, none: NoWish, psd: 'u'}},
		{"v=DMARC1; rua=mailto:d@example.com; unknown=1; pct=0; p=reject", true, true, record{policy: Reject, sub: Reject, none: Reject, psd: 'u'}},
		{"v=DMARC1; p=reject; p=none", true, true, record{policy: Reject, sub: Reject, none: Reject, psd: 'u'}},
		{"v=DMARC1; p=nonsense; rua=mailto:d@example.com", true, true, record{policy: NoWish, sub: NoWish, none: NoWish, psd: 'u'}},
		{"v=DMARC1; p=reject; sp=nonsense", true, false, record{}},
		{"v=DMARC1; p=; rua=nonsense", true, false, record{}},
		{"v=DMARC1; adkim=x; ;;=; p=reject", true, true, record{policy: Reject, sub: Reject, none: Reject, psd: 'u'}},
		{"v=dmarc1; p=reject", false, false, record{}},
		{"p=reject; v=DMARC1", false, false, record{}},
		{"v=DMARC10; p=reject", false, false, record{}},
		{"v=spf1 -all", false, false, record{}},
		{"", false, false, record{}},
	} {
		got, usable, ok := parseRecord(tc.text)
		if ok != tc.ok || usable != tc.usable || ok && usable && got != tc.want {
			t.Errorf("%q: %+v, usable %v, a record %v; want %+v, %v, %v", tc.text, got, usable, ok, tc.want, tc.usable, tc.ok)
		}
	}
}

// dmarcZone has organisations of every kind.
const dmarcZone = `
_dmarc.strict.example.       TXT "v=DMARC1; p=reject; adkim=s; aspf=s"
_dmarc.relaxed.example.      TXT "v=DMARC1; p=reject; sp=quarantine; np=reject"
sub.relaxed.example.         A 192.0.2.9
_dmarc.own.relaxed.example.  TXT "v=DMARC1; p=none"
_dmarc.test.example.         TXT "v=DMARC1; p=reject; t=y"
_dmarc.two.example.          TXT "v=DMARC1; p=reject"
_dmarc.two.example.          TXT "v=DMARC1; p=none"
_dmarc.sure.example.         TXT "v=DMARC1; p=quarantine; psd=n"
_dmarc.a.sure.example.       TXT "v=DMARC1; p=reject; psd=n"
_dmarc.gov.example.          TXT "v=DMARC1; p=none; sp=quarantine; np=reject; psd=y"
town.gov.example.            A 192.0.2.9
_dmarc.co.uk.                TXT "v=DMARC1; p=reject; sp=quarantine"
shop.co.uk.                  A 192.0.2.9
_dmarc.mail.example.         TXT "v=DMARC1; p=reject"
mail.example.                A 192.0.2.9
`

func TestPolicyAndOrganisationAreFoundByWalkingTheTree(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: dmarcZone})
	c := newChecker(t, s.Addr(), Mark)
	for _, tc := range []struct {
		domain, org string
		policyAt    string // "": none
		wish        Wish
	}{
		{"strict.example", "strict.example", "strict.example", Reject},
		{"relaxed.example", "relaxed.example", "relaxed.example", Reject},
		{"sub.relaxed.example", "relaxed.example", "relaxed.example", Quarantine},
		{"nowhere.relaxed.example", "relaxed.example", "relaxed.example", Reject}, // np=
		{"own.relaxed.example", "relaxed.example", "own.relaxed.example", NoWish}, // its own, whatever stands above
		{"a.b.c.d.e.f.g.h.i.relaxed.example", "relaxed.example", "relaxed.example", Reject},
		{"test.example", "test.example", "test.example", Quarantine}, // t=y: one step less
		{"two.example", "two.example", "", NoWish},                   // two records are none
		{"x.a.sure.example", "a.sure.example", "a.sure.example", Reject},
		{"town.gov.example", "town.gov.example", "gov.example", Quarantine},
		{"x.town.gov.example", "town.gov.example", "gov.example", Reject},
		{"gov.example", "gov.example", "gov.example", NoWish},
		{"shop.co.uk", "shop.co.uk", "co.uk", Quarantine}, // a public suffix, though it does not say so
		{"x.shop.co.uk", "shop.co.uk", "co.uk", Quarantine},
		{"unknown.example", "unknown.example", "", NoWish},
		{"example", "example", "", NoWish},
	} {
		w, err := c.treeWalk(t.Context(), tc.domain)
		if err != nil || w.organisation() != tc.org {
			t.Errorf("organisation of %s: %s, %v; want %s", tc.domain, w.organisation(), err, tc.org)
		}
		_, r, ok, err := c.discover(t.Context(), tc.domain)
		if err != nil || ok != (tc.policyAt != "") || r.domain != tc.policyAt {
			t.Errorf("policy of %s: at %q, %v, %v; want %q", tc.domain, r.domain, ok, err, tc.policyAt)
			continue
		}
		if wish, err := c.wish(t.Context(), tc.domain, r); ok && (err != nil || wish != tc.wish) {
			t.Errorf("%s wants %s, %v; want %s", tc.domain, wish, err, tc.wish)
		}
	}
	if asked := s.Asked("_dmarc.b.c.d.e.f.g.h.i.relaxed.example"); asked != 0 {
		t.Errorf("a walk of eight steps asked for the second name of eleven labels")
	}
	if asked := s.Asked("_dmarc.g.h.i.relaxed.example"); asked == 0 {
		t.Errorf("a walk of eight steps never asked for the name of five labels")
	}
}

func TestDMARCPassesWithOneAlignedProof(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: dmarcZone})
	s.Treat("_dmarc.broken.example", peer.ServFail)
	s.Treat("_dmarc.slow.relaxed.example", peer.ServFail)
	c := newChecker(t, s.Addr(), Mark)
	dkim := func(v Value, domain string) []*signed {
		return []*signed{{signature: &signature{domain: domain}, result: Result{Value: v}}}
	}
	for _, tc := range []struct {
		author string
		spf    spfVerdict
		dkim   []*signed
		want   Value
	}{
		// RFC 7489, appendix B.1 (SPF) and B.1.2 (DKIM): equal, below, and foreign.
		{"strict.example", spfVerdict{domain: "strict.example", value: Pass}, nil, Pass},
		{"strict.example", spfVerdict{domain: "child.strict.example", value: Pass}, nil, Fail},
		{"relaxed.example", spfVerdict{domain: "child.relaxed.example", value: Pass}, nil, Pass},
		{"relaxed.example", spfVerdict{domain: "other.example", value: Pass}, nil, Fail},
		{"strict.example", spfVerdict{}, dkim(Pass, "strict.example"), Pass},
		{"child.relaxed.example", spfVerdict{}, dkim(Pass, "relaxed.example"), Pass},
		{"relaxed.example", spfVerdict{}, dkim(Pass, "sample.example"), Fail},
		{"relaxed.example", spfVerdict{domain: "relaxed.example", value: SoftFail}, dkim(Fail, "relaxed.example"), Fail},
		{"relaxed.example", spfVerdict{domain: "relaxed.example", value: Fail}, dkim(Pass, "x.relaxed.example"), Pass},
		{"relaxed.example", spfVerdict{domain: "relaxed.example", value: Pass}, dkim(Policy, "relaxed.example"), Pass},
		// Two towns below one public suffix are not one organisation.
		{"shop.co.uk", spfVerdict{domain: "other.co.uk", value: Pass}, nil, Fail},
		{"town.gov.example", spfVerdict{domain: "city.gov.example", value: Pass}, nil, Fail},
		{"town.gov.example", spfVerdict{domain: "x.town.gov.example", value: Pass}, nil, Pass},
		// Trouble with the DNS is never a failure.
		{"broken.example", spfVerdict{}, nil, TempError},
		{"relaxed.example", spfVerdict{domain: "relaxed.example", value: TempError}, nil, TempError},
		{"relaxed.example", spfVerdict{domain: "other.example", value: TempError}, nil, Fail},
		{"relaxed.example", spfVerdict{}, dkim(TempError, "relaxed.example"), TempError},
		{"relaxed.example", spfVerdict{domain: "slow.relaxed.example", value: Pass}, nil, TempError},
		{"relaxed.example", spfVerdict{domain: "slow.relaxed.example", value: Pass}, dkim(Pass, "relaxed.example"), Pass},
		{"unknown.example", spfVerdict{domain: "unknown.example", value: Pass}, nil, None},
	} {
		got := c.dmarc(t.Context(), tc.author, evidence{spf: tc.spf, dkim: tc.dkim})
		if got.value != tc.want {
			t.Errorf("%s with SPF %+v and %d signatures: %s (%s), want %s", tc.author, tc.spf, len(tc.dkim), got.value, got.reason, tc.want)
		}
	}
}

func TestAuthorsAreAllDomainsOfAllFromFields(t *testing.T) {
	for _, tc := range []struct {
		header string
		want   string // joined; "-": cannot be read
	}{
		{"From: a@b.example\r\n", "b.example"},
		{"From: \"Bank <x@bank.example>\" <a@b.example>\r\n", "b.example"},
		{"From: x@bank.example <a@b.example>\r\n", "b.example"},
		{"From: (x@bank.example) a@b.example (c)\r\n", "b.example"},
		{"FROM : Jürgen Groß [Amt: 5] <a@B.Example.>\r\n", "b.example"},
		{"From: =?utf-8?q?x?= <a@\r\n b.example>\r\n", "b.example"},
		{"From: a@bürger.example\r\n", "xn--brger-kva.example"},
		{"From: A <a@b.example>, \"C, D\" <c@d.example>\r\n", "b.example d.example"},
		{"From: team: a@b.example, c@b.example;\r\n", "b.example"},
		{"From: a@b.example\r\nfrom: c@d.example\r\n", "b.example d.example"},
		{"From: <a@b.example> <c@d.example>\r\n", "b.example d.example"},
		{"From: \"a@x\"@b.example\r\n", "b.example"},
		{"From: a@b.c, a@d.e, a@f.g, a@h.i, a@j.k\r\n", "-"},
		{"From: nobody\r\n", "-"}, {"From:\r\n", "-"}, {"From: <>\r\n", "-"}, {"From: a@[192.0.2.1]\r\n", "-"},
		{"To: a@b.example\r\n", "-"}, {"X-From: a@b.example\r\n", "-"}, {"", "-"},
		{"From: a@b.example, c@\r\n", "-"},
	} {
		got, ok := authors(fields([]byte(tc.header)))
		want := tc.want
		if joined := strings.Join(got, " "); ok != (want != "-") || ok && joined != want {
			t.Errorf("%q: %q, %v; want %s", tc.header, joined, ok, want)
		}
	}
}

func TestTheTenantDecidesWhatBecomesOfMailThatFails(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: `
_dmarc.reject.example.     TXT "v=DMARC1; p=reject"
_dmarc.quarantine.example. TXT "v=DMARC1; p=quarantine"
_dmarc.none.example.       TXT "v=DMARC1; p=none"
_dmarc.half.example.       TXT "v=DMARC1; p=reject"
`})
	s.Treat("_dmarc.broken.example", peer.ServFail)
	s.Treat("half.example", peer.ServFail) // its SPF record
	for _, tc := range []struct {
		handling Handling
		author   string
		trusted  string
		refused  bool
		held     bool
	}{
		{Mark, "reject.example", "", false, false},
		{Hold, "reject.example", "", false, true},
		{Hold, "quarantine.example", "", false, true},
		{Hold, "none.example", "", false, false},
		{Hold, "broken.example", "", false, false},
		{Hold, "unknown.example", "", false, false},
		{Hold, "half.example", "", false, false},
		{Refuse, "half.example", "", false, false},
		{Refuse, "reject.example", "", true, false},
		{Refuse, "quarantine.example", "", false, true},
		{Refuse, "none.example", "", false, false},
		{Refuse, "broken.example", "", false, false},
		{Refuse, "reject.example", "gw.stadt.example; dmarc=pass header.from=reject.example", false, false},
		{Refuse, "reject.example", "gw.stadt.example; dmarc=fail header.from=reject.example", true, false},
		{Refuse, "reject.example", "gw.stadt.example; dmarc=pass header.from=other.example", true, false},
	} {
		c := newChecker(t, s.Addr(), tc.handling)
		in := incoming(t, "192.0.2.1", "x.example", "a@"+strings.Replace(tc.author, "reject.", "other.", 1), []byte("From: a@"+tc.author+"\r\n\r\nx\r\n"))
		if tc.trusted != "" {
			in.Envelope.Trusted = []string{tc.trusted}
		}
		found, err := c.Check(t.Context(), in)
		if refused := doppelboden.CodeOf(err) == doppelboden.Policy; refused != tc.refused || (err != nil) != tc.refused || (found.Hold != "") != tc.held {
			t.Errorf("handling %d of %s (%s): %v, held %q; want refused %v, held %v", tc.handling, tc.author, tc.trusted, err, found.Hold, tc.refused, tc.held)
		}
	}
}

var _ intake.Check = (*Checker)(nil)
