package webmail

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/search"
	"doppelboden/store"
	"doppelboden/web"
)

// pageSize is how many mails a page of a list has.
const pageSize = 50

// A row is a mail in a list.
type row struct {
	Folder  int64
	UID     uint32
	Unread  bool
	Flagged bool
	Replied bool // answered or forwarded
	Names   string
	Subject string
	Snippet string
	Files   int
	Kind    string
	Date    time.Time
	Link    string
	Where   string // the folder's label, in results of a search
	Taken   string // who answers it, in mailboxes of several people
	Older   []row  // of the same conversation, on the same page
}

// A listing is a page with a list of mails.
type listing struct {
	Shelf   shelf
	Rows    []row
	Newer   string // address of the page before, or ""
	Older   string // of the page behind, or ""
	Query   string
	Only    string // "unread", "flagged" or ""
	Hits    int
	More    bool // there are more hits
	Done    *done
	Action  string  // where the form leads
	Targets []shelf // folders that mails can be moved to
	Trash   bool    // what is deleted here is gone
	Drafts  bool
	Fresh   string // where to ask for new mail
	Top     mark   // the newest row
}

// list shows a page of a folder, the newest first.
func (d *Door) list(w http.ResponseWriter, r *http.Request, k *desk) error {
	number, _, err := at(r)
	if err != nil {
		return err
	}
	f, err := k.box.Look(r.Context(), number)
	if err != nil {
		return err
	}
	n, err := d.navigate(r, k, number)
	if err != nil {
		return err
	}
	l := listing{Action: r.URL.Path, Fresh: k.base + "/fresh", Only: r.URL.Query().Get("only")}
	l.Shelf, _ = n.shelfOf(number)
	l.Trash, l.Drafts = f.Use == store.UseTrash, f.Use == store.UseDrafts
	l.Targets = slices.DeleteFunc(slices.Clone(n.Folders), func(s shelf) bool { return s.Number() == number || s.Use == store.UseDrafts || s.Use == store.UseSent })
	l.Done = readDone(r.URL.Query())
	if l.Only != "" {
		if err := d.only(r, k, &l, number); err != nil {
			return err
		}
	} else if err := d.page(r, k, &l, f); err != nil {
		return err
	}
	d.show(w, r, k, http.StatusOK, "list", web.Page{Title: titleOf(n, l.Shelf), Raw: true, Nav: n, Data: l})
	return nil
}

// titleOf names a folder, and whose it is where somebody has several mailboxes: every one
// of them has an inbox.
func titleOf(n nav, s shelf) string {
	title := s.Label
	if s.Count > 0 {
		title = fmt.Sprintf("%s (%d)", s.Label, s.Count)
	}
	if len(n.Boxes) > 0 {
		title += ", " + cmp.Or(n.Grant.Name, n.Grant.Address.String())
	}
	return title
}

