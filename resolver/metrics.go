package resolver

import "github.com/prometheus/client_golang/prometheus"

// metrics counts questions and answers.
type metrics struct {
	hits       prometheus.Counter
	answers    *prometheus.CounterVec
	seconds    prometheus.Histogram
	truncated  prometheus.Counter
	cacheBytes prometheus.Gauge
	dead       *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		hits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_resolver_cache_hits_total",
			Help: "Questions to the DNS that were answered from memory.",
		}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_resolver_answers_total",
			Help: "Questions to the name servers: found, not_found, failed (a server said so), silent.",
		}, []string{"answer"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "doppelboden_resolver_reply_seconds",
			Help:    "Time until a name server replied.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 3, 9),
		}),
		truncated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_resolver_truncated_total",
			Help: "Replies that were asked for again over TCP.",
		}),
		cacheBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "doppelboden_resolver_cache_bytes",
			Help: "Memory of the answers that are kept.",
		}),
		dead: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "doppelboden_resolver_server_dead",
			Help: "1 while a name server does not answer at all.",
		}, []string{"server"}),
	}
	r.MustRegister(m.hits, m.answers, m.seconds, m.truncated, m.cacheBytes, m.dead)
	return m
}
