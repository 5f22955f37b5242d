package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Kinds of scanners, as people read them.
const (
	Rspamd = "rspamd"
	ClamAV = "ClamAV"
)

// atOnce is how many mails one scanner is given at a time. rspamd and clamd queue what
// is more than their workers; what they hold is our memory, too.
const atOnce = 32

// A verdict is what one scanner thinks of a mail.
type verdict int

const (
	unknown verdict = iota
	clean
	spam
	malware
)

// A report is the answer of one scanner.
type report struct {
	state verdict
	name  string // of malware

	// Of rspamd.
	action          string
	score, required float64
	symbols         []string // harmless names, the heaviest first
}

// An engine is how one kind of scanner is spoken to. Errors are errTooLarge, errLater,
// a *mailError, or trouble of the scanner.
type engine interface {
	scan(ctx context.Context, m *Mail) (report, error)
}

// A scanner is one scanner at one address. Tenants may share it.
type scanner struct {
	kind    string
	addr    string // as it is written in the configuration
	engine  engine
	breaker breaker
	slots   chan struct{}
	log     *slog.Logger
	clock   func() time.Time
	metrics scannerMetrics
	back    func()       // called when it works again
	large   atomic.Int64 // size of the smallest mail it has lately called too large; 0: none
	largeAt atomic.Int64 // when, in seconds since 1970
}

// newEngine returns what speaks to the scanner at an address: for rspamd http://host:port
// with an optional path, for ClamAV unix:///path or tcp://host:port.
func newEngine(kind, addr, name string) (engine, error) {
	u, err := url.Parse(addr)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("not the address of a scanner: %s", addr)
	}
	_, port, err := net.SplitHostPort(u.Host)
	hasPort := err == nil && port != ""
	switch {
	case kind == Rspamd && u.Scheme == "http" && hasPort:
		return &rspamd{addr: u.Host, path: strings.TrimRight(u.EscapedPath(), "/"), name: name}, nil
	case kind == ClamAV && u.Scheme == "tcp" && hasPort && u.Path == "":
		return &clamd{network: "tcp", addr: u.Host}, nil
	case kind == ClamAV && u.Scheme == "unix" && u.Host == "" && u.Path != "":
		return &clamd{network: "unix", addr: u.Path}, nil
	}
	return nil, fmt.Errorf("not the address of a scanner: %s", addr)
}

// errOpen says that the scanner is not asked at the moment.
var errOpen = errors.New("it does not work at the moment")

// errBusy says that the deadline passed before the scanner had room for the mail.
var errBusy = errors.New("it had too much to do")

// scan asks the scanner. again says that the mail was asked about before: that it takes
// too long then says nothing of the scanner.
func (s *scanner) scan(ctx context.Context, m *Mail, again bool) (report, error) {
	if !s.breaker.allow() {
		s.metrics.skipped.Inc()
		return report{}, errOpen
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		s.metrics.failed.Inc()
		return report{}, errBusy
	}
	began := time.Now()
	r, err := s.engine.scan(ctx, m)
	<-s.slots
	s.metrics.seconds.Observe(time.Since(began).Seconds())
	s.learn(ctx, m, err, again)
	return r, err
}

// learn notes what an answer says about the scanner itself.
func (s *scanner) learn(ctx context.Context, m *Mail, err error, again bool) {
	var unreadable *mailError
	switch {
	case err == nil || errors.Is(err, errLater) || errors.Is(err, errTooLarge):
		if errors.Is(err, errTooLarge) {
			s.tooLarge(m.Size)
		}
		s.metrics.answered.Inc()
		if s.breaker.well(s.clock()) {
			s.works()
		}
	case errors.As(err, &unreadable), errors.Is(ctx.Err(), context.Canceled):
		// Says nothing of the scanner.
	case again && timedOut(err):
		s.metrics.failed.Inc()
	default:
		s.metrics.failed.Inc()
		if s.breaker.badly(s.clock(), brief([]byte(err.Error()))) {
			s.log.Error("the scanner does not work; mail is kept and waits until it was scanned", "scanner", s.kind, "address", s.addr, "err", err)
			s.metrics.up.Set(0)
		}
	}
}

// timedOut reports whether a deadline ended it.
func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// largeFor is how long a mail that was too large is remembered for the alarm.
const largeFor = 24 * time.Hour

// tooLarge remembers that a mail of this size was too large.
func (s *scanner) tooLarge(size int64) {
	s.metrics.tooLarge.Inc()
	s.large.Store(size)
	s.largeAt.Store(s.clock().Unix())
}

// works tells that the scanner works again.
func (s *scanner) works() {
	s.log.Info("the scanner works again", "scanner", s.kind, "address", s.addr)
	s.metrics.up.Set(1)
	s.back()
}

// probeMail is what a probe shows to a scanner: nothing else proves that it scans. Some
// answer a ping while all of their workers hang.
const probeMail = "From: <>\r\nSubject: probe\r\n\r\nIs this scanner there again?\r\n"

// probe asks a scanner that does not work whether it is there again.
func (s *scanner) probe(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := s.engine.scan(ctx, &Mail{ID: "probe", Size: int64(len(probeMail)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(probeMail)), nil
	}})
	if errors.Is(err, errLater) || errors.Is(err, errTooLarge) {
		err = nil // it speaks
	}
	if s.breaker.probed(s.clock(), err) {
		s.works()
	}
}

// close ends what is kept open.
func (s *scanner) close() {
	if r, ok := s.engine.(*rspamd); ok {
		r.close()
	}
}
