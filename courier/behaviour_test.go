package courier_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/sink"
)

// script reads a script that a test knows to be right.
func script(t testing.TB, text string) *sink.Script {
	t.Helper()
	s, err := sink.Parse(t.Name(), []byte(text))
	if err != nil {
		t.Fatalf("script: %v", err)
	}
	return s
}

// startSink starts a server until the test ends.
func startSink(t testing.TB, o sink.Options) *sink.Sink {
	t.Helper()
	s, err := sink.Start(o)
	if err != nil {
		t.Fatalf("start sink: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newAgent returns an agent for some addresses, the first of which is preferred.
func newAgent(t testing.TB, o courier.Options, lmtp bool, addrs ...string) *courier.Agent {
	t.Helper()
	r := courier.Route{Name: "groupware", HeloName: "mx.city.example"}
	for i, addr := range addrs {
		r.Hosts = append(r.Hosts, courier.Host{LMTP: lmtp, Addr: addr, Preference: 10 * i})
	}
	a := courier.NewAgent(o, r)
	t.Cleanup(a.Close)
	return a
}

// hand hands a job over and compares the outcomes.
func hand(t *testing.T, a *courier.Agent, j courier.Job, want string) []doppelboden.Outcome {
	t.Helper()
	out := a.Hand(context.Background(), j)
	if got := briefs(out); got != want {
		t.Errorf("outcomes\n got %s\nwant %s\ntext %q", got, want, out[0].Reply.Text)
	}
	return out
}

const (
	tookSMTP = "0 took about message at dot 250 2.0.0"
	tookLMTP = "0 took about recipient at dot 250 2.1.5"
)

func TestWhatArrivesIsThePrefixAndTheBody(t *testing.T) {
	for _, lmtp := range []bool{false, true} {
		s := startSink(t, sink.Options{})
		store := bodies{}
		a := newAgent(t, courier.Options{Bodies: store}, lmtp, s.Addr())
		text := "Subject: ü\r\n\r\n.\r\n..\r\nno end of line"
		j := store.message("m", text, "clerk@city.example")
		j.Message.EightBit, j.Message.Ret, j.Message.EnvID = true, "HDRS", "e+2Bv"
		j.Deliveries[0].Notify, j.Deliveries[0].ORcpt = "FAILURE,DELAY", "rfc822;clerk@city.example"
		want := tookSMTP
		if lmtp {
			want = tookLMTP
		}
		out := hand(t, a, j, want)
		if out[0].Ref != (doppelboden.Ref{Message: j.Message.ID}) || out[0].Server != s.Addr() || out[0].At.IsZero() {
			t.Errorf("outcome %+v names another delivery, server or no time", out[0])
		}
		if out[0].Unnotified {
			t.Errorf("the server offers DSN, and the outcome says that the sender is not told")
		}
		m := s.Messages()[0]
		if got, want := string(m.Data), string(j.Message.Prefix)+text+"\r\n"; got != want {
			t.Errorf("data: got %q, want %q", got, want)
		}
		size := len(j.Message.Prefix) + len(text)
		if got, want := m.Parameters, fmt.Sprintf("SIZE=%d BODY=8BITMIME RET=HDRS ENVID=e+2Bv", size); got != want {
			t.Errorf("MAIL parameters: got %q, want %q", got, want)
		}
		if got, want := m.Recipients[0].Parameters, "NOTIFY=FAILURE,DELAY ORCPT=rfc822;clerk@city.example"; got != want {
			t.Errorf("RCPT parameters: got %q, want %q", got, want)
		}
		if m.LMTP != lmtp || m.Sender != "anna@sender.example" || m.Helo != "mx.city.example" {
			t.Errorf("envelope: %+v", m)
		}
	}
}

func TestNothingIsSaidThatTheServerDoesNotOffer(t *testing.T) {
	s := startSink(t, sink.Options{Script: script(t, `extensions = ["none"]`)})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
	j := store.message("m", "Subject: x\r\n\r\n\xff 8-bit goes as it is\r\n", "clerk@city.example")
	j.Message.EightBit, j.Message.Ret, j.Message.EnvID = true, "FULL", "x"
	j.Deliveries[0].Notify, j.Deliveries[0].ORcpt = "NEVER", "rfc822;x"
	if out := hand(t, a, j, tookSMTP); !out[0].Unnotified {
		t.Errorf("the server has no DSN extension, and nobody learns that: %+v", out[0])
	}
	if m := s.Messages()[0]; m.Parameters+m.Recipients[0].Parameters != "" || !strings.Contains(string(m.Data), "\xff 8-bit goes") {
		t.Errorf("got %q, %q and %q", m.Parameters, m.Recipients[0].Parameters, m.Data)
	}
}

func TestAParameterThatCouldEndTheCommandIsLeftOut(t *testing.T) {
	s := startSink(t, sink.Options{})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
	j := store.message("m", "x\r\n", "clerk@city.example", "b@city.example")
	j.Message.EnvID, j.Deliveries[0].ORcpt = "x\r\nRSET", "rfc822;x y"
	j.Deliveries[1].Recipient.Local = "b>\r\nDATA\r\n"
	hand(t, a, j, tookSMTP+"; 1 refused about recipient at rcpt 5.1.3")
	if m := s.Messages()[0]; strings.Contains(m.Parameters, "ENVID") || m.Recipients[0].Parameters != "" || len(m.Recipients) != 1 {
		t.Errorf("got %+v", m)
	}
	j.Message.Sender.Local = "a\nb"
	hand(t, a, j, "0 refused about message at mail 5.1.7; 1 refused about message at mail 5.1.7")
}

func TestEightBitIsDeclaredOnlyWhereItMayBe(t *testing.T) {
	s := startSink(t, sink.Options{})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
	for i, c := range []struct {
		text string
		want bool
	}{
		{"seven\r\n", false}, {"\x80\r\n", true}, {strings.Repeat("seven\r\n", 30_000), true},
	} {
		hand(t, a, store.message("m", c.text, "clerk@city.example"), tookSMTP)
		if got := strings.Contains(s.Messages()[i].Parameters, "BODY=8BITMIME"); got != c.want {
			t.Errorf("body %d of %d octets: declared %v, want %v", i, len(c.text), got, c.want)
		}
	}
}

func TestSMTPUTF8IsUsedOnlyWhenNeededAndRefusedWhenNotOffered(t *testing.T) {
	with := startSink(t, sink.Options{})
	without := startSink(t, sink.Options{Script: script(t, `extensions = ["PIPELINING"]`)})
	store := bodies{}
	for _, c := range []struct {
		name          string
		change        func(*courier.Job)
		parameter     bool
		withoutOffers string
	}{
		{"plain", func(*courier.Job) {}, false, tookSMTP + "; 1 took about message at dot 250 2.0.0"},
		{"header", func(j *courier.Job) { j.Message.SMTPUTF8 = true }, true, both("refused about message at mail 5.6.7")},
		{"sender", func(j *courier.Job) { j.Message.Sender.Local = "jörg" }, true, both("refused about message at mail 5.6.7")},
		{"recipient", func(j *courier.Job) { j.Deliveries[1].Recipient.Local = "jörg" }, true, tookSMTP + "; 1 refused about recipient at rcpt 5.6.7"},
	} {
		j := store.message("m", "x\r\n", "clerk@city.example", "b@city.example")
		c.change(&j)
		with.Reset()
		hand(t, newAgent(t, courier.Options{Bodies: store}, false, with.Addr()), j, both("took about message at dot 250 2.0.0"))
		if got := strings.Contains(with.Messages()[0].Parameters, "SMTPUTF8"); got != c.parameter {
			t.Errorf("%s: SMTPUTF8 said: %v, want %v", c.name, got, c.parameter)
		}
		hand(t, newAgent(t, courier.Options{Bodies: store}, false, without.Addr()), j, c.withoutOffers)
	}
}

func TestAConnectionIsKept(t *testing.T) {
	s := startSink(t, sink.Options{})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
	for range 10 {
		hand(t, a, store.message("m", "x\r\n", "clerk@city.example"), tookSMTP)
	}
	if st := s.Stats(); st.Connections != 1 || st.Messages != 10 {
		t.Errorf("got %d mails in %d connections, want 10 in 1", st.Messages, st.Connections)
	}
}

func TestAfterARefusalTheConnectionIsResetAndKept(t *testing.T) {
	for _, rule := range []string{
		`phase = "mail"` + "\n" + `reply = "550 no"`, `phase = "rcpt"` + "\n" + `reply = "450 no"`,
		`phase = "data"` + "\n" + `reply = "450 no"`, `phase = "dot"` + "\n" + `reply = "450 no"`,
	} {
		for _, extension := range []string{"PIPELINING", "none"} {
			s := startSink(t, sink.Options{Script: script(t, "extensions = [\""+extension+"\"]\n[[rule]]\nnth = 1\n"+rule)})
			store := bodies{}
			a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
			j := store.message("m", "x\r\n", "clerk@city.example")
			if out := a.Hand(context.Background(), j); out[0].Verdict == doppelboden.Took {
				t.Errorf("%s: got %s", rule, brief(out[0]))
			}
			hand(t, a, j, tookSMTP)
			if st := s.Stats(); st.Connections != 1 || st.Messages != 1 || st.Seen != (sink.Smuggling{}) {
				t.Errorf("%s with %s: got %+v, want one connection, one mail, and nothing odd", rule, extension, st)
			}
		}
	}
}

func TestAConnectionThatEndedMeanwhileIsReplacedInSilence(t *testing.T) {
	s := startSink(t, sink.Options{})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
	j := store.message("m", "x\r\n", "clerk@city.example")
	hand(t, a, j, tookSMTP)
	s.Cut()
	wait(t, s, func(st sink.Stats) bool { return st.Open == 0 })
	hand(t, a, j, tookSMTP)
	if st := s.Stats(); st.Connections != 2 || st.Messages != 2 {
		t.Errorf("got %d mails in %d connections, want 2 in 2", st.Messages, st.Connections)
	}
	// On a connection of its own the same is news.
	s.SetScript(script(t, "[[rule]]\nphase = \"mail\"\naction = \"drop\""))
	hand(t, a, j, "0 later about route at mail")
}

// wait waits until ok says true of the counts.
func wait(t *testing.T, s *sink.Sink, ok func(sink.Stats) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Wait(ctx, ok); err != nil {
		t.Fatalf("%v; counts %+v", err, s.Stats())
	}
}

func TestAServersLimitPerConnectionIsNoFailure(t *testing.T) {
	s := startSink(t, sink.Options{Script: script(t, "per_connection = 3")})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
	for range 10 {
		hand(t, a, store.message("m", "x\r\n", "clerk@city.example"), tookSMTP)
	}
	if st := s.Stats(); st.Connections != 4 || st.Messages != 10 {
		t.Errorf("got %d mails in %d connections, want 10 in 4", st.Messages, st.Connections)
	}
}

func TestA421ToAFreshConnectionIsReported(t *testing.T) {
	s := startSink(t, sink.Options{Script: script(t, "[[rule]]\nphase = \"mail\"\nreply = \"421 4.7.0 too many\"")})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
	hand(t, a, store.message("m", "x\r\n", "clerk@city.example"), "0 later about route at mail 421 4.7.0")
	if n := s.Stats().Connections; n != 1 {
		t.Errorf("got %d connections, want 1: a fresh one is not tried again", n)
	}
}

func TestLMTPAnswersBelongToTheirRecipients(t *testing.T) {
	s := startSink(t, sink.Options{Script: script(t, `
[[rule]]
phase = "rcpt"
recipient = "b@*"
reply = "550 5.1.1 no such user"
[[rule]]
phase = "dot"
recipient = "c@*"
reply = "452 4.2.2 full"
[[rule]]
phase = "dot"
recipient = "d@*"
reply = "550 5.7.1 no"
`)})
	store := bodies{}
	var tally logbook
	a := newAgent(t, courier.Options{Bodies: store, Tally: &tally}, true, s.Addr())
	j := store.message("m", "x\r\n", "a@x.example", "b@x.example", "c@x.example", "d@x.example", "e@x.example")
	hand(t, a, j, "0 took about recipient at dot 250 2.1.5; 1 refused about recipient at rcpt 550 5.1.1; "+
		"2 later about recipient at dot 452 4.2.2; 3 refused about recipient at dot 550 5.7.1; 4 took about recipient at dot 250 2.1.5")
	if got, want := tally.String(), "attempt groupware; for 0; for 2; for 3; for 4; answer 0 took doubt=false; "+
		"answer 2 later doubt=false; answer 3 refused doubt=false; answer 4 took doubt=false"; got != want {
		t.Errorf("tally\n got %s\nwant %s", got, want)
	}
	s.SetScript(script(t, "[[rule]]\nphase = \"dot\"\nrecipient = \"c@*\"\naction = \"drop\""))
	hand(t, a, j, "0 took about recipient at dot 250 2.1.5; 1 took about recipient at dot 250 2.1.5; "+
		"2 later about message at dot in doubt; 3 later about message at dot in doubt; 4 later about message at dot in doubt")
}

func TestManyRecipientsKeepTheirOrder(t *testing.T) {
	for _, extension := range []string{"PIPELINING", "none"} {
		s := startSink(t, sink.Options{Script: script(t, "extensions = [\""+extension+"\"]\n[[rule]]\nphase = \"rcpt\"\nrecipient = \"*7@*\"\nreply = \"550 5.1.1 no\"")})
		store := bodies{}
		a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
		var to []string
		for i := range 1000 {
			to = append(to, fmt.Sprintf("clerk.%d@city.example", i))
		}
		for i, o := range a.Hand(context.Background(), store.message("m", "x\r\n", to...)) {
			want := doppelboden.Took
			if i%10 == 7 {
				want = doppelboden.Refused
			}
			if o.Ref.N != i || o.Verdict != want {
				t.Fatalf("outcome %d: got %s, want %s", i, brief(o), want)
			}
		}
		if m := s.Messages(); len(m) != 1 || len(m[0].Recipients) != 900 {
			t.Errorf("got %d mails, want 1 with 900 recipients", len(m))
		}
	}
}

func TestHostsAreAskedByPreferenceAndAFailedOneRests(t *testing.T) {
	first, second := startSink(t, sink.Options{}), startSink(t, sink.Options{})
	dead := script(t, "[[rule]]\nphase = \"greeting\"\nreply = \"554 5.3.2 no SMTP service\"")
	first.SetScript(dead)
	now := time.Now()
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store, Clock: func() time.Time { return now }}, false, first.Addr(), second.Addr())
	j := store.message("m", "x\r\n", "clerk@city.example")
	count := func(what string, f, s int64) {
		t.Helper()
		if gf, gs := first.Stats().Messages, second.Stats().Messages; gf != f || gs != s {
			t.Errorf("%s: the first took %d and the second %d, want %d and %d", what, gf, gs, f, s)
		}
	}
	hand(t, a, j, tookSMTP)
	count("first dead", 0, 1)
	first.SetScript(nil)
	hand(t, a, j, tookSMTP)
	count("first rests", 0, 2)
	now = now.Add(31 * time.Second)
	hand(t, a, j, tookSMTP)
	count("first has rested", 1, 2)
	first.SetScript(dead)
	second.SetScript(dead)
	first.Cut()
	wait(t, first, func(st sink.Stats) bool { return st.Open == 0 })
	out := hand(t, a, j, "0 later about route at greeting 554 5.3.2")
	if out[0].Server == "" {
		t.Error("the outcome names no server")
	}
	first.SetScript(nil) // both failed a moment ago: both are still asked
	hand(t, a, j, tookSMTP)
	count("first is back", 2, 2)
}

func TestARouteThatCannotBeReachedIsReported(t *testing.T) {
	store := bodies{}
	j := store.message("m", "x\r\n", "a@city.example", "b@city.example")
	s := startSink(t, sink.Options{})
	s.Close()
	out := hand(t, newAgent(t, courier.Options{Bodies: store}, false, s.Addr()), j, both("later about route at connect"))
	if !strings.Contains(out[0].Reply.Text, "refused") {
		t.Errorf("text %q does not say why", out[0].Reply.Text)
	}
	hand(t, newAgent(t, courier.Options{Bodies: store}, false), j, both("later about route at connect"))
	if out := newAgent(t, courier.Options{}, false).Hand(context.Background(), courier.Job{Message: j.Message}); len(out) != 0 {
		t.Errorf("no deliveries gave %d outcomes", len(out))
	}
}

func TestConnectingEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := bodies{}
		a := newAgent(t, courier.Options{Bodies: store, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, false, "192.0.2.1:25")
		began := time.Now()
		hand(t, a, store.message("m", "x\r\n", "a@city.example"), "0 later about route at connect")
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v, want 10s", took)
		}
	})
}

