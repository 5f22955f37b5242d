package segment

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"pgregory.net/rapid"

	"doppelboden/disk/diskfault"
)

// someBodies writes bodies into one segment and returns them with its path. When it is
// not closed, the file looks as after a crash of the process.
func someBodies(t *rapid.T, d *diskfault.Disk, close bool) []kept {
	s, _, err := Open(Options{Dir: "d", Keys: plainKeys{}, Clock: new(testClock).now, FS: d})
	if err != nil {
		t.Fatal(err)
	}
	var bodies []kept
	for i := range rapid.IntRange(1, 6).Draw(t, "bodies") {
		plain := fill(rapid.SampledFrom([]int{0, 1, 50, 700}).Draw(t, "size"), byte(i))
		b, err := s.Put(tenant, plain)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, kept{b, plain})
		if rapid.Bool().Draw(t, "sync") {
			if err := s.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if close {
		err = s.Close()
	} else {
		err = s.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	return bodies
}

const onlySegment = "d/20261122/0001.seg"

// reopenRapid opens the folder again and returns the damage of Open and of Verify.
func reopenRapid(t *rapid.T, d *diskfault.Disk) (s *Store, atOpen, atVerify []Damage) {
	s, atOpen, err := Open(Options{Dir: "d", Keys: plainKeys{}, Clock: new(testClock).now, FS: d})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), func(d Damage) error { atVerify = append(atVerify, d); return nil }); err != nil {
		t.Fatal(err)
	}
	return s, atOpen, atVerify
}

// end returns where a body's record ends.
func (k kept) end() int64 { return k.body.Offset + headerSize + k.body.Size + tagSize }

// TestACutLosesOnlyWhatWasBehindIt turns red when endAfterCrash cuts at the last place
// that headers know to have been synced instead of behind the last byte.
func TestACutLosesOnlyWhatWasBehindIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := new(diskfault.Disk)
		closed := rapid.Bool().Draw(t, "closed")
		bodies := someBodies(t, d, closed)
		last := bodies[len(bodies)-1].end()
		cut := rapid.Int64Range(0, last).Draw(t, "cut")
		d.Damage(onlySegment, func(b []byte) []byte { return b[:cut] })
		s, _, _ := reopenRapid(t, d)
		for _, k := range bodies {
			got, err := readBody(s, k.body)
			switch {
			case k.end() <= cut && (err != nil || !bytes.Equal(got, k.plain)):
				t.Fatalf("cut at %d: the record from %d to %d is lost: %v", cut, k.body.Offset, k.end(), err)
			case k.end() > cut && err == nil:
				t.Fatalf("cut at %d: the record from %d to %d reads", cut, k.body.Offset, k.end())
			case k.end() > cut:
				wantDamageRapid(t, err, k)
			}
		}
	})
}

// wantDamageRapid fails unless err names the body's place.
func wantDamageRapid(t *rapid.T, err error, k kept) {
	d, ok := err.(*Damage)
	if !ok || d.Segment != k.body.Segment || d.Offset != k.body.Offset {
		t.Fatalf("wanted damage in %s at %d, got %v", k.body.Segment, k.body.Offset, err)
	}
}

