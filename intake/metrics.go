package intake

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what comes in.
type metrics struct {
	kept       prometheus.Counter
	bytes      prometheus.Counter
	seconds    prometheus.Histogram
	refused    *prometheus.CounterVec
	recipients *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, b *budget) *metrics {
	m := &metrics{
		kept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_intake_messages_total",
			Help: "Messages kept.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_intake_body_bytes_total",
			Help: "Bytes of the bodies kept.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "doppelboden_intake_commit_seconds",
			Help:    "Time from the end of a body until the message was durable.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 12),
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_intake_put_off_total",
			Help: "Messages that were not kept, by reason.",
		}, []string{"reason"}),
		recipients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_intake_recipients_total",
			Help: "Recipients asked for, by answer.",
		}, []string{"answer"}),
	}
	inUse := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "doppelboden_intake_body_memory_bytes",
		Help: "Bytes of memory that bodies under way use.",
	}, func() float64 { return float64(b.used.Load()) })
	r.MustRegister(m.kept, m.bytes, m.seconds, m.refused, m.recipients, inUse)
	return m
}
