package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var staticFiles embed.FS

const staticPath = "/static/"

// A file is one that never changes under its name, which has the hash of its content.
type file struct {
	kind   string // Content-Type
	plain  []byte
	packed []byte // gzip; nil when that is no shorter
}

// kinds are the types of our files. No other is served.
var kinds = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	".txt": "text/plain; charset=utf-8", ".png": "image/png",
}

// assets returns the address of every file by its name.
func assets() (map[string]string, map[string]file, error) {
	names, files := map[string]string{}, map[string]file{}
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		return nil, nil, fmt.Errorf("read the static files: %w", err)
	}
	for _, e := range entries {
		plain, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, nil, fmt.Errorf("read a static file: %w", err)
		}
		ext := path.Ext(e.Name())
		if kinds[ext] == "" {
			return nil, nil, fmt.Errorf("static file %s: nobody knows its type", e.Name())
		}
		sum := sha256.Sum256(plain)
		at := staticPath + strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		names[e.Name()], files[at] = at, file{kind: kinds[ext], plain: plain, packed: pack(plain)}
	}
	return names, files, nil
}

// pack compresses a file, once. What depends on a person is never compressed: its length
// would tell what is in it.
func pack(plain []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a known one
	if _, err := w.Write(plain); err != nil || w.Close() != nil || b.Len() >= len(plain) {
		return nil
	}
	return b.Bytes()
}

// serveStatic mounts the files, and returns their addresses by name.
func (s *Server) serveStatic() (map[string]string, error) {
	links, files, err := assets()
	if err != nil {
		return nil, err
	}
	s.Mount("GET "+staticPath, s.Handler(func(w http.ResponseWriter, r *http.Request) error {
		f, ok := files[r.URL.Path]
		if !ok {
			return ErrNotFound
		}
		h := w.Header()
		h.Set("Content-Type", f.kind)
		h.Set("Cache-Control", "public, max-age=31536000, immutable") // RFC 8246
		h.Set("Vary", "Accept-Encoding")
		body := f.plain
		if f.packed != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = f.packed
		}
		_, _ = w.Write(body) // who has gone away needs no answer
		return nil
	}))
	return links, nil
}

// isStatic reports whether a request is for a file that is the same for everybody.
func isStatic(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, staticPath) }
