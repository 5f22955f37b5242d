package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kernelPackage depends on Debian's current kernel for virtual machines.
const kernelPackage = "linux-image-cloud-amd64"

// wantedModules are what the guest needs and the kernel may not have built in.
var wantedModules = []string{"virtio_pci", "virtio_blk", "virtio_console", "ext4", "crc32c_generic"}

// A kernel is an unpacked kernel package.
type kernel struct {
	name   string // of the package
	image  string // the file that boots
	folder string // of the modules
}

// fetchKernel takes Debian's kernel out of its package, below cache, without installing
// it. What an earlier run unpacked is used again. When apt's lists are too old to get it,
// they are renewed once.
func fetchKernel(ctx context.Context, cache string) (kernel, error) {
	k, first := tryKernel(ctx, cache)
	if first == nil {
		return k, nil
	}
	if _, err := output(ctx, "", "apt-get", "-q", "update"); err != nil {
		return kernel{}, errors.Join(first, err)
	}
	return tryKernel(ctx, cache)
}

// tryKernel is fetchKernel with apt's lists as they are.
func tryKernel(ctx context.Context, cache string) (kernel, error) {
	name, err := kernelName(ctx)
	if err != nil {
		return kernel{}, err
	}
	folder := filepath.Join(cache, name)
	if k, err := openKernel(name, folder); err == nil {
		return k, nil
	}
	work, err := os.MkdirTemp(cache, "kernel-")
	if err != nil {
		return kernel{}, err
	}
	defer os.RemoveAll(work)
	if _, err := output(ctx, work, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name); err != nil {
		return kernel{}, err
	}
	packages, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(packages) != 1 {
		return kernel{}, fmt.Errorf("apt-get left %d packages of %s", len(packages), name)
	}
	if _, err := output(ctx, work, "dpkg-deb", "-x", filepath.Base(packages[0]), "unpacked"); err != nil {
		return kernel{}, err
	}
	if err := os.RemoveAll(folder); err != nil {
		return kernel{}, err
	}
	if err := os.Rename(filepath.Join(work, "unpacked"), folder); err != nil {
		return kernel{}, err
	}
	return openKernel(name, folder)
}

// kernelName asks apt which package the current kernel is in.
func kernelName(ctx context.Context) (string, error) {
	text, err := output(ctx, "", "apt-cache", "depends", "--important", kernelPackage)
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`(?m)^\s*Depends: (linux-image-\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("apt does not know what %s depends on", kernelPackage)
	}
	return m[1], nil
}

// openKernel finds the parts of an unpacked package.
func openKernel(name, folder string) (kernel, error) {
	images, err := filepath.Glob(filepath.Join(folder, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return kernel{}, fmt.Errorf("%s has %d kernels in boot", folder, len(images))
	}
	for _, below := range []string{"lib/modules", "usr/lib/modules"} {
		modules := filepath.Join(folder, below, strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-"))
		if _, err := os.Stat(modules); err == nil {
			return kernel{name: name, image: images[0], folder: modules}, nil
		}
	}
	return kernel{}, fmt.Errorf("%s has no modules", folder)
}

// A module is one file that the guest loads.
type module struct {
	name string // with underscores
	data []byte
}

// modules returns what the guest has to load, each after what it depends on. What is
// built into the kernel is left out.
func (k kernel) modules(ctx context.Context) ([]module, error) {
	files := map[string]string{}
	err := filepath.WalkDir(k.folder, func(path string, _ fs.DirEntry, err error) error {
		if base, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok {
			files[strings.ReplaceAll(base, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(k.folder, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	builtin := map[string]bool{}
	for _, path := range strings.Fields(string(text)) {
		builtin[strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")] = true
	}
	var list []module
	var add func(name string) error
	add = func(name string) error {
		if builtin[name] || slices.ContainsFunc(list, func(m module) bool { return m.name == name }) {
			return nil
		}
		path, ok := files[name]
		if !ok {
			return fmt.Errorf("%s has no module %s", k.name, name)
		}
		data, err := readModule(ctx, path)
		if err != nil {
			return err
		}
		needs, err := depends(data)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		list = append(list, module{name, data})
		return nil
	}
	for _, name := range wantedModules {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// readModule returns a module's bytes, decompressed: Debian packs them with xz since 13.
func readModule(ctx context.Context, path string) ([]byte, error) {
	if !strings.HasSuffix(path, ".xz") {
		return os.ReadFile(path)
	}
	text, err := output(ctx, "", "xz", "-dc", path)
	return []byte(text), err
}

// depends returns the modules that a module says it needs.
func depends(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for _, field := range strings.Split(string(info), "\x00") {
		if names, ok := strings.CutPrefix(field, "depends="); ok && names != "" {
			return strings.Split(strings.ReplaceAll(names, "-", "_"), ","), nil
		}
	}
	return nil, nil
}

// output runs a program in folder and returns what it printed, or its complaint.
func output(ctx context.Context, folder, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = folder
	c.Env = append(os.Environ(), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}
