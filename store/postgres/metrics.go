package postgres

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the store counts. Without a registry they are counted for nobody.
type metrics struct {
	registry      prometheus.Registerer
	all           []prometheus.Collector
	batchOps      prometheus.Histogram
	commitSeconds prometheus.Histogram
	syncSeconds   prometheus.Histogram
	singly        prometheus.Counter
	meetings      prometheus.Counter
	failures      prometheus.Counter
	connections   prometheus.Counter
}

// newMetrics makes and registers them. Names that SQLite's store has too mean the same.
func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{registry: r}
	seconds := prometheus.ExponentialBuckets(0.0005, 2, 14) // 0.5 ms to 4 s
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "doppelboden", Subsystem: "store", Name: name, Help: help, Buckets: buckets})
		m.all = append(m.all, h)
		return h
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "doppelboden", Subsystem: "store", Name: name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	m.batchOps = histogram("batch_operations", "Operations that shared one commit.", prometheus.ExponentialBuckets(1, 2, 9))
	m.commitSeconds = histogram("commit_seconds", "Time from the begin of a transaction to its clean commit.", seconds)
	m.syncSeconds = histogram("sync_seconds", "Time to sync segments and tallies before a commit.", seconds)
	m.singly = counter("batches_retried_singly_total", "Batches that failed and whose operations were committed one by one.")
	m.meetings = counter("batches_met_total", "Batches that were written again because another node had changed the same.")
	m.failures = counter("write_failures_total", "Batches that the storage did not take.")
	m.connections = counter("connections_total", "Connections to the database that were opened.")
	if r != nil {
		r.MustRegister(m.all...)
	}
	return m
}

// committed counts a clean commit.
func (m *metrics) committed(operations int, took time.Duration) {
	m.batchOps.Observe(float64(operations))
	m.commitSeconds.Observe(took.Seconds())
}

// unregister gives the names back, so that a store can be opened again.
func (m *metrics) unregister() {
	if m.registry == nil {
		return
	}
	for _, c := range m.all {
		m.registry.Unregister(c)
	}
}