func TestHELOIsTriedWhereEHLOIsRefused(t *testing.T) {
	s := startSink(t, sink.Options{Script: script(t, "[[rule]]\nphase = \"helo\"\nverb = \"EHLO\"\nreply = \"502 what?\"")})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
	hand(t, a, store.message("m", "x\r\n", "a@city.example"), tookSMTP)
	if m := s.Messages()[0]; m.Parameters != "" {
		t.Errorf("after HELO, MAIL had parameters %q", m.Parameters)
	}
}

func TestADamagedBodyIsNeverSentAsAWholeMail(t *testing.T) {
	s := startSink(t, sink.Options{})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
	for _, text := range []string{"x\r\n", strings.Repeat("0123456\r\n", 40_000)} {
		out := hand(t, a, store.message("damaged", text, "a@city.example"), "0 later about message at data")
		if want := "body cannot be read: checksum does not match"; out[0].Reply.Text != want {
			t.Errorf("text: got %q, want %q", out[0].Reply.Text, want)
		}
	}
	j := store.message("m", "x\r\n", "a@city.example")
	delete(store, "m")
	hand(t, a, j, "0 later about message at data")
	if st := s.Stats(); st.Messages != 0 {
		t.Errorf("the server took %d mails, want none", st.Messages)
	}
	hand(t, a, store.message("m", "x\r\n", "a@city.example"), tookSMTP)
}