// page reads the page that a request asks for: before a UID, after one, or the newest.
func (d *Door) page(r *http.Request, k *desk, l *listing, f store.Folder) error {
	q := r.URL.Query()
	from, to := parseMark(q.Get("after")), parseMark(q.Get("before"))
	for _, m := range []mark{from, to} {
		if m.UID > 0 && m.Validity != f.Validity {
			return &renewed{folder: f.Place.Folder}
		}
	}
	before, after := to.UID, from.UID
	filter := store.ShownFilter{Newest: true, Limit: pageSize + 1}
	switch {
	case after > 0:
		filter.Newest, filter.From = false, after+1
	case before > 1:
		filter.To = before - 1
	case before == 1:
		return nil
	}
	var shown []store.Shown
	err := k.box.Shown(r.Context(), f.Place.Folder, filter, func(s store.Shown) error {
		shown = append(shown, s)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read a folder: %w", err)
	}
	more := len(shown) > pageSize
	if more {
		shown = shown[:pageSize]
	}
	if after > 0 {
		slices.Reverse(shown)
	}
	if len(shown) > 0 {
		newest, oldest := mark{shown[0].UID, f.Validity}, mark{shown[len(shown)-1].UID, f.Validity}
		l.Top = newest
		if after > 0 && more || before > 0 {
			l.Newer = l.Action + "?after=" + newest.String()
		}
		if after > 0 || more {
			l.Older = l.Action + "?before=" + oldest.String()
		}
	}
	l.Rows, err = d.rows(r.Context(), k, f, shown)
	return err
}

func uidOf(text string) uint32 {
	n, _ := strconv.ParseUint(text, 10, 32)
	return uint32(n)
}

// rows makes the rows of a list: conversations by their newest mail.
func (d *Door) rows(ctx context.Context, k *desk, f store.Folder, shown []store.Shown) ([]row, error) {
	ids := make([]doppelboden.ID, len(shown))
	for i, s := range shown {
		ids[i] = s.Message
	}
	sums, err := d.opts.Search.Summaries(ctx, k.Visitor.Tenant, ids)
	if err != nil {
		return nil, fmt.Errorf("read the summaries: %w", err)
	}
	taken, err := d.taken(ctx, k)
	if err != nil {
		return nil, err
	}
	items := make([]search.ThreadItem, 0, len(shown))
	for _, s := range shown {
		if s.Flags&doppelboden.Deleted == 0 { // a client of IMAP will remove it
			items = append(items, search.ThreadItem{Shown: s, Summary: sums[s.Message]})
		}
	}
	var rows []row
	for _, t := range search.Threads(items) {
		var one row
		for i, it := range t.Items {
			ro := d.row(k, f, it.Shown, it.Summary)
			ro.Taken = taken[it.Shown.Message]
			if i == 0 {
				one = ro
			} else {
				one.Older = append(one.Older, ro)
			}
		}
		rows = append(rows, one)
	}
	return rows, nil
}

// row makes one row.
func (d *Door) row(k *desk, f store.Folder, s store.Shown, sum letter.Summary) row {
	r := row{
		Folder: f.Place.Folder, UID: s.UID,
		Unread:  s.Flags&doppelboden.Seen == 0 && f.Use != store.UseDrafts && f.Use != store.UseSent,
		Flagged: s.Flags&doppelboden.Flagged != 0,
		Replied: s.Flags&(doppelboden.Answered|doppelboden.Forwarded) != 0,
		Subject: sum.Subject, Snippet: sum.Snippet, Files: sum.Attachments, Kind: sum.Kind, Date: s.Date,
		Link: fmt.Sprintf("%s/f/%d/%s", k.base, f.Place.Folder, mark{s.UID, f.Validity}),
	}
	who := sum.From
	if f.Use == store.UseSent || f.Use == store.UseDrafts {
		who = sum.To
	}
	r.Names = names(who)
	if f.Use == store.UseDrafts {
		r.Link = k.base + "/compose?draft=" + mark{s.UID, f.Validity}.String()
	}
	return r
}

// names writes persons for a list.
func names(list []letter.Person) string {
	var all []string
	for i, p := range list {
		if i == 3 {
			all = append(all, "…")
			break
		}
		if p.Name != "" {
			all = append(all, p.Name)
		} else if p.Address != "" {
			all = append(all, p.Address)
		}
	}
	return strings.Join(all, ", ")
}

// only shows those mails of a folder that are unread or flagged.
func (d *Door) only(r *http.Request, k *desk, l *listing, number int64) error {
	var q search.Query
	switch l.Only {
	case "unread":
		q.Clear = doppelboden.Seen
	case "flagged":
		q.Set = doppelboden.Flagged
	default:
		return web.ErrNotFound
	}
	return d.find(r, k, l, []store.Folder{l.Shelf.Folder}, q)
}

// find fills a listing with what a query finds in folders.
func (d *Door) find(r *http.Request, k *desk, l *listing, folders []store.Folder, q search.Query) error {
	skip, _ := strconv.Atoi(r.URL.Query().Get("skip"))
	if skip < 0 || skip > 10_000 {
		return web.ErrNotFound
	}
	q.Limit = skip + pageSize + 1
	byNumber := map[int64]store.Folder{}
	var places []store.Place
	for _, f := range folders {
		byNumber[f.Place.Folder] = f
		places = append(places, f.Place)
	}
	found := 0
	err := d.opts.Search.Search(r.Context(), places, q, func(h search.Hit) error {
		found++
		if found > skip && len(l.Rows) < pageSize {
			f := byNumber[h.Place.Folder]
			ro := d.row(k, f, h.Shown, h.Summary)
			ro.Where = d.label(r, f)
			l.Rows = append(l.Rows, ro)
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.Hits, l.More = min(found, skip+pageSize), found > skip+pageSize
	next := func(n int) string {
		v := r.URL.Query()
		v.Del("done")
		v.Set("skip", strconv.Itoa(n))
		return r.URL.Path + "?" + v.Encode()
	}
	if l.More {
		l.Older = next(skip + pageSize)
	}
	if skip > 0 {
		l.Newer = next(max(0, skip-pageSize))
	}
	return nil
}

// search finds mails in all folders of the mailbox, or in one of them.
func (d *Door) search(w http.ResponseWriter, r *http.Request, k *desk) error {
	text := strings.TrimSpace(r.URL.Query().Get("q"))
	n, err := d.navigate(r, k, 0)
	if err != nil {
		return err
	}
	n.Query = text
	l := listing{Query: text, Action: k.base + "/search"}
	var folders []store.Folder
	for _, s := range n.Folders {
		if s.Use != store.UseTrash && s.Use != store.UseJunk || r.URL.Query().Get("all") != "" {
			folders = append(folders, s.Folder)
		}
	}
	if text != "" {
		// What came a moment ago has no number yet, and is found only with one.
		for _, f := range folders {
			if f.Fresh > 0 {
				if _, err := k.box.Look(r.Context(), f.Place.Folder); err != nil {
					return err
				}
			}
		}
		if err := d.find(r, k, &l, folders, search.ParseQuery(text, d.opts.Clock())); err != nil {
			return err
		}
	}
	d.show(w, r, k, http.StatusOK, "search", web.Page{Title: "Search", Nav: n, Data: l})
	return nil
}

// fresh says how many mails came since a page was made, for the line above a list.
func (d *Door) fresh(w http.ResponseWriter, r *http.Request, k *desk) error {
	list, err := k.box.Folders(r.Context())
	if err != nil {
		return err
	}
	number, _ := strconv.ParseInt(r.URL.Query().Get("f"), 10, 64)
	top := parseMark(r.URL.Query().Get("top"))
	var fresh int64
	for _, f := range list {
		if f.Place.Folder == number {
			fresh = f.Fresh
			if top.UID > 0 && top.Validity != f.Validity {
				return &renewed{folder: number}
			}
			if next := int64(f.Next) - int64(top.UID) - 1; top.UID > 0 && next > 0 {
				fresh += next
			}
		}
	}
	d.pages.Part(w, r, "list", "fresh", web.Page{Data: fresh, Nav: nav{Base: k.base, Here: number}})
	return nil
}

// pathOf is the address of a folder with what was done there.
func pathOf(base string, folder int64, v url.Values) string {
	path := fmt.Sprintf("%s/f/%d", base, folder)
	if len(v) > 0 {
		path += "?" + v.Encode()
	}
	return path
}
