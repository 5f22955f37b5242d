package mailbox

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

const (
	// pageMails is how many hand-overs are looked at together, so that several mails of a
	// mailbox need one look.
	pageMails = 2000
	// boxMails is how many of the last mails of a mailbox tell how old it is.
	boxMails = 300
	// mostAgain bounds what is looked for a second time.
	mostAgain = 2000
	// tries is how often a mailbox that cannot be opened is tried before it is passed over.
	tries = 3
	// mostPassed is how many are passed over one after the other before it is the groupware
	// that cannot be looked into.
	mostPassed = 3
)

// A reading is one route that is read back.
type reading struct {
	r      *Reader
	key    string
	tenant doppelboden.TenantID

	mu      sync.Mutex
	record  record
	anew    int                 // how often the record was begun anew
	told    doppelboden.Telling // what the alarm says
	toldAt  time.Time
	until   time.Time
	skipped bool
	busy    bool
	trouble string
	since   time.Time

	// Of the loop alone.
	at    time.Time // what was handed over before was looked at,
	seq   int64     // and at this time up to this Seq
	watch time.Time // until then everything is looked for
	again []later

	passed int // mailboxes in a row that could not be opened
}

// A later is a mail that was not there, to be looked for once more.
type later struct {
	mail    store.Handed
	due     time.Time
	counted bool // it counts as missing
	anew    int  // in the record that was begun so often anew
}

// run reads back until ctx ends.
func (t *reading) run(ctx context.Context) {
	p := t.r.opts.Pace
	t.at = t.r.opts.Clock().Add(-p.Lag)
	if t.full() { // an earlier run may have left more
		t.at = t.r.opts.Clock().Add(-p.Back)
	}
	for {
		more, err := t.step(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := p.Every
		if err != nil {
			t.failed(err)
			wait = max(wait, 6*p.Every)
		}
		if !more || err != nil {
			if !clock.Sleep(ctx, t.r.opts.Timer, wait) {
				return
			}
		}
	}
}

// step looks at the next page, and reports whether there was one.
func (t *reading) step(ctx context.Context) (more bool, err error) {
	p, now := t.r.opts.Pace, t.r.opts.Clock()
	if err := t.lookAgain(ctx, now); err != nil {
		return false, err
	}
	var page []store.Handed
	err = t.r.opts.Store.Handed(ctx, store.HandedFilter{From: t.at, AfterSeq: t.seq, To: now.Add(-p.Fair), Tenant: t.tenant, Limit: pageMails},
		func(h store.Handed) error { page = append(page, h); return nil })
	if err != nil {
		return false, fmt.Errorf("read what was handed over: %w", err)
	}
	full := t.full()
	for _, group := range t.mine(page, full) {
		if err := t.visit(ctx, group, false, t.beginnings()); err != nil {
			return false, err
		}
		if lag := t.r.opts.Clock().Sub(group.mails[0].At); !full && lag > p.Lag {
			t.skip(t.r.opts.Clock().Add(-p.Fair))
			return true, nil
		}
	}
	if n := len(page); n > 0 {
		t.at, t.seq = page[n-1].At, page[n-1].Seq
	}
	t.reached(page)
	return len(page) == pageMails, nil
}

// skip passes over what a share cannot look at in time.
func (t *reading) skip(to time.Time) {
	t.at, t.seq = to, 0
	t.mu.Lock()
	t.skipped = true
	t.mu.Unlock()
}

// reached notes how far the reading is.
func (t *reading) reached(page []store.Handed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = t.at
	if len(page) < pageMails {
		t.until = t.r.opts.Clock().Add(-t.r.opts.Pace.Fair)
	}
	if len(page) == 0 {
		t.trouble, t.since = "", time.Time{}
	}
}

// failed notes why mailboxes cannot be looked into.
func (t *reading) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.trouble == "" {
		t.since = t.r.opts.Clock()
		t.r.opts.Log.Warn("mailboxes cannot be looked into", "route", t.key, "err", err)
	}
	t.trouble = harmless(err.Error())
}

// A group is what one look into a mailbox is about.
type group struct {
	box   doppelboden.BoxID
	place Place
	mails []store.Handed
}

// full reports whether everything of the route is to be looked for.
func (t *reading) full() bool { return t.r.opts.Routes()[t.key].Full }

// place returns where a box's mailbox lies, if it is one of this route's.
func (t *reading) place(b doppelboden.BoxID) (Place, bool) {
	at, ok := t.r.opts.Place(b)
	return at, ok && at.Route == t.key && at.Backend != nil
}

