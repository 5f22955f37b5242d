package ledger

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"doppelboden"
)

// A proven town has three knots over two chains, and links after the last knot.
func provenTown(t *testing.T) (w *town, dir string) {
	t.Helper()
	w, dir = newTown(), t.TempDir()
	k := knotterFor(t, w, w, dir)
	w.take(1)
	w.hand(ref(w.take(2)))
	tie(t, k, true) // 3 links
	w.take(1)
	w.take(1)
	tie(t, k, true) // 5 links
	w.restart()
	w.take(1)
	w.take(1)
	tie(t, k, true) // and 2
	w.take(1)
	return w, dir
}

func TestALedgerThatNobodyTouchedHasNoFaults(t *testing.T) {
	w, dir := provenTown(t)
	r := verified(t, w, dir)
	if !r.OK() || len(r.Findings) != 0 {
		t.Errorf("findings = %+v, want none", r.Findings)
	}
	if r.Chains != 2 || r.Links != 8 || r.Entries != 8 || r.Knots != 3 || r.Files != 3 || r.LastKnot != 3 {
		t.Errorf("report = %+v, want 2 chains, 8 links, 8 entries, 3 knots, 3 files", r)
	}
	if r.Untied != 1 || !r.UntiedSince.Equal(w.links[7].At) {
		t.Errorf("untied = %d since %v, want 1 since %v", r.Untied, r.UntiedSince, w.links[7].At)
	}
}

func TestExpiredEntriesLeaveTheChainVerifiable(t *testing.T) {
	w, dir := provenTown(t)
	w.links[1].Entries = nil
	if r := verified(t, w, dir); !r.OK() || r.Expired != 1 || r.Entries != 7 {
		t.Errorf("report = %+v, want one expired link and no fault", r)
	}
}

func TestTheTailAfterTheLastKnotIsAllThatCanBeCutOffUnseen(t *testing.T) {
	w, dir := provenTown(t)
	w.links = w.links[:7]
	if r := verified(t, w, dir); !r.OK() || r.Untied != 0 {
		t.Errorf("report = %+v, want no fault: the last link was never tied", r)
	}
	w.links = w.links[:6]
	if r := verified(t, w, dir); r.OK() {
		t.Error("a link that was tied was cut off unseen")
	}
}

// again computes the hashes of a town's ledger anew from link i of its chain, as
// somebody would who has the database but not the knots that left.
func (w *town) forge(i int) {
	for ; i < len(w.links); i++ {
		l := &w.links[i]
		if i > 0 && w.links[i-1].Chain == l.Chain {
			l.Prev = w.links[i-1].Hash
		}
		var tr tree
		l.Root, _, _ = tr.root(l.Entries)
		l.Hash = hashLink(l)
	}
}

// sign computes and signs the knots anew, as somebody would who has the key as well.
func (w *town) sign() {
	for i := range w.knots {
		k := &w.knots[i]
		k.Prev = [32]byte{}
		if i > 0 {
			k.Prev = w.knots[i-1].Hash
		}
		for j := range k.Heads {
			for _, l := range w.links {
				if l.Chain == k.Heads[j].Chain && l.Number == k.Heads[j].Number {
					k.Heads[j].Hash = l.Hash
				}
			}
		}
		k.Hash = hashKnot(k)
		k.Signature = ed25519.Sign(testKey(), k.Hash[:])
	}
}

