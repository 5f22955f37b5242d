package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Who asks a slapd of ours, and where everybody is.
const (
	SlapdSuffix   = "dc=stadt,dc=example"
	SlapdAdmin    = "cn=doppelboden,dc=stadt,dc=example"
	SlapdPassword = "geheim123"
)

// Slapd is OpenLDAP's server, also with the names that Active Directory has. Nobody may
// read it but SlapdAdmin.
type Slapd struct {
	LDIF      string // entries to begin with, below SlapdSuffix, whose own entry is made
	Addr      string // host:port of ldap://; empty: a free one
	Cert, Key string // PEM files for StartTLS and for ldaps://; empty: neither
	SizeLimit int    // how many entries one answer may have (pages count together); 0: any
	// Dir is the folder of an earlier one that was ended by Halt, to go on with its
	// entries; empty: a new one.
	Dir string
}

// SlapdServer is a running slapd.
type SlapdServer struct {
	*process
	opts   Slapd
	secure string // host:port of ldaps://
}

// Start starts it.
func (o Slapd) Start() (*SlapdServer, error) {
	var s *SlapdServer
	err := withFreePorts(2, func(addrs []string) (err error) {
		try := o
		if try.Addr == "" {
			try.Addr = addrs[0]
		}
		if try.Dir == "" {
			if try.Dir, err = newDir("", "slapd"); err != nil {
				return err
			}
			err = try.fill()
		}
		if err == nil {
			s, err = try.launch(addrs[1])
		}
		if err != nil && o.Dir == "" {
			os.RemoveAll(try.Dir)
		}
		return err
	})
	return s, err
}

// fill writes the configuration and the first entries.
func (o Slapd) fill() error {
	limit := "unlimited"
	if o.SizeLimit > 0 {
		limit = fmt.Sprint(o.SizeLimit)
	}
	text, err := fill(map[string]string{"Dir": o.Dir, "Cert": o.Cert, "Key": o.Key, "SizeLimit": limit,
		"Suffix": SlapdSuffix, "Admin": SlapdAdmin, "Password": SlapdPassword}, "conf/slapd.conf")
	if err != nil {
		return err
	}
	schema, err := conf.ReadFile("conf/ad.schema")
	if err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	top := "dn: " + SlapdSuffix + "\nobjectClass: dcObject\nobjectClass: organization\no: Stadt\ndc: stadt\n\n"
	err = errors.Join(os.Mkdir(filepath.Join(o.Dir, "db"), 0o700),
		os.WriteFile(filepath.Join(o.Dir, "slapd.conf"), []byte(text), 0o600),
		os.WriteFile(filepath.Join(o.Dir, "ad.schema"), schema, 0o600),
		os.WriteFile(filepath.Join(o.Dir, "first.ldif"), []byte(top+o.LDIF), 0o600))
	if err != nil {
		return fmt.Errorf("write configuration of slapd: %w", err)
	}
	_, err = run(context.Background(), SlapaddProgram, "-q", "-f", filepath.Join(o.Dir, "slapd.conf"), "-l", filepath.Join(o.Dir, "first.ldif"))
	return err
}

func (o Slapd) launch(secure string) (*SlapdServer, error) {
	urls := "ldap://" + o.Addr
	if o.Cert != "" {
		urls += " ldaps://" + secure
	}
	cmd := exec.Command(SlapdProgram, "-h", urls, "-f", filepath.Join(o.Dir, "slapd.conf"), "-d", "none")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	proc, err := startProcess("slapd", filepath.Join(o.Dir, "log"), cmd)
	if err != nil {
		return nil, err
	}
	s := &SlapdServer{process: proc, opts: o, secure: secure}
	if err := proc.ready("tcp", o.Addr); err != nil {
		return nil, errors.Join(err, proc.stop())
	}
	return s, nil
}

// Addr is where it answers ldap://.
func (s *SlapdServer) Addr() string { return s.opts.Addr }

// Secure is where it answers ldaps://.
func (s *SlapdServer) Secure() string { return s.secure }

// LogTail returns the last lines that it logged.
func (s *SlapdServer) LogTail(lines int) string { return tail(s.log, lines) }

// Modify changes entries as ldapmodify does, with entries of LDIF (RFC 2849).
func (s *SlapdServer) Modify(ctx context.Context, ldif string) error {
	cmd := exec.CommandContext(ctx, LdapmodifyProgram, "-x", "-H", "ldap://"+s.Addr(), "-D", SlapdAdmin, "-w", SlapdPassword)
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("change entries of slapd: %w: %s", err, out)
	}
	return nil
}

// Halt ends it and keeps its folder, which it returns.
func (s *SlapdServer) Halt() (dir string, err error) { return s.opts.Dir, s.stop() }

// Stop ends it and removes its folder.
func (s *SlapdServer) Stop() error { return errors.Join(s.stop(), os.RemoveAll(s.opts.Dir)) }
