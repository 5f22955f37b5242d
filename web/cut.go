package web

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
)

// keptOfForm is how much of the beginning of a form is kept while its files are read, in bytes:
// what somebody wrote stands there.
const keptOfForm = 1 << 20

// drained is how many times as much as a page takes is read of a form that is too large.
// Browsers hear no answer before they have sent all of it.
const drained = 8

type cutKey struct{}

// Cut reports whether a form was larger than its page takes: see MountForm.
func Cut(r *http.Request) bool { return r.Context().Value(cutKey{}) != nil }

// MountForm is MountLarge for a page with a form in which people write and to which they add
// files. When it is larger than that what they wrote still arrives: then Cut reports true, and
// what is missing are the files and all fields behind the first of them.
func (s *Server) MountForm(pattern string, size int64, h http.Handler) {
	s.forms[pattern] = true
	s.MountLarge(pattern, size, h)
}

// A beginning keeps the first bytes of what is written to it.
type beginning struct{ kept []byte }

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), keptOfForm-len(b.kept))]...)
	return len(p), nil
}

// cutForm gives a request whose form is too large the fields before its first file, and reads
// up to most bytes of what is left of it. It reports whether there were such fields.
func cutForm(r *http.Request, b *beginning, boundary string, rest io.Reader, most int64) bool {
	_, _ = io.CopyN(io.Discard, rest, most) // what fails here fails when it is answered
	values := url.Values{}
	form := multipart.NewReader(bytes.NewReader(b.kept), boundary)
	for {
		part, err := form.NextPart()
		if err != nil {
			return false // no file comes: it is the text that is too large
		}
		if part.FileName() != "" {
			break
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return false
		}
		values.Add(part.FormName(), string(value))
	}
	r.Form, r.PostForm = values, values
	r.MultipartForm = &multipart.Form{Value: values}
	return true
}

// asCut says of a request that its form is cut.
func asCut(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), cutKey{}, true))
}
