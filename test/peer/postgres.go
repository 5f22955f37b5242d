package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What every PostgreSQL of ours has: the role that a node logs in as, which owns its
// databases and is no superuser; its password; and the database that is there at once.
// The role that reads on behalf of one tenant is named after it.
const (
	PostgresRole       = "doppelboden"
	PostgresTenantRole = PostgresRole + "_tenant"
	PostgresPassword   = "geheim"
	PostgresDatabase   = "doppelboden"
)

// Postgres is a real PostgreSQL server, the newest that is installed, with its own
// folder: UTF-8, locale C, checksums, fsync on, log-in by SCRAM.
type Postgres struct {
	Parent string // folder for its own folder; empty: the system's for temporary files
	Addr   string // host:port on 127.0.0.1; empty: a free one
	// Dir is the folder of an earlier one that was ended by Halt, to go on with its data;
	// empty: a new one.
	Dir      string
	Settings []string // further settings as in postgresql.conf, such as "fsync=off"
}

// PostgresServer is a running PostgreSQL.
type PostgresServer struct {
	*process
	opts Postgres
	bin  string // folder of its programs

	copying sync.Mutex // held by NewDatabase: nobody else may use the template
}

// postgresBin returns the folder with the programs of the newest PostgreSQL.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", errors.Join(err, errors.New("not installed: postgresql (scripts/need.sh installs what tests need)"))
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 for what is no number
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// Attach returns a server that another process has started with these options, of which
// Dir and Addr are set. It can do everything but be stopped.
func (o Postgres) Attach() (*PostgresServer, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	return &PostgresServer{opts: o, bin: bin}, nil
}

// Start starts it and waits until it takes log-ins.
func (o Postgres) Start() (*PostgresServer, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("must be root to start PostgreSQL as another user")
	}
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	var p *PostgresServer
	start := func(addrs []string) error {
		try := o
		if try.Addr == "" {
			try.Addr = addrs[0]
		}
		if try.Dir == "" {
			if try.Dir, err = newDir(o.Parent, "postgres"); err != nil {
				return err
			}
			err = try.fill(bin)
		}
		if err == nil {
			p, err = try.launch(bin)
		}
		if err == nil && o.Dir == "" {
			if err = p.prepare(); err != nil {
				err = errors.Join(err, p.Stop())
			}
		}
		if err != nil && o.Dir == "" {
			os.RemoveAll(try.Dir)
		}
		return err
	}
	if o.Addr != "" {
		return p, start(nil)
	}
	return p, withFreePorts(1, start)
}

// postgresUser returns the user that runs the server, for it refuses to run as root.
func postgresUser() (*syscall.SysProcAttr, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("find the user that Debian's package makes: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read user id: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read group id: %w", err)
	}
	return &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// fill makes the folder's data.
func (o Postgres) fill(bin string) error {
	as, err := postgresUser()
	if err != nil {
		return err
	}
	for _, dir := range []string{o.Dir, o.data(), o.socket()} {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = os.Chown(dir, int(as.Credential.Uid), int(as.Credential.Gid))
		}
		if err != nil {
			return fmt.Errorf("make folder for PostgreSQL: %w", err)
		}
	}
	cmd := exec.Command(filepath.Join(bin, "initdb"), "-D", o.data(), "-U", "postgres", "-E", "UTF8", "--locale=C",
		"--data-checksums", "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256")
	cmd.SysProcAttr, cmd.Dir = as, o.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make a database cluster: %w: %s", err, out)
	}
	return nil
}

// data is the folder with the data, socket the one with the Unix socket.
func (o Postgres) data() string   { return filepath.Join(o.Dir, "data") }
func (o Postgres) socket() string { return filepath.Join(o.Dir, "run") }

func (o Postgres) launch(bin string) (*PostgresServer, error) {
	as, err := postgresUser()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return nil, fmt.Errorf("read address of PostgreSQL: %w", err)
	}
	args := []string{"-D", o.data(), "-k", o.socket(), "-h", host, "-p", port, "-c", "max_connections=200",
		// Shared memory that lies in its own folder leaves nothing behind when it is killed.
		"-c", "dynamic_shared_memory_type=mmap", "-c", "shared_buffers=64MB"}
	for _, s := range o.Settings {
		args = append(args, "-c", s)
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), args...)
	cmd.SysProcAttr, cmd.Dir = as, o.Dir
	proc, err := startProcess("PostgreSQL", filepath.Join(o.Dir, "log"), cmd)
	if err != nil {
		return nil, err
	}
	p := &PostgresServer{process: proc, opts: o, bin: bin}
	if err := p.awake(); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	return p, nil
}

// awake waits until it takes log-ins: it listens before it has recovered.
func (p *PostgresServer) awake() error {
	return poll(time.Now().Add(startLimit), func() (bool, error) {
		select {
		case <-p.done:
			return true, fmt.Errorf("PostgreSQL ended while it started (%v); its log ends:\n%s", p.err, tail(p.log, 20))
		default:
		}
		host, port, _ := net.SplitHostPort(p.opts.Addr) // launch has read it
		return exec.Command(filepath.Join(p.bin, "pg_isready"), "-q", "-h", host, "-p", port).Run() == nil, nil
	})
}

