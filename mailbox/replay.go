package mailbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

// A Replay is what a person wants handed over again.
type Replay struct {
	From, To time.Time             // handed over at From or later, and before To
	Tenant   doppelboden.TenantID  // 0: of all
	Route    string                // the route's key; "": of all
	Mailbox  doppelboden.MailboxID // 0: of all
	By       string
	Blind    bool  // also where nobody can look, so that what is there comes twice
	Yes      int64 // with Blind: how many deliveries the period has
	Removed  bool  // also what its owner has deleted
	Preview  bool  // only say what would be done
}

// A Report says what a replay found and did.
type Report struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	By      string    `json:"by"`
	Preview bool      `json:"preview"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"` // zero while it runs
	Problem string    `json:"problem,omitempty"`

	Deliveries int64 `json:"deliveries"` // handed over in the period
	Mailboxes  int64 `json:"mailboxes"`  // theirs
	Looked     int64 `json:"looked"`     // of these mailboxes, those that are done

	There    int64 `json:"there"`     // deliveries that lie in their mailboxes: left alone
	Replayed int64 `json:"replayed"`  // handed over again (of a preview: would be)
	Removed  int64 `json:"removed"`   // deleted by their owners: left alone
	Unknown  int64 `json:"unknown"`   // of Replayed, those of which nobody knows whether their owners have deleted them
	NoAccess int64 `json:"no_access"` // of routes into whose mailboxes nobody can look: left alone without Blind
	Failed   int64 `json:"failed"`    // in mailboxes that could not be looked into: left alone
	// Expired is before when retention may have removed what had ended; zero when the period
	// begins later.
	Expired time.Time `json:"expired,omitzero"`
	// Disagreed says that nothing was done, because Yes is not the number of deliveries.
	Disagreed bool  `json:"disagreed,omitempty"`
	Outside   int64 `json:"outside"` // handed over to the Internet: left alone

	// FailedMailboxes names the first mailboxes that could not be looked into, with why.
	FailedMailboxes []string `json:"failed_mailboxes,omitempty"`
}

// Done reports whether everything that was asked for was looked at.
func (r Report) Done() bool {
	return !r.Ended.IsZero() && r.Problem == "" && !r.Disagreed && r.Failed == 0
}

const (
	// replaysAtOnce is how many mailboxes a replay looks into at once.
	replaysAtOnce = 2
	// reopenBatch is how many deliveries one commit opens again, so that acceptance is not
	// kept waiting.
	reopenBatch = 500
	// boxPart is how many mails of one mailbox are looked for at once.
	boxPart = 5000
	// namedFailures bounds FailedMailboxes.
	namedFailures = 20
	// keptReports is how many replays are remembered.
	keptReports = 20
)

// A Replayer hands over again what groupware has lost. One replay runs at a time.
type Replayer struct {
	opts Options
	done func(ctx context.Context, routes []string)

	mu      sync.Mutex
	running bool
	cancel  context.CancelFunc
	over    chan struct{} // closed when the last one has ended
	reports []*Report     // the newest last
}

// NewReplayer returns a replayer; at the end of each replay done is told of which routes
// something was handed over again.
func NewReplayer(o Options, done func(ctx context.Context, routes []string)) (*Replayer, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Replayer{opts: o, done: done}, nil
}

// Start begins a replay, which goes on when the caller leaves; ctx is what the node runs
// with. The code is Invalid for a period that makes no sense, and Busy while another one
// runs.
func (p *Replayer) Start(ctx context.Context, r Replay) error {
	now := p.opts.Clock()
	switch {
	case r.By == "":
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "a replay needs a name: who decides"}
	case r.From.IsZero() || r.To.IsZero() || !r.From.Before(r.To):
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "a replay needs a period: from when, and until when"}
	case r.To.After(now):
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the period must have ended: what is handed over meanwhile is not lost"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return &doppelboden.Error{Code: doppelboden.Busy, Public: "a replay is running"}
	}
	run, cancel := context.WithCancel(ctx)
	report := &Report{From: r.From, To: r.To, By: r.By, Preview: r.Preview, Started: now}
	if kept := p.opts.Kept(); r.From.Before(kept) {
		report.Expired = kept
	}
	p.running, p.cancel, p.over = true, cancel, make(chan struct{})
	p.reports = append(p.reports, report)
	p.reports = p.reports[max(0, len(p.reports)-keptReports):]
	go func(over chan struct{}) {
		defer close(over)
		defer cancel()
		err := (&replaying{p: p, want: r, report: report, at: now}).run(run)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.running, report.Ended = false, p.opts.Clock()
		if err != nil {
			report.Problem = harmless(err.Error())
		}
	}(p.over)
	return nil
}

