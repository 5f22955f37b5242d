package queue

import (
	"time"

	"doppelboden"
)

// A Flow says how fast a lane gets rid of what waits, and when that will be done if all
// stays as it was over the last minutes.
type Flow struct {
	PerSecond float64 `json:"per_second"`     // deliveries that were taken, on average
	Arriving  float64 `json:"arriving"`       // deliveries that came in each second meanwhile
	Done      []Class `json:"done,omitempty"` // by priority, those that go first first
}

// A Class is what waits with one priority.
type Class struct {
	Priority int       `json:"priority"` // 0 to 9
	Waiting  int64     `json:"waiting"`  // deliveries; an estimate
	At       time.Time `json:"at,omitzero"`
}

const (
	// flowSlots of flowSlot each are looked back at: long enough that one large mail does
	// not change the estimate, short enough to follow a groupware that becomes slower.
	flowSlots = 18
	flowSlot  = 10 * time.Second
	// flowWork is over how many slots it is counted how many transactions there are at once:
	// less, for that changes when the throttle opens.
	flowWork = 3
	// flowLeast is how long a lane must have worked before it tells an estimate: in the first
	// seconds the throttle is not open yet.
	flowLeast = 30 * time.Second
	// flowKeep is what is kept of the knowledge about costs with every further job.
	flowKeep = 0.995
)

// A flow measures a lane; all of it is guarded by lane.mu.
type flow struct {
	from  time.Time // since when the lane has been working without a pause
	last  time.Time // when something was taken, or was first tried after a pause
	upTo  time.Time // until when work is counted
	busy  int       // transactions in flight since then
	slots [flowSlots]flowSlotCount
	hand  cost // of transactions with the next server, by deliveries
	file  cost // of runs into a mailbox, by mails
}

// A flowSlotCount is what happened in one slot.
type flowSlotCount struct {
	at    int64 // the slot's number since 1970
	took  int64
	work  float64   // seconds of transactions: two at once for a second are two
	comes [10]int64 // deliveries that came, by priority
}

// slot returns the slot of a time, empty if it is a new one.
func (f *flow) slot(now time.Time) *flowSlotCount {
	n := now.UnixNano() / int64(flowSlot)
	s := &f.slots[n%flowSlots]
	if s.at != n {
		*s = flowSlotCount{at: n}
	}
	return s
}

// came counts a delivery that came in.
func (f *flow) came(now time.Time, priority int) { f.slot(now).comes[min(max(priority, 0), 9)]++ }

// work counts the work until now, and that by so many more, or less, is done from now on.
func (f *flow) work(now time.Time, change int) {
	if f.upTo.IsZero() || now.Sub(f.upTo) > flowSlots*flowSlot || now.Before(f.upTo) {
		f.upTo = now
	}
	for f.upTo.Before(now) {
		s := f.slot(f.upTo)
		end := time.Unix(0, (s.at+1)*int64(flowSlot))
		if end.After(now) {
			end = now
		}
		s.work += float64(f.busy) * end.Sub(f.upTo).Seconds()
		f.upTo = end
	}
	f.busy += change
}

// began notes that a transaction begins. What was measured before a pause says nothing of
// how it goes now.
func (f *flow) began(now time.Time) {
	if now.Sub(f.last) > flowPause {
		f.from, f.last = now, now
		f.slots = [flowSlots]flowSlotCount{}
	}
	f.work(now, 1)
}

// ended notes that a transaction has ended.
func (f *flow) ended(now time.Time) { f.work(now, -1) }

// took counts what a transaction brought.
func (f *flow) took(now time.Time, j *job, took int, d time.Duration) {
	f.last = now
	c := &f.hand
	if j.run {
		c = &f.file
	}
	c.note(float64(took), d.Seconds())
	f.slot(now).took += int64(took)
}

// flowPause is how long nothing may be taken before a lane counts as at rest.
const flowPause = time.Minute

// A cost is what a transaction costs in seconds, as a part for itself and a part for each
// mail: a line through what was measured (least squares), the latest counting most.
type cost struct{ n, x, y, xx, xy float64 }

// note adds a transaction with so many mails.
func (c *cost) note(mails, seconds float64) {
	for _, v := range []*float64{&c.n, &c.x, &c.y, &c.xx, &c.xy} {
		*v *= flowKeep
	}
	c.n++
	c.x += mails
	c.y += seconds
	c.xx += mails * mails
	c.xy += mails * seconds
}

// of returns what so many transactions with so many mails in all cost.
func (c *cost) of(transactions, mails float64) float64 {
	if c.x == 0 {
		return 0
	}
	each, perMail := 0.0, c.y/c.x
	if det := c.n*c.xx - c.x*c.x; det > 0.01*c.n*c.xx { // else all had about as many mails
		if slope := (c.n*c.xy - c.x*c.y) / det; slope > 0 && slope < perMail {
			perMail, each = slope, (c.y-slope*c.x)/c.n
		}
	}
	return transactions*each + mails*perMail
}

// flowed measures the lane and says when what waits will be done; nil while that cannot be
// known. The caller holds l.mu.
func (l *lane) flowed(now time.Time) *Flow {
	f := &l.flow
	if l.queued == 0 || f.from.IsZero() || now.Sub(f.from) < flowLeast || now.Sub(f.last) > flowPause {
		return nil
	}
	f.work(now, 0)
	this := now.UnixNano() / int64(flowSlot)
	inSlot := time.Duration(now.UnixNano() % int64(flowSlot))
	span := min(now.Sub(f.from), (flowSlots-1)*flowSlot+inSlot).Seconds()
	late := min(now.Sub(f.from), (flowWork-1)*flowSlot+inSlot).Seconds()
	var comes [10]float64
	var out Flow
	work := 0.0
	for _, s := range f.slots {
		if s.at <= this-flowSlots {
			continue
		}
		out.PerSecond += float64(s.took) / span
		if s.at > this-flowWork {
			work += s.work / late
		}
		for p, n := range s.comes {
			comes[p] += float64(n) / span
			out.Arriving += float64(n) / span
		}
	}
	if out.PerSecond == 0 {
		return nil
	}
	waiting, needs := l.needs(now)
	each := l.flow.hand.of(1, 1) // what a mail that comes now will cost
	need, more := 0.0, 0.0
	for p := 9; p >= 0; p-- {
		need += needs[p]
		more += comes[p] * each
		if waiting[p] == 0 {
			continue
		}
		c := Class{Priority: p, Waiting: waiting[p]}
		if left := work - more; left > 0 {
			if s := need / left; s < (10 * 365 * 24 * time.Hour).Seconds() {
				c.At = now.Add(time.Duration(s * float64(time.Second)))
			}
		}
		out.Done = append(out.Done, c)
	}
	return &out
}

// needs returns what waits and the seconds of transactions that it needs, by priority.
func (l *lane) needs(now time.Time) (waiting [10]int64, seconds [10]float64) {
	for _, b := range l.boxes {
		p := min(max(b.priority, 0), 9)
		waiting[p] += b.queued
		if l.sideOf(b, now) == &l.filing {
			runs := (b.queued + mostInRun - 1) / mostInRun
			seconds[p] += l.flow.file.of(float64(runs), float64(b.queued))
		} else {
			seconds[p] += l.flow.hand.of(float64(b.queued), float64(b.queued))
		}
	}
	return waiting, seconds
}

// tookOf counts what was taken.
func tookOf(outcomes []doppelboden.Outcome) (n int) {
	for _, o := range outcomes {
		if o.Verdict == doppelboden.Took {
			n++
		}
	}
	return n
}
