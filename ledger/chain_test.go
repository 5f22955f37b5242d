package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"doppelboden"
	"doppelboden/store"
)

var _ store.Chain = (*Chain)(nil)

// t0 is when the tests take place.
var t0 = time.Date(2026, 11, 20, 9, 30, 0, 123456000, time.UTC)

// anID returns an id of the millisecond at, told apart by n.
func anID(at time.Time, n int) doppelboden.ID {
	id := doppelboden.FirstIDAt(at)
	id[6], id[8] = 0x70, 0x80
	binary.BigEndian.PutUint32(id[12:], uint32(n))
	return id
}

// drawEntry draws any entry that the ledger can hold unchanged.
func drawEntry(t *rapid.T) doppelboden.Entry {
	small := rapid.OneOf(rapid.IntRange(-3, 300), rapid.Int())
	e := doppelboden.Entry{
		Kind:       doppelboden.EntryKind(rapid.Byte().Draw(t, "kind")),
		At:         time.UnixMicro(rapid.Int64Range(firstTime, lastTime).Draw(t, "at")).UTC(),
		Tenant:     doppelboden.TenantID(small.Draw(t, "tenant")),
		Recipients: small.Draw(t, "recipients"),
		Deliveries: small.Draw(t, "deliveries"),
		Expanded:   small.Draw(t, "expanded"),
		Merged:     small.Draw(t, "merged"),
		Generated:  rapid.Bool().Draw(t, "generated"),
		Here:       rapid.SliceOfN(small, 0, 5).Draw(t, "here"),
		N:          small.Draw(t, "n"),
		State:      doppelboden.State(small.Draw(t, "state")),
		By:         rapid.OneOf(rapid.Just("courier"), rapid.String()).Draw(t, "by"),
		Note:       rapid.String().Draw(t, "note"),
	}
	copy(e.Message[:], rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "message"))
	copy(e.Sum[:], rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, "sum"))
	e.By, e.Note = tidy(e.By), tidy(e.Note)
	if len(e.Here) == 0 {
		e.Here = nil
	}
	return e
}

func TestEntriesComeOutOfALinkAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(drawEntry), 0, 8).Draw(t, "entries")
		l := NewChain("node1", t0).Next(t0, want)
		got, err := Decode(l)
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		if len(want) == 0 {
			want = []doppelboden.Entry{}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("entries changed (-want +got):\n%s", d)
		}
	})
}

func TestTextThatNoEntryCanHoldIsMendedAndCut(t *testing.T) {
	long := make([]byte, 2*maxText)
	for i := range long {
		long[i] = 'x'
	}
	copy(long[maxText-1:], "ü") // across the cut
	l := NewChain("node1", t0).Next(t0, []doppelboden.Entry{{By: "a\xffb", Note: string(long)}})
	got, err := Decode(l)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	if got[0].By != "a\uFFFDb" {
		t.Errorf("By = %q, want the bad byte replaced", got[0].By)
	}
	if got[0].Note != string(long[:maxText-1]) {
		t.Errorf("Note has %d bytes, want %d (cut before the letter that does not fit)", len(got[0].Note), maxText-1)
	}
}

// reference is the Merkle Tree Hash in the words of RFC 9162, section 2.1.1.
func reference(leaves [][32]byte) [32]byte {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	left, right := reference(leaves[:k]), reference(leaves[k:])
	return sha256.Sum256(append(append([]byte{0x01}, left[:]...), right[:]...))
}

func TestTheRootIsTheTreeHashOfRFC9162(t *testing.T) {
	for n := range 70 {
		leaves := make([][32]byte, n)
		for i := range leaves {
			leaves[i] = sha256.Sum256([]byte{byte(i)})
		}
		want := reference(leaves)
		if got := merkle(leaves); got != want {
			t.Errorf("root over %d leaves = %x, want %x", n, got, want)
		}
	}
}