func TestEveryChangeIsFound(t *testing.T) {
	entry := func(w *town) []byte {
		return encodeEntries([saltSize]byte{1}, []doppelboden.Entry{{Kind: doppelboden.EntryRead, At: t0, Note: "nothing"}})
	}
	cases := []struct {
		name  string
		spoil func(t *testing.T, w *town, dir string)
		about string // of the first finding
		what  string // part of any finding
	}{
		{"an entry", func(_ *testing.T, w *town, _ string) { w.links[2].Entries[40] ^= 1 }, "link", "entries were changed"},
		{"other entries", func(_ *testing.T, w *town, _ string) { w.links[2].Entries = entry(w) }, "link", "entries were changed"},
		{"entries that are none", func(_ *testing.T, w *town, _ string) { w.links[2].Entries = []byte{9} }, "link", "cannot be read"},
		{"entries and the root", func(_ *testing.T, w *town, _ string) {
			w.links[2].Entries = entry(w)
			var tr tree
			w.links[2].Root, _, _ = tr.root(w.links[2].Entries)
		}, "link", "hash was changed"},
		{"entries, the root and the hash", func(_ *testing.T, w *town, _ string) {
			w.links[2].Entries = entry(w)
			var tr tree
			w.links[2].Root, _, _ = tr.root(w.links[2].Entries)
			w.links[2].Hash = hashLink(&w.links[2])
		}, "link", "does not follow"},
		{"a whole chain from one link on", func(_ *testing.T, w *town, _ string) {
			w.links[2].Entries = entry(w)
			w.forge(2)
		}, "link", "is another than the one that was tied, says knot 1"},
		{"chain and knots, by somebody with the key", func(_ *testing.T, w *town, _ string) {
			w.links[2].Entries = entry(w)
			w.forge(2)
			w.sign()
		}, "knot", "it was rewritten"},
		{"a time", func(_ *testing.T, w *town, _ string) { w.links[2].At = w.links[2].At.Add(1000) }, "link", "hash was changed"},
		{"a hash before", func(_ *testing.T, w *town, _ string) { w.links[2].Prev[0] ^= 1 }, "link", "does not follow"},
		{"the first link's hash before", func(_ *testing.T, w *town, _ string) { w.links[0].Prev[0] ^= 1 }, "link", "names one before it"},
		{"a hash", func(_ *testing.T, w *town, _ string) { w.links[2].Hash[0] ^= 1 }, "link", "hash was changed"},
		{"a gap", func(_ *testing.T, w *town, _ string) { w.links = slices.Delete(w.links, 1, 2) }, "link", "links 2 to 2 before it are missing"},
		{"the beginning", func(_ *testing.T, w *town, _ string) { w.links = w.links[2:] }, "link", "links 1 to 2 before it are missing"},
		{"the end of a chain", func(_ *testing.T, w *town, _ string) { w.links = slices.Delete(w.links, 4, 5) }, "link", "it is missing, says knot 2"},
		{"a whole chain", func(_ *testing.T, w *town, _ string) { w.links = w.links[5:] }, "link", "it is missing, says knot 1"},
		{"the order", func(_ *testing.T, w *town, _ string) { w.links[1], w.links[2] = w.links[2], w.links[1] }, "link", "it stands after link 3"},
		{"the order of chains", func(_ *testing.T, w *town, _ string) { w.links[3], w.links[6] = w.links[6], w.links[3] }, "link", "links of other chains stand between"},
		{"a second link with a number", func(_ *testing.T, w *town, _ string) {
			second := w.links[4]
			second.Entries = entry(w)
			w.links = slices.Insert(w.links, 5, second)
			w.forge(5)
		}, "link", "two links have this number"},
		{"an ended chain goes on", func(_ *testing.T, w *town, _ string) {
			c := Chain{name: w.links[4].Chain, head: doppelboden.Head{Number: 4, Hash: w.links[3].Hash}}
			w.links = slices.Insert(w.links, 5, c.Next(w.now, nil))
		}, "link", "two links have this number"},

		{"a knot's time", func(_ *testing.T, w *town, _ string) { w.knots[1].At = w.knots[1].At.Add(1000) }, "knot", "hash was changed"},
		{"a knot's head", func(_ *testing.T, w *town, _ string) { w.knots[1].Heads[0].Number-- }, "knot", "hash was changed"},
		{"a knot's hash before", func(_ *testing.T, w *town, _ string) { w.knots[1].Prev[0] ^= 1 }, "knot", "does not follow"},
		{"a knot's signature", func(_ *testing.T, w *town, _ string) { w.knots[1].Signature[0] ^= 1 }, "knot", "not by our key"},
		{"a knot signed by another", func(_ *testing.T, w *town, _ string) {
			other := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", ed25519.SeedSize)))
			w.knots[2].Signature = ed25519.Sign(other, w.knots[2].Hash[:])
		}, "knot", "not by our key"},
		{"a missing knot", func(_ *testing.T, w *town, _ string) { w.knots = slices.Delete(w.knots, 1, 2) }, "knot", "knots 2 to 2 before it are missing"},
		{"knots in another order", func(_ *testing.T, w *town, _ string) { w.knots[1], w.knots[2] = w.knots[2], w.knots[1] }, "knot", "it stands after knot 3"},
		{"heads that go back", func(_ *testing.T, w *town, _ string) {
			w.knots[1].Heads[0] = doppelboden.Head{Chain: w.links[0].Chain, Number: 1, Hash: w.links[0].Hash}
			w.sign()
		}, "knot", "goes back from link 3 to link 1"},
		{"heads that are not sorted", func(_ *testing.T, w *town, _ string) {
			w.knots[1].Heads = append(w.knots[1].Heads, w.knots[1].Heads[0])
			w.sign()
		}, "knot", "not sorted"},

		{"a database of yesterday", func(_ *testing.T, w *town, _ string) { w.links, w.knots = w.links[:3], w.knots[:1] },
			"knot", "the database does not hold it"},
		{"a new database", func(_ *testing.T, w *town, _ string) { w.links, w.knots = nil, nil }, "knot", "the database does not hold it"},
		{"an exported file", func(t *testing.T, _ *town, dir string) { edit(t, knotPath(dir, 2), `"number": 5`, `"number": 4`) },
			"file", "hash was changed"},
		{"an exported file that is none", func(t *testing.T, _ *town, dir string) { edit(t, knotPath(dir, 2), `"heads"`, `"hands"`) },
			"file", "unknown field"},
		{"an exported file under another name", func(t *testing.T, _ *town, dir string) {
			if err := os.Rename(knotPath(dir, 2), knotPath(dir, 4)); err != nil {
				t.Fatal(err)
			}
		}, "file", "it holds knot 2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w, dir := provenTown(t)
			c.spoil(t, w, dir)
			r := verified(t, w, dir)
			if r.OK() || len(r.Findings) == 0 {
				t.Fatal("nothing was found")
			}
			if r.Findings[0].About != c.about {
				t.Errorf("first finding is about a %s, want a %s: %+v", r.Findings[0].About, c.about, r.Findings)
			}
			if !slices.ContainsFunc(r.Findings, func(f Fault) bool { return strings.Contains(f.What, c.what) }) {
				t.Errorf("findings = %+v, want one with %q", r.Findings, c.what)
			}
		})
	}
}

