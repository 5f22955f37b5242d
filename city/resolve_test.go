package city

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doppelboden"
	"doppelboden/store"
)

// peopleCity is a city in which everything about people is configured.
func peopleCity(t testing.TB) *City {
	t.Helper()
	c, err := Parse("city.toml", []byte(`format = 1
[[tenant]]
name = "musterstadt"
domains = ["musterstadt.de", "alle.de", "kept.de"]
postmaster = "it@musterstadt.de"
[[tenant.route]]
name = "groupware"
hosts = ["lmtp://gw:24"]
[[tenant.unknown]]
domains = ["alle.de"]
catch_all = "it@musterstadt.de"
[[tenant.unknown]]
domains = ["kept.de"]
keep = true
[[tenant.department]]
name = "Feuerwehr"
priority = 9
[[tenant.ldap]]
name = "ad"
preset = "active-directory"
servers = ["ldaps://dc1.musterstadt.de"]
base = "dc=musterstadt,dc=de"
max_age_hours = 2
refresh_minutes = 10
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

func listOf(t testing.TB, id doppelboden.MailboxID, addr string, members ...string) doppelboden.Mailbox {
	t.Helper()
	m := mailbox(t, id, 7, addr)
	m.Kind = doppelboden.List
	for _, a := range members {
		m.Members = append(m.Members, address(t, a))
	}
	return m
}

func TestListsAreResolvedDownToEachMailboxOnce(t *testing.T) {
	boxes := []doppelboden.Mailbox{
		mailbox(t, 1, 7, "it@musterstadt.de", "edv@musterstadt.de"), mailbox(t, 2, 7, "anna@musterstadt.de"), mailbox(t, 3, 8, "x@kreis.example"),
		listOf(t, 10, "alle@musterstadt.de", "anna@musterstadt.de", "amt@musterstadt.de", "Amt2@musterstadt.de", "eva@example.org"),
		listOf(t, 11, "amt@musterstadt.de", "edv@musterstadt.de", "it@musterstadt.de", "alle@musterstadt.de", "amt@musterstadt.de"),
		listOf(t, 12, "amt2@musterstadt.de", "it@musterstadt.de", "EVA@example.org", "eva@example.org", "x@kreis.example", "weg@musterstadt.de"),
		listOf(t, 13, "leer@musterstadt.de"), listOf(t, 14, "kreis@musterstadt.de", "kreis@musterstadt.de"),
		listOf(t, 15, "niemand@musterstadt.de", "weg@musterstadt.de"), listOf(t, 16, "fern@musterstadt.de", "eva@example.org"),
	}
	chain := boxes
	for i := range 20_000 { // lists within lists, deeper than any
		chain = append(chain, listOf(t, doppelboden.MailboxID(1000+i), fmt.Sprintf("k%d@musterstadt.de", i), fmt.Sprintf("k%d@musterstadt.de", i+1)))
	}
	chain = append(chain, mailbox(t, 99_999, 7, "k20000@musterstadt.de"))
	d := NewDirectory(peopleCity(t), testTenants, chain)
	for addr, want := range map[string]string{
		"anna@musterstadt.de":    "2:",
		"alle@musterstadt.de":    "2:anna@musterstadt.de 1:it@musterstadt.de out:EVA@example.org nobody:x@kreis.example nobody:weg@musterstadt.de",
		"AMT@musterstadt.de":     "1:it@musterstadt.de 2:anna@musterstadt.de out:EVA@example.org nobody:x@kreis.example nobody:weg@musterstadt.de",
		"leer@musterstadt.de":    "no_such_mailbox",
		"kreis@musterstadt.de":   "no_such_mailbox",
		"niemand@musterstadt.de": "mailbox_list_stale",
		"fern@musterstadt.de":    "out:eva@example.org",
		"k0@musterstadt.de":      "99999:k20000@musterstadt.de",
		"x@alle.de":              "1:it@musterstadt.de",
		"x@kept.de":              "keep",
		"it@kept.de":             "keep",
		"postmaster@kept.de":     "1:",
	} {
		r, err := d.Resolve(address(t, addr), nil, time.Now())
		if got := resolved(r, err); got != want {
			t.Errorf("%s: %s\nwant %s", addr, got, want)
		}
	}
	got := map[string]string{}
	for l, s := range d.Strays {
		got[l.Address.Local] = fmt.Sprint(s.Outside, s.Nobody)
	}
	want := map[string]string{"alle": "[eva@example.org] []", "amt2": "[EVA@example.org eva@example.org x@kreis.example] [weg@musterstadt.de]",
		"niemand": "[] [weg@musterstadt.de]", "fern": "[eva@example.org] []"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lists with members that are none of ours (-want +got):\n%s", diff)
	}
}

// resolved writes a resolution as one line.
func resolved(r Resolution, err error) string {
	if err != nil {
		return doppelboden.CodeOf(err).String()
	}
	var parts []string
	for _, f := range r.Targets {
		parts = append(parts, fmt.Sprintf("%d:%s", f.Mailbox, f.Address))
	}
	for _, a := range r.Outside {
		parts = append(parts, "out:"+a.String())
	}
	for _, a := range r.Nobody {
		parts = append(parts, "nobody:"+a.String())
	}
	if r.Keep {
		parts = append(parts, "keep")
	}
	return strings.Join(parts, " ")
}

func TestAnUnknownRecipientIsPutOffWhileTheListIsTooOld(t *testing.T) {
	c, now := peopleCity(t), time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	gone := mailbox(t, 2, 7, "weg@musterstadt.de")
	gone.Gone, gone.Source = now.Add(-time.Hour), "ad"
	removed := mailbox(t, 3, 7, "entfernt@musterstadt.de")
	removed.Gone = now.Add(-time.Hour)
	d := NewDirectory(c, testTenants, []doppelboden.Mailbox{mailbox(t, 1, 7, "it@musterstadt.de"), gone, removed, mailbox(t, 4, 8, "x@kreis.example")})
	if d.Len() != 2 {
		t.Errorf("%d mailboxes, want 2 without those that are gone", d.Len())
	}
	ad := func(read time.Time, writing bool) []store.Listing {
		return []store.Listing{{Tenant: 7, Source: "ad", Read: read, Writing: writing}, {Tenant: 7, Source: "old one", Read: now.Add(-1000 * time.Hour)}}
	}
	for name, c := range map[string]struct {
		listings []store.Listing
		at       time.Time
		stale    bool
	}{
		"never read":             {nil, now, true},
		"just read":              {ad(now, false), now, false},
		"read two hours ago":     {ad(now, false), now.Add(2 * time.Hour), false},
		"older":                  {ad(now, false), now.Add(2*time.Hour + time.Second), true},
		"written in part":        {ad(now, true), now, true},
		"an import in part":      {append(ad(now, false), store.Listing{Tenant: 7, Writing: true}), now, true},
		"an import that is done": {append(ad(now, false), store.Listing{Tenant: 7, Read: now}), now, false},
		"another tenant's":       {append(ad(now, false), store.Listing{Tenant: 8, Writing: true}), now, false},
	} {
		f := NewFreshness(d.City(), testTenants, c.listings)
		want := map[string]string{"nobody@musterstadt.de": "no_such_mailbox", "it@musterstadt.de": "1:", "weg@musterstadt.de": "mailbox_list_stale",
			"entfernt@musterstadt.de": "no_such_mailbox", "nobody@kreis.example": "no_such_mailbox", "x@strange.example": "policy"}
		if c.stale {
			want["nobody@musterstadt.de"], want["entfernt@musterstadt.de"] = "mailbox_list_stale", "mailbox_list_stale"
		}
		if name == "another tenant's" {
			want["nobody@kreis.example"] = "mailbox_list_stale"
		}
		for addr, answer := range want {
			r, err := d.Resolve(address(t, addr), f, c.at)
			if got := resolved(r, err); got != answer {
				t.Errorf("%s: %s: %s, want %s", name, addr, got, answer)
			}
		}
	}
	r, err := d.Resolve(gone.Address, NewFreshness(d.City(), testTenants, ad(now.Add(30*time.Hour), false)), now.Add(24*time.Hour))
	if got := resolved(r, err); got != "no_such_mailbox" {
		t.Errorf("a day after it was gone: %s, want no_such_mailbox", got)
	}
}

func TestADepartmentGivesItsMailboxesAPriorityUnlessTheyHaveTheirOwn(t *testing.T) {
	ranked := func(id doppelboden.MailboxID, department string, own int) doppelboden.Mailbox {
		m := mailbox(t, id, 7, fmt.Sprintf("p%d@musterstadt.de", id))
		m.Department, m.Priority = department, own
		return m
	}
	d := NewDirectory(peopleCity(t), testTenants, []doppelboden.Mailbox{ranked(1, "feuerwehr", 5), ranked(2, "Feuerwehr", 3), ranked(3, "", 5), ranked(4, "Ordnungsamt", 7)})
	var got []int
	for id := range 4 {
		got = append(got, d.PriorityOf(doppelboden.MailboxID(id+1)))
	}
	if want := []int{9, 3, 5, 7}; !slices.Equal(got, want) {
		t.Errorf("priorities %v, want %v", got, want)
	}
	if r, err := d.Lookup(address(t, "p1@musterstadt.de")); err != nil || r.Priority != 9 {
		t.Errorf("looked up: %+v, %v; want priority 9", r, err)
	}
}

func TestADirectoryIsReadFromTheConfigurationWithSaneDefaults(t *testing.T) {
	c := peopleCity(t)
	want := LDAP{Name: "ad", Preset: ActiveDirectory, Servers: []LDAPServer{{TLS: true, Addr: "dc1.musterstadt.de:636"}}, StartTLS: true,
		Base: "dc=musterstadt,dc=de", Refresh: 10 * time.Minute, MaxAge: 2 * time.Hour, MaxLost: 5, MaxEntries: 200_000}
	if diff := cmp.Diff([]LDAP{want}, c.Tenants[0].Directories); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	text := `format = 1
[[tenant]]
name = "a"
domains = ["a.de"]
[[tenant.route]]
name = "here"
here = true
[[tenant.ldap]]
name = "open"
preset = "openldap"
servers = ["ldap://[::1]", "ldap://127.0.0.1:1389"]
tls = "off"
ca_file = "ca.pem"
base = "dc=a"
filter = "(&(ou=x)(!(l=*)))"
aliases_attribute = "mailLocalAddress"
bind_dn = "user@a.de"
password_credential = "ldap"
max_removals_percent = 0
max_entries = 10
`
	c, err := Parse("city.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want = LDAP{Name: "open", Preset: OpenLDAP, Servers: []LDAPServer{{Addr: "[::1]:389"}, {Addr: "127.0.0.1:1389"}}, CA: "ca.pem", Base: "dc=a",
		Filter: "(&(ou=x)(!(l=*)))", Aliases: "mailLocalAddress", BindDN: "user@a.de", Password: Secret{Credential: "ldap"},
		Refresh: 15 * time.Minute, MaxAge: 48 * time.Hour, MaxEntries: 10}
	if diff := cmp.Diff([]LDAP{want}, c.Tenants[0].Directories); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
