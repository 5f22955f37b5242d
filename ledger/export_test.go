package ledger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"doppelboden"
)

var update = flag.Bool("update", false, "write the golden files")

// exported returns an export of the town.
func exportOf(t *testing.T, w *town, from, to time.Time) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Export(context.Background(), w, &b, from, to); err != nil {
		t.Fatalf("export: %v", err)
	}
	return b.Bytes()
}

// imported verifies an export and wants it to be readable.
func imported(t *testing.T, data []byte) Report {
	t.Helper()
	r, err := VerifyExport(bytes.NewReader(data), testPublicKey())
	if err != nil {
		t.Fatalf("verify export: %v\n%s", err, data)
	}
	return r
}

// fixedTown has nothing random: its salts and chain names are given.
func fixedTown() *town {
	w := newTown()
	chain := "node1-019a9f3e-0000-7000-8000-000000000001"
	id := anID(t0, 1)
	list := [][]doppelboden.Entry{
		{{Kind: doppelboden.EntryConfig, At: t0, Note: `version 1 by "anna" <ä>`},
			{Kind: doppelboden.EntryAccepted, At: t0, Tenant: 1, Message: id, Recipients: 2, Deliveries: 2, Expanded: 1,
				Merged: 1, Sum: [32]byte{0xab}, Here: []int{1}}},
		{{Kind: doppelboden.EntrySettled, At: t0.Add(time.Second), Tenant: 1, Message: id, State: doppelboden.Delivered, By: "courier"}},
		{{Kind: doppelboden.EntryExpired, At: t0.Add(time.Hour), Tenant: 1, Message: id},
			{Kind: 77, At: t0, State: 99, N: -1, Generated: true}},
	}
	var prev [32]byte
	for i, entries := range list {
		l := doppelboden.Link{Chain: chain, Number: int64(i + 1), Prev: prev, At: entries[0].At,
			Entries: encodeEntries([saltSize]byte{byte(i + 1)}, entries)}
		var tr tree
		l.Root, _, _ = tr.root(l.Entries)
		l.Hash = hashLink(&l)
		prev = l.Hash
		w.links = append(w.links, l)
	}
	w.links[1].Entries = nil // has expired
	for i, n := range []int{1, 2} {
		l := w.links[n]
		k := doppelboden.Knot{Number: int64(i + 1), At: l.At.Add(time.Second), Heads: []doppelboden.Head{{Chain: chain, Number: l.Number, Hash: l.Hash}}}
		if i > 0 {
			k.Prev = w.knots[i-1].Hash
		}
		k.Hash = hashKnot(&k)
		k.Signature = ed25519.Sign(testKey(), k.Hash[:])
		w.knots = append(w.knots, k)
	}
	return w
}

// The golden file holds the encoding, the hashes and the form of exports: a change of
// any of them would make every ledger in the world unverifiable.
func TestAnExportLooksAsItAlwaysDid(t *testing.T) {
	golden := filepath.Join("testdata", "export.jsonl")
	got := exportOf(t, fixedTown(), time.Time{}, time.Time{})
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("export (-want +got):\n%s", d)
	}
	if r := imported(t, want); !r.OK() || r.Links != 3 || r.Knots != 2 || r.Entries != 4 || r.Expired != 1 {
		t.Errorf("report on the golden file = %+v, want 3 links, 2 knots, 4 entries and no fault", r)
	}
}

func TestAnExportIsVerifiedWithoutTheDatabase(t *testing.T) {
	w, _ := provenTown(t)
	r := imported(t, exportOf(t, w, time.Time{}, time.Time{}))
	if !r.OK() || r.Chains != 2 || r.Links != 8 || r.Knots != 3 || r.Untied != 1 || r.Outside != 0 {
		t.Errorf("report = %+v, want 2 chains, 8 links, 3 knots, 1 link after them and no fault", r)
	}
	other := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", ed25519.SeedSize)))
	r, err := VerifyExport(bytes.NewReader(exportOf(t, w, time.Time{}, time.Time{})), PublicKey(other))
	if err != nil || r.Faults != 3 {
		t.Errorf("with another key: %+v, %v, want three faults", r, err)
	}
}

func TestEveryPartOfALedgerCanBeExported(t *testing.T) {
	w, _ := provenTown(t)
	var times []time.Time
	for _, l := range w.links {
		times = append(times, l.At, l.At.Add(time.Microsecond))
	}
	for _, k := range w.knots {
		times = append(times, k.At, k.At.Add(time.Microsecond))
	}
	for _, from := range times {
		for _, to := range times {
			if !from.Before(to) {
				continue
			}
			r := imported(t, exportOf(t, w, from, to))
			if !r.OK() {
				t.Fatalf("from %v to %v: %+v", from, to, r.Findings)
			}
			for _, l := range w.links {
				if !l.At.Before(from) && l.At.Before(to) && r.Links == 0 {
					t.Errorf("from %v to %v: no links, want link %d", from, to, l.Number)
				}
			}
		}
	}
}

