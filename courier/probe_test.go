package courier

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doppelboden"
)

// greeter listens and greets each client with a text, after which it answers everything
// with 250; said ends it and returns what it heard.
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
		ln.Close()
		<-done // the last client has gone
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

// within are options whose connections stay within a bubble of synctest: the host well greets
// and answers, every other says nothing.
func within(hosts *sync.WaitGroup) Options {
	return Options{Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
		client, server := net.Pipe()
		hosts.Go(func() {
			defer server.Close()
			if addr == "well:25" {
				fmt.Fprint(server, "220 here\r\n")
			}
			for s := bufio.NewScanner(server); s.Scan(); {
				fmt.Fprint(server, "250 fine\r\n")
			}
		})
		return client, nil
	}}
}

func TestAProbeIsWellWhenOneOfTheHostsIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hosts sync.WaitGroup
		defer hosts.Wait()
		began := time.Now()
		got := Probe(t.Context(), within(&hosts), Route{Hosts: []Host{{Addr: "silent:25"}, {Addr: "well:25", Preference: 1}}})
		if got.Verdict != doppelboden.Took || got.Server != "well:25" {
			t.Errorf("one host of two answers: %+v, want took from well:25", got)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the silent host was waited for: %v", took)
		}
	})
}

func TestAProbeOfASilentHostEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hosts sync.WaitGroup
		defer hosts.Wait()
		silent := Route{Hosts: []Host{{Addr: "silent:25"}}}
		began := time.Now()
		got := Probe(t.Context(), within(&hosts), silent)
		if took := time.Since(began); got.Verdict != doppelboden.Later || got.Reply.Text != "no answer in time" || took > probePatience {
			t.Errorf("a host that never greets: %+v after %v, want no answer in time", got, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got := Probe(ctx, within(&hosts), silent); got.Verdict != doppelboden.Later {
			t.Errorf("a probe that nobody wants any more: %+v", got)
		}
	})
}
