package event

import (
	"doppelboden/store"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what is open.
type metrics struct {
	open      *prometheus.GaugeVec
	concerned prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "doppelboden_event_open",
			Help: "Open events, by kind; outages of single mailboxes are minor.",
		}, []string{"kind"}),
		concerned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "doppelboden_event_mailboxes",
			Help: "Mailboxes that are in an open event.",
		}),
	}
	r.MustRegister(m.open, m.concerned)
	return m
}

func (m *metrics) set(from *machine) {
	count := map[string]int{string(store.Outage): 0, string(store.Maintenance): 0, string(store.Attack): 0, "minor": 0}
	concerned := 0
	for _, e := range from.episodes {
		if !e.active() {
			continue
		}
		kind := string(e.Kind)
		if e.Minor {
			kind = "minor"
		}
		count[kind]++
		concerned += len(e.members)
	}
	for kind, n := range count {
		m.open.WithLabelValues(kind).Set(float64(n))
	}
	m.concerned.Set(float64(concerned))
}
