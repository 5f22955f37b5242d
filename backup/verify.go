package backup

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/keyring"
	"doppelboden/landing"
	"doppelboden/ledger"
	"doppelboden/retention"
	"doppelboden/segment"
	"doppelboden/store"
)

// VerifyOptions say how a backup is checked.
type VerifyOptions struct {
	Dir        string     // the backup's folder
	Keys       string     // folder with the node's keys; empty: those that the backup has
	Passphrase string     // opens keys that are sealed
	Scratch    string     // of PostgreSQL: URL of an empty database to restore into
	Node       *city.Node // beside whose PostgreSQL a database is made when there is no Scratch; may be nil
	DSN        DSN        // of the Node; may be nil without it
	Clock      func() time.Time
	Progress   func(step string, done int64) // nil: nobody looks
}

// maxFaults bounds what a check names one by one; it counts all.
const maxFaults = 100

// A Check says what a verification saw.
type Check struct {
	Manifest *Manifest `json:"manifest"`
	Signed   bool      `json:"signed"` // the keys say that the node itself made the manifest
	Keys     bool      `json:"keys"`   // the keys were there, so that bodies were opened
	Bytes    int64     `json:"bytes"`  // that were read and have the right sum

	// What became of the database in the hands of this program, tried on a copy.
	Schema   int     `json:"schema"`   // migrations after that
	Migrated float64 `json:"migrated"` // seconds that it took to open it

	Landed  int64               `json:"landed"` // mails that were only in the landing yet
	Bodies  int64               `json:"bodies"` // that were read, each as a whole
	Ledger  ledger.Report       `json:"ledger"`
	Balance doppelboden.Balance `json:"balance"`

	Faults   int64     `json:"faults"`             // all of them
	Findings []Finding `json:"findings,omitempty"` // the first 100
}

// OK reports whether the backup can be relied upon.
func (c *Check) OK() bool { return c.Faults == 0 }

func (c *Check) fault(key string, args ...any) {
	c.Faults++
	if len(c.Findings) >= maxFaults {
		return
	}
	f := Finding{Key: key}
	for _, a := range args {
		f.Args = append(f.Args, fmt.Sprint(a))
	}
	c.Findings = append(c.Findings, f)
}

// A Finding is a sentence that package say knows in other languages.
type Finding struct {
	Key  string   // with %s for each argument
	Args []string // what stands in it
}

// String returns the sentence in English.
func (f Finding) String() string {
	args := make([]any, len(f.Args))
	for i, a := range f.Args {
		args[i] = a
	}
	return fmt.Sprintf(f.Key, args...)
}

// MarshalText returns what String does.
func (f Finding) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// Verify reads every byte of a backup, opens its database in a copy with this program,
// which tries the migrations of a newer one, verifies the ledger, draws the balance, and
// reads the body of every mail. The backup stays as it is. What is wrong with the backup is
// in the Check; the error says why it could not be checked.
func Verify(ctx context.Context, o VerifyOptions) (*Check, error) {
	if o.Progress == nil {
		o.Progress = func(string, int64) {}
	}
	m, err := ReadManifest(o.Dir)
	if err != nil {
		return nil, err
	}
	v := &verifier{VerifyOptions: o, Check: &Check{Manifest: m}}
	if v.work, err = os.MkdirTemp("", "doppelboden-verify-"); err != nil {
		return nil, fmt.Errorf("make a folder for the check: %w", err)
	}
	defer os.RemoveAll(v.work)
	for _, name := range m.Missing {
		v.fault("%s, which the database needs, was missing on the node already", name)
	}
	whole, err := v.files(ctx)
	if err != nil {
		return nil, err
	}
	if err := v.findKeys(); err != nil {
		return nil, err
	}
	if !whole { // a database with a wrong sum proves nothing, and may be made to do harm
		return v.Check, nil
	}
	return v.Check, v.inside(ctx)
}

// A verifier is one run of Verify.
type verifier struct {
	VerifyOptions
	*Check
	work string // a folder of its own
	keys string // folder with the node's keys; empty: none
}

// files compares every file with the manifest. It reports whether the state is whole.
func (v *verifier) files(ctx context.Context) (whole bool, err error) {
	whole = true
	for _, f := range v.Manifest.Files {
		err := v.file(ctx, f)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil {
			v.fault("%s: %s", f.Path, err)
			whole = whole && !strings.HasPrefix(f.Path, v.Manifest.State+"/")
		}
	}
	return whole, nil
}

