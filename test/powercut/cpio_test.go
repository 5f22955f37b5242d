package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestCpioUnpacksWhatWePacked(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		missing(t, "cpio", err)
	}
	var packed bytes.Buffer
	a := &archive{w: &packed}
	a.dir("modules")
	a.file("modules/one.ko", []byte("12345"))
	a.file("init", bytes.Repeat([]byte("x"), 4096))
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	c := exec.CommandContext(context.Background(), "cpio", "-i", "--quiet")
	c.Dir, c.Stdin = folder, &packed
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v: %s", err, text)
	}
	for name, size := range map[string]int{"modules/one.ko": 5, "init": 4096} {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || len(data) != size {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(data), err, size)
		}
	}
	if info, err := os.Stat(filepath.Join(folder, "init")); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("init can't be run: %v, %v", info, err)
	}
}
