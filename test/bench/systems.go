package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"doppelboden/test/peer"
)

// A system is a mail server under test that runs.
type system interface {
	Addr() string              // host:port where it takes mail
	Processes() ([]int, error) // the ids of its processes
	Stop() error               // ends it and removes what it kept
}

// A setup says what a system is started with.
type setup struct {
	boxes   []string // who exists
	nextHop string   // host:port of the groupware
	down    bool     // the groupware is down: nothing listens there
	logged  bool     // Postfix writes its log; our node always does

	scanner  *peer.InstantScanner // sees every mail before it is taken; nil: none
	postgres *peer.PostgresServer // our node works with a fresh database of it; nil: SQLite
	imap     string               // host:port of the groupware's IMAP, which then takes mail by LMTP at nextHop; "": none

	dns string // host:port of the name server that checks of the sender ask; "": they are off
}

// A starter starts one kind of system.
type starter struct {
	name  string
	start func(context.Context, *config, setup) (system, error)
}

var (
	ourSystem     = starter{"doppelboden", startNode}
	postfixSystem = starter{"Postfix", startPostfix}
)

func startPostfix(_ context.Context, c *config, s setup) (system, error) {
	o := peer.PostfixRelay{Domain: domain, NextHop: s.nextHop, Recipients: s.boxes, Defer: s.down, Log: s.logged, Parent: c.dir}
	if s.scanner != nil {
		o.Milter = s.scanner.MilterAddr()
	}
	return o.Start()
}

// A node is a running doppelboden.
type node struct {
	binary string
	dir    string
	mx     string
	cmd    *exec.Cmd
	log    *os.File
	done   chan struct{} // closed when the process has ended
	err    error         // how it ended
	keep   bool
}

// startNode makes a node as a new user would, in a new folder, and imports the mailboxes.
func startNode(ctx context.Context, c *config, s setup) (system, error) {
	dir, err := os.MkdirTemp(c.dir, "doppelboden-node-")
	if err != nil {
		return nil, fmt.Errorf("make folder of node: %w", err)
	}
	n := &node{binary: c.binary, dir: filepath.Join(dir, "city"), keep: c.keep}
	if err := n.launch(ctx, s); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

func (n *node) launch(ctx context.Context, s setup) error {
	var ports [2]string
	for i := range ports {
		addr, err := peer.FreePort()
		if err != nil {
			return err
		}
		_, ports[i], _ = net.SplitHostPort(addr)
	}
	n.mx = net.JoinHostPort("127.0.0.1", ports[0])
	groupware := "smtp://" + s.nextHop
	if s.imap != "" {
		groupware = "lmtp://" + s.nextHop
	}
	if _, err := n.run(ctx, "init", n.dir, "--domain", domain, "--groupware", groupware,
		"--mx-port", ports[0], "--submission-port", "0", "--web-port", "0", "--imaps-port", "0", "--metrics-port", ports[1]); err != nil {
		return err
	}
	if err := n.configure(ctx, s); err != nil {
		return err
	}
	if err := n.serve(); err != nil {
		return err
	}
	return n.importBoxes(ctx, s.boxes)
}

// configure adds to the new node's configuration what a measure asks for.
func (n *node) configure(ctx context.Context, s setup) error {
	servers := "none"
	if s.dns != "" {
		servers = s.dns
	}
	err := appendTo(n.config(), fmt.Sprintf("\n[dns]\nservers = [%q]\n", servers))
	if err == nil && s.scanner != nil {
		err = appendTo(filepath.Join(n.dir, "city.toml"), fmt.Sprintf("\n[tenant.scan]\nrspamd = [%q]\n", s.scanner.URL()))
	}
	if err == nil && s.postgres != nil {
		err = n.onPostgres(ctx, s.postgres)
	}
	if err == nil && s.imap != "" {
		err = n.intoMailboxes(s.imap)
	}
	return err
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure the node: %w", err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// serve starts the node and waits until it takes mail.
func (n *node) serve() error {
	return n.start("serve.log", n.binary, "serve", "--node", n.config())
}

// serveAhead starts the node with a clock that is ahead.
func (n *node) serveAhead(ctx context.Context, by time.Duration) error {
	program := filepath.Join(n.dir, "ahead")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./test/bench/ahead")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the node with another clock: %w: %s", err, out)
	}
	return n.start("ahead.log", program, "-node", n.config(), "-by", by.String())
}

