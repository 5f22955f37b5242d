package segment

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"doppelboden"
)

const (
	segExt  = ".seg"
	bigExt  = ".big"
	partExt = ".big.part"
	dayForm = "20060102"
)

// A place is a segment's name, taken apart.
type place struct {
	day  string // the folder
	base string // the file's name without its ending
	big  bool
}

// name returns the place as doppelboden.Body.Segment has it.
func (p place) name() string {
	if p.big {
		return p.day + "/" + p.base + bigExt
	}
	return p.day + "/" + p.base + segExt
}

// parsePlace reads a segment's name. It takes nothing but names that this package
// makes, so no name leads out of the folder.
func parsePlace(name string) (place, error) {
	day, file, _ := strings.Cut(name, "/")
	if base, ok := strings.CutSuffix(file, segExt); ok && isDay(day) && isNumber(base) {
		return place{day: day, base: base}, nil
	}
	if base, ok := strings.CutSuffix(file, bigExt); ok && isDay(day) && isHex(base) {
		return place{day: day, base: base, big: true}, nil
	}
	return place{}, &doppelboden.Error{Code: doppelboden.Invalid, Public: "not the name of a segment",
		Cause: fmt.Errorf("name %q", name)}
}

func isDay(s string) bool {
	t, err := time.Parse(dayForm, s)
	return err == nil && t.Format(dayForm) == s
}

// isNumber reports whether s is a segment's number: four digits, more if needed.
func isNumber(s string) bool {
	return len(s) >= 4 && len(s) <= 9 && strings.Trim(s, "0123456789") == ""
}

func isHex(s string) bool {
	return len(s) == 16 && strings.Trim(s, "0123456789abcdef") == ""
}

// newBigName returns the base of a big file's name.
func newBigName() string {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}

// dayOf returns the folder for the time now.
func dayOf(now time.Time) string { return now.UTC().Format(dayForm) }

// path returns the path of a file in a day's folder.
func (s *Store) path(day, file string) string { return filepath.Join(s.opts.Dir, day, file) }
