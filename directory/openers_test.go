package directory

import (
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/test/peer"
)

const openersLDIF = `dn: uid=anna,dc=stadt,dc=example
objectClass: inetOrgPerson
uid: anna
cn: Anna
sn: Anna
mail: anna@stadt.example

dn: uid=bert,dc=stadt,dc=example
objectClass: inetOrgPerson
uid: bert
cn: Bert
sn: Bert
mail: bert@stadt.example

dn: uid=carl,dc=stadt,dc=example
objectClass: inetOrgPerson
uid: carl
cn: Carl
sn: Carl
mail: carl@stadt.example

dn: cn=buergerbuero,dc=stadt,dc=example
objectClass: groupOfNames
objectClass: extensibleObject
cn: buergerbuero
mail: buergerbuero@stadt.example
businessCategory: Function
member: UID=anna,dc=stadt, dc=example
member: cn=team,dc=stadt,dc=example
member: cn=presse,dc=stadt,dc=example
member: uid=niemand,dc=stadt,dc=example

dn: cn=team,dc=stadt,dc=example
objectClass: groupOfNames
objectClass: extensibleObject
cn: team
mail: team@stadt.example
member: uid=bert,dc=stadt,dc=example
member: cn=kern,dc=stadt,dc=example

dn: cn=kern,dc=stadt,dc=example
objectClass: nisMailAlias
objectClass: extensibleObject
cn: kern
mail: kern@stadt.example
rfc822MailMember: team@stadt.example
rfc822MailMember: fremd@elsewhere.example

dn: cn=presse,dc=stadt,dc=example
objectClass: organizationalRole
objectClass: extensibleObject
cn: presse
mail: presse@stadt.example
employeeType: function
roleOccupant: uid=bert,dc=stadt,dc=example
owner: uid=anna,dc=stadt,dc=example
manager: uid=carl,dc=stadt,dc=example
labeledURI: carl@stadt.example

dn: uid=amt,dc=stadt,dc=example
objectClass: inetOrgPerson
uid: amt
cn: Amt
sn: Amt
mail: amt@stadt.example
employeeType: function
`

func TestWhoMayOpenAFunctionMailboxComesFromOpenLDAP(t *testing.T) {
	needSlapd(t)
	s := peer.For(t, peer.Slapd{LDIF: openersLDIF})
	src := source(city.OpenLDAP, city.LDAPServer{Addr: s.Addr()})
	lists := []string{
		`person anna@stadt.example "Anna"`, `person bert@stadt.example "Bert"`, `person carl@stadt.example "Carl"`,
		`list team@stadt.example "team" member=bert@stadt.example member=kern@stadt.example`,
		`list kern@stadt.example "kern" member=fremd@elsewhere.example member=team@stadt.example`,
		`function amt@stadt.example "Amt"`,
		// Groups are opened, also when they hold each other; another function and strangers open nothing.
		`function buergerbuero@stadt.example "buergerbuero" member=anna@stadt.example member=bert@stadt.example`,
	}
	got := read(t, src)
	sameLines(t, got.Mailboxes, append(lists, `function presse@stadt.example "presse" member=anna@stadt.example member=bert@stadt.example`)...)
	if got.Wrong != 1 || !strings.Contains(got.Notes[0], "uid=niemand") {
		t.Errorf("notes %q, want the one who is nobody", got.Notes)
	}
	for _, attribute := range []string{"manager", "labeledURI"} { // a name, and an address
		src.opts.LDAP.Members = attribute
		sameLines(t, read(t, src).Mailboxes, append(lists, `function presse@stadt.example "presse" member=anna@stadt.example member=bert@stadt.example member=carl@stadt.example`)...)
	}
}

func TestWhoHasFullAccessInActiveDirectoryMayOpenAndWhoSendsOnBehalfMayNot(t *testing.T) {
	needSlapd(t)
	ldif := strings.Replace(adLDIF, "msExchRecipientTypeDetails: 4\n", "msExchRecipientTypeDetails: 4\nmsExchDelegateListLink: cn=Anna Müller,dc=stadt,dc=example\n"+
		"msExchDelegateListLink: cn=Bert,dc=stadt,dc=example\npublicDelegates: cn=Eva \\28Landkreis\\29,dc=stadt,dc=example\npublicDelegates: cn=Carla,dc=stadt,dc=example\n", 1) +
		"\ndn: cn=Carla,dc=stadt,dc=example\nobjectClass: user\ncn: Carla\nsn: Carla\nmail: carla@stadt.example\nuserAccountControl: 512\n" + guid(8)
	s := peer.For(t, peer.Slapd{LDIF: ldif})
	src := source(city.ActiveDirectory, city.LDAPServer{Addr: s.Addr()})
	members := func() (all []string) {
		for _, b := range read(t, src).Mailboxes {
			if b.Address.Local == "poststelle" {
				for _, m := range b.Members {
					all = append(all, m.String())
				}
			}
		}
		return all
	}
	// Bert's account is disabled.
	if got := strings.Join(members(), " "); got != "anna.mueller@stadt.example" {
		t.Errorf("poststelle may be opened by %q, want Anna alone", got)
	}
	src.opts.LDAP.Members = "publicDelegates" // what the city says counts
	if got := strings.Join(members(), " "); got != "anna.mueller@stadt.example carla@stadt.example" {
		t.Errorf("with members_attribute poststelle may be opened by %q, want Anna and Carla", got)
	}
}