func TestANodeThatMayNotSendsNoFinalDot(t *testing.T) {
	s := startSink(t, sink.Options{})
	store := bodies{}
	var may atomic.Bool
	var tally logbook
	a := newAgent(t, courier.Options{Bodies: store, Tally: &tally, MayDot: may.Load}, false, s.Addr())
	for _, text := range []string{"x\r\n", strings.Repeat("0123456\r\n", 40_000)} {
		hand(t, a, store.message("m", text, "a@city.example"), "0 later about route at data")
	}
	wait(t, s, func(st sink.Stats) bool { return st.Open == 0 })
	if st := s.Stats(); st.Messages != 0 || st.Seen.OpenAtClose != 2 {
		t.Errorf("the server took %d mails and saw %d broken ones, want 0 and 2", st.Messages, st.Seen.OpenAtClose)
	}
	may.Store(true)
	hand(t, a, store.message("m", "x\r\n", "a@city.example"), tookSMTP)
	if got, want := tally.String(), strings.Repeat("attempt groupware; for 0; answer 0 later doubt=false; ", 2)+"attempt groupware; for 0; answer 0 took doubt=false"; got != want {
		t.Errorf("tally\n got %s\nwant %s", got, want)
	}
}

func TestTheEndOfTheContextEndsTheWaiting(t *testing.T) {
	for phase, want := range map[string]string{
		"greeting": "0 later about route at greeting", "mail": "0 later about route at mail",
		"data": "0 later about route at data", "dot": "0 later about message at dot in doubt",
	} {
		grace := time.Duration(0)
		if phase == "dot" {
			grace = 5 * time.Second
		}
		synctest.Test(t, func(t *testing.T) {
			s := sink.New(sink.Options{Script: &sink.Script{Rules: []sink.Rule{{Phase: phase, Action: "hang"}}}})
			defer s.Close()
			var conns sync.WaitGroup
			defer conns.Wait()
			store := bodies{}
			a := newAgent(t, courier.Options{Bodies: store, Dial: func(context.Context, string, string) (net.Conn, error) {
				return pipeTo(s, &conns), nil
			}}, false, "groupware:25")
			defer a.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
			defer cancel()
			began := time.Now()
			out := a.Hand(ctx, store.message("m", "x\r\n", "a@city.example"))
			if got := briefs(out); got != want {
				t.Errorf("%s: got %s, want %s", phase, got, want)
			}
			if took := time.Since(began); took != 7*time.Second+grace {
				t.Errorf("%s: took %v, want %v", phase, took, 7*time.Second+grace)
			}
			s.SetScript(nil)
			hand(t, a, store.message("m", "x\r\n", "a@city.example"), tookSMTP)
		})
	}
}

