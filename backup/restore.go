package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/disk"
	"doppelboden/keyring"
	"doppelboden/store/postgres"
)

// RestoreOptions say what is made of a backup.
type RestoreOptions struct {
	Backup     string // its folder
	Dir        string // where node.toml will lie, or lies already with DatabaseOnly
	Passphrase string // opens keys that are sealed
	// DatabaseOnly puts back the database alone, of a node whose folders are there.
	DatabaseOnly bool
	DSN          DSN // of a node with PostgreSQL
	Clock        func() time.Time
	Progress     func(step string, done int64) // nil: nobody looks
}

// A Restored says what was made.
type Restored struct {
	Manifest *Manifest `json:"manifest"`
	Node     string    `json:"node"` // the node.toml
	Data     string    `json:"data"`
	Keys     string    `json:"keys"`
	Bytes    int64     `json:"bytes"`
}

// RestoredFile lies in the data folder of a node whose database is older than it was: what
// mailboxes told their clients since is lost, so they are numbered anew when the node starts.
const RestoredFile = "restored"

// Restore makes a node of a backup: in folders that are empty or do not exist, or, with
// DatabaseOnly, only its database, which must not be there. Every file is compared with
// its sum while it is copied, and appears in its place when all of them were right; until
// then nothing is changed. The keys come from the backup or lie in their folder already;
// they must open the backup. The code is Invalid when something is in the way or not
// right; nothing was changed then.
func Restore(ctx context.Context, o RestoreOptions) (*Restored, error) {
	if o.Progress == nil {
		o.Progress = func(string, int64) {}
	}
	m, err := ReadManifest(o.Backup)
	if err != nil {
		return nil, err
	}
	r := &restorer{RestoreOptions: o, m: m}
	defer r.tidy()
	if err := r.prepare(); err != nil {
		return nil, err
	}
	if o.DatabaseOnly {
		err = r.database(ctx)
	} else {
		err = r.all(ctx)
	}
	if err != nil {
		return nil, err
	}
	return &Restored{Manifest: m, Node: r.node.File, Data: r.node.Data, Keys: r.node.Keys, Bytes: r.bytes}, nil
}

// A restorer is one run of Restore.
type restorer struct {
	RestoreOptions
	m     *Manifest
	node  *city.Node
	draft string // the data folder until all of it is there
	keys  string // folder with the keys until they are in their place; empty: they are
	bytes int64
}

// tidy removes what an error has left.
func (r *restorer) tidy() {
	if r.draft != "" {
		_ = os.RemoveAll(r.draft)
	}
	if r.keys != "" {
		_ = os.RemoveAll(r.keys)
	}
}

// prepare checks everything that can be checked before the first byte is written.
func (r *restorer) prepare() error {
	if err := r.present(); err != nil {
		return err
	}
	path := filepath.Join(r.Dir, nodeFile)
	from := filepath.Join(r.Backup, filepath.FromSlash(r.m.file(nodeFile)))
	if r.DatabaseOnly {
		from = path
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read node.toml: %w", err)
	}
	if r.node, err = city.ParseNode(path, text); err != nil {
		return err
	}
	if r.node.Name != r.m.Node {
		return refuse(doppelboden.Invalid, "the backup is of the node %s, and node.toml is of %s", r.m.Node, r.node.Name)
	}
	if got := engineOf(r.node); got != r.m.Engine {
		return refuse(doppelboden.Invalid, "the backup's database is of %s, and node.toml says %s", r.m.Engine, got)
	}
	if r.DatabaseOnly {
		return nil
	}
	if err := mustBeEmpty(r.node.Data); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return refuse(doppelboden.Invalid, "%s is there already; nothing was changed", path)
	}
	return nil
}

// engineOf returns the engine of a node's database.
func engineOf(n *city.Node) string {
	if n.Database.Postgres() {
		return Postgres
	}
	return SQLite
}

