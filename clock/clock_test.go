package clock

import (
	"context"
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
