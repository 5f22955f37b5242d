package mailauth

import "github.com/prometheus/client_golang/prometheus"

// metrics counts verdicts.
type metrics struct {
	results *prometheus.CounterVec
	seconds prometheus.Histogram
	skipped prometheus.Counter
	handled *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_mailauth_results_total",
			Help: "Verdicts about senders, as they stand in Authentication-Results.",
		}, []string{"method", "value"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "doppelboden_mailauth_seconds",
			Help:    "Time for all checks of one mail.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
		}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_mailauth_too_many_signatures_total",
			Help: "Mails with more DKIM signatures than are checked.",
		}),
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_mailauth_dmarc_handled_total",
			Help: "Mails that were held or refused because their domain's DMARC policy asks for it.",
		}, []string{"how"}),
	}
	r.MustRegister(m.results, m.seconds, m.skipped, m.handled)
	return m
}