// present looks whether the files of the manifest are there.
func (r *restorer) present() error {
	for _, f := range r.m.Files {
		info, err := os.Stat(filepath.Join(r.Backup, filepath.FromSlash(f.Path)))
		if errors.Is(err, fs.ErrNotExist) {
			return refuse(doppelboden.Invalid, "the backup is not whole: %s is missing", f.Path)
		}
		if err != nil {
			return fmt.Errorf("read the backup: %w", err)
		}
		if info.Size() < f.Size {
			return refuse(doppelboden.Invalid, "the backup is not whole: %s is too short", f.Path)
		}
	}
	return nil
}

// draftName is the folder within the data folder where everything lies until it is whole.
const draftName = ".restoring"

// mustBeEmpty refuses a folder with anything in it but what a restore that was cut off
// has left, and what a file system has at its root.
func mustBeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the folder: %w", err)
	}
	for _, e := range entries {
		if e.Name() != draftName && e.Name() != "lost+found" {
			return refuse(doppelboden.Invalid, "%s is not empty; nothing was changed", dir)
		}
	}
	return nil
}

// all restores everything.
func (r *restorer) all(ctx context.Context) error {
	if err := r.findKeys(); err != nil {
		return err
	}
	if err := r.vacant(ctx); err != nil {
		return err
	}
	r.draft = filepath.Join(r.node.Data, draftName)
	if err := os.RemoveAll(r.draft); err != nil { // of a run that was cut off
		return restoring(err)
	}
	if err := os.MkdirAll(r.draft, 0o700); err != nil {
		return restoring(err)
	}
	if err := r.files(ctx); err != nil {
		return err
	}
	if err := unpackKnots(r.Backup, r.m, filepath.Join(r.draft, knotsDir)); err != nil {
		return restoring(err)
	}
	if err := r.tryKeys(ctx); err != nil {
		return err
	}
	if err := r.mark(r.draft); err != nil {
		return err
	}
	err := r.publish()
	if err != nil && r.m.Engine == Postgres {
		if dsn, e := r.dsn(); e == nil {
			err = errors.Join(err, postgres.Clear(context.WithoutCancel(ctx), dsn))
		}
	}
	return err
}

