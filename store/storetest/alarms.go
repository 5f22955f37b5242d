package storetest

import (
	"strings"
	"testing"
	"time"

	"doppelboden"
)

func testAlarms(t *testing.T, open Open) {
	w := newWorld(t, open)
	read := func(since time.Time) []doppelboden.Alarm {
		return gather(t, func(y func(doppelboden.Alarm) error) error { return w.s.Alarms(ctx, since, y) })
	}
	at := func(minutes int) time.Time { return cut(day.Add(time.Duration(minutes) * time.Minute)) }
	disk := doppelboden.Alarm{Kind: "disk", Text: "voll", Said: doppelboden.Tell("full: %s of %s", 3, strings.ToValidUTF8(hostile, "?")).And(doppelboden.Tell("since %s for %s", at(1), time.Hour)), Since: at(1)}
	route := doppelboden.Alarm{Kind: "route", Subject: "groupware", Text: hostile, Since: at(2)}
	other := doppelboden.Alarm{Kind: "route", Subject: "Groupware", Text: "another", Since: at(3)}
	for _, a := range []doppelboden.Alarm{route, disk, other, route} {
		w.must(w.s.Raise(ctx, a))
	}
	same(t, "open alarms, newest first", read(time.Time{}), []doppelboden.Alarm{other, route, disk})
	later := disk
	later.Text, later.Said, later.Since = "voller", doppelboden.Tell("fuller"), at(9)
	w.must(w.s.Raise(ctx, later))
	disk.Text, disk.Said = "voller", later.Said
	same(t, "an alarm raised again keeps its beginning", read(time.Time{}), []doppelboden.Alarm{other, route, disk})

	w.must(w.s.Clear(ctx, "route", "groupware", at(10)))
	w.must(w.s.Clear(ctx, "route", "groupware", at(11)))
	w.must(w.s.Clear(ctx, "clock", "", at(11)))
	route.Until = at(10)
	w.restart()
	same(t, "since before the end", read(at(9)), []doppelboden.Alarm{other, route, disk})
	same(t, "since the end", read(at(10)), []doppelboden.Alarm{other, disk})
	again := doppelboden.Alarm{Kind: "route", Subject: "groupware", Text: "again", Since: at(20)}
	w.must(w.s.Raise(ctx, again))
	same(t, "an alarm after its end is a new one", read(at(9)), []doppelboden.Alarm{again, other, route, disk})
}
