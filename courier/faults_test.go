package courier_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/sink"
)

// How it was shown that these tests find faults: see mutants in testdata/mutants.txt.

// A faultCase is one thing that goes wrong in one phase, and what must be reported for
// two recipients, a and b. Faults at "rcpt" hit b only.
type faultCase struct {
	rule sink.Rule
	// want with SMTP; empty lmtp means the same with LMTP.
	want, lmtp string
	// big is a mail that leaves in many writes; others leave in one, with their dot.
	big bool
	// takes is how long the report takes; the deadlines are the defaults.
	takes time.Duration
}

// both is the same for a and b.
func both(what string) string { return "0 " + what + "; 1 " + what }

// faultCases returns every fault in every phase.
func faultCases() []faultCase {
	cases := []faultCase{
		{rule: sink.Rule{Phase: "connect", Action: "drop"}, want: both("later about route at greeting")},
		{rule: sink.Rule{Phase: "connect", Action: "hang"}, want: both("later about route at greeting"), takes: 30 * time.Second},
		{rule: sink.Rule{Phase: "greeting", Reply: "450 4.3.2 no"}, want: both("later about route at greeting 450 4.3.2")},
		{rule: sink.Rule{Phase: "greeting", Reply: "554-mx.example\nNo SMTP service\nIP address is block listed."}, want: both("later about route at greeting 554")},
		{rule: sink.Rule{Phase: "helo", Reply: "450 4.3.2 no"}, want: both("later about route at helo 450 4.3.2")},
		{rule: sink.Rule{Phase: "helo", Reply: "550 5.7.1 who are you"}, want: both("later about route at helo 550 5.7.1")},
		{rule: sink.Rule{Phase: "mail", Reply: "450 4.3.2 no"}, want: both("later about message at mail 450 4.3.2")},
		{rule: sink.Rule{Phase: "mail", Reply: "550 5.7.1 no"}, want: both("refused about message at mail 550 5.7.1")},
		{rule: sink.Rule{Phase: "mail", Reply: "530 5.7.0 Must issue STARTTLS first"}, want: both("later about route at mail 530 5.7.0")},
		{rule: sink.Rule{Phase: "mail", Reply: "503 5.5.1 not now"}, want: both("later about route at mail 503 5.5.1")},
		{rule: sink.Rule{Phase: "mail", Reply: "500 5.3.0 command failed"}, want: both("refused about message at mail 500 5.3.0")},
		{
			rule: sink.Rule{Phase: "rcpt", Recipient: "b@*", Reply: "450 4.2.1 no"},
			want: "0 took about message at dot 250 2.0.0; 1 later about recipient at rcpt 450 4.2.1",
			lmtp: "0 took about recipient at dot 250 2.1.5; 1 later about recipient at rcpt 450 4.2.1",
		},
		{
			rule: sink.Rule{Phase: "rcpt", Recipient: "b@*", Reply: "550 5.1.1 no"},
			want: "0 took about message at dot 250 2.0.0; 1 refused about recipient at rcpt 550 5.1.1",
			lmtp: "0 took about recipient at dot 250 2.1.5; 1 refused about recipient at rcpt 550 5.1.1",
		},
		{rule: sink.Rule{Phase: "rcpt", Reply: "550 5.1.1 no"}, want: both("refused about recipient at rcpt 550 5.1.1")},
		{rule: sink.Rule{Phase: "data", Reply: "502 no such command"}, want: both("later about route at data 502")},
		{rule: sink.Rule{Phase: "dot", Reply: "503 5.5.1 out of step"}, want: both("later about route at dot 503 5.5.1")},
		{rule: sink.Rule{Phase: "data", Reply: "450 4.3.2 no"}, want: both("later about message at data 450 4.3.2")},
		{rule: sink.Rule{Phase: "data", Reply: "554 5.7.1 no"}, want: both("refused about message at data 554 5.7.1")},
		{rule: sink.Rule{Phase: "body", After: 20, Action: "drop"}, want: both("later about message at dot in doubt")},
		{rule: sink.Rule{Phase: "body", After: 20, Action: "hang"}, want: both("later about message at dot in doubt"), takes: 10 * time.Minute},
		{rule: sink.Rule{Phase: "body", After: 20, Action: "drop"}, big: true, want: both("later about message at data")},
		{rule: sink.Rule{Phase: "body", After: 20, Action: "hang"}, big: true, want: both("later about message at data"), takes: 3 * time.Minute},
		{rule: sink.Rule{Phase: "body", After: 265_000, Action: "drop"}, big: true, want: both("later about message at data")},
		{rule: sink.Rule{Phase: "dot", Reply: "450 4.3.2 no"}, want: both("later about message at dot 450 4.3.2"), lmtp: both("later about recipient at dot 450 4.3.2")},
		{rule: sink.Rule{Phase: "dot", Reply: "550 5.7.1 no"}, want: both("refused about message at dot 550 5.7.1"), lmtp: both("refused about recipient at dot 550 5.7.1")},
		{rule: sink.Rule{Phase: "dot", Reply: "354 go on"}, want: both("later about message at dot in doubt")},
		{rule: sink.Rule{Phase: "dot", Action: "drop"}, want: both("later about message at dot in doubt")},
		{rule: sink.Rule{Phase: "dot", Action: "drop", Keep: true}, want: both("later about message at dot in doubt")},
		{rule: sink.Rule{Phase: "dot", Action: "hang"}, want: both("later about message at dot in doubt"), takes: 10 * time.Minute},
		{rule: sink.Rule{Phase: "dot", Action: "garbage"}, want: both("later about message at dot in doubt")},
		{rule: sink.Rule{Phase: "dot", Action: "garbage", Raw: "250-2.0.0 Ok\r\n550 no\r\n"}, want: both("later about message at dot in doubt")},
		{rule: sink.Rule{Phase: "dot", Action: "garbage", Raw: "250 " + strings.Repeat("x", 3000) + "\r\n"}, want: both("later about message at dot in doubt")},
		{rule: sink.Rule{Phase: "dot", Action: "garbage", Raw: strings.Repeat("250-x\r\n", 101) + "250 x\r\n"}, want: both("later about message at dot in doubt")},
		{rule: sink.Rule{Phase: "dot", Action: "garbage", Raw: "250"}, want: both("later about message at dot in doubt"), takes: 10 * time.Minute},
		{
			rule: sink.Rule{Phase: "dot", Action: "drip"},
			want: both("took about message at dot 250 2.0.0"), lmtp: both("took about recipient at dot 250 2.1.5"),
			takes: 100 * time.Millisecond * time.Duration(len("250 2.0.0 Ok: queued as 1\r\n")),
		},
		{rule: sink.Rule{Phase: "dot", Action: "drip", Pace: sink.Duration(time.Minute)}, want: both("later about message at dot in doubt"), takes: 10 * time.Minute},
		{
			rule: sink.Rule{Phase: "dot", Action: "lose"},
			want: both("took about message at dot 250 2.0.0"), lmtp: both("took about recipient at dot 250 2.1.5"),
		},
	}
	for _, p := range []struct {
		phase string
		hang  time.Duration
	}{
		{"greeting", 30 * time.Second}, {"helo", time.Minute}, {"mail", time.Minute},
		{"rcpt", time.Minute}, {"data", time.Minute},
	} {
		route := both("later about route at " + p.phase)
		rule := sink.Rule{Phase: p.phase}
		if p.phase == "rcpt" {
			rule.Recipient = "b@*"
		}
		with := func(action, reply, raw string) sink.Rule {
			r := rule
			r.Action, r.Reply, r.Raw = action, reply, raw
			return r
		}
		cases = append(cases,
			faultCase{rule: with("drop", "", ""), want: route},
			faultCase{rule: with("hang", "", ""), want: route, takes: p.hang},
			faultCase{rule: with("garbage", "", ""), want: route},
			faultCase{rule: with("garbage", "", "999 what\r\n"), want: route},
			faultCase{rule: with("garbage", "", "220-\xff\x00\x1b[31m\n250 other\r\n"), want: route},
			faultCase{rule: with("", "421 4.3.2 closing", ""), want: both("later about route at " + p.phase + " 421 4.3.2")},
			faultCase{rule: with("drop", "421 4.3.2 closing", ""), want: both("later about route at " + p.phase + " 421 4.3.2")},
		)
	}
	cases = append(cases,
		faultCase{rule: sink.Rule{Phase: "dot", Reply: "421 4.3.2 closing"}, want: both("later about route at dot 421 4.3.2")},
		faultCase{
			rule: sink.Rule{Phase: "dot", Action: "drop", Reply: "421 4.3.2 closing"},
			want: both("later about route at dot 421 4.3.2"),
			// The server closed without a word about b.
			lmtp: "0 later about route at dot 421 4.3.2; 1 later about message at dot in doubt",
		},
	)
	return cases
}

