package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/store"
)

// memory is a store.Keys that keeps the contract, and fails when told to: before it
// does what was asked, or after (an unknown commit).
type memory struct {
	mu     sync.Mutex
	keys   map[[2]int64]store.TenantKey
	bodies map[doppelboden.ID]store.BodyOf
	fail   func() (before, after bool) // nil: never
}

var errMemory = errors.New("the store broke")

func newMemory() *memory {
	return &memory{keys: make(map[[2]int64]store.TenantKey), bodies: make(map[doppelboden.ID]store.BodyOf)}
}

// try runs do between the two failures.
func (m *memory) try(do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var before, after bool
	if m.fail != nil {
		before, after = m.fail()
	}
	if before {
		return errMemory
	}
	if err := do(); err != nil {
		return err
	}
	if after {
		return errMemory
	}
	return nil
}

func (m *memory) TenantKeys(context.Context) (rows []store.TenantKey, err error) {
	err = m.try(func() error {
		for _, k := range m.keys {
			rows = append(rows, k)
		}
		return nil
	})
	return rows, err
}

func (m *memory) PutTenantKey(_ context.Context, k store.TenantKey) error {
	return m.try(func() error {
		m.keys[[2]int64{int64(k.Tenant), int64(k.Version)}] = k
		return nil
	})
}

func (m *memory) DeleteTenantKey(_ context.Context, t doppelboden.TenantID, version int) error {
	return m.try(func() error {
		for _, b := range m.bodies {
			if b.Tenant == t && b.Body.KeyVersion == version {
				return &doppelboden.Error{Code: doppelboden.Invalid, Public: "in use"}
			}
		}
		delete(m.keys, [2]int64{int64(t), int64(version)})
		return nil
	})
}

func (m *memory) Bodies(_ context.Context, t doppelboden.TenantID, version, limit int) (found []store.BodyOf, err error) {
	err = m.try(func() error {
		for _, b := range m.bodies {
			if b.Tenant == t && b.Body.KeyVersion == version && len(found) < limit {
				found = append(found, b)
			}
		}
		return nil
	})
	return found, err
}

func (m *memory) Rewrap(_ context.Context, bodies []store.BodyOf) error {
	return m.try(func() error {
		for _, b := range bodies {
			if _, ok := m.bodies[b.Message]; ok {
				m.bodies[b.Message] = b
			}
		}
		return nil
	})
}

var _ store.Keys = (*memory)(nil)

// clock is a clock that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

// freshMaster writes a master file and returns its path.
func freshMaster(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	if err := NewMaster(path); err != nil {
		t.Fatalf("new master: %v", err)
	}
	return path
}

func loadMaster(t testing.TB, path string) Master {
	t.Helper()
	m, err := LoadMaster(path)
	if err != nil {
		t.Fatalf("load master: %v", err)
	}
	return m
}

func openRing(t testing.TB, m Master, keys store.Keys) *Ring {
	t.Helper()
	r, err := Open(t.Context(), m, keys, newClock().now)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return r
}

func TestAMasterFileThatOthersCouldReadIsRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o000, 0o200, 0o440, 0o604, 0o640, 0o660, 0o700, 0o777} {
		path := freshMaster(t)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadMaster(path)
		if doppelboden.CodeOf(err) != doppelboden.Invalid {
			t.Errorf("mode %04o: wanted code invalid, got %v", mode, err)
		} else if os.Geteuid() == 0 && !strings.Contains(err.Error(), fmt.Sprintf("mode %04o, must be 0600", mode)) {
			t.Errorf("mode %04o: the error does not say what would be right: %v", mode, err)
		}
	}
}

