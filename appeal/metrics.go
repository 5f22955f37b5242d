package appeal

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what became of refused mail.
type metrics struct {
	trials   *prometheus.CounterVec
	returned prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		trials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_appeal_trials_total",
			Help: "Deliveries that the groupware had refused and that were tried again, by what came of it: begun, taken, refused.",
		}, []string{"outcome"}),
		returned: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_appeal_returned_total",
			Help: "Refused deliveries that went back to their senders, because their mailboxes are not listed any more.",
		}),
	}
	r.MustRegister(m.trials, m.returned)
	return m
}
