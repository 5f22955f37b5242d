package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// A row is one figure: what the rounds of ours and of Postfix gave, and what is wanted.
type row struct {
	name    string
	unit    string
	ours    []float64 // one value a round; empty: not measured
	postfix []float64
	// want is the bound on value(); 0: there is none, the figure is for information.
	want float64
	// atMost says that value() must not be above want; otherwise not below it.
	atMost bool
	// ratio says that value() is ours divided by Postfix's; otherwise it is ours.
	ratio bool
	// base is what ours is divided by instead of Postfix's, when it is not empty.
	base []float64
}

// note adds the figure of a round.
func (r *row) note(s starter, v float64) {
	if s.name == ourSystem.name {
		r.ours = append(r.ours, v)
	} else {
		r.postfix = append(r.postfix, v)
	}
}

// value is what is held against want.
func (r *row) value() (float64, bool) {
	switch {
	case len(r.ours) == 0:
		return 0, false
	case len(r.base) > 0:
		return median(r.ours) / median(r.base), true
	case r.ratio && len(r.postfix) > 0:
		return median(r.ours) / median(r.postfix), true
	case r.ratio:
		return 0, false
	}
	return median(r.ours), true
}

// verdict says "good", "MISSED", or "" when nothing was wanted or measured.
func (r *row) verdict() string {
	v, ok := r.value()
	if !ok || r.want == 0 {
		return ""
	}
	if r.atMost && v > r.want || !r.atMost && v < r.want {
		return "MISSED"
	}
	return "good"
}

// A table is all rows of a run.
type table struct {
	rows  []*row
	notes []string
}

func (t *table) add(r row) *row {
	t.rows = append(t.rows, &r)
	return &r
}

// note adds a line below the table.
func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t *table) missed() bool {
	return slices.ContainsFunc(t.rows, func(r *row) bool { return r.verdict() == "MISSED" })
}

// print writes medians with the smallest and largest round, ratios and verdicts.
func (t *table) print(w io.Writer) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "measure\tunit\tours (min-max)\tPostfix (min-max)\tratio\twanted\t")
	for _, r := range t.rows {
		ratio := ""
		switch {
		case len(r.base) > 0 && len(r.ours) > 0:
			ratio = fmt.Sprintf("%.2f of %s", median(r.ours)/median(r.base), number(median(r.base)))
		case len(r.ours) > 0 && len(r.postfix) > 0:
			ratio = fmt.Sprintf("%.2f", median(r.ours)/median(r.postfix))
		}
		wanted := ""
		if r.want != 0 {
			sign := "≥"
			if r.atMost {
				sign = "≤"
			}
			wanted = fmt.Sprintf("%s %s %s", sign, number(r.want), r.verdict())
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t\n", r.name, r.unit, spread(r.ours), spread(r.postfix), ratio, wanted)
	}
	out.Flush()
	for _, n := range t.notes {
		fmt.Fprintln(w, n)
	}
}

// spread is "median (min-max)", or the one value.
func spread(v []float64) string {
	switch len(v) {
	case 0:
		return "-"
	case 1:
		return number(v[0])
	}
	return fmt.Sprintf("%s (%s-%s)", number(median(v)), number(slices.Min(v)), number(slices.Max(v)))
}

// number writes three digits that mean something.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00")
}

// median of an odd number of values is the middle one; of an even number, the mean of
// the two in the middle.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}
