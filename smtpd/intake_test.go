package smtpd

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"doppelboden"
)

// A mailbag is an Intake that keeps what it is given in memory and answers as it is told.
type mailbag struct {
	begin  func(Envelope) error                 // nil: yes
	rcpt   func(Recipient) error                // nil: yes
	write  func([]byte) error                   // nil: yes
	commit func(context.Context, *parcel) error // nil: yes

	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever something below changes
	open    int           // transactions that neither Commit nor Abort has ended
	kept    []*parcel
	aborted int
	acked   []bool
}

// A parcel is one transaction of a mailbag.
type parcel struct {
	bag        *mailbag
	envelope   Envelope
	recipients []Recipient
	body       bytes.Buffer
	ended      bool
	commits    int
	receipt    doppelboden.Receipt
}

func newBag() *mailbag { return &mailbag{changed: make(chan struct{})} }

// change runs f under the lock and wakes those who wait.
func (m *mailbag) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.changed)
	m.changed = make(chan struct{})
}

// await waits until ok holds under the lock; it reports whether it did in time.
func (m *mailbag) await(ok func() bool) bool {
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for {
		m.mu.Lock()
		good, changed := ok(), m.changed
		m.mu.Unlock()
		if good {
			return true
		}
		select {
		case <-changed:
		case <-limit.C:
			return false
		}
	}
}

// bodies returns the bodies kept so far.
func (m *mailbag) bodies() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, p := range m.kept {
		all = append(all, p.body.String())
	}
	return all
}

// parcels returns what was kept so far.
func (m *mailbag) parcels() []*parcel {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.kept)
}

func (m *mailbag) Begin(_ context.Context, e Envelope) (Transaction, error) {
	if m.begin != nil {
		if err := m.begin(e); err != nil {
			return nil, err
		}
	}
	m.change(func() { m.open++ })
	return &parcel{bag: m, envelope: e}, nil
}

func (p *parcel) Rcpt(_ context.Context, r Recipient) error {
	if p.bag.rcpt != nil {
		if err := p.bag.rcpt(r); err != nil {
			return err
		}
	}
	p.recipients = append(p.recipients, r)
	return nil
}

func (p *parcel) Write(b []byte) (int, error) {
	if p.ended {
		return 0, errors.New("write after the end")
	}
	if p.bag.write != nil {
		if err := p.bag.write(b); err != nil {
			return 0, err
		}
	}
	return p.body.Write(b)
}

func (p *parcel) Commit(ctx context.Context) (Kept, error) {
	if p.commits++; p.commits > 1 || p.ended {
		return Kept{}, errors.New("committed twice")
	}
	if p.bag.commit != nil {
		if err := p.bag.commit(ctx, p); err != nil {
			return Kept{}, err
		}
	}
	p.receipt = doppelboden.NewReceipt(time.Unix(1_800_000_000, 0))
	p.bag.change(func() {
		p.ended = true
		p.bag.open--
		p.bag.kept = append(p.bag.kept, p)
	})
	return Kept{ID: doppelboden.ID{1}, Receipt: p.receipt}, nil
}

func (p *parcel) Acked(written bool) {
	p.bag.change(func() { p.bag.acked = append(p.bag.acked, written) })
}

func (p *parcel) Abort() {
	if p.ended {
		return
	}
	p.bag.change(func() {
		p.ended = true
		p.bag.open--
		p.bag.aborted++
	})
}

// fails returns an error of the given class.
func fails(c doppelboden.Code, text string) error {
	return &doppelboden.Error{Code: c, Public: text, Cause: errors.New("secret cause")}
}

// isSecret reports whether s holds what must not leave the house.
func isSecret(s string) bool { return strings.Contains(s, "secret") }
