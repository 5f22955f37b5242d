package queue

import (
	"doppelboden"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the lanes do. The label lane names a route of the configuration.
type metrics struct {
	outcomes  *prometheus.CounterVec
	inFlight  *prometheus.GaugeVec
	waiting   *prometheus.GaugeVec
	up        *prometheus.GaugeVec
	filingUp  *prometheus.GaugeVec
	handSecs  *prometheus.HistogramVec
	settleErr prometheus.Counter
	domains   *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_queue_outcomes_total",
			Help: "Deliveries tried, by lane, verdict and scope.",
		}, []string{"lane", "verdict", "scope"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "doppelboden_queue_transactions_in_flight",
			Help: "Transactions with the next server that are under way.",
		}, []string{"lane"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "doppelboden_queue_waiting_deliveries",
			Help: "Deliveries that wait for their turn.",
		}, []string{"lane"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "doppelboden_queue_lane_up",
			Help: "1 while the lane's next server answers, else 0.",
		}, []string{"lane"}),
		filingUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "doppelboden_queue_lane_filing_up",
			Help: "1 while mail that is old can be put into the lane's mailboxes, else 0.",
		}, []string{"lane"}),
		handSecs: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "doppelboden_queue_transaction_seconds",
			Help:    "Time that one transaction with the next server took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"lane"}),
		domains: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "doppelboden_queue_domains",
			Help: "Domains of the Internet for which mail waits, by lane and how they are: well, silent, or refusing us for who we are.",
		}, []string{"lane", "state"}),
		settleErr: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_queue_settle_errors_total",
			Help: "Settlements that the store did not take at the first try.",
		}),
	}
	r.MustRegister(m.outcomes, m.inFlight, m.waiting, m.up, m.filingUp, m.handSecs, m.settleErr, m.domains)
	return m
}

// laneMetrics are the metrics of one lane, looked up once.
type laneMetrics struct {
	outcomes          [4][3]prometheus.Counter // by verdict and scope
	inFlight, waiting prometheus.Gauge
	up, filingUp      prometheus.Gauge
	handSecs          prometheus.Observer
}

// lane returns the metrics of the named lane.
func (m *metrics) lane(name string) laneMetrics {
	l := laneMetrics{
		inFlight: m.inFlight.WithLabelValues(name),
		waiting:  m.waiting.WithLabelValues(name),
		up:       m.up.WithLabelValues(name),
		filingUp: m.filingUp.WithLabelValues(name),
		handSecs: m.handSecs.WithLabelValues(name),
	}
	for v := range l.outcomes {
		for s := range l.outcomes[v] {
			l.outcomes[v][s] = m.outcomes.WithLabelValues(name, doppelboden.Verdict(v).String(), doppelboden.Scope(s).String())
		}
	}
	return l
}

// outletMetrics count an outlet's domains.
type outletMetrics struct{ well, silent, refusing prometheus.Gauge }

// outlet returns the metrics of the named outlet.
func (m *metrics) outlet(name string) outletMetrics {
	return outletMetrics{
		well:     m.domains.WithLabelValues(name, "well"),
		silent:   m.domains.WithLabelValues(name, "silent"),
		refusing: m.domains.WithLabelValues(name, "refusing"),
	}
}
