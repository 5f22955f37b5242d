package nbd

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// memory is a medium for tests.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error)  { return copy(p, m[off:]), nil }
func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

// sectors returns n sectors full of b.
func sectors(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n*SectorSize) }

func newDisk(t testing.TB, count int, cache int64) (*Disk, memory) {
	t.Helper()
	medium := make(memory, count*SectorSize)
	d, err := NewDisk(medium, int64(len(medium)), cache)
	if err != nil {
		t.Fatal(err)
	}
	return d, medium
}

func TestWhatWasFlushedSurvivesEveryCutAndTheRestIsAVersionThatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const count = 24
		medium := make(memory, count*SectorSize)
		cache := rapid.SampledFrom([]int64{4 * SectorSize, 1 << 20}).Draw(t, "cache")
		d, err := NewDisk(medium, int64(len(medium)), cache)
		if err != nil {
			t.Fatal(err)
		}
		// may[i] lists what sector i may hold after a cut; the last is what a read returns.
		may := make([][]byte, count)
		for i := range may {
			may[i] = []byte{0}
		}
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			value := byte(step + 1)
			first := rapid.IntRange(0, count-1).Draw(t, "first")
			n := rapid.IntRange(1, min(6, count-first)).Draw(t, "sectors")
			switch rapid.IntRange(0, 5).Draw(t, "command") {
			case 0:
				if err := d.FlushTo(d.Mark()); err != nil {
					t.Fatal(err)
				}
				for i := range may {
					may[i] = may[i][len(may[i])-1:]
				}
			case 1:
				if err := d.Write(sectors(n, value), int64(first*SectorSize), true); err != nil {
					t.Fatal(err)
				}
				for i := first; i < first+n; i++ {
					may[i] = []byte{value}
				}
			default:
				if err := d.Write(sectors(n, value), int64(first*SectorSize), false); err != nil {
					t.Fatal(err)
				}
				for i := first; i < first+n; i++ {
					may[i] = append(may[i], value)
				}
			}
			got := make([]byte, len(medium))
			if err := d.Read(got, 0); err != nil {
				t.Fatal(err)
			}
			for i := range may {
				if want := may[i][len(may[i])-1]; got[i*SectorSize] != want {
					t.Fatalf("step %d: sector %d reads %d, want the last write %d", step, i, got[i*SectorSize], want)
				}
			}
		}
		d.PowerOff()
		if _, err := d.Drop(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))); err != nil {
			t.Fatal(err)
		}
		for i := range may {
			got := medium[i*SectorSize : (i+1)*SectorSize]
			if !bytes.Equal(got, sectors(1, got[0])) {
				t.Fatalf("sector %d is torn inside", i)
			}
			if !bytes.Contains(may[i], got[:1]) {
				t.Fatalf("after the cut sector %d holds %d, want one of %v", i, got[0], may[i])
			}
		}
	})
}

func TestACutLosesWritesThatNobodyFlushed(t *testing.T) {
	dropped, torn, manners := 0, 0, map[string]bool{}
	for seed := range uint64(200) {
		d, _ := newDisk(t, 64, 1<<20)
		for i := range 8 {
			if err := d.Write(sectors(8, 1), int64(i*8*SectorSize), false); err != nil {
				t.Fatal(err)
			}
		}
		d.PowerOff()
		loss, err := d.Drop(rand.New(rand.NewPCG(seed, 0)))
		if err != nil {
			t.Fatal(err)
		}
		if loss.Pending != 64 {
			t.Fatalf("seed %d: %d sectors pending, want 64", seed, loss.Pending)
		}
		if loss.Dropped > 0 {
			dropped++
		}
		torn += loss.Torn
		manners[loss.Manner[:6]] = true
	}
	if dropped < 150 || torn == 0 || len(manners) < 4 {
		t.Errorf("200 cuts: %d lost something, %d writes torn, %d manners; want nearly all, some, and each", dropped, torn, len(manners))
	}
}

func TestAFlushDoesNotCoverWhatIsWrittenWhileItRuns(t *testing.T) {
	lost := false
	for seed := range uint64(50) {
		d, medium := newDisk(t, 2, 1<<20)
		write := func(b byte, sector int64) {
			if err := d.Write(sectors(1, b), sector*SectorSize, false); err != nil {
				t.Fatal(err)
			}
		}
		write(1, 0)
		mark := d.Mark()
		write(2, 0)
		write(2, 1)
		if err := d.FlushTo(mark); err != nil {
			t.Fatal(err)
		}
		d.PowerOff()
		if _, err := d.Drop(rand.New(rand.NewPCG(seed, 0))); err != nil {
			t.Fatal(err)
		}
		if medium[0] == 0 {
			t.Fatalf("seed %d: the flushed write is gone", seed)
		}
		lost = lost || medium[0] == 1 && medium[SectorSize] == 0
	}
	if !lost {
		t.Error("no cut of 50 lost the writes that came after the flush began")
	}
}

func TestWithoutPowerNothingIsTaken(t *testing.T) {
	d, _ := newDisk(t, 2, 1<<20)
	d.PowerOff()
	for name, err := range map[string]error{
		"read":  d.Read(sectors(1, 0), 0),
		"write": d.Write(sectors(1, 0), 0, false),
		"FUA":   d.Write(sectors(1, 0), 0, true),
		"flush": d.FlushTo(d.Mark()),
	} {
		if !errors.Is(err, ErrPower) {
			t.Errorf("%s after the cut: %v, want %v", name, err, ErrPower)
		}
	}
}

func TestRequestsOutsideTheDiskAreRefused(t *testing.T) {
	d, _ := newDisk(t, 2, 1<<20)
	for _, c := range []struct{ n, off int64 }{{512, 1024}, {512, -512}, {1536, 0}, {100, 0}, {512, 7}, {512, 1 << 62}} {
		if err := d.Write(make([]byte, c.n), c.off, false); !errors.Is(err, errRequest) {
			t.Errorf("write of %d bytes at %d: %v, want %v", c.n, c.off, err, errRequest)
		}
	}
}

func TestAFullCacheWritesByItself(t *testing.T) {
	d, medium := newDisk(t, 8, 2*SectorSize)
	if err := d.Write(sectors(8, 1), 0, false); err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(medium, sectors(1, 1)); got != 6 {
		t.Errorf("of 8 sectors written through a cache of 2, %d are on the medium, want 6", got)
	}
	if got := d.Stats().Evicted; got != 6 {
		t.Errorf("evicted %d, want 6", got)
	}
}

func TestAFuseCutsThePowerWithTheNthWrite(t *testing.T) {
	d, _ := newDisk(t, 8, 1<<20)
	gone := 0
	d.PowerOffAfter(2, func() { gone++ })
	for step := 1; step <= 2; step++ {
		if gone != 0 {
			t.Fatalf("before write %d the power is gone", step)
		}
		if err := d.Write(sectors(1, 1), 0, false); err != nil {
			t.Fatalf("write %d: %v", step, err)
		}
	}
	if err := d.FlushTo(d.Mark()); !errors.Is(err, ErrPower) {
		t.Errorf("a flush after the last write: %v, want %v", err, ErrPower)
	}
	if gone != 1 {
		t.Errorf("told %d times that the power is gone, want once", gone)
	}
}
