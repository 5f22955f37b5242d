package webmail

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/store"
)

// uploads returns the files that came with a form.
func uploads(r *http.Request) (all []piece, err error) {
	if r.MultipartForm == nil {
		return nil, nil
	}
	for _, h := range r.MultipartForm.File["file"] {
		if h.Size == 0 && h.Filename == "" {
			continue
		}
		f, err := h.Open()
		if err != nil {
			return nil, fmt.Errorf("open an uploaded file: %w", err)
		}
		body, err := io.ReadAll(f)
		_ = f.Close() // it lies in memory
		if err != nil {
			return nil, fmt.Errorf("read an uploaded file: %w", err)
		}
		all = append(all, piece{name: letter.FileName(cmp.Or(h.Filename, "datei")), kind: kindOf(h.Filename, body), body: body})
	}
	return all, nil
}

// sizeOf is how large files are together.
func sizeOf(all []piece) (total int64) {
	for _, p := range all {
		total += int64(len(p.body))
	}
	return total
}

// kept reads the files that a draft has already, or takes over from its source.
func (d *Door) kept(ctx context.Context, k *desk, dr draft) ([]piece, error) {
	var all []piece
	letters := map[string]*letter.Letter{}
	for _, f := range dr.Files {
		from, path, _ := strings.Cut(f.Keep, ":")
		var place source
		switch {
		case from == "d" && dr.At.UID != 0:
			drafts, err := folderFor(ctx, k.box, store.UseDrafts)
			if err != nil {
				return nil, err
			}
			place = source{Folder: drafts, Mark: dr.At}
		case from == "s" && dr.Source.Kind == "forward":
			place = dr.Source
		default:
			continue
		}
		if path == "" { // all of it
			p, err := d.whole(ctx, k, place, f.Name)
			if err != nil {
				return nil, err
			}
			all = append(all, p)
			continue
		}
		l := letters[from]
		if l == nil {
			var err error
			if _, l, err = d.open(ctx, k, place.Folder, place.Mark.UID); err != nil {
				return nil, err
			}
			letters[from] = l
		}
		body, ok := l.Part(path)
		if !ok {
			continue
		}
		bytes, err := io.ReadAll(io.LimitReader(body, d.opts.MostBytes+1)) // few bytes of a mail may decode to many
		if err != nil {
			return nil, fmt.Errorf("read a file of a mail: %w", err)
		}
		if int64(len(bytes)) > d.opts.MostBytes {
			return nil, &doppelboden.Error{Code: doppelboden.TooLarge, Public: "all files together are larger than one mail may be"}
		}
		all = append(all, piece{name: f.Name, kind: kindOf(f.Name, bytes), body: bytes})
	}
	return all, nil
}

// whole reads a mail that is forwarded as a file. As an attachment of its own type it
// could be shown by the recipient's program; RFC 2046, section 5.2.1, forbids to encode
// that, so its bytes must do: they go as they are.
func (d *Door) whole(ctx context.Context, k *desk, at source, name string) (piece, error) {
	s, err := shownOf(ctx, k.box, at.Folder, at.Mark.UID)
	if err != nil {
		return piece{}, err
	}
	if err := d.large.take(ctx, k.Visitor.Person, s.Size); err != nil {
		return piece{}, err
	}
	r, err := k.box.Read(ctx, s.Message)
	if err != nil {
		return piece{}, err
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		return piece{}, fmt.Errorf("read a mail: %w", err)
	}
	return piece{name: name, kind: "application/octet-stream", body: body}, nil
}

// kindOf says what a file is: by its content, where that is clear, so that what a browser
// claims of it does not matter.
func kindOf(name string, body []byte) string {
	kind, _, _ := strings.Cut(http.DetectContentType(body), ";")
	switch {
	case kind == "text/plain" && strings.HasSuffix(strings.ToLower(name), ".csv"):
		return "text/csv"
	case kind == "application/zip", kind == "text/html", kind == "text/xml":
		return "application/octet-stream" // an office document as well; its name says more
	case kind == "text/plain":
		return "application/octet-stream" // with its own line ends and characters
	}
	return kind
}