// findKeys makes sure that there are keys: in their folder, or in the backup.
func (r *restorer) findKeys() error {
	entries, err := os.ReadDir(r.node.Keys)
	if err == nil && len(entries) > 0 {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into the keys' folder: %w", err)
	}
	to := filepath.Clean(r.node.Keys) + ".restoring"
	if err := os.RemoveAll(to); err != nil {
		return restoring(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return restoring(err)
	}
	r.keys = to
	got, err := openKeys(r.Backup, r.m, r.Passphrase, to)
	switch {
	case err != nil:
		return err
	case got == "" && r.m.Keys == KeysSealed:
		return refuse(doppelboden.Invalid, "the keys are sealed: the passphrase is needed")
	case got == "":
		return refuse(doppelboden.Invalid, "this backup holds no keys: copy the node's keys from the safe to %s first. Without master.key nobody can read its mail", r.node.Keys)
	}
	return nil
}

// keysNow returns the folder in which the keys lie at the moment.
func (r *restorer) keysNow() string {
	if r.keys != "" {
		return r.keys
	}
	return r.node.Keys
}

// files copies what belongs into the data folder.
func (r *restorer) files(ctx context.Context) error {
	for _, f := range r.m.Files {
		to := filepath.Join(r.draft, filepath.FromSlash(f.Path))
		switch top, _, _ := strings.Cut(f.Path, "/"); top {
		case segmentsDir, tallyDir, landingDir:
		case r.m.State:
			if f.Path != r.m.file(sqliteFile) { // a dump goes into its database, not into a folder
				if err := r.compare(ctx, f); err != nil {
					return err
				}
				continue
			}
			to = filepath.Join(r.draft, databaseFile)
		default: // archives of knots
			if err := r.compare(ctx, f); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return restoring(err)
		}
		if err := copyOut(ctx, r.Backup, f, to); err != nil {
			return err
		}
		r.count(f)
	}
	return nil
}

func (r *restorer) count(f File) {
	r.bytes += f.Size - f.From
	r.Progress("bytes", r.bytes>>20)
}

// compare compares a file with its sum.
func (r *restorer) compare(ctx context.Context, f File) error {
	v := &verifier{VerifyOptions: VerifyOptions{Dir: r.Backup, Progress: r.Progress}, Check: &Check{}}
	if err := v.file(ctx, f); err != nil {
		return damaged(f, err)
	}
	r.count(f)
	return nil
}

// damaged says that a file of the backup is not what it was.
func damaged(f File, err error) error {
	return refuse(doppelboden.Invalid, "the backup is damaged: %s: %s", f.Path, err)
}

// copyOut copies a file of a backup to a new place, durably, and compares its sum.
func copyOut(ctx context.Context, dir string, f File, to string) error {
	in, err := os.Open(filepath.Join(dir, filepath.FromSlash(f.Path)))
	if err != nil {
		return damaged(f, err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return restoring(err)
	}
	sum := sha256.New()
	b := &bringer{ctx: ctx, tell: func(int64) {}}
	err = b.pump(in, out, sum, f.From, f.Size)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return restoring(err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return damaged(f, errors.New("the sum is wrong"))
	}
	return nil
}

// vacant makes sure that the PostgreSQL of the node can be reached and is empty.
func (r *restorer) vacant(ctx context.Context) error {
	if r.m.Engine != Postgres {
		return nil
	}
	dsn, err := r.dsn()
	if err != nil {
		return err
	}
	return postgres.Vacant(ctx, dsn)
}

// dsn says how to reach the node's PostgreSQL. The password may lie among keys that are
// not in their place yet.
func (r *restorer) dsn() (string, error) {
	node := *r.node
	node.Keys = r.keysNow()
	return r.DSN(&node)
}

// tryKeys makes sure that the keys open what is to be restored, on a copy in a folder of
// its own: what was restored stays as the backup has it until the node opens it. With
// PostgreSQL the database is filled here, and emptied again when the keys do not fit.
func (r *restorer) tryKeys(ctx context.Context) (err error) {
	master, err := keyring.LoadMaster(filepath.Join(r.keysNow(), masterKey))
	if err != nil {
		return err
	}
	work := filepath.Join(r.draft, "try")
	if err := os.Mkdir(work, 0o700); err != nil {
		return restoring(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	v := &verifier{VerifyOptions: VerifyOptions{Dir: r.Backup, Clock: r.Clock, Progress: r.Progress}, Check: &Check{Manifest: r.m}, work: work}
	if r.m.Engine == SQLite {
		db, err := v.openSQLite(ctx)
		if err != nil {
			return err
		}
		return errors.Join(v.refusal(), opens(ctx, master, db, r.Clock), db.Close())
	}
	dsn, err := r.dsn()
	if err != nil {
		return err
	}
	db, err := v.openDump(ctx, dsn)
	if err != nil {
		return errors.Join(err, postgres.Clear(context.WithoutCancel(ctx), dsn))
	}
	if err := errors.Join(v.refusal(), opens(ctx, master, db, r.Clock), db.Close()); err != nil {
		return errors.Join(err, postgres.Clear(context.WithoutCancel(ctx), dsn))
	}
	return nil
}

// refusal returns what a check has found as an error.
func (c *Check) refusal() error {
	if c.OK() {
		return nil
	}
	return refuse(doppelboden.Invalid, "the backup is damaged: %s: %s", "database", c.Findings[0])
}

// opens makes sure that a master key opens the tenants' keys in a database.
func opens(ctx context.Context, master keyring.Master, db database, clock func() time.Time) error {
	if _, err := keyring.Open(ctx, master, db, clock); err != nil {
		return refuse(doppelboden.Invalid, "the master key does not open the keys of this backup: %s", err)
	}
	return nil
}

// publish puts everything into its place; node.toml comes last, so that nobody starts a
// half of it.
func (r *restorer) publish() error {
	if r.keys != "" {
		if err := os.Remove(r.node.Keys); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return restoring(err)
		}
		if err := os.Rename(r.keys, r.node.Keys); err != nil {
			return restoring(err)
		}
		r.keys = ""
	}
	if err := r.move(); err != nil {
		return restoring(err)
	}
	for _, one := range []struct{ name, to string }{{cityFile, r.node.City}, {nodeFile, r.node.File}} {
		if err := r.configuration(one.name, one.to); err != nil {
			return err
		}
	}
	for _, dir := range []string{r.node.Data, filepath.Dir(r.node.Data), filepath.Dir(r.node.Keys), filepath.Dir(r.node.File)} {
		if err := (disk.OS{}).SyncDir(dir); err != nil {
			return restoring(err)
		}
	}
	return nil
}

// move takes what lies in the draft into the data folder, which may be the root of a file
// system of its own.
func (r *restorer) move() error {
	if err := syncTree(r.draft); err != nil {
		return err
	}
	entries, err := os.ReadDir(r.draft)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(r.draft, e.Name()), filepath.Join(r.node.Data, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// configuration puts one of the configurations into its place, unless it is there.
func (r *restorer) configuration(name, to string) error {
	f, ok := r.m.find(r.m.file(name))
	if !ok {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(r.Backup, filepath.FromSlash(f.Path)))
	if err != nil {
		return restoring(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return restoring(err)
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		_, err = out.Write(text)
		err = errors.Join(err, out.Sync(), out.Close())
	}
	if err != nil {
		return restoring(err)
	}
	return nil
}

// database puts back the database alone.
func (r *restorer) database(ctx context.Context) error {
	if r.m.Engine == Postgres {
		return r.dump(ctx)
	}
	f, ok := r.m.find(r.m.file(sqliteFile))
	to := filepath.Join(r.node.Data, databaseFile)
	if !ok {
		return refuse(doppelboden.Invalid, "the backup is not whole: %s is missing", sqliteFile)
	}
	for _, ending := range []string{"", "-wal", "-shm"} {
		if _, err := os.Lstat(to + ending); !errors.Is(err, fs.ErrNotExist) {
			return refuse(doppelboden.Invalid, "%s is there already; move it away first. Nothing was changed", to+ending)
		}
	}
	draft := to + ".restoring"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return restoring(err)
	}
	if err := copyOut(ctx, r.Backup, f, draft); err != nil {
		_ = os.Remove(draft)
		return err
	}
	r.count(f)
	if err := r.mark(r.node.Data); err != nil {
		return err
	}
	if err := os.Rename(draft, to); err != nil {
		return restoring(err)
	}
	if err := (disk.OS{}).SyncDir(r.node.Data); err != nil {
		return restoring(err)
	}
	return nil
}

// mark is MarkOlder.
func (r *restorer) mark(dir string) error {
	if err := MarkOlder(dir, r.Clock()); err != nil {
		return restoring(err)
	}
	return nil
}

// MarkOlder says in a data folder that the node's database is an older one since a time; the
// file is RestoredFile.
func MarkOlder(dir string, at time.Time) error {
	text := "restored at " + at.UTC().Format(time.RFC3339) + "; the node removes this file when it has numbered its mailboxes anew\n"
	return disk.Replace(disk.OS{}, filepath.Join(dir, RestoredFile), []byte(text))
}

// dump fills the node's PostgreSQL.
func (r *restorer) dump(ctx context.Context) error {
	f, ok := r.m.find(r.m.file(postgresFile))
	if !ok {
		return refuse(doppelboden.Invalid, "the backup is not whole: %s is missing", postgresFile)
	}
	if err := r.compare(ctx, f); err != nil {
		return err
	}
	dsn, err := r.dsn()
	if err != nil {
		return err
	}
	if r.DatabaseOnly {
		if err := r.mark(r.node.Data); err != nil {
			return err
		}
	}
	return postgres.Restore(ctx, dsn, filepath.Join(r.Backup, filepath.FromSlash(f.Path)))
}

// syncTree makes the names in all folders below dir durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return disk.OS{}.SyncDir(path)
	})
}

// restoring says that what is restored cannot be written.
func restoring(err error) error {
	var known *doppelboden.Error
	if errors.As(err, &known) {
		return err
	}
	return disk.Fail("restore", err)
}
