package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/disk"
)

const (
	// knotsPerFolder bounds the files in one folder: a bit more than a busy day makes.
	knotsPerFolder = 10000

	// maxKnotFile is above a knot of 50,000 chains, which is more restarts than a
	// machine lives through.
	maxKnotFile = 16 << 20
)

// A knotText is a knot as files and exports show it.
type knotText struct {
	Type      string     `json:"type"`      // "knot"
	Number    int64      `json:"number"`    // from 1
	At        time.Time  `json:"at"`        // microseconds
	Heads     []headText `json:"heads"`     // sorted by chain
	Prev      hash       `json:"prev"`      // hash of the knot before
	Hash      hash       `json:"hash"`      // SHA-256 over the values above
	Signature hexText    `json:"signature"` // Ed25519 over the 32 bytes of hash
}

// A headText is a head as files and exports show it.
type headText struct {
	Chain  string `json:"chain"`
	Number int64  `json:"number"`
	Hash   hash   `json:"hash"`
}

// A hash is 32 bytes that are written as 64 hexadecimal digits.
type hash [32]byte

// MarshalText writes the hash in lower case.
func (h hash) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, h[:]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (h *hash) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(h) || len(text)%2 != 0 {
		return errors.New("not a hash of 64 hexadecimal digits")
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// A hexText is some bytes that are written in hexadecimal digits.
type hexText []byte

// MarshalText writes the bytes in lower case.
func (h hexText) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *hexText) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

// textOf returns k as files and exports show it.
func textOf(k *doppelboden.Knot) knotText {
	t := knotText{Type: "knot", Number: k.Number, At: k.At.UTC(), Prev: k.Prev, Hash: k.Hash,
		Signature: k.Signature, Heads: make([]headText, len(k.Heads))}
	for i, h := range k.Heads {
		t.Heads[i] = headText{Chain: h.Chain, Number: h.Number, Hash: h.Hash}
	}
	return t
}

// knot returns what t shows.
func (t *knotText) knot() doppelboden.Knot {
	k := doppelboden.Knot{Number: t.Number, At: t.At.UTC(), Prev: t.Prev, Hash: t.Hash,
		Signature: t.Signature, Heads: make([]doppelboden.Head, len(t.Heads))}
	for i, h := range t.Heads {
		k.Heads[i] = doppelboden.Head{Chain: h.Chain, Number: h.Number, Hash: h.Hash}
	}
	return k
}

// strict decodes one JSON value without unknown fields and with nothing after it.
func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// knotPath returns where below dir the knot of this number lies. Folders go by number
// and not by day, because a clock may go back.
func knotPath(dir string, number int64) string {
	return filepath.Join(dir, fmt.Sprintf("%08d", number/knotsPerFolder), fmt.Sprintf("%012d.json", number))
}

// numberOf returns the number in the name of a knot's file; ok is false for any other
// file.
func numberOf(name string) (number int64, ok bool) {
	base, isJSON := strings.CutSuffix(filepath.Base(name), ".json")
	digits, _, _ := strings.Cut(base, "-") // see writeKnot
	number, err := strconv.ParseInt(digits, 10, 64)
	return number, isJSON && err == nil && number > 0
}

// ErrRolledBack says that a knot has left that the database does not hold.
var ErrRolledBack = errors.New("the database was rolled back or rewritten after a knot had left")

// writeKnot writes k below dir as a readable file, durably. It never replaces a file.
// When another knot lies there already, k gets its hash into its name, both files stay
// as evidence, and the error is ErrRolledBack.
func writeKnot(dir string, k *doppelboden.Knot) error {
	text, err := json.MarshalIndent(textOf(k), "", "  ")
	if err != nil {
		return fmt.Errorf("encode knot %d: %w", k.Number, err)
	}
	text = append(text, '\n')
	path := knotPath(dir, k.Number)
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("make folder of knots: %w", err)
	}
	err = disk.WriteNew(disk.OS{}, path, text)
	if !errors.Is(err, fs.ErrExist) {
		return exporting(k, err)
	}
	if old, err := readKnot(path); err == nil && old.Hash == k.Hash {
		return nil
	}
	beside := strings.TrimSuffix(path, ".json") + fmt.Sprintf("-%x.json", k.Hash[:8])
	if err := disk.WriteNew(disk.OS{}, beside, text); err != nil && !errors.Is(err, fs.ErrExist) {
		return exporting(k, err)
	}
	return exporting(k, ErrRolledBack)
}

func exporting(k *doppelboden.Knot, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("export knot %d: %w", k.Number, err)
}

// readKnot reads a file that writeKnot wrote. It checks nothing but its form.
func readKnot(path string) (doppelboden.Knot, error) {
	data, err := readSmall(path, maxKnotFile)
	if err != nil {
		return doppelboden.Knot{}, err
	}
	var t knotText
	if err := strict(data, &t); err != nil {
		return doppelboden.Knot{}, err
	}
	if t.Type != "knot" {
		return doppelboden.Knot{}, errors.New("not a knot")
	}
	return t.knot(), nil
}

// knotFiles yields the files of knots below dir with their numbers, sorted within each
// folder. A folder that does not exist holds none.
func knotFiles(ctx context.Context, dir string, yield func(path string, number int64) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path == dir && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		number, ok := numberOf(path)
		if d.IsDir() || !ok {
			return nil
		}
		return yield(path, number)
	})
}

// lastExported returns the greatest number among the files that writeKnot made below
// dir, or 0. It looks only into the last folder that has any.
func lastExported(dir string) (int64, error) {
	folders, err := os.ReadDir(dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for i := len(folders) - 1; i >= 0; i-- {
		if !folders[i].IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(dir, folders[i].Name()))
		if err != nil {
			return 0, err
		}
		last := int64(0)
		for _, f := range files {
			if number, ok := numberOf(f.Name()); ok {
				last = max(last, number)
			}
		}
		if last > 0 {
			return last, nil
		}
	}
	return 0, nil
}

// Exported returns the knot of a number as it lies below dir. CodeOf is NotFound when no
// file has it.
func Exported(dir string, number int64) (doppelboden.Knot, error) {
	k, err := readKnot(knotPath(dir, number))
	if errors.Is(err, fs.ErrNotExist) {
		return k, &doppelboden.Error{Code: doppelboden.NotFound, Public: "no such knot was exported", Cause: err}
	}
	if err != nil {
		return k, fmt.Errorf("read exported knot %d: %w", number, err)
	}
	return k, nil
}

// ExportedFiles yields the files of the exported knots below dir up to a number, as paths
// below it, by folder. A folder that does not exist holds none.
func ExportedFiles(ctx context.Context, dir string, last int64, yield func(path string) error) error {
	return knotFiles(ctx, dir, func(path string, number int64) error {
		rel, err := filepath.Rel(dir, path)
		if err != nil || number > last {
			return err
		}
		return yield(rel)
	})
}
