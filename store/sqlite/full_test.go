package sqlite

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"doppelboden"
)

// smallDisk mounts a file system of so many bytes. The tests run as root, as on a build
// machine; elsewhere the file systems of test/powercut have to do.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestAFullDiskIsStorageFullAndTheStoreGoesOnByItselfWhenThereIsRoom(t *testing.T) {
	dir := smallDisk(t, "24m")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, filepath.Join(dir, "store.db"))
	t.Cleanup(func() { s.Close() }) // before the unmount
	var made realistic
	var kept []*doppelboden.Message
	var refused *doppelboden.Message
	for refused == nil {
		m := made.message(len(kept))
		m.Prefix = make([]byte, 4000)
		if _, err := s.Accept(ctx, m); err == nil {
			if kept = append(kept, m); len(kept) > 20000 {
				t.Fatal("the disk does not fill")
			}
			continue
		} else if doppelboden.CodeOf(err) != doppelboden.StorageFull || doppelboden.PublicOf(err) != publicFull {
			t.Fatalf("Accept on a full disk: code %v, public %q (%v), wanted %v and %q",
				doppelboden.CodeOf(err), doppelboden.PublicOf(err), err, doppelboden.StorageFull, publicFull)
		}
		refused = m
	}
	if err := s.Ready(); doppelboden.CodeOf(err) != doppelboden.StorageFull {
		t.Errorf("Ready on a full disk: %v, wanted storage full", err)
	}
	if n := rows(t, s); n != int64(len(kept)) {
		t.Errorf("on a full disk %d deliveries can be read, wanted %d", n, len(kept))
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready again, though nobody called Accept", func() bool { return s.Ready() == nil })
	if _, err := s.Accept(ctx, refused); err != nil {
		t.Fatalf("Accept with room again: %v", err)
	}
	for _, m := range append(kept, refused) {
		if _, err := s.Message(ctx, m.ID); err != nil {
			t.Fatalf("a message that was accepted: %v", err)
		}
	}
	if n := entriesIn(links(t, s)); n != len(kept)+1 {
		t.Errorf("%d entries in the ledger, wanted %d", n, len(kept)+1)
	}
	checkCounts(t, s)
}
