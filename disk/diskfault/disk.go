// Package diskfault has a disk for tests: it lives in memory, breaks on demand, and
// forgets what was not synced, as a disk without power does and as Linux does after a
// failed fsync.
//
// It is harsher than ext4: after a Crash any part of what was written since the last
// sync may be there or not, in sectors of 512 bytes and in any order, and so may names
// in folders that were not synced.
package diskfault

import (
	"bytes"
	"io"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"doppelboden/disk"
)

// Operations as Fault is told them.
const (
	OpCreate   = "create"
	OpOpen     = "open"
	OpRead     = "read"
	OpWrite    = "write"
	OpAllocate = "allocate"
	OpTruncate = "truncate"
	OpSync     = "sync"
	OpSyncDir  = "syncdir"
	OpMkdir    = "mkdir"
	OpRemove   = "remove"
	OpRename   = "rename"
	OpLink     = "link"
)

// A Disk is a disk.FS. Its zero value is empty and ready for use.
type Disk struct {
	// Fault is asked before each operation; its error is what the operation returns.
	// A write that fails has written the first half of its bytes. A sync that fails
	// has forgotten what it should have synced: a later one succeeds without it. It is
	// called without locks, so it may block. Set it before use.
	Fault func(op, name string) error

	mu      sync.Mutex
	run     int               // counts crashes; files opened before one are dead
	names   map[string]*inode // what the running system sees
	durable map[string]*inode // what is on the disk
	pending []rename          // changes of names that no SyncDir has made durable
}

// An inode is a file or a folder.
type inode struct {
	dir     bool
	data    []byte   // what the running system sees
	durable []byte   // what is on the disk
	dirty   []change // what makes durable into data
}

// A change is a write or a new size.
type change struct {
	off  int64
	data []byte
	size int64 // the size afterwards, at least; exactly when cut
	cut  bool
}

// A rename is a change of the names of one folder, whole or not at all.
type rename struct {
	dir string
	set map[string]*inode // nil: the name is gone
}

func (d *Disk) ask(op, name string) error {
	if d.Fault == nil {
		return nil
	}
	return d.Fault(op, name)
}

// lock takes the lock and makes the maps.
func (d *Disk) lock() {
	d.mu.Lock()
	if d.names == nil {
		d.names, d.durable = make(map[string]*inode), make(map[string]*inode)
	}
}

func perr(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// rename changes names in the folder of the first. The caller holds mu.
func (d *Disk) rename(set map[string]*inode) {
	var dir string
	for name, n := range set {
		dir = filepath.Dir(name)
		if n == nil {
			delete(d.names, name)
		} else {
			d.names[name] = n
		}
	}
	d.pending = append(d.pending, rename{dir: dir, set: set})
}

func (r rename) apply(names map[string]*inode) {
	for name, n := range r.set {
		if n == nil {
			delete(names, name)
		} else {
			names[name] = n
		}
	}
}

// Create implements disk.FS.
func (d *Disk) Create(name string) (disk.File, error) {
	if err := d.ask(OpCreate, name); err != nil {
		return nil, perr("create", name, err)
	}
	d.lock()
	defer d.mu.Unlock()
	if d.names[name] != nil {
		return nil, perr("create", name, fs.ErrExist)
	}
	if p := filepath.Dir(name); p != "." && p != "/" && d.names[p] == nil {
		return nil, perr("create", name, fs.ErrNotExist)
	}
	n := new(inode)
	d.rename(map[string]*inode{name: n})
	return &file{d: d, n: n, name: name, run: d.run}, nil
}

// Open implements disk.FS.
func (d *Disk) Open(name string) (disk.File, error) {
	if err := d.ask(OpOpen, name); err != nil {
		return nil, perr("open", name, err)
	}
	d.lock()
	defer d.mu.Unlock()
	n := d.names[name]
	if n == nil || n.dir {
		return nil, perr("open", name, fs.ErrNotExist)
	}
	return &file{d: d, n: n, name: name, run: d.run}, nil
}

// OpenWrite implements disk.FS.
func (d *Disk) OpenWrite(name string) (disk.File, error) { return d.Open(name) }

// Mkdir implements disk.FS.
func (d *Disk) Mkdir(name string) error {
	if err := d.ask(OpMkdir, name); err != nil {
		return perr("mkdir", name, err)
	}
	d.lock()
	defer d.mu.Unlock()
	for p := name; p != "." && p != "/"; p = filepath.Dir(p) {
		if d.names[p] == nil {
			d.rename(map[string]*inode{p: {dir: true}})
		}
	}
	return nil
}

// Remove implements disk.FS.
func (d *Disk) Remove(name string) error {
	if err := d.ask(OpRemove, name); err != nil {
		return perr("remove", name, err)
	}
	d.lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return perr("remove", name, fs.ErrNotExist)
	}
	for other := range d.names {
		if filepath.Dir(other) == name {
			return perr("remove", name, fs.ErrInvalid)
		}
	}
	d.rename(map[string]*inode{name: nil})
	return nil
}

