package load

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var errRefused = errors.New("refused")

// Options says how to send.
type Options struct {
	Addr        string        // host:port of the server
	Source      Source        // where mails come from
	First       int           // number of the first mail
	Messages    int           // how many mails at most; 0: no bound, then Duration must be set
	Duration    time.Duration // for how long at most; 0: no bound, then Messages must be set
	Connections int           // kept open at once; 0: 20
	Timeout     time.Duration // for one mail; 0: two minutes
	// Reconnect goes on when the server is gone, until Messages or Duration are
	// reached: for tests that kill it. Without it the first broken connection ends the
	// run with an error.
	Reconnect    bool
	NoPipelining bool
	// Each is told every record as it comes, from several goroutines; may be nil.
	Each func(Record)
}

func (o *Options) validate() error {
	if o.Connections == 0 {
		o.Connections = 20
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Source == nil || o.Addr == "" {
		return errors.New("load: Source and Addr must be set")
	}
	if o.Messages <= 0 && o.Duration <= 0 {
		return errors.New("load: one of Messages and Duration must bound the run")
	}
	if o.Messages < 0 || o.Duration < 0 || o.Connections < 0 || o.Timeout < 0 {
		return errors.New("load: nothing may be negative")
	}
	return nil
}

// A Record is what became of one mail.
type Record struct {
	ID      string        `json:"id"`
	To      []string      `json:"to"`              // whom it was for
	Taken   []string      `json:"taken,omitempty"` // recipients whose RCPT got a 250
	Size    int           `json:"size"`            // octets, before dots were doubled
	Sum     [32]byte      `json:"-"`               // SHA-256 of what was sent
	Phase   Phase         `json:"phase"`           // how far it came
	Code    int           `json:"code"`            // the answer in that phase; 0: none came
	Text    string        `json:"text,omitempty"`  // its text
	Dot     time.Time     `json:"dot,omitzero"`    // when the final dot was written
	Latency time.Duration `json:"latency_ns"`      // from the final dot to the answer
}

// Acked reports whether the server has taken responsibility.
func (r Record) Acked() bool { return r.Phase == AtDot && r.Code/100 == 2 }

// InDoubt reports whether the server may have taken the mail without our knowing.
func (r Record) InDoubt() bool { return r.Phase == AtDot && r.Code == 0 }

// receipt matches the number that Doppelboden's 250 carries.
var receipt = regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){4}`)

// Receipt returns the receipt number in the answer, or "".
func (r Record) Receipt() string {
	if !r.Acked() {
		return ""
	}
	return receipt.FindString(r.Text)
}

// A Report is what a run has seen.
type Report struct {
	Records []Record      // one for each mail that was begun, in no particular order
	Elapsed time.Duration // from the first connection to the last answer
}

// Acked returns the records of mails that were acknowledged.
func (r *Report) Acked() []Record {
	return slices.DeleteFunc(slices.Clone(r.Records), func(r Record) bool { return !r.Acked() })
}

// Rate is how many mails were acknowledged in a second.
func (r *Report) Rate() float64 { return float64(len(r.Acked())) / r.Elapsed.Seconds() }

// Latency returns the time from final dot to 250 that a share q (0 to 1) of the
// acknowledged mails did not exceed; 0 when there are none.
func (r *Report) Latency(q float64) time.Duration {
	return Quantile(r.Acked(), q)
}

// Quantile returns the latency that a share q (0 to 1) of records did not exceed.
func Quantile(records []Record, q float64) time.Duration {
	if len(records) == 0 {
		return 0
	}
	all := make([]time.Duration, len(records))
	for i := range records {
		all[i] = records[i].Latency
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// Run sends mails until a bound is reached or ctx ends; neither is an error. It returns
// what it has seen also with an error.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.validate(); err != nil {
		return &Report{}, err
	}
	if o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Duration)
		defer cancel()
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		next    atomic.Int64
		workers sync.WaitGroup
		mu      sync.Mutex
		report  Report
	)
	start := time.Now()
	for range o.Connections {
		workers.Go(func() {
			s := sender{opts: &o, next: &next}
			if err := s.work(ctx); err != nil {
				stop(err)
			}
			mu.Lock()
			report.Records = append(report.Records, s.records...)
			mu.Unlock()
		})
	}
	workers.Wait()
	report.Elapsed = time.Since(start)
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return &report, err
	}
	return &report, nil
}

// A sender is one connection after the other.
type sender struct {
	opts    *Options
	next    *atomic.Int64
	records []Record
	conn    *client
}

// work sends until there is nothing more to send.
func (s *sender) work(ctx context.Context) error {
	defer func() {
		if s.conn != nil {
			s.conn.close()
		}
	}()
	for ctx.Err() == nil {
		if s.conn == nil {
			if err := s.connect(ctx); err != nil {
				return err
			}
			continue
		}
		n := int(s.next.Add(1)) - 1
		if s.opts.Messages > 0 && n >= s.opts.Messages {
			return nil
		}
		if err := s.one(s.opts.Source.Mail(s.opts.First + n)); err != nil {
			s.conn.conn.Close()
			s.conn = nil
			if !s.opts.Reconnect {
				return err
			}
		}
	}
	return nil
}

// connect dials, with Reconnect again and again.
func (s *sender) connect(ctx context.Context) error {
	var err error
	if s.conn, err = dial(ctx, s.opts); err == nil || ctx.Err() != nil {
		return nil
	}
	if !s.opts.Reconnect {
		return err
	}
	again := time.NewTimer(20 * time.Millisecond)
	defer again.Stop()
	select {
	case <-ctx.Done():
	case <-again.C:
	}
	return nil
}

// one sends one mail and records it.
func (s *sender) one(m *Mail) error {
	r := Record{ID: m.ID, To: m.To, Size: len(m.Data), Sum: m.Sum}
	err := s.conn.send(m, &r)
	if err != nil {
		if r.Phase != AtDot {
			r.Taken = nil
		}
		if r.Code/100 < 4 {
			r.Code = 0
		}
		r.Text = err.Error()
		err = fmt.Errorf("mail %s broke off at %s: %w", m.ID, r.Phase, err)
	}
	s.records = append(s.records, r)
	if s.opts.Each != nil {
		s.opts.Each(r)
	}
	return err
}
