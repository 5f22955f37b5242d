package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/disk"
)

// plainKeys is a Wrapper that hides nothing.
type plainKeys struct{}

func (plainKeys) Wrap(t doppelboden.TenantID, key *[32]byte) ([]byte, int, error) {
	return append([]byte{byte(t)}, key[:]...), 7, nil
}

func (plainKeys) Unwrap(t doppelboden.TenantID, version int, wrapped []byte) ([32]byte, error) {
	if version != 7 || len(wrapped) != 33 || wrapped[0] != byte(t) {
		return [32]byte{}, fmt.Errorf("unwrap: tenant %d, version %d, %d bytes", t, version, len(wrapped))
	}
	return [32]byte(wrapped[1:]), nil
}

// testDay is the time of the test clock at first.
var testDay = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// testClock is a clock that tests move.
type testClock struct{ offset atomic.Int64 }

func (c *testClock) now() time.Time          { return testDay.Add(time.Duration(c.offset.Load())) }
func (c *testClock) advance(d time.Duration) { c.offset.Add(int64(d)) }

const tenant doppelboden.TenantID = 3

// openTest opens a store on fsys.
func openTest(t testing.TB, fsys disk.FS, clock *testClock, maxFile int64) (*Store, []Damage) {
	t.Helper()
	if clock == nil {
		clock = new(testClock)
	}
	s, damage, err := Open(Options{Dir: "d", Keys: plainKeys{}, Clock: clock.now, MaxFile: maxFile, FS: fsys})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s, damage
}

// mustPut puts a body.
func mustPut(t testing.TB, s *Store, plain []byte) doppelboden.Body {
	t.Helper()
	b, err := s.Put(tenant, plain)
	if err != nil {
		t.Fatalf("put %d bytes: %v", len(plain), err)
	}
	return b
}

// readBody reads a body to its end.
func readBody(s *Store, b doppelboden.Body) ([]byte, error) {
	r, err := s.Reader(tenant, b)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// wantBody fails unless the body reads as plain.
func wantBody(t testing.TB, s *Store, b doppelboden.Body, plain []byte) {
	t.Helper()
	got, err := readBody(s, b)
	if err != nil {
		t.Fatalf("read body of %d bytes in %s at %d: %v", len(plain), b.Segment, b.Offset, err)
	}
	if !bytes.Equal(got, plain) {
		t.Fatalf("body in %s at %d: got %d bytes that differ from the %d that were put", b.Segment, b.Offset, len(got), len(plain))
	}
}

// wantDamage fails unless err names damage.
func wantDamage(t testing.TB, err error) *Damage {
	t.Helper()
	var d *Damage
	if !errors.As(err, &d) {
		t.Fatalf("wanted an error that names damage, got %v", err)
	}
	return d
}

// fill returns n bytes that differ by seed.
func fill(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed) + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// verifyAll returns what Verify yields.
func verifyAll(t testing.TB, s *Store) []Damage {
	t.Helper()
	var all []Damage
	err := s.Verify(t.Context(), func(d Damage) error { all = append(all, d); return nil })
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return all
}
