package scan

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// Store is what scanning again needs of the store; its contract is in package store.
type Store interface {
	Message(ctx context.Context, id doppelboden.ID) (*doppelboden.Message, error)
	PutScans(ctx context.Context, list []store.Scan) error
	Unscanned(ctx context.Context, t doppelboden.TenantID, after int64, limit int) ([]store.Unscanned, error)
	UnscannedCounts(ctx context.Context) ([]store.UnscannedCount, error)
}

// Bodies gives the bytes of stored bodies; package segment does.
type Bodies interface {
	Reader(t doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error)
}

// Queue is told what becomes of messages that waited.
type Queue interface {
	// Admitted says that the message may be handed over now; it is to be read again.
	Admitted(m *doppelboden.Message)
	// Quarantine has every delivery of the message held that is queued.
	Quarantine(ctx context.Context, id doppelboden.ID, why string) error
}

// AgainOptions say what scanning again works with. All fields must be set unless a
// default is named.
type AgainOptions struct {
	Station *Station
	Store   Store
	Bodies  Bodies
	Queue   Queue
	Log     *slog.Logger
	Clock   func() time.Time // default time.Now
}

// An Again scans messages that are kept: those that no scanner has seen, as soon as one
// answers, and those whose scan is old, before they are handed over.
type Again struct {
	opts AgainOptions
	kick chan struct{} // wakes Run; holds at most one wake-up

	mu    sync.Mutex
	tries map[doppelboden.ID]try
}

// A try is what came of scanning an unscanned message again.
type try struct {
	count int
	next  time.Time
	alone bool // the trouble is this mail's
}

const (
	// lookEvery is how often unscanned mail is looked through without an occasion.
	lookEvery = 30 * time.Second
	// tryFirst and tryMost bound the time between two scans of one mail.
	tryFirst, tryMost = 5 * time.Second, 10 * time.Minute
	// triesAlone is after how many tries it must be the mail's own fault, if the scanner
	// works.
	triesAlone = 3
	// againAtOnce is how many mails are scanned again at a time; acceptance goes first.
	againAtOnce = 4
	// againPage is how many messages are listed at once.
	againPage = 256
	// soon is when the queue asks again about a mail whose turn is about to come, and
	// patient when it asks while no scanner works. It is told earlier, when there is news.
	soon, patient = 5 * time.Second, time.Minute
)