func TestWhatAPartialExportTiesMustBeInIt(t *testing.T) {
	w, _ := provenTown(t)
	data := exportOf(t, w, w.links[3].At, time.Time{})
	lines := bytes.SplitAfter(data, []byte("\n"))
	isLink := func(line []byte) bool { return bytes.HasPrefix(line, []byte(`{"type":"link"`)) }
	first := slices.IndexFunc(lines, isLink)
	if r := imported(t, data); !r.OK() || r.Links != 5 {
		t.Fatalf("report = %+v, want 5 links and no fault", r)
	}
	second := slices.Delete(slices.Clone(lines), first+1, first+2) // link 5, which knot 2 names
	cut := bytes.Replace(bytes.Join(second, nil), []byte(`"links":5`), []byte(`"links":4`), 1)
	if r := imported(t, cut); r.OK() {
		t.Error("a link that a knot of the export names was left out unseen")
	}
}

func TestEveryChangeOfAnExportIsFound(t *testing.T) {
	w, _ := provenTown(t)
	data := string(exportOf(t, w, time.Time{}, time.Time{}))
	replace := func(pattern, with string) func(string) string {
		return func(s string) string {
			re := regexp.MustCompile(pattern)
			at := re.FindStringSubmatchIndex(s)
			if at == nil {
				return s
			}
			return s[:at[2]] + with + s[at[3]:]
		}
	}
	cases := map[string]func(string) string{
		"a state":             replace(`"state":"(delivered)"`, "held"),
		"a message":           replace(`"message":"(........)`, "01234567"),
		"a number of a link":  replace(`"type":"link".*?"number":(2)`, "9"),
		"a time of a link":    replace(`"type":"link".*?"at":"(....)`, "2025"),
		"a salt":              replace(`"salt":"(..)`, "zz"),
		"a head":              replace(`"heads":\[{"chain":"[^"]*","number":(3)`, "2"),
		"a signature":         replace(`"signature":"(........)`, "00000000"),
		"a knot less":         replace(`(?m)^({"type":"knot".*\n)`, ""),
		"a link less":         replace(`(?m)^({"type":"link".*\n)`, ""),
		"no end":              replace(`({"type":"end".*\n)`, ""),
		"no header":           replace(`^(.*\n)`, ""),
		"a second state":      replace(`"state":"delivered"()`, `,"STATE":"delivered"`),
		"another spelling":    replace(`"by":"(c)ourier"`, `\u0063`),
		"something unknown":   replace(`"type":"link"(,)`, `,"colour":"red",`),
		"cut in the middle":   func(s string) string { return s[:len(s)/2] },
		"something behind it": func(s string) string { return s + "{}\n" },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			changed := change(data)
			if changed == data {
				t.Fatal("nothing was changed")
			}
			r, err := VerifyExport(strings.NewReader(changed), testPublicKey())
			if err == nil && r.OK() {
				t.Errorf("nothing was found: %+v", r)
			}
		})
	}
}

func TestAnyEntryIsReadBackFromItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTown()
		w.commit(rapid.SliceOfN(rapid.Custom(drawEntry), 0, 5).Draw(t, "entries")...)
		var b bytes.Buffer
		if err := Export(context.Background(), w, &b, time.Time{}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		r, err := VerifyExport(&b, testPublicKey())
		if err != nil || !r.OK() {
			t.Errorf("report = %+v, %v, want no fault", r, err)
		}
	})
}

// The reader of exports must neither panic nor find an export in order that holds other
// knots than those we signed, or other links up to them.
func FuzzVerifyExport(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "export.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"type":"doppelboden-ledger","version":1}` + "\n" + `{"type":"end","knots":0,"links":0}` + "\n"))
	f.Add(regexp.MustCompile(`"salt":.*`).ReplaceAll(golden, []byte("}")))
	known := map[string]bool{}
	for line := range bytes.Lines(golden) {
		text := string(bytes.TrimSpace(line))
		known[text] = true
		if at := strings.Index(text, `,"salt":`); at > 0 {
			known[text[:at]+"}"] = true // its entries have expired
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := VerifyExport(bytes.NewReader(data), testPublicKey())
		if err != nil || !r.OK() {
			return
		}
		strange := int64(0)
		for line := range bytes.Lines(data) {
			text := string(bytes.TrimSpace(line))
			switch {
			case known[text]:
			case strings.HasPrefix(text, `{"type":"knot"`):
				t.Errorf("a knot that we did not sign is in order: %s", text)
			case strings.HasPrefix(text, `{"type":"link"`):
				strange++
			}
		}
		if strange > r.Untied {
			t.Errorf("%d links that are not ours are in order, but only %d are after the last knot", strange, r.Untied)
		}
	})
}