// mine returns what of a page is to be looked for, by mailbox.
func (t *reading) mine(page []store.Handed, full bool) (groups []*group) {
	byBox := map[doppelboden.BoxID]*group{}
	for _, h := range page {
		g, known := byBox[h.Box]
		if !known {
			if at, ok := t.place(h.Box); ok {
				g = &group{box: h.Box, place: at}
			}
			byBox[h.Box] = g
		}
		if g == nil || h.State != doppelboden.Delivered || !t.wanted(h, full) {
			continue
		}
		if len(g.mails) == 0 {
			groups = append(groups, g)
		}
		g.mails = append(g.mails, h)
	}
	return groups
}

// wanted reports whether a mail is to be looked for: all of them, or after an outage, or
// those of a share of mailboxes.
func (t *reading) wanted(h store.Handed, full bool) bool {
	p := t.r.opts.Pace
	if h.At.Sub(h.Received) > p.Late {
		t.watch = h.At.Add(p.Watch)
		return true
	}
	return full || h.At.Before(t.watch) || t.r.share(h.Box, h.At)
}

// lookAgain looks for what was not there some time ago.
func (t *reading) lookAgain(ctx context.Context, now time.Time) error {
	type which struct {
		box     doppelboden.BoxID
		counted bool
	}
	byBox := map[which]*group{}
	n, anew := 0, t.beginnings()
	for ; n < len(t.again) && !t.again[n].due.After(now); n++ {
		h := t.again[n].mail
		key := which{h.Box, t.again[n].counted && t.again[n].anew == anew}
		g := byBox[key]
		if g == nil {
			at, ok := t.place(h.Box)
			if !ok {
				continue
			}
			g = &group{box: h.Box, place: at}
			byBox[key] = g
		}
		g.mails = append(g.mails, h)
	}
	t.again = append([]later(nil), t.again[n:]...)
	for key, g := range byBox {
		if err := t.visit(ctx, g, key.counted, anew); err != nil {
			return err
		}
	}
	return nil
}

// visit looks into one mailbox and rests. A mailbox that cannot be opened is passed over
// after some tries; when none can, that is an error. What it finds is for the record that was
// begun anew so often.
func (t *reading) visit(ctx context.Context, g *group, second bool, anew int) error {
	o := &t.r.opts
	busy := o.Busy(t.key)
	t.mu.Lock()
	t.busy = busy
	t.mu.Unlock()
	start := time.Now()
	var err error
	for range tries {
		if err = t.judge(ctx, g, second, anew); err == nil || ctx.Err() != nil || doppelboden.CodeOf(err) == doppelboden.Policy {
			break
		}
		if !clock.Sleep(ctx, o.Timer, o.Pace.Every) {
			return ctx.Err()
		}
	}
	switch {
	case err == nil:
		t.passed = 0
	case ctx.Err() != nil || doppelboden.CodeOf(err) == doppelboden.Policy || t.passed >= mostPassed:
		return err
	default: // the next one may be well
		t.passed++
		o.Log.Warn("a mailbox cannot be looked into", "route", t.key, "err", err)
		t.later(g.mails, false, anew)
	}
	took := time.Since(start)
	rest := took * time.Duration(o.Pace.Rest)
	switch {
	case busy:
		rest = max(rest, o.Pace.Trickle)
	case took > o.Pace.Slow:
		rest *= 4
	case o.Clock().Before(t.watch):
		rest = took
	}
	if !clock.Sleep(ctx, o.Timer, rest) {
		return ctx.Err()
	}
	return nil
}

// judge looks into one mailbox, confirms what is there and notes what is not.
func (t *reading) judge(ctx context.Context, g *group, second bool, anew int) error {
	o := &t.r.opts
	now := o.Clock()
	known, err := t.known(ctx, g, now)
	if err != nil {
		return err
	}
	v, err := look(ctx, g.place, g.mails)
	if err != nil {
		return err
	}
	mails := g.mails
	back := v.wentBack(known)
	if back && !v.gone { // all that was seen there before is in question
		mails = known
		if v, err = look(ctx, g.place, mails); err != nil {
			return err
		}
	}
	if list := v.confirmations(mails, o); len(list) > 0 {
		if err := o.Store.Confirm(ctx, o.Lease(), list); err != nil {
			return fmt.Errorf("confirm: %w", err)
		}
	}
	fates := v.fates(mails)
	opened, err := t.opened(ctx, g.box, mails, fates)
	if err != nil {
		return err
	}
	f := finding{at: now, looked: len(mails), moved: v.moved, back: back}
	for i, fate := range fates {
		switch {
		case fate == missing && opened[mails[i].Ref], fate == unclear:
			f.looked--
		case fate == missing:
			f.note(mails[i].At)
			if !second {
				t.later(mails[i:i+1], true, anew)
			}
		}
	}
	if v.blurred != nil {
		o.Log.Warn("not all folders of a mailbox can be looked into", "route", t.key, "err", v.blurred)
	}
	if second { // it counted as missing, and was looked for, once already
		f.not, f.looked = f.not-len(g.mails), max(0, f.looked-len(g.mails))
	}
	t.found(f, anew)
	return nil
}

