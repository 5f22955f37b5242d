package hand

import (
	"testing"
	"time"
)

func TestTimersFireWhenTheClockIsMovedOverTheirTime(t *testing.T) {
	c := At(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	hour, _ := c.Timer(time.Hour)
	day, _ := c.Timer(24 * time.Hour)
	stopped, stop := c.Timer(time.Minute)
	if !stop() || stop() {
		t.Error("a timer that waits can be stopped once")
	}
	c.Forward(2 * time.Hour)
	select {
	case at := <-hour:
		if at.Before(time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)) {
			t.Errorf("it fired at %v, want after two hours", at)
		}
	default:
		t.Error("two hours later a timer of one hour has not fired")
	}
	select {
	case <-day:
		t.Error("two hours later a timer of a day has fired")
	case <-stopped:
		t.Error("a timer that was stopped has fired")
	default:
	}
	soon, _ := c.Timer(time.Millisecond)
	<-soon
}
