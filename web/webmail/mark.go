package webmail

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"doppelboden/store"
	"doppelboden/web"
)

// A mark names a mail of a folder in links and forms. The same UID is another mail once the
// folder has another UIDVALIDITY (RFC 9051, section 2.3.1.1), which it gets with a database
// that came back from a backup; so no page names a mail by its UID alone.
type mark struct {
	UID      uint32
	Validity uint32
}

// String writes a mark as parseMark reads it, such as "12.v1"; "" for none.
func (m mark) String() string {
	if m.UID == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(m.UID), 10) + "." + written36(m.Validity)
}

// parseMark reads a mark. Validity is 0, which no folder has, where the text names none: it
// is a bookmark from before pages said it.
func parseMark(text string) mark {
	uid, validity, _ := strings.Cut(text, ".")
	return mark{UID: uidOf(uid), Validity: validityOf(validity)}
}

// written36 writes a UIDVALIDITY for links and forms: six characters.
func written36(validity uint32) string { return strconv.FormatUint(uint64(validity), 36) }

// validityOf reads what written36 wrote; 0 is none.
func validityOf(text string) uint32 {
	n, _ := strconv.ParseUint(text, 36, 32)
	return uint32(n)
}

// A renewed ends what was asked for about a mail of a folder that has another UIDVALIDITY by
// now. Nothing was done; the visitor is led to the list.
type renewed struct{ folder int64 }

// Error implements error.
func (e *renewed) Error() string {
	return fmt.Sprintf("webmail: folder %d has another UIDVALIDITY than the page", e.folder)
}

// folder returns a folder by its number. NotFound.
func (k *desk) folder(ctx context.Context, number int64) (store.Folder, error) {
	list, err := k.box.Folders(ctx)
	if err != nil {
		return store.Folder{}, fmt.Errorf("read the folders: %w", err)
	}
	for _, f := range list {
		if f.Place.Folder == number {
			return f, nil
		}
	}
	return store.Folder{}, web.ErrNotFound
}

// current returns a folder while it is the one that a page was made of. NotFound, *renewed.
func (k *desk) current(ctx context.Context, number int64, validity uint32) (store.Folder, error) {
	f, err := k.folder(ctx, number)
	if err == nil && f.Validity != validity {
		return f, &renewed{folder: number}
	}
	return f, err
}

// mailAt reads the folder and the mail of a path. NotFound, *renewed.
func (k *desk) mailAt(r *http.Request) (folder int64, m mark, err error) {
	if folder, m, err = at(r); err != nil {
		return 0, mark{}, err
	}
	_, err = k.current(r.Context(), folder, m.Validity)
	return folder, m, err
}

// toList leads to the list as it is now, from a page or a link that no longer fits it.
func (k *desk) toList(w http.ResponseWriter, r *http.Request, folder int64) {
	lead(w, r, pathOf(k.base, folder, done{What: "renewed"}.values()))
}

// lead has the browser go to another page, from a part of a page as well.
func lead(w http.ResponseWriter, r *http.Request, to string) {
	if r.Header.Get("HX-Request") != "" {
		w.Header().Set("HX-Redirect", to)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
