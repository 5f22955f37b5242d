package nbd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Commands, flags and errors of the document's section "Transmission phase".
const (
	magicRequest  = 0x25609513
	magicSimple   = 0x67446698
	cmdRead       = 0
	cmdWrite      = 1
	cmdDisconnect = 2
	cmdFlush      = 3
	cmdFlagFUA    = 1 << 0
	errnoIO       = 5
	errnoInvalid  = 22
)

// Options say what a Server is like.
type Options struct {
	// Delay is asked how long the next FLUSH takes; while one is under way, the disk goes
	// on answering other requests. nil: no time.
	Delay func() time.Duration
	// Lying offers neither FLUSH nor FUA, as if the disk had no volatile cache.
	Lying bool
}

// A Server serves one Disk.
type Server struct {
	disk *Disk
	opts Options
	off  chan struct{} // closed by PowerOff
	once sync.Once
}

// NewServer returns a server of d.
func NewServer(d *Disk, o Options) *Server {
	if o.Delay == nil {
		o.Delay = func() time.Duration { return 0 }
	}
	return &Server{disk: d, opts: o, off: make(chan struct{})}
}

// PowerOff ends everything at this instant; see Disk.PowerOff. Clients hear nothing. It
// must also be called after a fuse of the disk has burnt down.
func (s *Server) PowerOff() {
	s.disk.PowerOff()
	s.once.Do(func() { close(s.off) })
}

// A session is one client in the transmission phase.
type session struct {
	server  *Server
	mu      sync.Mutex // guards out
	out     io.Writer
	flushes sync.WaitGroup
}

// Serve leads one client's session to its end and closes the connection. It returns nil
// when the client said goodbye or hung up between two requests. After PowerOff it waits
// for the client to hang up, for a disk without power reports no error, and returns
// ErrPower. When it returns, nothing of the session is left.
func (s *Server) Serve(c net.Conn) error {
	defer c.Close()
	err := s.handshake(c)
	if errors.Is(err, errAborted) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("negotiate: %w", err)
	}
	session := &session{server: s, out: c}
	defer session.flushes.Wait()
	in := bufio.NewReaderSize(c, 256<<10)
	for {
		more, err := session.next(in)
		if errors.Is(err, ErrPower) {
			_, _ = io.Copy(io.Discard, in) // any end of the connection will do
			return err
		}
		if err != nil || !more {
			return err
		}
	}
}

// A request is the head of one command.
type request struct {
	flags, command uint16
	cookie         uint64
	offset         int64
	length         uint32
}

// next serves one request and reports whether there can be another.
func (s *session) next(in io.Reader) (bool, error) {
	r, err := readRequest(in)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read request: %w", err)
	}
	if r.length > maxPayload {
		return false, fmt.Errorf("nbd: command %d of %d bytes", r.command, r.length)
	}
	switch r.command {
	case cmdRead:
		data := make([]byte, r.length)
		err := s.server.disk.Read(data, r.offset)
		return true, s.answer(r, err, data)
	case cmdWrite:
		data := make([]byte, r.length)
		if _, err := io.ReadFull(in, data); err != nil {
			return false, fmt.Errorf("read data to write: %w", err)
		}
		err := s.server.disk.Write(data, r.offset, r.flags&cmdFlagFUA != 0)
		return true, s.answer(r, err, nil)
	case cmdFlush:
		mark := s.server.disk.Mark()
		s.flushes.Go(func() { s.flush(r, mark) })
		return true, nil
	case cmdDisconnect:
		return false, nil
	}
	return true, s.send(r.cookie, errnoInvalid, nil)
}

// readRequest reads the head of a request. A connection that ends before it is io.EOF.
func readRequest(in io.Reader) (request, error) {
	var head [28]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return request{}, err
	}
	if binary.BigEndian.Uint32(head[:]) != magicRequest {
		return request{}, errors.New("nbd: a request without its magic number")
	}
	return request{
		flags:   binary.BigEndian.Uint16(head[4:]),
		command: binary.BigEndian.Uint16(head[6:]),
		cookie:  binary.BigEndian.Uint64(head[8:]),
		offset:  int64(binary.BigEndian.Uint64(head[16:])),
		length:  binary.BigEndian.Uint32(head[24:]),
	}, nil
}

// flush waits as long as this disk takes, makes everything up to mark durable, and
// answers. A cut while it waits leaves the cache as it was.
func (s *session) flush(r request, mark uint64) {
	wait := time.NewTimer(s.server.opts.Delay())
	defer wait.Stop()
	select {
	case <-s.server.off:
		return
	case <-wait.C:
	}
	// A client that is gone is noticed by next; there is nobody to tell.
	_ = s.answer(r, s.server.disk.FlushTo(mark), nil)
}

// answer sends the reply to r. After PowerOff it sends none and returns ErrPower.
func (s *session) answer(r request, err error, data []byte) error {
	switch {
	case err == nil:
		return s.send(r.cookie, 0, data)
	case errors.Is(err, ErrPower):
		return ErrPower
	case errors.Is(err, errRequest):
		return s.send(r.cookie, errnoInvalid, nil)
	}
	return s.send(r.cookie, errnoIO, nil)
}

// send writes one simple reply.
func (s *session) send(cookie uint64, errno uint32, data []byte) error {
	b := make([]byte, 0, 16+len(data))
	b = binary.BigEndian.AppendUint32(b, magicSimple)
	b = binary.BigEndian.AppendUint32(b, errno)
	b = binary.BigEndian.AppendUint64(b, cookie)
	b = append(b, data...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.out.Write(b); err != nil {
		return fmt.Errorf("send reply: %w", err)
	}
	return nil
}
