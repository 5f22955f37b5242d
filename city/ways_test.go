package city

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"doppelboden"
	"doppelboden/store"
)

const migrationText = `format = 1
[[tenant]]
name = "stadt"
domains = ["stadt.de"]
default_route = "old"
[[tenant.route]]
name = "old"
hosts = ["lmtp://old:24"]
[[tenant.route]]
name = "new"
hosts = ["lmtp://new:24"]
[[tenant.route]]
name = "notfall"
here = true
[[tenant]]
name = "kreis"
domains = ["kreis.de"]
[[tenant.route]]
name = "new"
hosts = ["lmtp://kreis:24"]
`

// migration returns a directory with four mailboxes of stadt and one of kreis (5).
func migration(t *testing.T) *Directory {
	t.Helper()
	c, err := Parse("city.toml", []byte(migrationText))
	if err != nil {
		t.Fatal(err)
	}
	var boxes []doppelboden.Mailbox
	for i := range 5 {
		m := doppelboden.Mailbox{ID: doppelboden.MailboxID(i + 1), Tenant: 1, Address: doppelboden.Address{Local: fmt.Sprintf("u%d", i+1), Domain: "stadt.de"}}
		if i == 4 {
			m.Tenant, m.Address.Domain = 2, "kreis.de"
		}
		boxes = append(boxes, m)
	}
	return NewDirectory(c, []doppelboden.Tenant{{ID: 1, Name: "stadt"}, {ID: 2, Name: "kreis"}}, boxes)
}

// decidedWays is what people decided about the mailboxes of migration.
var decidedWays = Decided{
	Ways: []store.Way{
		{Tenant: 1, Mailbox: 1, Route: "new"},
		{Tenant: 1, Mailbox: 2, Route: "new", Also: []string{"old"}},
		{Tenant: 1, Mailbox: 3, Also: []string{"new"}},
		{Tenant: 1, Mailbox: 4, Route: "gone", Also: []string{"gone", "old", "notfall"}},
		{Tenant: 1, Mailbox: 5, Route: "old"}, // of another tenant
	},
	Destinations: []doppelboden.Destination{
		{ID: -1, Tenant: 1, Mailbox: 2, Route: "old"},
		{ID: -2, Tenant: 1, Mailbox: 3, Route: "new"},
		{ID: -3, Tenant: 1, Mailbox: 4, Route: "notfall"},
		{ID: -4, Tenant: 1, Mailbox: 4, Route: "old"},
		{ID: -5, Tenant: 1, Mailbox: 1, Route: "old"}, // mail may still wait for it
		{ID: -6, Domain: "example.com"},
	},
}

func TestAMailboxGoesItsOwnWayAndToOthersToo(t *testing.T) {
	d := migration(t).Under(decidedWays)
	d = d.With([]doppelboden.Mailbox{{ID: 1, Tenant: 1, Address: doppelboden.Address{Local: "u1", Domain: "stadt.de"}, Name: "changed"}})
	for _, c := range []struct {
		address, route string
		also           []string
	}{
		{"u1@stadt.de", "stadt/new", nil},
		{"u2@stadt.de", "stadt/new", []string{"-1 stadt/old"}},
		{"u3@stadt.de", "stadt/old", []string{"-2 stadt/new"}},
		{"u4@stadt.de", "stadt/old", nil}, // its own route is gone; the others are senseless
		{"u5@kreis.de", "kreis/new", nil},
	} {
		a, err := doppelboden.ParseAddress(c.address)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Lookup(a)
		if err != nil {
			t.Fatalf("%s: %v", c.address, err)
		}
		var also []string
		for _, s := range got.Also {
			also = append(also, fmt.Sprint(s.Box, " ", s.Route.Key()))
		}
		if got.Route.Key() != c.route || !slices.Equal(also, c.also) {
			t.Errorf("%s goes by %s and %v, want %s and %v", c.address, got.Route.Key(), also, c.route, c.also)
		}
	}
}

func TestASecondDeliveryKeepsItsRouteWhenItsMailboxNoLongerGoesThere(t *testing.T) {
	d := migration(t).Under(decidedWays)
	for box, want := range map[doppelboden.BoxID]string{-5: "stadt/old 1", -1: "stadt/old 2", 1: "stadt/new 1", 5: "kreis/new 5", -6: "", -7: "", 9: ""} {
		got := ""
		if r, m, ok := d.RouteOfBox(box); ok {
			got = fmt.Sprint(r.Key(), " ", m)
		}
		if got != want {
			t.Errorf("box %d: %q, want %q", box, got, want)
		}
	}
}

