package peer

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Eicar returns the test file that every virus scanner finds. It is put together here,
// so that no scanner takes this source for it.
func Eicar() string {
	return strings.Join([]string{`X5O!P%@AP[4\PZX54(P^)7CC)7}$`, "EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!", "$H+H*"}, "")
}

// ClamAV is a real clamd whose signatures know EICAR and nothing else.
type ClamAV struct {
	Addr      string // host:port to listen on; empty: a free one
	StreamMax int    // the size in bytes that it takes at most; 0: 100 MB, as it is by default
}

// ClamAVServer is a running clamd.
type ClamAVServer struct {
	*process
	opts ClamAV
	dir  string
}

// Start starts it.
func (o ClamAV) Start() (*ClamAVServer, error) {
	if o.Addr != "" {
		return o.launch(o.Addr)
	}
	var c *ClamAVServer
	err := withFreePorts(1, func(addrs []string) (err error) {
		c, err = o.launch(addrs[0])
		return err
	})
	return c, err
}

func (o ClamAV) launch(addr string) (*ClamAVServer, error) {
	o.Addr = addr
	if o.StreamMax == 0 {
		o.StreamMax = 100 << 20
	}
	dir, err := newDir("", "clamav")
	if err != nil {
		return nil, err
	}
	if err := o.write(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("write configuration of ClamAV: %w", err), os.RemoveAll(dir))
	}
	proc, err := startProcess("clamd", filepath.Join(dir, "log"),
		exec.Command(ClamdProgram, "-c", filepath.Join(dir, "clamd.conf")))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	c := &ClamAVServer{process: proc, opts: o, dir: dir}
	if err := errors.Join(proc.ready("tcp", o.Addr), proc.ready("unix", c.Socket())); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// write writes the configuration and the signatures.
func (o ClamAV) write(dir string) error {
	_, port, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return err
	}
	text, err := fill(struct {
		Dir, Port string
		StreamMax int
	}{dir, port, o.StreamMax}, "conf/clamd.conf")
	if err != nil {
		return err
	}
	sum := md5.Sum([]byte(Eicar()))
	hash := fmt.Sprintf("%s:%d:Eicar-Test-Signature\n", hex.EncodeToString(sum[:]), len(Eicar()))
	body := "Eicar-Test-Body:0:*:" + hex.EncodeToString([]byte("EICAR-STANDARD-ANTIVIRUS-TEST-FILE")) + "\n"
	db := filepath.Join(dir, "db")
	return errors.Join(os.MkdirAll(db, 0o755),
		os.WriteFile(filepath.Join(dir, "clamd.conf"), []byte(text), 0o600),
		os.WriteFile(filepath.Join(db, "eicar.hdb"), []byte(hash), 0o644),
		os.WriteFile(filepath.Join(db, "eicar.ndb"), []byte(body), 0o644))
}

// Addr is where it listens by TCP.
func (c *ClamAVServer) Addr() string { return c.opts.Addr }

// URL is its address by TCP as city.toml has it.
func (c *ClamAVServer) URL() string { return "tcp://" + c.opts.Addr }

// Socket is the Unix socket where it listens too.
func (c *ClamAVServer) Socket() string { return filepath.Join(c.dir, "clamd.sock") }

// LogTail returns the last lines that it logged.
func (c *ClamAVServer) LogTail(lines int) string {
	return tail(c.log, lines) + "\n" + tail(filepath.Join(c.dir, "clamd.log"), lines)
}

// Stop ends it.
func (c *ClamAVServer) Stop() error { return errors.Join(c.stop(), os.RemoveAll(c.dir)) }
