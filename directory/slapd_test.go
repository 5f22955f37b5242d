package directory

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/test/peer"
)

func needSlapd(t testing.TB) {
	t.Helper()
	peer.Need(t, peer.SlapdProgram, peer.SlapaddProgram, peer.LdapmodifyProgram)
}

// certificate makes a certificate for 127.0.0.1 that signs itself.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "slapd"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// source returns a source of a server as an administrator would configure it.
func source(preset city.Preset, servers ...city.LDAPServer) *Source {
	return NewSource(Options{
		LDAP: city.LDAP{Name: "ldap", Preset: preset, Servers: servers, Base: peer.SlapdSuffix, BindDN: peer.SlapdAdmin,
			Aliases: "mailLocalAddress", MaxEntries: 200_000},
		Password: func() (string, error) { return peer.SlapdPassword, nil },
	})
}

// stadt is the tenant of these tests.
var stadt = Tenant{ID: 7, Source: "ldap", Owns: func(domain string) bool { return domain == "stadt.example" }}

// read reads a source and makes mailboxes of it.
func read(t testing.TB, s *Source) *Listed {
	t.Helper()
	entries, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return Compose(entries, stadt)
}

// lines writes mailboxes as one line each, so that a test can be read.
func lines(boxes []doppelboden.Mailbox) (all []string) {
	for _, b := range boxes {
		line := fmt.Sprintf("%s %s %q", b.Kind, b.Address, b.Name)
		if b.Department != "" {
			line += " dept=" + b.Department
		}
		for _, a := range b.Aliases {
			line += " alias=" + a.String()
		}
		for _, m := range b.Members {
			line += " member=" + m.String()
		}
		if b.Closed {
			line += " closed"
		}
		all = append(all, line)
	}
	return all
}

// sorted compares lines whatever their order.
func sameLines(t *testing.T, got []doppelboden.Mailbox, want ...string) {
	t.Helper()
	have := map[string]bool{}
	for _, l := range lines(got) {
		have[l] = true
	}
	wanted := map[string]bool{}
	for _, l := range want {
		wanted[l] = true
	}
	if diff := cmp.Diff(wanted, have); diff != "" {
		t.Errorf("mailboxes (-want +got):\n%s", diff)
	}
}

const openLDIF = `dn: ou=people,dc=stadt,dc=example
objectClass: organizationalUnit
ou: people

dn: uid=anna,ou=people,dc=stadt,dc=example
objectClass: inetOrgPerson
objectClass: inetLocalMailRecipient
uid: anna
cn: Anna Müller
sn: Müller
mail: anna@stadt.example
mailLocalAddress: a.mueller@stadt.example
mailLocalAddress: anna@elsewhere.example
departmentNumber: Feuerwehr

dn: uid=amt,ou=people,dc=stadt,dc=example
objectClass: inetOrgPerson
uid: amt
cn: Bürgerbüro
sn: Amt
mail: buergerbuero@stadt.example
employeeType: function

dn: uid=fremd,ou=people,dc=stadt,dc=example
objectClass: inetOrgPerson
uid: fremd
cn: Fremd
sn: Fremd
mail: fremd@elsewhere.example

dn: cn=alle,dc=stadt,dc=example
objectClass: groupOfNames
objectClass: extensibleObject
cn: alle
mail: alle@stadt.example
member: UID=Anna,ou=People,dc=stadt, dc=example
member: uid=niemand,ou=people,dc=stadt,dc=example
member: cn=leitung,dc=stadt,dc=example

dn: cn=leitung,dc=stadt,dc=example
objectClass: nisMailAlias
objectClass: extensibleObject
cn: leitung
mail: leitung@stadt.example
rfc822MailMember: chef@elsewhere.example
rfc822MailMember: buergerbuero@stadt.example
`

