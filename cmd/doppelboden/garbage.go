package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"doppelboden/clock"
)

const (
	// usualGarbage is Go's own rule: before it is collected, garbage may take as much
	// memory as what lives, in percent of that.
	usualGarbage = 100
	// garbageRoom is what it may take at least while mail comes fast, in bytes, but not more
	// than four times what lives. A node with 20,000 mailboxes holds 5 MB, so by Go's rule it
	// would look through them every 400 mails.
	garbageRoom = 96 << 20
	// calmGarbage is what it may take while nothing happens, in percent of what lives. There
	// is so little then that it is collected once a minute all the same.
	calmGarbage = 25
	// lookEvery is how often we look.
	lookEvery = time.Second
	// fastBytes are allocated between two looks when mail comes fast: that of 700 mails.
	fastBytes = 8 << 20
	// calmBytes are allocated at most while nothing happens; an idle node allocates a tenth.
	calmBytes = 512 << 10
	// worthGiving is how much must be free or garbage, in bytes, so that it is given back: that
	// costs a collection.
	worthGiving = 8 << 20
	// slowLooks is how many looks in a row must find less than half of fastBytes before mail
	// no longer comes fast, and calmLooks how many at most calmBytes before nothing happens.
	slowLooks = 5
	calmLooks = 8
)

// A garbage decides how much garbage may lie in memory.
type garbage struct {
	allocated uint64 // bytes since the start, at the last look
	fast      bool   // mail comes fast, or something else does
	slow      int    // looks in a row that found less than half of fastBytes
	calm      int    // looks in a row that found at most calmBytes
}

// look takes how many bytes were allocated since the start, and how many live. It returns
// how much garbage there may be, in percent of what lives, and whether memory that is free
// may go back to the system now.
func (g *garbage) look(allocated, live uint64) (percent int, release bool) {
	came := allocated - g.allocated
	g.allocated = allocated
	g.slow, g.calm = counted(g.slow, came < fastBytes/2), counted(g.calm, came <= calmBytes)
	g.fast = came >= fastBytes || g.fast && g.slow < slowLooks
	switch {
	case g.fast:
		return max(usualGarbage, int(garbageRoom*100/max(live, garbageRoom/4))), false
	case g.calm >= calmLooks:
		return calmGarbage, g.calm == calmLooks
	}
	return usualGarbage, false // what is free goes back by and by
}

// counted counts one more of a kind, or begins anew.
func counted(n int, again bool) int {
	if !again {
		return 0
	}
	return n + 1
}

// collectInTime has garbage collected more rarely while mail comes fast and sooner while
// nothing happens, until ctx ends, and gives memory back when less is needed. It leaves
// alone what the administrator has set.
func collectInTime(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	var g garbage
	now := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	for set := usualGarbage; clock.Sleep(ctx, clock.Beat, lookEvery); {
		metrics.Read(now)
		live := now[1].Value.Uint64()
		percent, release := g.look(now[0].Value.Uint64(), live)
		if percent != set {
			set = percent
			debug.SetGCPercent(set)
		}
		if spare := now[2].Value.Uint64() + now[3].Value.Uint64(); release && spare >= live+worthGiving {
			debug.FreeOSMemory()
		}
	}
}
