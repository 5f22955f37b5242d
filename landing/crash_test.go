package landing

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/disk/diskfault"
	"doppelboden/ledger"
)

// TestNothingThatWasAcknowledgedIsEverLost plays mail, a disk that breaks, power cuts, ends
// and beginnings of the process, nights, and a store that dies, in any order. In the end
// the store must have every message whose Accept returned nil, none whose body is not
// there, each once, and chains without gaps.
//
// It was shown to find its fault: it turns red when Accept answers before the journal's
// sync or without that of the bodies, when a start takes what lies behind the last sure
// place without looking for bodies, when it cuts there all the same, when the drainer
// forgets what the store did not take, and when a second try of a message is written anew.
func TestNothingThatWasAcknowledgedIsEverLost(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		m := &crashModel{quay: quay{base: newBase(), disk: new(diskfault.Disk), dir: dir, now: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)},
			bodies: map[doppelboden.ID]bool{}}
		m.disk.Fault = func(op, _ string) error {
			if op == diskfault.OpAllocate {
				return syscall.EOPNOTSUPP // else the test would mostly fill memory with zeros
			}
			if m.breaks(op) {
				return errors.New("the disk breaks at " + op)
			}
			return nil
		}
		m.sync = m.syncBodies
		m.whole = func(one *doppelboden.Message) bool { return m.bodies[one.ID] }
		if err := m.disk.Mkdir(dir); err != nil {
			t.Fatal(err)
		}
		for above := dir; above != filepath.Dir(above); above = filepath.Dir(above) {
			if err := m.disk.SyncDir(filepath.Dir(above)); err != nil {
				t.Fatal(err)
			}
		}
		m.reopen(t)
		defer m.leave()
		t.Repeat(map[string]func(*rapid.T){
			"accept": m.acceptOne, "accept again": m.acceptAgain, "crash": m.crash, "restart": m.restart,
			"break":       func(t *rapid.T) { m.setBroken(rapid.SampledFrom(m.ops()).Draw(t, "op")) },
			"mend":        func(*rapid.T) { m.setBroken("") },
			"midnight":    func(*rapid.T) { m.mu.Lock(); m.now = m.now.Add(24 * time.Hour); m.mu.Unlock() },
			"store dies":  func(*rapid.T) { m.base.die(errors.New("gone")) },
			"store lives": func(*rapid.T) { m.base.die(nil) },
			"drain":       m.drain,
		})
		m.setBroken("")
		m.base.die(nil)
		m.restart(t)
		m.drain(t)
		m.check(t)
	})
}

// A crashModel is the state of that test. bodies is true for those that are on the disk.
type crashModel struct {
	quay
	bodies map[doppelboden.ID]bool
	acked  []doppelboden.ID
	tried  []*doppelboden.Message // of this run, not acknowledged
	broken string
}

func (m *crashModel) breaks(op string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return op == m.broken
}

func (m *crashModel) setBroken(op string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = op
}

func (m *crashModel) ops() []string {
	return []string{diskfault.OpSync, diskfault.OpWrite, diskfault.OpCreate, "bodies"}
}