func TestFunctionMailboxesThatWouldBelongToNobodyCountAsLostAndWhatPeopleSaidStays(t *testing.T) {
	box := func(id int, local, source string, members ...string) doppelboden.Mailbox {
		b := doppelboden.Mailbox{ID: doppelboden.MailboxID(id), Tenant: 7, Source: source, Kind: doppelboden.Function, Address: doppelboden.Address{Local: local, Domain: "stadt.example"}}
		for _, m := range members {
			b.Members = append(b.Members, doppelboden.Address{Local: m, Domain: "stadt.example"})
		}
		return b
	}
	known := []doppelboden.Mailbox{box(1, "amt", "ldap", "anna"), box(2, "presse", "ldap", "anna", "bert"), box(3, "bau", "", "anna")}
	c := Compare(known, []doppelboden.Mailbox{box(0, "amt", "ldap"), box(0, "presse", "ldap", "bert"), box(0, "bau", "ldap", "bert")}, "ldap")
	if c.Lost != 1 || c.Changed != 3 {
		t.Errorf("lost %d, changed %d; want one that nobody may open any more, and three changed", c.Lost, c.Changed)
	}
	if len(c.Keep) != 1 || c.Keep[0].ID != 3 {
		t.Fatalf("kept is %+v, want what people said of bau", c.Keep)
	}
	anna := doppelboden.Mailbox{ID: 4, Tenant: 7, Kind: doppelboden.Person, Address: doppelboden.Address{Local: "anna", Domain: "stadt.example"}}
	c7, err := city.Parse("city.toml", []byte("format = 1\n[[tenant]]\nname = \"stadt\"\ndomains = [\"stadt.example\"]\n[[tenant.route]]\nname = \"hier\"\nhere = true\n"))
	if err != nil {
		t.Fatal(err)
	}
	dir := city.NewDirectory(c7, []doppelboden.Tenant{{ID: 7, Name: "stadt"}}, append(known, anna))
	list, _ := kept(dir, dir, c.Keep, time.Unix(1, 0))
	if len(list) != 1 || list[0].Mailbox != 3 || list[0].Person != 4 || list[0].Kind != "function" || !list[0].Until.IsZero() {
		t.Errorf("belongings %+v, want that Anna may open bau without an end", list)
	}
	// Anna's address is another's after the reading; Carl comes with it; nobody is doris.
	keep := box(3, "bau", "", "anna", "carl", "doris")
	anna.Address.Local = "huber"
	carl, other := anna, anna
	carl.ID, carl.Address.Local, other.ID, other.Address.Local = 5, "carl", 6, "anna"
	list, nobody := kept(dir, dir.With([]doppelboden.Mailbox{anna, carl, other}), []doppelboden.Mailbox{keep}, time.Unix(1, 0))
	if len(list) != 2 || list[0].Person != 4 || list[1].Person != 5 || len(nobody) != 1 || nobody[0].Local != "doris" {
		t.Errorf("belongings %+v without %v, want Anna's, not her successor's, and Carl's, without Doris", list, nobody)
	}
}

func TestAPersonsMailboxBecomesOneOfSeveralOnlyByPeople(t *testing.T) {
	mayor := box(t, 1, "g1", "mayor@stadt.example", "m@stadt.example")
	for _, was := range []doppelboden.Mailbox{mayor, byHand(mayor)} {
		for _, kind := range []doppelboden.MailboxKind{doppelboden.Function, doppelboden.List} {
			listed := box(t, 0, "g1", "mayor@stadt.example")
			listed.Kind, listed.Members = kind, []doppelboden.Address{address(t, "eve@stadt.example")}
			c := Compare([]doppelboden.Mailbox{was}, []doppelboden.Mailbox{listed}, "ldap")
			if len(c.Put)+len(c.Retire)+c.Lost != 0 || len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "mailbox add mayor@stadt.example --kind "+string(kind)) {
				t.Errorf("a person's mailbox of %q is listed as a %s: %+v; want nothing changed or lost, and a note with the way", was.Source, kind, c)
			}
		}
	}
}

func TestAFunctionGetsNothingOfAPersonWhoLeft(t *testing.T) {
	mayor := box(t, 1, "g1", "mayor@stadt.example")
	listed := box(t, 0, "g1", "mayor@stadt.example")
	listed.Kind, listed.Members = doppelboden.Function, []doppelboden.Address{address(t, "eve@stadt.example")}
	for _, was := range []doppelboden.Mailbox{goneOf(mayor), goneOf(byHand(mayor))} {
		c := Compare([]doppelboden.Mailbox{was}, []doppelboden.Mailbox{listed}, "ldap")
		if len(c.Put) != 1 || c.Put[0].ID != 0 || c.New != 1 {
			t.Fatalf("a person of %q left, and a function has her address: %+v; want a new mailbox", was.Source, c)
		}
		live := c.Put[0]
		live.ID = 2
		if c := Compare([]doppelboden.Mailbox{was, live}, []doppelboden.Mailbox{listed}, "ldap"); len(c.Put)+len(c.Retire)+len(c.Notes) != 0 {
			t.Errorf("at the next reading: %+v; want nothing different", c)
		}
	}
}