func TestOpenLDAPIsReadOverEveryKindOfConnection(t *testing.T) {
	needSlapd(t)
	cert, key := certificate(t)
	s := peer.For(t, peer.Slapd{LDIF: openLDIF, Cert: cert, Key: key})
	want := []string{
		`person anna@stadt.example "Anna Müller" dept=Feuerwehr alias=a.mueller@stadt.example`,
		`function buergerbuero@stadt.example "Bürgerbüro"`,
		`list alle@stadt.example "alle" member=anna@stadt.example member=leitung@stadt.example`,
		`list leitung@stadt.example "leitung" member=buergerbuero@stadt.example member=chef@elsewhere.example`,
	}
	clear, secure := city.LDAPServer{Addr: s.Addr()}, city.LDAPServer{TLS: true, Addr: s.Secure()}
	dead := city.LDAPServer{Addr: "127.0.0.1:1"}
	for name, c := range map[string]struct {
		servers  []city.LDAPServer
		startTLS bool
		page     int
	}{
		"in clear":             {servers: []city.LDAPServer{clear}},
		"StartTLS":             {servers: []city.LDAPServer{clear}, startTLS: true},
		"ldaps":                {servers: []city.LDAPServer{secure}, startTLS: true},
		"the first is dead":    {servers: []city.LDAPServer{dead, clear}},
		"one entry for a page": {servers: []city.LDAPServer{clear}, page: 1},
	} {
		t.Run(name, func(t *testing.T) {
			src := source(city.OpenLDAP, c.servers...)
			src.opts.LDAP.StartTLS, src.opts.CA = c.startTLS, cert
			if c.page > 0 {
				src.opts.PageSize = c.page
			}
			got := read(t, src)
			sameLines(t, got.Mailboxes, want...)
			if got.Foreign != 1 || got.Wrong != 1 || !strings.Contains(got.Notes[0], "uid=niemand") {
				t.Errorf("foreign %d, notes %q; want 1 foreign, and the member that is nobody", got.Foreign, got.Notes)
			}
			for _, b := range got.Mailboxes {
				if len(b.External) != 36 {
					t.Errorf("%s: external %q, want the entryUUID", b.Address, b.External)
				}
			}
		})
	}
	t.Run("a narrower filter", func(t *testing.T) {
		src := source(city.OpenLDAP, clear)
		src.opts.LDAP.Filter = "(departmentNumber=Feuerwehr)"
		sameLines(t, read(t, src).Mailboxes, want[0])
	})
	refusals(t, s, cert)
}

// refusals are what must not give a list.
func refusals(t *testing.T, s *peer.SlapdServer, cert string) {
	clear := city.LDAPServer{Addr: s.Addr()}
	for name, c := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"a wrong password":           {func(o *Options) { o.Password = func() (string, error) { return "falsch!", nil } }, "Invalid Credentials"},
		"nobody who asks":            {func(o *Options) { o.LDAP.BindDN = "" }, ""},
		"an authority we don't know": {func(o *Options) { o.LDAP.StartTLS, o.CA = true, "" }, "certificate"},
		"no file of the authority":   {func(o *Options) { o.LDAP.StartTLS, o.CA = true, "/does/not/exist" }, "no such file"},
		"a base that is not there":   {func(o *Options) { o.LDAP.Base = "ou=nirgends," + peer.SlapdSuffix }, "No Such Object"},
		"a base of others":           {func(o *Options) { o.LDAP.Base = "dc=anders,dc=example" }, ""},
		"too many entries":           {func(o *Options) { o.LDAP.MaxEntries = 3 }, "more than 3 entries"},
		"no password":                {func(o *Options) { o.Password = func() (string, error) { return "", nil } }, "Empty password"},
	} {
		t.Run(name, func(t *testing.T) {
			src := source(city.OpenLDAP, clear)
			c.change(&src.opts)
			entries, err := src.Read(t.Context())
			if name == "nobody who asks" && err == nil && len(entries) == 0 {
				return // slapd says nothing to strangers; the guard takes no empty list
			}
			if err == nil || entries != nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%d entries, %v; want an error that says %q", len(entries), err, c.says)
			}
			if strings.Contains(err.Error(), peer.SlapdPassword) || strings.Contains(err.Error(), "falsch!") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

func TestALimitOfTheServerIsNoList(t *testing.T) {
	needSlapd(t)
	s := peer.For(t, peer.Slapd{LDIF: people(20), SizeLimit: 10})
	src := source(city.OpenLDAP, city.LDAPServer{Addr: s.Addr()})
	// The administrator of slapd has no limits; somebody else has.
	src.opts.PageSize = 5
	if err := s.Modify(t.Context(), "dn: uid=p1,"+peer.SlapdSuffix+"\nchangetype: modify\nadd: userPassword\nuserPassword: x\n"); err != nil {
		t.Fatal(err)
	}
	src.opts.LDAP.BindDN, src.opts.Password = "uid=p1,"+peer.SlapdSuffix, func() (string, error) { return "x", nil }
	entries, err := src.Read(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Size Limit") {
		t.Errorf("%d of 20 entries, %v; want an error about the limit", len(entries), err)
	}
	src.opts.LDAP.BindDN, src.opts.Password = peer.SlapdAdmin, func() (string, error) { return peer.SlapdPassword, nil }
	if entries, err := src.Read(t.Context()); err != nil || len(entries) != 20 {
		t.Errorf("without the limit: %d entries, %v; want 20", len(entries), err)
	}
}

// people returns so many people in LDIF.
func people(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "dn: uid=p%d,%s\nobjectClass: inetOrgPerson\nuid: p%d\ncn: Vorname Nachname %d\nsn: N\nmail: vorname.nachname%d@stadt.example\nou: Amt %d\n\n",
			i, peer.SlapdSuffix, i, i, i, i%50)
	}
	return b.String()
}

