package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"doppelboden"
)

func address(t testing.TB, s string) doppelboden.Address {
	t.Helper()
	a, err := doppelboden.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// box makes a mailbox of the source; the first address is its own.
func box(t testing.TB, id doppelboden.MailboxID, external string, addresses ...string) doppelboden.Mailbox {
	t.Helper()
	b := doppelboden.Mailbox{ID: id, Tenant: 7, Source: "ldap", External: external, Kind: doppelboden.Person, Priority: 5, Address: address(t, addresses[0])}
	for _, a := range addresses[1:] {
		b.Aliases = append(b.Aliases, address(t, a))
	}
	return b
}

func byHand(b doppelboden.Mailbox) doppelboden.Mailbox { b.Source, b.External = "", ""; return b }

func goneOf(b doppelboden.Mailbox) doppelboden.Mailbox {
	b.Gone, b.Aliases, b.Members = b.Gone.AddDate(2026, 0, 0), nil, nil
	return b
}

func ranked(b doppelboden.Mailbox, p int) doppelboden.Mailbox { b.Priority = p; return b }

func TestAListMakesOnlyTheDifference(t *testing.T) {
	a := func(s string) string { return s + "@stadt.example" }
	anna, bert := box(t, 1, "g1", a("anna"), a("a")), box(t, 2, "g2", a("bert"))
	for name, c := range map[string]struct {
		known, listed []doppelboden.Mailbox
		put           []doppelboden.Mailbox
		retire        []doppelboden.MailboxID
		lost, of      int
		notes         int
	}{
		"nothing":                {known: []doppelboden.Mailbox{anna, bert}, listed: []doppelboden.Mailbox{box(t, 0, "g2", a("bert")), box(t, 0, "g1", a("anna"), a("a"))}, of: 3},
		"a priority is people's": {known: []doppelboden.Mailbox{ranked(bert, 9)}, listed: []doppelboden.Mailbox{box(t, 0, "g2", a("bert"))}, of: 1},
		"somebody new":           {known: []doppelboden.Mailbox{bert}, listed: []doppelboden.Mailbox{box(t, 0, "g2", a("bert")), box(t, 0, "g3", a("neu"))}, put: []doppelboden.Mailbox{box(t, 0, "g3", a("neu"))}, of: 1},
		"somebody left":          {known: []doppelboden.Mailbox{anna, bert}, listed: []doppelboden.Mailbox{box(t, 0, "g2", a("bert"))}, retire: []doppelboden.MailboxID{1}, lost: 2, of: 3},
		"somebody by hand stays": {known: []doppelboden.Mailbox{byHand(anna), bert}, listed: []doppelboden.Mailbox{box(t, 0, "g2", a("bert"))}, of: 1},
		"somebody came back":     {known: []doppelboden.Mailbox{goneOf(anna)}, listed: []doppelboden.Mailbox{box(t, 0, "g1", a("anna"))}, put: []doppelboden.Mailbox{box(t, 1, "g1", a("anna"))}},
		"a namesake of somebody who left": {known: []doppelboden.Mailbox{goneOf(anna)}, listed: []doppelboden.Mailbox{box(t, 0, "g9", a("anna"))},
			put: []doppelboden.Mailbox{box(t, 0, "g9", a("anna"))}},
		"a marriage": {known: []doppelboden.Mailbox{ranked(bert, 8)}, listed: []doppelboden.Mailbox{box(t, 0, "g2", a("huber"), a("bert"))},
			put: []doppelboden.Mailbox{ranked(box(t, 2, "g2", a("huber"), a("bert")), 8)}, of: 1},
		"a marriage that loses an address": {known: []doppelboden.Mailbox{bert}, listed: []doppelboden.Mailbox{box(t, 0, "g2", a("huber"))},
			put: []doppelboden.Mailbox{box(t, 2, "g2", a("huber"))}, lost: 1, of: 1},
		"people's becomes the directory's": {known: []doppelboden.Mailbox{ranked(byHand(bert), 7)}, listed: []doppelboden.Mailbox{box(t, 0, "g2", a("bert"))},
			put: []doppelboden.Mailbox{ranked(box(t, 2, "g2", a("bert")), 7)}},
		"an address of another's": {known: []doppelboden.Mailbox{byHand(anna)}, listed: []doppelboden.Mailbox{box(t, 0, "g5", a("a"))}, notes: 1},
		"a successor with the same address": {known: []doppelboden.Mailbox{bert}, listed: []doppelboden.Mailbox{box(t, 0, "g7", a("bert"))},
			put: []doppelboden.Mailbox{box(t, 0, "g7", a("bert"))}, retire: []doppelboden.MailboxID{2}, of: 1},
		"without names of its own": {known: []doppelboden.Mailbox{box(t, 3, "", a("carl"))}, listed: []doppelboden.Mailbox{box(t, 0, "", a("CARL"))},
			put: []doppelboden.Mailbox{box(t, 3, "", a("CARL"))}, of: 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := Compare(c.known, c.listed, "ldap")
			if diff := cmp.Diff(c.put, got.Put); diff != "" {
				t.Errorf("put (-want +got):\n%s", diff)
			}
			if !slices.Equal(c.retire, got.Retire) || got.Lost != c.lost || got.Of != c.of || len(got.Notes) != c.notes {
				t.Errorf("retire %v, lost %d of %d, notes %q; want %v, %d of %d, %d", got.Retire, got.Lost, got.Of, got.Notes, c.retire, c.lost, c.of, c.notes)
			}
			if got.New+got.Changed != len(got.Put) {
				t.Errorf("new %d and changed %d of %d", got.New, got.Changed, len(got.Put))
			}
		})
	}
}

