package setup

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/keyring"
	"doppelboden/ledger"
)

var now = time.Date(2026, 7, 14, 9, 0, 0, 0, time.UTC)

func options(dir string) Options {
	return Options{Dir: dir, Domain: "a.de", Groupware: "smtp://gw:25", Listen: "127.0.0.1", MXPort: 2525, MetricsPort: 9125, Now: now}
}

func TestTheFolderHoldsWhatANodeNeeds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "city")
	n, err := Create(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	if n.MX != "127.0.0.1:2525" || n.Hostname != "mx.a.de" || n.Data != filepath.Join(dir, "data") || !n.Has(city.RoleMX) || !n.Has(city.RoleQueue) {
		t.Errorf("node %+v", n)
	}
	text, err := os.ReadFile(n.City)
	if err != nil {
		t.Fatal(err)
	}
	c, err := city.Parse(n.City, text)
	if err != nil || c.Tenants[0].Routes[0].String() != "smtp://gw:25, 8 connections, TLS opportunistic" {
		t.Errorf("city %+v, %v", c, err)
	}
	if _, err := keyring.LoadMaster(filepath.Join(n.Keys, MasterFile)); err != nil {
		t.Errorf("master key: %v", err)
	}
	if _, err := ledger.LoadKey(filepath.Join(n.Keys, LedgerFile)); err != nil {
		t.Errorf("ledger key: %v", err)
	}
	pair, err := tls.LoadX509KeyPair(n.Certificate, n.Key)
	if err != nil {
		t.Fatalf("certificate: %v", err)
	}
	if err := pair.Leaf.VerifyHostname("mx.a.de"); err != nil {
		t.Errorf("certificate: %v", err)
	}
	if !pair.Leaf.NotBefore.Before(now) || !pair.Leaf.NotAfter.After(now.AddDate(5, 0, 0)) {
		t.Errorf("the certificate holds from %v to %v", pair.Leaf.NotBefore, pair.Leaf.NotAfter)
	}
}

func TestTwoFoldersHaveDifferentKeys(t *testing.T) {
	var keys [2]string
	for i := range keys {
		n, err := Create(options(filepath.Join(t.TempDir(), "c")))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{MasterFile, LedgerFile} {
			text, err := os.ReadFile(filepath.Join(n.Keys, name))
			if err != nil {
				t.Fatal(err)
			}
			keys[i] += string(text)
		}
	}
	if keys[0] == keys[1] {
		t.Error("two installations have the same keys")
	}
}

func TestWrongOptionsAndFullFoldersLeaveEverythingAsItWas(t *testing.T) {
	parent := t.TempDir()
	full := filepath.Join(parent, "full")
	if err := os.MkdirAll(full, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(full, ".hidden"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"full":      func(o *Options) { o.Dir = full },
		"domain":    func(o *Options) { o.Domain = "[192.0.2.1]" },
		"no domain": func(o *Options) { o.Domain = "" },
		"number":    func(o *Options) { o.Domain = "192.0.2.1" },
		"groupware": func(o *Options) { o.Groupware = "imap://gw:143" },
		"quotes":    func(o *Options) { o.Groupware = `smtp://gw"` + "\n" + `x="1:25` },
		"listen":    func(o *Options) { o.Listen = "localhost" },
		"hostname":  func(o *Options) { o.Hostname = `a"b` },
		"port":      func(o *Options) { o.MXPort = 70000 },
		"same port": func(o *Options) { o.MetricsPort = o.MXPort },
	} {
		o := options(filepath.Join(parent, "new"))
		change(&o)
		if _, err := Create(o); doppelboden.CodeOf(err) != doppelboden.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
		entries, err := os.ReadDir(parent)
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: the folder above now holds %v, %v; want only the full one", name, entries, err)
		}
	}
}

func TestATenantsNameIsMadeOfItsDomain(t *testing.T) {
	for domain, want := range map[string]string{
		"musterstadt.de": "musterstadt", "große-straße.de": "grosse-strasse", "münchen.de": "muenchen",
		"_x_.de": "x", "москва.рф": "city", "a-b.c.de": "a-b",
	} {
		if got := tenantName(domain); got != want {
			t.Errorf("%s: %q, want %q", domain, got, want)
		}
	}
}

func TestACityThatNeverPreparedGetsMailThatIsKeptPagesAndAWayOut(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "city"))
	o.Groupware, o.Emergency, o.WebPort, o.ACME, o.Hostname = "", true, 443, "https://ca.example/directory", "notfall.a.de"
	o.Listen = "0.0.0.0"
	n, err := Create(o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(n.City)
	if err != nil {
		t.Fatal(err)
	}
	c, err := city.Parse(n.City, text)
	if err != nil {
		t.Fatal(err)
	}
	one := c.Tenants[0]
	if len(one.Unknown) != 1 || !one.Unknown[0].Keep || one.Internet == nil || one.Accounts.Page != "https://notfall.a.de" || one.Routes[0].Here {
		t.Errorf("tenant %+v: mail for strangers is not kept, or nobody can answer, or the page is another", one)
	}
	if host, _, _ := net.SplitHostPort(n.Metrics); host != "127.0.0.1" {
		t.Errorf("the metrics are at %s, where everybody reads them", n.Metrics)
	}
	if n.ACME != "https://ca.example/directory" {
		t.Errorf("the certificate is made by %q", n.ACME)
	}
}
