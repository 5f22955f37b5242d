package peer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Sink is Postfix's smtp-sink: it takes mail as fast as anything can and throws it away.
type Sink struct {
	LMTP bool     // speak LMTP instead of SMTP
	Addr string   // host:port to listen on; empty: a free one
	Args []string // more options of smtp-sink, such as "-r", "RCPT"
}

// Start starts it.
func (o Sink) Start() (*SinkServer, error) {
	if o.Addr != "" {
		return o.launch(o.Addr)
	}
	var s *SinkServer
	err := withFreePorts(1, func(addrs []string) (err error) {
		s, err = o.launch(addrs[0])
		return err
	})
	return s, err
}

// SinkServer is a running smtp-sink.
type SinkServer struct {
	*process
	addr  string
	dir   string
	ended chan struct{} // closed when nothing reads its counters any more

	mu    sync.Mutex
	count int       // mails it has taken
	first time.Time // when the first was seen
	last  time.Time // when the newest was seen
}

func (o Sink) launch(addr string) (*SinkServer, error) {
	dir, err := newDir("", "sink")
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	// -c prints the counters as they change; -u is what it asks of root; -m is far above
	// the connections of any bench.
	args := []string{"-c", "-u", "nobody", "-m", "2000"}
	if o.LMTP {
		args = append(args, "-L")
	}
	cmd := exec.Command(SinkProgram, append(append(args, o.Args...), addr, "1024")...)
	cmd.Stdout = w
	proc, err := startProcess("smtp-sink", filepath.Join(dir, "log"), cmd)
	w.Close()
	if err != nil {
		r.Close()
		os.RemoveAll(dir)
		return nil, err
	}
	s := &SinkServer{process: proc, addr: addr, dir: dir, ended: make(chan struct{})}
	go s.watch(r)
	if err := proc.ready("tcp", addr); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// watch reads the counters until smtp-sink ends. They come as "sess=1 quit=0 mesg=7\r".
func (s *SinkServer) watch(r *os.File) {
	defer close(s.ended)
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		// Only the newest of what has come matters.
		if end := bytes.LastIndexByte(data, '\r'); end >= 0 {
			begin := bytes.LastIndexByte(data[:end], '\r') + 1
			return end + 1, data[begin:end], nil
		}
		return 0, nil, nil
	})
	for lines.Scan() {
		_, after, ok := strings.Cut(lines.Text(), "mesg=")
		n, err := strconv.Atoi(strings.TrimSpace(after))
		if !ok || err != nil {
			continue
		}
		now := time.Now()
		s.mu.Lock()
		if n > s.count {
			if s.count == 0 {
				s.first = now
			}
			s.count, s.last = n, now
		}
		s.mu.Unlock()
	}
}

// Addr is where it listens.
func (s *SinkServer) Addr() string { return s.addr }

// LogTail returns the last lines of what it complained about.
func (s *SinkServer) LogTail(lines int) string { return tail(s.log, lines) }

// Stop ends it.
func (s *SinkServer) Stop() error {
	err := s.stop()
	<-s.ended
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Taken returns how many mails it has taken, and when the first and the last came.
func (s *SinkServer) Taken() (count int, first, last time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count, s.first, s.last
}

// Wait waits until it has taken at least n mails.
func (s *SinkServer) Wait(n int, limit time.Duration) error {
	err := poll(time.Now().Add(limit), func() (bool, error) {
		got, _, _ := s.Taken()
		return got >= n, nil
	})
	if err != nil {
		got, _, _ := s.Taken()
		return fmt.Errorf("wait for %d mails at smtp-sink, got %d in %v: %w", n, got, limit, err)
	}
	return nil
}
