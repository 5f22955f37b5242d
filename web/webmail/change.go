package webmail

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/web"
)

// A done is what the page before did, and how it is undone. It travels in the address of
// the page, so that nothing has to be remembered; every part of it is checked like any
// other input when somebody clicks.
type done struct {
	What string // "moved", "binned", "archived", "read", "sent", …
	N    int
	From int64  // folder to which undo moves back; 0: it can't be undone
	At   int64  // folder where the mails are now
	UIDs string // their UIDs there
	V    string // the UIDVALIDITY of that folder
}

// whats are the things that a page can say were done.
var whats = []string{"moved", "binned", "archived", "junked", "read", "unread", "flagged", "unflagged", "removed",
	"sent", "drafted", "discarded", "undone", "emptied", "none", "saved", "renewed"}

// readDone reads what the page before did.
func readDone(q url.Values) *done {
	d := &done{What: q.Get("done"), UIDs: q.Get("uids"), V: q.Get("v")}
	if !slices.Contains(whats, d.What) {
		return nil
	}
	d.N, _ = strconv.Atoi(q.Get("n"))
	d.From, _ = strconv.ParseInt(q.Get("from"), 10, 64)
	d.At, _ = strconv.ParseInt(q.Get("at"), 10, 64)
	return d
}

// values are those of an address that tells of d.
func (d done) values() url.Values {
	v := url.Values{"done": {d.What}, "n": {strconv.Itoa(d.N)}}
	if d.From > 0 {
		v.Set("from", strconv.FormatInt(d.From, 10))
		v.Set("at", strconv.FormatInt(d.At, 10))
		v.Set("uids", d.UIDs)
		v.Set("v", d.V)
	}
	return v
}

// mostUIDs bounds what one form changes: a list of a page has 50.
const mostUIDs = 1000

