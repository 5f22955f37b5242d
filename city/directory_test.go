package city

import (
	"fmt"
	"testing"

	"doppelboden"
)

// testCity is what most tests of the directory use.
func testCity(t testing.TB) *City {
	t.Helper()
	c, err := Parse("city.toml", []byte(`format = 1
[[tenant]]
name = "musterstadt"
domains = ["musterstadt.de", "müller.de"]
postmaster = "it@musterstadt.de"
default_route = "groupware"
[[tenant.route]]
name = "groupware"
hosts = ["lmtp://gw:24"]
[[tenant.route]]
name = "hier"
domains = ["müller.de"]
here = true
[[tenant]]
name = "kreis"
domains = ["kreis.example"]
[[tenant.route]]
name = "hier"
here = true
`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var testTenants = []doppelboden.Tenant{{ID: 7, Name: "musterstadt"}, {ID: 8, Name: "kreis"}}

func address(t testing.TB, s string) doppelboden.Address {
	t.Helper()
	if s == "postmaster" {
		return doppelboden.Address{Local: s}
	}
	a, err := doppelboden.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mailbox(t testing.TB, id doppelboden.MailboxID, tenant doppelboden.TenantID, addr string, aliases ...string) doppelboden.Mailbox {
	t.Helper()
	m := doppelboden.Mailbox{ID: id, Tenant: tenant, Address: address(t, addr), Priority: 5}
	for _, a := range aliases {
		m.Aliases = append(m.Aliases, address(t, a))
	}
	return m
}

func TestEveryAddressLeadsToItsMailboxOrToTheRightRefusal(t *testing.T) {
	d := NewDirectory(testCity(t), testTenants, []doppelboden.Mailbox{
		mailbox(t, 1, 7, "it@musterstadt.de", "edv@musterstadt.de"),
		mailbox(t, 2, 7, "Anna.Müller@müller.de"),
		mailbox(t, 3, 7, "c++@musterstadt.de"),
		mailbox(t, 4, 7, "stray@elsewhere.example", "it@kreis.example"),
	})
	for _, c := range []struct {
		addr    string
		mailbox doppelboden.MailboxID
		route   string
		code    doppelboden.Code
	}{
		{addr: "it@musterstadt.de", mailbox: 1, route: "musterstadt/groupware"},
		{addr: "IT@MUSTERSTADT.DE", mailbox: 1, route: "musterstadt/groupware"},
		{addr: "edv@musterstadt.de", mailbox: 1, route: "musterstadt/groupware"},
		{addr: "it+liste@musterstadt.de", mailbox: 1, route: "musterstadt/groupware"},
		{addr: "edv+a+b@musterstadt.de", mailbox: 1, route: "musterstadt/groupware"},
		{addr: "anna.mu\u0308ller@xn--mller-kva.de", mailbox: 2, route: "musterstadt/hier"},
		{addr: "c++@musterstadt.de", mailbox: 3, route: "musterstadt/groupware"},
		{addr: "c+x@musterstadt.de", code: doppelboden.NoSuchMailbox},
		{addr: "+it@musterstadt.de", code: doppelboden.NoSuchMailbox},
		{addr: "nobody@musterstadt.de", code: doppelboden.NoSuchMailbox},
		{addr: "it@müller.de", code: doppelboden.NoSuchMailbox},
		{addr: "postmaster@musterstadt.de", mailbox: 1, route: "musterstadt/groupware"},
		{addr: "PostMaster@müller.de", mailbox: 1, route: "musterstadt/groupware"},
		{addr: "Abuse@müller.de", mailbox: 1, route: "musterstadt/groupware"},
		{addr: "postmaster", mailbox: 1, route: "musterstadt/groupware"},
		{addr: "it@kreis.example", code: doppelboden.MailboxListStale},
		{addr: "postmaster@kreis.example", code: doppelboden.MailboxListStale},
		{addr: "stray@elsewhere.example", code: doppelboden.Policy},
		{addr: "it@sub.musterstadt.de", code: doppelboden.Policy},
		{addr: "it@[192.0.2.1]", code: doppelboden.Policy},
	} {
		got, err := d.Lookup(address(t, c.addr))
		if c.mailbox == 0 {
			if code := doppelboden.CodeOf(err); err == nil || code != c.code {
				t.Errorf("%s: %+v, %v (%v); want refusal %v", c.addr, got, err, code, c.code)
			}
			continue
		}
		if err != nil || got.Mailbox != c.mailbox || got.Tenant != 7 || got.Route.Key() != c.route {
			t.Errorf("%s: %+v, %v; want mailbox %d by route %s", c.addr, got, err, c.mailbox, c.route)
		}
	}
}

func TestAPostmasterNobodyReadsIsAskedForLaterAndNamed(t *testing.T) {
	d := NewDirectory(testCity(t), testTenants, []doppelboden.Mailbox{mailbox(t, 1, 7, "anna@musterstadt.de")})
	for _, addr := range []string{"postmaster@musterstadt.de", "postmaster", "abuse@müller.de"} {
		if _, err := d.Lookup(address(t, addr)); doppelboden.CodeOf(err) != doppelboden.MailboxListStale {
			t.Errorf("%s: %v, want mailbox_list_stale", addr, err)
		}
	}
	if got := fmt.Sprint(d.Missing()); got != "[it@musterstadt.de]" {
		t.Errorf("missing postmasters: %s, want only that of the tenant with a list", got)
	}
	d = d.With([]doppelboden.Mailbox{mailbox(t, 2, 7, "chef@musterstadt.de", "it@musterstadt.de")})
	if got, err := d.Lookup(address(t, "postmaster@müller.de")); err != nil || got.Mailbox != 2 {
		t.Errorf("postmaster by an alias: %+v, %v; want mailbox 2", got, err)
	}
	if len(d.Missing()) != 0 {
		t.Errorf("missing postmasters: %v, want none", d.Missing())
	}
}

func TestWithChangesTheCopyAndNotTheOriginal(t *testing.T) {
	before := NewDirectory(testCity(t), testTenants, []doppelboden.Mailbox{mailbox(t, 1, 7, "a@musterstadt.de", "b@musterstadt.de")})
	after := before.With([]doppelboden.Mailbox{mailbox(t, 1, 7, "a@musterstadt.de", "c@musterstadt.de")})
	for _, c := range []struct {
		d    *Directory
		addr string
		ok   bool
	}{
		{before, "b@musterstadt.de", true}, {before, "c@musterstadt.de", false},
		{after, "b@musterstadt.de", false}, {after, "c@musterstadt.de", true},
	} {
		if _, err := c.d.Lookup(address(t, c.addr)); (err == nil) != c.ok {
			t.Errorf("%s: %v, want found=%v", c.addr, err, c.ok)
		}
	}
}

func TestAMailboxKeepsARouteWhenItsDomainIsGone(t *testing.T) {
	d := NewDirectory(testCity(t), testTenants, []doppelboden.Mailbox{mailbox(t, 1, 7, "a@gone.example")})
	r, ok := d.RouteOf(1)
	if !ok || r.Key() != "musterstadt/groupware" {
		t.Errorf("route %v, %v; want the default route, for mail may wait", r, ok)
	}
	if _, ok := d.RouteOf(99); ok {
		t.Error("an unknown mailbox has a route")
	}
}

// large returns a directory of a large city.
func large(t testing.TB, n int) *Directory {
	boxes := make([]doppelboden.Mailbox, n)
	for i := range boxes {
		boxes[i] = doppelboden.Mailbox{ID: doppelboden.MailboxID(i + 1), Tenant: 7,
			Address: doppelboden.Address{Local: fmt.Sprintf("vorname.nachname%d", i), Domain: "musterstadt.de"}}
	}
	return NewDirectory(testCity(t), testTenants, boxes)
}

// The bound is a microsecond; the test allows five, for the machine is shared.
func TestALookupAmongHundredThousandMailboxesIsFast(t *testing.T) {
	d := large(t, 100_000)
	a := address(t, "Vorname.Nachname99999+tag@musterstadt.de")
	r := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := d.Lookup(a); err != nil {
				b.Fatal(err)
			}
		}
	})
	if r.NsPerOp() > 5000 {
		t.Errorf("%d ns for one look-up, want at most 5000", r.NsPerOp())
	}
}

func BenchmarkLookup(b *testing.B) {
	d := large(b, 100_000)
	a := address(b, "vorname.nachname99999@musterstadt.de")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Lookup(a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWith(b *testing.B) {
	d := large(b, 100_000)
	m := []doppelboden.Mailbox{mailbox(b, 5, 7, "neu@musterstadt.de")}
	for b.Loop() {
		d = d.With(m)
	}
}