// guid is an objectGUID in LDIF.
func guid(n byte) string {
	return "objectGUID:: " + base64.StdEncoding.EncodeToString([]byte{n, 0xff, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}) + "\n"
}

var adLDIF = `dn: cn=Anna Müller,dc=stadt,dc=example
objectClass: user
cn: Anna Müller
sn: Müller
sAMAccountName: amueller
mail: anna.mueller@stadt.example
displayName: Müller, Anna
department: Ordnungsamt
userAccountControl: 512
proxyAddresses: smtp:amueller@stadt.example
proxyAddresses: SMTP:anna.mueller@stadt.example
proxyAddresses: X500:/o=Stadt/ou=x/cn=Recipients/cn=amueller
proxyAddresses: smtp:amueller@stadt.onmicrosoft.example
` + guid(1) + `
dn: cn=Bert,dc=stadt,dc=example
objectClass: user
cn: Bert
sn: Bert
mail: bert@stadt.example
userAccountControl: 514
` + guid(2) + `
dn: cn=Poststelle,dc=stadt,dc=example
objectClass: user
cn: Poststelle
sn: Poststelle
mail: poststelle@stadt.example
userAccountControl: 514
msExchRecipientTypeDetails: 4
` + guid(3) + `
dn: cn=PC1,dc=stadt,dc=example
objectClass: computer
cn: PC1
sn: PC1
mail: pc1@stadt.example
userAccountControl: 4096
` + guid(4) + `
dn: cn=Eva (Landkreis),dc=stadt,dc=example
objectClass: contact
cn: Eva (Landkreis)
sn: Eva
mail: eva@kreis.example
targetAddress: SMTP:eva@kreis.example
` + guid(5) + `
dn: cn=Alle,dc=stadt,dc=example
objectClass: group
cn: Alle
mail: alle@stadt.example
proxyAddresses: SMTP:alle@stadt.example
proxyAddresses: smtp:everybody@stadt.example
msExchRequireAuthToSendTo: TRUE
member: cn=Anna Müller,dc=stadt,dc=example
member: cn=Bert,dc=stadt,dc=example
member: CN=Eva \28Landkreis\29,DC=stadt,DC=example
member: cn=Amtsleitung,dc=stadt,dc=example
` + guid(6) + `
dn: cn=Amtsleitung,dc=stadt,dc=example
objectClass: group
cn: Amtsleitung
mail: amtsleitung@stadt.example
member: cn=Poststelle,dc=stadt,dc=example
member: cn=Alle,dc=stadt,dc=example
` + guid(7)

func TestActiveDirectoryIsReadAsExchangeUsesIt(t *testing.T) {
	needSlapd(t)
	s := peer.For(t, peer.Slapd{LDIF: adLDIF})
	got := read(t, source(city.ActiveDirectory, city.LDAPServer{Addr: s.Addr()}))
	sameLines(t, got.Mailboxes,
		`person anna.mueller@stadt.example "Müller, Anna" dept=Ordnungsamt alias=amueller@stadt.example`,
		`function poststelle@stadt.example "Poststelle"`,
		`list alle@stadt.example "Alle" alias=everybody@stadt.example member=amtsleitung@stadt.example member=anna.mueller@stadt.example member=eva@kreis.example closed`,
		`list amtsleitung@stadt.example "Amtsleitung" member=alle@stadt.example member=poststelle@stadt.example`)
	if got.Disabled != 1 || got.Wrong != 0 {
		t.Errorf("disabled %d, notes %q; want the disabled account left out without a word", got.Disabled, got.Notes)
	}
	for _, b := range got.Mailboxes {
		if len(b.External) != 32 {
			t.Errorf("%s: external %q, want the objectGUID in hex", b.Address, b.External)
		}
	}
}
