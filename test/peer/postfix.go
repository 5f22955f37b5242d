package peer

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

//go:embed conf
var conf embed.FS

// PostfixReceiver is a Postfix that takes everything for a domain, as a groupware does.
type PostfixReceiver struct {
	Domain  string // the domain of all its mailboxes
	Discard bool   // true: mails are counted by nobody and thrown away; false: kept in Maildirs
	Parent  string // folder for its own folder; empty: the system's for temporary files

	Settings []string // lines of main.cf that overrule the others
}

// Start starts it.
func (o PostfixReceiver) Start() (*Postfix, error) {
	return startPostfix(o.Parent, "conf/postfix-receiver.cf", postfixValues{
		Name: "receiver.test", Domain: o.Domain, Discard: o.Discard, Settings: o.Settings,
	})
}

// PostfixRelay is a Postfix that queues mail for a domain and hands it to a next hop. Its
// configuration is in Postfix's favour; see conf/postfix-relay.cf.
type PostfixRelay struct {
	Domain     string   // the domain it takes mail for
	NextHop    string   // host:port of the groupware; nothing needs to listen there
	Recipients []string // who exists; empty: everybody
	Defer      bool     // keep everything deferred until Release
	Concurrent int      // connections to the next hop at once; 0: 20
	Milter     string   // host:port of a milter that sees every mail; empty: none
	Log        bool     // write a log into a file; else nothing is logged, in Postfix's favour
	Parent     string   // folder for its own folder, on the disk to be measured; empty: the system's for temporary files

	Settings []string // lines of main.cf that overrule the others
}

// Start starts it.
func (o PostfixRelay) Start() (*Postfix, error) {
	host, port, err := net.SplitHostPort(o.NextHop)
	if err != nil {
		return nil, fmt.Errorf("read next hop: %w", err)
	}
	if o.Concurrent == 0 {
		o.Concurrent = 20
	}
	return startPostfix(o.Parent, "conf/postfix-relay.cf", postfixValues{
		Name: "relay.test", Domain: o.Domain, NextHop: "[" + host + "]:" + port,
		Recipients: o.Recipients, Defer: o.Defer, Concurrency: o.Concurrent, Milter: o.Milter, Quiet: !o.Log, Settings: o.Settings,
	})
}

// postfixValues is what the templates of the configuration are filled with.
type postfixValues struct {
	Dir         string // folder of the instance
	CommandDir  string // where postqueue and friends are
	DaemonDir   string // where master and friends are
	Addr        string // host:port to listen on
	Name        string // host name
	Domain      string // domain to take mail for
	NextHop     string // [host]:port
	Recipients  []string
	Discard     bool
	Defer       bool
	Concurrency int
	SMTPDLimit  string   // smtpd processes, "-" for the default
	Milter      string   // host:port, or empty
	Quiet       bool     // nothing is logged, whatever log daemon the machine has
	Settings    []string // lines of main.cf that overrule the others
}

// Postfix is a running instance.
type Postfix struct {
	*process
	v postfixValues
}

func startPostfix(parent, role string, v postfixValues) (*Postfix, error) {
	v.SMTPDLimit = "-"
	for key, to := range map[string]*string{"daemon_directory": &v.DaemonDir, "command_directory": &v.CommandDir} {
		out, err := run(context.Background(), "/usr/sbin/postconf", "-d", "-h", key)
		if err != nil {
			return nil, err
		}
		*to = strings.TrimSpace(string(out))
	}
	var p *Postfix
	err := withFreePorts(1, func(addrs []string) (err error) {
		v.Addr = addrs[0]
		if v.Dir, err = newDir(parent, "postfix"); err != nil {
			return err
		}
		if p, err = launchPostfix(role, v); err != nil {
			os.RemoveAll(v.Dir)
		}
		return err
	})
	return p, err
}

