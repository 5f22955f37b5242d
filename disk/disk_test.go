package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/disk/diskfault"
)

func TestAGroupNeverCountsARunThatBeganBeforeTheCall(t *testing.T) {
	var runs atomic.Int64
	begun, goOn := make(chan struct{}), make(chan struct{})
	g := disk.NewGroup(func() error {
		n := runs.Add(1)
		if n == 1 {
			close(begun)
			<-goOn
		}
		return fmt.Errorf("run %d", n)
	})
	var first, second error
	var all sync.WaitGroup
	all.Go(func() { first = g.Do() })
	<-begun
	arrived := make(chan struct{})
	all.Go(func() { close(arrived); second = g.Do() })
	<-arrived
	close(goOn)
	all.Wait()
	if first == nil || first.Error() != "run 1" {
		t.Errorf("who began the first run got %v, wanted run 1", first)
	}
	if second == nil || second.Error() != "run 2" {
		t.Errorf("who came during the first run got %v, wanted run 2", second)
	}
}

func TestManyCallersShareFewRuns(t *testing.T) {
	// Every caller raises the counter and then asks; the run that answers must have
	// seen at least that much.
	var counter, seen, runs atomic.Int64
	g := disk.NewGroup(func() error {
		runs.Add(1)
		seen.Store(counter.Load())
		return nil
	})
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for range 200 {
				mine := counter.Add(1)
				if err := g.Do(); err != nil {
					t.Error(err)
				}
				if got := seen.Load(); got < mine {
					t.Errorf("the run had seen %d, wanted at least %d", got, mine)
				}
			}
		})
	}
	all.Wait()
	if n := runs.Load(); n > 32*200 {
		t.Errorf("%d runs for %d calls", n, 32*200)
	}
}

// TestWhatSyncReportedSurvivesFailuresAndCrashes plays an Appender against a disk that
// fails at random and forgets like Linux. It was shown to find its fault: without the
// new part after a failed sync (sync on the same file again), and with the linked flag
// always true (no sync of the folder), it turns red within a second.
func TestWhatSyncReportedSurvivesFailuresAndCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := new(diskfault.Disk)
		if err := d.Mkdir("d"); err != nil {
			t.Fatal(err)
		}
		broken := rapid.SampledFrom([]string{"", diskfault.OpSync, diskfault.OpSyncDir, diskfault.OpWrite, diskfault.OpCreate, diskfault.OpRemove, diskfault.OpAllocate})
		var now string
		d.Fault = func(op, _ string) error {
			if op == now {
				return syscall.EIO
			}
			return nil
		}
		l := disk.Log{Dir: "d", Base: "x", Ext: ".log"}
		starts := []int64{}
		a, err := disk.NewAppender(d, l, 0, []string{"."}, func(from int64) { starts = append(starts, from) })
		if err != nil {
			t.Fatal(err)
		}
		var took, promised []byte
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = broken.Draw(t, "broken")
			if rapid.Bool().Draw(t, "sync") {
				if a.Sync() == nil {
					promised = bytes.Clone(took)
				}
				continue
			}
			rec := bytes.Repeat([]byte{byte(i + 1)}, rapid.IntRange(1, 2000).Draw(t, "size"))
			off, err := a.Append(func(pos, synced int64) []byte {
				if pos != int64(len(took)) || synced < int64(len(promised)) {
					t.Fatalf("asked for a record at %d with %d synced, wanted %d and at least %d", pos, synced, len(took), len(promised))
				}
				return rec
			})
			if err == nil {
				if off != int64(len(took)) {
					t.Fatalf("appended at %d, wanted %d", off, len(took))
				}
				took = append(took, rec...)
			}
		}
		now = ""
		d.Crash(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") })
		got := assemble(t, d, l, int64(len(promised)))
		if !bytes.Equal(got, promised) {
			t.Fatalf("after the crash %d synced bytes are not what they were (parts %v)", len(promised), starts)
		}
	})
}

// assemble reads the first n bytes of a Log as a process that starts would.
func assemble(t *rapid.T, d *diskfault.Disk, l disk.Log, n int64) []byte {
	entries, err := d.List(l.Dir)
	if err != nil && n > 0 {
		t.Fatalf("list after the crash: %v", err)
	}
	starts := disk.Parts(entries, l.Ext)[l.Base]
	got := make([]byte, n)
	for i, from := range starts {
		to := n
		if i+1 < len(starts) {
			to = min(to, starts[i+1])
		}
		if from >= to {
			continue
		}
		data := d.Bytes(filepath.Join(l.Dir, l.Part(from)))
		if from < int64(len(data)) {
			copy(got[from:to], data[from:])
		}
	}
	return got
}

