package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"doppelboden/test/powercut/wire"
)

// disk is where the machine's only disk is mounted.
const disk = "/disk"

// boot does what an init does before anything else: kernel file systems, modules, the
// loopback interface.
func boot() error {
	for _, m := range []struct{ kind, at string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	return loopback()
}

// loadModules loads what the host has put into dir, in the order of its names.
func loadModules(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.ko"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := loadModule(name); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

// loadModule loads one kernel module.
func loadModule(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

// loopback sets the interface lo up.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket for lo: %w", err)
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// mount mounts the disk. With wire.NoBarrier, ext4 never has it flushed.
func mount(w wire.Weakness) error {
	if err := os.MkdirAll(disk, 0o755); err != nil {
		return err
	}
	options := ""
	if w == wire.NoBarrier {
		options = "barrier=0"
	}
	if err := unix.Mount("/dev/vda", disk, "ext4", unix.MS_NOATIME, options); err != nil {
		return fmt.Errorf("mount the disk: %w", err)
	}
	return nil
}

// A port is the serial line to the host. Its methods may be called from several
// goroutines.
type port struct {
	mu   sync.Mutex
	file *os.File
}

// openPort finds the virtio port that the host has opened, and reads its order.
func openPort() (*port, wire.Order, error) {
	var order wire.Order
	names, err := filepath.Glob("/dev/vport*")
	if err != nil || len(names) != 1 {
		return nil, order, fmt.Errorf("want one virtio port, have %s: %w", strings.Join(names, " "), errors.Join(err, os.ErrNotExist))
	}
	f, err := os.OpenFile(names[0], os.O_RDWR, 0)
	if err != nil {
		return nil, order, err
	}
	text, err := bufio.NewReader(f).ReadBytes('\n')
	if err != nil {
		return nil, order, fmt.Errorf("read order: %w", err)
	}
	if err := json.Unmarshal(text, &order); err != nil {
		return nil, order, fmt.Errorf("understand order %q: %w", text, err)
	}
	return &port{file: f}, order, nil
}

// say writes one line. Without the host there is nobody to tell that it failed.
func (p *port) say(l wire.Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.file.WriteString(l.String() + "\n")
}
