package segment

import (
	"bytes"
	"io"
	"testing"

	"doppelboden"
)

func TestARunReadsWhatAReaderReadsAlsoAcrossFilesAndBigBodies(t *testing.T) {
	o := Options{Dir: t.TempDir(), Keys: plainKeys{}, Clock: new(testClock).now, MaxFile: 8 << 10}
	s, _, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sizes := []int{0, 1, 5000, 5000, MaxRecord + 1, 5000, 3, 5000}
	var bodies []doppelboden.Body
	for i, n := range sizes {
		bodies = append(bodies, mustPut(t, s, fill(n, byte(i))))
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	run := s.Run()
	defer run.Close()
	for _, i := range []int{0, 1, 2, 3, 4, 5, 6, 7, 2, 0, 7, 6} {
		r, err := run.Reader(tenant, bodies[i])
		if err != nil {
			t.Fatalf("body %d of %d bytes: %v", i, sizes[i], err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, fill(sizes[i], byte(i))) {
			t.Errorf("body %d: %d bytes, %v; want %d", i, len(got), err, sizes[i])
		}
	}
	if _, err := run.Reader(tenant+1, bodies[2]); err == nil {
		t.Error("another tenant reads a body")
	}
}

func TestABodyOfARunIsNotReadAnyMoreOnceTheNextOneIsBegun(t *testing.T) {
	s, _, err := Open(Options{Dir: t.TempDir(), Keys: plainKeys{}, Clock: new(testClock).now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first, second := mustPut(t, s, fill(3000, 1)), mustPut(t, s, fill(2000, 2))
	run := s.Run()
	defer run.Close()
	early, err := run.Reader(tenant, first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(early, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Reader(tenant, second); err != nil {
		t.Fatal(err)
	}
	if n, err := early.Read(make([]byte, 100)); n > 0 || err == nil {
		t.Errorf("the first body gives %d bytes and %v after the second was begun; wanted an error", n, err)
	}
}
