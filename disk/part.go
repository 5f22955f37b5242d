package disk

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// A Log names an append-only file. On disk it consists of one part or more: files of
// which each holds the Log's bytes from its start up to the start of the next part, at
// the Log's own offsets. The part from 0 has the plain name; a later one starts with a
// hole. What a part holds beyond the start of the next one does not count.
type Log struct {
	Dir  string // the folder
	Base string // the name without its ending
	Ext  string // the ending, with its dot
}

// Name returns the Log's name, which is that of its part from 0.
func (l Log) Name() string { return l.Base + l.Ext }

// Part returns the name of the file that starts at from.
func (l Log) Part(from int64) string {
	if from == 0 {
		return l.Name()
	}
	return fmt.Sprintf("%s+%d%s", l.Base, from, l.Ext)
}

// ParsePart reads a file name that Part made for a Log with the ending ext.
func ParsePart(name, ext string) (base string, from int64, ok bool) {
	stem, ok := strings.CutSuffix(name, ext)
	if !ok || stem == "" {
		return "", 0, false
	}
	base, number, later := strings.Cut(stem, "+")
	if !later {
		return base, 0, true
	}
	from, err := strconv.ParseInt(number, 10, 64)
	if err != nil || from <= 0 || strconv.FormatInt(from, 10) != number || base == "" {
		return "", 0, false
	}
	return base, from, true
}

// Parts finds, among the names of one folder, the Logs with the ending ext and where
// their parts start, in order.
func Parts(entries []Entry, ext string) map[string][]int64 {
	logs := make(map[string][]int64)
	for _, e := range entries {
		if base, from, ok := ParsePart(e.Name, ext); ok && !e.Dir {
			logs[base] = append(logs[base], from)
		}
	}
	for _, starts := range logs {
		sort.Slice(starts, func(i, j int) bool { return starts[i] < starts[j] })
	}
	return logs
}

// PartOf returns the start of the part that holds offset, out of starts in order.
func PartOf(starts []int64, offset int64) (from int64, ok bool) {
	i := sort.Search(len(starts), func(i int) bool { return starts[i] > offset })
	if i == 0 {
		return 0, false
	}
	return starts[i-1], true
}
