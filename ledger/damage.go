package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"doppelboden/tally"
)

// Sizes of the tallies' records in bytes; see package tally. They only tell about how
// many records lie in a damaged stretch.
const (
	doorSize  = 32
	replySize = 128
)

// damages are the places that a log cannot show, each once, with how many records they
// may have held.
type damages map[tally.Damage]int64

// note takes the damage out of a reader's error, as far as it touches the days from
// from to to, and returns what else is wrong.
func (d damages) note(err error, from, to time.Time) error {
	if err == nil {
		return nil
	}
	var one *tally.Damage
	if !errors.As(err, &one) {
		return err
	}
	each := func(err error) {
		var place *tally.Damage
		if !errors.As(err, &place) {
			// The reader says that there are more places than it names.
			place = &tally.Damage{File: one.File, Offset: -1, Length: 1}
		}
		_, day, known := splitName(place.File)
		if known && (!day.Before(to) || !day.Add(24*time.Hour).After(from)) {
			return
		}
		d[*place] = records(place)
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			each(e)
		}
		return nil
	}
	each(err)
	return nil
}

// splitName reads which log and which day (UTC) a tally's file is for; its name is
// doors-2026-11-22.tally or doors-2026-11-22+4128.tally.
func splitName(file string) (log string, day time.Time, ok bool) {
	log, rest, ok := strings.Cut(file, "-")
	if !ok || len(rest) < len(time.DateOnly) {
		return file, time.Time{}, false
	}
	day, err := time.Parse(time.DateOnly, rest[:len(time.DateOnly)])
	return log, day, err == nil
}

// records returns how many records a damaged place may have held, at least one.
func records(place *tally.Damage) int64 {
	size := int64(replySize)
	if log, _, _ := splitName(place.File); log == "doors" {
		size = doorSize
	}
	return max(1, (place.Length+size-1)/size)
}

// texts sums the damage up by log and day, in their order.
func (d damages) texts() (texts []string, total int64) {
	sums := map[string]int64{}
	for place, n := range d {
		name, day, ok := splitName(place.File)
		if ok {
			name += " of " + day.Format(time.DateOnly)
		}
		sums[name] += n
		total += n
	}
	for name, n := range sums {
		texts = append(texts, fmt.Sprintf("the log of the %s is damaged: %d records unreadable", name, n))
	}
	slices.Sort(texts)
	return texts, total
}