// syncBodies is what package segment does.
func (m *crashModel) syncBodies() error {
	if m.breaks("bodies") {
		return errors.New("the bodies' disk breaks")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.bodies {
		m.bodies[id] = true
	}
	return nil
}

func (m *crashModel) reopen(t *rapid.T) {
	l, err := Open(Options{
		Dir: m.dir, Store: m.base, Chain: ledger.NewChain("node", m.now), Sync: []func() error{func() error { return m.sync() }},
		Whole: m.whole, Drained: m.drained,
		Clock: func() time.Time { m.mu.Lock(); defer m.mu.Unlock(); return m.now },
		Log:   slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), FS: m.disk,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.drainer.pace, l.drainer.most = 0, time.Millisecond
	m.Landing = l
	m.tried = nil
}

func (m *crashModel) put(t *rapid.T, one *doppelboden.Message) {
	_, err := m.Accept(t.Context(), one)
	if err == nil {
		m.acked = append(m.acked, one.ID)
		m.tried = slices.DeleteFunc(m.tried, func(o *doppelboden.Message) bool { return o == one })
		return
	}
	if !slices.Contains(m.tried, one) {
		m.tried = append(m.tried, one)
	}
}

func (m *crashModel) acceptOne(t *rapid.T) {
	one := m.message()
	m.mu.Lock()
	m.bodies[one.ID] = false
	m.mu.Unlock()
	m.put(t, one)
}

func (m *crashModel) acceptAgain(t *rapid.T) {
	if len(m.tried) == 0 {
		t.Skip("nothing was put off")
	}
	m.put(t, rapid.SampledFrom(m.tried).Draw(t, "message"))
}

// crash ends the process and cuts the power.
func (m *crashModel) crash(t *rapid.T) {
	if m.stopRun != nil {
		m.stopRun()
		m.stopRun = nil
	}
	m.stop()
	m.work.Wait()
	m.disk.Crash(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "unsynced") })
	for id, there := range m.bodies {
		if !there && rapid.Bool().Draw(t, "body") {
			delete(m.bodies, id) // the others were written after all
		}
	}
	for id := range m.bodies {
		m.bodies[id] = true
	}
	m.setBroken("")
	m.reopen(t)
}

func (m *crashModel) restart(t *rapid.T) {
	m.setBroken("") // a node on a broken disk does not start
	m.leave()
	m.reopen(t)
}

func (m *crashModel) drain(t *rapid.T) {
	if m.stopRun == nil {
		m.run()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := m.CatchUp(ctx)
		if err == nil || m.base.isDead() {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("CatchUp with a store that lives: %v", err)
		}
	}
}

func (m *crashModel) check(t *rapid.T) {
	for _, id := range m.acked {
		if m.base.messages[id] != 1 {
			t.Fatalf("%v was acknowledged and is in the store %d times", id, m.base.messages[id])
		}
	}
	for _, id := range m.base.order {
		if !m.bodies[id] {
			t.Fatalf("%v is in the store without its body", id)
		}
	}
	seen := map[doppelboden.ID]bool{}
	for chain, links := range m.base.links {
		for i, l := range links {
			if l.Number != int64(i+1) {
				t.Fatalf("chain %s: link %d has number %d", chain, i+1, l.Number)
			}
			list, err := ledger.Decode(l)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				if seen[e.Message] {
					t.Fatalf("the ledger has %v twice", e.Message)
				}
				seen[e.Message] = true
			}
		}
	}
}

func TestDamageWithinWhatWasSureIsNamedAndTheRestIsDrained(t *testing.T) {
	q := newQuay(t)
	var all []*doppelboden.Message
	for range 5 {
		all = append(all, q.accept(t))
	}
	at := q.journal.days[0]
	if err := q.leave(); err != nil {
		t.Fatal(err)
	}
	name := q.dir + "/" + disk.Log{Base: at.base, Ext: ext}.Name()
	f, err := q.disk.OpenWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	h, _, ok, err := readRecord(f, 0)
	if !ok || err != nil {
		t.Fatalf("the first record: %v, %v", ok, err)
	}
	if _, err := f.WriteAt([]byte{0xff}, h.end()+headerSize+3); err != nil { // in the second
		t.Fatal(err)
	}
	size, _ := f.Size()
	if err := f.Truncate(size - headerSize); err != nil { // as after a crash, so that all is read
		t.Fatal(err)
	}
	f.Close()
	q.open(t)
	if len(q.Damage()) != 1 || q.Damage()[0].Offset != h.end() {
		t.Errorf("damage %v, want one at %d", q.Damage(), h.end())
	}
	q.run()
	q.caughtUp(t)
	for i, m := range all {
		if got, want := q.base.has(m.ID), i != 1; got != want {
			t.Errorf("message %d in the store: %v, want %v", i, got, want)
		}
	}
}
