package segment

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"doppelboden"
)

// TestAFolderThatIsWrittenIsCopiedByItsFilesAndReadWithoutAChange turns red when OpenToRead
// ends what it finds, as Open does.
func TestAFolderThatIsWrittenIsCopiedByItsFilesAndReadWithoutAChange(t *testing.T) {
	clock := new(testClock)
	dir := filepath.Join(t.TempDir(), "segments")
	s, _, err := Open(Options{Dir: dir, Keys: plainKeys{}, Clock: clock.now, MaxFile: 40000})
	if err != nil {
		t.Fatal(err)
	}
	var bodies []doppelboden.Body
	for i := range 20 {
		bodies = append(bodies, mustPut(t, s, fill(5000, byte(i))))
	}
	bodies = append(bodies, mustPut(t, s, fill(MaxRecord+1, 77)))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "20261122", "0123456789abcdef.big.part"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	needed := map[string]int64{}
	for _, b := range bodies {
		needed[b.Segment] = max(needed[b.Segment], b.Offset+b.Size+Overhead)
	}
	to := t.TempDir()
	whole, growing := 0, 0
	err = Files(dir, func(f File) error {
		data, err := os.ReadFile(filepath.Join(dir, f.Path))
		if err != nil {
			return err
		}
		if f.Whole {
			whole++
		} else {
			growing++
			data = data[:needed[f.Segment]]
		}
		path := filepath.Join(to, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o600)
	})
	if err != nil || growing != 1 || whole < 3 {
		t.Fatalf("files: %d whole, %d growing, %v; wanted one growing, the others and the big one whole", whole, growing, err)
	}
	before := listing(t, to)
	r, err := OpenToRead(to, plainKeys{})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range bodies {
		body, err := r.Reader(tenant, b)
		if err != nil {
			t.Fatalf("body %d: %v", i, err)
		}
		got, err := io.ReadAll(body)
		body.Close()
		want := fill(5000, byte(i))
		if i == 20 {
			want = fill(MaxRecord+1, 77)
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("body %d: %d bytes, %v", i, len(got), err)
		}
	}
	if _, err := r.Put(tenant, nil); err == nil {
		t.Error("put into a folder that was opened to be read: wanted an error")
	}
	if after := listing(t, to); after != before {
		t.Errorf("reading changed the folder from\n%sto\n%s", before, after)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Files(dir, func(f File) error {
		if !f.Whole {
			t.Errorf("%s is not whole after Close", f.Path)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := Files(dir+".none", func(File) error { t.Error("a file of nothing"); return nil }); err != nil {
		t.Error(err)
	}
}

// listing returns the names and sizes of all files.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var all bytes.Buffer
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			all.WriteString(path + " " + info.ModTime().String() + "\n")
			fmt.Fprintln(&all, info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
