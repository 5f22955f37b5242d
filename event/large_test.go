package event

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// processor returns how much time of processors the test has used, whatever else runs.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestAnOutageOfAHundredThousandMailboxesCostsLittle holds bounds that are some times what
// was measured on two busy cores: the slowest decision took 134 ms, and what is known of all
// mailboxes 23 MB. Its time is that of processors: what else runs on the machine does not count.
func TestAnOutageOfAHundredThousandMailboxesCostsLittle(t *testing.T) {
	const people = 100_000
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	w := newWorld(t, people)
	before := heap()
	w.each("stadt/alt", tookIt, span(1, people)...)
	w.tick()
	var slowest time.Duration
	decide := func() {
		began := processor(t)
		w.tick()
		slowest = max(slowest, processor(t)-began)
	}
	for range 12 {
		w.mail("stadt/alt", nobody, 1)
		decide()
	}
	if e := w.only(); e.Concerned != people {
		t.Fatalf("event %+v", e)
	}
	w.each("stadt/alt", tookIt, span(1, people/3)...)
	w.each("stadt/alt", notNow, span(people/3+1, people/3+5000)...)
	for range 120 {
		decide()
	}
	grown := heap() - before
	w.each("stadt/alt", tookIt, span(1, people)...)
	for range 120 {
		decide()
	}
	w.none("with all served again")
	t.Logf("slowest decision %v; %d MB", slowest.Round(time.Millisecond), grown>>20)
	if slowest > 2*time.Second {
		t.Errorf("a decision took %v", slowest)
	}
	if grown > 80<<20 {
		t.Errorf("an outage of %d mailboxes costs %d MB", people, grown>>20)
	}
	runtime.KeepAlive(w)
}