func TestAListThatLosesItsMembersCountsAsLost(t *testing.T) {
	list := box(t, 1, "g1", "alle@stadt.example")
	list.Kind, list.Members = doppelboden.List, []doppelboden.Address{address(t, "anna@stadt.example")}
	empty := list
	empty.ID, empty.Members = 0, nil
	if c := Compare([]doppelboden.Mailbox{list}, []doppelboden.Mailbox{empty}, "ldap"); c.Lost != 1 {
		t.Errorf("lost %d, want 1: a right to read members that was taken away would empty every list", c.Lost)
	}
}

func TestTheGuardLetsAFewGoAndNotMany(t *testing.T) {
	for _, c := range []struct {
		lost, of, listed, percent, accept int
		ok                                bool
	}{
		{0, 1000, 1000, 5, 0, true}, {50, 1000, 950, 5, 0, true}, {51, 1000, 949, 5, 0, false},
		{5, 20, 15, 5, 0, true}, {6, 20, 14, 5, 0, false}, // a small office
		{2, 4, 2, 5, 0, true}, {3, 4, 1, 5, 0, false}, {1, 1, 1, 5, 0, false}, // never more than half
		{5, 1000, 995, 0, 0, true}, {6, 1000, 994, 0, 0, false},
		{500, 1000, 500, 100, 0, true}, {501, 1000, 499, 100, 0, false},
		{600, 1000, 400, 5, 600, true}, {600, 1000, 400, 5, 599, false}, // a person knows the number
		{1, 2, 0, 100, 0, false}, {1000, 1000, 0, 5, 1000, true}, // an empty list
		{0, 0, 0, 5, 0, false}, {0, 0, 100, 5, 0, true},
	} {
		err := guard(&Change{Lost: c.lost, Of: c.of}, c.listed, c.percent, c.accept)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestTwoEntriesWithOneAddressAreOneMailboxAndANote(t *testing.T) {
	entries := []Entry{
		{DN: "cn=b", ID: "2", Addresses: []string{"amt@stadt.example"}},
		{DN: "cn=a", ID: "1", Addresses: []string{"amt@stadt.example", "x@stadt.example"}},
		{DN: "cn=c", ID: "3", Addresses: []string{"c@stadt.example", "X@stadt.example"}},
		{DN: "cn=\x1b[31mevil\r\n", ID: "4", Addresses: []string{"no address", "<script>@stadt.example"}},
	}
	for range 2 {
		got := Compose(entries, stadt)
		if want := []string{` amt@stadt.example "" alias=x@stadt.example`, ` c@stadt.example ""`}; !slices.Equal(lines(got.Mailboxes), want) {
			t.Errorf("mailboxes %q, want %q", lines(got.Mailboxes), want)
		}
		if got.Wrong != 4 || strings.ContainsAny(strings.Join(got.Notes, ""), "\x1b\r\n") {
			t.Errorf("%d notes: %q", got.Wrong, got.Notes)
		}
		slices.Reverse(entries)
	}
}

func FuzzProxyAddress(f *testing.F) {
	for _, s := range []string{"SMTP:a@b.de", "smtp:", ":", "x500:/o=a", "sMtP:ä@ü.de", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		address, primary, ok := proxyAddress(s)
		if ok && (address == "" || !strings.HasSuffix(s, address) || !strings.EqualFold(s[:5], "smtp:")) || primary && !strings.HasPrefix(s, "SMTP:") {
			t.Errorf("%q: %q, %v, %v", s, address, primary, ok)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"range=0-1499", "Range=1500-*", "binary;range=0-0", "range=5-1", "range=-1-2", "range=99999999999-*", "range=0-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		low, high, ok := rangeOption(s)
		if ok && (low < 0 || high < -1 || high >= 0 && high < low) {
			t.Errorf("%q: %d to %d", s, low, high)
		}
	})
}

func FuzzEntries(f *testing.F) {
	f.Add("cn=a,dc=b", "smtp:a@stadt.example\nSMTP:b@stadt.example", "cn=a,dc=b\ncn=x#'01'B", byte(1))
	f.Add(`cn=\2c\,"+ou=x`, "a@stadt.example", "\\", byte(2))
	f.Fuzz(func(t *testing.T, dn, addressList, memberList string, kind byte) {
		class := [...]string{"user", "group", "contact", "nisMailAlias"}[kind%4]
		raw := &ldap.Entry{DN: dn, Attributes: []*ldap.EntryAttribute{
			{Name: "objectClass", Values: []string{class}}, {Name: "proxyAddresses", Values: strings.Split(addressList, "\n")},
			{Name: "mail", Values: strings.Split(addressList, "\n")}, {Name: "member", Values: strings.Split(memberList, "\n")},
			{Name: "displayName", Values: []string{dn}}, {Name: "objectGUID", Values: []string{dn}, ByteValues: [][]byte{[]byte(dn)}},
		}}
		s := source("active-directory")
		var entries []Entry
		for range 2 {
			e, err := s.entry(nil, presets["active-directory"], raw)
			if err != nil {
				return
			}
			entries = append(entries, e)
		}
		listed := Compose(entries, stadt)
		seen := map[string]bool{}
		for _, b := range listed.Mailboxes {
			for _, a := range append(b.Aliases, b.Address) {
				if seen[a.Key()] || a.Domain != "stadt.example" {
					t.Errorf("%s stands there twice, or is not the tenant's", a)
				}
				seen[a.Key()] = true
			}
			if strings.ContainsAny(b.Name, "\r\n\x1b") || len(b.External) > maxID {
				t.Errorf("name %q, external %q", b.Name, b.External)
			}
		}
		// Taken over, the same list makes no difference any more.
		for i := range listed.Mailboxes {
			listed.Mailboxes[i].ID = doppelboden.MailboxID(i + 1)
		}
		if c := Compare(listed.Mailboxes, Compose(entries, stadt).Mailboxes, "ldap"); len(c.Put)+len(c.Retire)+c.Lost > 0 {
			t.Errorf("the same list again: %s", fmt.Sprint(c))
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte{0x02, 1, 1, 0x64, 3, 4, 1, 'x'})
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = operation(b)
		if sound(b, maxDepth) == nil && len(b) > 0 && b[0] == 0 {
			t.Error("an element without a tag was let through")
		}
	})
}
