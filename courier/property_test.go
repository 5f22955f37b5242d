package courier_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/courier"
)

// A randomServer answers from a list of random answers, and keeps the truth: for whom
// it said a 2xx to a final dot.
type randomServer struct {
	lmtp       bool
	pipelining bool
	answers    []string // used up one by one; then all is well
	promised   map[string]int
	dots       int
}

// odd answers: what each does stands in say.
var oddAnswers = []string{
	"421 4.3.2 closing\r\n", "450 4.2.1 later\r\n", "550 5.7.1 no\r\n", "503 5.5.1 no\r\n", "250 2.0.0 ok\r\n", "354 go\r\n", "220 hi\r\n",
	"250-a\r\n250-b\r\n250 c\r\n", "250-a\r\n550 b\r\n", "25", "garbage\r\n", "\r\n", "250\n", "drop", "hang", "250 ok\r\ndrop", "550 no\r\ndrop", "well",
}

// next returns the next answer, or the good one.
func (r *randomServer) next(good string) string {
	if len(r.answers) == 0 {
		return good
	}
	a := r.answers[0]
	r.answers = r.answers[1:]
	if a == "well" {
		return good
	}
	return a
}

// say sends an answer and reports whether the connection lives.
func (r *randomServer) say(c net.Conn, answer string) bool {
	text, drop := strings.CutSuffix(answer, "drop")
	if text == "hang" {
		io.Copy(io.Discard, c)
		return false
	}
	if text != "" {
		if _, err := io.WriteString(c, text); err != nil {
			return false
		}
	}
	return !drop
}

// serve speaks with one client.
func (r *randomServer) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 1<<20)
	if !r.say(c, r.next("220 random\r\n")) {
		return
	}
	var to []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer := "250 2.0.0 ok\r\n"
		switch verb := strings.ToUpper(line[:min(4, len(line))]); verb {
		case "EHLO", "LHLO":
			answer = "250 random\r\n"
			if r.pipelining {
				answer = "250-random\r\n250 PIPELINING\r\n"
			}
		case "DATA":
			answer = "354 go\r\n"
			if len(to) == 0 {
				answer = "503 5.5.1 nobody\r\n"
			}
		case "MAIL", "RSET":
			to = nil
		}
		answer = r.next(answer)
		if strings.HasPrefix(line, "RCPT TO:<") && answer[0] == '2' {
			to = append(to, strings.TrimSuffix(strings.TrimPrefix(line, "RCPT TO:<"), ">\r\n"))
		}
		if !r.say(c, answer) {
			return
		}
		if strings.HasPrefix(line, "DATA") && answer[0] == '3' && !r.mail(c, in, to) {
			return
		}
	}
}

// mail takes a mail and answers it.
func (r *randomServer) mail(c net.Conn, in *bufio.Reader, to []string) bool {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
	}
	r.dots++
	groups := [][]string{to}
	if r.lmtp {
		groups = nil
		for i := range to {
			groups = append(groups, to[i:i+1])
		}
	}
	for _, group := range groups {
		answer := r.next("250 2.0.0 taken\r\n")
		if positive(answer) {
			for _, addr := range group {
				r.promised[addr]++
			}
		}
		if !r.say(c, answer) {
			return false
		}
	}
	return true
}

// positive reports whether an answer is a whole and unmistakable 2xx.
func positive(answer string) bool {
	switch strings.TrimSuffix(answer, "drop") {
	case "250 2.0.0 taken\r\n", "250 2.0.0 ok\r\n", "220 hi\r\n", "250-a\r\n250-b\r\n250 c\r\n", "250\n", "250 ok\r\n":
		return true
	}
	return false
}

// TestTookIsReportedOnlyAfterAFinal2xxForThatRecipient plays random servers. For every
// delivery there is exactly one outcome, in order; Took means that the server promised
// it; and what it promised was at least reported as in doubt.
func TestTookIsReportedOnlyAfterAFinal2xxForThatRecipient(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &randomServer{
			lmtp:       rapid.Bool().Draw(rt, "lmtp"),
			pipelining: rapid.Bool().Draw(rt, "pipelining"),
			promised:   map[string]int{},
		}
		wellAtFirst := rapid.IntRange(0, 8).Draw(rt, "well at first")
		for range wellAtFirst {
			r.answers = append(r.answers, "well")
		}
		r.answers = append(r.answers, rapid.SliceOfN(rapid.SampledFrom(oddAnswers), 0, 12).Draw(rt, "answers")...)
		recipients := rapid.IntRange(1, 4).Draw(rt, "recipients")
		mails := rapid.IntRange(1, 3).Draw(rt, "mails")
		var wrong error
		synctest.Test(t, func(*testing.T) { wrong = play(r, recipients, mails) })
		if wrong != nil {
			rt.Fatal(wrong)
		}
	})
}

// play hands mails over to r and compares reports with promises.
func play(r *randomServer, recipients, mails int) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	var tally logbook
	store := bodies{}
	a := courier.NewAgent(courier.Options{Bodies: store, Tally: &tally, Dial: func(context.Context, string, string) (net.Conn, error) {
		conns.Wait() // the one before has ended, but may not have noticed yet
		client, server := net.Pipe()
		conns.Go(func() { r.serve(server) })
		return client, nil
	}}, courier.Route{Name: "random", Hosts: []courier.Host{{Addr: "random:25", LMTP: r.lmtp}}})
	defer a.Close()
	for mail := range mails {
		var to []string
		for i := range recipients {
			to = append(to, fmt.Sprintf("m%d.r%d@city.example", mail, i))
		}
		began := time.Now()
		out := a.Hand(context.Background(), store.message("m", "x\r\n", to...))
		if len(out) != len(to) {
			return fmt.Errorf("%d outcomes for %d deliveries", len(out), len(to))
		}
		took := time.Since(began)
		synctest.Wait() // the server has come to rest too
		for i, o := range out {
			switch promised := r.promised[to[i]]; {
			case o.Ref.N != i || o.Phase == "" || o.At.IsZero() || o.Verdict == doppelboden.Uncertain:
				return fmt.Errorf("outcome %d is %+v", i, o)
			case o.Verdict == doppelboden.Took && promised == 0:
				return fmt.Errorf("%s: reported as taken, never promised", to[i])
			case promised > 0 && o.Verdict != doppelboden.Took && !o.InDoubt:
				return fmt.Errorf("%s: promised, reported as %s", to[i], brief(o))
			case promised > 1:
				return fmt.Errorf("%s: promised %d times in one hand-over", to[i], promised)
			case o.Verdict == doppelboden.Refused && (o.Reply.Code < 500 || o.Scope == doppelboden.AboutRoute):
				return fmt.Errorf("%s: refused without a 5xx about it: %s", to[i], brief(o))
			}
		}
		if took > time.Hour {
			return fmt.Errorf("the report took %v", took)
		}
	}
	attempts := strings.Count(tally.String(), "for ")
	if answers := strings.Count(tally.String(), "answer "); attempts != answers {
		return fmt.Errorf("%d attempts and %d answers: %s", attempts, answers, tally.String())
	}
	return nil
}