func TestTheEndOfTheContextAsksNoOtherHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink.New(sink.Options{Script: &sink.Script{Rules: []sink.Rule{{Phase: "greeting", Action: "hang"}}}})
		defer s.Close()
		var conns sync.WaitGroup
		defer conns.Wait()
		var asked []string
		store := bodies{}
		a := newAgent(t, courier.Options{Bodies: store, Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			asked = append(asked, addr)
			return pipeTo(s, &conns), nil
		}}, false, "first:25", "second:25")
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		out := a.Hand(ctx, store.message("m", "x\r\n", "a@city.example"))
		if got, want := brief(out[0])+": "+out[0].Reply.Text, "0 later about route at greeting: the hand-over was cancelled"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// Nor does it say anything of the host.
		s.SetScript(nil)
		hand(t, a, store.message("m", "x\r\n", "a@city.example"), tookSMTP)
		if got, want := strings.Join(asked, " "), "first:25 first:25"; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
		a.Close()
	})
}

func TestAnAnswerWithinTheGraceCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink.New(sink.Options{Script: &sink.Script{Rules: []sink.Rule{{Phase: "dot", Delay: sink.Duration(10 * time.Second)}}}})
		defer s.Close()
		var conns sync.WaitGroup
		defer conns.Wait()
		store := bodies{}
		a := newAgent(t, courier.Options{Bodies: store, Dial: func(context.Context, string, string) (net.Conn, error) {
			return pipeTo(s, &conns), nil
		}}, false, "groupware:25")
		defer a.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		if got := briefs(a.Hand(ctx, store.message("m", "x\r\n", "a@city.example"))); got != tookSMTP {
			t.Errorf("got %s, want %s", got, tookSMTP)
		}
	})
}