func TestAMasterFileOfAnotherUserIsRefused(t *testing.T) {
	f, err := os.Open(freshMaster(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = checkOwner("x", f, os.Geteuid()+1)
	if doppelboden.CodeOf(err) != doppelboden.Invalid || !strings.Contains(err.Error(), "must belong to user") {
		t.Errorf("wanted an error about the owner, got %v", err)
	}
}

func TestABrokenMasterFileIsRefusedAndItsKeyNeverShown(t *testing.T) {
	good := "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="
	for text, want := range map[string]string{
		"":                                   "holds no key",
		"# nothing\n":                        "holds no key",
		good:                                 "line 1: wanted a version",
		"\n0 " + good:                        "line 2: wanted a version",
		"-1 " + good:                         "line 1: wanted a version",
		"x " + good:                          "line 1: wanted a version",
		"1 " + good[:40]:                     "has 30 bytes, must have 32",
		"1 " + good[:39] + "!":               "is not base64",
		"1 " + strings.Repeat("A", 43) + "=": "all zeros",
		"1 " + good + "\n1 " + good:          "line 2: version 1 is there twice",
		strings.Repeat("#", 20000):           "longer than",
	} {
		path := filepath.Join(t.TempDir(), "master.key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadMaster(path)
		if doppelboden.CodeOf(err) != doppelboden.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: wanted an error with %q, got %v", text, want, err)
		}
		if err != nil && strings.Contains(err.Error(), good[:20]) {
			t.Errorf("%.30q: the error shows the key: %v", text, err)
		}
	}
	if _, err := LoadMaster(filepath.Join(t.TempDir(), "none")); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("no file: wanted code invalid, got %v", err)
	}
	if _, err := LoadMaster(t.TempDir()); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("a folder: wanted code invalid, got %v", err)
	}
}

func TestAMasterNeverPrintsItsKeys(t *testing.T) {
	m := loadMaster(t, freshMaster(t))
	key := m.keys[1]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if got := fmt.Sprintf(verb, m); got != "master key (hidden)" {
			t.Errorf("%s printed %q", verb, got)
		}
	}
	if len(key) != keySize || bytes.Equal(key[:], make([]byte, keySize)) {
		t.Errorf("the fresh key is %x", key)
	}
}

func TestNewMasterNeverOverwrites(t *testing.T) {
	path := freshMaster(t)
	before, _ := os.ReadFile(path)
	if err := NewMaster(path); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("second NewMaster: wanted code invalid, got %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

func TestAWrappedKeyOpensOnlyForItsTenantAndVersion(t *testing.T) {
	r := openRing(t, loadMaster(t, freshMaster(t)), newMemory())
	if err := r.Ensure(t.Context(), []doppelboden.TenantID{1, 2}); err != nil {
		t.Fatal(err)
	}
	key := [32]byte{1, 2, 3}
	wrapped, version, err := r.Wrap(1, &key)
	if err != nil || version != 1 {
		t.Fatalf("wrap: version %d, %v", version, err)
	}
	if got, err := r.Unwrap(1, 1, wrapped); err != nil || got != key {
		t.Errorf("unwrap: %x, %v", got, err)
	}
	if _, err := r.Unwrap(2, 1, wrapped); err == nil {
		t.Error("another tenant's key unwrapped it")
	}
	if _, err := r.Unwrap(1, 2, wrapped); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("a version that is not there: wanted code not_found, got %v", err)
	}
	if _, _, err := r.Wrap(3, &key); doppelboden.CodeOf(err) != doppelboden.NotFound {
		t.Errorf("a tenant without a key: wanted code not_found, got %v", err)
	}
	for i := range wrapped {
		bad := bytes.Clone(wrapped)
		bad[i] ^= 1
		if _, err := r.Unwrap(1, 1, bad); err == nil {
			t.Errorf("a flipped bit in byte %d was not noticed", i)
		}
		if _, err := r.Unwrap(1, 1, wrapped[:i]); err == nil {
			t.Errorf("a wrapped key of %d bytes was taken", i)
		}
	}
}

func TestARowThatWasSwappedBetweenTenantsIsRefusedAtOpen(t *testing.T) {
	m, keys := loadMaster(t, freshMaster(t)), newMemory()
	r := openRing(t, m, keys)
	if err := r.Ensure(t.Context(), []doppelboden.TenantID{1, 2}); err != nil {
		t.Fatal(err)
	}
	one, two := keys.keys[[2]int64{1, 1}], keys.keys[[2]int64{2, 1}]
	one.Wrapped, two.Wrapped = two.Wrapped, one.Wrapped
	keys.keys[[2]int64{1, 1}], keys.keys[[2]int64{2, 1}] = one, two
	if _, err := Open(t.Context(), m, keys, newClock().now); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("wanted code invalid, got %v", err)
	}
	other := loadMaster(t, freshMaster(t))
	if _, err := Open(t.Context(), other, keys, newClock().now); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("another master key: wanted code invalid, got %v", err)
	}
}

