package tally

import (
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"doppelboden/disk/diskfault"
)

// TestNoRecordThatSyncReportedIsEverLostOrThereTwice plays records, syncs, a disk that
// breaks and power cuts. It was shown to find its fault: it turns red when a failed
// write drops the buffer, when the Appender syncs the same file again after a failed
// sync, when confirmEnd leaves out its sync, and when readPart takes for damage what a
// power cut left.
func TestNoRecordThatSyncReportedIsEverLostOrThereTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &crashModel{disk: new(diskfault.Disk), clock: noon}
		m.disk.Fault = func(op, _ string) error {
			if op == m.broken {
				return syscall.EIO
			}
			return nil
		}
		m.reopen(t)
		t.Repeat(map[string]func(*rapid.T){
			"log": func(t *rapid.T) {
				at := m.clock.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 0, -13, -60}).Draw(t, "hours")) * time.Hour)
				for range rapid.IntRange(1, 40).Draw(t, "records") {
					m.next++
					m.pending = append(m.pending, m.next)
					m.log.Intent(idOf(m.next), m.next, at)
				}
			},
			"flush": func(t *rapid.T) { m.may(t, m.log.Flush()) },
			"sync": func(t *rapid.T) {
				if m.may(t, m.log.Sync()) {
					m.promise()
				}
			},
			"close": func(t *rapid.T) {
				if m.may(t, m.log.Close()) {
					m.promise()
				}
				m.pending = nil
				m.reopen(t)
			},
			"tomorrow": func(*rapid.T) { m.clock = m.clock.Add(24 * time.Hour) },
			"break": func(t *rapid.T) {
				m.broken = rapid.SampledFrom([]string{diskfault.OpSync, diskfault.OpSyncDir, diskfault.OpWrite, diskfault.OpCreate,
					diskfault.OpTruncate, diskfault.OpAllocate, diskfault.OpRemove}).Draw(t, "operation")
			},
			"mend": func(*rapid.T) { m.broken = "" },
			"one bad sync": func(t *rapid.T) {
				m.broken = diskfault.OpSync
				m.may(t, m.log.Sync())
				m.broken = ""
			},
			"crash": func(t *rapid.T) {
				m.broken = ""
				m.disk.Crash(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") })
				m.reopen(t)
				m.check(t)
				m.pending, m.must = nil, m.seen // nothing that is there now may go any more
			},
			"kill": func(t *rapid.T) {
				m.broken, m.pending = "", nil
				m.reopen(t)
			},
			"": m.check,
		})
	})
}

// crashModel is the state of that test. Records are numbered.
type crashModel struct {
	disk    *diskfault.Disk
	clock   time.Time
	log     *Doors
	broken  string
	next    int          // the last record
	must    map[int]bool // what must be there
	pending []int        // what was logged by this process and is in no promise yet
	seen    map[int]bool // what the last check read
}

// promise notes that all that was logged must be there from now on.
func (m *crashModel) promise() {
	if m.must == nil {
		m.must = make(map[int]bool)
	}
	for _, n := range m.pending {
		m.must[n] = true
	}
	m.pending = nil
}

func (m *crashModel) reopen(t *rapid.T) {
	var err error
	broken := m.broken
	m.broken = ""
	if m.log, err = openDoors(m.disk, "t", func() time.Time { return m.clock }); err != nil {
		t.Fatalf("open: %v", err)
	}
	m.broken = broken
}

// may reports whether there was no error; there may be one while the disk is broken.
func (m *crashModel) may(t *rapid.T, err error) bool {
	if err != nil && m.broken == "" {
		t.Fatalf("an error of a good disk: %v", err)
	}
	return err == nil
}

func (m *crashModel) check(t *rapid.T) {
	m.seen = make(map[int]bool)
	err := readDoors(m.disk, "t", always[0], always[1], func(r DoorRecord) error {
		if m.seen[r.Recipients] || r.ID != idOf(r.Recipients) || r.Recipients > m.next {
			t.Fatalf("record %d of %d is there twice or is not what was logged", r.Recipients, m.next)
		}
		m.seen[r.Recipients] = true
		return nil
	})
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	for n := range m.must {
		if !m.seen[n] {
			t.Fatalf("record %d of %d is missing", n, m.next)
		}
	}
}
