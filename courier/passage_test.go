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
	"time"

	"doppelboden"
	"doppelboden/courier"
)

// A gateway answers each command by its beginning; "" closes the connection, "hang" says
// nothing. What it is told it remembers.
type gateway struct {
	answers map[string]string
	offers  string // lines of EHLO besides the first

	mu    sync.Mutex
	heard []string
}

func (g *gateway) serve(_ int, c net.Conn) {
	r := bufio.NewReader(c)
	io.WriteString(c, "220 gw\r\n")
	inMail := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if inMail && line != "." {
			continue
		}
		inMail = false
		g.mu.Lock()
		g.heard = append(g.heard, line)
		g.mu.Unlock()
		answer := "250 2.0.0 Ok"
		verb, _, _ := strings.Cut(line, " ")
		switch verb {
		case "EHLO":
			answer = "250-gw\r\n" + g.offers + "250 8BITMIME"
		case "XCLIENT":
			answer = "220 gw"
		case "DATA":
			answer = "354 go"
		}
		for begin, other := range g.answers {
			if strings.HasPrefix(line, begin) {
				answer = other
			}
		}
		switch answer {
		case "":
			return
		case "hang":
			continue
		}
		inMail = strings.HasPrefix(answer, "354")
		io.WriteString(c, answer+"\r\n")
	}
}

// commands returns what the gateway heard.
func (g *gateway) commands() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.heard, "; ")
}

// pass plays a whole passage for two recipients and says its outcomes.
func pass(t *testing.T, g *gateway, change func(*doppelboden.Message, *courier.Route)) string {
	t.Helper()
	s := newRawServer(t, g.serve)
	b := bodies{}
	j := b.message("one", "Subject: x\r\n\r\n.hello\r\n", "b@city.example", "c@city.example")
	j.Message.Peer, j.Message.Helo = "192.0.2.77", "hi.example"
	r := courier.Route{Name: "gw", Hosts: []courier.Host{{Addr: s.addr()}}, HeloName: "mx.city.example", XClient: true}
	if change != nil {
		change(j.Message, &r)
	}
	log := &logbook{}
	var short courier.Deadlines
	for begin, answer := range g.answers { // where the gateway hangs, and nowhere else
		if answer == "hang" {
			*map[string]*time.Duration{"EHLO": &short.Helo, "RCPT": &short.Rcpt, ".": &short.Dot}[begin] = 300 * time.Millisecond
		}
	}
	p := courier.NewPassage(courier.Options{Bodies: b, Tally: log, Deadlines: short}, r, *j.Message, 100)
	defer p.Close()
	var said []string
	var taken []doppelboden.Delivery
	for _, d := range j.Deliveries {
		o := p.Rcpt(t.Context(), d)
		said = append(said, brief(o))
		if o.Verdict == doppelboden.Took {
			taken = append(taken, d)
		} else if o.Scope == doppelboden.AboutRoute || o.Reply.Code == 0 {
			return strings.Join(said, "; ")
		}
	}
	if len(taken) > 0 {
		said = append(said, briefs(p.Hand(t.Context(), j.Message, taken)))
	}
	if log.String() != "" {
		t.Errorf("the tally was told %q before there is a message", log)
	}
	return strings.Join(said, "; ")
}

