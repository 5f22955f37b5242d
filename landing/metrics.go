package landing

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what a landing does.
type metrics struct {
	registry prometheus.Registerer
	messages prometheus.Counter
	rounds   prometheus.Counter
	seconds  prometheus.Histogram
	failures prometheus.Counter
	all      []prometheus.Collector
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		registry: r,
		messages: prometheus.NewCounter(prometheus.CounterOpts{Name: "doppelboden_landing_messages_total", Help: "Messages that are on the disk of the landing."}),
		rounds:   prometheus.NewCounter(prometheus.CounterOpts{Name: "doppelboden_landing_commits_total", Help: "Commits of the landing, each with one sync for all messages that came at the same moment."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "doppelboden_landing_commit_seconds", Help: "Time of one commit of the landing.",
			Buckets: prometheus.ExponentialBuckets(0.0002, 2, 14)}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "doppelboden_landing_failures_total", Help: "Commits of the landing that failed."}),
	}
	m.all = []prometheus.Collector{m.messages, m.rounds, m.seconds, m.failures}
	for _, c := range m.all {
		r.MustRegister(c)
	}
	return m
}

func (m *metrics) committed(messages int, took time.Duration) {
	m.messages.Add(float64(messages))
	m.rounds.Inc()
	m.seconds.Observe(took.Seconds())
}

func (m *metrics) unregister() {
	for _, c := range m.all {
		m.registry.Unregister(c)
	}
}
