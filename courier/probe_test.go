package courier

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

// greeter listens and greets each client with a text, after which it answers everything
// with 250. An empty text says nothing at all.
func greeter(t *testing.T, greeting string) (addr string, said func() []string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if greeting == "" {
				defer c.Close()
				continue
			}
			fmt.Fprintf(c, "%s\r\n", greeting)
			for s := bufio.NewScanner(c); s.Scan(); {
				heard <- s.Text()
				fmt.Fprintf(c, "250 fine\r\n")
				if s.Text() == "QUIT" {
					break
				}
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String(), func() (all []string) {
		for {
			select {
			case s := <-heard:
				all = append(all, s)
			default:
				return all
			}
		}
	}
}

func TestAProbeSaysNothingOfMailAndEndsPolitely(t *testing.T) {
	addr, said := greeter(t, "220 here")
	got := Probe(t.Context(), Options{}, Route{Name: "r", Hosts: []Host{{LMTP: true, Addr: addr}}, HeloName: "us.example"})
	if got.Verdict != doppelboden.Took {
		t.Fatalf("a server that greets: %+v, want took", got)
	}
	if all := strings.Join(said(), "|"); all != "LHLO us.example|QUIT" {
		t.Errorf("the probe said %q, want LHLO and QUIT", all)
	}
}

func TestAProbeTellsWhyARouteIsDead(t *testing.T) {
	refusing, _ := greeter(t, "421 4.3.2 closed for today")
	got := Probe(t.Context(), Options{}, Route{Hosts: []Host{{Addr: "127.0.0.1:1"}, {Addr: refusing}}})
	if got.Verdict != doppelboden.Later || got.Scope != doppelboden.AboutRoute || got.Phase != "greeting" || got.Reply.Code != 421 || got.Server != refusing {
		t.Errorf("one host refuses the connection, one says 421: %+v, want the 421", got)
	}
	got = Probe(t.Context(), Options{}, Route{Hosts: []Host{{Addr: "127.0.0.1:1"}}})
	if got.Verdict != doppelboden.Later || got.Phase != "connect" || got.Reply.Text == "" {
		t.Errorf("nobody listens: %+v", got)
	}
}

func TestAProbeIsWellWhenOneOfTheHostsIs(t *testing.T) {
	silent, _ := greeter(t, "")
	well, _ := greeter(t, "220 here")
	began := time.Now()
	got := Probe(t.Context(), Options{}, Route{Hosts: []Host{{Addr: silent}, {Addr: well, Preference: 1}}})
	if got.Verdict != doppelboden.Took || got.Server != well {
		t.Errorf("one host of two answers: %+v, want took from %s", got, well)
	}
	if took := time.Since(began); took > probeStep {
		t.Errorf("the silent host was waited for: %v", took)
	}
}

func TestAProbeOfASilentHostEndsInTime(t *testing.T) {
	silent, _ := greeter(t, "")
	began := time.Now()
	got := Probe(t.Context(), Options{}, Route{Hosts: []Host{{Addr: silent}}})
	if took := time.Since(began); got.Verdict != doppelboden.Later || got.Reply.Text != "no answer in time" || took > probePatience+time.Second {
		t.Errorf("a host that never greets: %+v after %v, want no answer in time", got, took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := Probe(ctx, Options{}, Route{Hosts: []Host{{Addr: silent}}}); got.Verdict != doppelboden.Later {
		t.Errorf("a probe that nobody wants any more: %+v", got)
	}
}