// opened returns which of the mails that are missing were opened again, and maybe handed over
// again, since they were listed: a replay does that, also while somebody looks for them. That
// they are not there says nothing of the groupware.
func (t *reading) opened(ctx context.Context, box doppelboden.BoxID, mails []store.Handed, fates []fate) (map[doppelboden.Ref]bool, error) {
	opened, listed := map[doppelboden.Ref]bool{}, map[doppelboden.Ref]time.Time{}
	f := store.HandedFilter{Box: box, AfterSeq: math.MaxInt64}
	for i, h := range mails {
		if fates[i] != missing {
			continue
		}
		opened[h.Ref], listed[h.Ref] = true, h.At
		f.AfterSeq = min(f.AfterSeq, h.Seq-1)
		if end := h.At.Add(time.Microsecond); end.After(f.To) {
			f.To = end
		}
	}
	if len(listed) == 0 {
		return nil, nil
	}
	err := t.r.opts.Store.Handed(ctx, f, func(h store.Handed) error {
		if at, is := listed[h.Ref]; is && at.Equal(h.At) {
			delete(opened, h.Ref)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what was opened again: %w", err)
	}
	return opened, nil
}

// later has mails looked for once more; counted says that they count as missing in the record
// that was begun anew so often.
func (t *reading) later(mails []store.Handed, counted bool, anew int) {
	due := t.r.opts.Clock().Add(t.r.opts.Pace.Again)
	for _, h := range mails[:min(len(mails), mostAgain-min(len(t.again), mostAgain))] {
		t.again = append(t.again, later{h, due, counted, anew})
	}
}

// beginnings returns how often the record was begun anew.
func (t *reading) beginnings() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.anew
}

// note counts a missing mail.
func (f *finding) note(at time.Time) {
	f.not++
	if f.first.IsZero() || at.Before(f.first) {
		f.first = at
	}
	if at.After(f.last) {
		f.last = at
	}
}

// known returns the last mails of a mailbox, with what was seen of them.
func (t *reading) known(ctx context.Context, g *group, now time.Time) ([]store.Handed, error) {
	var last []store.Handed
	err := t.r.opts.Store.Handed(ctx, store.HandedFilter{Box: g.box, From: now.Add(-t.r.opts.Pace.Back), To: now.Add(-t.r.opts.Pace.Fair)}, func(h store.Handed) error {
		if last = append(last, h); len(last) >= 2*boxMails {
			last = append([]store.Handed(nil), last[boxMails:]...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is known of a mailbox: %w", err)
	}
	return last[max(0, len(last)-boxMails):], nil
}

// found adds a finding to the record that was begun anew so often; when another one was begun
// since, what was found belongs to the one that is forgotten.
func (t *reading) found(f finding, anew int) {
	t.mu.Lock()
	if t.anew != anew {
		t.mu.Unlock()
		return
	}
	was := t.record.alarm
	t.record.add(f)
	is, e := t.record.alarm, t.record.sum(f.at)
	t.trouble, t.since = "", time.Time{}
	t.mu.Unlock()
	c := t.r.mails
	c.WithLabelValues(t.key, "there").Add(float64(max(0, f.looked-f.not-f.moved)))
	c.WithLabelValues(t.key, "moved").Add(float64(f.moved))
	c.WithLabelValues(t.key, "missing").Add(float64(max(0, f.not)))
	if is && !was {
		t.r.opts.Log.Error("the groupware does not have what it took", "route", t.key, "looked", e.Looked, "missing", e.Missing, "back", e.Back)
	}
}

// status returns how the reading goes.
func (t *reading) status() RouteStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	return RouteStatus{Route: t.key, Reads: true, Evidence: t.record.sum(t.r.opts.Clock()), Until: t.until, Skipped: t.skipped, Busy: t.busy,
		Trouble: t.trouble, Since: t.since}
}

// wrong returns what the route's alarm says, or nothing.
func (t *reading) wrong() doppelboden.Telling {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.r.opts.Clock()
	e := t.record.sum(now)
	switch {
	case e.Alarm:
		if len(t.told) == 0 || now.Sub(t.toldAt) >= toldFor {
			t.told, t.toldAt = e.Tell(t.key, now), now
		}
		return t.told
	case t.trouble != "" && now.Sub(t.since) >= blindFor:
		return doppelboden.Tell("The mailboxes of route %s cannot be looked into since %s, so nobody knows whether the groupware has what it took: %s. Mail goes on. Look at [tenant.route.imap] in city.toml and at the master user of the groupware.",
			t.key, t.since, t.trouble)
	}
	t.told = nil
	return nil
}