// TestAFlippedBitIsFoundAndNamedAndTheRestSurvives was shown to find its fault: it
// turns red when readRecord does not compare the CRC of the sealed bytes (Verify), when
// parseHeader does not compare the header's, and when resync finds nothing.
func TestAFlippedBitIsFoundAndNamedAndTheRestSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := new(diskfault.Disk)
		closed := rapid.Bool().Draw(t, "closed")
		bodies := someBodies(t, d, closed)
		last := bodies[len(bodies)-1].end()
		size := last
		if closed {
			size += headerSize
		}
		bit := rapid.Int64Range(0, size*8-1).Draw(t, "bit")
		d.Damage(onlySegment, func(b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b })
		s, atOpen, atVerify := reopenRapid(t, d)
		if !closed && len(atOpen) != 1 {
			t.Fatalf("bit %d flipped: open found %v, wanted one place", bit, atOpen)
		}
		named := false
		for _, dm := range append(atOpen, atVerify...) {
			named = named || dm.Segment == "20261122/0001.seg" && dm.Offset <= bit/8 && bit/8 < dm.Offset+dm.Length
		}
		if !named || len(atVerify) == 0 {
			t.Fatalf("bit %d flipped: open named %v, verify %v", bit, atOpen, atVerify)
		}
		for _, k := range bodies {
			got, err := readBody(s, k.body)
			for _, dm := range append(atOpen, atVerify...) {
				if dm.Offset < k.end() && k.body.Offset < dm.Offset+dm.Length && !(k.body.Offset <= bit/8 && bit/8 < k.end()) {
					t.Fatalf("bit %d flipped: %v takes the record from %d to %d with it", bit, &dm, k.body.Offset, k.end())
				}
			}
			if hit := k.body.Offset <= bit/8 && bit/8 < k.end(); hit {
				wantDamageRapid(t, err, k)
			} else if err != nil || !bytes.Equal(got, k.plain) {
				t.Fatalf("bit %d flipped: the record from %d to %d is lost: %v", bit, k.body.Offset, k.end(), err)
			}
		}
	})
}

// TestDamageInTheMiddleOfWhatWasSyncedIsNotCalledTorn: a page that the disk lost reads
// as zeros, and the next records say that it had been synced.
func TestDamageInTheMiddleOfWhatWasSyncedIsNotCalledTorn(t *testing.T) {
	d := new(diskfault.Disk)
	s, _ := openTest(t, d, nil, 0)
	lost := mustPut(t, s, fill(5000, 1))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	behind := mustPut(t, s, fill(5000, 2))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	d.Damage(onlySegment, func(b []byte) []byte { clear(b[:4096]); return b })
	s, damage := openTest(t, d, nil, 0)
	want := Damage{Segment: lost.Segment, Offset: 0, Length: behind.Offset, What: errHeader.Error()}
	if len(damage) != 1 || damage[0] != want {
		t.Errorf("got %v, wanted %v", damage, want)
	}
	wantBody(t, s, behind, fill(5000, 2))
}

func TestAnyDamageToABigBodyIsFoundByItsReaderAndByVerify(t *testing.T) {
	plain := fill(MaxRecord+3*chunkPlain/2, 1)
	rapid.Check(t, func(t *rapid.T) {
		d := new(diskfault.Disk)
		s, _, err := Open(Options{Dir: "d", Keys: plainKeys{}, Clock: new(testClock).now, FS: d})
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Put(tenant, plain)
		if err != nil {
			t.Fatal(err)
		}
		path := "d/" + b.Segment
		whole := d.Bytes(path)
		const chunk = chunkHead + chunkPlain + tagSize
		at := rapid.IntRange(0, len(whole)-1).Draw(t, "at")
		readable := false // damage to the header's or the end mark's bytes that a reader does not need
		switch rapid.SampledFrom([]string{"flip", "cut", "swap", "repeat", "cut a chunk"}).Draw(t, "damage") {
		case "flip":
			whole[at] ^= byte(1 << rapid.IntRange(0, 7).Draw(t, "bit"))
			readable = at >= len(whole)-headerSize
		case "cut":
			whole = whole[:at]
			readable = at >= len(whole)-headerSize
		case "swap":
			one := bytes.Clone(whole[headerSize : headerSize+chunk])
			copy(whole[headerSize:], whole[headerSize+chunk:headerSize+2*chunk])
			copy(whole[headerSize+chunk:], one)
		case "repeat":
			copy(whole[headerSize+chunk:], whole[headerSize:headerSize+chunk])
		case "cut a chunk":
			whole = append(whole[:headerSize+chunk:headerSize+chunk], whole[headerSize+2*chunk:]...)
		}
		d.Damage(path, func([]byte) []byte { return whole })
		got, err := readBody(s, b)
		if err == nil && !(readable && bytes.Equal(got, plain)) {
			t.Fatalf("the reader did not notice")
		}
		if err != nil {
			if dm, ok := err.(*Damage); !ok || dm.Segment != b.Segment {
				t.Fatalf("wanted damage in %s, got %v", b.Segment, err)
			}
		}
		if !bytes.HasPrefix(plain, got) {
			t.Fatalf("the reader gave out bytes that nobody wrote")
		}
	})
}