// prepare makes the node's roles and its first database.
func (p *PostgresServer) prepare() error {
	for _, statement := range []string{
		"CREATE ROLE " + PostgresRole + " LOGIN PASSWORD '" + PostgresPassword + "'",
		"CREATE ROLE " + PostgresTenantRole + " NOLOGIN",
		"GRANT " + PostgresTenantRole + " TO " + PostgresRole,
		"CREATE DATABASE " + PostgresDatabase + " OWNER " + PostgresRole,
	} {
		if _, err := p.SQL(context.Background(), "postgres", statement); err != nil {
			return err
		}
	}
	return nil
}

// SQL runs statements as superuser in a database and returns the rows, a line each with
// | between the fields. It is for what a test does to a server, not for what a node does.
func (p *PostgresServer) SQL(ctx context.Context, database, statements string) (string, error) {
	_, port, _ := net.SplitHostPort(p.opts.Addr) // launch has read it
	out, err := run(ctx, filepath.Join(p.bin, "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
		"-h", p.opts.socket(), "-p", port, "-U", "postgres", "-d", database, "-c", statements)
	return strings.TrimRight(string(out), "\n"), err
}

// NewDatabase makes another database that belongs to the node's role, as a copy of
// template (empty: an empty one), and returns its name. Nobody may be connected to the
// template meanwhile.
func (p *PostgresServer) NewDatabase(ctx context.Context, template string) (string, error) {
	if template == "" {
		template = "template1"
	}
	name := "test_" + strings.ToLower(rand.Text())
	p.copying.Lock()
	defer p.copying.Unlock()
	_, err := p.SQL(ctx, "postgres", "CREATE DATABASE "+name+" OWNER "+PostgresRole+" TEMPLATE "+template)
	return name, err
}

// DropDatabase removes a database that NewDatabase made, and ends who is connected to it.
func (p *PostgresServer) DropDatabase(ctx context.Context, name string) error {
	_, err := p.SQL(ctx, "postgres", "DROP DATABASE "+name+" WITH (FORCE)")
	return err
}

// Options are those with which another process may Attach it.
func (p *PostgresServer) Options() Postgres { return p.opts }

// Addr is where it listens.
func (p *PostgresServer) Addr() string { return p.opts.Addr }

// DSN is the address of the first database for the node's role.
func (p *PostgresServer) DSN() string { return p.DSNOf(PostgresDatabase) }

// DSNOf is the address of a database for the node's role.
func (p *PostgresServer) DSNOf(database string) string { return PostgresDSN(p.opts.Addr, database) }

// PostgresDSN is the address of a database for the node's role behind host:port, which
// may be that of something between it and us.
func PostgresDSN(addr, database string) string {
	return "postgres://" + PostgresRole + ":" + PostgresPassword + "@" + addr + "/" + database + "?sslmode=disable"
}

// Data is the folder with its data.
func (p *PostgresServer) Data() string { return p.opts.data() }

// LogTail returns the last lines that it logged.
func (p *PostgresServer) LogTail(lines int) string { return tail(p.log, lines) }

// Halt kills all its processes (kill -9) at one moment and keeps its folder. Starting
// the options that it returns goes on where it was: same port, same data.
func (p *PostgresServer) Halt() (Postgres, error) { return p.opts, p.kill() }

// End has it shut down in an orderly way, as for a restart by its administrator: who is
// connected is told and sent away. Otherwise it is as Halt.
func (p *PostgresServer) End() (Postgres, error) {
	p.cmd.Process.Signal(syscall.SIGINT) // an error says that it has ended
	select {
	case <-p.done:
		return p.opts, nil
	case <-time.After(stopLimit):
		return p.opts, errors.Join(fmt.Errorf("PostgreSQL did not end within %v", stopLimit), p.kill())
	}
}

// kill ends all its processes without a warning. They are not of one group, since
// each server process makes a session of its own; so they are found by their parent,
// which is stopped first so that it cannot make more.
func (p *PostgresServer) kill() error {
	p.stopOnce.Do(func() {
		pid := p.cmd.Process.Pid
		p.cmd.Process.Signal(syscall.SIGSTOP) // an error says that it has ended
		err := poll(time.Now().Add(stopLimit), func() (bool, error) {
			stat, ok := readStat(statOf(pid))
			return !ok || stat.state == "T" || stat.state == "Z", nil
		})
		all, listed := children(pid)
		for _, child := range append(all, pid) {
			syscall.Kill(child, syscall.SIGKILL) // an error says that it has ended
		}
		<-p.done
		p.stopErr = errors.Join(err, listed, gone(all))
	})
	return p.stopErr
}

// gone waits until killed processes have ended. A zombie has.
func gone(pids []int) error {
	for _, pid := range pids {
		err := poll(time.Now().Add(stopLimit), func() (bool, error) {
			p, ok := readStat(statOf(pid))
			return !ok || p.state == "Z", nil
		})
		if err != nil {
			return fmt.Errorf("stop PostgreSQL: process %d is left: %w", pid, err)
		}
	}
	return nil
}

// statOf is where Linux says how a process is.
func statOf(pid int) string { return fmt.Sprintf("/proc/%d/stat", pid) }

// Stop ends it and removes its folder. Its data are not wanted any more, so it ends at
// once, but by itself, so that it gives back its shared memory.
func (p *PostgresServer) Stop() error {
	var err error
	select {
	case <-p.done: // also after Halt
	default:
		all, _ := children(p.cmd.Process.Pid)
		p.cmd.Process.Signal(syscall.SIGQUIT) // an error says that it has ended
		select {
		case <-p.done:
			err = gone(all)
		case <-time.After(stopLimit):
			err = p.kill()
		}
	}
	return errors.Join(err, os.RemoveAll(p.opts.Dir))
}
