package segment

import (
	"slices"
	"sync"

	"doppelboden/disk"
)

// A layout knows where the parts of segments start. A segment that it does not know
// has one part, from 0.
type layout struct {
	mu    sync.Mutex
	parts map[string][]int64 // by segment, in order
}

// add notes a part.
func (l *layout) add(segment string, from int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	starts, known := l.parts[segment]
	if !known {
		if from == 0 {
			return
		}
		starts = []int64{0}
	}
	if i, found := slices.BinarySearch(starts, from); !found {
		l.set(segment, slices.Insert(slices.Clone(starts), i, from))
	}
}

// put notes all parts of a segment, as they were found in its folder.
func (l *layout) put(segment string, starts []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(starts) != 1 || starts[0] != 0 {
		l.set(segment, starts)
	}
}

func (l *layout) set(segment string, starts []int64) {
	if l.parts == nil {
		l.parts = make(map[string][]int64)
	}
	l.parts[segment] = starts
}

// starts returns where the parts of a segment start.
func (l *layout) starts(segment string) []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if starts, known := l.parts[segment]; known {
		return starts
	}
	return []int64{0}
}

// file returns the name of the file that holds offset, or ok false when the part that
// held it is missing.
func (l *layout) file(p place, offset int64) (name string, ok bool) {
	from, ok := disk.PartOf(l.starts(p.name()), offset)
	return disk.Log{Base: p.base, Ext: segExt}.Part(from), ok
}

// forget drops what is known of a segment.
func (l *layout) forget(segment string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.parts, segment)
}
