package city

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doppelboden"
)

var update = flag.Bool("update", false, "write the golden files of testdata again")

// parseAny reads a file as what its name begins with.
func parseAny(name string, text []byte) error {
	if strings.HasPrefix(name, "node") {
		_, err := ParseNode(name, text)
		return err
	}
	_, err := Parse(name, text)
	return err
}

func TestEveryMistakeIsRefusedWithPlaceAndRemedy(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata/bad: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			err = parseAny(filepath.Base(file), text)
			if err == nil {
				t.Fatalf("the file was taken:\n%s", text)
			}
			if code := doppelboden.CodeOf(err); code != doppelboden.Invalid {
				t.Errorf("code %v, want invalid", code)
			}
			golden := strings.TrimSuffix(file, ".toml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, readErr := os.ReadFile(golden)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if diff := cmp.Diff(string(want), err.Error()+"\n"); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
			everyMistakeIsWhole(t, err, strings.Count(string(text), "\n")+1)
		})
	}
}

// everyMistakeIsWhole checks what all mistakes have in common.
func everyMistakeIsWhole(t *testing.T, err error, lines int) {
	t.Helper()
	var all Mistakes
	if !errors.As(err, &all) {
		t.Fatalf("the error is no Mistakes: %T", err)
	}
	for _, m := range all {
		if m.Line < 1 || m.Line > lines || m.File == "" || m.Problem.IsZero() || m.Want.IsZero() {
			t.Errorf("mistake without place, problem or remedy: %+v", m)
		}
		if strings.Contains(m.String(), "geheim123") {
			t.Errorf("a secret is shown: %s", m)
		}
	}
}

func TestAGoodCityIsRead(t *testing.T) {
	text, err := os.ReadFile("testdata/good/city.toml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("city.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	want := &City{RetentionDays: 45, ConfirmPercent: 10, Tenants: []Tenant{
		{
			Name: "musterstadt", Domains: []string{"musterstadt.de", "xn--mller-stadt-thb.de"},
			Postmaster: doppelboden.Address{Local: "it", Domain: "musterstadt.de"},
			Routes: []*Route{
				{Tenant: "musterstadt", Name: "groupware", Hosts: []Host{{Addr: "gw1.musterstadt.de:25"}, {LMTP: true, Addr: "[::1]:24"}}, Connections: 12, TLS: TLSRequired},
				{Tenant: "musterstadt", Name: "notfall", Domains: []string{"xn--mller-stadt-thb.de"}, Here: true},
			},
			Accounts:  Accounts{Language: "de", Idle: 2 * time.Hour, Longest: 12 * time.Hour, SheetDays: 400},
			Mailboxes: Mailboxes{Hourly: 200, CrisisHourly: 2000, Quiet: 12 * time.Hour},
		},
		{
			Name: "kreis", Domains: []string{"kreis.example"},
			Postmaster: doppelboden.Address{Local: "postmaster", Domain: "kreis.example"},
			Routes:     []*Route{{Tenant: "kreis", Name: "here", Here: true}},
			Accounts:   Accounts{Language: "de", Idle: 2 * time.Hour, Longest: 12 * time.Hour, SheetDays: 400},
			Mailboxes:  Mailboxes{Hourly: 200, CrisisHourly: 2000, Quiet: 12 * time.Hour},
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("city (-want +got):\n%s", diff)
	}
}

func TestAGoodNodeIsReadWithPathsFromItsFolder(t *testing.T) {
	text, err := os.ReadFile("testdata/good/node.toml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseNode("/etc/doppelboden/node.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	want := &Node{
		File: "/etc/doppelboden/node.toml", Name: "node1", Site: "rathaus", Hostname: "mx1.musterstadt.de", Roles: []Role{RoleMX, RoleQueue},
		Data: "/srv/doppelboden", Keys: "/etc/doppelboden/keys", City: "/etc/doppelboden/city.toml",
		MX: "127.0.0.1:2525", Metrics: "[::1]:9125",
		Certificate: "/etc/doppelboden/keys/cert.pem", Key: "/etc/doppelboden/keys/key.pem",
		Limits: Limits{MessageMB: 30, MemoryMB: 128, Connections: 2000, ConnectionsPerAddress: 50, Recipients: 1000, MinFreeMB: 1024},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("node (-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.toml", "testdata/good/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := strings.Count(string(text), "\n") + 1
		for _, name := range []string{"city.toml", "node.toml"} {
			if err := parseAny(name, text); err != nil && !strings.Contains(string(text), "geheim123") {
				everyMistakeIsWhole(t, err, lines)
			}
		}
	})
}

func TestTheMailboxesOfAGroupwareAreLookedIntoAsItIsWritten(t *testing.T) {
	for _, c := range []struct {
		text string
		want IMAP
	}{
		{`server = "imaps://10.0.0.5"`, IMAP{Server: IMAPServer{TLS: true, Addr: "10.0.0.5:993"}, TLS: TLSVerified, User: "doppelboden",
			Password: Secret{File: "p"}, Mailbox: NameAddress, Inbox: "INBOX", Connections: 4, Readback: ReadbackSample, AppendAfter: 6 * time.Hour}},
		{"server = \"imap://localhost\"\ntls = \"off\"\nseparator = \"*\"\nmailbox = \"local\"\ninbox = \"Eingang\"\nconnections = 1\nreadback = \"full\"\nappend_after_hours = 0",
			IMAP{Server: IMAPServer{Addr: "localhost:143"}, TLS: TLSOff, User: "doppelboden", Separator: "*",
				Password: Secret{File: "p"}, Mailbox: NameLocal, Inbox: "Eingang", Connections: 1, Readback: ReadbackFull}},
		{"server = \"imap://[2001:db8::1]:1143\"\ntls = \"required\"\nreadback = \"off\"", IMAP{Server: IMAPServer{Addr: "[2001:db8::1]:1143"},
			TLS: TLSRequired, User: "doppelboden", Password: Secret{File: "p"}, Mailbox: NameAddress, Inbox: "INBOX", Connections: 4, Readback: ReadbackOff, AppendAfter: 6 * time.Hour}},
	} {
		got, err := Parse("city.toml", []byte("format = 1\n[[tenant]]\nname = \"a\"\ndomains = [\"a.de\"]\n[[tenant.route]]\nname = \"g\"\n"+
			"hosts = [\"smtp://x.de:25\"]\n[tenant.route.imap]\nuser = \"doppelboden\"\npassword_file = \"p\"\n"+c.text))
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if diff := cmp.Diff(&c.want, got.Tenants[0].Routes[0].IMAP); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.text, diff)
		}
	}
}