// Stop ends the running replay; what it has handed over stays so.
func (p *Replayer) Stop() {
	p.mu.Lock()
	cancel, over := p.cancel, p.over
	p.mu.Unlock()
	if cancel != nil {
		cancel()
		<-over
	}
}

// Wait waits until the running replay has ended, or ctx.
func (p *Replayer) Wait(ctx context.Context) {
	p.mu.Lock()
	over := p.over
	p.mu.Unlock()
	if over == nil {
		return
	}
	select {
	case <-over:
	case <-ctx.Done():
	}
}

// Reports returns the replays of this run of the node, the newest last.
func (p *Replayer) Reports() []Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Report, len(p.reports))
	for i, r := range p.reports {
		list[i] = *r
		list[i].FailedMailboxes = slices.Clone(r.FailedMailboxes)
	}
	return list
}

// A replaying is one replay at work.
type replaying struct {
	p      *Replayer
	want   Replay
	report *Report // guarded by p.mu
	at     time.Time
	routes map[string]bool // of which something was handed over again; guarded by p.mu
}

// note changes the report.
func (j *replaying) note(change func(r *Report)) {
	j.p.mu.Lock()
	defer j.p.mu.Unlock()
	change(j.report)
}

// run finds the mailboxes that got something in the period, and goes from one to the next.
func (j *replaying) run(ctx context.Context) error {
	j.routes = map[string]bool{}
	boxes, err := j.boxes(ctx)
	if err != nil {
		return fmt.Errorf("find what was handed over: %w", err)
	}
	if !j.agreed() {
		return nil
	}
	work := make(chan doppelboden.BoxID)
	var workers sync.WaitGroup
	errs := make(chan error, replaysAtOnce)
	run, stop := context.WithCancel(ctx)
	defer stop()
	for range replaysAtOnce {
		workers.Go(func() {
			for b := range work {
				if err := j.box(run, b); err != nil {
					errs <- err
					stop()
					return
				}
				j.note(func(r *Report) { r.Looked++ })
			}
		})
	}
	for _, b := range boxes {
		select {
		case work <- b:
			continue
		case <-run.Done():
		}
		break
	}
	close(work)
	workers.Wait()
	close(errs)
	err = <-errs
	if err == nil {
		err = ctx.Err()
	}
	if len(j.routes) > 0 {
		j.p.done(context.WithoutCancel(ctx), slices.Sorted(maps.Keys(j.routes)))
	}
	return err
}

// agreed reports whether a person who has what is there come twice knows how much that is.
func (j *replaying) agreed() bool {
	j.p.mu.Lock()
	defer j.p.mu.Unlock()
	j.report.Disagreed = j.want.Blind && !j.want.Preview && j.want.Yes != j.report.Deliveries
	return !j.report.Disagreed
}

// boxes returns the mailboxes that got something in the period, as many as there are at
// most in a city; their mails are read when it is their turn.
func (j *replaying) boxes(ctx context.Context) ([]doppelboden.BoxID, error) {
	mine := map[doppelboden.BoxID]bool{}
	var boxes []doppelboden.BoxID
	err := j.p.opts.Store.Handed(ctx, store.HandedFilter{From: j.want.From, To: j.want.To, Tenant: j.want.Tenant}, func(h store.Handed) error {
		if h.Mailbox == 0 {
			j.note(func(r *Report) { r.Outside++ })
			return ctx.Err()
		}
		if j.want.Mailbox != 0 && h.Mailbox != j.want.Mailbox {
			return nil
		}
		is, known := mine[h.Box]
		if !known {
			at, ok := j.p.opts.Place(h.Box)
			is = ok && (j.want.Route == "" || at.Route == j.want.Route)
			mine[h.Box] = is
			if is {
				boxes = append(boxes, h.Box)
			}
		}
		if is {
			j.note(func(r *Report) { r.Deliveries++ })
		}
		return ctx.Err()
	})
	j.note(func(r *Report) {
		r.Mailboxes = int64(len(boxes))
		if j.want.Mailbox != 0 || j.want.Route != "" {
			r.Outside = 0 // nobody has asked for it
		}
	})
	return boxes, err
}

