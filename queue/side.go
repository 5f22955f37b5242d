package queue

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// A Filer puts mail straight into mailboxes, with the dates at which it came: what has
// waited for long must not look like new mail, and nobody's out-of-office reply may go to
// who wrote it weeks ago. Package mailbox has one.
type Filer interface {
	// File puts mails of one box into its mailbox in their order and stops at the first
	// that fails. It returns outcomes for the first so many of items; the others were not
	// tried. It may be called by several goroutines, for different boxes.
	File(ctx context.Context, lane string, items []store.Item) []doppelboden.Outcome
}

// A side is one of the ways by which a lane gets rid of mail. Each has a health and a
// throttle of its own: a log-in that is refused must not stop new mail. All of it is
// guarded by lane.mu.
type side struct {
	ready    *readyList
	throttle throttle
	health   health
	inFlight int // transactions
	settling int // transactions that ended and are being written
}

func newSide(atOnce int, now time.Time) side {
	return side{ready: newReadyList(), throttle: newThrottle(atOnce), health: health{since: now}}
}

// probe returns when a side that is down may be tried again; zero when it is well, is
// being tried, or has nothing to try with.
func (s *side) probe() time.Time {
	if s.health.down && s.inFlight == 0 && s.settling == 0 && s.ready.n > 0 {
		return s.health.probe
	}
	return time.Time{}
}

// sides returns both.
func (l *lane) sides() [2]*side { return [2]*side{&l.side, &l.filing} }

// files reports whether mail that came at a time is put straight into its mailbox.
func (l *lane) files(received, now time.Time) bool {
	return l.conf.FileAfter > 0 && l.q.opts.Filer != nil && now.Sub(received) >= l.conf.FileAfter
}

// sideOf returns the side by which a box's first mail goes now.
func (l *lane) sideOf(b *box, now time.Time) *side {
	if l.files(b.since, now) || len(b.items) > 0 && b.touched[refOf(b.items[0])] {
		return &l.filing
	}
	return &l.side
}

// sideFor returns the side of a job.
func (l *lane) sideFor(j *job) *side {
	if j.run {
		return &l.filing
	}
	return &l.side
}

// isFresh reports whether a box counts as new mail. Towards the next server its first mail
// decides. A box that is filed has an old one first; it is fresh when new mail waits
// behind it: then its backlog goes before that of others, so that the new mail is seen
// soon and in its place.
func (l *lane) isFresh(b *box, now time.Time) bool {
	if b.side == &l.filing && b.newest.After(b.since) {
		return now.Sub(b.newest) < freshFor
	}
	return now.Sub(b.since) < freshFor
}

// open reports whether one more transaction of a side may begin.
func (l *lane) open(s *side, now time.Time) bool {
	if s.health.down {
		return s.inFlight == 0 && s.settling == 0 && !now.Before(s.health.probe)
	}
	// A run lasts as long as a groupware takes for it: new mail must not wait for that.
	if s == &l.filing && s.inFlight >= max(1, l.conf.Connections-1) {
		return false
	}
	// What was answered but is not yet written would be handed over twice after a
	// crash, so there is a bound to it.
	return s.inFlight < s.throttle.now && l.side.inFlight+l.filing.inFlight < l.conf.Connections &&
		s.settling < 4*l.conf.Connections
}

// next returns the side that has the next turn, or nil when neither may begin or has
// anything to begin with. The priority decides; sides with the same take turns.
func (l *lane) next(now time.Time) *side {
	var hand, file int = -1, -1
	if l.open(&l.side, now) {
		hand = l.side.ready.top()
	}
	if l.open(&l.filing, now) {
		file = l.filing.ready.top()
	}
	switch {
	case hand < 0 && file < 0:
		return nil
	case file > hand, file == hand && l.turn:
		l.turn = false
		return &l.filing
	}
	l.turn = true
	return &l.side
}

const (
	// loadFiled is how many mailboxes one question to the store asks about for filing. It
	// is less than loadBoxes, so that a run is long and a log-in is worth its time.
	loadFiled = 8
	// mostInRun bounds the mails of a run: behind it the box has its turn like others.
	mostInRun = 200
	// mostInRunSize bounds their bodies, in bytes, so that a run is a matter of seconds.
	mostInRunSize = 16 << 20
)

// runOf makes a run of the first mails of a box.
func (l *lane) runOf(b *box, now time.Time) *job {
	j := &job{boxes: []*box{b}, run: true}
	b.flying, b.gated = b.flying[:0], false
	size := int64(0)
	for _, it := range b.items {
		size += it.Message.Body.Size
		full := len(j.items) == mostInRun || size > mostInRunSize
		if len(j.items) > 0 && (full || !l.files(it.Message.Received, now) && !b.touched[refOf(it)]) {
			break
		}
		j.items = append(j.items, it)
		b.flying = append(b.flying, refOf(it))
	}
	l.begun(j)
	return j
}

// begun counts a job that begins.
func (l *lane) begun(j *job) {
	l.sideFor(j).inFlight++
	l.flow.began(l.q.opts.Clock())
	l.metrics.inFlight.Set(float64(l.side.inFlight + l.filing.inFlight))
}

// ended counts a job whose transaction is over, and which is going to be written.
func (l *lane) ended(j *job) {
	s := l.sideFor(j)
	s.inFlight--
	s.settling++
	l.flow.ended(l.q.opts.Clock())
	l.metrics.inFlight.Set(float64(l.side.inFlight + l.filing.inFlight))
}

// tellUp writes the metrics of how the lane is.
func (l *lane) tellUp() {
	value := func(s *side) float64 {
		if s.health.down {
			return 0
		}
		return 1
	}
	l.metrics.up.Set(value(&l.side))
	l.metrics.filingUp.Set(value(&l.filing))
}