// uids reads which mails a form is about: boxes that were ticked, or one mail's button.
func uids(f url.Values) []uint32 {
	var list []uint32
	for _, field := range f["uid"] {
		for _, text := range strings.Split(field, ",") {
			if u := uidOf(text); u > 0 && len(list) < mostUIDs {
				list = append(list, u)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// joined writes UIDs as uids reads them.
func joined(list []uint32) string {
	parts := make([]string, len(list))
	for i, u := range list {
		parts[i] = strconv.FormatUint(uint64(u), 10)
	}
	return strings.Join(parts, ",")
}

// change does with mails of a folder what a form says, and leads back to the list.
func (d *Door) change(w http.ResponseWriter, r *http.Request, k *desk) error {
	number, _, err := at(r)
	if err != nil {
		return err
	}
	list, what := uids(r.PostForm), r.PostForm.Get("do")
	if one := r.PostForm.Get("star"); one != "" { // the star of a single row
		what, _, _ = strings.Cut(one, ":")
		list = uids(url.Values{"uid": {strings.TrimPrefix(one, what+":")}})
	}
	if len(list) == 0 || what == "move" && r.PostForm.Get("to") == "" {
		http.Redirect(w, r, pathOf(k.base, number, done{What: "none"}.values()), http.StatusSeeOther)
		return nil
	}
	if _, err := k.current(r.Context(), number, validityOf(r.PostForm.Get("v"))); err != nil {
		return err
	}
	if what == "remove" && r.PostForm.Get("sure") == "" {
		return d.ask(w, r, k, number, list)
	}
	result, err := d.do(r.Context(), k, number, list, what, r.PostForm.Get("to"))
	if err != nil {
		return err
	}
	if r.Header.Get("HX-Request") != "" && r.PostForm.Get("star") != "" {
		d.pages.Part(w, r, "list", "star", web.Page{Data: row{UID: list[0], Flagged: what == "flag"}})
		return nil
	}
	v := result.values()
	back, err := url.Parse(web.Back(r.PostForm.Get("back"), pathOf(k.base, number, nil)))
	if err != nil || !strings.HasPrefix(back.Path, k.base+"/") {
		back = &url.URL{Path: pathOf(k.base, number, nil)}
	}
	q := back.Query()
	for _, key := range []string{"done", "n", "from", "at", "uids", "v"} {
		q.Del(key)
		if v.Has(key) {
			q.Set(key, v.Get(key))
		}
	}
	http.Redirect(w, r, back.Path+"?"+q.Encode(), http.StatusSeeOther)
	return nil
}

// flagging are the actions that only change flags.
var flagging = map[string]struct {
	set, clear uint32
	done       string
}{
	"read":   {set: doppelboden.Seen, done: "read"},
	"unread": {clear: doppelboden.Seen, done: "unread"},
	"flag":   {set: doppelboden.Flagged, done: "flagged"},
	"unflag": {clear: doppelboden.Flagged, done: "unflagged"},
}

// do changes mails of a folder.
func (d *Door) do(ctx context.Context, k *desk, number int64, list []uint32, what, to string) (done, error) {
	if f, ok := flagging[what]; ok {
		_, err := k.box.Change(ctx, []store.Change{{Place: store.Place{Folder: number}, Action: store.ActFlag, UIDs: list, Set: f.set, Clear: f.clear}})
		return done{What: f.done, N: len(list)}, err
	}
	switch what {
	case "delete":
		return d.move(ctx, k, number, list, store.UseTrash, "binned")
	case "archive":
		return d.move(ctx, k, number, list, store.UseArchive, "archived")
	case "junk":
		return d.move(ctx, k, number, list, store.UseJunk, "junked")
	case "remove":
		_, err := k.box.Change(ctx, []store.Change{{Place: store.Place{Folder: number}, Action: store.ActRemove, UIDs: list}})
		return done{What: "removed", N: len(list)}, err
	case "move", "undo":
		target, err := strconv.ParseInt(to, 10, 64)
		if err != nil || target == number {
			return done{}, &doppelboden.Error{Code: doppelboden.Invalid, Public: "no folder was chosen"}
		}
		result, err := moveTo(ctx, k, number, list, target, "moved")
		if what == "undo" {
			result = done{What: "undone", N: result.N}
		}
		return result, err
	}
	return done{}, web.ErrNotFound
}

// move takes mails to the folder with a use; what lies there already is removed for good
// only by "remove".
func (d *Door) move(ctx context.Context, k *desk, number int64, list []uint32, use store.Use, what string) (done, error) {
	target, err := folderFor(ctx, k.box, use)
	if err != nil {
		return done{}, err
	}
	if target == number {
		return done{What: "none"}, nil
	}
	return moveTo(ctx, k, number, list, target, what)
}

func moveTo(ctx context.Context, k *desk, from int64, list []uint32, target int64, what string) (done, error) {
	there, err := k.folder(ctx, target) // first: who hears that it failed finds nothing moved
	if err != nil {
		return done{}, err
	}
	changed, err := k.box.Change(ctx, []store.Change{{Place: store.Place{Folder: from}, Action: store.ActMove, UIDs: list, To: target}})
	if err != nil {
		return done{}, err
	}
	var now []uint32
	for _, c := range changed[0] {
		now = append(now, c.NewUID)
	}
	return done{What: what, N: len(now), From: from, At: target, UIDs: joined(now), V: written36(there.Validity)}, nil
}

// A question is asked before something is gone for good.
type question struct {
	Action string
	UIDs   string
	N      int
	Back   string
	Empty  bool   // the whole folder
	V      string // the folder's UIDVALIDITY
}

// ask shows the question before mails are removed for good.
func (d *Door) ask(w http.ResponseWriter, r *http.Request, k *desk, number int64, list []uint32) error {
	n, err := d.navigate(r, k, number)
	if err != nil {
		return err
	}
	q := question{Action: r.URL.Path, V: r.PostForm.Get("v"), UIDs: joined(list), N: len(list), Back: pathOf(k.base, number, nil)}
	d.show(w, r, k, http.StatusOK, "sure", web.Page{Title: "Delete for good?", Nav: n, Data: q})
	return nil
}

// empty removes everything that lies in the bin or among the spam.
func (d *Door) empty(w http.ResponseWriter, r *http.Request, k *desk) error {
	number, _, err := at(r)
	if err != nil {
		return err
	}
	f, err := k.current(r.Context(), number, validityOf(r.PostForm.Get("v")))
	if err != nil {
		return err
	}
	if f.Use != store.UseTrash && f.Use != store.UseJunk {
		return web.ErrNotFound
	}
	if r.PostForm.Get("sure") == "" {
		n, err := d.navigate(r, k, number)
		if err != nil {
			return err
		}
		d.show(w, r, k, http.StatusOK, "sure", web.Page{Title: "Delete for good?", Nav: n,
			Data: question{Action: r.URL.Path, N: int(f.Total), Back: pathOf(k.base, number, nil), Empty: true, V: r.PostForm.Get("v")}})
		return nil
	}
	var list []uint32
	err = k.box.Shown(r.Context(), number, store.ShownFilter{}, func(s store.Shown) error {
		list = append(list, s.UID)
		return nil
	})
	if err == nil && len(list) > 0 {
		_, err = k.box.Change(r.Context(), []store.Change{{Place: store.Place{Folder: number}, Action: store.ActRemove, UIDs: list}})
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, pathOf(k.base, number, done{What: "emptied", N: len(list)}.values()), http.StatusSeeOther)
	return nil
}
