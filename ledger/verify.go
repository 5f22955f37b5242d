package ledger

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"doppelboden"
)

// A LinkReader yields links; see store.Ledger.
type LinkReader interface {
	Links(ctx context.Context, from time.Time, yield func(doppelboden.Link) error) error
}

// A Reader yields what the store holds of the ledger; see store.Ledger.
type Reader interface {
	LinkReader
	Knots(ctx context.Context, yield func(doppelboden.Knot) error) error
}

// VerifyOptions say what a verification compares with.
type VerifyOptions struct {
	// Keys are the public keys of which one must have signed each knot.
	Keys []ed25519.PublicKey

	// Folders hold exported knots: the node's own and those that were carried away.
	Folders []string

	// Batch bounds how many heads and files are in memory at once, about 100 bytes
	// each; 0: 200,000. More need more walks over the database.
	Batch int
}

// defaultBatch keeps a verification below 30 MB.
const defaultBatch = 200000

// Verify computes every chain and every knot again and compares them with each other
// and with exported knots. It finds every change, gap, reordering and truncation of
// what a knot has tied; Report.Untied says how many links come after that. It may run
// while mail flows. progress may be nil. The error says why it could not read
// everything; faults in what it read are in the report.
func Verify(ctx context.Context, r Reader, o VerifyOptions, progress func(Progress)) (Report, error) {
	if len(o.Keys) == 0 {
		return Report{}, errors.New("verify ledger: no public key")
	}
	if o.Batch <= 0 {
		o.Batch = defaultBatch
	}
	v := &verifier{Reader: r, o: o, meter: newMeter(progress)}
	// Files before knots before links: what a file names is in the database already,
	// and so is what a knot names.
	foreign, err := v.files(ctx)
	if err == nil {
		err = v.knotsAndLinks(ctx, foreign)
	}
	if err != nil {
		return v.report, fmt.Errorf("verify ledger: %w", err)
	}
	return v.report, nil
}

// A verifier is one run of Verify.
type verifier struct {
	Reader
	o      VerifyOptions
	meter  *meter
	report Report
}

// knotsAndLinks checks all knots, all links, and that they agree. When the knots name
// more heads than fit into memory, the links are read again for the rest.
func (v *verifier) knotsAndLinks(ctx context.Context, foreign []doppelboden.Knot) error {
	knots := knotChecker{report: &v.report, keys: v.o.Keys}
	links := linkChecker{report: &v.report}
	for done, round := int64(0), 0; ; round++ {
		batch := heads{report: &v.report}
		if round == 0 {
			for i := range foreign {
				batch.want(&foreign[i], true)
			}
		}
		seen, more, err := v.gather(ctx, &batch, &knots, done, round == 0)
		if err != nil {
			return err
		}
		links.tied = knots.tied
		if err := v.compare(ctx, &batch, &links, round == 0); err != nil {
			return err
		}
		if !more {
			return nil
		}
		done = seen
	}
}

// gather reads the knots after number done into batch, until it is full. In the first
// round it checks all knots.
func (v *verifier) gather(ctx context.Context, batch *heads, knots *knotChecker, done int64, check bool) (seen int64, more bool, err error) {
	seen = done
	walked := int64(0)
	err = v.Knots(ctx, func(k doppelboden.Knot) error {
		walked++
		if check {
			v.meter.step("knots")
			knots.check(&k)
		}
		switch {
		case walked <= done:
		case batch.n >= v.o.Batch:
			more = true
			if !check {
				return errEnough
			}
		default:
			batch.want(&k, false)
			seen = walked
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return seen, more, err
}

// compare reads all links and compares them with batch. In the first round it checks
// them, too.
func (v *verifier) compare(ctx context.Context, batch *heads, links *linkChecker, check bool) error {
	batch.sort()
	err := v.Links(ctx, time.Time{}, func(l doppelboden.Link) error {
		v.meter.step("links")
		if check {
			links.check(&l)
		}
		batch.see(&l)
		return nil
	})
	if err != nil {
		return err
	}
	batch.end()
	return nil
}

// An exported knot is the little that is compared with the database.
type exported struct {
	number int64
	hash   [32]byte
	folder int // index in VerifyOptions.Folders
}

// maxForeign bounds how many knots that the database does not hold are looked into.
const maxForeign = 1000

// files checks the exported knots and compares them with the database. It returns knots
// that are signed by us but unknown to the database: their heads must exist as well.
func (v *verifier) files(ctx context.Context) ([]doppelboden.Knot, error) {
	last := int64(0)
	for _, dir := range v.o.Folders {
		err := knotFiles(ctx, dir, func(_ string, number int64) error {
			last = max(last, number)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	strange := map[exported]bool{}
	for low := int64(1); low <= last; low += int64(v.o.Batch) {
		batch, err := v.readFiles(ctx, low, low+int64(v.o.Batch))
		if err != nil {
			return nil, err
		}
		if err := v.compareFiles(ctx, batch, strange); err != nil {
			return nil, err
		}
	}
	if len(strange) == 0 {
		return nil, nil
	}
	return v.foreign(ctx, strange)
}

// readFiles reads the files of the knots from low to below high, sorted by number.
func (v *verifier) readFiles(ctx context.Context, low, high int64) ([]exported, error) {
	var batch []exported
	for i, dir := range v.o.Folders {
		err := knotFiles(ctx, dir, func(path string, number int64) error {
			if number < low || number >= high {
				return nil
			}
			v.meter.step("files")
			v.report.Files++
			k, err := readKnot(path)
			if err == nil && k.Number != number {
				err = fmt.Errorf("it holds knot %d", k.Number)
			}
			if err == nil {
				err = checkKnot(&k, v.o.Keys)
			}
			if err != nil {
				v.report.add(Fault{About: "file", Number: number, File: path, What: err.Error()})
				return nil
			}
			batch = append(batch, exported{number: number, hash: k.Hash, folder: i})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(batch, func(a, b exported) int { return cmp.Compare(a.number, b.number) })
	return batch, nil
}

// compareFiles compares a batch with the knots of the database and adds what differs
// to strange.
func (v *verifier) compareFiles(ctx context.Context, batch []exported, strange map[exported]bool) error {
	differs := func(f exported, what string) {
		if len(strange) < maxForeign {
			strange[f] = true
		}
		v.report.add(Fault{About: "knot", Number: f.number, File: v.o.Folders[f.folder], What: what})
	}
	next := 0
	missing := func(before int64) {
		for ; next < len(batch) && batch[next].number < before; next++ {
			differs(batch[next], "it was exported, but the database does not hold it: rolled back or cut off")
		}
	}
	if len(batch) == 0 {
		return nil
	}
	end := batch[len(batch)-1].number
	err := v.Knots(ctx, func(k doppelboden.Knot) error {
		if k.Number > end {
			return errEnough
		}
		missing(k.Number)
		for ; next < len(batch) && batch[next].number == k.Number; next++ {
			if batch[next].hash != k.Hash {
				differs(batch[next], "the database holds another than the one that was exported: it was rewritten")
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	missing(end + 1)
	return nil
}

// foreign reads the knots of strange again, with their heads.
func (v *verifier) foreign(ctx context.Context, strange map[exported]bool) ([]doppelboden.Knot, error) {
	var knots []doppelboden.Knot
	for i, dir := range v.o.Folders {
		err := knotFiles(ctx, dir, func(path string, number int64) error {
			k, err := readKnot(path)
			if err != nil {
				return nil // said in readFiles
			}
			f := exported{number: number, hash: k.Hash, folder: i}
			if strange[f] {
				knots = append(knots, k)
				delete(strange, f)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return knots, nil
}