func TestAContextThatHasEndedSendsNothing(t *testing.T) {
	s := startSink(t, sink.Options{})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.Addr())
	j := store.message("m", "x\r\n", "a@city.example")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got, want := briefs(a.Hand(ctx, j)), "0 later about route at connect"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	hand(t, a, j, tookSMTP)
	if got, want := briefs(a.Hand(ctx, j)), "0 later about route at mail"; got != want {
		t.Errorf("on a kept connection: got %s, want %s", got, want)
	}
	if n := s.Stats().Messages; n != 1 {
		t.Errorf("the server took %d mails, want 1", n)
	}
}

// TestWordsThatCameTooEarlyAreNoAnswer plays servers that speak before they are asked:
// their 250 must not be taken for the answer to the final dot.
func TestWordsThatCameTooEarlyAreNoAnswer(t *testing.T) {
	for name, to354 := range map[string]string{
		"250 with the 354": "354 go\r\n250 2.0.0 ok\r\n",
		"half a line":      "354 go\r\n25",
		"two 354":          "354 go\r\n354 go\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newRawServer(t, func(_ int, c net.Conn) {
				io.WriteString(c, "220 raw\r\n")
				for _, answer := range []string{"250-raw\r\n250 PIPELINING\r\n", "250 ok\r\n250 ok\r\n" + to354} {
					if _, err := c.Read(make([]byte, 4096)); err != nil {
						return
					}
					io.WriteString(c, answer)
				}
				io.Copy(io.Discard, c)
			})
			store := bodies{}
			a := newAgent(t, courier.Options{Bodies: store}, false, s.addr())
			hand(t, a, store.message("m", "x\r\n", "a@city.example"), map[string]string{
				"250 with the 354": "0 later about message at data 250 2.0.0",
				"half a line":      "0 later about message at data",
				"two 354":          "0 later about message at data 354",
			}[name])
		})
	}
}

