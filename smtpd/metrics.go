package smtpd

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
)

// metrics are what the door counts. No label holds anything a peer said.
type metrics struct {
	open        prometheus.Gauge
	connections *prometheus.CounterVec
	served      prometheus.Counter
	tooMany     prometheus.Counter
	tooManyOf   prometheus.Counter
	early       prometheus.Counter
	mails       *prometheus.CounterVec
	kept        prometheus.Counter
	unacked     prometheus.Counter
	mailsAsked  *prometheus.CounterVec
	rcpts       *prometheus.CounterVec
	rcptTaken   prometheus.Counter
	octets      prometheus.Counter
	bodyOctets  prometheus.Counter
	seconds     prometheus.Histogram
	tlsDone     prometheus.Counter
	tlsFailed   prometheus.Counter
	logins      *prometheus.CounterVec
}

// newMetrics makes the metrics and registers them when there is a registry.
func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "doppelboden", Subsystem: "smtpd", Name: name, Help: help}
	}
	m := &metrics{
		open: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "doppelboden", Subsystem: "smtpd",
			Name: "connections_open", Help: "Connections that are open now."}),
		connections: prometheus.NewCounterVec(counter("connections_total",
			"Connections, by what became of them: served, too_many, too_many_of_address, early_talker."), []string{"verdict"}),
		mails: prometheus.NewCounterVec(counter("transactions_total",
			"Mail transactions that ended, by verdict: kept, reset, gone, slow or why they were refused."), []string{"verdict"}),
		unacked: prometheus.NewCounter(counter("unacknowledged_total",
			"Mails that were kept and whose 250 could not be written.")),
		mailsAsked: prometheus.NewCounterVec(counter("mail_refused_total",
			"MAIL commands that were refused, by reason."), []string{"reason"}),
		rcpts: prometheus.NewCounterVec(counter("recipients_total",
			"RCPT commands, by verdict: taken, or why they were refused."), []string{"verdict"}),
		octets: prometheus.NewCounter(counter("received_bytes_total",
			"Octets that were read while bodies came in.")),
		bodyOctets: prometheus.NewCounter(counter("kept_bytes_total",
			"Octets of bodies that were kept.")),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "doppelboden", Subsystem: "smtpd",
			Name: "answer_seconds", Help: "Time from the end of a body that is kept to its 250.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}),
	}
	m.logins = prometheus.NewCounterVec(counter("logins_total",
		"Log-ins with a password, by result: done, failed."), []string{"result"})
	tls := prometheus.NewCounterVec(counter("tls_handshakes_total",
		"TLS handshakes, by result: done, failed."), []string{"result"})
	m.served = m.connections.WithLabelValues("served")
	m.tooMany = m.connections.WithLabelValues("too_many")
	m.tooManyOf = m.connections.WithLabelValues("too_many_of_address")
	m.early = m.connections.WithLabelValues("early_talker")
	m.kept = m.mails.WithLabelValues(verdictKept)
	m.rcptTaken = m.rcpts.WithLabelValues("taken")
	m.tlsDone, m.tlsFailed = tls.WithLabelValues("done"), tls.WithLabelValues("failed")
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.open, m.connections, m.mails, m.unacked,
		m.mailsAsked, m.rcpts, m.octets, m.bodyOctets, m.seconds, tls, m.logins} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of smtpd: %w", err)
		}
	}
	return m, nil
}

// ended counts a transaction.
func (m *metrics) ended(verdict string) {
	if verdict == verdictKept {
		m.kept.Inc()
		return
	}
	m.mails.WithLabelValues(verdict).Inc()
}

// answered counts a mail that was kept.
func (m *metrics) answered(took time.Duration, size int64, written bool) {
	m.seconds.Observe(took.Seconds())
	m.bodyOctets.Add(float64(size))
	if !written {
		m.unacked.Inc()
	}
}

func (m *metrics) mailRefused(c doppelboden.Code) { m.mailsAsked.WithLabelValues(c.String()).Inc() }
func (m *metrics) rcptRefused(c doppelboden.Code) { m.rcpts.WithLabelValues(c.String()).Inc() }
