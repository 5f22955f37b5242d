package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// usualGarbage is Go's own rule: before it is collected, garbage may take as much
	// memory as what lives, in percent of that.
	usualGarbage = 100
	// garbageRoom is what it may take at least while mail comes fast, in bytes, but not more
	// than four times what lives. A node with 20,000 mailboxes holds 30 MB, so by Go's rule it
	// would look through them every 2,500 mails.
	garbageRoom = 96 << 20
	// lookEvery is how often we look.
	lookEvery = time.Second
	// fastBytes are allocated between two looks when mail comes fast: that of 700 mails.
	fastBytes = 8 << 20
	// calmLooks is how many looks in a row must find less than half of that.
	calmLooks = 5
)

// A garbage decides how much garbage may lie in memory.
type garbage struct {
	allocated uint64 // bytes since the start, at the last look
	fast      bool   // mail comes fast, or something else does
	calm      int    // looks in a row that found little
}

// look takes how many bytes were allocated since the start, and how many live. It returns
// how much garbage there may be, in percent of what lives, and whether memory that is free
// is to go back to the system now.
func (g *garbage) look(allocated, live uint64) (percent int, release bool) {
	came := allocated - g.allocated
	g.allocated = allocated
	switch {
	case came >= fastBytes:
		g.fast, g.calm = true, 0
	case !g.fast:
		return usualGarbage, false
	case came >= fastBytes/2:
		g.calm = 0
	default:
		if g.calm++; g.calm == calmLooks {
			g.fast, g.calm = false, 0
			return usualGarbage, true
		}
	}
	return max(usualGarbage, int(garbageRoom*100/max(live, garbageRoom/4))), false
}

// collectRarely has garbage collected more rarely while mail comes fast, until ctx ends, and
// gives the memory back afterwards. It leaves alone what the administrator has set.
func collectRarely(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	var g garbage
	now := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for set := usualGarbage; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(now)
		percent, release := g.look(now[0].Value.Uint64(), now[1].Value.Uint64())
		if percent != set {
			set = percent
			debug.SetGCPercent(set)
		}
		if release {
			debug.FreeOSMemory()
		}
	}
}
