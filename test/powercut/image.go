package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// diskSize is the size of the machine's disk in bytes; the file that holds it is sparse.
const diskSize = 4 << 30

// buildInitramfs compiles the guest and packs it with the modules into a file below
// folder, which the kernel unpacks and whose /init it runs.
func buildInitramfs(ctx context.Context, k kernel, folder string) (string, error) {
	init := filepath.Join(folder, "init")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", init, "doppelboden/test/powercut/guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the guest: %w: %s", err, bytes.TrimSpace(text))
	}
	program, err := os.ReadFile(init)
	if err != nil {
		return "", err
	}
	modules, err := k.modules(ctx)
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "initramfs.cpio")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	a := &archive{w: f}
	a.dir("dev")
	a.console()
	a.dir("modules")
	for i, m := range modules {
		a.file(fmt.Sprintf("modules/%02d-%s.ko", i, m.name), m.data)
	}
	a.file("init", program)
	if err := a.close(); err != nil {
		return "", fmt.Errorf("write initramfs: %w", err)
	}
	return path, f.Close()
}

// makeDisk writes an empty ext4 into a new file. Nothing is left for the kernel to
// initialize later, so that the load is all that writes.
func makeDisk(ctx context.Context, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := f.Truncate(diskSize); err != nil {
		f.Close()
		return fmt.Errorf("make a disk of %d bytes: %w", int64(diskSize), err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, err = output(ctx, "", sbin("mkfs.ext4"), "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", path)
	return err
}

// repairDisk does what Debian does at every boot before it mounts (systemd-fsck): e2fsck
// replays the journal and corrects what can be corrected without a person. ext4 leans on
// that: its kernel part refuses a journal whose last commit block is torn. said is what it
// had to correct beyond the journal.
func repairDisk(ctx context.Context, path string) (said string, err error) {
	c := exec.CommandContext(ctx, sbin("e2fsck"), "-p", path)
	text, err := c.CombinedOutput()
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(strings.TrimPrefix(line, path+": "))
		if line != "recovering journal" && !strings.HasPrefix(line, "clean, ") {
			said = strings.TrimLeft(said+" / "+line, " /")
		}
	}
	// Exit code 1 says that errors were corrected (e2fsck(8)).
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil
	}
	if err != nil {
		return said, fmt.Errorf("the file system cannot be repaired without a person: %w: %s", err, said)
	}
	return said, nil
}

// forceRepair does what a person does then: e2fsck corrects everything, whatever it costs.
func forceRepair(ctx context.Context, path string) error {
	text, err := exec.CommandContext(ctx, sbin("e2fsck"), "-fy", path).CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("repair the file system by force: %w: %s", err, bytes.TrimSpace(text[max(0, len(text)-300):]))
	}
	return nil
}

// checkDisk returns an error unless the file system is without fault. It changes nothing.
func checkDisk(ctx context.Context, path string) error {
	_, err := output(ctx, "", sbin("e2fsck"), "-fn", path)
	return err
}

// sbin finds a program that ordinary users do not have in their PATH.
func sbin(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return filepath.Join("/usr/sbin", name)
}
