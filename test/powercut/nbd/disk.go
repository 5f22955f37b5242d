package nbd

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
)

// SectorSize is the unit that a disk writes whole or not at all, in bytes.
const SectorSize = 512

// ErrPower is returned by every call after Cut.
var ErrPower = errors.New("nbd: the power is off")

// errRequest says that a request is not about whole sectors of the disk.
var errRequest = errors.New("nbd: not whole sectors of the disk")

// A Medium is what stays without power, such as an *os.File.
type Medium interface {
	io.ReaderAt
	io.WriterAt
}

// A version is what one sector held after one write.
type version struct {
	number uint64 // of the write, from 1
	data   []byte // SectorSize bytes
}

// Stats counts what a Disk was asked for since Open.
type Stats struct {
	Reads        int64 `json:"reads"`
	Writes       int64 `json:"writes"`
	BytesWritten int64 `json:"bytes_written"`
	Flushes      int64 `json:"flushes"`
	FUA          int64 `json:"fua"`     // writes that had to be durable when answered
	Evicted      int64 `json:"evicted"` // sectors that the full cache wrote by itself
}

// A Disk has a volatile cache before its medium. Its calls may come from several
// goroutines.
type Disk struct {
	mu     sync.Mutex
	medium Medium
	size   int64               // in bytes, a multiple of SectorSize
	limit  int                 // sectors that the cache holds at most
	cache  map[int64][]version // what the medium lacks, by sector, oldest version first
	writes uint64              // number of the last write
	off    bool                // the power is off
	fuse   int                 // the power goes after so many more writes; 0: it stays
	gone   func()              // is called when the fuse has burnt down
	stats  Stats
}

// NewDisk returns a disk of size bytes on medium, whose cache holds cache bytes. A full
// cache writes sectors of its choice, as a real one does.
func NewDisk(medium Medium, size, cache int64) (*Disk, error) {
	if size <= 0 || size%SectorSize != 0 {
		return nil, fmt.Errorf("nbd: a disk of %d bytes is not a number of sectors of %d", size, SectorSize)
	}
	if cache < SectorSize {
		return nil, fmt.Errorf("nbd: a cache of %d bytes holds no sector", cache)
	}
	return &Disk{medium: medium, size: size, limit: int(cache / SectorSize), cache: map[int64][]version{}}, nil
}

// Size returns the size in bytes.
func (d *Disk) Size() int64 { return d.size }

// Stats returns what was counted so far.
func (d *Disk) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// check returns an error unless n bytes at off are whole sectors of the disk.
func (d *Disk) check(n int, off int64) error {
	switch {
	case d.off:
		return ErrPower
	case off%SectorSize != 0 || n%SectorSize != 0 || off < 0 || off > d.size || int64(n) > d.size-off:
		return fmt.Errorf("%w: %d bytes at %d of %d", errRequest, n, off, d.size)
	}
	return nil
}

// Read fills p with what was last written at off.
func (d *Disk) Read(p []byte, off int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(len(p), off); err != nil {
		return err
	}
	d.stats.Reads++
	if _, err := d.medium.ReadAt(p, off); err != nil {
		return fmt.Errorf("read medium: %w", err)
	}
	for i := 0; i < len(p); i += SectorSize {
		if v := d.cache[(off+int64(i))/SectorSize]; len(v) > 0 {
			copy(p[i:i+SectorSize], v[len(v)-1].data)
		}
	}
	return nil
}

// Write puts p at off into the cache or, with fua, onto the medium. It does not keep p.
func (d *Disk) Write(p []byte, off int64, fua bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(len(p), off); err != nil {
		return err
	}
	d.stats.Writes++
	d.stats.BytesWritten += int64(len(p))
	d.writes++
	defer d.burn()
	if fua {
		d.stats.FUA++
		for i := 0; i < len(p); i += SectorSize {
			delete(d.cache, (off+int64(i))/SectorSize)
		}
		return d.store(p, off)
	}
	kept := append([]byte(nil), p...)
	for i := 0; i < len(kept); i += SectorSize {
		n := (off + int64(i)) / SectorSize
		d.cache[n] = append(d.cache[n], version{d.writes, kept[i : i+SectorSize]})
	}
	return d.evict()
}

