package intake

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"doppelboden"
)

// A Check looks at a mail that has arrived and is not yet kept.
type Check interface {
	// Check says what it found. An error refuses the mail with its code. Trouble of the
	// check itself, such as a dead server that it asks, is no error: it is told in the
	// Finding, or the mail would be refused for no fault of its own. The context ends
	// when the client is gone; how long the check may take is its own affair.
	Check(ctx context.Context, in *Incoming) (Finding, error)
}

// An Incoming is a mail as a Check sees it. Several checks share it: nothing of it may
// be changed.
type Incoming struct {
	Envelope Envelope
	Message  *doppelboden.Message // without Prefix
	Header   []byte               // the header section; of a very long one the first 256 KiB
	Size     int64                // of the body, in bytes
	// Open reads the whole body as it came. It may be called more than once and by
	// several goroutines.
	Open func() (io.ReadCloser, error)
}

// A Finding is what a Check found.
type Finding struct {
	Prefix    []byte                // header lines to go before our Received line; each ends in CRLF
	Confirmed bool                  // the reverse-path is the sender's own
	Scan      doppelboden.ScanState // NotScanned when the check is no scanner
	Hold      string                // why the deliveries begin held; "" when they don't
}

// check asks all checks side by side and puts what they found into the message. The
// first error, in the order of Options.Checks, is the answer.
func (t *Transaction) check(ctx context.Context, m *doppelboden.Message) error {
	checks := t.in.opts.Checks
	if len(checks) == 0 || t.recipients == 0 {
		return nil // what goes nowhere is the affair of who put it there
	}
	in := &Incoming{Envelope: t.env, Message: m, Header: t.body.header(), Size: m.Body.Size, Open: t.open(m)}
	if t.body.buf != nil {
		in.Size = int64(len(t.body.buf))
	}
	found, errs := make([]Finding, len(checks)), make([]error, len(checks))
	var others sync.WaitGroup
	for i := range checks[1:] {
		others.Go(func() { found[i+1], errs[i+1] = checks[i+1].Check(ctx, in) })
	}
	found[0], errs[0] = checks[0].Check(ctx, in)
	others.Wait()
	for i, err := range errs {
		switch {
		case err == nil:
		case t.env.Hop != nil && doppelboden.CodeOf(err).Permanent():
			// A trusted hop would return it to a sender who may be forged (promise 12).
			found[i] = Finding{Hold: "refused by a check, but it came through a trusted hop: " + doppelboden.PublicOf(err)}
		default:
			return fmt.Errorf("check the message: %w", err)
		}
	}
	t.apply(m, found)
	return nil
}

// open returns what reads the body of m: from memory, or from where it was sealed.
func (t *Transaction) open(m *doppelboden.Message) func() (io.ReadCloser, error) {
	if t.body.buf != nil {
		return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(t.body.buf)), nil }
	}
	return func() (io.ReadCloser, error) { return t.in.opts.Bodies.Reader(m.Tenant, m.Body) }
}

// apply puts findings into the message. Of several scanners the worst counts.
func (t *Transaction) apply(m *doppelboden.Message, found []Finding) {
	var prefix []byte
	for _, f := range found {
		prefix = append(prefix, f.Prefix...)
		m.Confirmed = m.Confirmed || f.Confirmed
		m.Scan = worse(m.Scan, f.Scan)
		if f.Hold == "" {
			continue
		}
		for i := range m.Deliveries {
			if d := &m.Deliveries[i]; d.State != doppelboden.Held {
				d.State, d.Reply = doppelboden.Held, f.Hold
			}
		}
	}
	if len(prefix) > 0 {
		m.Prefix = append(prefix, m.Prefix...)
	}
	for i := range m.Deliveries {
		// What no scanner has seen is in nobody's mailbox yet.
		if d := &m.Deliveries[i]; m.Scan == doppelboden.Unscanned && d.State == doppelboden.Delivered {
			d.State, d.Reply = doppelboden.Queued, ""
		}
	}
}

// worse returns the state that is more of a reason to be careful.
func worse(a, b doppelboden.ScanState) doppelboden.ScanState {
	rank := [...]int{doppelboden.NotScanned: 0, doppelboden.Clean: 1, doppelboden.Spam: 2, doppelboden.Unscanned: 3, doppelboden.Malware: 4}
	if rank[b] > rank[a] {
		return b
	}
	return a
}
