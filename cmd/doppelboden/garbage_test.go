package main

import "testing"

func TestGarbageMayTakeMoreRoomWhileMailComesFastAndNotLonger(t *testing.T) {
	const mb = 1 << 20
	var g garbage
	total := uint64(0)
	for i, step := range []struct {
		came, live uint64 // bytes
		percent    int
		release    bool
	}{
		{came: 1 * mb, live: 24 * mb, percent: 100},                // nothing happens
		{came: 100 * mb, live: 24 * mb, percent: 400},              // a flood
		{came: 100 * mb, live: 48 * mb, percent: 200},              // more lives: the room stays as large
		{came: 100 * mb, live: 500 * mb, percent: 100},             // much lives: as Go has it
		{came: 1 * mb, live: 24 * mb, percent: 400},                // a moment's rest
		{came: 5 * mb, live: 24 * mb, percent: 400},                // and on
		{came: 0, live: 24 * mb, percent: 400},                     // it is over
		{came: 0, live: 24 * mb, percent: 400},                     //
		{came: 0, live: 24 * mb, percent: 400},                     //
		{came: 1 * mb, live: 24 * mb, percent: 400},                //
		{came: 1 * mb, live: 24 * mb, percent: 100, release: true}, // the fifth quiet look
		{came: 1 * mb, live: 24 * mb, percent: 100},                // once is enough
		{came: 5 * mb, live: 24 * mb, percent: 100},                // some work is no flood
		{came: 8 * mb, live: 0, percent: 400},                      // nothing was measured yet
	} {
		total += step.came
		percent, release := g.look(total, step.live)
		if percent != step.percent || release != step.release {
			t.Errorf("look %d, %d MB came and %d MB live: %d %%, release %v; wanted %d %%, %v",
				i, step.came/mb, step.live/mb, percent, release, step.percent, step.release)
		}
	}
}
