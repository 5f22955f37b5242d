package backup

import (
	"archive/tar"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/landing"
	"doppelboden/ledger"
	"doppelboden/segment"
	"doppelboden/store"
	"doppelboden/tally"
)

// Engines of databases.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// A Source is the node that is backed up. All fields but Flush and Landing must be set.
type Source struct {
	Node     *city.Node
	Database store.Snapshotter
	Signer   ed25519.PrivateKey // the ledger's
	Program  string             // version of the program
	Clock    func() time.Time
	Flush    func() error // writes what the tallies still hold in memory; nil when nobody writes
	// Landing says what is sure of the landing; nil when nobody has it open.
	Landing func() ([]landing.File, error)
}

// Options say how a backup is made.
type Options struct {
	Dir        string                        // the backup's folder
	Passphrase string                        // seals the keys; empty: they stay out
	PlainKeys  bool                          // the keys come in as they are
	Progress   func(step string, done int64) // how many MB of what; nil: nobody looks
}

// minPassphrase is the shortest passphrase in characters: whoever finds the folder can
// try as long as he likes.
const minPassphrase = 12

// validate reports what is wrong.
func (o *Options) validate() error {
	switch {
	case o.Passphrase != "" && o.PlainKeys:
		return refuse(doppelboden.Invalid, "the keys come in sealed or in clear, not both")
	case o.Passphrase != "" && len([]rune(o.Passphrase)) < minPassphrase:
		return refuse(doppelboden.Invalid, "the passphrase is too short: write at least %s characters", minPassphrase)
	case !filepath.IsAbs(o.Dir):
		return refuse(doppelboden.Invalid, "the backup's folder needs its whole path")
	}
	if o.Progress == nil {
		o.Progress = func(string, int64) {}
	}
	return nil
}

// A Made says what a run brought.
type Made struct {
	Manifest *Manifest `json:"manifest"`
	Copied   int64     `json:"copied"`    // bytes that were written
	Linked   int64     `json:"linked"`    // bytes that needed no room
	SameDisk bool      `json:"same_disk"` // the backup lies where the node's data lies
	Took     float64   `json:"took"`      // seconds
}

// Make backs a node up into a folder. It may be repeated after any error, and then goes
// on with what is there.
func Make(ctx context.Context, s Source, o Options) (*Made, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := apart(o.Dir, s.Node); err != nil {
		return nil, err
	}
	start := s.Clock()
	f, err := openFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	m := &maker{Source: s, o: o, files: map[string]File{},
		bringer: &bringer{folder: f, ctx: ctx, tell: func(done int64) { o.Progress("bytes", done>>20) }}}
	if err := m.make(ctx); err != nil {
		if m.state != "" && (f.old == nil || f.old.State != m.state) {
			_ = os.RemoveAll(f.path(m.state)) // the next run would
		}
		return nil, err
	}
	return &Made{Manifest: &m.manifest, Copied: m.fresh, Linked: m.link,
		SameDisk: sameDisk(o.Dir, s.Node.Data), Took: s.Clock().Sub(start).Seconds()}, nil
}

// apart refuses a backup within what it backs up.
func apart(dir string, n *city.Node) error {
	for _, own := range []string{n.Data, n.Keys} {
		abs, err := filepath.Abs(own)
		if err != nil {
			return fmt.Errorf("find the node's folder: %w", err)
		}
		if rel, err := filepath.Rel(abs, dir); err == nil && (rel == "." || filepath.IsLocal(rel)) {
			return refuse(doppelboden.Invalid, "the backup's folder lies within the node's own folder %s", own)
		}
	}
	return nil
}

// A maker is one run of Make.
type maker struct {
	Source
	*bringer
	o        Options
	state    string // folder of what belongs to this moment
	files    map[string]File
	snapshot store.Snapshot
	logs     []tally.File     // what the tallies held at the moment
	landed   []landing.File   // what the landing held right after
	needs    map[string]int64 // by segment, the end of the last body that somebody needs
	manifest Manifest
}

// make makes the backup. What only grows is brought first, so that little happens after
// the moment, and so that what retention drops meanwhile is there.
func (m *maker) make(ctx context.Context) error {
	if err := m.sameNode(); err != nil {
		return err
	}
	if err := m.wholeSegments(); err != nil {
		return fmt.Errorf("back up the bodies: %w", err)
	}
	steps := []struct {
		verb string
		do   func(context.Context) error
	}{
		{"the database", m.database}, {"the tallies", m.tallies}, {"the landing", m.landing}, {"the bodies", m.segments},
		{"the knots", m.knots}, {"the configuration", m.configuration}, {"the keys", m.keys},
	}
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("back up %s: %w", s.verb, err)
		}
	}
	m.describe()
	return m.finish(&m.manifest, func() error { return m.manifest.write(m.dir, m.Signer) })
}