// evict writes sectors to the medium until the cache is within its limit. Which ones,
// the map's order decides: a disk promises no order either.
func (d *Disk) evict() error {
	for n, versions := range d.cache {
		if len(d.cache) <= d.limit {
			break
		}
		if err := d.store(versions[len(versions)-1].data, n*SectorSize); err != nil {
			return err
		}
		delete(d.cache, n)
		d.stats.Evicted++
	}
	return nil
}

// store writes p to the medium.
func (d *Disk) store(p []byte, off int64) error {
	if _, err := d.medium.WriteAt(p, off); err != nil {
		return fmt.Errorf("write medium: %w", err)
	}
	return nil
}

// Mark returns the number of the last write: what FlushTo has to make durable.
func (d *Disk) Mark() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}

// FlushTo makes everything durable that was written up to mark, and no promise about
// what came later. With the power off it does nothing but return ErrPower.
func (d *Disk) FlushTo(mark uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return ErrPower
	}
	d.stats.Flushes++
	for n, versions := range d.cache {
		done := 0
		for done < len(versions) && versions[done].number <= mark {
			done++
		}
		if done == 0 {
			continue
		}
		if err := d.store(versions[done-1].data, n*SectorSize); err != nil {
			return err
		}
		if done == len(versions) {
			delete(d.cache, n)
		} else {
			d.cache[n] = versions[done:]
		}
	}
	return nil
}

// A Loss says what a cut did.
type Loss struct {
	Manner  string `json:"manner"`  // how the surviving part was chosen
	Pending int    `json:"pending"` // sectors that the medium lacked when the power went
	Dropped int    `json:"dropped"` // sectors of these whose last write is lost
	Torn    int    `json:"torn"`    // writes of which one part survived and another did not
}

// PowerOff ends everything at this instant: from now on nothing is taken and nothing
// answered, and the medium holds only what was durable. Drop decides what else it got.
func (d *Disk) PowerOff() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
}

// PowerOffAfter lights a fuse: the power goes off, as with PowerOff, with the n-th write
// from now, and gone is called at that instant. So a cut falls between any two steps of
// those who write, however close they are. gone must not call the disk.
func (d *Disk) PowerOffAfter(n int, gone func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.off {
		d.fuse, d.gone = n, gone
	}
}

// burn shortens the fuse.
func (d *Disk) burn() {
	if d.fuse == 0 || d.off {
		return
	}
	if d.fuse--; d.fuse == 0 {
		d.off = true
		d.gone()
	}
}

// Drop lets a part of the cache, chosen by random, reach the medium and forgets the
// rest. It is called once, after PowerOff.
func (d *Disk) Drop(random *rand.Rand) (Loss, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.off {
		return Loss{}, errors.New("nbd: drop while the power is on")
	}
	manner, pick := d.manner(random)
	loss := Loss{Manner: manner, Pending: len(d.cache)}
	lived, died := map[uint64]bool{}, map[uint64]bool{}
	for _, n := range sortedKeys(d.cache) {
		versions := d.cache[n]
		last := pick(n, versions)
		for i, v := range versions {
			if i == last {
				lived[v.number] = true
			} else if i > last {
				died[v.number] = true
			}
		}
		if last < len(versions)-1 {
			loss.Dropped++
		}
		if last < 0 {
			continue
		}
		if err := d.store(versions[last].data, n*SectorSize); err != nil {
			return loss, err
		}
	}
	for number := range lived {
		if died[number] {
			loss.Torn++
		}
	}
	d.cache = map[int64][]version{}
	return loss, nil
}
