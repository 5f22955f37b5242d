package city

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"
	encodings "golang.org/x/text/encoding/unicode"

	"doppelboden"
)

// tenantOf is what the tests' directory would say.
func tenantOf(domain string) (doppelboden.TenantID, bool) {
	id, ok := map[string]doppelboden.TenantID{"musterstadt.de": 7, "xn--mller-kva.de": 7, "kreis.example": 8}[domain]
	return id, ok
}

const excel = "address;name;kind;department;priority;aliases\r\n" +
	"anna@musterstadt.de;Anna Müller;person;Bürgerbüro;9;\"a.mueller@musterstadt.de, anna@müller.de\"\r\n" +
	"buergerbuero@musterstadt.de;\"Amt \"\"Mitte\"\"; Haus 2\";Function;;;\r\n" +
	";;;;;\r\n"

func TestAListOfGermanExcelIsReadInEveryEncoding(t *testing.T) {
	want := []doppelboden.Mailbox{
		{Tenant: 7, Address: address(t, "anna@musterstadt.de"), Name: "Anna Müller", Kind: doppelboden.Person, Department: "Bürgerbüro", Priority: 9,
			Aliases: []doppelboden.Address{address(t, "a.mueller@musterstadt.de"), address(t, "anna@müller.de")}},
		{Tenant: 7, Address: address(t, "buergerbuero@musterstadt.de"), Name: `Amt "Mitte"; Haus 2`, Kind: doppelboden.Function, Priority: 5},
	}
	ansi, err := charmap.Windows1252.NewEncoder().String(excel)
	if err != nil {
		t.Fatal(err)
	}
	wide, err := encodings.UTF16(encodings.LittleEndian, encodings.UseBOM).NewEncoder().String(excel)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"UTF-8": excel, "UTF-8 with BOM": "\ufeff" + excel, "Windows-1252": ansi, "UTF-16": wide,
		"UTF-8 with LF": strings.ReplaceAll(excel, "\r\n", "\n"),
	} {
		got, err := ParseCSV("list.csv", []byte(text), tenantOf)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.HasPrefix(name, got.Encoding) || got.Separator != ";" {
			t.Errorf("%s: read as %s with %q", name, got.Encoding, got.Separator)
		}
		if diff := cmp.Diff(want, got.Mailboxes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestColumnsStandInAnyOrderAndOnlyAddressIsNeeded(t *testing.T) {
	for _, text := range []string{
		"address\na@musterstadt.de\n",
		"Priority, Address \n5,a@musterstadt.de",
		"aliases\taddress\n\ta@musterstadt.de\n",
	} {
		got, err := ParseCSV("list.csv", []byte(text), tenantOf)
		if err != nil || len(got.Mailboxes) != 1 || got.Mailboxes[0].Address.String() != "a@musterstadt.de" {
			t.Errorf("%q: %+v, %v; want one mailbox", text, got, err)
		}
	}
}

func TestAListWithMistakesIsRefusedAsAWholeAndAllAreNamed(t *testing.T) {
	const good = "ok@musterstadt.de"
	for name, c := range map[string]struct{ text, want string }{
		"empty":          {"", "l:1: the file is empty; write a first line with address,name,kind,department,priority,aliases,members,building,phone"},
		"no mailbox":     {"address\n\n", "l:1: the list has no mailbox; write one line for each mailbox below the header"},
		"no address":     {"name\nAnna\n", "l:1: address: is missing; write a column with the name address"},
		"unknown column": {"address,nam\n", `l:1: column 9: column = "nam": unknown column; did you mean name?`},
		"column twice":   {"address,address\n", `l:1: column 9: column = "address": written twice; write every column once`},
		"not an address": {"address\n" + good + "\nfoo\n", `l:3: column 1: address = "foo": not a mail address: local part is malformed; write local@domain`},
		"foreign domain": {"address\nx@example.org\n", `l:2: column 1: address = "x@example.org": its domain is no tenant's; add the domain to city.toml first, or leave the line out`},
		"twice":          {"address\n" + good + "\n\nOK@musterstadt.de\n", `l:4: column 1: address = "OK@musterstadt.de": line 2 has the same address; write every address and alias once`},
		"alias taken":    {"name,address,aliases\n,a@musterstadt.de,b@musterstadt.de\n,b@musterstadt.de,\n", `l:3: column 2: address = "b@musterstadt.de": line 2 has the same address; write every address and alias once`},
		"alias of another tenant": {"address,aliases\n" + good + ",x@kreis.example\n",
			`l:2: column 19: aliases = "x@kreis.example": its domain is not one of the mailbox's tenant; write an alias in the same city's domains`},
		"kind":     {"address,kind\n" + good + ",robot\n", `l:2: column 19: kind = "robot": not a kind; write person, function or list`},
		"priority": {"address,priority\n" + good + ",10\n", `l:2: column 19: priority = "10": not a priority; write 0 to 9; 9 is handed over first`},
		"name":     {"address,name\n" + good + ",\"a\x1b[31m\"\n", `l:2: column 19: name = "a\x1b[31m": holds control characters; write one line of text`},
		"fields":   {"address,name\n" + good + "\n", `l:2: 1 fields, but the header has 2; quote fields that hold the separator`},
		"quote":    {"address,name\n" + good + ",a\"b\n", `l:2: column 20: bare " in non-quoted-field; write a quote within quotes twice: "say ""hello"""`},
		"two charsets": {"address,name\na@musterstadt.de,Müller\nb@musterstadt.de,M\xfcller\n",
			`l:3: column 19: the byte 0xfc is no UTF-8, and the file as a whole is no Windows-1252 either; save the list as CSV UTF-8`},
		"members of a person":    {"address,kind,members\n" + good + ",person,a@x.example\n", `l:2: column 26: members = "a@x.example": a person has no members; write function or list as the kind, or leave members out`},
		"a list without members": {"address,kind\n" + good + ",list\n", `l:2: members: is missing; write the addresses of the list's members`},
		"a member that is none":  {"address,kind,members\n" + good + ",list,a@x.example foo\n", `l:2: column 24: members = "foo": not a mail address: local part is malformed; write local@domain`},
		"several": {"address,priority\nfoo,1\n" + good + ",x\n", "l:2: column 1: address = \"foo\": not a mail address: local part is malformed; write local@domain\n" +
			`l:3: column 19: priority = "x": not a priority; write 0 to 9; 9 is handed over first`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseCSV("l", []byte(c.text), tenantOf)
			if err == nil {
				t.Fatalf("taken: %+v", got)
			}
			if err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
			if code := doppelboden.CodeOf(err); code != doppelboden.Invalid {
				t.Errorf("code %v, want invalid", code)
			}
		})
	}
}

func TestAListMayHaveMembersAnywhereAndNamesEachOnce(t *testing.T) {
	got, err := ParseCSV("l", []byte("address;kind;members\nalle@musterstadt.de;List;a@musterstadt.de, A@musterstadt.de|eva@example.org\na@musterstadt.de;;\n"), tenantOf)
	if err != nil {
		t.Fatal(err)
	}
	want := []doppelboden.Mailbox{
		{Tenant: 7, Address: address(t, "alle@musterstadt.de"), Kind: doppelboden.List, Priority: 5,
			Members: []doppelboden.Address{address(t, "a@musterstadt.de"), address(t, "eva@example.org")}},
		{Tenant: 7, Address: address(t, "a@musterstadt.de"), Kind: doppelboden.Person, Priority: 5},
	}
	if diff := cmp.Diff(want, got.Mailboxes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAHopelessListIsNotToldToItsEnd(t *testing.T) {
	_, err := ParseCSV("l", []byte("address\n"+strings.Repeat("foo\n", 100_000)), tenantOf)
	var m Mistakes
	if !errors.As(err, &m) || len(m) != maxMistakes {
		t.Errorf("%d mistakes, want %d", len(m), maxMistakes)
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte(excel))
	f.Add([]byte("address\na@musterstadt.de\n\"x\ny\"@kreis.example"))
	f.Add([]byte("\xff\xfea\x00d\x00"))
	f.Add([]byte("address,name\na@musterstadt.de,M\xfcller\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ParseCSV("l", text, tenantOf)
		if err != nil {
			if !errors.As(err, new(Mistakes)) {
				t.Fatalf("the error is no Mistakes: %v", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, m := range got.Mailboxes {
			for _, a := range append(m.Aliases, m.Address) {
				if seen[a.Key()] {
					t.Errorf("%s is in the list twice", a)
				}
				seen[a.Key()] = true
				if id, ok := tenantOf(a.Domain); !ok || id != m.Tenant {
					t.Errorf("%s is not in a domain of tenant %d", a, m.Tenant)
				}
			}
		}
	})
}
