package search

import (
	"strconv"
	"strings"
	"time"
)

// parseDay reads a day as people write it, and returns its beginning.
func parseDay(s string, now time.Time) (time.Time, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	year, month, day := now.Date()
	today := time.Date(year, month, day, 0, 0, 0, 0, now.Location())
	switch s {
	case "heute", "today":
		return today, true
	case "gestern", "yesterday":
		return today.AddDate(0, 0, -1), true
	case "vorgestern":
		return today.AddDate(0, 0, -2), true
	}
	for _, layout := range []string{"2006-1-2", "2.1.2006", "2.1.06", "2/1/2006", "2006-1", "1.2006", "2006"} {
		if at, err := time.ParseInLocation(layout, s, now.Location()); err == nil && at.Year() > 1900 && at.Year() < 3000 {
			return at, true
		}
	}
	// Without a year it is the last such day.
	if at, err := time.ParseInLocation("2.1.2006", strings.TrimSuffix(s, ".")+"."+strconv.Itoa(year), now.Location()); err == nil {
		if at.After(now) {
			at = at.AddDate(-1, 0, 0)
		}
		return at, true
	}
	return daysAgo(s, today)
}

// daysAgo reads "7t" and the like.
func daysAgo(s string, today time.Time) (time.Time, bool) {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz ")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > 10_000 {
		return time.Time{}, false
	}
	switch strings.TrimSpace(s[len(digits):]) {
	case "t", "tag", "tage", "tagen", "d", "day", "days":
		return today.AddDate(0, 0, -n), true
	case "w", "woche", "wochen", "week", "weeks":
		return today.AddDate(0, 0, -7*n), true
	case "m", "monat", "monate", "monaten", "month", "months":
		return today.AddDate(0, -n, 0), true
	}
	return time.Time{}, false
}
