package backup

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"doppelboden"
	"doppelboden/disk"
)

// ManifestFile is the name of the file that makes a folder a backup.
const ManifestFile = "manifest.json"

// format is the version of what a folder looks like.
const format = 1

// maxManifest bounds what is read: some million files.
const maxManifest = 512 << 20

// KeysIn says whether a backup has the node's keys.
type KeysIn string

// Without its keys a backup is noise; with them in clear, who finds it reads all mail.
const (
	KeysNone   KeysIn = "none"
	KeysSealed KeysIn = "sealed" // with a passphrase (age, scrypt)
	KeysPlain  KeysIn = "plain"
)

// A Manifest says what a backup holds.
type Manifest struct {
	Format     int              `json:"format"`
	Made       time.Time        `json:"made"`      // the moment whose state it is
	Node       string           `json:"node"`      // name in node.toml
	Program    string           `json:"program"`   // version that made it
	Engine     string           `json:"engine"`    // of the database: "sqlite" or "postgres"
	Schema     int              `json:"schema"`    // migrations that the database has seen
	Ledger     string           `json:"ledger"`    // the public key that signs knots and this, in hexadecimal digits
	LastKnot   int64            `json:"last_knot"` // number; 0: none
	LastKnotAt time.Time        `json:"last_knot_at,omitzero"`
	KnotHash   string           `json:"knot_hash,omitempty"` // of the last knot
	Rows       map[string]int64 `json:"rows"`                // in the database, by table
	Messages   int64            `json:"messages"`            // in the database
	Deliveries map[string]int64 `json:"deliveries"`          // by state
	Keys       KeysIn           `json:"keys"`
	State      string           `json:"state"`             // folder of what belongs to this moment alone
	Missing    []string         `json:"missing,omitempty"` // segments that the database needs and the node did not have
	Files      []File           `json:"files"`
	Signature  []byte           `json:"signature"` // Ed25519 over the manifest without it
}

// A File is one file of a backup.
type File struct {
	Path   string `json:"path"`            // below the folder, with slashes
	From   int64  `json:"from,omitempty"`  // before it there is a hole
	Size   int64  `json:"size"`            // end of what counts, in bytes
	SHA256 string `json:"sha256"`          // of what lies between From and Size
	Whole  bool   `json:"whole,omitempty"` // nothing is added to it any more
}

// Size returns how many bytes the files of the backup hold.
func (m *Manifest) Size() (n int64) {
	for _, f := range m.Files {
		n += f.Size - f.From
	}
	return n
}

// file returns the path of a file of the state, as in Files.
func (m *Manifest) file(name string) string { return m.State + "/" + name }

// find returns the entry of a path.
func (m *Manifest) find(path string) (File, bool) {
	for _, f := range m.Files {
		if f.Path == path {
			return f, true
		}
	}
	return File{}, false
}

// bytes returns the manifest as it is written.
func (m *Manifest) bytes() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return append(text, '\n'), nil
}

// unsigned returns what the signature is over.
func (m *Manifest) unsigned() ([]byte, error) {
	bare := *m
	bare.Signature = nil
	return bare.bytes()
}

// write signs the manifest and puts it into its place.
func (m *Manifest) write(dir string, key ed25519.PrivateKey) error {
	text, err := m.unsigned()
	if err != nil {
		return err
	}
	m.Signature = ed25519.Sign(key, text)
	if text, err = m.bytes(); err != nil {
		return err
	}
	return disk.Replace(disk.OS{}, filepath.Join(dir, ManifestFile), text)
}

// signedBy reports whether key signed the manifest.
func (m *Manifest) signedBy(key ed25519.PublicKey) bool {
	text, err := m.unsigned()
	return err == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, text, m.Signature)
}

// ReadManifest reads the manifest of a backup. The code is NotFound when the folder is no
// backup, or one that never ended, and Invalid when this program cannot read it.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(doppelboden.NotFound, "there is no backup in this folder: it has no manifest.json, so none ever ended here")
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if info.Size() > maxManifest {
		return nil, refuse(doppelboden.Invalid, "manifest.json is too long to be one")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, refuse(doppelboden.Invalid, "manifest.json is damaged: %s", err)
	}
	if head.Format != format {
		return nil, refuse(doppelboden.Invalid, "this backup has format %s, and this program knows format %s: use the program that made it", head.Format, format)
	}
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, refuse(doppelboden.Invalid, "manifest.json is damaged: %s", err)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// check refuses paths that lead out of the folder: the manifest may be anybody's.
func (m *Manifest) check() error {
	if !isState(m.State) {
		return refuse(doppelboden.Invalid, "manifest.json is damaged: %s", "state")
	}
	seen := map[string]bool{}
	for _, f := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Path)) || seen[f.Path] || f.From < 0 || f.Size < f.From || len(f.SHA256) != 64 {
			return refuse(doppelboden.Invalid, "manifest.json is damaged: %s", f.Path)
		}
		seen[f.Path] = true
	}
	return nil
}

// A Refusal is an error with a sentence that package say knows in other languages.
type Refusal struct {
	Code doppelboden.Code
	Key  string   // the sentence, with %s for each argument
	Args []string // what stands in it
}

// Error returns the sentence in English.
func (r *Refusal) Error() string {
	args := make([]any, len(r.Args))
	for i, a := range r.Args {
		args[i] = a
	}
	return fmt.Sprintf(r.Key, args...)
}

// Unwrap gives the refusal its code.
func (r *Refusal) Unwrap() error { return &doppelboden.Error{Code: r.Code, Public: r.Error()} }

func refuse(code doppelboden.Code, key string, args ...any) error {
	r := &Refusal{Code: code, Key: key}
	for _, a := range args {
		r.Args = append(r.Args, fmt.Sprint(a))
	}
	return r
}
