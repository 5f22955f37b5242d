package tally

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestALogThatGrowsIsCopiedUpToItsLastRecord turns red when the room that is reserved
// counts, or when the last record does not.
func TestALogThatGrowsIsCopiedUpToItsLastRecord(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	log, err := OpenDoors(dir, atNoon)
	if err != nil {
		t.Fatal(err)
	}
	const records = 3000
	for i := range records {
		log.Intent(idOf(i), i, noon)
	}
	if err := log.Flush(); err != nil {
		t.Fatal(err)
	}
	written, err := Written(dir)
	if err != nil || len(written) != 1 {
		t.Fatalf("written: %v, %v; wanted one file", written, err)
	}
	for name, size := range written {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || int64(len(data)) <= size {
			t.Fatalf("%s has %d bytes and %d are written (%v): wanted room behind them", name, len(data), size, err)
		}
		if err := os.WriteFile(filepath.Join(to, name), data[:size], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	err = ReadDoors(to, noon.Add(-time.Hour), noon.Add(time.Hour), func(r DoorRecord) error {
		if r.Recipients != seen {
			t.Errorf("record %d has %d recipients", seen, r.Recipients)
		}
		seen++
		return nil
	})
	if err != nil || seen != records {
		t.Errorf("the copy has %d records, %v; wanted %d", seen, err, records)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for name := range written {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if after, err := Written(dir); err != nil || after[name] != info.Size() {
			t.Errorf("of a log that was ended %d bytes are written, wanted all %d", after[name], info.Size())
		}
	}
	if none, err := Written(dir + ".none"); err != nil || len(none) > 0 {
		t.Errorf("written of nothing: %v, %v", none, err)
	}
}
