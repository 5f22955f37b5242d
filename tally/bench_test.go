package tally

import (
	"testing"

	"doppelboden"
)

// syncSometimes syncs outside of what is measured, as Accept does.
func syncSometimes(b *testing.B, n int, sync func() error) {
	if n%1000 == 999 {
		b.StopTimer()
		if err := sync(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkIntent(b *testing.B) {
	log, err := OpenDoors(b.TempDir(), atNoon)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		log.Intent(idOf(1), 1, noon)
		syncSometimes(b, n, log.Sync)
	}
	b.StopTimer()
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAnswer(b *testing.B) {
	log, err := OpenReplies(b.TempDir(), atNoon)
	if err != nil {
		b.Fatal(err)
	}
	o := doppelboden.Outcome{Verdict: doppelboden.Took, Phase: "dot", At: noon,
		Reply: doppelboden.Reply{Code: 250, Enhanced: "2.0.0", Text: "Ok: queued as 4XyZ12abcDz1"}}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		log.Answer(o)
		syncSometimes(b, n, log.Sync)
	}
	b.StopTimer()
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
}
