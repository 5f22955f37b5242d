package segment

import (
	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/disk/diskfault"
)

func TestBodiesOfEverySizeComeBackOnARealDisk(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: filepath.Join(dir, "bodies"), Keys: plainKeys{}, Clock: new(testClock).now}
	s, damage, err := Open(o)
	if err != nil || len(damage) > 0 {
		t.Fatalf("open an empty folder: %v, damage %v", err, damage)
	}
	sizes := []int{0, 1, 4096, smallBuffer, MaxRecord - 1, MaxRecord, MaxRecord + 1, 5 * chunkPlain, 5*chunkPlain + 1, 3 << 20}
	bodies := make([]doppelboden.Body, len(sizes))
	for i, n := range sizes {
		bodies[i] = mustPut(t, s, fill(n, byte(i)))
		if big := strings.HasSuffix(bodies[i].Segment, bigExt); big != (n > MaxRecord) {
			t.Errorf("body of %d bytes went into %s", n, bodies[i].Segment)
		}
	}
	if err := s.Sync(); err != nil {
		t.Fatalf("sync: %v", err)
	}
	for i, n := range sizes {
		wantBody(t, s, bodies[i], fill(n, byte(i)))
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if _, err := s.Put(tenant, nil); err == nil {
		t.Error("put after close: wanted an error, got none")
	}
	s, damage, err = Open(o)
	if err != nil || len(damage) > 0 {
		t.Fatalf("open again: %v, damage %v", err, damage)
	}
	for i, n := range sizes {
		wantBody(t, s, bodies[i], fill(n, byte(i)))
	}
	if d := verifyAll(t, s); len(d) > 0 {
		t.Errorf("verify: %v", d)
	}
}

func TestRoomThatWasReservedIsGivenBackAtCloseAndAtOpen(t *testing.T) {
	for _, crash := range []bool{false, true} {
		d := new(diskfault.Disk)
		s, _ := openTest(t, d, nil, 0)
		b := mustPut(t, s, fill(5000, 1))
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		if got := len(d.Bytes("d/20261122/0001.seg")); got < 1<<20 {
			t.Fatalf("while writing the file has %d bytes, wanted room reserved", got)
		}
		if !crash {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			d.Crash(func(n int) int { return n - 1 })
		}
		s, damage := openTest(t, d, nil, 0)
		if len(damage) > 0 {
			t.Errorf("crash %v: damage %v, wanted none", crash, damage)
		}
		want := headerSize + 5000 + tagSize + headerSize
		if got := len(d.Bytes("d/20261122/0001.seg")); got != want {
			t.Errorf("crash %v: the file has %d bytes, wanted %d", crash, got, want)
		}
		wantBody(t, s, b, fill(5000, 1))
		if next := mustPut(t, s, nil); next.Segment != "20261122/0002.seg" {
			t.Errorf("crash %v: a new process wrote into %s", crash, next.Segment)
		}
	}
}

func TestSegmentsAreEndedAtTheirSizeAndAtMidnight(t *testing.T) {
	d, clock := new(diskfault.Disk), new(testClock)
	s, _ := openTest(t, d, clock, 10_000)
	var bodies []doppelboden.Body
	for i := range 5 {
		bodies = append(bodies, mustPut(t, s, fill(4000, byte(i))))
	}
	clock.advance(13 * time.Hour)
	bodies = append(bodies, mustPut(t, s, fill(4000, 5)))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	want := []string{"20261122/0001.seg", "20261122/0001.seg", "20261122/0002.seg", "20261122/0002.seg", "20261122/0003.seg", "20261123/0001.seg"}
	for i, b := range bodies {
		if b.Segment != want[i] {
			t.Errorf("body %d lies in %s, wanted %s", i, b.Segment, want[i])
		}
		wantBody(t, s, b, fill(4000, byte(i)))
	}
	infos, err := s.Segments()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range infos {
		got = append(got, fmt.Sprint(i.Name, " ", i.Size, " ", i.Day.Format(time.DateOnly), " ", i.Open))
	}
	record := headerSize + 4000 + tagSize
	wantInfos := []string{
		fmt.Sprint("20261122/0001.seg ", 2*record+headerSize, " 2026-11-22 false"),
		fmt.Sprint("20261122/0002.seg ", 2*record+headerSize, " 2026-11-22 false"),
		fmt.Sprint("20261122/0003.seg ", record+headerSize, " 2026-11-22 false"),
		fmt.Sprint("20261123/0001.seg ", record, " 2026-11-23 true"),
	}
	if strings.Join(got, "\n") != strings.Join(wantInfos, "\n") {
		t.Errorf("segments:\n%s\nwanted:\n%s", strings.Join(got, "\n"), strings.Join(wantInfos, "\n"))
	}
}

