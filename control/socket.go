package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Names within the data folder.
const (
	socketName = "control.sock"
	lockName   = "control.lock"
)

// maxSocketPath is what fits into sockaddr_un (unix(7): 108 bytes with the zero).
const maxSocketPath = 107

// A socket is the listening end, with the lock that says that a node lives.
type socket struct {
	net.Listener
	lock *os.File // held until close; the kernel releases it when the process dies
	dir  *os.File // kept open while the socket's path goes through it
}

// listen makes the socket. The lock tells a living node from a dead one's remains: who
// holds it may remove the socket that lies there.
func listen(data string) (*socket, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	s := &socket{}
	lock, err := os.OpenFile(filepath.Join(data, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the control lock: %w", err)
	}
	s.lock = lock
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		lock.Close()
		return nil, invalid("another node is running on this data folder: " + data)
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("take the control lock: %w", err)
	}
	if err := s.bind(data); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// bind puts the socket into the folder. Only its owner may connect: the mode is set
// while nobody listens yet.
func (s *socket) bind(data string) error {
	path, dir, err := socketPath(data)
	if err != nil {
		return err
	}
	s.dir = dir
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove a dead node's socket: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make the control socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close() // FileListener works on a copy
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return fmt.Errorf("bind the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("close the control socket to others: %w", err)
	}
	if err := unix.Listen(fd, 64); err != nil {
		return fmt.Errorf("listen at the control socket: %w", err)
	}
	if s.Listener, err = net.FileListener(file); err != nil {
		return fmt.Errorf("listen at the control socket: %w", err)
	}
	return nil
}

// socketPath returns a name of the socket that is short enough. A long one goes through
// an open folder, which the caller closes when the socket is no longer needed.
func socketPath(data string) (path string, dir *os.File, err error) {
	path = filepath.Join(data, socketName)
	if len(path) <= maxSocketPath {
		return path, nil, nil
	}
	dir, err = os.Open(data)
	if err != nil {
		return "", nil, fmt.Errorf("open the data folder: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName), dir, nil
}

// release gives back everything, the socket's name included.
func (s *socket) release() {
	if s.Listener != nil {
		s.Listener.Close()
		// The lock is still ours, so the name can't be another node's.
		os.Remove(filepath.Join(filepath.Dir(s.lock.Name()), socketName))
	}
	if s.dir != nil {
		s.dir.Close()
	}
	s.lock.Close()
}

// peer returns the unix user at the other end: unix(7), SO_PEERCRED.
func peer(c net.Conn) string {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return ""
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || credErr != nil {
		return ""
	}
	uid := strconv.FormatUint(uint64(cred.Uid), 10)
	if u, err := user.LookupId(uid); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid " + uid
}