// edit replaces a text in a file.
func edit(t *testing.T, path, old, new string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s lacks %q:\n%s", path, old, data)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKnotsThatWereCarriedAwayFlatAreCompared(t *testing.T) {
	w, dir := provenTown(t)
	away := t.TempDir()
	data, err := os.ReadFile(knotPath(dir, 3))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(away+"/000000000003.json", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := verified(t, w, away); !r.OK() || r.Files != 1 {
		t.Errorf("report = %+v, want one file and no fault", r)
	}
	w.knots = w.knots[:2]
	w.links = w.links[:5] // the second chain never was
	if r := verified(t, w, dir+"-of-nobody"); !r.OK() {
		t.Errorf("without the file: %+v, want no fault", r)
	}
	r := verified(t, w, away)
	if r.OK() || r.Findings[0].Number != 3 {
		t.Errorf("with the file: %+v, want knot 3 to be missed", r)
	}
}

func TestAVerificationInSmallBatchesFindsTheSame(t *testing.T) {
	spoils := map[string]func(w *town){
		"nothing":           func(*town) {},
		"a rewritten chain": func(w *town) { w.links[0].At = t0; w.forge(0) },
		"yesterday":         func(w *town) { w.links, w.knots = w.links[:3], w.knots[:1] },
	}
	for name, spoil := range spoils {
		w, dir := provenTown(t)
		spoil(w)
		want := verified(t, w, dir)
		for _, batch := range []int{1, 2, 3} {
			got, err := Verify(context.Background(), w,
				VerifyOptions{Keys: []ed25519.PublicKey{testPublicKey()}, Folders: []string{dir}, Batch: batch}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Faults != want.Faults || got.Links != want.Links || got.Knots != want.Knots || got.Files != want.Files {
				t.Errorf("%s in batches of %d: %+v, want %+v", name, batch, got, want)
			}
		}
	}
}

// broken is a town whose links cannot be read to their end.
type broken struct{ *town }

// Knots implements Reader.
func (broken) Knots(context.Context, func(doppelboden.Knot) error) error { return errBroken }

func TestALedgerThatCannotBeReadIsAnError(t *testing.T) {
	w, dir := provenTown(t)
	o := VerifyOptions{Keys: []ed25519.PublicKey{testPublicKey()}, Folders: []string{dir}}
	if _, err := Verify(context.Background(), broken{w}, o, nil); !errors.Is(err, errBroken) {
		t.Errorf("error = %v, want %v", err, errBroken)
	}
	if _, err := Verify(context.Background(), w, VerifyOptions{}, nil); err == nil {
		t.Error("verified without a key")
	}
}
