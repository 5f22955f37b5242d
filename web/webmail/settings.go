package webmail

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/web"
)

// mostSignature bounds a signature, in bytes.
const mostSignature = 4000

// A settingsPage is what a person sets for a mailbox.
type settingsPage struct {
	Signature string
	Action    string
	Done      *done
	Absence   string    // where it is set
	Away      string    // what is true of it now, as a sentence
	Mode      *modePart // nil: nothing is to be said about that
}

// settings shows the settings of a mailbox.
func (d *Door) settings(w http.ResponseWriter, r *http.Request, k *desk) error {
	n, err := d.navigate(r, k, 0)
	if err != nil {
		return err
	}
	n.Page = "settings"
	p := settingsPage{Action: r.URL.Path, Done: readDone(r.URL.Query())}
	list, err := d.opts.Slips.Slips(r.Context(), k.Visitor.Tenant, k.grant.Mailbox, slipSignature)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		p.Signature = list[0].Value
	}
	away, err := d.absenceOf(r.Context(), k)
	if err != nil {
		return err
	}
	stands, err := d.opts.Standing(r.Context(), k.Visitor.Tenant, k.grant.Mailbox)
	if err != nil {
		return err
	}
	p.Absence, p.Away = k.base+"/absence", stateOf(away, d.opts.Clock(), stands)
	if p.Mode, err = d.modeOf(r.Context(), k); err != nil {
		return err
	}
	d.show(w, r, k, http.StatusOK, "settings", web.Page{Title: "Settings", Nav: n, Data: p})
	return nil
}

// saveSettings keeps the signature.
func (d *Door) saveSettings(w http.ResponseWriter, r *http.Request, k *desk) error {
	text := strings.TrimSpace(strings.ReplaceAll(r.PostForm.Get("signature"), "\r\n", "\n"))
	if len(text) > mostSignature {
		return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the signature is longer than 4,000 characters"}
	}
	err := d.opts.Slips.PutSlip(r.Context(), k.Visitor.Tenant, k.grant.Mailbox,
		Slip{Kind: slipSignature, Value: plain([]byte(text)), At: d.opts.Clock()})
	if err != nil {
		return err
	}
	http.Redirect(w, r, k.base+"/settings?done=saved", http.StatusSeeOther)
	return nil
}

// A foldersPage is where people make, rename and remove folders.
type foldersPage struct {
	Folders []shelf // those that people may change
	Action  string
	Done    *done
}

// folders shows the folders that people made.
func (d *Door) folders(w http.ResponseWriter, r *http.Request, k *desk) error {
	n, err := d.navigate(r, k, 0)
	if err != nil {
		return err
	}
	n.Page = "folders"
	p := foldersPage{Action: r.URL.Path, Done: readDone(r.URL.Query())}
	for _, s := range n.Folders {
		if s.Use == store.UseNone {
			p.Folders = append(p.Folders, s)
		}
	}
	d.show(w, r, k, http.StatusOK, "folders", web.Page{Title: "Folders", Nav: n, Data: p})
	return nil
}

// putFolder makes, renames or removes a folder.
func (d *Door) putFolder(w http.ResponseWriter, r *http.Request, k *desk) error {
	number, _ := strconv.ParseInt(r.PostForm.Get("folder"), 10, 64)
	name := strings.Trim(line(r.PostForm.Get("name")), "/ ")
	what := "saved"
	if number != 0 { // the number of a folder may be another one's as well
		if _, err := k.current(r.Context(), number, validityOf(r.PostForm.Get("v"))); err != nil {
			return err
		}
	}
	switch r.PostForm.Get("do") {
	case "drop":
		n, err := d.navigate(r, k, 0)
		if err != nil {
			return err
		}
		s, ok := n.shelfOf(number)
		if !ok || s.Use != store.UseNone {
			return web.ErrNotFound
		}
		// Only what is empty goes: nobody loses mail by a wrong click.
		if s.Total+s.Fresh > 0 {
			return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the folder is not empty: move or delete its mails first"}
		}
		if err := k.box.DropFolder(r.Context(), number); err != nil {
			return err
		}
		what = "removed"
	case "rename", "new":
		f := store.Folder{Name: name, Subscribed: true}
		if r.PostForm.Get("do") == "rename" {
			f.Place.Folder = number
		}
		if name == "" {
			return &doppelboden.Error{Code: doppelboden.Invalid, Public: "the folder has no name"}
		}
		if _, err := k.box.PutFolder(r.Context(), f); err != nil {
			return err
		}
	default:
		return web.ErrNotFound
	}
	http.Redirect(w, r, k.base+"/folders?"+url.Values{"done": {what}}.Encode(), http.StatusSeeOther)
	return nil
}
