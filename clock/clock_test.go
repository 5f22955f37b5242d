package clock

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatIsDoneEveryMinuteIsDoneUntilTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var at []time.Duration
		begin := time.Now()
		go Every(ctx, Or(nil), time.Minute, func() { at = append(at, time.Since(begin)) })
		time.Sleep(150 * time.Second)
		cancel()
		synctest.Wait()
		time.Sleep(time.Hour)
		if len(at) != 2 || at[0] != time.Minute || at[1] != 2*time.Minute {
			t.Errorf("done after %v, want after one minute and after two", at)
		}
	})
}

func TestASleepThatIsCutShortSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if Sleep(ctx, Real, time.Hour) {
		t.Error("an hour passed at once")
	}
	if !Sleep(t.Context(), Real, time.Microsecond) {
		t.Error("a microsecond did not pass")
	}
}

func TestWhoWaitsByTheBeatWakesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 4500*time.Millisecond)
		defer cancel()
		var mu sync.Mutex
		var woke []time.Time
		for range 3 {
			go Every(ctx, Beat, time.Second, func() {
				mu.Lock()
				defer mu.Unlock()
				woke = append(woke, time.Now())
			})
			time.Sleep(137 * time.Millisecond) // they begin at different times
		}
		<-ctx.Done()
		synctest.Wait()
		moments := map[time.Time]int{}
		for _, at := range woke {
			moments[at]++
		}
		if len(woke) != 12 || len(moments) != 4 {
			t.Errorf("three who look once a second woke %d times in 4 s, at %d moments; want 12 at 4", len(woke), len(moments))
		}
	})
}

func TestABeatIsNeitherMuchShorterNorMuchLongerThanWhatWasAskedFor(t *testing.T) {
	begin := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for after := time.Duration(0); after < 2*time.Second; after += 7 * time.Millisecond {
		left := toBeat(begin.Add(after), time.Second)
		if left < time.Second/2 || left >= 3*time.Second/2 || begin.Add(after+left).Nanosecond() != 0 {
			t.Fatalf("%v after a full second the beat is %v away", after, left)
		}
	}
}