func TestAnOldVersionIsKeptDuringTheGraceForBodiesOnTheirWay(t *testing.T) {
	keys, c := newMemory(), newClock()
	r, err := Open(t.Context(), loadMaster(t, freshMaster(t)), keys, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Ensure(t.Context(), []doppelboden.TenantID{1}); err != nil {
		t.Fatal(err)
	}
	key := [32]byte{5}
	wrapped, version, err := r.Wrap(1, &key) // a message that is just being accepted
	if err != nil {
		t.Fatal(err)
	}
	o := Rotation{Grace: Grace}
	if version, err := r.Rotate(t.Context(), 1); err != nil || version != 2 {
		t.Fatalf("rotate: version %d, %v; wanted 2", version, err)
	}
	if err := r.Finish(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.Versions(1)); got != "[1 2]" {
		t.Fatalf("right after the rotation there are versions %v, wanted [1 2]", got)
	}
	// Its commit comes only now.
	keys.bodies[doppelboden.ID{1}] = store.BodyOf{Tenant: 1, Message: doppelboden.ID{1},
		Body: doppelboden.Body{Key: wrapped, KeyVersion: version}}
	c.at = c.at.Add(Grace)
	if err := r.Finish(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.Versions(1)); got != "[2]" {
		t.Errorf("after the grace there are versions %v, wanted [2]", got)
	}
	b := keys.bodies[doppelboden.ID{1}].Body
	if got, err := r.Unwrap(1, b.KeyVersion, b.Key); err != nil || got != key || b.KeyVersion != 2 {
		t.Errorf("the late body has version %d and reads as %x, %v", b.KeyVersion, got, err)
	}
}

// TestEveryBodyKeyOpensWhateverBreaks plays messages, rotations of both kinds, crashes
// and unknown commits in any order. After each step every body in the store must open
// with the ring and with a ring that starts now. It was shown to find its fault: it
// turns red when add uses a key before the store has it, when rewrap stops after a
// batch of two, and when RotateMaster wraps only the keys that the ring knows.
func TestEveryBodyKeyOpensWhateverBreaks(t *testing.T) {
	path := freshMaster(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		newModel(t, path).run(t)
	})
}

// model is the state of that test.
type model struct {
	path string
	keys *memory
	time *clock
	ring *Ring
	want map[doppelboden.ID][32]byte
	next uint16
}

func newModel(t *rapid.T, path string) *model {
	m := &model{path: path, keys: newMemory(), time: newClock(), want: make(map[doppelboden.ID][32]byte)}
	m.reopen(t)
	return m
}

// reopen starts a new process.
func (m *model) reopen(t *rapid.T) {
	master, err := LoadMaster(m.path)
	if err != nil {
		t.Fatalf("load master: %v", err)
	}
	m.keys.fail = nil
	if m.ring, err = Open(t.Context(), master, m.keys, m.time.now); err != nil {
		t.Fatalf("open: %v", err)
	}
}

// breakSoon makes one of the next calls of the store fail.
func (m *model) breakSoon(t *rapid.T) {
	left, after := rapid.IntRange(0, 8).Draw(t, "calls until it breaks"), rapid.Bool().Draw(t, "after the commit")
	m.keys.fail = func() (bool, bool) {
		left--
		return left < 0 && !after, left < 0 && after
	}
}

func (m *model) run(t *rapid.T) {
	tenants := []doppelboden.TenantID{1, 2}
	ctx := context.Background()
	report := func(err error) {
		m.keys.fail = nil
		if err != nil && !errors.Is(err, errMemory) && doppelboden.CodeOf(err) != doppelboden.NotFound {
			t.Fatalf("an error that nobody made: %v", err)
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"accept": func(t *rapid.T) {
			for range rapid.IntRange(1, 5).Draw(t, "messages") {
				id := rapid.SampledFrom(tenants).Draw(t, "tenant")
				m.next++
				key := [32]byte{byte(m.next), byte(m.next >> 8), 9}
				wrapped, version, err := m.ring.Wrap(id, &key)
				if err != nil {
					t.Skip("no key yet")
				}
				message := doppelboden.ID{byte(m.next), byte(m.next >> 8)}
				m.keys.bodies[message] = store.BodyOf{Tenant: id, Message: message, Body: doppelboden.Body{Key: wrapped, KeyVersion: version}}
				m.want[message] = key
			}
		},
		"ensure": func(t *rapid.T) { m.breakSoon(t); report(m.ring.Ensure(ctx, tenants)) },
		"rotate": func(t *rapid.T) {
			m.breakSoon(t)
			_, err := m.ring.Rotate(ctx, rapid.SampledFrom(tenants).Draw(t, "tenant"))
			report(err)
		},
		"finish": func(t *rapid.T) {
			m.breakSoon(t)
			report(m.ring.Finish(ctx, Rotation{Guard: new(sync.Mutex)}))
		},
		"master": func(t *rapid.T) {
			if err := AddMaster(m.path); err != nil {
				t.Fatal(err)
			}
			master, err := LoadMaster(m.path)
			if err != nil {
				t.Fatal(err)
			}
			m.breakSoon(t)
			err = m.ring.RotateMaster(ctx, master)
			report(err)
			if err == nil {
				if err := PruneMaster(m.path); err != nil {
					t.Fatal(err)
				}
			}
		},
		"crash": m.reopen,
		"": func(t *rapid.T) {
			m.check(t, m.ring)
			master, err := LoadMaster(m.path)
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := Open(ctx, master, m.keys, m.time.now)
			if err != nil {
				t.Fatalf("open beside: %v", err)
			}
			m.check(t, fresh)
		},
	})
	// In the end a rotation without trouble leaves one version.
	if err := m.ring.Finish(ctx, Rotation{}); err != nil {
		t.Fatalf("last finish: %v", err)
	}
	for _, id := range tenants {
		if n := len(m.ring.Versions(id)); n > 1 {
			t.Fatalf("tenant %d still has versions %v", id, m.ring.Versions(id))
		}
	}
	m.check(t, m.ring)
}

