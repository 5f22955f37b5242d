package directory

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts refreshes.
type metrics struct {
	refreshes *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	mailboxes *prometheus.GaugeVec
	read      *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	by := []string{"tenant", "directory"}
	m := &metrics{
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_directory_refreshes_total",
			Help: "Readings of a directory, by result: used, refused (it would take too much away), failed.",
		}, append(by, "result")),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "doppelboden_directory_refresh_seconds",
			Help:    "Time from the first question to a directory until its list was in use.",
			Buckets: prometheus.ExponentialBuckets(0.05, 3, 9),
		}, by),
		mailboxes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "doppelboden_directory_mailboxes",
			Help: "Mailboxes and lists that a directory listed when it was last used.",
		}, by),
		read: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "doppelboden_directory_used_timestamp_seconds",
			Help: "When a directory was last used in this run.",
		}, by),
	}
	r.MustRegister(m.refreshes, m.seconds, m.mailboxes, m.read)
	return m
}

// ended counts a refresh.
func (m *metrics) ended(p place, report Report, err error) {
	result := "used"
	switch {
	case errors.Is(err, ErrRefused):
		result = "refused"
	case err != nil:
		result = "failed"
	}
	m.refreshes.WithLabelValues(p.tenant, p.source, result).Inc()
	if err == nil {
		m.seconds.WithLabelValues(p.tenant, p.source).Observe(report.Took.Seconds())
		m.mailboxes.WithLabelValues(p.tenant, p.source).Set(float64(report.Listed))
		m.read.WithLabelValues(p.tenant, p.source).SetToCurrentTime()
	}
}