// launchPostfix writes the configuration into v.Dir, lets Postfix make its queue and
// starts master(8).
func launchPostfix(role string, v postfixValues) (*Postfix, error) {
	if err := writePostfix(role, v); err != nil {
		return nil, err
	}
	etc := filepath.Join(v.Dir, "etc")
	if _, err := run(context.Background(), PostfixProgram, "-c", etc, "check"); err != nil {
		return nil, err
	}
	proc, err := startMaster(v)
	if err != nil {
		return nil, err
	}
	return &Postfix{process: proc, v: v}, nil
}

// startMaster starts master(8) on what writePostfix wrote, and waits until it answers.
func startMaster(v postfixValues) (*process, error) {
	etc, master := filepath.Join(v.Dir, "etc"), filepath.Join(v.DaemonDir, "master")
	cmd := exec.Command(master, "-s", "-c", etc)
	if _, err := os.Stat("/dev/log"); err == nil && v.Quiet {
		// With a log daemon each mail would cost Postfix several lines through it. In a
		// mount namespace of its own it finds nobody there, and logging costs nothing.
		// The shell and unshare become master: the id stays that of our child.
		cmd = exec.Command("unshare", "-m", "sh", "-c",
			`mount --bind /dev/null "$(readlink -f /dev/log)" && exec "$0" -s -c "$1"`, master, etc)
	}
	proc, err := startProcess("Postfix", filepath.Join(v.Dir, "master.log"), cmd)
	if err != nil {
		return nil, err
	}
	if err := proc.ready("tcp", v.Addr); err != nil {
		return nil, errors.Join(err, errors.New((&Postfix{process: proc, v: v}).LogTail(20)), proc.stop())
	}
	return proc, nil
}

// Halt ends it and leaves its folder; Resume starts it again at the same address.
func (p *Postfix) Halt() error { return p.stop() }

// Resume starts it again after Halt.
func (p *Postfix) Resume() error {
	proc, err := startMaster(p.v)
	if err != nil {
		return err
	}
	p.process = proc
	return nil
}

