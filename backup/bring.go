package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"doppelboden"
)

// copyBlock is how much is copied before the context is asked.
const copyBlock = 1 << 20

// A bringer brings files of a node into a backup's folder.
type bringer struct {
	*folder
	ctx   context.Context
	tell  func(done int64) // how many bytes were looked at; never nil
	done  int64
	link  int64 // bytes that needed no room, because the file was linked
	fresh int64 // bytes that were copied
	block []byte
}

// bring makes the file src part of the backup as path, up to size, and returns its entry.
// A file that ends before size is an error. whole says that nothing will be added to it.
func (b *bringer) bring(src, path string, from, size int64, whole bool) (File, error) {
	f := File{Path: path, From: from, Size: size, Whole: whole}
	if was, ok := b.was[path]; ok && b.lies(path, was.Size) {
		if was.Whole && whole && was.Size == size && was.From == from {
			return was, nil
		}
		return f, b.extend(src, &f, was)
	}
	to := b.path(path)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return f, writing(err)
	}
	// What a run that was cut off has left: the manifest does not name it.
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, writing(err)
	}
	if whole && os.Link(src, to) == nil {
		b.link += size - from
		return f, b.sum(to, &f)
	}
	err := b.copy(src, &f)
	if err != nil {
		_ = os.Remove(to) // a full disk needs the room; the next run makes it anew anyway
	}
	return f, err
}

// lies reports whether a file of the backup is there and long enough.
func (b *bringer) lies(path string, size int64) bool {
	info, err := os.Lstat(b.path(path))
	return err == nil && info.Mode().IsRegular() && info.Size() >= size
}

// copy copies src into a new file.
func (b *bringer) copy(src string, f *File) error {
	in, err := os.Open(src)
	if err != nil {
		return fmt.Errorf("read what is to be backed up: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(b.path(f.Path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return writing(err)
	}
	sum := sha256.New()
	err = b.pump(in, out, sum, f.From, f.Size)
	return b.ended(out, sum, f, err)
}

// extend adds to a file of the backup what has been added to src since. When src does not
// begin with what the backup has, the node's history is another one than the backup's.
func (b *bringer) extend(src string, f *File, was File) error {
	other := refuse(doppelboden.Invalid, "%s is not what this backup has of it: the node went back to an older state since. Use another folder; this one stays as it is", f.Path)
	if was.Whole || was.Size > f.Size || was.From != f.From {
		return other
	}
	in, err := os.Open(src)
	if err != nil {
		return fmt.Errorf("read what is to be backed up: %w", err)
	}
	defer in.Close()
	sum := sha256.New()
	if err := b.pump(in, nil, sum, f.From, was.Size); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != was.SHA256 {
		return other
	}
	out, err := os.OpenFile(b.path(f.Path), os.O_WRONLY, 0)
	if err != nil {
		return writing(err)
	}
	err = b.pump(in, out, sum, was.Size, f.Size)
	return b.ended(out, sum, f, err)
}

// ended makes a copy durable and notes its sum.
func (b *bringer) ended(out *os.File, sum hash.Hash, f *File, err error) error {
	if err == nil {
		if err = out.Sync(); err != nil {
			err = writing(err)
		}
	}
	if closing := out.Close(); err == nil && closing != nil {
		err = writing(closing)
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return err
}

// sum notes the sum of a file that is in its place already.
func (b *bringer) sum(path string, f *File) error {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read what is to be backed up: %w", err)
	}
	defer in.Close()
	sum := sha256.New()
	if err := b.pump(in, nil, sum, f.From, f.Size); err != nil {
		return err
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// pump reads in from one offset to another into sum, and into out at the same place, which
// may be nil.
func (b *bringer) pump(in, out *os.File, sum hash.Hash, from, to int64) error {
	if b.block == nil {
		b.block = make([]byte, copyBlock)
	}
	for at := from; at < to; {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		part := b.block[:min(int64(len(b.block)), to-at)]
		n, err := in.ReadAt(part, at)
		if n < len(part) {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%s ends at %d, wanted %d bytes", in.Name(), at+int64(n), to)
			}
			return fmt.Errorf("read: %w", err)
		}
		sum.Write(part)
		if out != nil {
			if _, err := out.WriteAt(part, at); err != nil {
				return writing(err)
			}
			b.fresh += int64(n)
		}
		at += int64(n)
		b.done += int64(n)
		b.tell(b.done)
	}
	return nil
}