// check opens every body's key.
func (m *model) check(t *rapid.T, r *Ring) {
	for message, want := range m.want {
		b := m.keys.bodies[message]
		got, err := r.Unwrap(b.Tenant, b.Body.KeyVersion, b.Body.Key)
		if err != nil || got != want {
			t.Fatalf("message %v of tenant %d, key version %d: got %x, %v", message, b.Tenant, b.Body.KeyVersion, got[:3], err)
		}
	}
}

func TestRotateMasterRefusesAFileThatLacksOldVersions(t *testing.T) {
	r := openRing(t, loadMaster(t, freshMaster(t)), newMemory())
	if err := r.Ensure(t.Context(), []doppelboden.TenantID{1}); err != nil {
		t.Fatal(err)
	}
	if err := r.RotateMaster(t.Context(), loadMaster(t, freshMaster(t))); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("wanted code invalid, got %v", err)
	}
}

func TestWrapAndRotateAtTheSameTime(t *testing.T) {
	keys := newMemory()
	r := openRing(t, loadMaster(t, freshMaster(t)), keys)
	if err := r.Ensure(t.Context(), []doppelboden.TenantID{1}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				key := [32]byte{7}
				wrapped, version, err := r.Wrap(1, &key)
				if err == nil {
					_, err = r.Unwrap(1, version, wrapped)
				}
				if err != nil {
					t.Errorf("wrap and unwrap: %v", err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range 20 {
		if _, err := r.Rotate(t.Context(), 1); err != nil {
			t.Errorf("rotate: %v", err)
		}
		if err := r.Finish(t.Context(), Rotation{Grace: Grace}); err != nil {
			t.Errorf("finish: %v", err)
		}
	}
	close(done)
	all.Wait()
}

func BenchmarkWrap(b *testing.B) {
	r := openRing(b, loadMaster(b, freshMaster(b)), newMemory())
	if err := r.Ensure(b.Context(), []doppelboden.TenantID{1}); err != nil {
		b.Fatal(err)
	}
	key := [32]byte{1}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Wrap(1, &key); err != nil {
			b.Fatal(err)
		}
	}
}

func TestReloadGivesTheStoreBackWhatItHasLostAndTellsOfAnotherKey(t *testing.T) {
	m, keys := loadMaster(t, freshMaster(t)), newMemory()
	r := openRing(t, m, keys)
	if err := r.Ensure(t.Context(), []doppelboden.TenantID{1, 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Rotate(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	key := [32]byte{1, 2, 3}
	wrapped, version, err := r.Wrap(1, &key)
	if err != nil {
		t.Fatal(err)
	}
	delete(keys.keys, [2]int64{1, 2}) // restored to a time before the rotation
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := openRing(t, m, keys).Unwrap(1, version, wrapped); err != nil || got != key {
		t.Errorf("with what the store has now: %x, %v; want the key", got[:3], err)
	}
	other := openRing(t, m, newMemory())
	if err := other.Ensure(t.Context(), []doppelboden.TenantID{1}); err != nil {
		t.Fatal(err)
	}
	other.store = keys
	if err := other.Reload(t.Context()); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("a store with another key of the same version: %v, want invalid", err)
	}
	if got, err := r.Unwrap(1, version, wrapped); err != nil || got != key {
		t.Errorf("the ring itself: %x, %v; want the key", got[:3], err)
	}
}
