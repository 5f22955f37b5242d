package segment

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"sync"

	"doppelboden"
	"doppelboden/disk"
)

const (
	chunkPlain = 64 << 10 // plain bytes of every chunk but the last
	chunkHead  = 8        // length of the sealed bytes, 4; their CRC32C, 4
	maxChunk   = 1 << 20  // what a header may say; ours say chunkPlain

	// writeEvery is after how many bytes the disk is told to begin writing a big body,
	// so that the sync at its end, and those of others meanwhile, find little to do.
	writeEvery = 1 << 20
	// bigStep is how much room is reserved ahead for a big body.
	bigStep = 8 << 20
)

// A Writer takes one big body. It belongs to one goroutine.
type Writer struct {
	s       *Store
	tenant  doppelboden.TenantID
	day     string
	base    string
	file    disk.File // nil when it is over
	aead    cipher.AEAD
	sum     hash.Hash
	body    doppelboden.Body
	chunk   *[]byte // plain bytes of the chunk that is being filled, in a pooled buffer
	sealed  []byte  // room for one sealed chunk
	count   uint64  // chunks written
	pos     int64   // where the next chunk goes
	alloc   int64   // room is reserved up to here; -1: the file system can't
	started int64   // the disk was told to write up to here
	failed  error   // the first error; it stays
}

// chunkBuffers holds buffers for one plain and one sealed chunk.
type chunkBuffers struct{ pool sync.Pool }

func (p *chunkBuffers) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, chunkPlain+chunkHead+chunkPlain+tagSize)
	return &b
}

// Create begins a body of unknown size, which goes into a file of its own. The caller
// ends it with Close or Abort. Errors are Temporary or StorageFull.
func (s *Store) Create(t doppelboden.TenantID) (*Writer, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, disk.Fail("create body", fs.ErrClosed)
	}
	var key [32]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the program instead
	wrapped, keyVersion, err := s.opts.Keys.Wrap(t, &key)
	if err != nil {
		return nil, disk.Fail("wrap body key", err)
	}
	aead, err := newAEAD(&key)
	if err != nil {
		return nil, disk.Fail("create body", err)
	}
	w := &Writer{s: s, tenant: t, day: dayOf(s.opts.Clock()), base: newBigName(), aead: aead,
		sum: sha256.New(), body: doppelboden.Body{Key: wrapped, KeyVersion: keyVersion}}
	w.body.Segment = place{day: w.day, base: w.base, big: true}.name()
	if err := w.begin(); err != nil {
		return nil, disk.Fail("create body", err)
	}
	return w, nil
}

// begin makes the file and writes its header.
func (w *Writer) begin() error {
	if err := w.s.opts.FS.Mkdir(filepath.Join(w.s.opts.Dir, w.day)); err != nil {
		return err
	}
	f, err := w.s.opts.FS.Create(w.s.path(w.day, w.base+partExt))
	if err != nil {
		return err
	}
	w.file = f
	w.chunk = w.s.chunks.get()
	w.sealed = (*w.chunk)[chunkPlain:]
	*w.chunk = (*w.chunk)[:0]
	var b [headerSize]byte
	header{kind: kindBig, tenant: w.tenant, length: chunkPlain}.put(b[:])
	if err := w.put(b[:]); err != nil {
		w.Abort()
		return err
	}
	return nil
}

// Write takes the next plain bytes. After an error the Writer only takes Abort.
func (w *Writer) Write(p []byte) (int, error) {
	if w.failed != nil || w.file == nil {
		return 0, w.over()
	}
	n := len(p)
	w.sum.Write(p)
	w.body.Size += int64(n)
	for len(p) > 0 {
		if len(*w.chunk) == chunkPlain {
			if err := w.flush(false); err != nil {
				return 0, err
			}
		}
		take := min(len(p), chunkPlain-len(*w.chunk))
		*w.chunk = append(*w.chunk, p[:take]...)
		p = p[take:]
	}
	return n, nil
}

// over returns why the Writer takes nothing more.
func (w *Writer) over() error {
	if w.failed != nil {
		return w.failed
	}
	return disk.Fail("write body", fs.ErrClosed)
}