// file compares one file with its sum.
func (v *verifier) file(ctx context.Context, f File) error {
	in, err := os.Open(filepath.Join(v.Dir, filepath.FromSlash(f.Path)))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it is missing")
	}
	if err != nil {
		return err
	}
	defer in.Close()
	sum := sha256.New()
	b := &bringer{ctx: ctx, tell: func(int64) { v.Progress("bytes", v.Bytes>>20) }}
	if err := b.pump(in, nil, sum, f.From, f.Size); err != nil {
		return err
	}
	v.Bytes += f.Size - f.From
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return errors.New("it is not what was backed up: the sum is wrong")
	}
	return nil
}

// findKeys puts the keys where they can be used, when there are any, and looks who made
// the manifest.
func (v *verifier) findKeys() error {
	v.keys = v.VerifyOptions.Keys
	if v.keys == "" {
		var err error
		if v.keys, err = openKeys(v.Dir, v.Manifest, v.Passphrase, filepath.Join(v.work, "keys")); err != nil {
			return err
		}
	}
	if v.keys == "" {
		return nil
	}
	v.Check.Keys = true
	signer, err := ledger.LoadKey(filepath.Join(v.keys, ledgerKey))
	if err != nil {
		return err
	}
	if v.Signed = v.Manifest.signedBy(ledger.PublicKey(signer)); !v.Signed {
		v.fault("manifest.json was not signed with this ledger.key: it was changed, or it is of another node")
	}
	return nil
}

// openKeys unpacks the keys of a backup into a new folder and returns it, or "" when the
// backup has none or they are sealed and there is no passphrase.
func openKeys(dir string, m *Manifest, passphrase, to string) (string, error) {
	var name string
	switch m.Keys {
	case KeysPlain:
		name = plainKeys
	case KeysSealed:
		name = sealedKeys
	}
	if name == "" || name == sealedKeys && passphrase == "" {
		return "", nil
	}
	archive, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(m.file(name))))
	if err != nil {
		return "", fmt.Errorf("read the keys of the backup: %w", err)
	}
	if name == sealedKeys {
		if archive, err = unseal(archive, passphrase); err != nil {
			return "", err
		}
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for the keys: %w", err)
	}
	return to, unpack(strings.NewReader(string(archive)), to)
}

// inside opens the database as a node would and checks what it holds.
func (v *verifier) inside(ctx context.Context) error {
	db, err := v.open(ctx)
	if err != nil || db == nil {
		return err
	}
	err = v.look(ctx, db)
	return errors.Join(err, db.Close())
}

// look checks what the database holds.
func (v *verifier) look(ctx context.Context, db *opened) error {
	v.Schema = db.schema
	if err := v.stage(ctx); err != nil {
		return err
	}
	if err := v.drain(ctx, db); err != nil {
		return err
	}
	if err := v.ledger(ctx, db); err != nil {
		return err
	}
	if err := v.balance(ctx, db); err != nil {
		return err
	}
	if v.keys == "" {
		return nil
	}
	return v.bodies(ctx, db)
}

// stage puts the logs where they are exactly as long as the manifest says: a later run that
// was cut off may have added to them.
func (v *verifier) stage(ctx context.Context) error {
	for _, f := range v.Manifest.Files {
		top, _, _ := strings.Cut(f.Path, "/")
		if top != tallyDir && top != landingDir {
			continue
		}
		to := filepath.Join(v.work, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return fmt.Errorf("make a folder for the check: %w", err)
		}
		if f.Whole {
			from, err := filepath.Abs(filepath.Join(v.Dir, filepath.FromSlash(f.Path)))
			if err == nil {
				err = os.Symlink(from, to)
			}
			if err != nil {
				return fmt.Errorf("make a link for the check: %w", err)
			}
			continue
		}
		if err := copyOut(ctx, v.Dir, f, to); err != nil {
			var no *Refusal // files has told already
			if errors.As(err, &no) {
				continue
			}
			return err
		}
	}
	return nil
}

// drain brings what had landed and was not in the database yet, as a node does at its
// start.
func (v *verifier) drain(ctx context.Context, db database) error {
	last := map[string]int64{}
	return landing.Read(filepath.Join(v.work, landingDir), func(l store.Landed) error {
		chain := l.Link.Chain
		if _, known := last[chain]; !known {
			n, err := db.Drained(ctx, chain)
			if err != nil {
				return err
			}
			last[chain] = n
		}
		if l.Link.Number <= last[chain] {
			return ctx.Err()
		}
		v.Landed += int64(len(l.Messages))
		return db.Drain(ctx, []store.Landed{l})
	})
}

