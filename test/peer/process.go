package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startLimit bounds how long a peer may take until it answers; Postfix needs about
	// a second on an idle machine, and tests share theirs with compilers.
	startLimit = 2 * time.Minute
	// stopLimit bounds how long a peer may take to end by itself after SIGTERM: far above
	// what any needs, since one that was killed instead fails its test.
	stopLimit = time.Minute
	// pollEvery is the time between two looks at something that has no event.
	pollEvery = 10 * time.Millisecond
)

// A process is a child of ours with everything that it starts in turn: its process
// group, or its session where it makes one of its own.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string        // file with its standard output and error
	done chan struct{} // closed when the child itself has ended
	err  error         // how it ended; valid once done is closed

	stopOnce sync.Once
	stopErr  error
}

// startProcess starts cmd with both outputs going to logPath. The kernel ends the child
// when this process dies, so that a test that is killed leaves nothing behind.
func startProcess(name, logPath string, cmd *exec.Cmd) (*process, error) {
	out, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	defer out.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	cmd.Stderr = out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, log: logPath, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop ends the child, first by SIGTERM, then by SIGKILL, and waits until nothing of
// its group and session is left.
func (p *process) stop() error {
	p.stopOnce.Do(func() { p.stopErr = p.end() })
	return p.stopErr
}

func (p *process) end() error {
	pid := p.cmd.Process.Pid
	p.cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended already
	forced := false
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		forced = true
		p.cmd.Process.Kill()
		<-p.done
	}
	soft := time.Now().Add(500 * time.Millisecond) // then its children are killed too
	hard := soft.Add(stopLimit)
	err := poll(hard, func() (bool, error) {
		left, err := descendants(pid)
		if err != nil || len(left) == 0 {
			return true, err
		}
		if time.Now().After(soft) {
			for _, child := range left {
				syscall.Kill(child, syscall.SIGKILL)
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("stop %s: processes are left: %w", p.name, err)
	}
	if forced {
		return fmt.Errorf("stop %s: did not end within %v after SIGTERM, killed", p.name, stopLimit)
	}
	return nil
}

// descendants returns the living processes whose group or session is pid. Nearly every
// program here makes its helpers in one of the two.
func descendants(pid int) ([]int, error) {
	return processes(func(p processStat) bool { return p.group == pid || p.session == pid })
}

// children returns the living processes whose parent is pid.
func children(pid int) ([]int, error) {
	return processes(func(p processStat) bool { return p.parent == pid })
}

// A processStat is what Linux says of a process in /proc/PID/stat.
type processStat struct {
	state                  string // R running, S and D waiting, T stopped, Z ended
	parent, group, session int
}

// readStat reads it; false says that there is no such process.
func readStat(path string) (p processStat, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return p, false
	}
	// proc(5): pid (comm) state ppid pgrp session …; comm may hold anything.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 4 {
		return p, false
	}
	p.state = f[0]
	p.parent, _ = strconv.Atoi(f[1])
	p.group, _ = strconv.Atoi(f[2])
	p.session, _ = strconv.Atoi(f[3])
	return p, true
}

// processes returns the living processes that are wanted.
func processes(wanted func(processStat) bool) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []int
	for _, path := range stats {
		p, ok := readStat(path)
		if !ok || p.state == "Z" || !wanted(p) {
			continue // it ended meanwhile, or is another's
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			found = append(found, pid)
		}
	}
	return found, nil
}

// ready waits until something listens on addr, or the child has ended.
func (p *process) ready(network, addr string) error {
	return poll(time.Now().Add(startLimit), func() (bool, error) {
		select {
		case <-p.done:
			return true, fmt.Errorf("%s ended while it started (%v); its log ends:\n%s", p.name, p.err, tail(p.log, 20))
		default:
		}
		c, err := net.DialTimeout(network, addr, time.Second)
		if err != nil {
			return false, nil
		}
		return true, c.Close()
	})
}

// poll asks until the answer is yes or an error, or the time is over.
func poll(until time.Time, ask func() (bool, error)) error {
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok, err := ask(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("not in time")
		case <-tick.C:
		}
	}
}

// tail returns the last lines of a file.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Peers get ports below those that Linux gives to whoever asks for any (32768 to 60999,
// ip_local_port_range): no connection and no listener of another test takes one of these
// while the server that belongs there is down for a moment.
const (
	firstPort = 15000
	lastPort  = 31999
)

// FreePort returns an address on 127.0.0.1 on which nothing listens. It is not given to
// anybody else who asks here, in any process, until this process has ended. Programs that do
// not ask here may still have the port: who starts a peer on it tries again then.
func FreePort() (string, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if mine, err := claim(port); err != nil {
			return "", err
		} else if !mine {
			continue
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := net.Listen("tcp4", addr)
		if err != nil {
			continue
		}
		return addr, l.Close()
	}
	return "", errors.New("find a free port: all that were tried are taken")
}

// claim makes a port ours until this process ends, and reports whether nobody had it. The
// claim is a socket whose name no file holds, so that the kernel ends it with us.
func claim(port int) (mine bool, err error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("claim a port: %w", err)
	}
	err = syscall.Bind(fd, &syscall.SockaddrUnix{Name: "@doppelboden-port-" + strconv.Itoa(port)})
	if err == nil {
		return true, nil // the socket stays open on purpose
	}
	syscall.Close(fd)
	if errors.Is(err, syscall.EADDRINUSE) {
		return false, nil
	}
	return false, fmt.Errorf("claim a port: %w", err)
}

// withFreePorts runs start with n free addresses, and again with others when it fails,
// because somebody else may have taken one in between.
func withFreePorts(n int, start func(addrs []string) error) error {
	var err error
	for range 3 {
		addrs := make([]string, n)
		for i := range addrs {
			if addrs[i], err = FreePort(); err != nil {
				return err
			}
		}
		if err = start(addrs); err == nil {
			return nil
		}
	}
	return err
}

// run runs a program to its end and returns its output in the error when it fails.
func run(ctx context.Context, program string, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("run %s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return out, nil
}
