package directory

import (
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/test/peer"
)

const passwordLDIF = `dn: ou=people,dc=stadt,dc=example
objectClass: organizationalUnit
ou: people

dn: uid=anna,ou=people,dc=stadt,dc=example
objectClass: inetOrgPerson
uid: anna
cn: Anna
sn: Anna
mail: anna@stadt.example
userPassword: annas passwort

dn: uid=bert,ou=people,dc=stadt,dc=example
objectClass: inetOrgPerson
uid: bert
cn: Bert
sn: Bert
mail: bert@stadt.example
userPassword: berts passwort

dn: uid=zwei,ou=people,dc=stadt,dc=example
objectClass: inetOrgPerson
uid: zwei
cn: Zwei
sn: Zwei
mail: bert2@stadt.example
userPassword: eines

dn: uid=drei,ou=people,dc=stadt,dc=example
objectClass: inetOrgPerson
uid: drei
cn: Drei
sn: Drei
mail: bert2@stadt.example
userPassword: anderes
`

func TestAPasswordIsRightForTheOneWhoHasTheAddress(t *testing.T) {
	needSlapd(t)
	s := peer.For(t, peer.Slapd{LDIF: passwordLDIF})
	src := source(city.OpenLDAP, city.LDAPServer{Addr: s.Addr()})
	for _, tc := range []struct {
		local, password string
		want            bool
	}{
		{"anna", "annas passwort", true},
		{"anna", "Annas passwort", false},
		{"anna", "berts passwort", false},
		{"anna", "", false},
		{"niemand", "annas passwort", false},
		{"bert2", "eines", false}, // two have it
		{"bert2", "anderes", false},
		// What would be somebody else if it were not escaped.
		{"ann*", "annas passwort", false},
		{"*", "annas passwort", false},
		{"x)(uid=anna", "annas passwort", false},
		{"anna)(|(uid=*", "annas passwort", false},
		{`x\2a`, "annas passwort", false},
	} {
		got, err := src.Verify(t.Context(), doppelboden.Address{Local: tc.local, Domain: "stadt.example"}, tc.password)
		if err != nil || got != tc.want {
			t.Errorf("%q with %q: %v, %v, wanted %v", tc.local, tc.password, got, err, tc.want)
		}
	}
	for name, change := range map[string]func(*Options){
		"a dead server":             func(o *Options) { o.LDAP.Servers = []city.LDAPServer{{Addr: "127.0.0.1:1"}} },
		"a wrong password of ours":  func(o *Options) { o.Password = func() (string, error) { return "falsch!", nil } },
		"a base that is not there ": func(o *Options) { o.LDAP.Base = "ou=nirgends," + peer.SlapdSuffix },
	} {
		broken := source(city.OpenLDAP, city.LDAPServer{Addr: s.Addr()})
		change(&broken.opts)
		got, err := broken.Verify(t.Context(), doppelboden.Address{Local: "anna", Domain: "stadt.example"}, "annas passwort")
		if got || err == nil {
			t.Errorf("%s: %v, %v, wanted an error", name, got, err)
		} else if strings.Contains(err.Error(), "passwort") || strings.Contains(err.Error(), "falsch!") {
			t.Errorf("%s: the error shows a password: %v", name, err)
		}
	}
}
