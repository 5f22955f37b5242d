package disk

import (
	"io"
)

// An FS is the part of a file system that the cellar uses. OS is the real one; package
// diskfault has one that breaks on demand and forgets like a disk without power. Names
// are paths as package filepath makes them. Errors wrap those of package fs and
// syscall.
type FS interface {
	// Create makes a file with mode 0600 for reading and writing. It fails with
	// fs.ErrExist when the name is taken.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenWrite opens a file that exists for reading and writing.
	OpenWrite(name string) (File, error)
	// Mkdir makes a folder with mode 0700, and those above it. One that exists is no
	// error.
	Mkdir(name string) error
	// Remove removes a file or an empty folder.
	Remove(name string) error
	// Rename gives a file a new name and replaces what had it.
	Rename(old, new string) error
	// Link gives a file a second name. It fails with fs.ErrExist when that is taken.
	Link(old, new string) error
	// List returns what lies in a folder, by name.
	List(name string) ([]Entry, error)
	// SyncDir makes the names in a folder durable.
	SyncDir(name string) error
}

// An Entry is one name in a folder.
type Entry struct {
	Name string // without the folder
	Dir  bool   // whether it is a folder
	Size int64  // of a file, in bytes
}

// A File is an open file. ReadAt and WriteAt may be called by several goroutines.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Allocate reserves n bytes at off and makes the file reach to their end. They
	// read as zeros. It is a favour: a file system that can't may return an error.
	Allocate(off, n int64) error
	// Start asks the kernel to begin writing n bytes at off to the disk, and does not
	// wait. It promises nothing.
	Start(off, n int64) error
	// Truncate sets the file's length.
	Truncate(size int64) error
	// Sync returns when the file's bytes and length are on the disk.
	Sync() error
	// Size returns the file's length in bytes.
	Size() (int64, error)
}
