package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden/test/powercut/wire"
)

// missing skips a test whose tool is not there, and fails it in CI, where a skip would
// look green.
func missing(t *testing.T, what string, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is needed in CI: %v", what, err)
	}
	t.Skipf("THE POWER-CUT PROOF WAS NOT PLAYED: no %s: %v", what, err)
}

// testRig returns a rig for real cuts.
func testRig(t *testing.T) rig {
	t.Helper()
	if testing.Short() {
		t.Skip("cuts the power of a virtual machine; not with -short")
	}
	for _, tool := range []string{"qemu-system-x86_64", "apt-get", "dpkg-deb", sbin("mkfs.ext4"), sbin("e2fsck")} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, tool, err)
		}
	}
	cache := filepath.Join("..", "..", "var", "powercut")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := fetchKernel(t.Context(), cache); err != nil {
		missing(t, "kernel package", err)
	}
	rig, clean, err := newRig(t.Context(), cache, "tcg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := clean(); err != nil {
			t.Error(err)
		}
	})
	return rig
}

// play cuts the power n times and logs what happened.
func play(t *testing.T, w wire.Weakness, n int) Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var log strings.Builder
	r := &run{rig: testRig(t), seed: uint64(time.Now().UnixNano() % 1_000_000), weakness: w, out: &log}
	report, err := r.play(ctx, n)
	t.Logf("seed %d\n%s", r.seed, log.String())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestNoAcknowledgedLetterIsMissingAfterThreePowerCuts(t *testing.T) {
	report := play(t, wire.None, 3)
	for _, f := range report.Faults {
		t.Error(f)
	}
	flushes := int64(0)
	for _, c := range report.Cuts {
		flushes += c.Disk.Flushes
	}
	if report.Total.Acknowledged == 0 || flushes == 0 {
		t.Errorf("acknowledged %d, flushes %d: nothing was proven", report.Total.Acknowledged, flushes)
	}
}

func TestADiskThatLiesAboutFlushesIsFound(t *testing.T) {
	if report := play(t, wire.Unsafe, 3); len(report.Faults) == 0 {
		t.Errorf("cache=unsafe: no fault in %d cuts, %d letters acknowledged", len(report.Cuts), report.Total.Acknowledged)
	}
}
