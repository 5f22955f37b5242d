package peer

import (
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
)

// DovecotPassword is what every user of a Dovecot of ours logs in with.
const DovecotPassword = "geheim"

// DovecotMaster is who may open every mailbox of a Dovecot of ours, with DovecotPassword:
// as mailbox*master, or by SASL PLAIN with the mailbox as authorization identity.
const DovecotMaster = "doppelboden"

// Dovecot is a groupware made of Dovecot: LMTP in, IMAP to look, Maildirs below. Everybody
// is on vacation: each sender gets an answer a day from each mailbox that LMTP delivers to.
type Dovecot struct {
	Users  []string // local@domain, as LMTP and IMAP name them
	Parent string   // folder for its own folder; empty: the system's for temporary files
	// LMTPAddr and IMAPAddr are host:port on 127.0.0.1; empty: free ones. A test sets
	// them to let a groupware come back where it was.
	LMTPAddr, IMAPAddr string
	// Dir is the folder of an earlier Dovecot that was ended by Halt, to go on with its
	// mails; empty: a new one.
	Dir string

	// Certificate and Key are PEM files; with them IMAP offers STARTTLS.
	Certificate, Key string
	AlwaysSync       bool // every write is on the disk before it is answered
	QuotaKB          int  // what a mailbox may hold; 0: no bound
	Quiet            bool // nobody is on vacation
	Forgets          bool // it answers 250 and keeps nothing
	Large            bool // it is set up for thousands of people: a log-in costs a tenth of what it does otherwise
}

// DovecotServer is a running Dovecot.
type DovecotServer struct {
	*process
	opts Dovecot
}

// dovecotValues is what the templates of the configuration are filled with.
type dovecotValues struct {
	Dovecot
	LMTPPort, IMAPPort string
	Script             bool // a script comes before those of the users
}

// Start starts it.
func (o Dovecot) Start() (*DovecotServer, error) {
	var d *DovecotServer
	err := withFreePorts(2, func(addrs []string) (err error) {
		try := o
		if try.LMTPAddr == "" {
			try.LMTPAddr = addrs[0]
		}
		if try.IMAPAddr == "" {
			try.IMAPAddr = addrs[1]
		}
		if try.Dir == "" {
			if try.Dir, err = newDir(o.Parent, "dovecot"); err != nil {
				return err
			}
		}
		if d, err = try.launch(); err != nil && o.Dir == "" {
			os.RemoveAll(try.Dir)
		}
		return err
	})
	return d, err
}

func (o Dovecot) launch() (*DovecotServer, error) {
	if err := o.write(); err != nil {
		return nil, err
	}
	cmd := exec.Command(DovecotProgram, "-F", "-c", filepath.Join(o.Dir, "dovecot.conf"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that stop finds its helpers
	proc, err := startProcess("Dovecot", filepath.Join(o.Dir, "start.log"), cmd)
	if err != nil {
		return nil, err
	}
	d := &DovecotServer{process: proc, opts: o}
	for _, addr := range []string{o.LMTPAddr, o.IMAPAddr} {
		if err := proc.ready("tcp", addr); err != nil {
			return nil, errors.Join(err, errors.New(d.LogTail(20)), proc.stop())
		}
	}
	return d, nil
}

// write writes the configuration for the installed version, and the users.
func (o Dovecot) write() error {
	version, err := run(context.Background(), DovecotProgram, "--version")
	if err != nil {
		return err
	}
	template := "conf/dovecot-2.4.conf"
	if strings.HasPrefix(string(version), "2.3.") {
		template = "conf/dovecot-2.3.conf"
	}
	v := dovecotValues{Dovecot: o, Script: o.Forgets || !o.Quiet}
	if _, v.LMTPPort, err = net.SplitHostPort(o.LMTPAddr); err != nil {
		return fmt.Errorf("read LMTP address: %w", err)
	}
	if _, v.IMAPPort, err = net.SplitHostPort(o.IMAPAddr); err != nil {
		return fmt.Errorf("read IMAP address: %w", err)
	}
	text, err := fill(v, template)
	if err != nil {
		return err
	}
	var users strings.Builder
	for _, u := range o.Users {
		fmt.Fprintf(&users, "%s:{PLAIN}%s:65534:65534::%s::\n", u, DovecotPassword, o.home(u))
	}
	mail := filepath.Join(o.Dir, "mail")
	if err := errors.Join(os.MkdirAll(mail, 0o755), os.Chown(mail, 65534, 65534),
		os.WriteFile(filepath.Join(o.Dir, "dovecot.conf"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(o.Dir, "masters"), []byte(DovecotMaster+":{PLAIN}"+DovecotPassword+"\n"), 0o644),
		os.WriteFile(filepath.Join(o.Dir, "users"), []byte(users.String()), 0o644), o.writeScripts()); err != nil {
		return fmt.Errorf("write configuration of Dovecot: %w", err)
	}
	return nil
}

// home is the folder of a user.
func (o Dovecot) home(mailbox string) string { return filepath.Join(o.Dir, "mail", mailbox) }

// Options are those with which it goes on where it was, after Halt or Crash.
func (d *DovecotServer) Options() Dovecot { return d.opts }

// Addr is where it takes mail by LMTP.
func (d *DovecotServer) Addr() string { return d.opts.LMTPAddr }

// IMAP is where it answers IMAP, without TLS.
func (d *DovecotServer) IMAP() string { return d.opts.IMAPAddr }

// Socket is the Unix socket where it takes mail by LMTP too.
func (d *DovecotServer) Socket() string { return filepath.Join(d.opts.Dir, "run", "lmtp") }

// LogTail returns the last lines that it logged.
func (d *DovecotServer) LogTail(lines int) string {
	return tail(d.log, lines) + "\n" + tail(filepath.Join(d.opts.Dir, "dovecot.log"), lines)
}

// Processes returns the ids of all its processes.
func (d *DovecotServer) Processes() ([]int, error) { return descendants(d.cmd.Process.Pid) }

// Mails returns the mails in the Inbox of a user, as Dovecot wrote them, oldest first.
// Maildir has bare LF as line ends, so CRLF has become LF.
func (d *DovecotServer) Mails(mailbox string) ([][]byte, error) {
	return readMaildir(filepath.Join(d.opts.home(mailbox), "Maildir"))
}

// Halt ends it and keeps its folder. Starting the options that it returns goes on where
// it was: same ports, same mails.
func (d *DovecotServer) Halt() (Dovecot, error) { return d.opts, d.stop() }

// Crash kills all its processes (kill -9) at one moment and keeps its folder: who outlived
// the others would say 4xx for mail that lies in its mailbox already.
func (d *DovecotServer) Crash() (Dovecot, error) {
	d.stopOnce.Do(func() {
		pid := d.cmd.Process.Pid
		syscall.Kill(-pid, syscall.SIGKILL) // its group; an error says that it has ended
		<-d.done
		d.stopErr = poll(time.Now().Add(stopLimit), func() (bool, error) {
			left, err := descendants(pid)
			for _, child := range left {
				syscall.Kill(child, syscall.SIGKILL) // an error says that it has ended
			}
			return err == nil && len(left) == 0, err
		})
	})
	return d.opts, d.stopErr
}

// Stop ends it and removes its folder.
func (d *DovecotServer) Stop() error { return errors.Join(d.stop(), os.RemoveAll(d.opts.Dir)) }
