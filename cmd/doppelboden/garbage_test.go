package main

import "testing"

func TestGarbageMayTakeMoreRoomWhileMailComesFastAndLessWhileNothingHappens(t *testing.T) {
	const mb = 1 << 20
	var g garbage
	total := uint64(0)
	for i, step := range []struct {
		looks      int    // that find the same
		came, live uint64 // bytes
		percent    int
		release    bool // at the last of them, and at none before
	}{
		{looks: 1, came: 1 * mb, live: 24 * mb, percent: 100},               // little happens
		{looks: 1, came: 100 * mb, live: 24 * mb, percent: 400},             // a flood
		{looks: 1, came: 100 * mb, live: 48 * mb, percent: 200},             // more lives: the room stays as large
		{looks: 1, came: 100 * mb, live: 500 * mb, percent: 100},            // much lives: as Go has it
		{looks: 1, came: 1 * mb, live: 24 * mb, percent: 400},               // a moment's rest
		{looks: 1, came: 5 * mb, live: 24 * mb, percent: 400},               // and on
		{looks: 3, came: 0, live: 24 * mb, percent: 400},                    // it is over
		{looks: 1, came: 1 * mb, live: 24 * mb, percent: 400},               //
		{looks: 1, came: 1 * mb, live: 24 * mb, percent: 100},               // the fifth quiet look
		{looks: 1, came: 1 * mb, live: 24 * mb, percent: 100},               //
		{looks: 1, came: 5 * mb, live: 24 * mb, percent: 100},               // some work is no flood
		{looks: 7, came: mb / 4, live: 24 * mb, percent: 100},               // nothing happens any more
		{looks: 1, came: mb / 4, live: 24 * mb, percent: 25, release: true}, // the eighth such look
		{looks: 9, came: mb / 4, live: 24 * mb, percent: 25},                // once is enough
		{looks: 1, came: 1 * mb, live: 24 * mb, percent: 100},               // a few mails
		{looks: 7, came: 0, live: 24 * mb, percent: 100},                    //
		{looks: 1, came: 0, live: 24 * mb, percent: 25, release: true},      //
		{looks: 1, came: 8 * mb, live: 0, percent: 400},                     // nothing was measured yet
	} {
		for n := range step.looks {
			total += step.came
			percent, release := g.look(total, step.live)
			wantRelease := step.release && n == step.looks-1
			if percent != step.percent || release != wantRelease {
				t.Errorf("step %d, look %d, %d KB came and %d MB live: %d %%, release %v; wanted %d %%, %v",
					i, n, step.came>>10, step.live/mb, percent, release, step.percent, wantRelease)
			}
		}
	}
}
