package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A rig is what all boots of a run share.
type rig struct {
	kernel    kernel
	initramfs string // file with the guest and its modules
	image     string // file of the disk
	sockets   string // folder with a short name, for a socket's has at most 107 bytes
	log       string // file of the console
	accel     string // "kvm" or "tcg"
}

// newRig builds everything that boots share, below cache. clean removes it, except for the
// kernel.
func newRig(ctx context.Context, cache, accel string) (r rig, clean func() error, err error) {
	if cache, err = filepath.Abs(cache); err != nil {
		return rig{}, nil, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return rig{}, nil, err
	}
	k, err := fetchKernel(ctx, cache)
	if err != nil {
		return rig{}, nil, fmt.Errorf("get a kernel: %w", err)
	}
	folder, err := os.MkdirTemp(cache, "run-")
	if err != nil {
		return rig{}, nil, err
	}
	sockets, err := os.MkdirTemp("", "powercut-")
	if err != nil {
		return rig{}, nil, err
	}
	clean = func() error {
		if err := os.RemoveAll(sockets); err != nil {
			return err
		}
		return os.RemoveAll(folder)
	}
	initramfs, err := buildInitramfs(ctx, k, folder)
	if err != nil {
		return rig{}, nil, errors.Join(err, clean())
	}
	return rig{
		kernel:    k,
		initramfs: initramfs,
		image:     filepath.Join(folder, "disk.img"),
		sockets:   sockets,
		log:       filepath.Join(folder, "console.log"),
		accel:     accel,
	}, clean, nil
}
