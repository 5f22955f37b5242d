package scan

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what is scanned.
type metrics struct {
	results  *prometheus.CounterVec
	again    *prometheus.CounterVec
	refused  *prometheus.CounterVec
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	up       *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_scan_results_total",
			Help: "Mails shown to scanners, by what came of it.",
		}, []string{"result"}),
		again: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_scan_again_total",
			Help: "Mails shown to scanners once more after they were kept, by what came of it.",
		}, []string{"result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_scan_refused_total",
			Help: "Mails refused at the door, by reason: malware, spam.",
		}, []string{"reason"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_scan_requests_total",
			Help: "Questions to a scanner, by outcome: answered, failed, skipped while it does not work, too_large.",
		}, []string{"scanner", "address", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "doppelboden_scan_seconds",
			Help:    "Time until a scanner answered or was given up.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9),
		}, []string{"scanner", "address"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "doppelboden_scan_up",
			Help: "1 while the scanner works, else 0.",
		}, []string{"scanner", "address"}),
	}
	r.MustRegister(m.results, m.again, m.refused, m.requests, m.seconds, m.up)
	return m
}

// scannerMetrics are those of one scanner, looked up once.
type scannerMetrics struct {
	answered, failed, skipped, tooLarge prometheus.Counter
	seconds                             prometheus.Observer
	up                                  prometheus.Gauge
}

func (m *metrics) scanner(kind, addr string) scannerMetrics {
	of := func(outcome string) prometheus.Counter { return m.requests.WithLabelValues(kind, addr, outcome) }
	s := scannerMetrics{answered: of("answered"), failed: of("failed"), skipped: of("skipped"), tooLarge: of("too_large"),
		seconds: m.seconds.WithLabelValues(kind, addr), up: m.up.WithLabelValues(kind, addr)}
	s.up.Set(1)
	return s
}

// forget removes what was counted for a scanner that is asked no more.
func (m *metrics) forget(kind, addr string) {
	labels := prometheus.Labels{"scanner": kind, "address": addr}
	m.requests.DeletePartialMatch(labels)
	m.seconds.DeletePartialMatch(labels)
	m.up.DeletePartialMatch(labels)
}