// sameNode refuses the backup of another node.
func (m *maker) sameNode() error {
	if m.old == nil {
		return nil
	}
	if m.old.Node != m.Node.Name || m.old.Ledger != hex.EncodeToString(ledger.PublicKey(m.Signer)) {
		return refuse(doppelboden.Invalid, "the folder holds the backup of another node (%s); use another folder", m.old.Node)
	}
	if m.old.LastKnot == 0 {
		return nil
	}
	k, err := ledger.Exported(ledger.Folder(m.Node.Data), m.old.LastKnot)
	if doppelboden.CodeOf(err) == doppelboden.NotFound {
		return nil // somebody carried it away
	}
	if err != nil {
		return err
	}
	if hex.EncodeToString(k.Hash[:]) != m.old.KnotHash {
		return refuse(doppelboden.Invalid, "the node went back to an older state since the backup in this folder. Use another folder; this one stays as it is")
	}
	return nil
}

// dataPath returns the path of something in the node's data folder.
func (m *maker) dataPath(name string) string {
	return filepath.Join(m.Node.Data, filepath.FromSlash(name))
}

// bringData brings a file of the data folder.
func (m *maker) bringData(path string, from, size int64, whole bool) error {
	if size <= from {
		return nil
	}
	f, err := m.bring(m.dataPath(path), path, from, size, whole)
	if err == nil {
		m.files[path] = f
	}
	return err
}

// wholeSegments brings the files of bodies to which nothing is added any more.
func (m *maker) wholeSegments() error {
	return segment.Files(m.dataPath(segmentsDir), func(f segment.File) error {
		if !f.Whole {
			return nil
		}
		err := m.bringData(segmentsDir+"/"+f.Path, f.From, f.Size, true)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // dropped since it was listed; should it be needed, segments says so
		}
		return err
	})
}

// database copies the database, and measures at that moment what fits to it.
func (m *maker) database(ctx context.Context) (err error) {
	m.o.Progress("database", 0)
	name := sqliteFile
	if m.Node.Database.Postgres() {
		name = postgresFile
	}
	at := m.Clock().UTC().Truncate(time.Microsecond)
	m.state = statePrefix + at.Format(stateForm)
	if err := os.Mkdir(m.path(m.state), 0o700); err != nil {
		return writing(err)
	}
	path := m.state + "/" + name
	m.snapshot, err = m.Database.Snapshot(ctx, m.path(path), func() error {
		at = m.Clock().UTC().Truncate(time.Microsecond)
		return m.measure()
	})
	if doppelboden.CodeOf(err) == doppelboden.StorageFull {
		return &doppelboden.Error{Code: doppelboden.StorageFull, Public: "the disk of the backup is full", Cause: err}
	}
	if err != nil {
		return err
	}
	m.manifest.Made = at
	if m.old != nil && m.old.LastKnot > m.snapshot.LastKnot.Number {
		return refuse(doppelboden.Invalid, "the node went back to an older state since the backup in this folder. Use another folder; this one stays as it is")
	}
	return m.add(path)
}

// measure notes how far what only grows has grown. Nothing is committed meanwhile.
func (m *maker) measure() (err error) {
	if m.Flush != nil {
		if err := m.Flush(); err != nil {
			return fmt.Errorf("flush the tallies: %w", err)
		}
	}
	if m.logs, err = tally.Files(m.dataPath(tallyDir)); err != nil {
		return err
	}
	// After the doors' log: what it calls acknowledged has landed.
	if m.Landing != nil {
		m.landed, err = m.Landing()
	} else {
		m.landed, err = landing.Files(m.dataPath(landingDir))
	}
	return err
}

// add makes a file that lies in the backup part of it.
func (m *maker) add(path string) error {
	info, err := os.Stat(m.path(path))
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	f := File{Path: path, Size: info.Size(), Whole: true}
	if err := m.sum(m.path(path), &f); err != nil {
		return err
	}
	m.files[path] = f
	m.fresh += f.Size
	return nil
}

// tallies brings what doors and couriers had logged at the moment.
func (m *maker) tallies(context.Context) error {
	for _, f := range m.logs {
		err := m.bringData(tallyDir+"/"+f.Name, f.From, f.Size, f.Whole)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // pruned since
			return err
		}
	}
	return nil
}

// landing brings what had landed, and learns which bodies it needs: the database of the
// backup may not have it yet.
func (m *maker) landing(context.Context) error {
	m.needs = maps.Clone(m.snapshot.Bodies)
	for _, f := range m.landed {
		err := m.bringData(landingDir+"/"+f.Name, f.From, f.Size, f.Whole)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // drained long ago and removed since
			return err
		}
	}
	return landing.Read(m.path(landingDir), func(l store.Landed) error {
		for _, one := range l.Messages {
			m.needs[one.Body.Segment] = max(m.needs[one.Body.Segment], one.Body.Offset+one.Body.Size)
		}
		return m.ctx.Err()
	})
}