// Rename implements disk.FS, within one folder.
func (d *Disk) Rename(old, new string) error {
	if err := d.ask(OpRename, old); err != nil {
		return perr("rename", old, err)
	}
	d.lock()
	defer d.mu.Unlock()
	n := d.names[old]
	if n == nil || filepath.Dir(old) != filepath.Dir(new) {
		return perr("rename", old, fs.ErrNotExist)
	}
	d.rename(map[string]*inode{old: nil, new: n})
	return nil
}

// Link implements disk.FS.
func (d *Disk) Link(old, new string) error {
	if err := d.ask(OpLink, old); err != nil {
		return perr("link", old, err)
	}
	d.lock()
	defer d.mu.Unlock()
	n := d.names[old]
	if n == nil {
		return perr("link", old, fs.ErrNotExist)
	}
	if d.names[new] != nil {
		return perr("link", new, fs.ErrExist)
	}
	d.rename(map[string]*inode{new: n})
	return nil
}

// List implements disk.FS.
func (d *Disk) List(name string) ([]disk.Entry, error) {
	if err := d.ask(OpOpen, name); err != nil {
		return nil, perr("list", name, err)
	}
	d.lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return nil, perr("list", name, fs.ErrNotExist)
	}
	var entries []disk.Entry
	for path, n := range d.names {
		if filepath.Dir(path) == name {
			entries = append(entries, disk.Entry{Name: filepath.Base(path), Dir: n.dir, Size: int64(len(n.data))})
		}
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name < entries[j].Name })
	return entries, nil
}

// SyncDir implements disk.FS.
func (d *Disk) SyncDir(name string) error {
	if err := d.ask(OpSyncDir, name); err != nil {
		return perr("fsync", name, err)
	}
	d.lock()
	defer d.mu.Unlock()
	var rest []rename
	for _, r := range d.pending {
		if r.dir == name {
			r.apply(d.durable)
		} else {
			rest = append(rest, r)
		}
	}
	d.pending = rest
	return nil
}

