package webmail

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/store"
	"doppelboden/web"
)

// A nav is the column with mailboxes and folders.
type nav struct {
	Base    string
	Grant   account.Grant
	Boxes   []account.Grant // when there are several
	Folders []shelf
	Here    int64  // number of the folder that is shown; 0: none
	Page    string // "compose", "book", "settings" or ""
	Query   string // what was searched for
}

// A shelf is a folder in the column.
type shelf struct {
	store.Folder
	Label string // its name without those above it
	Depth int    // how many stand above it
	Count int64  // unread mails; of drafts: all
}

// uses is the order of folders, and what they are called in English; in German they have
// their own names.
var uses = [...]struct {
	use  store.Use
	name string
}{
	{store.UseInbox, "Inbox"}, {store.UseDrafts, "Drafts"}, {store.UseSent, "Sent"},
	{store.UseArchive, "Archive"}, {store.UseJunk, "Spam"}, {store.UseTrash, "Bin"},
}

// rank says where a folder stands in the column.
func rank(u store.Use) int {
	for i := range uses {
		if uses[i].use == u {
			return i
		}
	}
	return len(uses)
}

// label is what a folder is called in a language.
func (d *Door) label(r *http.Request, f store.Folder) string {
	if i := rank(f.Use); i < len(uses) {
		return d.pages.T(r, uses[i].name)
	}
	return f.Name
}

// navigate makes the column.
func (d *Door) navigate(r *http.Request, k *desk, here int64) (nav, error) {
	n := nav{Base: k.base, Grant: k.grant, Here: here}
	for _, g := range k.grants {
		if len(k.grants) > 1 && (g.Until.IsZero() || d.opts.Clock().Before(g.Until)) {
			n.Boxes = append(n.Boxes, g)
		}
	}
	list, err := k.box.Folders(r.Context())
	if err != nil {
		return nav{}, fmt.Errorf("read the folders: %w", err)
	}
	for _, f := range list {
		s := shelf{Folder: f, Label: d.label(r, f), Count: f.Unseen + f.Fresh}
		if f.Use == store.UseDrafts {
			s.Count = f.Total + f.Fresh
		}
		if f.Use == store.UseSent || f.Use == store.UseTrash {
			s.Count = 0
		}
		if f.Use == store.UseNone {
			s.Depth = strings.Count(f.Name, "/")
			s.Label = f.Name[strings.LastIndexByte(f.Name, '/')+1:]
		}
		n.Folders = append(n.Folders, s)
	}
	slices.SortStableFunc(n.Folders, func(a, b shelf) int {
		if x, y := rank(a.Use), rank(b.Use); x != y {
			return x - y
		}
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return n, nil
}

// shelfOf returns a folder of the column.
func (n *nav) shelfOf(number int64) (shelf, bool) {
	for _, s := range n.Folders {
		if s.Number() == number {
			return s, true
		}
	}
	return shelf{}, false
}

// Number is the folder's.
func (s shelf) Number() int64 { return s.Place.Folder }

// V is the folder's UIDVALIDITY, for forms.
func (s shelf) V() string { return written36(s.Validity) }

// folderFor returns the number of the folder with a use; NotFound where there is none.
func folderFor(ctx context.Context, b Box, u store.Use) (int64, error) {
	list, err := b.Folders(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the folders: %w", err)
	}
	for _, f := range list {
		if f.Use == u {
			return f.Place.Folder, nil
		}
	}
	return 0, &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such folder"}
}

// show answers with a page of the mailbox.
func (d *Door) show(w http.ResponseWriter, r *http.Request, k *desk, status int, name string, p web.Page) {
	p.Mailbox, p.Wide = int64(k.grant.Mailbox), true
	d.pages.Show(w, r, status, name, p)
}