// TestTheDiskOfTheTestsForgetsAfterAFailedSync shows that the fault is there to be
// found: who syncs the same file again is told that all is well, and loses the bytes.
func TestTheDiskOfTheTestsForgetsAfterAFailedSync(t *testing.T) {
	d := new(diskfault.Disk)
	f, err := d.Create("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("lost"), 0); err != nil {
		t.Fatal(err)
	}
	d.Fault = func(op, _ string) error {
		if op == diskfault.OpSync {
			return syscall.EIO
		}
		return nil
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("first sync: wanted EIO, got %v", err)
	}
	d.Fault = nil
	if err := errors.Join(f.Sync(), d.SyncDir(".")); err != nil {
		t.Fatalf("second sync: %v", err)
	}
	d.Crash(func(n int) int { return n - 1 })
	if got := d.Bytes("x"); string(got) == "lost" {
		t.Error("the bytes are there; the disk of the tests is too kind")
	}
}

func TestAnAppenderEndsOnlyWhatIsSynced(t *testing.T) {
	d := new(diskfault.Disk)
	a, err := disk.NewAppender(d, disk.Log{Dir: ".", Base: "x", Ext: ".log"}, 0, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	put := func(s string) func(int64, int64) []byte { return func(int64, int64) []byte { return []byte(s) } }
	if _, err := a.Append(put("body")); err != nil {
		t.Fatal(err)
	}
	if err := a.End(put("end")); err == nil {
		t.Error("end before sync: wanted an error")
	}
	if err := errors.Join(a.Sync(), a.End(put("end"))); err != nil {
		t.Fatalf("sync and end: %v", err)
	}
	if got := string(d.Bytes("x.log")); got != "bodyend" {
		t.Errorf("the file holds %q, wanted %q", got, "bodyend")
	}
	if _, err := a.Append(put("more")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("append after the end: wanted fs.ErrClosed, got %v", err)
	}
}

func TestWriteNewNeverOverwritesAndReplaceDoes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	if err := disk.WriteNew(disk.OS{}, name, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteNew(disk.OS{}, name, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second WriteNew: wanted fs.ErrExist, got %v", err)
	}
	if got, _ := os.ReadFile(name); string(got) != "one" {
		t.Errorf("after the second WriteNew: %q", got)
	}
	if err := disk.Replace(disk.OS{}, name, []byte("three")); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(name); string(got) != "three" {
		t.Errorf("after Replace: %q", got)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v, %v; wanted 0600", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(name)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// TestAReplacedFileIsOldOrNewAfterACrash turns red when Replace leaves out the sync of
// the file.
func TestAReplacedFileIsOldOrNewAfterACrash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := new(diskfault.Disk)
		old, fresh := bytes.Repeat([]byte("o"), 3000), bytes.Repeat([]byte("n"), 3000)
		if err := disk.WriteNew(d, "key", old); err != nil {
			t.Fatal(err)
		}
		stop := rapid.IntRange(0, 8).Draw(t, "stop")
		d.Fault = func(string, string) error {
			if stop--; stop < 0 {
				return syscall.EIO
			}
			return nil
		}
		err := disk.Replace(d, "key", fresh)
		d.Fault = nil
		d.Crash(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") })
		got := d.Bytes("key")
		if !bytes.Equal(got, old) && !bytes.Equal(got, fresh) || err == nil && !bytes.Equal(got, fresh) {
			t.Fatalf("replace gave %v; after the crash the file has %d bytes that are neither, or the old ones", err, len(got))
		}
	})
}

func TestAFullDiskIsStorageFullAndOthersAreTemporary(t *testing.T) {
	for err, want := range map[error]doppelboden.Code{
		syscall.ENOSPC: doppelboden.StorageFull, syscall.EDQUOT: doppelboden.StorageFull,
		syscall.EROFS: doppelboden.Temporary, syscall.EIO: doppelboden.Temporary,
		&doppelboden.Error{Code: doppelboden.NotFound}: doppelboden.NotFound,
	} {
		if got := doppelboden.CodeOf(disk.Fail("try", &fs.PathError{Op: "write", Path: "x", Err: err})); got != want {
			t.Errorf("%v: code %v, wanted %v", err, got, want)
		}
	}
	if disk.Fail("try", nil) != nil {
		t.Error("no error became one")
	}
}

func TestPartNamesReadBackAndNothingElseDoes(t *testing.T) {
	l := disk.Log{Base: "0001", Ext: ".seg"}
	for _, from := range []int64{0, 1, 7340032} {
		base, got, ok := disk.ParsePart(l.Part(from), ".seg")
		if base != "0001" || got != from || !ok {
			t.Errorf("part %s read back as %s, %d, %v", l.Part(from), base, got, ok)
		}
	}
	for _, name := range []string{".seg", "0001.big", "0001+0.seg", "0001+-1.seg", "0001+01.seg", "0001+.seg", "+1.seg", "0001+9999999999999999999.seg", "0001+1+2.seg"} {
		if base, from, ok := disk.ParsePart(name, ".seg"); ok {
			t.Errorf("%q read as %q from %d", name, base, from)
		}
	}
}
