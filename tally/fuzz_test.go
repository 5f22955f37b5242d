package tally

import (
	"errors"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/disk/diskfault"
)

// FuzzTally feeds the readers any bytes. What they yield must carry a right sum, so
// only what was logged can come out.
func FuzzTally(f *testing.F) {
	d := new(diskfault.Disk)
	log, err := openReplies(d, "t", atNoon)
	if err != nil {
		f.Fatal(err)
	}
	log.Attempt([]doppelboden.Ref{{Message: idOf(1), N: 1}, {Message: idOf(1), N: 2}}, "gw", noon)
	log.Answer(doppelboden.Outcome{Ref: doppelboden.Ref{Message: idOf(1), N: 1}, Verdict: doppelboden.Took,
		Reply: doppelboden.Reply{Code: 250, Text: "queued as X"}, At: noon})
	if err := log.Close(); err != nil {
		f.Fatal(err)
	}
	whole := d.Bytes("t/replies-2026-11-22.tally")
	f.Add(whole, "queued as X")
	f.Add(whole[:200], "2.0.0 x Saved")
	f.Add(append(make([]byte, 128), whole...), " id=")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		d := new(diskfault.Disk)
		if err := d.Mkdir("t"); err != nil {
			t.Fatal(err)
		}
		for _, base := range []string{"doors", "replies"} {
			file, err := d.Create("t/" + base + "-2026-11-22.tally")
			if err == nil {
				_, err = file.WriteAt(data, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		whole := 0
		for i := 0; i+replies.size <= len(data); i += replies.size {
			if replies.whole(data[i : i+replies.size]) {
				whole++
			}
		}
		n := 0
		_ = readReplies(d, "t", time.Unix(-1<<40, 0), time.Unix(1<<40, 0), func(r ReplyRecord) error {
			n++
			_, _ = r.Verdict.String(), r.Scope.String()
			if len(r.QueueID) > maxQueueID || len(r.Route) > maxRoute {
				t.Errorf("record %+v is too long", r)
			}
			return nil
		})
		if n > whole*perAttempt {
			t.Errorf("%d facts out of %d records", n, whole)
		}
		_ = readDoors(d, "t", time.Unix(-1<<40, 0), time.Unix(1<<40, 0), func(r DoorRecord) error {
			_ = r.Kind.String()
			return nil
		})
		for _, open := range []func() error{
			func() error { l, err := openDoors(d, "t", atNoon); return errors.Join(err, l.Close()) },
			func() error { l, err := openReplies(d, "t", atNoon); return errors.Join(err, l.Close()) },
		} {
			if err := open(); err != nil {
				t.Errorf("open: %v", err)
			}
		}
		if id := queueID(text); len(id) > maxQueueID || printable(id, maxQueueID) != id {
			t.Errorf("queue id %q out of %q", id, text)
		}
	})
}
