package peer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Gtube makes rspamd answer "reject" for a mail that holds it.
const Gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// SpamSubject makes our rspamd answer "add header" with a score of 7.5 and the symbol
// SUBJECT_WERBUNG for a mail whose subject holds it.
const SpamSubject = "WERBUNG"

const rspamdRules = `rspamd_config:register_symbol({
  name = 'SUBJECT_WERBUNG', type = 'normal', score = 7.5, group = 'test',
  callback = function(task)
    local subject = task:get_subject() or ''
    return subject:find('WERBUNG') ~= nil
  end })
`

// Rspamd is a real rspamd without redis and network.
type Rspamd struct {
	Addr   string // host:port to listen on; empty: a free one
	Milter bool   // speak the milter protocol too, as Postfix wants it
	// MaxMessage is the size in bytes that it takes at most; 0: 50 MB, as it is by default.
	MaxMessage int
}

// RspamdServer is a running rspamd.
type RspamdServer struct {
	*process
	opts   Rspamd
	dir    string
	milter string
}

// Start starts it.
func (o Rspamd) Start() (*RspamdServer, error) {
	var r *RspamdServer
	err := withFreePorts(2, func(addrs []string) (err error) {
		try := o
		if try.Addr == "" {
			try.Addr = addrs[0]
		}
		r, err = try.launch(addrs[1])
		return err
	})
	return r, err
}

func (o Rspamd) launch(milter string) (*RspamdServer, error) {
	dir, err := newDir("", "rspamd")
	if err != nil {
		return nil, err
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = 50 << 20
	}
	if !o.Milter {
		milter = ""
	}
	text, err := fill(struct {
		Dir, Addr, Milter   string
		MaxMessage, Workers int
	}{dir, o.Addr, milter, o.MaxMessage, 1}, "conf/rspamd.conf")
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, "rspamd.conf"), []byte(text), 0o600),
			os.WriteFile(filepath.Join(dir, "rules.lua"), []byte(rspamdRules), 0o600),
			os.WriteFile(filepath.Join(dir, "tld.dat"), []byte("de\ncom\nexample\n"), 0o600))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write configuration of rspamd: %w", err), os.RemoveAll(dir))
	}
	// -i: root, in our own folder.
	cmd := exec.Command(RspamdProgram, "-f", "-i", "-u", "root", "-g", "root", "-c", filepath.Join(dir, "rspamd.conf"))
	cmd.Env = append(os.Environ(), "LOCAL_CONFDIR="+dir, "DBDIR="+dir, "RUNDIR="+dir, "LOGDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that stop finds its workers
	proc, err := startProcess("rspamd", filepath.Join(dir, "log"), cmd)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	r := &RspamdServer{process: proc, opts: o, dir: dir, milter: milter}
	if err := proc.ready("tcp", o.Addr); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	if milter != "" {
		if err := proc.ready("tcp", milter); err != nil {
			return nil, errors.Join(err, r.Stop())
		}
	}
	return r, nil
}

// Addr is where it answers HTTP.
func (r *RspamdServer) Addr() string { return r.opts.Addr }

// URL is its address as city.toml has it.
func (r *RspamdServer) URL() string { return "http://" + r.opts.Addr }

// MilterAddr is where it speaks the milter protocol, or empty.
func (r *RspamdServer) MilterAddr() string { return r.milter }

// LogTail returns the last lines that it logged.
func (r *RspamdServer) LogTail(lines int) string { return tail(r.log, lines) }

// Stop ends it.
func (r *RspamdServer) Stop() error { return errors.Join(r.stop(), os.RemoveAll(r.dir)) }