func TestNoNameLeadsOutOfTheFolder(t *testing.T) {
	s, _ := openTest(t, new(diskfault.Disk), nil, 0)
	good := mustPut(t, s, nil)
	for _, name := range []string{"", "/", "../0001.seg", "20261122/../../etc/passwd", "/etc/passwd", "20261122/0001.seg/",
		"20261122//0001.seg", "20261322/0001.seg", "20261122/1.seg", "20261122/0001.seg\x00", "20261122/0001+5.seg",
		"20261122/0123456789abcdeg.big", "20261122/0123456789abcdef.big.part", "20261122/-001.seg"} {
		bad := good
		bad.Segment = name
		if _, err := s.Reader(tenant, bad); doppelboden.CodeOf(err) != doppelboden.Invalid {
			t.Errorf("read from %q: wanted code invalid, got %v", name, err)
		}
		if err := s.Drop(name); doppelboden.CodeOf(err) != doppelboden.Invalid {
			t.Errorf("drop %q: wanted code invalid, got %v", name, err)
		}
		if _, err := s.Move(tenant, bad); doppelboden.CodeOf(err) != doppelboden.Invalid {
			t.Errorf("move from %q: wanted code invalid, got %v", name, err)
		}
	}
}

func TestABodyOfAnotherTenantIsNotRead(t *testing.T) {
	s, _ := openTest(t, new(diskfault.Disk), nil, 0)
	for _, n := range []int{100, MaxRecord + 1} {
		b := mustPut(t, s, fill(n, 1))
		b.Key[0] = 4 // the wrapper agrees; the body does not
		_, err := s.Reader(4, b)
		wantDamage(t, err)
	}
}

func TestDropRemovesASegmentForGoodAndKeepsWhatIsWritten(t *testing.T) {
	d, clock := new(diskfault.Disk), new(testClock)
	s, _ := openTest(t, d, clock, 0)
	small, big := mustPut(t, s, fill(10, 1)), mustPut(t, s, fill(MaxRecord+1, 2))
	if err := s.Drop(small.Segment); doppelboden.CodeOf(err) != doppelboden.Invalid {
		t.Errorf("drop of the open segment: wanted code invalid, got %v", err)
	}
	clock.advance(24 * time.Hour)
	var moved []doppelboden.Body
	for _, b := range []doppelboden.Body{small, big} {
		m, err := s.Move(tenant, b)
		if err != nil {
			t.Fatalf("move: %v", err)
		}
		if !strings.HasPrefix(m.Segment, "20261123/") || m.Sum != b.Sum || string(m.Key) != string(b.Key) || m.KeyVersion != b.KeyVersion {
			t.Errorf("moved %+v to %+v: wanted today's folder and the same key and sum", b, m)
		}
		moved = append(moved, m)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it may be repeated
		for _, b := range []doppelboden.Body{small, big} {
			if err := s.Drop(b.Segment); err != nil {
				t.Fatalf("drop %s: %v", b.Segment, err)
			}
		}
	}
	d.Crash(func(int) int { return 1 })
	s, _ = openTest(t, d, clock, 0)
	for _, b := range []doppelboden.Body{small, big} {
		_, err := s.Reader(tenant, b)
		wantDamage(t, err)
	}
	wantBody(t, s, moved[0], fill(10, 1))
	wantBody(t, s, moved[1], fill(MaxRecord+1, 2))
	if files := d.Files(""); len(files) != 2 {
		t.Errorf("files %v: wanted the two that were moved", files)
	}
	if entries, _ := d.List("d"); len(entries) != 1 {
		t.Errorf("folders %v: wanted the empty day to be gone", entries)
	}
}