// Crash cuts the power and starts again. pick returns a number from 0 to n-1 and
// decides what of the unsynced was written after all.
func (d *Disk) Crash(pick func(n int) int) {
	d.lock()
	defer d.mu.Unlock()
	d.run++
	for _, r := range d.pending {
		if pick(2) == 0 {
			r.apply(d.durable)
		}
	}
	d.pending = nil
	var paths []string
	for path := range d.durable {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	d.names = make(map[string]*inode)
	seen := make(map[*inode]bool)
	for _, path := range paths {
		p := filepath.Dir(path)
		if p != "." && p != "/" && d.names[p] == nil {
			delete(d.durable, path) // its folder is gone
			continue
		}
		n := d.durable[path]
		d.names[path] = n
		if !seen[n] {
			seen[n] = true
			n.crash(pick)
		}
	}
}

// crash leaves a part of what was not synced.
func (n *inode) crash(pick func(n int) int) {
	for _, c := range n.dirty {
		switch pick(3) {
		case 0:
			n.durable = c.apply(n.durable)
		case 1:
			n.durable = c.some(pick).apply(n.durable)
		}
	}
	n.dirty = nil
	n.data = bytes.Clone(n.durable)
}

// apply returns data as the change leaves it.
func (c change) apply(data []byte) []byte {
	if c.cut && c.size < int64(len(data)) {
		data = data[:c.size:c.size]
	}
	for int64(len(data)) < c.size {
		data = append(data, make([]byte, c.size-int64(len(data)))...)
	}
	copy(data[min(c.off, int64(len(data))):], c.data)
	return data
}

// some returns the change with some sectors of it not written (they stay zero).
func (c change) some(pick func(n int) int) change {
	c.data = bytes.Clone(c.data)
	const sector = 512
	for at := 0; at < len(c.data); {
		end := min(len(c.data), at+sector-int(c.off+int64(at))%sector)
		if pick(2) == 0 {
			clear(c.data[at:end])
		}
		at = end
	}
	return c
}

// Damage lets change alter the bytes of a file, on the disk and in memory.
func (d *Disk) Damage(name string, change func(data []byte) []byte) {
	d.lock()
	defer d.mu.Unlock()
	n := d.names[name]
	n.data = change(bytes.Clone(n.data))
	n.durable, n.dirty = bytes.Clone(n.data), nil
}

// Bytes returns what a file holds, or nil.
func (d *Disk) Bytes(name string) []byte {
	d.lock()
	defer d.mu.Unlock()
	if n := d.names[name]; n != nil {
		return bytes.Clone(n.data)
	}
	return nil
}

// Files returns the paths of all files whose name has the ending, in order.
func (d *Disk) Files(ending string) []string {
	d.lock()
	defer d.mu.Unlock()
	var paths []string
	for path, n := range d.names {
		if !n.dir && strings.HasSuffix(path, ending) {
			paths = append(paths, path)
		}
	}
	sort.Strings(paths)
	return paths
}

// A file is an open file.
type file struct {
	d    *Disk
	n    *inode
	name string
	run  int
}

// begin asks for faults and takes the lock; the caller unlocks unless there is an error.
func (f *file) begin(op string) error {
	if err := f.d.ask(op, f.name); err != nil {
		return perr(op, f.name, err)
	}
	f.d.lock()
	if f.run != f.d.run {
		f.d.mu.Unlock()
		return perr(op, f.name, fs.ErrClosed)
	}
	return nil
}

func (f *file) change(c change) {
	f.n.data = c.apply(f.n.data)
	f.n.dirty = append(f.n.dirty, c)
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.begin(OpRead); err != nil {
		return 0, err
	}
	defer f.d.mu.Unlock()
	return bytes.NewReader(f.n.data).ReadAt(p, off)
}

// WriteAt implements io.WriterAt.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	broken := f.d.ask(OpWrite, f.name)
	f.d.lock()
	defer f.d.mu.Unlock()
	if f.run != f.d.run {
		return 0, perr(OpWrite, f.name, fs.ErrClosed)
	}
	n := len(p)
	if broken != nil {
		n /= 2
	}
	f.change(change{off: off, data: bytes.Clone(p[:n]), size: off + int64(n)})
	if broken != nil {
		return n, perr(OpWrite, f.name, broken)
	}
	return n, nil
}

// Allocate implements disk.File.
func (f *file) Allocate(off, n int64) error {
	if err := f.begin(OpAllocate); err != nil {
		return err
	}
	defer f.d.mu.Unlock()
	f.change(change{size: off + n})
	return nil
}

// Start implements disk.File.
func (f *file) Start(int64, int64) error { return nil }

// Truncate implements disk.File.
func (f *file) Truncate(size int64) error {
	if err := f.begin(OpTruncate); err != nil {
		return err
	}
	defer f.d.mu.Unlock()
	f.change(change{size: size, cut: true})
	return nil
}

// Sync implements disk.File. What is written while Fault is asked is not synced: the
// harsh reading of a sync that began before the write.
func (f *file) Sync() error {
	f.d.lock()
	upto := len(f.n.dirty)
	f.d.mu.Unlock()
	broken := f.d.ask(OpSync, f.name)
	f.d.lock()
	defer f.d.mu.Unlock()
	if f.run != f.d.run {
		return perr(OpSync, f.name, fs.ErrClosed)
	}
	synced := f.n.dirty[:upto]
	f.n.dirty = append([]change(nil), f.n.dirty[upto:]...)
	if broken != nil {
		return perr(OpSync, f.name, broken) // what was dirty is forgotten
	}
	for _, c := range synced {
		f.n.durable = c.apply(f.n.durable)
	}
	return nil
}

// Size implements disk.File.
func (f *file) Size() (int64, error) {
	f.d.lock()
	defer f.d.mu.Unlock()
	return int64(len(f.n.data)), nil
}

// Close implements io.Closer.
func (f *file) Close() error { return nil }

var (
	_ disk.FS     = (*Disk)(nil)
	_ io.ReaderAt = (*file)(nil)
)
