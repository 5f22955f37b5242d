package main

import (
	"strings"
	"testing"
)

func TestMediansRatiosAndVerdicts(t *testing.T) {
	for _, tc := range []struct {
		name    string
		row     row
		value   float64
		verdict string
	}{
		{"six times is enough", row{ours: []float64{50, 60, 600}, postfix: []float64{9, 10, 11}, want: 6, ratio: true}, 6, "good"},
		{"five times is not", row{ours: []float64{50}, postfix: []float64{10}, want: 6, ratio: true}, 5, "MISSED"},
		{"an even number of rounds", row{ours: []float64{1, 4, 2, 3}, want: 2.5}, 2.5, "good"},
		{"too much memory", row{ours: []float64{61}, want: 60, atMost: true}, 61, "MISSED"},
		{"against a base of our own", row{ours: []float64{30}, base: []float64{20}, postfix: []float64{1}, want: 1.5, atMost: true}, 1.5, "good"},
		{"nothing wanted", row{ours: []float64{5}}, 5, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if v, ok := tc.row.value(); !ok || v != tc.value {
				t.Errorf("value: wanted %v, got %v (%v)", tc.value, v, ok)
			}
			if got := tc.row.verdict(); got != tc.verdict {
				t.Errorf("verdict: wanted %q, got %q", tc.verdict, got)
			}
			tab := table{}
			tab.add(tc.row)
			if tab.missed() != (tc.verdict == "MISSED") {
				t.Errorf("the table says missed: %v, wanted %v", tab.missed(), !tab.missed())
			}
		})
	}
}

func TestWhatWasNotMeasuredHasNoVerdict(t *testing.T) {
	tab := table{}
	tab.add(row{name: "first", postfix: []float64{10}, want: 6, ratio: true})
	tab.add(row{name: "second", ours: []float64{10}, want: 6, ratio: true})
	var out strings.Builder
	tab.print(&out)
	if tab.missed() || strings.Contains(out.String(), "good") {
		t.Errorf("wanted no verdict, got:\n%s", out.String())
	}
}