// box replays one mailbox. What cannot be looked into is noted; an error ends the replay.
func (j *replaying) box(ctx context.Context, b doppelboden.BoxID) error {
	at, ok := j.p.opts.Place(b)
	if !ok {
		return nil // it went another way meanwhile
	}
	for after := int64(0); ; {
		// What was handed over since tells how old the mailbox is, and what was deleted in it.
		var mails []store.Handed
		err := j.p.opts.Store.Handed(ctx, store.HandedFilter{Box: b, From: j.want.From, AfterSeq: after, Limit: boxPart},
			func(h store.Handed) error { mails = append(mails, h); return nil })
		if err != nil {
			return fmt.Errorf("read what a mailbox got: %w", err)
		}
		if len(mails) == 0 {
			return nil
		}
		after = mails[len(mails)-1].Seq
		if err := j.part(ctx, at, mails); err != nil {
			return err
		}
	}
}

// part replays some mails of a mailbox.
func (j *replaying) part(ctx context.Context, at Place, mails []store.Handed) error {
	inPeriod := func(h store.Handed) bool { return h.At.Before(j.want.To) }
	count := int64(0)
	for _, h := range mails {
		if inPeriod(h) {
			count++
		}
	}
	if count == 0 {
		return nil
	}
	if at.Backend == nil {
		if !j.want.Blind {
			j.note(func(r *Report) { r.NoAccess += count })
			return nil
		}
		return j.reopen(ctx, at, slices.DeleteFunc(mails, func(h store.Handed) bool { return !inPeriod(h) }))
	}
	v, err := j.look(ctx, at, mails)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		j.failed(at, count, err)
		return nil
	}
	if list := v.confirmations(mails, &j.p.opts); len(list) > 0 && !j.want.Preview {
		if err := j.p.opts.Store.Confirm(ctx, j.p.opts.Lease(), list); err != nil {
			return fmt.Errorf("confirm: %w", err)
		}
	}
	var again []store.Handed
	var is, gone, unknown, unseen int64
	for i, fate := range v.fates(mails) {
		switch {
		case !inPeriod(mails[i]):
		case fate == there:
			is++
		case fate == removed && !j.want.Removed:
			gone++
		case fate == unclear:
			unseen++
		default:
			again = append(again, mails[i])
			if was := mails[i].Sighting; was.UID == 0 || was.Validity != v.inbox.Validity || was.UID < v.inbox.Next {
				unknown++
			}
		}
	}
	j.note(func(r *Report) { r.There += is; r.Removed += gone; r.Unknown += unknown })
	if unseen > 0 {
		j.failed(at, unseen, v.blurred)
	}
	return j.reopen(ctx, at, again)
}

// failed notes mails of a mailbox that could not be looked into.
func (j *replaying) failed(at Place, mails int64, err error) {
	j.note(func(r *Report) {
		r.Failed += mails
		if len(r.FailedMailboxes) < namedFailures {
			r.FailedMailboxes = append(r.FailedMailboxes, at.Owner.String()+": "+harmless(err.Error()))
		}
	})
}

// look looks into a mailbox, and again after a while when it cannot be opened.
func (j *replaying) look(ctx context.Context, at Place, mails []store.Handed) (v view, err error) {
	for range tries {
		if v, err = look(ctx, at, mails); err == nil || doppelboden.CodeOf(err) == doppelboden.Policy {
			return v, err
		}
		if !clock.Sleep(ctx, j.p.opts.Timer, j.p.opts.Pace.Every) {
			return v, errors.Join(err, ctx.Err())
		}
	}
	return v, err
}

// reopen opens deliveries again, in the order of their Seq.
func (j *replaying) reopen(ctx context.Context, at Place, mails []store.Handed) error {
	if len(mails) == 0 {
		return nil
	}
	if j.want.Preview {
		j.note(func(r *Report) { r.Replayed += int64(len(mails)) })
		return nil
	}
	for batch := range slices.Chunk(mails, reopenBatch) {
		list := make([]doppelboden.Settlement, len(batch))
		for i, h := range batch {
			list[i] = doppelboden.Settlement{Ref: h.Ref, Box: h.Box, State: doppelboden.Queued, Reply: "handed over again", By: store.ReplayBy + j.want.By, At: j.at}
		}
		if err := j.p.opts.Reopen(ctx, list); err != nil {
			return err
		}
		j.note(func(r *Report) { r.Replayed += int64(len(batch)); j.routes[at.Route] = true })
	}
	return nil
}
