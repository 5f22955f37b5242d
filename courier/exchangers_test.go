package courier_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/resolver"
	"doppelboden/sink"
)

// zone is a DNS: "MX name" and "A name" lead to records; "fail" is no answer at all.
type zone map[string]string

func (z zone) ask(question string) ([]string, error) {
	switch v, ok := z[question]; {
	case !ok:
		return nil, &doppelboden.Error{Code: doppelboden.NotFound, Public: "no such name"}
	case v == "fail":
		return nil, &doppelboden.Error{Public: "no name server answers", Cause: errors.New("time-out")}
	default:
		return strings.Fields(v), nil
	}
}

// MX answers with pairs of preference and host.
func (z zone) MX(_ context.Context, name string) ([]resolver.MX, error) {
	fields, err := z.ask("MX " + name)
	var mxs []resolver.MX
	for pair := range slices.Chunk(fields, 2) {
		var pref uint16
		fmt.Sscan(pair[0], &pref)
		mxs = append(mxs, resolver.MX{Pref: pref, Host: pair[1]})
	}
	return mxs, err
}

func (z zone) Addrs(_ context.Context, name string) ([]netip.Addr, error) {
	fields, err := z.ask("A " + name)
	var addrs []netip.Addr
	for _, f := range fields {
		addrs = append(addrs, netip.MustParseAddr(f))
	}
	return addrs, err
}

// An internet is made of servers by address; where there is none, nobody listens.
type internet struct {
	servers map[string]*sink.Sink
	mu      sync.Mutex
	asked   []string
	conns   sync.WaitGroup
}

func (n *internet) dial(_ context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.asked = append(n.asked, addr)
	n.mu.Unlock()
	s, ok := n.servers[addr]
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return pipeTo(s, &n.conns), nil
}

// ownName is this installation as the tests' DNS knows it.
func ownName(name string, addr netip.Addr) bool {
	return name == "mx.city.example" || addr == netip.MustParseAddr("192.0.2.250")
}

