package segment

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/disk/diskfault"
)

// kept is a body and what it must read as.
type kept struct {
	body  doppelboden.Body
	plain []byte
}

// TestNothingThatSyncReportedIsEverLost plays bodies, syncs, moves, drops, a disk that
// breaks and power cuts in any order. What was synced must read; what was not may be
// gone, but must never read as something else; and no crash may look like damage.
//
// It was shown to find its fault: it turns red when the Appender syncs the same file
// again after a failed sync, when it or Writer.Close does not sync the folder, when
// Writer.Close does not sync the file, when a moved big body's name is not synced, and
// when headers claim more to be synced than is (a crash then looks like damage).
func TestNothingThatSyncReportedIsEverLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &crashModel{disk: new(diskfault.Disk), clock: new(testClock)}
		m.disk.Fault = func(op, name string) error {
			if op == m.broken {
				return m.err
			}
			if op == diskfault.OpAllocate && strings.HasSuffix(name, partExt) {
				return syscall.EOPNOTSUPP // else the test would mostly fill memory with zeros
			}
			return nil
		}
		m.reopen(t)
		t.Repeat(map[string]func(*rapid.T){
			"put": m.put, "sync": m.sync, "move": m.move, "drop": m.drop, "crash": m.crash,
			"break": m.breakDisk, "mend": func(*rapid.T) { m.broken = "" },
			"one bad sync": m.badSync,
			"midnight":     func(*rapid.T) { m.clock.advance(24 * time.Hour) },
			"":             m.check,
		})
	})
}

// crashModel is the state of that test.
type crashModel struct {
	disk   *diskfault.Disk
	clock  *testClock
	store  *Store
	broken string // the operation that fails
	err    error
	synced []kept
	fresh  []kept // put since the last good sync
}

func (m *crashModel) reopen(t *rapid.T) {
	s, damage, err := Open(Options{Dir: "d", Keys: plainKeys{}, Clock: m.clock.now, MaxFile: 20_000, FS: m.disk})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	for _, d := range damage {
		if !d.Torn {
			t.Fatalf("a crash looks like damage: %v", &d)
		}
	}
	m.store = s
}

func (m *crashModel) put(t *rapid.T) {
	n := rapid.SampledFrom([]int{0, 10, 700, 4096, 9000, MaxRecord + 1}).Draw(t, "size")
	plain := fill(n, byte(rapid.IntRange(0, 255).Draw(t, "seed")))
	b, err := m.store.Put(tenant, plain)
	switch {
	case err != nil && m.broken == "":
		t.Fatalf("put on a good disk: %v", err)
	case err == nil && n > MaxRecord:
		m.synced = append(m.synced, kept{b, plain})
	case err == nil:
		m.fresh = append(m.fresh, kept{b, plain})
	}
}

func (m *crashModel) sync(t *rapid.T) {
	if err := m.store.Sync(); err == nil {
		m.synced = append(m.synced, m.fresh...)
		m.fresh = nil
	} else if m.broken == "" {
		t.Fatalf("sync on a good disk: %v", err)
	}
}

func (m *crashModel) badSync(t *rapid.T) {
	m.broken, m.err = diskfault.OpSync, syscall.EIO
	m.sync(t)
	m.broken = ""
}

func (m *crashModel) move(t *rapid.T) {
	if len(m.synced) == 0 {
		t.Skip("nothing to move")
	}
	k := m.synced[rapid.IntRange(0, len(m.synced)-1).Draw(t, "body")]
	if b, err := m.store.Move(tenant, k.body); err == nil {
		m.fresh = append(m.fresh, kept{b, k.plain})
	} else if m.broken == "" {
		t.Fatalf("move on a good disk: %v", err)
	}
}

