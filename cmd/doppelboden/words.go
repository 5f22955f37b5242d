package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"doppelboden/say"
)

// clock writes a time for people, in their time zone.
func (p *program) clock(t time.Time) string { return p.say.Clock(t) }

// age writes how long something has lasted, roughly.
func (p *program) age(d time.Duration) string {
	switch {
	case d < 0:
		return p.say.T("0 s")
	case d < 2*time.Minute:
		return p.say.T("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return p.say.T("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return p.say.T("%d h", int(d.Hours()))
	}
	return p.say.T("%d days", int(d.Hours()/24))
}

// bytes writes a size.
func (p *program) bytes(n int64) string {
	const unit = 1024
	switch {
	case n < unit:
		return p.say.T("%d bytes", n)
	case n < unit*unit:
		return p.say.T("%d KB", n/unit)
	case n < 10*unit*unit*unit:
		return p.say.T("%d MB", n/unit/unit)
	}
	return p.say.T("%d GB", n/unit/unit/unit)
}

// state names a delivery's state.
func (p *program) state(name string) string {
	switch name {
	case "queued":
		return p.say.T("queued")
	case "held":
		return p.say.T("held")
	case "delivered":
		return p.say.T("delivered")
	case "confirmed":
		return p.say.T("confirmed")
	case "bounced":
		return p.say.T("bounced")
	case "discarded":
		return p.say.T("discarded")
	}
	return say.Plain(name)
}

// sender writes a reverse-path.
func (p *program) sender(s string) string {
	if s == "" {
		return p.say.T("<> (no sender)")
	}
	return say.Plain(s)
}

// parseTime reads a time as people write it, in their time zone, or as RFC 3339.
func (p *program) parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "02.01.2006", "02.01.2006 15:04", "02.01.2006 15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage(p.say.T("%s is no time: write 2026-07-14, \"2026-07-14 08:30\" or RFC 3339", say.Plain(s)))
}

// A table is rows of plain cells in columns.
type table struct{ rows [][]string }

// row adds a row. Its cells are made harmless.
func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = say.Plain(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// String returns the table with columns as wide as they must be.
func (t *table) String() string {
	var widths []int
	for _, r := range t.rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, r := range t.rows {
		line := ""
		for i, cell := range r {
			line += fmt.Sprintf("%-*s  ", widths[i], cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}