func TestAPassageGivesTheNextServersAnswersAsTheyCome(t *testing.T) {
	const yes = "0 took about recipient at rcpt 250 2.0.0; 1 took about recipient at rcpt 250 2.0.0; "
	for name, c := range map[string]struct {
		answers map[string]string
		want    string
	}{
		"taken":                  {nil, yes + "0 took about message at dot 250 2.0.0; 1 took about message at dot 250 2.0.0"},
		"one unknown":            {map[string]string{"RCPT TO:<b": "550 5.1.1 unknown"}, "0 refused about recipient at rcpt 550 5.1.1; 1 took about recipient at rcpt 250 2.0.0; 1 took about message at dot 250 2.0.0"},
		"both put off":           {map[string]string{"RCPT": "451 4.7.1 grey"}, "0 later about recipient at rcpt 451 4.7.1; 1 later about recipient at rcpt 451 4.7.1"},
		"sender refused":         {map[string]string{"MAIL": "550 5.7.1 no"}, "0 refused about message at mail 550 5.7.1; 1 refused about message at mail 550 5.7.1"},
		"mail refused":           {map[string]string{".": "554 5.7.1 spam"}, yes + "0 refused about message at dot 554 5.7.1; 1 refused about message at dot 554 5.7.1"},
		"DATA refused":           {map[string]string{"DATA": "451 4.3.0 no"}, yes + "0 later about message at data 451 4.3.0; 1 later about message at data 451 4.3.0"},
		"closing at RCPT":        {map[string]string{"RCPT": "421 4.3.2 bye"}, "0 later about route at rcpt 421 4.3.2"},
		"gone at MAIL":           {map[string]string{"MAIL": ""}, "0 later about route at mail"},
		"silent at RCPT":         {map[string]string{"RCPT": "hang"}, "0 later about route at rcpt"},
		"nonsense at RCPT":       {map[string]string{"RCPT": "354 what"}, "0 later about route at rcpt"},
		"gone at the dot":        {map[string]string{".": ""}, yes + "0 later about message at dot in doubt; 1 later about message at dot in doubt"},
		"silent at the dot":      {map[string]string{".": "hang"}, yes + "0 later about message at dot in doubt; 1 later about message at dot in doubt"},
		"gone at DATA":           {map[string]string{"DATA": ""}, yes + "0 later about route at data; 1 later about route at data"},
		"nothing but a greeting": {map[string]string{"EHLO": "hang"}, "0 later about route at helo"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gateway{answers: c.answers}
			if got := pass(t, g, nil); got != c.want {
				t.Errorf("got  %s\nwant %s\nheard %s", got, c.want, g.commands())
			}
		})
	}
}

func TestAPassageTellsTheNextServerTheClientWhereItWantsToKnow(t *testing.T) {
	for name, c := range map[string]struct {
		offers  string
		answers map[string]string
		change  func(*doppelboden.Message, *courier.Route)
		want    string
	}{
		"all": {"250-XCLIENT NAME ADDR PORT PROTO HELO\r\n", nil, nil,
			"EHLO mx.city.example; XCLIENT ADDR=192.0.2.77 NAME=[UNAVAILABLE] HELO=hi.example; EHLO hi.example; MAIL"},
		"the address alone": {"250-XCLIENT ADDR\r\n", nil, nil, "EHLO mx.city.example; XCLIENT ADDR=192.0.2.77; EHLO hi.example; MAIL"},
		"IPv6": {"250-XCLIENT ADDR\r\n", nil, func(m *doppelboden.Message, _ *courier.Route) { m.Peer = "2001:db8::1" },
			"EHLO mx.city.example; XCLIENT ADDR=IPV6:2001:db8::1; EHLO hi.example; MAIL"},
		"a name that could end the command": {"250-XCLIENT ADDR HELO\r\n", nil, func(m *doppelboden.Message, _ *courier.Route) { m.Helo = "[a+b=c]" },
			"EHLO mx.city.example; XCLIENT ADDR=192.0.2.77 HELO=[a+2Bb+3Dc]; EHLO [a+b=c]; MAIL"},
		"not offered":  {"", nil, nil, "EHLO mx.city.example; MAIL"},
		"without ADDR": {"250-XCLIENT NAME HELO\r\n", nil, nil, "EHLO mx.city.example; MAIL"},
		"not wanted":   {"250-XCLIENT ADDR\r\n", nil, func(_ *doppelboden.Message, r *courier.Route) { r.XClient = false }, "EHLO mx.city.example; MAIL"},
		"nobody known": {"250-XCLIENT ADDR\r\n", nil, func(m *doppelboden.Message, _ *courier.Route) { m.Peer = "" }, "EHLO mx.city.example; MAIL"},
		"refused":      {"250-XCLIENT ADDR\r\n", map[string]string{"XCLIENT": "550 5.7.0 no"}, nil, "EHLO mx.city.example; XCLIENT ADDR=192.0.2.77; MAIL"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gateway{offers: c.offers, answers: c.answers}
			pass(t, g, c.change)
			if got := g.commands(); !strings.HasPrefix(got, c.want) {
				t.Errorf("heard %s\nwant  %s…", got, c.want)
			}
		})
	}
}