// TestAnEmptyMailIsNeverDelivered plays a server that says 354 although it refused all
// recipients.
func TestAnEmptyMailIsNeverDelivered(t *testing.T) {
	got := make(chan string, 1)
	s := newRawServer(t, func(_ int, c net.Conn) {
		io.WriteString(c, "220 raw\r\n")
		b := make([]byte, 4096)
		for _, answer := range []string{"250-raw\r\n250 PIPELINING\r\n", "250 ok\r\n550 5.1.1 no\r\n354 go\r\n"} {
			c.Read(b)
			io.WriteString(c, answer)
		}
		rest, err := io.ReadAll(c)
		if err != nil {
			rest = append(rest, err.Error()...)
		}
		got <- string(rest)
	})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.addr())
	hand(t, a, store.message("m", "x\r\n", "a@city.example"), "0 refused about recipient at rcpt 550 5.1.1")
	if rest := <-got; rest != "" {
		t.Errorf("after 354 the server was sent %q, want nothing but the end", rest)
	}
}

// TestAMailOnAKeptConnectionTakesTwoRoundTrips counts the writes that arrive.
func TestAMailOnAKeptConnectionTakesTwoRoundTrips(t *testing.T) {
	var reads []string
	done := make(chan struct{})
	s := newRawServer(t, func(_ int, c net.Conn) {
		defer close(done)
		io.WriteString(c, "220 raw\r\n")
		b := make([]byte, 1<<16)
		for _, answer := range []string{
			"250-raw\r\n250 PIPELINING\r\n",
			"250 ok\r\n250 ok\r\n354 go\r\n", "250 2.0.0 ok\r\n",
			"250 ok\r\n250 ok\r\n354 go\r\n", "250 2.0.0 ok\r\n",
		} {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			reads = append(reads, string(b[:n]))
			io.WriteString(c, answer)
		}
	})
	store := bodies{}
	a := newAgent(t, courier.Options{Bodies: store}, false, s.addr())
	for range 2 {
		hand(t, a, store.message("m", "x\r\n", "a@city.example"), tookSMTP)
	}
	<-done
	want := []string{
		"MAIL FROM:<anna@sender.example>\r\nRCPT TO:<a@city.example>\r\nDATA\r\n",
		"Received: from a by b with ESMTP id 019aaaaa; date\r\nx\r\n.\r\n",
	}
	if got, want := fmt.Sprintf("%q", reads[1:]), fmt.Sprintf("%q", append(want, want...)); got != want {
		t.Errorf("writes\n got %s\nwant %s", got, want)
	}
}