// TestEveryFaultInEveryPhaseGivesTheExactOutcome plays all faults in a bubble whose
// time passes by itself, so that the default deadlines are what is tested. Afterwards
// the same agent must hand the same mail over to the server that is well again.
func TestEveryFaultInEveryPhaseGivesTheExactOutcome(t *testing.T) {
	for _, lmtp := range []bool{false, true} {
		for _, pipelining := range []bool{false, true} {
			for _, c := range faultCases() {
				want := c.want
				if lmtp && c.lmtp != "" {
					want = c.lmtp
				}
				name := fmt.Sprintf("lmtp=%v/pipelining=%v/big=%v/%s/%s%s%.12q", lmtp, pipelining, c.big, c.rule.Phase, c.rule.Action, c.rule.Reply, c.rule.Raw)
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { playFault(t, c, want, lmtp, pipelining) })
				})
			}
		}
	}
}

// playFault plays one case.
func playFault(t *testing.T, c faultCase, want string, lmtp, pipelining bool) {
	extensions := []string{"none"}
	if pipelining {
		extensions = []string{"PIPELINING", "8BITMIME"}
	}
	server := sink.New(sink.Options{Script: &sink.Script{Extensions: extensions, Rules: []sink.Rule{c.rule}}})
	defer server.Close()
	var conns sync.WaitGroup
	defer conns.Wait()
	var tally logbook
	store := bodies{}
	a := courier.NewAgent(courier.Options{
		Bodies: store, Tally: &tally,
		Dial: func(context.Context, string, string) (net.Conn, error) { return pipeTo(server, &conns), nil },
	}, courier.Route{Name: "groupware", Hosts: []courier.Host{{Addr: "groupware.example:25", LMTP: lmtp}}})
	defer a.Close()
	text := "Subject: x\r\n\r\n.dot\r\nend\r\n"
	if c.big {
		text += strings.Repeat("3456789\r\n", 30_000)
	}
	job := store.message("m", text, "a@city.example", "b@city.example")

	began := time.Now()
	out := a.Hand(t.Context(), job)
	if got := briefs(out); got != want {
		t.Errorf("outcomes\n got %s\nwant %s\ntext %q", got, want, out[0].Reply.Text)
	}
	if took := time.Since(began); !strings.Contains(want, "took") && took != c.takes || took < c.takes {
		t.Errorf("the report took %v, want %v", took, c.takes)
	}
	checkTally(t, tally.String(), out)
	checkTaken(t, server, out)

	server.SetScript(&sink.Script{Extensions: extensions})
	for _, o := range a.Hand(t.Context(), job) {
		if o.Verdict != doppelboden.Took {
			t.Errorf("the server is well again, but got %s: %q", brief(o), o.Reply.Text)
		}
	}
	if s := server.Stats(); !s.Seen.Clean() {
		t.Errorf("the server saw %+v", s.Seen)
	}
}