// drop removes a segment and what lies in it.
func (m *crashModel) drop(t *rapid.T) {
	if len(m.synced) == 0 || m.broken != "" {
		t.Skip("nothing to drop")
	}
	name := m.synced[rapid.IntRange(0, len(m.synced)-1).Draw(t, "body")].body.Segment
	if err := m.store.Drop(name); err != nil {
		if doppelboden.CodeOf(err) == doppelboden.Invalid {
			t.Skip("being written")
		}
		t.Fatalf("drop %s: %v", name, err)
	}
	gone := func(all []kept) (rest []kept) {
		for _, k := range all {
			if k.body.Segment != name {
				rest = append(rest, k)
			}
		}
		return rest
	}
	m.synced, m.fresh = gone(m.synced), gone(m.fresh)
	if err := m.store.Drop(name); err != nil {
		t.Fatalf("drop %s again: %v", name, err)
	}
}

func (m *crashModel) crash(t *rapid.T) {
	m.broken = ""
	m.disk.Crash(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") })
	m.reopen(t)
	for _, k := range m.fresh {
		if got, err := readBody(m.store, k.body); err == nil && !bytes.Equal(got, k.plain) {
			t.Fatalf("an unsynced body in %s at %d reads as something else", k.body.Segment, k.body.Offset)
		}
	}
	m.fresh = nil
	for _, k := range m.synced {
		m.checkOne(t, k)
	}
}

func (m *crashModel) breakDisk(t *rapid.T) {
	m.broken = rapid.SampledFrom([]string{diskfault.OpSync, diskfault.OpSyncDir, diskfault.OpWrite, diskfault.OpCreate,
		diskfault.OpMkdir, diskfault.OpRename, diskfault.OpTruncate, diskfault.OpAllocate}).Draw(t, "operation")
	m.err = rapid.SampledFrom([]error{syscall.EIO, syscall.ENOSPC, syscall.EROFS}).Draw(t, "error")
}

// check reads the small bodies. One that is not synced may be out of reach between a
// failed sync and the next good one.
func (m *crashModel) check(t *rapid.T) {
	for _, k := range m.fresh {
		if got, err := readBody(m.store, k.body); err == nil && !bytes.Equal(got, k.plain) {
			t.Fatalf("an unsynced body in %s at %d reads as something else", k.body.Segment, k.body.Offset)
		}
	}
	for _, k := range m.synced {
		if k.body.Size <= MaxRecord {
			m.checkOne(t, k)
		}
	}
}

// checkOne reads a body that was synced.
func (m *crashModel) checkOne(t *rapid.T, k kept) {
	if got, err := readBody(m.store, k.body); err != nil || !bytes.Equal(got, k.plain) {
		t.Fatalf("body in %s at %d: %d bytes of %d, %v", k.body.Segment, k.body.Offset, len(got), len(k.plain), err)
	}
}

func TestAPutThatLandsDuringASyncIsNotCountedAsSynced(t *testing.T) {
	d := new(diskfault.Disk)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.Fault = func(op, _ string) error {
		if op == diskfault.OpSync {
			once.Do(func() { close(begun); <-goOn })
		}
		return nil
	}
	s, _ := openTest(t, d, nil, 0)
	mustPut(t, s, fill(100, 1))
	var all sync.WaitGroup
	all.Go(func() {
		if err := s.Sync(); err != nil {
			t.Errorf("first sync: %v", err)
		}
	})
	<-begun
	late := mustPut(t, s, fill(100, 2))
	called := make(chan struct{})
	all.Go(func() {
		close(called)
		if err := s.Sync(); err != nil {
			t.Errorf("second sync: %v", err)
		}
	})
	<-called
	close(goOn)
	all.Wait()
	d.Crash(func(n int) int { return n - 1 })
	s, _ = openTest(t, d, nil, 0)
	wantBody(t, s, late, fill(100, 2))
}

func TestAfterAFailedSyncTheBytesAreInANewFileBeforeSyncSucceeds(t *testing.T) {
	d := new(diskfault.Disk)
	broken := false
	d.Fault = func(op, _ string) error {
		if broken && op == diskfault.OpSync {
			return syscall.EIO
		}
		return nil
	}
	s, _ := openTest(t, d, nil, 0)
	before := mustPut(t, s, fill(100, 1))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	broken = true
	doubtful := mustPut(t, s, fill(200, 2))
	for range 3 {
		err := s.Sync()
		if !errors.Is(err, syscall.EIO) || doppelboden.CodeOf(err) != doppelboden.Temporary {
			t.Errorf("sync of a broken disk: wanted a temporary EIO, got %v", err)
		}
	}
	broken = false
	after := mustPut(t, s, fill(300, 3))
	if err := s.Sync(); err != nil {
		t.Fatalf("sync of the mended disk: %v", err)
	}
	// What the first file holds behind the last good sync is rubbish now.
	end := headerSize + 100 + tagSize
	d.Damage("d/20261122/0001.seg", func(b []byte) []byte { clear(b[end:]); return b })
	for _, crash := range []bool{false, true} {
		if crash {
			d.Crash(func(n int) int { return n - 1 })
			var damage []Damage
			if s, damage = openTest(t, d, nil, 0); len(damage) > 0 {
				t.Errorf("damage after the crash: %v", damage)
			}
		}
		wantBody(t, s, before, fill(100, 1))
		wantBody(t, s, doubtful, fill(200, 2))
		wantBody(t, s, after, fill(300, 3))
		if damage := verifyAll(t, s); len(damage) > 0 {
			t.Errorf("verify: %v", damage)
		}
	}
	if want := fmt.Sprintf("[d/20261122/0001+%d.seg d/20261122/0001.seg]", end); fmt.Sprint(d.Files(segExt)) != want {
		t.Errorf("files %v, wanted %s", d.Files(segExt), want)
	}
	if err := s.Drop(before.Segment); err != nil {
		t.Fatal(err)
	}
	if left := d.Files(segExt); len(left) > 0 {
		t.Errorf("drop left %v", left)
	}
}

func TestAFullDiskRefusesAndGoesOnByItself(t *testing.T) {
	d := new(diskfault.Disk)
	full := false
	d.Fault = func(op, _ string) error {
		if full && (op == diskfault.OpWrite || op == diskfault.OpAllocate || op == diskfault.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	}
	s, _ := openTest(t, d, nil, 0)
	first := mustPut(t, s, fill(1000, 1))
	full = true
	for _, n := range []int{900, MaxRecord + 1} {
		if _, err := s.Put(tenant, fill(n, 2)); doppelboden.CodeOf(err) != doppelboden.StorageFull {
			t.Errorf("put of %d bytes on a full disk: wanted code storage_full, got %v", n, err)
		}
	}
	if err := s.Sync(); err != nil {
		t.Errorf("sync of what was put before: %v", err)
	}
	full = false
	second := mustPut(t, s, fill(500, 3))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := d.Files(partExt); len(left) > 0 {
		t.Errorf("unfinished files stay: %v", left)
	}
	s, damage := openTest(t, d, nil, 0)
	if damage = append(damage, verifyAll(t, s)...); len(damage) > 0 {
		t.Errorf("damage: %v", damage)
	}
	wantBody(t, s, first, fill(1000, 1))
	wantBody(t, s, second, fill(500, 3))
}

func TestABigBodyWhoseSyncFailsIsNotHandedOut(t *testing.T) {
	for _, op := range []string{diskfault.OpSync, diskfault.OpRename, diskfault.OpSyncDir, diskfault.OpTruncate} {
		d := new(diskfault.Disk)
		s, _ := openTest(t, d, nil, 0)
		w, err := s.Create(tenant)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(fill(1<<20, 1)); err != nil {
			t.Fatal(err)
		}
		d.Fault = func(o, _ string) error {
			if o == op {
				return syscall.EIO
			}
			return nil
		}
		if b, err := w.Close(); err == nil {
			t.Errorf("%s failed and Close returned %v", op, b)
		}
		if left := d.Files(""); len(left) > 0 {
			t.Errorf("%s failed and left %v", op, left)
		}
	}
}
