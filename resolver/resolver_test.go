package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/resolver"
	"doppelboden/test/peer"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
stadt.example.      TXT "v=spf1 " "mx -all"
stadt.example.      TXT "a \"quoted\" \\ \195\188"
stadt.example.      MX 20 mx2.Stadt.example.
stadt.example.      MX 10 mx1.stadt.example.
stadt.example.      MX 10 mx3.stadt.example.
null.example.       MX 0 .
mx1.stadt.example.  A 192.0.2.1
mx1.stadt.example.  AAAA 2001:db8::1
mx4.stadt.example.  A 192.0.2.4
alias.example.      CNAME alias2.example.
alias2.example.     CNAME mx1.stadt.example.
round.example.      CNAME round2.example.
round2.example.     CNAME round.example.
selbst.example.     CNAME selbst.example.
dangling.example.   CNAME nowhere.example.
1.2.0.192.in-addr.arpa. PTR MX1.stadt.example.
2.2.0.192.in-addr.arpa. PTR bad\032name.example.
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mx1.stadt.example.
`

// newClient returns a client of the servers, and a clock that it goes by.
func newClient(t *testing.T, patience time.Duration, servers ...string) (*resolver.Client, *clock) {
	t.Helper()
	k := &clock{now: time.Unix(1_800_000_000, 0)}
	c, err := resolver.New(resolver.Options{Servers: servers, Registry: prometheus.NewRegistry(), Clock: k.Now, Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Wait)
	return c, k
}

// A clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (k *clock) Now() time.Time { k.mu.Lock(); defer k.mu.Unlock(); return k.now }
func (k *clock) forward(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = k.now.Add(d)
}

func TestAnswersAreGivenAsTheTableHasThem(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: zone})
	c, _ := newClient(t, 0, s.Addr())
	ctx := t.Context()
	for _, tc := range []struct {
		what string
		ask  func() (any, error)
		want string
	}{
		{"texts with their strings joined and escapes undone", func() (any, error) { return c.TXT(ctx, "Stadt.example") },
			"[v=spf1 mx -all a \"quoted\" \\ ü]"},
		{"null MX", func() (any, error) { return c.MX(ctx, "null.example.") }, "[{. 0}]"},
		{"both kinds of address", func() (any, error) { return c.Addrs(ctx, "mx1.stadt.example") }, "[192.0.2.1 2001:db8::1]"},
		{"one kind of address", func() (any, error) { return c.Addrs(ctx, "mx4.stadt.example") }, "[192.0.2.4]"},
		{"aliases", func() (any, error) { return c.Addrs(ctx, "alias.example") }, "[192.0.2.1 2001:db8::1]"},
		{"reverse of IPv4", func() (any, error) { return c.PTR(ctx, netip.MustParseAddr("192.0.2.1")) }, "[mx1.stadt.example]"},
		{"reverse of mapped IPv4", func() (any, error) { return c.PTR(ctx, netip.MustParseAddr("::ffff:192.0.2.1")) }, "[mx1.stadt.example]"},
		{"reverse of IPv6", func() (any, error) { return c.PTR(ctx, netip.MustParseAddr("2001:db8::1%eth0")) }, "[mx1.stadt.example]"},
	} {
		got, err := tc.ask()
		if err != nil || fmt.Sprint(got) != tc.want {
			t.Errorf("%s: got %v, %v; want %s", tc.what, got, err, tc.want)
		}
	}
	firsts := map[string]int{}
	for range 50 {
		mxs, err := c.MX(ctx, "stadt.example")
		if err != nil || len(mxs) != 3 || mxs[2] != (resolver.MX{Host: "mx2.stadt.example", Pref: 20}) {
			t.Fatalf("MX of stadt.example: %v, %v; want mx2 last", mxs, err)
		}
		firsts[mxs[0].Host]++
	}
	if len(firsts) != 2 {
		t.Errorf("50 times, the first of two equal MXs was %v; want each of them sometimes", firsts)
	}
}

func TestWhatIsNotThereIsNotFoundAndEverythingElseTemporary(t *testing.T) {
	big := strings.Repeat(`huge.example. TXT "`+strings.Repeat("x", 250)+"\"\n", 200)
	many := ""
	for i := range 150 {
		many += fmt.Sprintf("many.example. A 10.0.%d.%d\n", i/250, i%250)
	}
	chain := ""
	for i := range 10 {
		chain += fmt.Sprintf("c%d.example. CNAME c%d.example.\n", i, i+1)
	}
	chain += "c10.example. A 192.0.2.10\n"
	s := peer.For(t, peer.DNS{Zone: zone + big + many + chain})
	s.Treat("fails.example", peer.ServFail)
	s.Treat("refuses.example", peer.Refused)
	s.Treat("garbage.example", peer.Garbage)
	s.Treat("other-question.example", peer.OtherQuestion)
	s.Treat("silent.example", peer.Silent)
	c, _ := newClient(t, 0, s.Addr())
	hasty, _ := newClient(t, 500*time.Millisecond, s.Addr()) // for names of which no answer comes
	for name, want := range map[string]doppelboden.Code{
		"nowhere.example":               doppelboden.NotFound,
		"dangling.example":              doppelboden.NotFound,
		"null.example":                  doppelboden.NotFound, // it has an MX, no address
		"bad..name":                     doppelboden.NotFound,
		"":                              doppelboden.NotFound,
		".":                             doppelboden.NotFound,
		`back\slash.example`:            doppelboden.NotFound,
		`o'brien"(x);@ y.example`:       doppelboden.NotFound,
		"ümlaut.example":                doppelboden.NotFound,
		strings.Repeat("x", 64) + ".de": doppelboden.NotFound,
		"round.example":                 doppelboden.Temporary,
		"selbst.example":                doppelboden.Temporary,
		"fails.example":                 doppelboden.Temporary,
		"refuses.example":               doppelboden.Temporary,
		"garbage.example":               doppelboden.Temporary,
		"other-question.example":        doppelboden.Temporary,
		"silent.example":                doppelboden.Temporary,
		"c0.example":                    doppelboden.Temporary, // ten aliases
		"many.example":                  doppelboden.Temporary,
	} {
		ask := c
		if slices.Contains([]string{"garbage.example", "other-question.example", "silent.example"}, name) {
			ask = hasty
		}
		got, err := ask.Addrs(t.Context(), name)
		if err == nil || doppelboden.CodeOf(err) != want {
			t.Errorf("addresses of %q: %v, %v; want an error with code %v", name, got, err, want)
		}
	}
	if got, err := c.TXT(t.Context(), "huge.example"); doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
		t.Errorf("50 KB of texts: got %d texts, %v; want Temporary", len(got), err)
	}
	if got, err := c.PTR(t.Context(), netip.MustParseAddr("192.0.2.2")); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("a host name with a space: got %q, %v; want NotFound", got, err)
	}
}

