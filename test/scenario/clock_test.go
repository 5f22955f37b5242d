package scenario

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"doppelboden/app"
	"doppelboden/setup"
	"doppelboden/test/hand"
)

// Environment of a node with a clock that is moved: its folder, and when it begins.
const (
	clockedDir = "SCENARIO_CLOCKED_NODE"
	clockedAt  = "SCENARIO_CLOCKED_AT"
)

// A remote moves the clock of a node that runs in a process of its own: its memory is its
// own, and kill -9 ends it. The process is this test's program, which runs package app as the
// command serve does.
type remote struct {
	c     *city
	ahead time.Duration // of the real time
}

// clocked has the node of a city run by a clock that says start when it is called.
func clocked(c *city, start time.Time) *remote {
	r := &remote{c: c, ahead: time.Until(start)}
	c.launch = func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), clockedDir+"="+c.dir, clockedAt+"="+r.now().Format(time.RFC3339Nano))
		return cmd
	}
	return r
}

// now is what the node's clock says.
func (r *remote) now() time.Time { return time.Now().Round(0).Add(r.ahead) }

// forward moves the node's clock by d, and returns when as many wait for it as before, or
// nearly: then they have done what they do at such times.
func (r *remote) forward(d time.Duration) {
	r.c.t.Helper()
	conn, err := net.Dial("unix", clockSocket(r.c.dir))
	if err != nil {
		r.c.t.Fatalf("move the clock: %v\n%s", err, r.c.log)
	}
	defer conn.Close()
	fmt.Fprintln(conn, d)
	if s := bufio.NewScanner(conn); !s.Scan() || s.Text() != "moved" {
		r.c.t.Fatalf("the clock was not moved: %v\n%s", s.Err(), r.c.log)
	}
	r.ahead += d
}

// pass lets time pass in steps.
func (r *remote) pass(d, step time.Duration) {
	for ; d > 0; d -= step {
		r.forward(min(d, step))
	}
}

// until waits until something is so, and moves the clock by step after each look.
func (r *remote) until(what string, step time.Duration, is func() bool) {
	r.c.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) { // polls a real server
		if time.Now().After(deadline) {
			status, _ := r.c.run("status")
			r.c.t.Fatalf("after %v still not: %s\n%s", patience, what, status)
		}
		r.forward(step)
	}
}

// patience is how long anything may take before it is given up.
const patience = 30 * time.Minute

// memory returns how much of the node is resident, and how much of it was at most, in MB.
func (r *remote) memory() (now, most float64) {
	r.c.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.c.node.Process.Pid))
	if err != nil {
		r.c.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64); err == nil {
			switch name {
			case "VmRSS":
				now = kb * 1024 / 1e6
			case "VmHWM":
				most = kb * 1024 / 1e6
			}
		}
	}
	return now, most
}

// clockSocket is where a node's clock is moved.
func clockSocket(dir string) string { return filepath.Join(dir, "clock.sock") }

// serveClocked runs the node in dir until SIGTERM.
func serveClocked(dir string) error {
	start, err := time.Parse(time.RFC3339Nano, os.Getenv(clockedAt))
	if err != nil {
		return fmt.Errorf("read when it begins: %w", err)
	}
	clock := hand.At(start)
	conf, err := setup.ReadNode(filepath.Join(dir, "node.toml"))
	if err != nil {
		return err
	}
	if err := os.Remove(clockSocket(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", clockSocket(dir))
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the node ends
			}
			moved(conn, clock)
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	n, err := app.New(ctx, app.Options{Node: conf, Version: "test", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Clock: clock.Now, Timer: clock.Timer})
	if err != nil {
		return err
	}
	return n.Run(ctx, func(*app.Node) { fmt.Println(`{"ready":true}`) })
}

// moved moves the clock as somebody says.
func moved(conn net.Conn, clock *hand.Clock) {
	defer conn.Close()
	s := bufio.NewScanner(conn)
	if !s.Scan() {
		return
	}
	d, err := time.ParseDuration(s.Text())
	if err != nil {
		fmt.Fprintln(conn, err)
		return
	}
	move(clock, d)
	fmt.Fprintln(conn, "moved")
}

// move moves a clock and waits until as many wait for it as before, who have then done what
// they do at such times, or for a short while.
func move(clock *hand.Clock, d time.Duration) {
	waiting := clock.Waiting()
	clock.Forward(d)
	for patience := 20; clock.Waiting() < waiting && patience > 0; patience-- {
		time.Sleep(time.Millisecond) // there is no event for "everybody waits again"
	}
}
