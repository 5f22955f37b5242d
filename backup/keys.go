package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"filippo.io/age"

	"doppelboden"
)

// maxKeys bounds the archive of the keys: certificates and passwords are small.
const maxKeys = 16 << 20

// keys brings the node's keys as the options want them.
func (m *maker) keys(context.Context) error {
	m.manifest.Keys = KeysNone
	if m.o.Passphrase == "" && !m.o.PlainKeys {
		return nil
	}
	archive, err := packKeys(m.Node.Keys)
	if err != nil {
		return err
	}
	path := m.state + "/" + plainKeys
	m.manifest.Keys = KeysPlain
	if m.o.Passphrase != "" {
		path = m.state + "/" + sealedKeys
		m.manifest.Keys = KeysSealed
		if archive, err = seal(archive, m.o.Passphrase); err != nil {
			return err
		}
	}
	if err := writeFile(m.path(path), archive); err != nil {
		return err
	}
	return m.add(path)
}

// packKeys makes an archive of the files in the keys' folder.
func packKeys(dir string) ([]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil || !info.Mode().IsRegular() {
			continue // a socket or a folder is no key
		}
		if err := putTar(w, dir, e.Name()); err != nil {
			return nil, fmt.Errorf("read the keys: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the keys: %w", err)
	}
	if b.Len() > maxKeys {
		return nil, refuse(doppelboden.Invalid, "the folder of the keys %s holds more than keys", dir)
	}
	return b.Bytes(), nil
}

// seal encrypts with a passphrase, so that the program age opens it as well.
func seal(plain []byte, passphrase string) ([]byte, error) {
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("seal the keys: %w", err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("seal the keys: %w", err)
	}
	return b.Bytes(), nil
}

// unseal gives back what seal was given. The code is Invalid for a wrong passphrase.
func unseal(sealed []byte, passphrase string) ([]byte, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, refuse(doppelboden.Invalid, "the keys are sealed: the passphrase is needed")
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), id)
	var wrong *age.NoIdentityMatchError
	if errors.As(err, &wrong) {
		return nil, refuse(doppelboden.Invalid, "the passphrase does not open the keys of this backup")
	}
	var plain []byte
	if err == nil {
		plain, err = io.ReadAll(io.LimitReader(r, maxKeys+1))
	}
	if err != nil {
		return nil, refuse(doppelboden.Invalid, "the sealed keys are damaged: %s", err)
	}
	return plain, nil
}

// putTar writes a file below dir into an archive.
func putTar(w *tar.Writer, dir, name string) error {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(name), Size: int64(len(data)),
		Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()})
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

// unpack writes the files of an archive below dir, each new and durable.
func unpack(r io.Reader, dir string) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(filepath.FromSlash(h.Name)) {
			return refuse(doppelboden.Invalid, "the archive holds something that is no file (%s)", h.Name)
		}
		if err := unpackOne(t, filepath.Join(dir, filepath.FromSlash(h.Name)), fs.FileMode(h.Mode)&0o777); err != nil {
			return err
		}
	}
}

// unpackOne writes one file.
func unpackOne(r io.Reader, path string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

// device returns the number of the file system on which a file lies.
func device(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(st.Dev)
}