func TestPoisonInAnAnswerIsLeftOut(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: zone})
	s.Treat("", peer.Poisoned)
	c, _ := newClient(t, 0, s.Addr())
	if got, err := c.Addrs(t.Context(), "mx1.stadt.example"); err != nil || fmt.Sprint(got) != "[192.0.2.1 2001:db8::1]" {
		t.Errorf("addresses beside poison: %v, %v", got, err)
	}
	if got, err := c.TXT(t.Context(), "mx1.stadt.example"); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("texts of a name that has none, in a poisoned answer: %q, %v; want NotFound", got, err)
	}
	if got, err := c.MX(t.Context(), "stadt.example"); err != nil || len(got) != 3 {
		t.Errorf("MXs beside poison: %v, %v; want three", got, err)
	}
	s.Treat("", peer.Well)
	if got, err := c.TXT(t.Context(), "other.example"); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("what nobody asked for was kept: %q, %v", got, err)
	}
}

func TestALongAnswerComesOverTCP(t *testing.T) {
	long := ""
	for i := range 30 {
		long += fmt.Sprintf("long.example. TXT \"%03d %s\"\n", i, strings.Repeat("x", 200))
	}
	s := peer.For(t, peer.DNS{Zone: long})
	c, _ := newClient(t, 0, s.Addr())
	got, err := c.TXT(t.Context(), "long.example")
	if err != nil || len(got) != 30 {
		t.Errorf("6 KB of texts: %d, %v; want 30", len(got), err)
	}
	if !strings.Contains(s.LogTail(10), "tcp") {
		t.Errorf("no question over TCP:\n%s", s.LogTail(10))
	}
}