func TestAPausedTenantAnswers450AndAClosedOne550ForItsDomainsAlone(t *testing.T) {
	for state, want := range map[store.TenantState]doppelboden.Code{store.TenantPaused: doppelboden.TenantPaused, store.TenantClosed: doppelboden.TenantClosed} {
		d := migration(t).Under(Decided{Standings: []store.Standing{{Tenant: 1, State: state}, {Tenant: 2, State: store.TenantOpen}}})
		for _, a := range []doppelboden.Address{{Local: "u1", Domain: "stadt.de"}, {Local: "nobody", Domain: "stadt.de"}, {Local: "postmaster"}} {
			if got := doppelboden.CodeOf(d.Takes(a)); got != want {
				t.Errorf("%s, %v: %v, want %v", state, a, got, want)
			}
		}
		for _, a := range []doppelboden.Address{{Local: "u5", Domain: "kreis.de"}, {Local: "x", Domain: "elsewhere.de"}} {
			if err := d.Takes(a); err != nil {
				t.Errorf("%s, %v: %v, want that it is not concerned", state, a, err)
			}
		}
		if _, err := d.Lookup(doppelboden.Address{Local: "u1", Domain: "stadt.de"}); err != nil {
			t.Errorf("%s: people cannot look up a mailbox any more: %v", state, err)
		}
	}
}

// findIn finds the mailboxes of a directory.
func findIn(d *Directory) func(doppelboden.Address) (doppelboden.MailboxID, bool) {
	return func(a doppelboden.Address) (doppelboden.MailboxID, bool) {
		t, err := d.Lookup(a)
		return t.Mailbox, err == nil
	}
}

func TestAListOfAddressesIsReadAsAWholeOrNotAtAll(t *testing.T) {
	d := migration(t)
	for _, c := range []struct {
		name, text, mistakes string
		want                 []doppelboden.MailboxID
	}{
		{"plain", "u1@stadt.de\nu5@kreis.de\n", "", []doppelboden.MailboxID{1, 5}},
		{"of Excel", "\ufeffAddress;name\r\nu1@stadt.de;\"Eins; der Erste\"\r\n;\r\nU2@Stadt.de;Zwei\r\n", "", []doppelboden.MailboxID{1, 2}},
		{"with a comment", "# wave 1\n\nu3@stadt.de # not a comment\n", "l:3: address = \"u3@stadt.de # not a comment\": not a mail address: domain is malformed; write local@domain", nil},
		{"quoted", "address\n\"u1@stadt.de\",x\n\"\"\"u2\"\"@stadt.de\"\n", "", []doppelboden.MailboxID{1, 2}},
		{"twice", "u1@stadt.de\nu1+x@stadt.de\n", `l:2: address = "u1+x@stadt.de": line 1 has the same mailbox; write every mailbox once`, nil},
		{"unknown", "u1@stadt.de\nu9@stadt.de\nx@example.com\n", "l:2: address = \"u9@stadt.de\": no mailbox has this address; add the mailbox first, or leave the line out\n" +
			"l:3: address = \"x@example.com\": no mailbox has this address; add the mailbox first, or leave the line out", nil},
		{"empty", "address\n", "l:1: address: the list has no mailbox; write the address of one mailbox in each line", nil},
		{"Latin-1", "u1@stadt.de\nm\xfcller@stadt.de\n", "l:2: address: not UTF-8; save the list as CSV UTF-8", nil},
	} {
		got, err := ParseAddresses("l", []byte(c.text), findIn(d))
		said := ""
		if err != nil {
			said = err.Error()
		}
		if diff := cmp.Diff(c.want, got); diff != "" || said != c.mistakes {
			t.Errorf("%s: (-want +got)\n%s\nmistakes %q\nwant     %q", c.name, diff, said, c.mistakes)
		}
	}
}

func FuzzParseAddresses(f *testing.F) {
	for _, s := range []string{"u1@stadt.de\n", "address;x\n\"u1@stadt.de\";\"\"\"\n", "\xff\xfe", "# x\n,,\n\"", "a@b,\"\x00"} {
		f.Add([]byte(s))
	}
	every := func(a doppelboden.Address) (doppelboden.MailboxID, bool) {
		return doppelboden.MailboxID(len(a.Local)), true
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ParseAddresses("list", text, every)
		var all Mistakes
		if err != nil && (!errors.As(err, &all) || len(all) == 0 || got != nil) {
			t.Fatalf("%q gave %v and %v", text, got, err)
		}
		for _, m := range all {
			if m.Line < 1 || m.Line > strings.Count(string(text), "\n")+1 {
				t.Fatalf("%q: a mistake in line %d", text, m.Line)
			}
		}
		if err == nil && len(got) == 0 {
			t.Fatalf("%q is an empty list without a mistake", text)
		}
	})
}

func TestARouteWithoutDomainsIsForSingleMailboxes(t *testing.T) {
	d := migration(t)
	for m := range d.All() {
		if r, _ := d.RouteOf(m.ID); m.Tenant == 1 && r.Name != "old" {
			t.Errorf("%v goes by %s although nobody moved it", m.Address, r.Key())
		}
	}
}
