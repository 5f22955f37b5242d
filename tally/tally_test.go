package tally

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doppelboden"
	"doppelboden/disk/diskfault"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// always covers all times of the tests.
var always = [2]time.Time{noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0)}

func idOf(n int) (id doppelboden.ID) {
	binary.BigEndian.PutUint32(id[:], uint32(n))
	return id
}

// collect reads all of the doors' log.
func collect(t testing.TB, d *diskfault.Disk) ([]DoorRecord, error) {
	t.Helper()
	var got []DoorRecord
	err := readDoors(d, "t", always[0], always[1], func(r DoorRecord) error { got = append(got, r); return nil })
	return got, err
}

func mustOpenDoors(t testing.TB, d *diskfault.Disk) *Doors {
	t.Helper()
	log, err := openDoors(d, "t", atNoon)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return log
}

func TestDoorRecordsComeBackFromARealDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tally")
	d, err := OpenDoors(dir, atNoon)
	if err != nil {
		t.Fatal(err)
	}
	late := noon.Add(12*time.Hour - time.Microsecond)
	d.Intent(idOf(1), 3, noon)
	d.Sent(idOf(1), noon.Add(time.Millisecond))
	d.Intent(idOf(2), maxRecipients+5, late)
	d.Withdrawn(idOf(2), late.Add(time.Microsecond)) // on the next day
	d.Unsent(idOf(3), noon)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	want := []DoorRecord{
		{Intent, idOf(1), noon, 3}, {Sent, idOf(1), noon.Add(time.Millisecond), 0}, {Intent, idOf(2), late, maxRecipients},
		{Unsent, idOf(3), noon, 0}, {Withdrawn, idOf(2), late.Add(time.Microsecond), 0},
	}
	check := func(when string, from, to time.Time, want []DoorRecord) {
		t.Helper()
		var got []DoorRecord
		if err := ReadDoors(dir, from, to, func(r DoorRecord) error { got = append(got, r); return nil }); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", when, diff)
		}
	}
	check("while it is written", always[0], always[1], want)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	check("after close", always[0], always[1], want)
	if d, err = OpenDoors(dir, atNoon); err != nil {
		t.Fatal(err)
	}
	d.Sent(idOf(3), noon.Add(time.Second))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	want = slices.Insert(want, 4, DoorRecord{Sent, idOf(3), noon.Add(time.Second), 0})
	check("written on by the next process", always[0], always[1], want)
	check("a part of the time", noon.Add(time.Millisecond), late, []DoorRecord{want[1], want[4]})
	check("one day", late, late.Add(time.Hour), []DoorRecord{want[2], want[5]})
	check("no time", late, late, nil)
	files, _ := os.ReadDir(dir)
	if len(files) != 3 || files[0].Name() != "doors-2026-11-22+192.tally" {
		t.Errorf("files: %v", files)
	}
}