// flush seals and writes the chunk that was filled.
func (w *Writer) flush(last bool) error {
	nonce := chunkNonce(w.count, last)
	bound := additional(w.tenant, chunkPlain)
	sealed := w.aead.Seal(w.sealed[chunkHead:chunkHead], nonce[:], *w.chunk, bound[:])
	binary.BigEndian.PutUint32(w.sealed[0:], uint32(len(sealed)))
	binary.BigEndian.PutUint32(w.sealed[4:], crc32.Checksum(sealed, castagnoli))
	if err := w.put(w.sealed[:chunkHead+len(sealed)]); err != nil {
		return w.fail("write body", err)
	}
	*w.chunk = (*w.chunk)[:0]
	w.count++
	return nil
}

// put writes b at the end of the file.
func (w *Writer) put(b []byte) error {
	if w.alloc >= 0 && w.pos+int64(len(b)) > w.alloc {
		if err := w.file.Allocate(w.alloc, bigStep); err != nil {
			w.alloc = -1
		} else {
			w.alloc += bigStep
		}
	}
	if _, err := w.file.WriteAt(b, w.pos); err != nil {
		return err
	}
	w.pos += int64(len(b))
	if w.pos-w.started >= writeEvery {
		// Only to spread the work; the sync in Close is what counts.
		_ = w.file.Start(w.started, w.pos-w.started)
		w.started = w.pos
	}
	return nil
}

// fail keeps the first error.
func (w *Writer) fail(verb string, err error) error {
	w.failed = disk.Fail(verb, err)
	return w.failed
}

// chunkNonce numbers the chunks of a body and marks the last. It never equals that of
// a record, but its key is another anyway.
func chunkNonce(count uint64, last bool) [12]byte {
	var n [12]byte
	n[0] = 1
	if last {
		n[1] = 1
	}
	binary.BigEndian.PutUint64(n[4:], count)
	return n
}

// Close ends the body and returns where it lies. It is on the disk when Close returns,
// without a Sync: a sync of many megabytes should hold up nobody but its own sender.
// After an error nothing is kept.
func (w *Writer) Close() (doppelboden.Body, error) {
	if w.failed != nil || w.file == nil {
		err := w.over()
		w.Abort()
		return doppelboden.Body{}, err
	}
	if err := w.finish(); err != nil {
		err = w.fail("close body", err)
		w.Abort()
		return doppelboden.Body{}, err
	}
	w.body.Sum = [32]byte(w.sum.Sum(nil))
	return w.body, nil
}

// finish writes what is left, syncs, and gives the file its name.
func (w *Writer) finish() error {
	if err := w.flush(true); err != nil {
		return err
	}
	var b [headerSize]byte
	header{kind: kindEnd, tenant: w.tenant, offset: w.pos}.put(b[:])
	if err := w.put(b[:]); err != nil {
		return err
	}
	if err := w.file.Truncate(w.pos); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	err := w.file.Close()
	w.file = nil
	if err != nil {
		return errors.Join(err, w.remove(partExt))
	}
	w.release()
	if err := w.s.opts.FS.Rename(w.s.path(w.day, w.base+partExt), w.s.path(w.day, w.base+bigExt)); err != nil {
		return errors.Join(err, w.remove(partExt))
	}
	if err := w.s.syncDay(w.day); err != nil {
		return errors.Join(err, w.remove(bigExt))
	}
	return nil
}

// syncDay makes the names in a day's folder, and the folder's own, durable.
func (s *Store) syncDay(day string) error {
	if err := s.opts.FS.SyncDir(filepath.Join(s.opts.Dir, day)); err != nil {
		return fmt.Errorf("sync folder %s: %w", day, err)
	}
	if err := s.opts.FS.SyncDir(s.opts.Dir); err != nil {
		return fmt.Errorf("sync segment folder: %w", err)
	}
	return nil
}

// remove removes the file, which has this ending.
func (w *Writer) remove(ext string) error { return w.s.opts.FS.Remove(w.s.path(w.day, w.base+ext)) }

// release gives the buffer back.
func (w *Writer) release() {
	*w.chunk = (*w.chunk)[:cap(*w.chunk)]
	w.s.chunks.pool.Put(w.chunk)
	w.chunk, w.sealed = nil, nil
}

// Abort gives the body up. It is harmless after Close and may be repeated.
func (w *Writer) Abort() {
	if w.file == nil {
		return
	}
	w.file.Close()
	w.file = nil
	w.release()
	if err := w.remove(partExt); err != nil {
		w.s.opts.Log.Warn("body that was given up could not be removed", "segment", w.body.Segment, "error", err)
	}
}