// writePostfix writes main.cf, master.cf and the tables, and makes the folders.
func writePostfix(role string, v postfixValues) error {
	owner, err := user.Lookup("postfix")
	if err != nil {
		return fmt.Errorf("find Postfix's user: %w", err)
	}
	for _, d := range []struct{ name, uid string }{
		{"etc", "0"}, {"queue", "0"}, {"data", owner.Uid}, {"mail", "65534"},
	} {
		uid, err := strconv.Atoi(d.uid)
		if err != nil {
			return fmt.Errorf("read user id: %w", err)
		}
		path := filepath.Join(v.Dir, d.name)
		if err := errors.Join(os.Mkdir(path, 0o755), os.Chown(path, uid, -1)); err != nil {
			return fmt.Errorf("make folder of Postfix: %w", err)
		}
	}
	mainCF, err := fill(v, "conf/postfix-common.cf", role)
	if err != nil {
		return err
	}
	mainCF = overruled(mainCF, v.Settings)
	masterCF, err := fill(v, "conf/postfix-master.cf")
	if err != nil {
		return err
	}
	var known strings.Builder
	for _, r := range v.Recipients {
		known.WriteString(r + " ok\n")
	}
	for name, text := range map[string]string{
		"etc/main.cf":   mainCF,
		"etc/master.cf": masterCF,
		"recipients":    known.String(),
	} {
		if err := os.WriteFile(filepath.Join(v.Dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write configuration of Postfix: %w", err)
		}
	}
	return nil
}

// overruled returns main.cf with settings in the place of the lines that they overrule.
func overruled(mainCF string, settings []string) string {
	for _, line := range settings {
		name, _, _ := strings.Cut(line, " ")
		lines := slices.DeleteFunc(strings.Split(mainCF, "\n"), func(old string) bool { return strings.HasPrefix(old, name+" =") })
		mainCF = strings.Join(append(lines, line, ""), "\n")
	}
	return mainCF
}

// fill fills embedded templates with v and joins them.
func fill(v any, names ...string) (string, error) {
	var b strings.Builder
	for _, name := range names {
		t, err := template.ParseFS(conf, name)
		if err != nil {
			return "", fmt.Errorf("read template: %w", err)
		}
		if err := t.Execute(&b, v); err != nil {
			return "", fmt.Errorf("fill template: %w", err)
		}
	}
	return b.String(), nil
}

// Addr is where it takes mail.
func (p *Postfix) Addr() string { return p.v.Addr }

// Dir is its folder.
func (p *Postfix) Dir() string { return p.v.Dir }

// LogTail returns the last lines that it logged.
func (p *Postfix) LogTail(lines int) string {
	return tail(p.log, lines) + "\n" + tail(filepath.Join(p.v.Dir, "mail.log"), lines)
}

// Stop ends it and removes its folder.
func (p *Postfix) Stop() error { return errors.Join(p.stop(), os.RemoveAll(p.v.Dir)) }

// Processes returns the ids of all its processes.
func (p *Postfix) Processes() ([]int, error) { return descendants(p.cmd.Process.Pid) }

// Mails returns the mails in a mailbox (local@domain) of a PostfixReceiver, as Postfix
// wrote them: above each stand its own lines X-Original-To, Delivered-To, Return-Path and
// Received, and line ends are LF.
func (p *Postfix) Mails(mailbox string) ([][]byte, error) {
	all, err := readMaildir(filepath.Join(p.v.Dir, "mail", "all"))
	mine := []byte("\nDelivered-To: " + mailbox + "\n")
	return slices.DeleteFunc(all, func(mail []byte) bool {
		own, _, _ := bytes.Cut(mail, []byte("\nReceived: "))
		return !bytes.Contains(slices.Concat(own, []byte{'\n'}), mine)
	}), err
}

// Queued counts the mails in its queue.
func (p *Postfix) Queued() (int, error) { return p.count("incoming", "active", "deferred", "hold") }

// Settled reports whether every mail in its queue is deferred.
func (p *Postfix) Settled() (bool, error) {
	n, err := p.count("incoming", "active")
	return n == 0, err
}

func (p *Postfix) count(queues ...string) (int, error) {
	n := 0
	for _, queue := range queues {
		err := filepath.WalkDir(filepath.Join(p.v.Dir, "queue", queue), func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it moved on while we looked
			}
			if err == nil && d.Type().IsRegular() {
				n++
			}
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("count queue of Postfix: %w", err)
		}
	}
	return n, nil
}

// Release lets a PostfixRelay with Defer hand over everything, at once.
func (p *Postfix) Release(ctx context.Context) error {
	etc := filepath.Join(p.v.Dir, "etc")
	if _, err := run(ctx, "/usr/sbin/postconf", "-c", etc, "-e", "defer_transports="); err != nil {
		return err
	}
	old, err := p.schedulers()
	if err != nil {
		return err
	}
	if _, err := run(ctx, PostfixProgram, "-c", etc, "reload"); err != nil {
		return err
	}
	// The old scheduler would take the flush and defer everything once more.
	err = poll(time.Now().Add(startLimit), func() (bool, error) {
		now, err := p.schedulers()
		return !slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(old, pid) }), err
	})
	if err != nil {
		return fmt.Errorf("wait for Postfix to reload: %w", err)
	}
	return p.Flush(ctx)
}

// schedulers returns the process ids of its qmgr(8): one, or none for a moment.
func (p *Postfix) schedulers() ([]int, error) {
	all, err := p.Processes()
	return slices.DeleteFunc(all, func(pid int) bool {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return err != nil || string(name) != "qmgr\n"
	}), err
}

// Flush makes it try everything that waits. The queue manager may just be starting, so
// this tries again for a while.
func (p *Postfix) Flush(ctx context.Context) error {
	return poll(time.Now().Add(startLimit), func() (bool, error) {
		_, err := run(ctx, PostfixProgram, "-c", filepath.Join(p.v.Dir, "etc"), "flush")
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		return err == nil, nil
	})
}
