package intake

import (
	"bytes"
	"sync"
	"sync/atomic"

	"doppelboden"
)

// inMemory is the greatest body that is kept in memory while it arrives; longer ones
// stream into a file of their own. It is the limit of package segment for one record.
const inMemory = 256 << 10

// A budget bounds the bytes that all transactions hold in memory.
type budget struct {
	most int64
	used atomic.Int64
}

// take reserves n bytes, or returns false.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.most {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// full reports whether not even one more body of the greatest size in memory fits.
func (b *budget) full() bool { return b.used.Load()+inMemory > b.most }

// bufferSizes are the sizes of memory that bodies grow through. Each size has a pool: a
// city's mails have a median of 20 KB, so most need two steps.
var bufferSizes = [...]int{8 << 10, 32 << 10, 128 << 10, inMemory}

// A body collects the bytes of one mail.
type body struct {
	buf  []byte     // from a pool; its capacity is reserved in the budget
	big  BodyWriter // set once the body outgrew inMemory
	head []byte     // of a big body: its first inMemory bytes at most; counts in the budget
}

// header returns the beginning of the body, at least its header section unless that is
// longer than inMemory.
func (b *body) header() []byte {
	if b.head != nil {
		return headerOf(b.head)
	}
	return headerOf(b.buf)
}

// headerCut reports whether the header section is longer than what header returns.
func (b *body) headerCut() bool { return len(b.head) >= inMemory }

// headerOf returns the header section of a mail, without the empty line behind it, or
// all of what is only its beginning.
func headerOf(all []byte) []byte {
	if i := bytes.Index(all, []byte("\r\n\r\n")); i >= 0 {
		return all[:i+2]
	}
	return all
}

// write takes the next bytes.
func (b *body) write(in *Intake, t doppelboden.TenantID, p []byte) error {
	if b.big == nil && len(b.buf)+len(p) > inMemory {
		if err := b.spill(in, t, p); err != nil {
			return err
		}
	}
	if b.big != nil {
		_, err := b.big.Write(p)
		return err
	}
	if len(b.buf)+len(p) > cap(b.buf) && !b.grow(in, len(b.buf)+len(p)) {
		return errBusy()
	}
	b.buf = append(b.buf, p...)
	return nil
}

// grow makes room for n bytes, or returns false when the budget is used up.
func (b *body) grow(in *Intake, n int) bool {
	for i, size := range bufferSizes {
		if size < n {
			continue
		}
		if !in.budget.take(int64(size)) {
			return false
		}
		next := append(in.buffer(i), b.buf...)
		b.drop(in)
		b.buf = next
		return true
	}
	return false // unreachable: longer bodies are spilled
}

// spill moves the body into a file of its own and keeps its header, which may end in
// next, the bytes that made the body too long.
func (b *body) spill(in *Intake, t doppelboden.TenantID, next []byte) error {
	big, err := in.opts.Bodies.Create(t)
	if err != nil {
		return err
	}
	if _, err := big.Write(b.buf); err != nil {
		big.Abort()
		return err
	}
	head := headerOf(append(bytes.Clone(b.buf), next[:min(len(next), inMemory-len(b.buf))]...))
	if !in.budget.take(int64(len(head))) {
		big.Abort()
		return errBusy()
	}
	b.head = bytes.Clone(head)
	b.big = big
	b.drop(in)
	return nil
}

// seal hands the body over to the segments.
func (b *body) seal(in *Intake, t doppelboden.TenantID) (doppelboden.Body, error) {
	if b.big == nil {
		return in.opts.Bodies.Put(t, b.buf)
	}
	big := b.big
	b.big = nil
	return big.Close()
}

// release gives back memory and file. It may be called again.
func (b *body) release(in *Intake) {
	b.drop(in)
	if b.big != nil {
		b.big.Abort()
		b.big = nil
	}
	in.budget.give(int64(len(b.head)))
	b.head = nil
}

// drop gives back the buffer.
func (b *body) drop(in *Intake) {
	buf := b.buf
	b.buf = nil
	for i, size := range bufferSizes {
		if cap(buf) == size {
			in.buffers[i].Put(&buf)
			in.budget.give(int64(size))
		}
	}
}

// buffer returns an empty buffer of bufferSizes[i].
func (in *Intake) buffer(i int) []byte {
	if p, ok := in.buffers[i].Get().(*[]byte); ok {
		return (*p)[:0]
	}
	return make([]byte, 0, bufferSizes[i])
}

// bufferPools has a pool for each of bufferSizes.
type bufferPools [len(bufferSizes)]sync.Pool
