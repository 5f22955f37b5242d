package peer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// InstantScanner stands in for an rspamd that answers at once: it reads the whole mail
// and has nothing against it. It speaks both of rspamd's ways in, so that two mail
// systems can be measured with the same scanner: HTTP (/checkv2) and milter.
type InstantScanner struct {
	http   *http.Server
	web    net.Listener
	milter net.Listener
	done   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	seen  int // mails that were scanned
}

// StartInstantScanner starts one on free ports.
func StartInstantScanner() (*InstantScanner, error) {
	s := &InstantScanner{conns: map[net.Conn]bool{}}
	var err error
	if s.web, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("listen for HTTP: %w", err)
	}
	if s.milter, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		s.web.Close()
		return nil, fmt.Errorf("listen for milters: %w", err)
	}
	s.http = &http.Server{Handler: http.HandlerFunc(s.check)}
	s.done.Go(func() { s.http.Serve(s.web) })
	s.done.Go(s.takeMilters)
	return s, nil
}

// URL is where it answers HTTP.
func (s *InstantScanner) URL() string { return "http://" + s.web.Addr().String() }

// MilterAddr is host:port where it speaks milter.
func (s *InstantScanner) MilterAddr() string { return s.milter.Addr().String() }

// Seen returns how many mails were scanned.
func (s *InstantScanner) Seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// Stop ends it.
func (s *InstantScanner) Stop() error {
	err := errors.Join(s.http.Close(), s.milter.Close())
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
	return err
}

func (s *InstantScanner) scanned() {
	s.mu.Lock()
	s.seen++
	s.mu.Unlock()
}

// cleanAnswer is what rspamd says of a harmless mail.
const cleanAnswer = `{"is_skipped":false,"score":0.0,"required_score":15.0,"action":"no action","thresholds":{"reject":15.0,"add header":6.0},"symbols":{},"messages":{},"message-id":"x"}`

func (s *InstantScanner) check(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	s.scanned()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(cleanAnswer)))
	io.WriteString(w, cleanAnswer)
}

func (s *InstantScanner) takeMilters() {
	for {
		c, err := s.milter.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.done.Go(func() {
			s.serveMilter(c)
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// The milter protocol, as libmilter's mfdef.h has it.
const (
	milterVersion  = 6
	milterMayAdd   = 0x1     // SMFIF_ADDHDRS
	milterNoAnswer = 0xff080 // SMFIP_NR_*: no step before the end of the mail gets an answer
	milterUnwanted = 0x00300 // SMFIP_NOUNKNOWN, SMFIP_NODATA
	mostOfMilter   = 1 << 20 // a packet is at most 64 KB of body and a little
	addHeader      = "X-Spamd-Result\x00default: False [0.00 / 15.00]\x00"
)

// serveMilter speaks with one smtpd. It asks for no answers before the end of a mail, which
// is the quickest way there is for the other side.
func (s *InstantScanner) serveMilter(c net.Conn) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 128<<10)
	buf := make([]byte, 0, 128<<10)
	for {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head[:])
		if n == 0 || n > mostOfMilter {
			return
		}
		if int(n) > cap(buf) {
			buf = make([]byte, 0, n)
		}
		buf = buf[:n]
		if _, err := io.ReadFull(in, buf); err != nil {
			return
		}
		var answer []byte
		switch buf[0] {
		case 'O': // SMFIC_OPTNEG
			if len(buf) < 13 {
				return
			}
			offered := binary.BigEndian.Uint32(buf[9:])
			answer = binary.BigEndian.AppendUint32(packet('O', 12), min(milterVersion, binary.BigEndian.Uint32(buf[1:])))
			answer = binary.BigEndian.AppendUint32(answer, milterMayAdd)
			answer = binary.BigEndian.AppendUint32(answer, offered&(milterNoAnswer|milterUnwanted))
		case 'E': // SMFIC_BODYEOB
			s.scanned()
			answer = append(packet('h', len(addHeader)), addHeader...)
			answer = append(answer, packet('a', 0)...)
		case 'Q':
			return
		}
		if len(answer) > 0 {
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}

// packet begins a packet with n octets of data.
func packet(command byte, n int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(n+1)), command)
}
