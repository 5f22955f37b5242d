package main

import (
	"strings"
	"testing"
	"time"

	"doppelboden/control"
	"doppelboden/event"
	"doppelboden/queue"
	"doppelboden/store"
)

func TestWhenWhatWaitsIsDoneIsToldByPriorityAndInTheWordsOfPeople(t *testing.T) {
	now := time.Date(2026, 3, 14, 9, 0, 0, 0, time.Local)
	flow := &queue.Flow{PerSecond: 93.6, Done: []queue.Class{
		{Priority: 9, Waiting: 1200, At: now.Add(100 * time.Minute)}, {Priority: 5, Waiting: 20000, At: now.Add(40 * time.Hour)}}}
	filing := &queue.FilingStatus{Up: true, Boxes: 812, InFlight: 3}
	for _, c := range []struct {
		lang string
		lane queue.LaneStatus
		want []string
	}{
		{"de_DE.UTF-8", queue.LaneStatus{Waiting: 21200, Filing: filing, Flow: flow}, []string{
			"Es fließen 94 je Sekunde ab.", "Vorrang 9 (1.200) fertig gegen 10:40.", "Alle fertig gegen 16.03. 01:00 (Vorrang 5: 20.000).",
			"wartende Postfächer: 812, gerade gefüllt: 3"}},
		{"C", queue.LaneStatus{Flow: &queue.Flow{PerSecond: 0.44, Done: []queue.Class{{Priority: 5, Waiting: 7, At: now.Add(time.Hour)}}}}, []string{
			"It flows at 0.4 a second.", "All done at about 10:00."}},
		{"C", queue.LaneStatus{Flow: &queue.Flow{PerSecond: 5, Done: []queue.Class{{Priority: 5, Waiting: 7}}}}, []string{"there is no end in sight"}},
		{"C", queue.LaneStatus{Waiting: 3, Filing: &queue.FilingStatus{Since: now, Probe: now.Add(10 * time.Second), Reply: "login: NO \x1b[31m"}}, []string{
			"can NOT be reached by IMAP", "next attempt in 10 s: login: NO ?[31m", "append_after_hours = 0"}},
		{"C", queue.LaneStatus{Waiting: 3, Oldest: now.Add(-7 * time.Hour)}, []string{"waits for 7 h", "has no [tenant.route.imap]"}},
		{"C", queue.LaneStatus{Waiting: 3, Oldest: now.Add(-5 * time.Hour)}, nil},
		{"C", queue.LaneStatus{Filing: &queue.FilingStatus{Up: true}}, nil},
	} {
		text := quietProgram(c.lang).flow(control.Status{Now: now}, c.lane)
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q does not say %q", c.lang, text, want)
			}
		}
		if c.want == nil && text != "" {
			t.Errorf("%s: %q, want nothing", c.lang, text)
		}
	}
}

func TestARouteInAnOutageIsNotSaidToTakeMailBecauseNothingWasTriedYet(t *testing.T) {
	since := time.Date(2026, 3, 14, 9, 0, 0, 0, time.Local)
	outage := event.Summary{Tenant: "stadt", Route: "exchange", Kind: store.Outage, State: event.Open, Whole: true, Number: 3, Since: since}
	single, turned, other := outage, outage, outage
	single.Whole, turned.Turned, other.Route = false, since, "kolab"
	lane := queue.LaneStatus{Name: "stadt/exchange", Up: true, Since: since.Add(time.Hour), Waiting: 7}
	for _, c := range []struct {
		name   string
		events []event.Summary
		want   string
	}{
		{"in an outage", []event.Summary{other, outage}, "Weg stadt/exchange fällt aus"},
		{"without one", nil, "Weg stadt/exchange nimmt an"},
		{"in an outage of single mailboxes", []event.Summary{single}, "Weg stadt/exchange nimmt an"},
		{"in an outage in which it takes mail again", []event.Summary{turned}, "Weg stadt/exchange nimmt an"},
		{"beside another that is out", []event.Summary{other}, "Weg stadt/exchange nimmt an"},
	} {
		text := quietProgram("de_DE.UTF-8").lane(control.Status{Now: since.Add(2 * time.Hour), Events: c.events}, lane)
		if !strings.Contains(text, c.want) || !strings.Contains(text, "7 warten") {
			t.Errorf("%s: %q, wanted %q", c.name, text, c.want)
		}
	}
}