func TestMailForADomainGoesToItsExchangers(t *testing.T) {
	const took = "0 took about message at dot 250 2.0.0"
	many := ""
	for i := range 40 {
		many += fmt.Sprintf(" %d mx%d.x.example", i/10, i)
	}
	for _, c := range []struct {
		name  string
		zone  zone
		want  string
		from  string   // the server that took it, or spoke last
		text  string   // in the reply
		asked []string // in order; nil: not looked at
	}{
		{name: "best preference first", zone: zone{"MX x.example": "20 two.example 10 one.example", "A one.example": "192.0.2.1", "A two.example": "192.0.2.2"},
			want: took, from: "one.example:25", asked: []string{"192.0.2.1:25"}},
		{name: "the first is dead", zone: zone{"MX x.example": "10 dead.example 20 two.example", "A dead.example": "192.0.2.9", "A two.example": "192.0.2.2"},
			want: took, from: "two.example:25", asked: []string{"192.0.2.9:25", "192.0.2.2:25"}},
		{name: "the first says 421", zone: zone{"MX x.example": "10 busy.example 20 two.example", "A busy.example": "192.0.2.21", "A two.example": "192.0.2.2"},
			want: took, from: "two.example:25"},
		{name: "the first says 554", zone: zone{"MX x.example": "10 no.example 20 two.example", "A no.example": "192.0.2.54", "A two.example": "192.0.2.2"},
			want: took, from: "two.example:25"},
		{name: "only a 554 at the greeting", zone: zone{"MX x.example": "10 no.example", "A no.example": "192.0.2.54"},
			want: "0 later about route at greeting 554 5.7.1", from: "no.example:25"},
		{name: "all are dead", zone: zone{"MX x.example": "10 dead.example 20 grave.example", "A dead.example": "192.0.2.9 2001:db8::9", "A grave.example": "192.0.2.8"},
			want: "0 later about route at connect", asked: []string{"192.0.2.9:25", "[2001:db8::9]:25", "192.0.2.8:25"}},
		{name: "IPv6 when IPv4 is dead", zone: zone{"MX x.example": "10 one.example", "A one.example": "192.0.2.9 2001:db8::1"},
			want: took, from: "one.example:25", asked: []string{"192.0.2.9:25", "[2001:db8::1]:25"}},
		{name: "without MX the domain itself", zone: zone{"A x.example": "192.0.2.1"}, want: took, from: "x.example:25"},
		{name: "null MX", zone: zone{"MX x.example": "0 .", "A x.example": "192.0.2.1"},
			want: "0 refused about recipient at connect 5.1.10", text: "takes no mail"},
		{name: "a null MX among others counts for nothing", zone: zone{"MX x.example": "0 . 10 one.example", "A one.example": "192.0.2.1"}, want: took},
		{name: "the DNS knows only the city", zone: zone{"A groupware.city.example": "10.1.1.1"}, want: "0 later about route at connect 4.4.3", text: "does not know the Internet"},
		{name: "no such domain, says half a DNS", zone: zone{"A a.root-servers.net": "fail"}, want: "0 later about route at connect 4.4.3"},
		{name: "no such domain", zone: zone{"A a.root-servers.net": "198.41.0.4"}, want: "0 refused about recipient at connect 5.1.2", text: "does not exist"},
		{name: "the DNS is dead", zone: zone{"MX x.example": "fail", "A x.example": "192.0.2.1"}, want: "0 later about route at connect 4.4.3", text: "no name server answers"},
		{name: "the DNS dies in between", zone: zone{"MX x.example": "10 one.example", "A one.example": "fail"}, want: "0 later about route at connect 4.4.3"},
		{name: "without MX, and the DNS dies", zone: zone{"A x.example": "fail"}, want: "0 later about route at connect 4.4.3"},
		{name: "one exchanger has no address", zone: zone{"MX x.example": "10 gone.example 20 two.example", "A two.example": "192.0.2.2"}, want: took, from: "two.example:25"},
		{name: "no exchanger has an address", zone: zone{"MX x.example": "10 gone.example"}, want: "0 later about route at connect 4.4.4"},
		{name: "only addresses of this machine", zone: zone{"MX x.example": "10 evil.example", "A evil.example": "127.0.0.1 ::1 0.0.0.0 ::ffff:127.0.0.1 169.254.169.254 fe80::1 224.0.0.1"},
			want: "0 later about route at connect 4.4.4", asked: []string{}},
		{name: "we are the best by name", zone: zone{"MX x.example": "10 mx.city.example 20 two.example", "A two.example": "192.0.2.2"},
			want: "0 refused about recipient at connect 5.4.6", text: "loops back", asked: []string{}},
		{name: "we are the best by address", zone: zone{"MX x.example": "10 other.example", "A other.example": "192.0.2.250"}, want: "0 refused about recipient at connect 5.4.6"},
		{name: "we are one of the best", zone: zone{"MX x.example": "10 one.example 10 mx.city.example", "A one.example": "192.0.2.1"}, want: "0 refused about recipient at connect 5.4.6"},
		{name: "we are the second", zone: zone{"MX x.example": "10 one.example 20 mx.city.example 30 two.example", "A one.example": "192.0.2.9", "A two.example": "192.0.2.2"},
			want: "0 later about route at connect", asked: []string{"192.0.2.9:25"}},
		{name: "we are the second, and nobody knows the first", zone: zone{"MX x.example": "10 one.example 20 mx.city.example", "A one.example": "fail"},
			want: "0 later about route at connect 4.4.3"},
		{name: "forty dead exchangers", zone: zone{"MX x.example": many, "A mx0.x.example": "192.0.2.9", "A mx1.x.example": "192.0.2.9", "A mx2.x.example": "192.0.2.9 192.0.2.10 192.0.2.11 192.0.2.12",
			"A mx3.x.example": "192.0.2.9", "A mx4.x.example": "192.0.2.9", "A mx11.x.example": "192.0.2.9", "A mx39.x.example": "192.0.2.1"}, want: "0 later about route at connect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &internet{servers: map[string]*sink.Sink{}}
				defer n.conns.Wait()
				for addr, text := range map[string]string{
					"192.0.2.1:25": "", "192.0.2.2:25": "", "[2001:db8::1]:25": "", "127.0.0.1:25": "",
					"192.0.2.21:25": "[[rule]]\nphase = \"greeting\"\nreply = \"421 4.3.2 too busy\"",
					"192.0.2.54:25": "[[rule]]\nphase = \"greeting\"\nreply = \"554 5.7.1 we do not like you\"",
				} {
					n.servers[addr] = sink.New(sink.Options{Script: script(t, text)})
					defer n.servers[addr].Close()
				}
				store := bodies{}
				a := courier.NewAgent(courier.Options{Bodies: store, Dial: n.dial, Resolver: c.zone, Own: ownName, Memory: courier.NewMemory()},
					courier.Route{Name: "internet", Domain: "x.example", Internet: true, HeloName: "mx.city.example"})
				defer a.Close()
				out := hand(t, a, store.message("m", "x\r\n", "clerk@x.example"), c.want)
				if c.from != "" && out[0].Server != c.from {
					t.Errorf("server %q, want %q", out[0].Server, c.from)
				}
				if !strings.Contains(out[0].Reply.Text, c.text) {
					t.Errorf("text %q, want %q in it", out[0].Reply.Text, c.text)
				}
				if c.asked != nil && !slices.Equal(n.asked, c.asked) || len(n.asked) > 6 {
					t.Errorf("asked %v, want %v and at most 6", n.asked, c.asked)
				}
			})
		})
	}
}

