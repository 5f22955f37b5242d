package scenario

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/test/peer"
)

// program is the path of the program under test, built by TestMain.
var program string

// atOnce is how many of the tests that say so run at the same time, on however few cores:
// they wait most of the time, for retries, looks and processes that start.
const atOnce = 4

func TestMain(m *testing.M) {
	if dir := os.Getenv(clockedDir); dir != "" {
		if err := serveClocked(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, err := os.MkdirTemp("", "doppelboden-scenario-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "doppelboden")
	build := exec.Command("go", "build", "-o", program, "doppelboden/cmd/doppelboden")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		flag.Parse()
		if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
			panic(err)
		}
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// A city is an installation with its node, which may be running or not.
type city struct {
	t   *testing.T
	dir string
	mx  string // host:port

	submission string // host:port

	launch func() *exec.Cmd // what the node is started by; nil: the program
	node   *exec.Cmd
	log    *lines
	done   chan error // the node's end
}

// found makes an installation for stadt.example in dir (empty: a temporary folder) with
// n mailboxes u0 to u(n-1), and leaves its node running.
func found(t *testing.T, dir, groupware string, n int) *city {
	t.Helper()
	return foundAs(t, dir, groupware, n, func(*city) {})
}

// foundAs is found, and calls configure before the node starts for the first time.
func foundAs(t *testing.T, dir, groupware string, n int, configure func(*city)) *city {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	mx, submission, metrics := freePort(t), freePort(t), freePort(t)
	c := &city{t: t, dir: filepath.Join(dir, "city"), mx: "127.0.0.1:" + mx, submission: "127.0.0.1:" + submission, log: &lines{}}
	c.must("init", c.dir, "--domain", "stadt.example", "--groupware", groupware, "--dns", "none", "--mx-port", mx, "--submission-port", submission, "--web-port", "0", "--imaps-port", "0", "--metrics-port", metrics)
	c.edit("node.toml", "min_free_mb = 1024", "min_free_mb = 16")
	configure(c)
	c.start()
	t.Cleanup(c.end)
	list := "address,name,kind,department,priority,aliases\n"
	for _, a := range users(n) {
		list += a + ",,person,,5,\n"
	}
	file := filepath.Join(dir, "mailboxes.csv")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	c.must("mailbox", "import", file)
	return c
}

// users returns the addresses of n mailboxes.
func users(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("u%d@stadt.example", i)
	}
	return all
}

func freePort(t *testing.T) string {
	t.Helper()
	addr, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return addr[strings.LastIndexByte(addr, ':')+1:]
}

// edit replaces a line of a configuration; it must be there.
func (c *city) edit(name, old, next string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		c.t.Fatalf("%s holds no %q:\n%s", name, old, text)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(old), []byte(next), 1), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// start starts the node and waits until it is ready.
func (c *city) start() {
	c.t.Helper()
	cmd := exec.Command(program, "serve", "--json", "--node", filepath.Join(c.dir, "node.toml"))
	if c.launch != nil {
		cmd = c.launch()
	}
	cmd.Stderr = c.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.node, c.done = cmd, make(chan error, 1)
	ready := make(chan bool, 1)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			if strings.Contains(s.Text(), `"ready"`) {
				ready <- true
			}
		}
		c.done <- cmd.Wait()
	}()
	select {
	case <-ready:
	case err := <-c.done:
		c.t.Fatalf("the node ended before it was ready: %v\n%s", err, c.log)
	case <-time.After(2 * time.Minute):
		c.t.Fatalf("the node is not ready after two minutes\n%s", c.log)
	}
}

// kill ends the node as kill -9 does.
func (c *city) kill() {
	c.t.Helper()
	if err := c.node.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	<-c.done
	c.node = nil
}

// stop ends the node as an administrator does.
func (c *city) stop() {
	c.t.Helper()
	if err := c.node.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	select {
	case err := <-c.done:
		if err != nil {
			c.t.Errorf("the node ended with %v\n%s", err, c.log)
		}
	case <-time.After(2 * time.Minute):
		c.t.Errorf("the node did not end within two minutes\n%s", c.log)
	}
	c.node = nil
}

// end stops a node that is still running.
func (c *city) end() {
	if c.node != nil {
		c.stop()
	}
	if c.t.Failed() {
		c.t.Logf("the node's log:\n%s", c.log)
	}
}

// run runs a command against the node and returns its output and exit code.
func (c *city) run(args ...string) (string, int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LANG=C", "DOPPELBODEN_NODE="+filepath.Join(c.dir, "node.toml"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return out.String() + errs.String(), exit.ExitCode()
	case err != nil:
		c.t.Fatalf("doppelboden %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), 0
}

// must is run for a command that has to succeed.
func (c *city) must(args ...string) string {
	c.t.Helper()
	out, code := c.run(args...)
	if code != 0 {
		c.t.Fatalf("doppelboden %s: exit code %d\n%s\n%s", strings.Join(args, " "), code, out, c.log)
	}
	return out
}

// balance draws the balance sheet of the last day.
func (c *city) balance() doppelboden.Balance {
	c.t.Helper()
	from := time.Now().Add(-24 * time.Hour).Format(time.RFC3339)
	out, code := c.run("balance", "--json", "--from", from, "--to", time.Now().Add(time.Minute).Format(time.RFC3339))
	var b doppelboden.Balance
	if err := json.Unmarshal([]byte(out), &b); err != nil || code > 1 {
		c.t.Fatalf("balance: exit code %d, %v\n%s", code, err, out)
	}
	return b
}

// settled waits until nothing is queued any more.
func (c *city) settled(limit time.Duration) doppelboden.Balance {
	c.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		b := c.balance()
		if b.Queued == 0 {
			return b
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("after %v there still are %d deliveries queued: %+v", limit, b.Queued, b)
		}
		time.Sleep(100 * time.Millisecond) // the command is a poll by its nature
	}
}

// A lines keeps the last output of a process.
type lines struct {
	mu  sync.Mutex
	buf []byte
}

// mostLog is how much of a log is kept for the report of a failure.
const mostLog = 64 << 10

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if len(l.buf) > mostLog {
		l.buf = append([]byte(nil), l.buf[len(l.buf)-mostLog/2:]...)
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf)
}
