package harvest

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what is harvested.
type metrics struct {
	marked  prometheus.Counter
	doubles prometheus.Counter
	mails   *prometheus.CounterVec
	visits  *prometheus.CounterVec
	seconds prometheus.Histogram
	reports *prometheus.CounterVec
	hidden  prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		marked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_harvest_marked_total", Help: "Messages that were looked at, whether they are doubles."}),
		doubles: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_harvest_doubles_total", Help: "Copies that were taken away because the mail had come another way as well."}),
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_harvest_mails_total", Help: "Mails that were seen in the groupware for the first time, by what was found: new, known."},
			[]string{"route", "found"}),
		visits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_harvest_visits_total", Help: "Looks into mailboxes of the groupware, by how they ended: ok, failed."},
			[]string{"route", "end"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "doppelboden_harvest_visit_seconds", Help: "How long a look into a mailbox of the groupware took.",
			Buckets: prometheus.ExponentialBuckets(0.005, 3, 10)}),
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doppelboden_harvest_reports_total", Help: "Journal reports, by what became of them: unwrapped, known, whole, refused."},
			[]string{"end"}),
		hidden: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "doppelboden_harvest_hidden_total", Help: "Copies that were hidden because the groupware does not have the mail any more."}),
	}
	r.MustRegister(m.marked, m.doubles, m.mails, m.visits, m.seconds, m.reports, m.hidden)
	return m
}