func TestAnInternationalizedRecipientIsRefusedWhereTheNextServerCannotBeTold(t *testing.T) {
	g := &gateway{}
	s := newRawServer(t, g.serve)
	b := bodies{}
	j := b.message("one", "x\r\n", "jürgen@city.example")
	p := courier.NewPassage(courier.Options{Bodies: b}, courier.Route{Hosts: []courier.Host{{Addr: s.addr()}}}, *j.Message, 0)
	defer p.Close()
	if got, want := brief(p.Rcpt(t.Context(), j.Deliveries[0])), "0 refused about recipient at rcpt 553 5.6.7"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAPassageEndsWithItsContext(t *testing.T) {
	g := &gateway{answers: map[string]string{"RCPT": "hang"}}
	s := newRawServer(t, g.serve)
	b := bodies{}
	j := b.message("one", "x\r\n", "b@city.example")
	p := courier.NewPassage(courier.Options{Bodies: b}, courier.Route{Hosts: []courier.Host{{Addr: s.addr()}}}, *j.Message, 0)
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for !strings.Contains(g.commands(), "RCPT") && ctx.Err() == nil {
			time.Sleep(time.Millisecond) // the gateway has no event for what it heard
		}
		cancel()
	}()
	// Nothing else ends this before the deadline of minutes.
	if o := p.Rcpt(ctx, j.Deliveries[0]); brief(o) != "0 later about route at rcpt" || ctx.Err() == nil {
		t.Errorf("%s, want the end with the context", brief(o))
	}
	if got := briefs(p.Hand(t.Context(), j.Message, j.Deliveries)); got != "0 later about route at data" {
		t.Errorf("a hand-over on a passage that has ended: %s", got)
	}
}

func TestMailOnAKeptConnectionNamesItsOwnClient(t *testing.T) {
	g := &gateway{offers: "250-PIPELINING\r\n250-XCLIENT ADDR\r\n"}
	s := newRawServer(t, g.serve)
	b := bodies{}
	a := courier.NewAgent(courier.Options{Bodies: b}, courier.Route{Hosts: []courier.Host{{Addr: s.addr()}}, HeloName: "mx.city.example", XClient: true})
	defer a.Close()
	for i, client := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2", ""} {
		j := b.message(fmt.Sprint(i), "x\r\n", "b@city.example")
		j.Message.Peer, j.Message.Helo = client, "h"+fmt.Sprint(i)
		if got := briefs(a.Hand(t.Context(), j)); got != "0 took about message at dot 250 2.0.0" {
			t.Fatalf("mail %d: %s", i, got)
		}
	}
	const mail = "MAIL FROM:<anna@sender.example> BODY=8BITMIME; RCPT TO:<b@city.example>; DATA; .; "
	got := strings.ReplaceAll(g.commands()+"; ", " BODY=8BITMIME", "")
	want := strings.ReplaceAll("EHLO mx.city.example; XCLIENT ADDR=192.0.2.1; EHLO h0; "+mail+mail+
		"XCLIENT ADDR=192.0.2.2; EHLO h2; "+mail+"QUIT; EHLO mx.city.example; "+mail, " BODY=8BITMIME", "")
	if got != want {
		t.Errorf("heard %s\nwant  %s", got, want)
	}
}
