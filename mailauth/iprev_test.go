package mailauth

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"doppelboden/test/peer"
)

func TestANameCountsOnlyWhenItLeadsBack(t *testing.T) {
	many := ""
	for i := range 40 {
		many += fmt.Sprintf("6.2.0.192.in-addr.arpa. PTR n%d.example.\nn%d.example. A 203.0.113.%d\n", i, i, i)
	}
	s := peer.For(t, peer.DNS{Zone: `
1.2.0.192.in-addr.arpa. PTR other.example.
1.2.0.192.in-addr.arpa. PTR mail.example.
mail.example.           A 192.0.2.1
mail.example.           AAAA 2001:db8::1
other.example.          A 192.0.2.99
2.2.0.192.in-addr.arpa. PTR mail.example.
3.2.0.192.in-addr.arpa. PTR nowhere.example.
5.2.0.192.in-addr.arpa. PTR broken.example.
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mail.example.
` + many})
	s.Treat("broken.example", peer.ServFail)
	s.Treat("7.2.0.192.in-addr.arpa", peer.ServFail)
	c := newChecker(t, s.Addr(), Mark)
	for ip, want := range map[string]Value{
		"192.0.2.1": Pass, "2001:db8::1": Pass,
		"192.0.2.2": Fail, "192.0.2.3": Fail, "192.0.2.6": Fail,
		"192.0.2.4": PermError,
		"192.0.2.5": TempError, "192.0.2.7": TempError,
	} {
		if got := c.iprev(t.Context(), netip.MustParseAddr(ip)); got.Value != want || got.Prop("policy", "iprev") != ip {
			t.Errorf("%s: %+v, want %s", ip, got, want)
		}
	}
	asked := 0
	for i := range 40 {
		asked += s.Asked(fmt.Sprintf("n%d.example", i))
	}
	if asked > mostNames {
		t.Errorf("%d of the 40 names of one address were asked for, want at most %d", asked, mostNames)
	}
}

func TestHugeAndLoopingAnswersMakeTemporaryResults(t *testing.T) {
	huge := strings.Repeat(`huge.example. TXT "v=spf1 `+strings.Repeat("a ", 120)+"\"\n", 200)
	s := peer.For(t, peer.DNS{Zone: huge + `
loop.example.        CNAME loop.example.
_dmarc.loop.example. CNAME _dmarc.loop.example.
`})
	c := newChecker(t, s.Addr(), Refuse)
	for _, domain := range []string{"huge.example", "loop.example"} {
		in := incoming(t, "192.0.2.1", "x.example", "a@"+domain, []byte("From: a@"+domain+"\r\n\r\nx\r\n"))
		found, err := c.Check(t.Context(), in)
		if err != nil || found.Hold != "" || !strings.Contains(string(found.Prefix), "spf=temperror") {
			t.Errorf("%s: %v, %+v\n%s", domain, err, found, found.Prefix)
		}
	}
}