func TestAnswersAreKeptAsLongAsTheirTTLSays(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: `
a.example. 60 TXT "kept for a minute"
zero.example. 0 TXT "kept for a moment"
week.example. 604800 TXT "kept for an hour"`})
	c, k := newClient(t, 0, s.Addr())
	ask := func(name string, times int) {
		for range times {
			_, _ = c.TXT(t.Context(), name)
		}
	}
	names := []string{"a.example", "zero.example", "week.example", "nowhere.example"}
	for _, step := range []struct {
		pass time.Duration // before the questions
		want []int         // how often the server has been asked then, for each name
	}{
		{0, []int{1, 1, 1, 1}},
		{4 * time.Second, []int{1, 1, 1, 1}},
		{2 * time.Second, []int{1, 2, 1, 1}},    // zero: 5 s are over
		{25 * time.Second, []int{1, 3, 1, 2}},   // nowhere: its SOA says 30 s
		{30 * time.Second, []int{2, 4, 1, 3}},   // a: 60 s
		{3600 * time.Second, []int{3, 5, 2, 4}}, // week: an hour is the most
	} {
		k.forward(step.pass)
		for i, name := range names {
			ask(name, 3)
			if got := s.Asked(name); got != step.want[i] {
				t.Errorf("after %v more, %s was asked for %d times, want %d", step.pass, name, got, step.want[i])
			}
		}
	}
}

func TestTheSameQuestionIsAskedOnceAtATime(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: zone})
	s.Delay(100 * time.Millisecond)
	c, _ := newClient(t, 0, s.Addr())
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := c.TXT(t.Context(), "stadt.example"); err != nil || len(got) != 2 {
				t.Errorf("TXT: %v, %v", got, err)
			}
		})
	}
	all.Wait()
	if got := s.Asked("stadt.example"); got != 1 {
		t.Errorf("50 callers at once made %d questions, want 1", got)
	}
}

func TestWhoGivesUpDoesNotSpoilTheAnswerForOthers(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: zone})
	s.Delay(100 * time.Millisecond)
	c, _ := newClient(t, 0, s.Addr())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.TXT(gone, "stadt.example"); !errors.Is(err, context.Canceled) || doppelboden.CodeOf(err) != doppelboden.Temporary {
		t.Errorf("whose context has ended: %v, want Temporary because of it", err)
	}
	if got, err := c.TXT(t.Context(), "stadt.example"); err != nil || len(got) != 2 {
		t.Errorf("the next one: %v, %v", got, err)
	}
}

func TestADeadServerCostsOneDeadlineAndThenNothing(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: zone})
	s.Treat("", peer.Silent)
	c, k := newClient(t, time.Second, s.Addr())
	if _, err := c.TXT(t.Context(), "first.example"); doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
		t.Errorf("a dead server: %v, want Temporary", err)
	}
	// Each attempt is waited for until the deadline of 1 s, so their number says what it cost.
	if n := s.Asked("first.example"); n > 1 {
		t.Errorf("the first question was asked %d times, want once for its deadline", n)
	}
	_, _ = c.TXT(t.Context(), "second.example") // asks whether the server lives
	for i := range 1000 {
		if _, err := c.TXT(t.Context(), fmt.Sprintf("q%d.example", i)); doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
			t.Fatalf("question %d to a dead server: %v, want Temporary", i, err)
		}
	}
	for i := range 1000 {
		if name := fmt.Sprintf("q%d.example", i); s.Asked(name) > 0 {
			t.Fatalf("a server known to be dead was asked for %s", name)
		}
	}
	s.Treat("", peer.Well)
	k.forward(time.Minute)
	if got, err := c.TXT(t.Context(), "stadt.example"); err != nil || len(got) != 2 {
		t.Errorf("when it lives again: %v, %v", got, err)
	}
}