func (n *node) start(log, program string, args ...string) error {
	var err error
	if n.log, err = os.OpenFile(filepath.Join(n.dir, log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return fmt.Errorf("open log of node: %w", err)
	}
	n.cmd = exec.Command(program, args...)
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	n.done = make(chan struct{})
	go func() {
		n.err = n.cmd.Wait()
		close(n.done)
	}()
	return until(time.Minute, "the node to take mail", func() (bool, error) {
		select {
		case <-n.done:
			return false, fmt.Errorf("node ended while it started (%v): %s", n.err, n.tail())
		default:
		}
		conn, err := net.DialTimeout("tcp", n.mx, time.Second)
		if err != nil {
			return false, nil
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Second))
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "220") {
			return false, nil
		}
		desk, err := net.Dial("unix", filepath.Join(n.dir, "data", "control.sock"))
		if err != nil {
			return false, nil // it is the last to open
		}
		return true, desk.Close()
	})
}

func (n *node) importBoxes(ctx context.Context, boxes []string) error {
	var csv bytes.Buffer
	csv.WriteString("address,name,kind,department,priority,aliases\n")
	for _, b := range boxes {
		csv.WriteString(b + ",,person,,,\n")
	}
	path := filepath.Join(n.dir, "mailboxes.csv")
	if err := os.WriteFile(path, csv.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write mailboxes: %w", err)
	}
	_, err := n.run(ctx, "--node", n.config(), "mailbox", "import", path)
	return err
}

func (n *node) config() string { return filepath.Join(n.dir, "node.toml") }

// run runs a command of doppelboden.
func (n *node) run(ctx context.Context, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, n.binary, args...).CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("doppelboden %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return out, nil
}

// Addr is the MX of the node.
func (n *node) Addr() string { return n.mx }

// pid is the id of its process.
func (n *node) pid() int { return n.cmd.Process.Pid }

// Processes is that one.
func (n *node) Processes() ([]int, error) { return []int{n.pid()}, nil }

// tail returns the end of what the node logged.
func (n *node) tail() string {
	text, err := os.ReadFile(n.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-3000):])
}

// logged returns the first line of the running node's log that contains s, or "".
func (n *node) logged(s string) (string, error) {
	text, err := os.Open(n.log.Name())
	if err != nil {
		return "", fmt.Errorf("read log of node: %w", err)
	}
	defer text.Close()
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		if strings.Contains(lines.Text(), s) {
			return lines.Text(), nil
		}
	}
	return "", lines.Err()
}

// halt ends the process and keeps its folder.
func (n *node) halt() error {
	if n.done == nil {
		return nil
	}
	n.cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended already
	var err error
	select {
	case <-n.done:
		if n.err != nil {
			err = fmt.Errorf("node ended badly: %w: %s", n.err, n.tail())
		}
	case <-time.After(time.Minute):
		n.cmd.Process.Kill()
		<-n.done
		err = errors.New("node did not end within a minute after SIGTERM")
	}
	n.log.Close()
	n.done = nil
	return err
}

// Stop ends the node and removes its folder.
func (n *node) Stop() error {
	err := n.halt()
	if n.keep {
		progress("kept %s", n.dir)
		return err
	}
	return errors.Join(err, os.RemoveAll(filepath.Dir(n.dir)))
}

// until asks every 10 ms until the answer is yes.
func until(limit time.Duration, what string, ask func() (bool, error)) error {
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := ask(); ok || err != nil {
			return err
		}
		select {
		case <-end.C:
			return fmt.Errorf("waited %v for %s", limit, what)
		case <-tick.C:
		}
	}
}

// sender is the reverse-path of all mails.
const sender = "bench@fremd.example"
