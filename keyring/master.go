package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"doppelboden"
	"doppelboden/disk"
)

const keySize = 32 // bytes, of every key: AES-256

// maxMasterFile bounds what is read: some hundred versions.
const maxMasterFile = 16 << 10

// A Master is the master key in all its versions. It prints as "master key (hidden)".
type Master struct {
	path     string
	versions map[int]cipher.AEAD
	keys     map[int][keySize]byte
}

// Format implements fmt.Formatter, so that no verb prints a key.
func (Master) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "master key (hidden)") }

// Current returns the newest version, which wraps what is new; 0 when m is empty.
func (m Master) Current() int {
	if len(m.keys) == 0 {
		return 0
	}
	return slices.Max(m.Versions())
}

// Versions returns the versions in the file, in order.
func (m Master) Versions() []int { return slices.Sorted(maps.Keys(m.keys)) }

// masterError says what is wrong with a master file. Its text never holds what is in
// the file.
func masterError(path, format string, args ...any) error {
	return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the master key file cannot be used",
		Cause: fmt.Errorf("%s: %w", path, fmt.Errorf(format, args...))}
}

// LoadMaster reads the file. It must be a regular file of the user that runs the
// program, with mode 0600 or 0400: whoever else can read it can read all mail. Every
// error says what would be right and has the code Invalid.
func LoadMaster(path string) (Master, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Master{}, masterError(path, "does not exist; init makes one, or restore it from the safe: %w", err)
	}
	if err != nil {
		return Master{}, masterError(path, "open: %w", err)
	}
	defer f.Close()
	if err := checkOwner(path, f, os.Geteuid()); err != nil {
		return Master{}, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxMasterFile+1))
	if err != nil {
		return Master{}, masterError(path, "read: %w", err)
	}
	if len(text) > maxMasterFile {
		return Master{}, masterError(path, "longer than %d bytes", maxMasterFile)
	}
	return parseMaster(path, text)
}

// checkOwner looks at the open file, not at its name, so that nobody can change it
// between.
func checkOwner(path string, f *os.File, user int) error {
	info, err := f.Stat()
	if err != nil {
		return masterError(path, "stat: %w", err)
	}
	if !info.Mode().IsRegular() {
		return masterError(path, "is not a regular file")
	}
	if mode := info.Mode().Perm(); mode != 0o600 && mode != 0o400 {
		return masterError(path, "has mode %04o, must be 0600 (or 0400): chmod 600 %s", mode, path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != user {
		return masterError(path, "belongs to user %d, must belong to user %d, who runs this program", st.Uid, user)
	}
	return nil
}

// parseMaster reads the text of a file: a line for each version, with its number and
// its key in base64; empty lines and lines that begin with "#" say nothing.
func parseMaster(path string, text []byte) (Master, error) {
	m := Master{path: path, versions: make(map[int]cipher.AEAD), keys: make(map[int][keySize]byte)}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := m.parseLine(line); err != nil {
			return Master{}, masterError(path, "line %d: %w", i+1, err)
		}
	}
	if len(m.keys) == 0 {
		return Master{}, masterError(path, "holds no key; wanted a line such as \"1 <44 characters of base64>\"")
	}
	return m, nil
}

// parseLine reads one version.
func (m *Master) parseLine(line string) error {
	number, encoded, ok := strings.Cut(line, " ")
	version, err := strconv.Atoi(number)
	if !ok || err != nil || version < 1 {
		return errors.New("wanted a version from 1 on, a space, and a key in base64")
	}
	if _, twice := m.keys[version]; twice {
		return fmt.Errorf("version %d is there twice", version)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return fmt.Errorf("the key of version %d is not base64", version)
	}
	if len(raw) != keySize {
		return fmt.Errorf("the key of version %d has %d bytes, must have %d", version, len(raw), keySize)
	}
	if bytes.Equal(raw, make([]byte, keySize)) {
		return fmt.Errorf("the key of version %d is all zeros", version)
	}
	m.keys[version] = [keySize]byte(raw)
	m.versions[version], err = newAEAD(m.keys[version])
	return err
}

// newAEAD returns the cipher of a key.
func newAEAD(key [keySize]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return cipher.NewGCM(block)
}

// text returns the file's text.
func (m Master) text() []byte {
	var b bytes.Buffer
	b.WriteString("# Master keys of Doppelboden, one version a line. Whoever has them can read all mail;\n" +
		"# without them nobody can. Keep a copy in a safe. Mode 0600.\n")
	for _, v := range m.Versions() {
		key := m.keys[v]
		fmt.Fprintf(&b, "%d %s\n", v, base64.StdEncoding.EncodeToString(key[:]))
	}
	return b.Bytes()
}

// with returns m with a fresh key as the version after the newest.
func (m Master) with() Master {
	next := Master{path: m.path, keys: maps.Clone(m.keys)}
	if next.keys == nil {
		next.keys = make(map[int][keySize]byte)
	}
	var key [keySize]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the program instead
	next.keys[m.Current()+1] = key
	return next
}

// NewMaster writes a file with one fresh key, with mode 0600, durably. It never
// overwrites: the code is Invalid when the name is taken.
func NewMaster(path string) error {
	err := disk.WriteNew(disk.OS{}, path, Master{}.with().text())
	if errors.Is(err, fs.ErrExist) {
		return masterError(path, "exists already and is not overwritten: %w", err)
	}
	return err
}

// AddMaster adds a fresh version to the file, durably, and keeps the old ones. The
// next step is Ring.RotateMaster with the file loaded again.
func AddMaster(path string) error {
	m, err := LoadMaster(path)
	if err != nil {
		return err
	}
	return disk.Replace(disk.OS{}, path, m.with().text())
}

// PruneMaster removes all versions but the newest from the file, durably. It is safe
// only after RotateMaster with this file.
func PruneMaster(path string) error {
	m, err := LoadMaster(path)
	if err != nil {
		return err
	}
	newest := m.Current()
	maps.DeleteFunc(m.keys, func(v int, _ [keySize]byte) bool { return v != newest })
	return disk.Replace(disk.OS{}, path, m.text())
}
