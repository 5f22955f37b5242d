package city

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"doppelboden"
)

// internetOf reads a city whose tenant has these lines in [tenant.internet].
func internetOf(t *testing.T, lines string) *Internet {
	t.Helper()
	c, err := Parse("city.toml", []byte("format = 1\n[[tenant]]\nname = \"musterstadt\"\ndomains = [\"musterstadt.de\"]\n"+
		"[[tenant.route]]\nname = \"here\"\nhere = true\n"+lines))
	if err != nil {
		t.Fatal(err)
	}
	return c.Tenants[0].Internet
}

func TestATenantSendsToTheInternetWhenItSaysHow(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		lines string
		want  *Internet
	}{
		{"", nil},
		{"[tenant.internet]\n", &Internet{TLS: TLSOpportunistic, AtOnce: 40, PerPlace: 4, Expire: 5 * day, Notice: 2 * day, Delay: 4 * time.Hour}},
		{"[tenant.internet]\nhelo = \"Mail.Müllerstadt.de\"\nsource = [\"2001:db8::1\", \"192.0.2.1\"]\nconnections = 10\nconnections_per_domain = 2\nexpire_days = 3\nexpire_notice_days = 1\ndelay_notice_hours = 0",
			&Internet{TLS: TLSOpportunistic, Helo: "mail.xn--mllerstadt-9db.de", AtOnce: 10, PerPlace: 2, Expire: 3 * day, Notice: day,
				Sources: []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")}}},
		{"[tenant.internet]\nrelay = [\"smtp://a.example:25\", \"smtp://b.example:25\"]",
			&Internet{Relay: []Host{{Addr: "a.example:25"}, {Addr: "b.example:25"}}, TLS: TLSOpportunistic, AtOnce: 40, PerPlace: 4, Expire: 5 * day, Notice: 2 * day, Delay: 4 * time.Hour}},
		{"[tenant.internet]\nrelay = [\"smtp://a.example:587\"]\nuser = \"stadt\"\npassword_file = \"relay.password\"",
			&Internet{Relay: []Host{{Addr: "a.example:587"}}, TLS: TLSVerified, User: "stadt", Password: Secret{File: "relay.password"}, AtOnce: 40, PerPlace: 4, Expire: 5 * day, Notice: 2 * day, Delay: 4 * time.Hour}},
	} {
		if diff := cmp.Diff(c.want, internetOf(t, c.lines), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.lines, diff)
		}
	}
}

func TestWhatWeMakeOurselvesIsNeverTriedForLongerThanMail(t *testing.T) {
	n := internetOf(t, "[tenant.internet]\nexpire_days = 1\nexpire_notice_days = 2")
	if got := n.Limit(doppelboden.ClassNotice); got != 24*time.Hour {
		t.Errorf("a notice is tried for %v, mail for %v", got, n.Limit(""))
	}
}