// ledger verifies all chains and knots.
func (v *verifier) ledger(ctx context.Context, db database) (err error) {
	key, err := hex.DecodeString(v.Manifest.Ledger)
	if err != nil || len(key) != ed25519.PublicKeySize {
		v.fault("manifest.json does not name the ledger's key")
		return nil
	}
	knots := filepath.Join(v.work, "knots")
	if err := unpackKnots(v.Dir, v.Manifest, knots); err != nil {
		v.fault("exported knots: %s", err)
	}
	v.Ledger, err = ledger.Verify(ctx, db, ledger.VerifyOptions{Keys: []ed25519.PublicKey{key}, Folders: []string{knots}},
		func(p ledger.Progress) { v.Progress(p.Step, p.Done) })
	if err != nil {
		return err
	}
	if !v.Ledger.OK() {
		v.fault("the ledger has %s faults; the first: %s %s: %s", v.Ledger.Faults, v.Ledger.Findings[0].About, v.Ledger.Findings[0].Number, v.Ledger.Findings[0].What)
	}
	if v.Ledger.LastKnot != v.Manifest.LastKnot {
		v.fault("the last knot is %s, and the manifest says %s", v.Ledger.LastKnot, v.Manifest.LastKnot)
	}
	return nil
}

// balance draws the balance of all that the logs tell of.
func (v *verifier) balance(ctx context.Context, db database) (err error) {
	days, err := retentionDays(ctx, db, v.Manifest.Node)
	if err != nil {
		v.fault("the city's configuration: %s", err)
		return nil
	}
	logs := ledger.Tally{Dir: filepath.Join(v.work, tallyDir)}
	v.Balance, err = ledger.Balance(ctx, ledger.Sources{Doors: logs, Replies: logs, Ledger: db, Rows: db,
		Clock: v.Clock, Progress: func(p ledger.Progress) { v.Progress(p.Step, p.Done) }},
		retention.LogsSince(v.Manifest.Made, days), v.Manifest.Made)
	if err == nil && v.Balance.Difference != 0 {
		v.fault("the balance has a difference of %s; the first: %s", v.Balance.Difference, v.Balance.Findings[0].What)
	}
	return err
}

// retentionDays returns for how many days the city keeps mail.
func retentionDays(ctx context.Context, db database, node string) (int, error) {
	version, err := db.Pinned(ctx, node)
	if err != nil {
		return 0, err
	}
	text, err := db.Config(ctx, version)
	if err != nil {
		return 0, err
	}
	c, err := city.Parse(cityFile, text.Text)
	if err != nil {
		return 0, err
	}
	return c.RetentionDays, nil
}

// bodies reads the body of every mail.
func (v *verifier) bodies(ctx context.Context, db database) error {
	master, err := keyring.LoadMaster(filepath.Join(v.keys, masterKey))
	if err != nil {
		return err
	}
	ring, err := keyring.Open(ctx, master, db, v.Clock)
	if err != nil {
		v.fault("the master key does not open the keys of this backup: %s", err)
		return nil
	}
	all, err := segment.OpenToRead(filepath.Join(v.Dir, segmentsDir), ring)
	if err != nil {
		return err
	}
	var last doppelboden.ID
	return db.Deliveries(ctx, store.Filter{}, func(it store.Item) error {
		if it.Message.ID == last { // its deliveries follow each other
			return ctx.Err()
		}
		last = it.Message.ID
		if err := readBody(all, it.Message); err != nil {
			v.fault("the body of %s cannot be read: %s", last, err)
		}
		if v.Bodies++; v.Bodies%1000 == 0 {
			v.Progress("bodies", v.Bodies)
		}
		return ctx.Err()
	})
}

// readBody reads a body to its end, where its sum is compared.
func readBody(all *segment.Store, m *doppelboden.Message) error {
	r, err := all.Reader(m.Tenant, m.Body)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// unpackKnots puts the exported knots of a backup below to.
func unpackKnots(dir string, m *Manifest, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, f := range m.Files {
		if f.Path != m.file(knotsFile) && !strings.HasPrefix(f.Path, knotsDir+"/") {
			continue
		}
		in, err := os.Open(filepath.Join(dir, filepath.FromSlash(f.Path)))
		if err != nil {
			return err
		}
		err = errors.Join(unpack(in, to), in.Close())
		if err != nil {
			return err
		}
	}
	return nil
}
