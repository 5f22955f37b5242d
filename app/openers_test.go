package app

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden/control"
	"doppelboden/test/peer"
)

// team is a group in a directory that is the mailbox of a function of its members.
func team(members ...string) string {
	text := "dn: cn=amt," + peer.SlapdSuffix + "\nobjectClass: groupOfNames\nobjectClass: extensibleObject\ncn: amt\nmail: amt@stadt.example\nbusinessCategory: function\n"
	for _, m := range members {
		text += "member: uid=" + m + "," + peer.SlapdSuffix + "\n"
	}
	return text + "\n"
}

// without takes a member out of the group.
func without(member string) string {
	return "dn: cn=amt," + peer.SlapdSuffix + "\nchangetype: modify\ndelete: member\nmember: uid=" + member + "," + peer.SlapdSuffix + "\n\n"
}

// opens says who may open a mailbox, and whether its directory says so.
func (w *town) opens(address string) string {
	w.t.Helper()
	var who []string
	if err := w.client.Members(w.t.Context(), address, func(m control.Member) error {
		who = append(who, fmt.Sprintf("%s:%v", strings.TrimSuffix(m.Person, "@stadt.example"), m.Listed))
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(who)
	return strings.Join(who, " ")
}

// add adds mailboxes by hand.
func (w *town) add(boxes ...control.Mailbox) {
	w.t.Helper()
	for _, m := range boxes {
		if _, err := w.client.AddMailbox(w.t.Context(), m); err != nil {
			w.t.Fatal(err)
		}
	}
}

// noted returns how often the ledger has a text.
func (w *town) noted(text string) int {
	w.t.Helper()
	var all bytes.Buffer
	if err := w.client.ExportLedger(w.t.Context(), time.Time{}, time.Time{}, &all); err != nil {
		w.t.Fatal(err)
	}
	return strings.Count(all.String(), text)
}

func slapdWith(t *testing.T, ldif string) *peer.SlapdServer {
	t.Helper()
	peer.Need(t, peer.SlapdProgram, peer.SlapaddProgram, peer.LdapmodifyProgram)
	return peer.For(t, peer.Slapd{LDIF: strings.ReplaceAll(ldif, "changetype: add\n", "")})
}

func TestWhoMayOpenAFunctionMailboxFollowsTheDirectoryAndWhatPeopleSaidStays(t *testing.T) {
	s := slapdWith(t, person("anna")+person("bert")+person("carl")+person("postmaster")+team("anna", "bert"))
	w := newTown(t, groupware(t).Addr(), "")
	w.add(control.Mailbox{Address: "carl@stadt.example", Kind: "person"},
		control.Mailbox{Address: "amt@stadt.example", Kind: "function", Members: []string{"carl@stadt.example"}})
	if got := w.opens("amt@stadt.example"); got != "carl:true" {
		t.Fatalf("before the directory is read amt may be opened by %q", got)
	}
	w.configure(ldapOf(s.Addr(), ""))
	waitFor(t, "the directory was read by itself", func() bool { return w.house.Directory().Len() == 5 })
	if got := w.opens("amt@stadt.example"); got != "anna:true bert:true carl:false" {
		t.Errorf("amt may be opened by %q, want whom the directory names, and Carl, whom people named", got)
	}
	if n := w.noted("may open mailbox"); n != 1 {
		t.Errorf("the ledger notes %d rights, want the one that people gave", n)
	}
	if err := s.Modify(t.Context(), without("bert")); err != nil {
		t.Fatal(err)
	}
	if r := w.refresh(0); r.Changed != 1 || r.Error != "" {
		t.Errorf("refresh: %+v, want one changed", r)
	}
	if got := w.opens("amt@stadt.example"); got != "anna:true carl:false" {
		t.Errorf("after Bert left the group amt may be opened by %q", got)
	}
	// In an attack the directory is not read, and what it listed is not to be removed one by one.
	if _, err := w.client.OpenAttack(t.Context(), control.Attack{Why: "a stranger in the directory"}); err != nil {
		t.Fatal(err)
	}
	out := []control.Member{{Mailbox: "amt@stadt.example", Person: "anna@stadt.example", Kind: "function", Remove: true}}
	if err := w.client.ChangeMembers(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	if got := w.opens("amt@stadt.example"); got != "anna:true carl:false" {
		t.Errorf("after Anna's right by command was taken amt may be opened by %q, want her still, as listed", got)
	}
	w.add(control.Mailbox{Address: "amt@stadt.example", Kind: "function", Members: []string{"bert@stadt.example"}})
	if r := w.refresh(0); r.Error == "" {
		t.Errorf("a refresh in an attack: %+v", r)
	}
	if got := w.opens("amt@stadt.example"); got != "bert:true carl:false" {
		t.Errorf("after people said anew who may, amt may be opened by %q, want Bert, and Carl by command", got)
	}
}

func TestWhomPeopleNamedStaysWhenHeComesWithTheSameReading(t *testing.T) {
	s := slapdWith(t, person("anna")+person("carl")+person("postmaster")+team("anna"))
	w := newTown(t, groupware(t).Addr(), "")
	w.add(control.Mailbox{Address: "amt@stadt.example", Kind: "function", Members: []string{"carl@stadt.example", "nobody@stadt.example"}})
	w.configure(ldapOf(s.Addr(), ""))
	waitFor(t, "the directory was read by itself", func() bool { return w.house.Directory().Len() == 4 })
	if got := w.opens("amt@stadt.example"); got != "anna:true carl:false" {
		t.Errorf("amt may be opened by %q, want whom the directory names, and Carl, whom people named before he was known", got)
	}
	if n := w.noted("may open mailbox"); n != 1 {
		t.Errorf("the ledger notes %d rights, want the one that people gave", n)
	}
}

func TestADirectoryUnderANewNameMakesNobodyOfItsGroupsAnOpenerForEver(t *testing.T) {
	s := slapdWith(t, person("anna")+person("bert")+team("anna", "bert"))
	w := newTown(t, groupware(t).Addr(), "")
	before, err := os.ReadFile(w.opts.Node.City)
	if err != nil {
		t.Fatal(err)
	}
	w.configure(ldapOf(s.Addr(), ""))
	waitFor(t, "the directory was read by itself", func() bool { return w.house.Directory().Len() == 3 })
	renamed := strings.Replace(ldapOf(s.Addr(), ""), `name = "ldap"`, `name = "ad"`, 1)
	if _, err := w.client.ApplyConfig(t.Context(), "city.toml", append(before, renamed...), 0); err != nil {
		t.Fatal(err)
	}
	if r := w.refresh(0); r.Source != "ad" || r.Error != "" {
		t.Fatalf("refresh under the new name: %+v", r)
	}
	if err := s.Modify(t.Context(), without("bert")); err != nil {
		t.Fatal(err)
	}
	if r := w.refresh(0); r.Error != "" {
		t.Fatalf("refresh: %+v", r)
	}
	if got := w.opens("amt@stadt.example"); got != "anna:true" {
		t.Errorf("after Bert left the group amt may be opened by %q, want Anna alone", got)
	}
	if n := w.noted("may open mailbox"); n != 0 {
		t.Errorf("the ledger notes %d rights that people gave, want none", n)
	}
}

func TestNobodyReadsAPersonsMailboxByListingItAsAFunctions(t *testing.T) {
	text := "dn: uid=mayor," + peer.SlapdSuffix + "\nobjectClass: inetOrgPerson\nobjectClass: extensibleObject\nuid: mayor\ncn: mayor\nsn: x\nmail: mayor@stadt.example\n" +
		"employeeType: function\nowner: uid=eve," + peer.SlapdSuffix + "\n\n"
	s := slapdWith(t, person("eve")+person("postmaster")+text)
	w := newTown(t, groupware(t).Addr(), "")
	w.add(control.Mailbox{Address: "mayor@stadt.example", Kind: "person"})
	w.configure(ldapOf(s.Addr(), ""))
	waitFor(t, "the directory was read by itself", func() bool { return w.house.Directory().Len() == 3 })
	r := w.refresh(0)
	if got := w.opens("mayor@stadt.example"); got != "" || r.Wrong != 1 {
		t.Errorf("a person's mailbox may be opened by %q; want nobody, and one note: %+v", got, r)
	}
	// What the note names makes it so.
	w.add(control.Mailbox{Address: "mayor@stadt.example", Kind: "function"})
	r = w.refresh(0)
	if got := w.opens("mayor@stadt.example"); got != "eve:true" || r.Wrong != 0 {
		t.Errorf("a mailbox that people made a function's may be opened by %q; want Eve, and no note: %+v", got, r)
	}
}
