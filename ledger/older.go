package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/disk"
)

// olderFile lies in the folder of exported knots once the database has come back older than
// them, so that a restart neither forgets that nor tells it to people who have seen it.
const olderFile = "older.json"

// maxOlderFile is above what olderFile holds.
const maxOlderFile = 1 << 16

// An older is what is known of a database that was rolled back last; its zero value says that
// none was.
type older struct {
	Said     string    `json:"said"`     // what was found
	Seen     bool      `json:"seen"`     // a person has seen it; the rest says what
	Exported int64     `json:"exported"` // the last knot that had been exported then
	Held     int64     `json:"held"`     // the last one that the database held then
	At       time.Time `json:"at"`       // when that was
}

// compare returns ErrRolledBack when the database ends before what was exported, or did so in
// an earlier run, unless somebody has seen it.
func (k *Knotter) compare(exported, last int64) error {
	var err error
	k.older, err = readOlder(k.opts.Dir)
	gone := exported > last
	if gone && k.older.Seen {
		gone = last < k.older.Held || newerThan(k.opts.Dir, last, k.older.At)
	}
	switch {
	case gone:
		said := fmt.Sprintf("knot %d was exported, but the database ends at knot %d", exported, last)
		err = k.note(older{Said: said})
	case k.older.Said == "" || k.older.Seen:
		return err
	}
	return errors.Join(fmt.Errorf("%s: %w", k.older.Said, ErrRolledBack), err)
}

// note keeps what is known, also over a restart.
func (k *Knotter) note(o older) error {
	k.older = o
	text, err := json.Marshal(o)
	if err == nil {
		err = disk.Replace(disk.OS{}, filepath.Join(k.opts.Dir, olderFile), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("note that the database was rolled back: %w", err)
	}
	return nil
}

// Unseen returns ErrRolledBack when an earlier run has found that the database was rolled back
// and nobody has seen it, before the first round says so again: an alarm about it goes on then
// over a restart.
func (k *Knotter) Unseen() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	if k.older, err = readOlder(k.opts.Dir); err != nil || k.older.Said == "" || k.older.Seen {
		return err
	}
	return fmt.Errorf("%s: %w", k.older.Said, ErrRolledBack)
}

// Seen notes that a person has seen what the database does not hold any more, as it is now.
// No Report says that again; what is rolled back later is another matter. The exported knots
// stay as evidence, and Verify goes on to tell of them.
func (k *Knotter) Seen(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	last, err := k.opts.Store.LastKnot(ctx)
	if err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound {
		return fmt.Errorf("read last knot: %w", err)
	}
	exported, err := lastExported(k.opts.Dir)
	if err != nil {
		return fmt.Errorf("read folder of knots: %w", err)
	}
	o := k.older
	o.Seen, o.Exported, o.Held, o.At = true, max(exported, o.Exported), last.Number, k.opts.Clock().UTC()
	return k.note(o)
}

func readOlder(dir string) (o older, err error) {
	text, err := readSmall(filepath.Join(dir, olderFile), maxOlderFile)
	if errors.Is(err, fs.ErrNotExist) {
		return older{}, nil
	}
	if err == nil {
		err = strict(text, &o)
	}
	if err != nil {
		return older{}, fmt.Errorf("read %s in the folder of knots: %w", olderFile, err)
	}
	return o, nil
}

// newerThan reports whether a knot behind a number was made and exported after a time, as far
// as that can be read: what cannot may have been.
func newerThan(dir string, number int64, at time.Time) bool {
	folders, err := os.ReadDir(dir)
	if err != nil {
		return true
	}
	first := filepath.Base(filepath.Dir(knotPath(dir, number+1)))
	for _, folder := range slices.Backward(folders) {
		if !folder.IsDir() || cmp.Less(folder.Name(), first) {
			continue
		}
		files, err := os.ReadDir(filepath.Join(dir, folder.Name()))
		if err != nil {
			return true
		}
		for _, f := range slices.Backward(files) {
			if n, ok := numberOf(f.Name()); !ok || n <= number {
				continue
			}
			knot, err := readKnot(filepath.Join(dir, folder.Name(), f.Name()))
			if err != nil || knot.At.After(at) {
				return true
			}
		}
	}
	return false
}