// pipeTo connects a client to the server without a network.
func pipeTo(s *sink.Sink, conns *sync.WaitGroup) net.Conn {
	client, server := net.Pipe()
	conns.Go(func() { s.ServeConn(server) })
	return client
}

// checkTally sees to it that attempts and answers go in pairs, and that only what was
// decided at the dot was attempted.
func checkTally(t *testing.T, log string, out []doppelboden.Outcome) {
	t.Helper()
	var want []string
	for _, o := range out {
		if o.Phase == "dot" {
			want = append(want, fmt.Sprintf("for %d", o.Ref.N))
		}
	}
	if len(want) > 0 {
		want = append([]string{"attempt groupware"}, want...)
	}
	for _, o := range out {
		if o.Phase == "dot" {
			want = append(want, fmt.Sprintf("answer %d %s doubt=%v", o.Ref.N, o.Verdict, o.InDoubt))
		}
	}
	if w := strings.Join(want, "; "); log != w && !abandoned(log, out) {
		t.Errorf("tally\n got %s\nwant %s", log, w)
	}
}

// abandoned reports whether all that was attempted was broken off while the last block
// was being written: then there is an attempt whose answer is Later without doubt.
func abandoned(log string, out []doppelboden.Outcome) bool {
	return out[0].Phase == "data" && log == "attempt groupware; for 0; for 1; answer 0 later doubt=false; answer 1 later doubt=false"
}

// checkTaken compares what was reported with what the server counted: taken without a
// report is allowed only in doubt, reported without being taken only for a 250 that
// was a lie.
func checkTaken(t *testing.T, server *sink.Sink, out []doppelboden.Outcome) {
	t.Helper()
	s := server.Stats()
	for i, o := range out {
		to := string(rune('a'+i)) + "@city.example"
		taken := s.ByRecipient[to] > 0
		if taken && o.Verdict != doppelboden.Took && !o.InDoubt {
			t.Errorf("%s: the server took it, the report says %s", to, brief(o))
		}
		if !taken && o.Verdict == doppelboden.Took && s.Lost == 0 {
			t.Errorf("%s: the server did not take it, the report says %s", to, brief(o))
		}
	}
}
