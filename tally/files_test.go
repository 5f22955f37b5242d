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
	files, err := Files(dir)
	if err != nil || len(files) != 1 || files[0].Whole {
		t.Fatalf("files: %v, %v; wanted one that grows", files, err)
	}
	name := files[0].Name
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || int64(len(data)) <= files[0].Size {
		t.Fatalf("%s has %d bytes and %d are written (%v): wanted room behind them", name, len(data), files[0].Size, err)
	}
	if err := os.WriteFile(filepath.Join(to, name), data[:files[0].Size], 0o600); err != nil {
		t.Fatal(err)
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
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if files, err = Files(dir); err != nil || len(files) != 1 || !files[0].Whole || files[0].Size != info.Size() {
		t.Errorf("a log that was ended: %v, %v; wanted all its %d bytes", files, err, info.Size())
	}
	if none, err := Files(dir + ".none"); err != nil || len(none) > 0 {
		t.Errorf("files of nothing: %v, %v", none, err)
	}
}