// TestABigBodyThatEndsEarlyIsNoticedByItsSeal turns red when chunkNonce does not mark
// the last chunk: then only the database would know how long a body is.
func TestABigBodyThatEndsEarlyIsNoticedByItsSeal(t *testing.T) {
	plain := fill(MaxRecord+1, 1)
	s, _ := openTest(t, new(diskfault.Disk), nil, 0)
	b := mustPut(t, s, plain)
	b.Size, b.Sum = chunkPlain, sha256.Sum256(plain[:chunkPlain])
	if got, err := readBody(s, b); err == nil || len(got) > 0 {
		t.Errorf("read %d bytes, %v; wanted damage", len(got), err)
	}
}

func TestVerifyNamesAFlippedBitInABigBody(t *testing.T) {
	d := new(diskfault.Disk)
	s, _ := openTest(t, d, nil, 0)
	b := mustPut(t, s, fill(MaxRecord+100, 1))
	size := int64(len(d.Bytes("d/" + b.Segment)))
	for _, at := range []int64{0, 20, headerSize, headerSize + 5, headerSize + 5000, size - headerSize - 1, size - headerSize, size - 1} {
		flip := func(data []byte) []byte { data[at] ^= 4; return data }
		d.Damage("d/"+b.Segment, flip)
		damage := verifyAll(t, s)
		if len(damage) != 1 || damage[0].Segment != b.Segment || at < damage[0].Offset || at >= damage[0].Offset+damage[0].Length {
			t.Errorf("byte %d of %d flipped: got %v", at, size, damage)
		}
		d.Damage("d/"+b.Segment, flip)
	}
	if damage := verifyAll(t, s); len(damage) > 0 {
		t.Errorf("after mending: %v", damage)
	}
}

// FuzzScan feeds scan any bytes. What it calls a record must be one, and what it names
// must not overlap.
func FuzzScan(f *testing.F) {
	d := new(diskfault.Disk)
	s, _ := openTest(f, d, nil, 0)
	for i := range 3 {
		mustPut(f, s, fill(40*i, byte(i)))
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	whole := d.Bytes(onlySegment)
	f.Add(whole)
	f.Add(whole[:len(whole)-60])
	f.Add(append(bytes.Clone(whole[:100]), make([]byte, 500)...))
	f.Add(append(make([]byte, 64), whole...))
	f.Fuzz(func(t *testing.T, data []byte) {
		covered := int64(0)
		sv := scan(bytes.NewReader(data), "x", 0, int64(len(data)), func(h header) {
			if h.kind != kindBody || h.offset+headerSize+int64(h.length) > int64(len(data)) {
				t.Errorf("record %+v does not lie in %d bytes", h, len(data))
			}
			covered += headerSize + int64(h.length)
		})
		end := int64(0)
		for _, dm := range sv.damage {
			if dm.Offset < end || dm.Length <= 0 || dm.Offset+dm.Length > int64(len(data)) {
				t.Errorf("damage %v of %d bytes, after %d", &dm, len(data), end)
			}
			end = dm.Offset + dm.Length
			covered += dm.Length
		}
		if sv.end > int64(len(data)) || covered > sv.end {
			t.Errorf("records and damage cover %d bytes, the end is %d, there are %d", covered, sv.end, len(data))
		}
		if len(bytes.TrimRight(data[sv.end:], "\x00")) > 0 {
			t.Errorf("bytes behind the end %d are not zero", sv.end)
		}
		scanBig(bytes.NewReader(data), "x", int64(len(data)))
	})
}