// segments brings the rest of the bodies that are needed, and says which segments are
// missing.
func (m *maker) segments(context.Context) error {
	err := segment.Files(m.dataPath(segmentsDir), func(f segment.File) error {
		path := segmentsDir + "/" + f.Path
		need, needed := m.needs[f.Segment]
		if _, here := m.files[path]; here || !needed {
			return nil
		}
		if f.Whole {
			return m.bringData(path, f.From, f.Size, true)
		}
		if end := min(need+segment.Overhead, f.Size); end > f.From {
			return m.bringData(path, f.From, end, false)
		}
		return nil
	})
	if err != nil {
		return err
	}
	found := map[string]bool{}
	for path := range m.files {
		name, ok := strings.CutPrefix(path, segmentsDir+"/")
		if !ok {
			continue
		}
		if _, needed := m.needs[segmentOf(name)]; !needed { // the first look has brought it
			delete(m.files, path)
		}
		found[segmentOf(name)] = true
	}
	for _, name := range sorted(m.snapshot.Bodies) {
		if !found[name] {
			m.manifest.Missing = append(m.manifest.Missing, name)
		}
	}
	return nil
}

// segmentOf returns the name of the segment of which a file is a part.
func segmentOf(file string) string {
	base, rest, later := strings.Cut(file, "+")
	if !later {
		return file
	}
	return base + filepath.Ext(rest)
}

// knots brings the exported knots: those of a full folder as one file that stays, the
// others with the state.
func (m *maker) knots(ctx context.Context) error {
	dir := ledger.Folder(m.Node.Data)
	folders := map[string][]string{}
	err := ledger.ExportedFiles(ctx, dir, m.snapshot.LastKnot.Number, func(path string) error {
		folder := filepath.Dir(path)
		folders[folder] = append(folders[folder], path)
		return nil
	})
	if err != nil {
		return err
	}
	names := sorted(folders)
	for i, folder := range names {
		path := knotsDir + "/" + folder + ".tar"
		if i == len(names)-1 { // it still grows
			path = m.state + "/" + knotsFile
		} else if was, ok := m.was[path]; ok && m.lies(path, was.Size) {
			m.files[path] = was
			continue
		}
		if err := m.pack(path, dir, folders[folder]); err != nil {
			return err
		}
	}
	return nil
}

// configuration brings both configurations as they lie on the disk.
func (m *maker) configuration(context.Context) error {
	for _, one := range []struct {
		name, from string
		optional   bool
	}{{nodeFile, m.Node.File, false}, {cityFile, m.Node.City, true}} {
		text, err := os.ReadFile(one.from)
		if one.optional && errors.Is(err, fs.ErrNotExist) {
			continue // it is in the database
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", one.name, err)
		}
		path := m.state + "/" + one.name
		if err := writeFile(m.path(path), text); err != nil {
			return err
		}
		if err := m.add(path); err != nil {
			return err
		}
	}
	return nil
}

// describe fills in the manifest.
func (m *maker) describe() {
	d := &m.manifest
	d.Format, d.Node, d.Program, d.State = format, m.Node.Name, m.Program, m.state
	d.Engine = SQLite
	if m.Node.Database.Postgres() {
		d.Engine = Postgres
	}
	d.Ledger = hex.EncodeToString(ledger.PublicKey(m.Signer))
	d.Schema, d.Messages, d.Rows = m.snapshot.Schema, m.snapshot.Messages, m.snapshot.Rows
	if k := m.snapshot.LastKnot; k.Number > 0 {
		d.LastKnot, d.LastKnotAt, d.KnotHash = k.Number, k.At, hex.EncodeToString(k.Hash[:])
	}
	d.Deliveries = map[string]int64{}
	for _, c := range m.snapshot.Counts {
		d.Deliveries[c.State.String()] += c.Deliveries
	}
	for _, path := range sorted(m.files) {
		d.Files = append(d.Files, m.files[path])
	}
}

// pack writes files below dir into one archive of the backup.
func (m *maker) pack(path, dir string, files []string) error {
	to := m.path(path)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return writing(err)
	}
	_ = os.Remove(to) // what a run that was cut off has left
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return writing(err)
	}
	w := tar.NewWriter(out)
	for _, name := range files {
		if err = putTar(w, dir, name); err != nil {
			break
		}
	}
	err = errors.Join(err, w.Close(), out.Sync(), out.Close())
	if err != nil {
		return writing(err)
	}
	return m.add(path)
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return slices.Clip(keys)
}

// writeFile writes a small new file, durably.
func writeFile(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return writing(err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return writing(err)
	}
	return nil
}

// sameDisk reports whether two folders lie on one file system.
func sameDisk(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	two, err := os.Stat(b)
	return err == nil && device(one) == device(two)
}
