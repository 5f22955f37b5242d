package mirror

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"doppelboden"
	"doppelboden/disk"
	"doppelboden/store"
)

// Names within the folder.
const (
	restFile      = "directory.mirror" // everything but the mailboxes
	mailboxesFile = "mailboxes.mirror"
	behindFile    = "behind" // there: the mirror may lack a change
)

// heading stands at the beginning of each file, with the version of what follows: the
// SHA-256 of the rest, and the rest as package gob writes it.
const heading = "doppelboden mirror 1\n"

// A rest is everything but the mailboxes.
type rest struct {
	At           time.Time // when the database said so
	Node         string
	Config       store.ConfigVersion // that the node runs
	Tenants      []doppelboden.Tenant
	Standings    []store.Standing
	Listings     []store.Listing
	Ways         []store.Way
	Destinations []doppelboden.Destination // of mailboxes; those of the Internet are found again
	Keys         []store.TenantKey
}

// write writes a file whole. what fills it.
func write(fsys disk.FS, name string, what func(*gob.Encoder) error) error {
	var b bytes.Buffer
	b.WriteString(heading)
	b.Write(make([]byte, sha256.Size))
	if err := what(gob.NewEncoder(&b)); err != nil {
		return err
	}
	body := b.Bytes()[len(heading)+sha256.Size:]
	sum := sha256.Sum256(body)
	copy(b.Bytes()[len(heading):], sum[:])
	return disk.Replace(fsys, name, b.Bytes())
}

// read reads what write wrote. The code is NotFound when there is no file, and Invalid
// when it is not what was written.
func read(fsys disk.FS, name string) (*gob.Decoder, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no mirror of the database", Cause: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open the mirror: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("read the mirror: %w", err)
	}
	text := make([]byte, size)
	if n, err := f.ReadAt(text, 0); n < len(text) && err != nil {
		return nil, fmt.Errorf("read the mirror: %w", err)
	}
	body, ok := bytes.CutPrefix(text, []byte(heading))
	if !ok || len(body) < sha256.Size {
		return nil, damaged(name, errors.New("its beginning is not that of a mirror that this program reads"))
	}
	if sum := sha256.Sum256(body[sha256.Size:]); !bytes.Equal(sum[:], body[:sha256.Size]) {
		return nil, damaged(name, errors.New("its checksum is wrong"))
	}
	return gob.NewDecoder(bytes.NewReader(body[sha256.Size:])), nil
}

func damaged(name string, why error) error {
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the mirror of the database is damaged", Cause: fmt.Errorf("%s: %w", name, why)}
}

// provesFor is how long a mirror proves that somebody does not exist, as a directory's list
// does by default: meanwhile other nodes may have changed the database.
const provesFor = 48 * time.Hour

// Load reads the mirror in a folder at the time now. The code is NotFound when there is none,
// and Invalid when it is damaged or another node's.
func Load(fsys disk.FS, dir, node string, now time.Time) (*Snapshot, error) {
	dec, err := read(fsys, filepath.Join(dir, restFile))
	if err != nil {
		return nil, err
	}
	s := &Snapshot{}
	if err := dec.Decode(&s.rest); err != nil {
		return nil, damaged(restFile, err)
	}
	if s.rest.Node != node {
		return nil, damaged(restFile, fmt.Errorf("it is that of the node %q", s.rest.Node))
	}
	if dec, err = read(fsys, filepath.Join(dir, mailboxesFile)); err != nil {
		return nil, err
	}
	for {
		var m doppelboden.Mailbox
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, damaged(mailboxesFile, err)
		}
		s.mailboxes = append(s.mailboxes, m)
	}
	marked, err := exists(fsys, filepath.Join(dir, behindFile))
	s.behind = marked || now.Sub(s.rest.At) > provesFor
	return s, err
}

// exists reports whether there is a file.
func exists(fsys disk.FS, name string) (bool, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", name, err)
	}
	return true, f.Close()
}
