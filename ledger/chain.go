package ledger

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"doppelboden"
)

// A Chain makes the links of one run of one node. It implements store.Chain. Its head
// lies in memory alone, so that no commit reads anything; after a restart a new chain
// begins, and knots tie the old one to it.
type Chain struct {
	name string // node and run; no other chain has it

	mu   sync.Mutex       // guards head, which others look at
	head doppelboden.Head // the last link

	// tree is used by Next alone, whose calls come from one goroutine.
	tree tree
}

// NewChain returns an empty chain for a run of node that begins now. Its name is the
// node's and a UUID of version 7, so that the names of a node's runs sort by time.
func NewChain(node string, now time.Time) *Chain {
	var ids doppelboden.IDs
	name := node + "-" + ids.New(now).String()
	return &Chain{name: name, head: doppelboden.Head{Chain: name}}
}

// Name returns the chain's name.
func (c *Chain) Name() string { return c.name }

// Head returns the last link; its number is 0 while there is none. A store's is durable; a
// landing's may still be on its way to the disk. It may be called by several goroutines.
func (c *Chain) Head() doppelboden.Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head
}

// Next returns the link over entries that follows the head, without moving the head.
func (c *Chain) Next(at time.Time, entries []doppelboden.Entry) doppelboden.Link {
	head := c.Head()
	var salt [saltSize]byte
	rand.Read(salt[:]) // never fails: crypto/rand ends the program instead
	l := doppelboden.Link{
		Chain:   c.name,
		Number:  head.Number + 1,
		Prev:    head.Hash,
		At:      time.UnixMicro(micros(at)).UTC(),
		Entries: encodeEntries(salt, entries),
	}
	// Our own encoding can be read; a mistake here would be found by every test.
	l.Root, _, _ = c.tree.root(l.Entries)
	l.Hash = hashLink(&l)
	return l
}

// Advance makes l the head: its commit is durable, or what comes next must follow it all the
// same.
func (c *Chain) Advance(l doppelboden.Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = doppelboden.Head{Chain: l.Chain, Number: l.Number, Hash: l.Hash}
}

// A tree computes roots and keeps its memory between calls.
type tree struct {
	hashes [][32]byte // one level of the tree
	buf    []byte     // what is being hashed
}

// root returns the Merkle root over the entries of a link and their number. It is the
// Merkle Tree Hash of RFC 9162, section 2.1.1, so that the inclusion of one entry can be
// proven by its section 2.1.3 without showing the others. A leaf's data is the version,
// the salt, the entry's place and the entry: equal entries have different leaves.
func (t *tree) root(entries []byte) (root [32]byte, n int, err error) {
	salt, n, next, err := walkEntries(entries)
	if err != nil {
		return root, 0, err
	}
	t.hashes = t.hashes[:0]
	t.buf = append(t.buf[:0], 0x00, entriesVersion)
	t.buf = append(t.buf, salt[:]...)
	base := len(t.buf)
	for {
		raw, more, err := next()
		if err != nil {
			return root, 0, err
		}
		if !more {
			break
		}
		t.buf = binary.BigEndian.AppendUint32(t.buf[:base], uint32(len(t.hashes)))
		t.buf = append(t.buf, raw...)
		t.hashes = append(t.hashes, sha256.Sum256(t.buf))
	}
	return merkle(t.hashes), n, nil
}

// merkle returns the root over leaves, which it overwrites. A node without a neighbour
// moves up a level: this gives the tree of RFC 9162, which splits at the largest power
// of two below the number of leaves.
func merkle(level [][32]byte) [32]byte {
	if len(level) == 0 {
		return sha256.Sum256(nil)
	}
	var pair [65]byte
	pair[0] = 0x01
	for len(level) > 1 {
		up := level[:0]
		for i := 0; i < len(level); i += 2 {
			if i+1 == len(level) {
				up = append(up, level[i])
				break
			}
			copy(pair[1:33], level[i][:])
			copy(pair[33:65], level[i+1][:])
			up = append(up, sha256.Sum256(pair[:]))
		}
		level = up
	}
	return level[0]
}

// Tags keep a hash of one kind from being taken for another. None begins with 0x00 or
// 0x01, which begin the hashes of a tree.
const (
	linkTag = "doppelboden link 1\n"
	knotTag = "doppelboden knot 1\n"
)

// hashLink returns the hash of a link over everything but its entries, for which the
// root stands.
func hashLink(l *doppelboden.Link) [32]byte {
	b := make([]byte, 0, 192)
	b = append(b, linkTag...)
	b = appendName(b, l.Chain)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Number))
	b = binary.BigEndian.AppendUint64(b, uint64(l.At.UnixMicro()))
	b = append(b, l.Prev[:]...)
	b = append(b, l.Root[:]...)
	return sha256.Sum256(b)
}

// hashKnot returns the hash of a knot over everything but its signature.
func hashKnot(k *doppelboden.Knot) [32]byte {
	b := make([]byte, 0, 128+96*len(k.Heads))
	b = append(b, knotTag...)
	b = binary.BigEndian.AppendUint64(b, uint64(k.Number))
	b = binary.BigEndian.AppendUint64(b, uint64(k.At.UnixMicro()))
	b = append(b, k.Prev[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(k.Heads)))
	for _, h := range k.Heads {
		b = appendName(b, h.Chain)
		b = binary.BigEndian.AppendUint64(b, uint64(h.Number))
		b = append(b, h.Hash[:]...)
	}
	return sha256.Sum256(b)
}

// appendName appends a text with its length before it, so that no two lists of fields
// have the same bytes.
func appendName(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}