func TestExchangersOfOnePreferenceShareTheLoad(t *testing.T) {
	n := &internet{servers: map[string]*sink.Sink{}}
	z := zone{"MX x.example": "10 one.example 10 two.example", "A one.example": "192.0.2.1", "A two.example": "192.0.2.2"}
	store := bodies{}
	first := map[string]int{}
	for range 100 {
		a := courier.NewAgent(courier.Options{Bodies: store, Dial: n.dial, Resolver: z}, courier.Route{Name: "internet", Domain: "x.example", Internet: true})
		n.asked = nil
		a.Hand(t.Context(), store.message("m", "x\r\n", "clerk@x.example"))
		first[n.asked[0]]++
	}
	if first["192.0.2.1:25"] < 20 || first["192.0.2.2:25"] < 20 {
		t.Errorf("first asked: %v, want about 50 each", first)
	}
}

// TestADeadExchangerIsRememberedByAllAgents holds that each new connection to a domain
// does not begin with the time-out of its dead first exchanger.
func TestADeadExchangerIsRememberedByAllAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &internet{servers: map[string]*sink.Sink{"192.0.2.2:25": sink.New(sink.Options{})}}
		defer n.conns.Wait()
		defer n.servers["192.0.2.2:25"].Close()
		z := zone{"MX x.example": "10 dead.example 20 two.example", "A dead.example": "192.0.2.9", "A two.example": "192.0.2.2"}
		o := courier.Options{Bodies: bodies{}, Dial: n.dial, Resolver: z, Memory: courier.NewMemory()}
		for _, want := range [][]string{{"192.0.2.9:25", "192.0.2.2:25"}, {"192.0.2.2:25"}, {"192.0.2.9:25", "192.0.2.2:25"}} {
			n.asked = nil
			a := courier.NewAgent(o, courier.Route{Name: "internet", Domain: "x.example", Internet: true})
			hand(t, a, o.Bodies.(bodies).message("m", "x\r\n", "clerk@x.example"), tookSMTP)
			a.Close()
			if !slices.Equal(n.asked, want) {
				t.Errorf("asked %v, want %v", n.asked, want)
			}
			if len(want) == 1 {
				time.Sleep(time.Minute)
			}
		}
	})
}

// TestAVerdictAboutUsNeverBouncesAMail is promise 3 towards the Internet; the same words
// of the city's own groupware are as they were.
func TestAVerdictAboutUsNeverBouncesAMail(t *testing.T) {
	const blocked = "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"
	for _, c := range []struct {
		phase, reply string
		internet     bool
		want         string
	}{
		{"mail", blocked, true, "0 later about route at mail 554 5.7.1"},
		{"rcpt", blocked, true, "0 later about route at rcpt 554 5.7.1"},
		{"data", blocked, true, "0 later about route at data 554 5.7.1"},
		{"dot", blocked, true, "0 later about route at dot 554 5.7.1"},
		{"rcpt", "550 5.1.1 User unknown", true, "0 refused about recipient at rcpt 550 5.1.1"},
		{"dot", "554 5.7.1 rejected as spam", true, "0 refused about message at dot 554 5.7.1"},
		{"rcpt", blocked, false, "0 refused about recipient at rcpt 554 5.7.1"},
	} {
		s := startSink(t, sink.Options{Script: script(t, fmt.Sprintf("[[rule]]\nphase = %q\nreply = %q", c.phase, c.reply))})
		store := bodies{}
		a := courier.NewAgent(courier.Options{Bodies: store}, courier.Route{
			Name: "relay", Hosts: []courier.Host{{Addr: s.Addr()}}, Internet: c.internet})
		hand(t, a, store.message("m", "x\r\n", "clerk@x.example"), c.want)
		a.Close()
	}
}