// NewAgain returns what does nothing until Run.
func NewAgain(o AgainOptions) (*Again, error) {
	if o.Station == nil || o.Store == nil || o.Bodies == nil || o.Queue == nil || o.Log == nil {
		return nil, errors.New("scan: Station, Store, Bodies, Queue and Log must be set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Again{opts: o, kick: make(chan struct{}, 1), tries: map[doppelboden.ID]try{}}, nil
}

// Wake has unscanned mail looked through now. It never waits.
func (a *Again) Wake() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// Noted is Wake for an unscanned message, if something can be done about it now: while
// scanners are dead, every mail that comes would have all others looked through.
func (a *Again) Noted(m *doppelboden.Message) {
	p := a.opts.Station.Plan(m.Tenant)
	if p == nil || p.over(a.opts.Clock().Sub(scannedAt(m))) || a.opts.Station.works(p) {
		a.Wake()
	}
}

// Back is Wake after a scanner was found again: what failed before is tried at once.
func (a *Again) Back() {
	a.mu.Lock()
	for id, t := range a.tries {
		if !t.alone {
			delete(a.tries, id)
		}
	}
	a.mu.Unlock()
	a.Wake()
}

// Run scans what waits until ctx ends.
func (a *Again) Run(ctx context.Context) {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for ctx.Err() == nil {
		if err := a.look(ctx); err != nil && ctx.Err() == nil {
			a.opts.Log.Error("mail that waits for scanners cannot be looked through", "err", err)
		}
		timer.Reset(a.pause())
		select {
		case <-ctx.Done():
		case <-a.kick:
		case <-timer.C:
		}
	}
}

// pause is how long until the next try of any mail, at most lookEvery.
func (a *Again) pause() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, wait := a.opts.Clock(), lookEvery
	for _, t := range a.tries {
		if d := t.next.Sub(now); d > 0 { // what is due and was not tried waits for a scanner
			wait = min(wait, d)
		}
	}
	return wait
}

// look goes once through everything that is unscanned.
func (a *Again) look(ctx context.Context) error {
	counts, err := a.opts.Store.UnscannedCounts(ctx)
	if err != nil {
		return err
	}
	seen := map[doppelboden.ID]bool{}
	for _, c := range counts {
		for after := int64(0); ; {
			page, err := a.opts.Store.Unscanned(ctx, c.Tenant, after, againPage)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			after = page[len(page)-1].Seq
			for _, u := range page {
				seen[u.Message] = true
			}
			a.page(ctx, c.Tenant, page)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.tries {
		if !seen[id] {
			delete(a.tries, id) // it ended otherwise
		}
	}
	return nil
}

// page scans one page of a tenant's messages, the first first.
func (a *Again) page(ctx context.Context, t doppelboden.TenantID, page []store.Unscanned) {
	slots := make(chan struct{}, againAtOnce)
	var work sync.WaitGroup
	defer work.Wait()
	for _, u := range page {
		p := a.opts.Station.Plan(t)
		if !a.due(u, p) {
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		work.Go(func() {
			defer func() { <-slots }()
			if err := a.one(ctx, u); err != nil && ctx.Err() == nil {
				a.opts.Log.Error("a mail cannot be scanned again", "message", u.Message.String(), "err", err)
			}
		})
	}
}

// due reports whether something is to be done about a message now.
func (a *Again) due(u store.Unscanned, p *Plan) bool {
	now := a.opts.Clock()
	if p == nil || p.over(now.Sub(u.Since)) {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return !now.Before(a.tries[u.Message].next) && a.opts.Station.works(p)
}

// over reports whether mail that waited this long is handed over without a scan.
func (p *Plan) over(waited time.Duration) bool { return p.Patience >= 0 && waited >= p.Patience }

// one decides about one unscanned message.
func (a *Again) one(ctx context.Context, u store.Unscanned) error {
	m, err := a.opts.Store.Message(ctx, u.Message)
	if doppelboden.CodeOf(err) == doppelboden.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if m.Scan != doppelboden.Unscanned {
		return nil // somebody was faster
	}
	p := a.opts.Station.Plan(m.Tenant)
	if p == nil || p.over(a.opts.Clock().Sub(u.Since)) {
		if _, err = a.pass(ctx, m, p); err == nil {
			a.opts.Queue.Admitted(m)
		}
		return err
	}
	r, _, err := a.scan(ctx, p, m)
	if err != nil {
		return err
	}
	switch r.State {
	case doppelboden.Unscanned:
	case doppelboden.Malware:
		return a.opts.Queue.Quarantine(ctx, m.ID, found(r))
	default:
		a.opts.Queue.Admitted(m)
	}
	return nil
}

// scan scans a message that is kept, writes what came of it, and returns the message as
// it is now.
func (a *Again) scan(ctx context.Context, p *Plan, m *doppelboden.Message) (Result, *doppelboden.Message, error) {
	r := a.opts.Station.Scan(ctx, p, mailOf(m, func() (io.ReadCloser, error) { return a.opts.Bodies.Reader(m.Tenant, m.Body) }), true)
	a.opts.Station.metrics.again.WithLabelValues(r.State.String()).Inc()
	a.remember(m.ID, p, r)
	if ctx.Err() != nil {
		return r, m, ctx.Err()
	}
	if r.State == doppelboden.Unscanned && m.Scan == doppelboden.Unscanned {
		a.opts.Log.Warn("a mail could not be scanned", "message", m.ID.String(), "scanner", r.Scanner, "trouble", r.Trouble)
		return r, m, nil
	}
	now := *m
	now.Scan, now.Scanned = r.State, a.opts.Clock()
	if r.State != doppelboden.Unscanned {
		now.Prefix = remark(m.Prefix, marks(a.opts.Station.opts.Hostname, p, r))
	}
	err := a.opts.Store.PutScans(ctx, []store.Scan{{Message: m.ID, State: now.Scan, At: now.Scanned, Prefix: now.Prefix}})
	if err == nil {
		a.opts.Log.Info("a mail was scanned again", "message", m.ID.String(), "result", r.State.String(), "malware", r.Malware)
	}
	return r, &now, err
}

// remember notes a try, or forgets a message that needs no more.
func (a *Again) remember(id doppelboden.ID, p *Plan, r Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.State != doppelboden.Unscanned {
		delete(a.tries, id)
		return
	}
	t := a.tries[id]
	t.next = a.opts.Clock().Add(min(tryFirst<<min(t.count, 10), tryMost))
	t.count++
	t.alone = r.Alone || t.count >= triesAlone && a.opts.Station.works(p)
	a.tries[id] = t
}

// pass lets a message go that nobody scanned, with a mark that says so.
func (a *Again) pass(ctx context.Context, m *doppelboden.Message, p *Plan) (*doppelboden.Message, error) {
	now := *m
	now.Scan, now.Scanned = doppelboden.Waived, a.opts.Clock()
	if p != nil {
		scanner := Rspamd
		if len(p.ClamAV) > 0 {
			scanner = ClamAV
		}
		now.Prefix = remark(m.Prefix, marks(a.opts.Station.opts.Hostname, p, Result{State: doppelboden.Waived, Scanner: scanner}))
	}
	err := a.opts.Store.PutScans(ctx, []store.Scan{{Message: m.ID, State: now.Scan, At: now.Scanned, Prefix: now.Prefix}})
	if err == nil {
		a.opts.Log.Warn("a mail is handed over unscanned, as the configuration says", "message", m.ID.String())
	}
	return &now, err
}

// A Ruling says whether a message may be handed over now.
type Ruling struct {
	Admit *doppelboden.Message // what to hand over; nil: not now
	Hold  string               // not admitted: hold it for this reason; empty: it waits
	Until time.Time            // it waits: ask again not before, unless told
	Alone bool                 // it waits: other mail may go before it
}

// Admit decides about a message whose turn it is. It takes up to the deadline of the
// tenant's plan when the scan is old, else no time.
func (a *Again) Admit(ctx context.Context, m *doppelboden.Message) Ruling {
	p := a.opts.Station.Plan(m.Tenant)
	now := a.opts.Clock()
	switch {
	case m.Scan == doppelboden.Waived || m.Door == "generated":
		return Ruling{Admit: m}
	case m.Scan == doppelboden.Malware:
		return Ruling{Hold: Quarantine + "malware"}
	case m.Scan == doppelboden.Unscanned:
		a.Noted(m)
		return a.wait(m.ID, p, now)
	case p == nil || m.Scan != doppelboden.NotScanned && now.Sub(scannedAt(m)) < p.Fresh:
		return Ruling{Admit: m}
	}
	return a.fresh(ctx, m, p)
}

// fresh scans a message whose scan is old.
func (a *Again) fresh(ctx context.Context, m *doppelboden.Message, p *Plan) Ruling {
	whole, err := a.opts.Store.Message(ctx, m.ID) // with its recipients
	if err != nil {
		return Ruling{Until: a.opts.Clock().Add(soon)}
	}
	if whole.Scan != m.Scan || !whole.Scanned.Equal(m.Scanned) {
		return a.Admit(ctx, whole) // it was scanned for another of its recipients
	}
	r, scanned, err := a.scan(ctx, p, whole)
	switch {
	case err != nil:
		return Ruling{Until: a.opts.Clock().Add(soon)}
	case r.State == doppelboden.Unscanned:
		a.Noted(scanned)
		return a.wait(m.ID, p, a.opts.Clock())
	case r.State == doppelboden.Malware:
		return Ruling{Hold: Quarantine + found(r)}
	}
	return Ruling{Admit: scanned}
}

// wait says when to ask again about an unscanned message.
func (a *Again) wait(id doppelboden.ID, p *Plan, now time.Time) Ruling {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tries[id]
	if t.alone {
		return Ruling{Until: now.Add(patient), Alone: true}
	}
	if p == nil || a.opts.Station.works(p) {
		return Ruling{Until: now.Add(soon)}
	}
	return Ruling{Until: now.Add(patient)}
}

// scannedAt is when scanners last said something about a message.
func scannedAt(m *doppelboden.Message) time.Time {
	if m.Scanned.IsZero() {
		return m.Received
	}
	return m.Scanned
}