func TestAnUnfinishedBigBodyIsRemovedAtOpenAndAWholeOneNever(t *testing.T) {
	d := new(diskfault.Disk)
	s, _ := openTest(t, d, nil, 0)
	whole := mustPut(t, s, fill(MaxRecord+7, 1))
	w, err := s.Create(tenant)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(fill(1<<20, 2)); err != nil {
		t.Fatal(err)
	}
	gone, err := s.Create(tenant)
	if err != nil {
		t.Fatal(err)
	}
	gone.Abort()
	gone.Abort()
	if _, err := gone.Close(); err == nil {
		t.Error("close after abort: wanted an error")
	}
	if n := len(d.Files(partExt)); n != 1 {
		t.Fatalf("%d unfinished files, wanted 1", n)
	}
	if err := d.SyncDir("d/20261122"); err != nil {
		t.Fatal(err)
	}
	d.Crash(func(n int) int { return n - 1 })
	// Even a whole body whose end mark is damaged stays.
	d.Damage("d/"+whole.Segment, func(b []byte) []byte { b[len(b)-10] ^= 1; return b })
	s, _ = openTest(t, d, nil, 0)
	if files := d.Files(partExt); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
	wantBody(t, s, whole, fill(MaxRecord+7, 1))
	if damage := verifyAll(t, s); len(damage) != 1 || damage[0].Segment != whole.Segment {
		t.Errorf("verify: %v, wanted the damaged end mark", damage)
	}
}

func TestAFolderThatCanOnlyBeReadOpensAndReads(t *testing.T) {
	d := new(diskfault.Disk)
	s, _ := openTest(t, d, nil, 0)
	b := mustPut(t, s, fill(100, 1))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	d.Fault = func(op, name string) error {
		if op != diskfault.OpOpen && op != diskfault.OpRead {
			return fs.ErrPermission
		}
		return nil
	}
	s, _ = openTest(t, d, nil, 0)
	wantBody(t, s, b, fill(100, 1))
	if _, err := s.Put(tenant, nil); doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
		t.Errorf("put: wanted a temporary error, got %v", err)
	}
}

func TestManyGoroutinesPutSyncAndRead(t *testing.T) {
	s, _, err := Open(Options{Dir: t.TempDir(), Keys: plainKeys{}, Clock: new(testClock).now, MaxFile: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for i := range 20 {
				plain := fill(1000+i*300, byte(g))
				if i == 7 {
					plain = fill(MaxRecord+1000, byte(g))
				}
				b, err := s.Put(tenant, plain)
				if err == nil {
					err = s.Sync()
				}
				if err != nil {
					t.Errorf("put and sync: %v", err)
					return
				}
				if got, err := readBody(s, b); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("read %d bytes of %d, %v", len(got), len(plain), err)
				}
			}
		})
	}
	all.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if d := verifyAll(t, s); len(d) > 0 {
		t.Errorf("verify: %v", d)
	}
}

func BenchmarkPut4K(b *testing.B) {
	s, _, err := Open(Options{Dir: b.TempDir(), Keys: plainKeys{}, Clock: new(testClock).now})
	if err != nil {
		b.Fatal(err)
	}
	plain := fill(4096, 1)
	b.SetBytes(4096)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		mustPut(b, s, plain)
		if n%100 == 99 { // outside of what is measured
			b.StopTimer()
			if err := s.Sync(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	}
	b.StopTimer()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPutAndSync4KBy20(b *testing.B) {
	s, _, err := Open(Options{Dir: b.TempDir(), Keys: plainKeys{}, Clock: new(testClock).now})
	if err != nil {
		b.Fatal(err)
	}
	plain := fill(4096, 1)
	b.SetParallelism(10)
	b.SetBytes(4096)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, err := s.Put(tenant, plain)
			if err == nil {
				err = s.Sync()
			}
			if err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkReader4K(b *testing.B) {
	s, _, err := Open(Options{Dir: b.TempDir(), Keys: plainKeys{}, Clock: new(testClock).now})
	if err != nil {
		b.Fatal(err)
	}
	plain := fill(4096, 1)
	body := mustPut(b, s, plain)
	b.ReportAllocs()
	for b.Loop() {
		wantBody(b, s, body, plain)
	}
}
