package handback

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	deeds   prometheus.Counter
	waiting prometheus.Gauge
	letters *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		deeds: prometheus.NewCounter(prometheus.CounterOpts{Name: "doppelboden_handback_changes_total",
			Help: "What people did in mailboxes here that is on its way back no more."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "doppelboden_handback_waiting",
			Help: "What people did in mailboxes here that the groupware does not know yet."}),
		letters: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "doppelboden_handback_letters_total",
			Help: "Letters to owners of mailboxes: those that bring what they wrote, and those that say what became of all."}, []string{"kind"}),
	}
	r.MustRegister(m.deeds, m.waiting, m.letters)
	return m
}

// A rate counts what went back in the last minutes.
type rate struct {
	from  time.Time // when the counting began
	count float64
}

// rateSpan is over which time a rate is measured.
const rateSpan = 2 * time.Minute

// add counts n. What is older than the span weighs less and less.
func (f *rate) add(now time.Time, n int) {
	switch age := now.Sub(f.from); {
	case age > 2*rateSpan:
		*f = rate{from: now}
	case age > rateSpan:
		f.count *= float64(rateSpan) / float64(age)
		f.from = now.Add(-rateSpan)
	}
	f.count += float64(n)
}

// left is how long so many take; 0: nobody knows.
func (f *rate) left(now time.Time, n int64) time.Duration {
	age := now.Sub(f.from)
	if f.count == 0 || age < time.Second || age > 2*rateSpan {
		return 0
	}
	return time.Duration(float64(n) / f.count * float64(age))
}

// flowed counts what went back.
func (r *Room) flowed(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rate.add(r.opts.Clock(), n)
}
