package main

import (
	"bytes"
	"fmt"
	"io"
)

// An archive writes a cpio archive in the format "newc", which the kernel unpacks as its
// first root file system (the kernel's Documentation/driver-api/early-userspace/
// buffer-format.rst).
type archive struct {
	w     io.Writer
	inode int
	err   error // the first error, after which nothing is written
}

// Modes of cpio entries: the file's type and permissions.
const (
	modeDir    = 0o040755
	modeFile   = 0o100755
	modeDevice = 0o020600
)

// dir adds a folder.
func (a *archive) dir(name string) { a.entry(name, modeDir, 0, 0, nil) }

// file adds a file that may be run.
func (a *archive) file(name string, data []byte) { a.entry(name, modeFile, 0, 0, data) }

// console adds the device that the kernel opens as standard input and output of /init.
func (a *archive) console() { a.entry("dev/console", modeDevice, 5, 1, nil) }

// close ends the archive and returns the first error.
func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, 0, 0, nil)
	return a.err
}

// entry writes one header of thirteen hexadecimal fields, the name and the data, each
// padded to four bytes.
func (a *archive) entry(name string, mode, major, minor int, data []byte) {
	if a.err != nil {
		return
	}
	a.inode++
	var b bytes.Buffer
	b.WriteString("070701")
	for _, field := range []int{a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0} {
		fmt.Fprintf(&b, "%08x", field)
	}
	b.WriteString(name)
	b.WriteByte(0)
	pad(&b)
	b.Write(data)
	pad(&b)
	_, a.err = a.w.Write(b.Bytes())
}

// pad fills up to a multiple of four bytes.
func pad(b *bytes.Buffer) { b.Write(make([]byte, -b.Len()&3)) }