func TestDeadServersAreNamedAndLeftAloneBeforeAnybodyAsks(t *testing.T) {
	bad, good := peer.For(t, peer.DNS{Zone: zone}), peer.For(t, peer.DNS{Zone: zone})
	bad.Treat("", peer.Silent)
	c, k := newClient(t, 0, bad.Addr(), good.Addr())
	if got, answers := c.Dead(t.Context()); !slices.Equal(got, []string{bad.Addr()}) || !answers {
		t.Errorf("dead: %v, somebody answers %v; want %s, true", got, answers, bad.Addr())
	}
	if got, err := c.TXT(t.Context(), "stadt.example"); err != nil || len(got) != 2 || bad.Asked("stadt.example") > 0 {
		t.Errorf("the living one: %v, %v; the dead one was asked %d times, want never", got, err, bad.Asked("stadt.example"))
	}
	bad.Treat("", peer.Well)
	if got, answers := c.Dead(t.Context()); len(got) != 0 || !answers {
		t.Errorf("dead after it came back: %v, somebody answers %v", got, answers)
	}
	good.Treat("", peer.Silent)
	bad.Treat("", peer.Silent)
	if got, answers := c.Dead(t.Context()); len(got) != 2 || answers {
		t.Errorf("both dead: %v, somebody answers %v", got, answers)
	}
	good.Treat("", peer.Well)
	bad.Treat("", peer.Well)
	_, _ = c.Dead(t.Context())
	k.forward(time.Second)
	if _, err := c.TXT(t.Context(), "null.example"); err == nil || good.Asked("null.example") != 0 {
		t.Errorf("the first server is asked again: %v", err)
	}
}

func TestANameThatTakesForeverDoesNotKillTheServer(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: zone})
	c, _ := newClient(t, 600*time.Millisecond, s.Addr())
	for i := range 4 {
		name := fmt.Sprintf("tarpit%d.example", i)
		s.Treat(name, peer.Silent)
		if _, err := c.TXT(t.Context(), name); doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
			t.Errorf("%s: %v, want Temporary", name, err)
		}
	}
	if got, err := c.TXT(t.Context(), "stadt.example"); err != nil || len(got) != 2 {
		t.Errorf("beside names that take forever: %v, %v", got, err)
	}
}

func TestTheNextServerIsAskedWhenOneIsDeadOrFails(t *testing.T) {
	for mood, name := range map[peer.Mood]string{peer.Silent: "silent", peer.ServFail: "failing", peer.Refused: "refusing", peer.Garbage: "babbling"} {
		t.Run(name, func(t *testing.T) {
			bad, good := peer.For(t, peer.DNS{Zone: zone}), peer.For(t, peer.DNS{Zone: zone})
			bad.Treat("", mood)
			c, _ := newClient(t, 2*time.Second, bad.Addr(), good.Addr())
			if got, err := c.TXT(t.Context(), "stadt.example"); err != nil || len(got) != 2 {
				t.Errorf("TXT: %v, %v", got, err)
			}
		})
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: zone})
	c, err := resolver.New(resolver.Options{Servers: []string{s.Addr()}, Registry: prometheus.NewRegistry(), CacheBytes: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Wait)
	ask := func(name string) { _, _ = c.TXT(t.Context(), name) }
	ask("first.example")
	for i := range 200 {
		ask("stadt.example") // always in use
		ask(fmt.Sprintf("n%d.example", i))
	}
	ask("first.example")
	if got := s.Asked("first.example"); got != 2 {
		t.Errorf("after 200 others, the first was asked for %d times; want it forgotten", got)
	}
	if got := s.Asked("stadt.example"); got != 1 {
		t.Errorf("what is always in use was asked for %d times, want 1", got)
	}
}

func TestNoMoreQuestionsAreOnTheirWayThanAllowed(t *testing.T) {
	s := peer.For(t, peer.DNS{Zone: zone})
	s.Delay(50 * time.Millisecond)
	c, err := resolver.New(resolver.Options{Servers: []string{s.Addr()}, Registry: prometheus.NewRegistry(), Questions: 1, Patience: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Wait)
	codes := make([]bool, 40)
	var all sync.WaitGroup
	for i := range codes {
		all.Go(func() {
			_, err := c.TXT(t.Context(), fmt.Sprintf("n%d.example", i))
			codes[i] = doppelboden.CodeOf(err) == doppelboden.NotFound
		})
	}
	all.Wait()
	if !slices.Contains(codes, true) || !slices.Contains(codes, false) {
		t.Errorf("40 questions of 50 ms one after the other in 400 ms: want some answered and some Temporary, got %v", codes)
	}
}

func TestTheSystemsNameServersAreRead(t *testing.T) {
	got, err := resolver.SystemServers("testdata/resolv.conf")
	want := []string{"192.0.2.53:53", "[2001:db8::53]:53"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("servers %v, %v; want %v", got, err, want)
	}
	for _, file := range []string{"testdata/empty.conf", "testdata/nowhere.conf"} {
		if got, err := resolver.SystemServers(file); err != nil || !slices.Equal(got, []string{"127.0.0.1:53"}) {
			t.Errorf("%s: %v, %v; want this machine", file, got, err)
		}
	}
}