func TestALeafIsTheHashOfVersionSaltPlaceAndEntry(t *testing.T) {
	e := doppelboden.Entry{Kind: doppelboden.EntryExpired, At: t0, Message: anID(t0, 1)}
	l := NewChain("node1", t0).Next(t0, []doppelboden.Entry{e, e})
	salt, raw, err := splitEntries(l.Entries)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(i byte) [32]byte {
		d := append([]byte{0x00, entriesVersion}, salt[:]...)
		d = append(d, 0, 0, 0, i)
		return sha256.Sum256(append(d, raw[i]...))
	}
	if leaf(0) == leaf(1) {
		t.Error("equal entries have equal leaves")
	}
	if want := reference([][32]byte{leaf(0), leaf(1)}); l.Root != want {
		t.Errorf("root = %x, want %x", l.Root, want)
	}
}

func TestALinkFollowsTheLastOneWhoseCommitWasDurable(t *testing.T) {
	c := NewChain("node1", t0)
	one := c.Next(t0, nil)
	again := c.Next(t0, nil) // the first commit failed
	if one.Number != 1 || again.Number != 1 || one.Prev != [32]byte{} {
		t.Errorf("links %d and %d, want 1 twice without a hash before", one.Number, again.Number)
	}
	if one.Root == c.Next(t0, []doppelboden.Entry{{Kind: 1}}).Root {
		t.Error("different entries have the same root")
	}
	c.Advance(again)
	two := c.Next(t0, nil)
	if two.Number != 2 || two.Prev != again.Hash {
		t.Errorf("link %d after %x, want 2 after %x", two.Number, two.Prev, again.Hash)
	}
	want := doppelboden.Head{Chain: c.Name(), Number: 1, Hash: again.Hash}
	if c.Head() != want {
		t.Errorf("head = %v, want %v", c.Head(), want)
	}
}

func TestTwoRunsOfANodeHaveTwoChainsThatSortByTime(t *testing.T) {
	a, b := NewChain("node1", t0), NewChain("node1", t0.Add(time.Second))
	if a.Name() >= b.Name() {
		t.Errorf("names %q and %q do not sort by time", a.Name(), b.Name())
	}
}

// A walk of the decoder over anything must neither panic nor accept two encodings of
// the same entries.
func FuzzDecode(f *testing.F) {
	l := NewChain("node1", t0).Next(t0, []doppelboden.Entry{
		{Kind: doppelboden.EntryAccepted, At: t0, Tenant: 1, Message: anID(t0, 1), Recipients: 2, Deliveries: 3,
			Expanded: 1, Sum: [32]byte{7}, Here: []int{0, 2}},
		{Kind: doppelboden.EntrySettled, At: t0, Tenant: 1, Message: anID(t0, 1), N: 1, State: doppelboden.Delivered, By: "courier"},
		{Kind: doppelboden.EntryConfig, At: t0, Note: "version 3 by anna"},
	})
	f.Add(l.Entries)
	f.Add(NewChain("node1", t0).Next(t0, nil).Entries)
	f.Add([]byte{entriesVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := Decode(doppelboden.Link{Entries: b})
		if err != nil || len(b) == 0 {
			return
		}
		salt, _, err := splitEntries(b)
		if err != nil {
			t.Fatalf("decoded, but cannot be split: %v", err)
		}
		if got := encodeEntries(salt, entries); string(got) != string(b) {
			t.Errorf("%x decodes to %+v, which is encoded as %x", b, entries, got)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	entries := make([]doppelboden.Entry, 250)
	for i := range entries {
		entries[i] = doppelboden.Entry{Kind: doppelboden.EntryAccepted, At: t0, Tenant: 1, Message: anID(t0, i),
			Recipients: 1, Deliveries: 1, Sum: [32]byte{byte(i), 1}}
	}
	c := NewChain("node1", t0)
	b.ReportAllocs()
	for b.Loop() {
		c.Advance(c.Next(t0, entries))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(entries)), "ns/entry")
}

func BenchmarkEachEntry(b *testing.B) {
	entries := make([]doppelboden.Entry, 250)
	for i := range entries {
		entries[i] = doppelboden.Entry{Kind: doppelboden.EntrySettled, At: t0, Tenant: 1, Message: anID(t0, i),
			State: doppelboden.Delivered, By: "courier"}
	}
	l := NewChain("node1", t0).Next(t0, entries)
	var e doppelboden.Entry
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		err := eachEntry(l.Entries, &e, func(*doppelboden.Entry) error { n++; return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/entry")
}