func TestReplyRecordsComeBack(t *testing.T) {
	d := new(diskfault.Disk)
	log, err := openReplies(d, "t", atNoon)
	if err != nil {
		t.Fatal(err)
	}
	var refs []doppelboden.Ref
	for n := range 40 {
		refs = append(refs, doppelboden.Ref{Message: idOf(1 + n/35), N: n})
	}
	route := strings.Repeat("groupware", 5)
	log.Attempt(refs, route, noon)
	answer := doppelboden.Outcome{Ref: refs[2], Verdict: doppelboden.Took, Scope: doppelboden.AboutRecipient, Phase: "dot",
		Reply: doppelboden.Reply{Code: 250, Enhanced: "2.0.0", Text: "Ok: queued as 4XyZ12abcDz1"}, At: noon.Add(time.Second)}
	log.Answer(answer)
	doubt := doppelboden.Outcome{Ref: refs[3], Phase: "dot", InDoubt: true, At: noon}
	log.Answer(doubt)
	refused := doppelboden.Outcome{Ref: refs[4], Verdict: doppelboden.Refused, Scope: doppelboden.AboutMessage, Phase: "nonsense",
		Reply: doppelboden.Reply{Code: 554, Text: "queued as ABC was refused"}, At: noon}
	log.Answer(refused)
	if err := log.Flush(); err != nil {
		t.Fatal(err)
	}
	var want []ReplyRecord
	for _, ref := range refs {
		want = append(want, ReplyRecord{Kind: Attempt, Ref: ref, At: noon, Route: route[:maxRoute]})
	}
	want = append(want,
		ReplyRecord{Kind: Answer, Ref: refs[2], At: noon.Add(time.Second), Verdict: doppelboden.Took, Scope: doppelboden.AboutRecipient,
			Phase: "dot", Code: 250, Enhanced: "2.0.0", QueueID: "4XyZ12abcDz1"},
		ReplyRecord{Kind: Answer, Ref: refs[3], At: noon, Phase: "dot", InDoubt: true},
		ReplyRecord{Kind: Answer, Ref: refs[4], At: noon, Verdict: doppelboden.Refused, Scope: doppelboden.AboutMessage, Code: 554})
	var got []ReplyRecord
	if err := readReplies(d, "t", always[0], always[1], func(r ReplyRecord) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	// A mark, three records for two messages of 35 and 5, three answers, an end mark.
	if got, want := len(d.Bytes("t/replies-2026-11-22.tally")), (1+3+1+3+1)*replies.size; got != want {
		t.Errorf("the file has %d bytes, wanted %d", got, want)
	}
}

func TestTheErrorOfYieldEndsTheReading(t *testing.T) {
	d := new(diskfault.Disk)
	log := mustOpenDoors(t, d)
	log.Sent(idOf(1), noon)
	log.Sent(idOf(2), noon)
	if err := log.Flush(); err != nil {
		t.Fatal(err)
	}
	stop, n := errors.New("stop"), 0
	if err := readDoors(d, "t", always[0], always[1], func(DoorRecord) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("got %v after %d records, wanted the error of yield after 1", err, n)
	}
}

func TestAFlippedBitLosesOneRecordAndIsNamed(t *testing.T) {
	d := new(diskfault.Disk)
	log := mustOpenDoors(t, d)
	const n = 10
	for i := range n {
		log.Intent(idOf(i), i, noon)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	const file = "t/doors-2026-11-22.tally"
	for bit := range len(d.Bytes(file)) * 8 {
		flip := func(b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b }
		d.Damage(file, flip)
		got, err := collect(t, d)
		record := bit / 8 / doors.size // 0 is the mark, n+1 the end mark
		want := n
		if record >= 1 && record <= n {
			want--
		}
		if len(got) != want {
			t.Errorf("bit %d flipped: read %d records, wanted %d", bit, len(got), want)
		}
		var damage *Damage
		if !errors.As(err, &damage) {
			if record <= n {
				t.Errorf("bit %d flipped: wanted damage, got %v", bit, err)
			}
		} else if damage.Offset != int64(record*doors.size) || damage.Length != int64(doors.size) {
			t.Errorf("bit %d flipped: named %v", bit, damage)
		}
		d.Damage(file, flip)
	}
}

func TestReadersStopAtTheLastWholeRecordWhileTheLogIsWritten(t *testing.T) {
	d := new(diskfault.Disk)
	log := mustOpenDoors(t, d)
	for i := range 5 {
		log.Intent(idOf(i), i, noon)
	}
	if err := log.Flush(); err != nil {
		t.Fatal(err)
	}
	// Half of the next record has arrived.
	d.Damage("t/doors-2026-11-22.tally", func(b []byte) []byte { copy(b[6*doors.size:], "half a record"); return b })
	got, err := collect(t, d)
	if err != nil || len(got) != 5 {
		t.Errorf("read %d records, %v; wanted 5 and no error", len(got), err)
	}
	// The next process cuts it off.
	log = mustOpenDoors(t, d)
	log.Intent(idOf(5), 5, noon)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err = collect(t, d); err != nil || len(got) != 6 {
		t.Errorf("after the next process: read %d records, %v; wanted 6 and no error", len(got), err)
	}
}

func TestADiskThatTakesNothingIsReportedAndWhatFitsIsKept(t *testing.T) {
	d := new(diskfault.Disk)
	log := mustOpenDoors(t, d)
	full := true
	d.Fault = func(op, _ string) error {
		if full && (op == diskfault.OpWrite || op == diskfault.OpCreate || op == diskfault.OpAllocate) {
			return syscall.ENOSPC
		}
		return nil
	}
	const room, over = maxHeld / 32, 3
	for i := range room + over {
		log.Sent(idOf(i), noon)
	}
	err := log.Sync()
	if doppelboden.CodeOf(err) != doppelboden.StorageFull || !strings.Contains(err.Error(), "3 records were lost") {
		t.Errorf("sync of a full disk: wanted storage_full and 3 lost records, got %v", err)
	}
	full = false
	if err := log.Sync(); err != nil {
		t.Errorf("sync of the mended disk: %v", err)
	}
	n := 0
	if err := readDoors(d, "t", always[0], always[1], func(DoorRecord) error { n++; return nil }); err != nil || n != room {
		t.Errorf("read %d records, %v; wanted %d", n, err, room)
	}
}

// TestAfterAFailedSyncEachRecordIsReadOnce turns red when readPart does not stop at the
// start of the next part.
func TestAfterAFailedSyncEachRecordIsReadOnce(t *testing.T) {
	d := new(diskfault.Disk)
	log := mustOpenDoors(t, d)
	log.Sent(idOf(1), noon)
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	d.Fault = func(op, _ string) error {
		if op == diskfault.OpSync {
			return syscall.EIO
		}
		return nil
	}
	log.Sent(idOf(2), noon)
	if err := log.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: wanted EIO, got %v", err)
	}
	d.Fault = nil
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	if got, err := collect(t, d); err != nil || len(got) != 2 || len(d.Files(".tally")) != 2 {
		t.Errorf("read %v, %v from %v; wanted two records from two files", got, err, d.Files(".tally"))
	}
}

func TestPruneRemovesDaysThatAreOver(t *testing.T) {
	d := new(diskfault.Disk)
	log := mustOpenDoors(t, d)
	replies, err := openReplies(d, "t", atNoon)
	if err != nil {
		t.Fatal(err)
	}
	for day := range 4 {
		log.Sent(idOf(day), noon.AddDate(0, 0, -day))
		replies.Answer(doppelboden.Outcome{At: noon.AddDate(0, 0, -day)})
	}
	if err := replies.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := log.Prune(noon.AddDate(0, 0, -1)); err != nil {
		t.Fatal(err)
	}
	got, err := collect(t, d)
	if err != nil || len(got) != 2 || got[0].ID != idOf(1) || got[1].ID != idOf(0) {
		t.Errorf("after prune: %v, %v; wanted those of today and yesterday", got, err)
	}
	log.Sent(idOf(9), noon.AddDate(0, 0, -3)) // a late one makes the day again
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err = collect(t, d); err != nil || len(got) != 3 {
		t.Errorf("after a late record: %v, %v", got, err)
	}
	if n := len(d.Files(".tally")); n != 3+4 {
		t.Errorf("%d files, wanted 3 of the doors and 4 of the couriers: %v", n, d.Files(".tally"))
	}
}

func TestManyGoroutinesLogAndSync(t *testing.T) {
	dir := t.TempDir()
	log, err := OpenDoors(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	const goroutines, each = 8, 300
	for g := range goroutines {
		all.Go(func() {
			for i := range each {
				log.Intent(idOf(g*each+i), 1, noon.Add(time.Duration(i)*time.Hour))
				if err := log.Sync(); err != nil {
					t.Errorf("sync: %v", err)
				}
			}
		})
	}
	all.Go(func() {
		for range 20 {
			if err := errors.Join(log.Flush(), log.Prune(noon.AddDate(-1, 0, 0))); err != nil {
				t.Errorf("flush and prune: %v", err)
			}
		}
	})
	all.Wait()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	seen := make(map[doppelboden.ID]bool)
	err = ReadDoors(dir, always[0], always[1], func(r DoorRecord) error { seen[r.ID] = true; return nil })
	if err != nil || len(seen) != goroutines*each {
		t.Errorf("read %d records, %v; wanted %d", len(seen), err, goroutines*each)
	}
	log.Sent(idOf(1), noon)
	if err := log.Sync(); err == nil {
		t.Error("a record after close was lost without an error")
	}
}
