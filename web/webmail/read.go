package webmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"doppelboden"
	"doppelboden/folder"
	"doppelboden/letter"
	"doppelboden/search"
	"doppelboden/store"
	"doppelboden/web"
)

// A reading is the page of one mail.
type reading struct {
	Shelf     shelf
	Mark      mark
	Link      string // of this page
	Back      string // the list it lies in
	List      string // where forms about mails of the folder lead
	Newer     string // the mails beside it, or ""
	Older     string
	Summary   letter.Summary
	ReplyTo   []letter.Person // where answers go, when not to From
	Date      string
	Text      string // shown when there is no HTML
	HTML      bool
	Remote    int  // contents elsewhere that were left out
	Loaded    bool // they were asked for
	Height    int  // of the frame, in pixels: an estimate
	Links     []string
	Files     []attached
	Left      []string // what was left out, in English sentences
	Notes     []string // what the reader should know: signed, sealed, …
	Flagged   bool
	Draft     bool
	Trash     bool
	Shared    bool
	Taken     string // who answers it
	Mine      bool   // it is the visitor
	Targets   []shelf
	Done      *done
	Unsafe    string // why it can't be opened, or ""
	Size      int64
	ViewPlain bool // the text was asked for although there is HTML
	BothWays  bool // there is HTML and text
}

// An attached is a file of a mail.
type attached struct {
	letter.Part
	Get  string // address of the download
	See  string // address of the preview, or ""
	What string // what it is, when its name does not say it: an English sentence
}

// open reads and parses a mail of a folder.
func (d *Door) open(ctx context.Context, k *desk, folder int64, uid uint32) (store.Shown, *letter.Letter, error) {
	s, err := shownOf(ctx, k.box, folder, uid)
	if err != nil {
		return store.Shown{}, nil, err
	}
	if err := d.large.take(ctx, k.Visitor.Person, s.Size); err != nil {
		return store.Shown{}, nil, err
	}
	l, err := d.parse(ctx, k, s.Message)
	return s, l, err
}

func (d *Door) parse(ctx context.Context, k *desk, id doppelboden.ID) (*letter.Letter, error) {
	body, err := k.box.Read(ctx, id)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return letter.Parse(body, letter.Limits{})
}

// read shows a mail, and marks it as read.
func (d *Door) read(w http.ResponseWriter, r *http.Request, k *desk) error {
	number, m, err := k.mailAt(r)
	if err != nil {
		return err
	}
	uid := m.UID
	s, l, err := d.open(r.Context(), k, number, uid)
	if err != nil && doppelboden.CodeOf(err) != doppelboden.Policy {
		return err
	}
	if l != nil && s.Flags&doppelboden.Seen == 0 && r.URL.Query().Get("keep") == "" {
		change := store.Change{Place: store.Place{Folder: number}, Action: store.ActFlag, UIDs: []uint32{uid}, Set: doppelboden.Seen}
		if _, err := k.box.Change(r.Context(), []store.Change{change}); err != nil {
			return err
		}
	}
	n, err2 := d.navigate(r, k, number)
	if err2 != nil {
		return err2
	}
	p := reading{Mark: m, List: pathOf(k.base, number, nil), Done: readDone(r.URL.Query()), Shared: k.shared()}
	p.Link, p.Back = p.List+"/"+m.String(), p.List
	p.Shelf, _ = n.shelfOf(number)
	p.Trash, p.Draft = p.Shelf.Use == store.UseTrash, p.Shelf.Use == store.UseDrafts
	p.Flagged, p.Size, p.Date = s.Flags&doppelboden.Flagged != 0, s.Size, web.Date(k.Language, s.Date)
	for _, t := range n.Folders {
		if t.Number() != number && t.Use != store.UseDrafts && t.Use != store.UseSent {
			p.Targets = append(p.Targets, t)
		}
	}
	if err := d.beside(r.Context(), k, &p, number); err != nil {
		return err
	}
	if l == nil {
		p.Unsafe = "This mail can't be opened yet: nobody has looked for malware in it so far. Try again later."
		if errors.Is(err, folder.ErrMalware) {
			p.Unsafe = "Malware was found in this mail. It is kept back. Call your help desk if you need it."
		}
	} else {
		p.fill(l, r.URL.Query())
	}
	taken, err := d.taken(r.Context(), k)
	if err != nil {
		return err
	}
	p.Taken = taken[s.Message]
	p.Mine = p.Taken == k.name()
	title := p.Summary.Subject
	if title == "" {
		title = d.pages.T(r, "(no subject)")
	}
	d.show(w, r, k, http.StatusOK, "read", web.Page{Title: title, Raw: true, Nav: n, Data: p})
	return nil
}

// beside finds the mails next to one, for the buttons and the keys.
func (d *Door) beside(ctx context.Context, k *desk, p *reading, number int64) error {
	uid := p.Mark.UID
	for _, side := range []struct {
		f  store.ShownFilter
		to *string
	}{
		{store.ShownFilter{From: uid + 1, Limit: 1}, &p.Newer},
		{store.ShownFilter{To: uid - 1, Limit: 1, Newest: true}, &p.Older},
	} {
		if side.f.From == 0 && side.f.To == 0 {
			continue // nothing is older than the first
		}
		err := k.box.Shown(ctx, number, side.f, func(s store.Shown) error {
			*side.to = p.List + "/" + mark{s.UID, p.Mark.Validity}.String()
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lefts say what was left out.
var lefts = map[letter.Omission]string{
	letter.LeftSize:    "the end of the mail, which is too long",
	letter.LeftDepth:   "parts that are nested too deeply",
	letter.LeftParts:   "some of very many parts",
	letter.LeftHeader:  "some of a very long header",
	letter.LeftText:    "the end of a very long text",
	letter.LeftPicture: "very large pictures in the text",
	letter.LeftCharset: "characters that cannot be read",
	letter.LeftActive:  "scripts, forms and other active contents",
}

// kindNotes say what a mail is that cannot simply be read.
var kindNotes = map[string]string{
	letter.SMIMESigned: "This mail has an electronic signature (S/MIME). It is not checked here.",
	letter.SMIMESealed: "This mail is encrypted (S/MIME). It can only be read with the certificate on your usual computer; there you find it again later.",
	letter.PGPSigned:   "This mail has an electronic signature (PGP). It is not checked here.",
	letter.PGPSealed:   "This mail is encrypted (PGP). It can only be read with the key on your usual computer; there you find it again later.",
	letter.Report:      "This is a report of a mail system, not written by a person.",
	letter.Invitation:  "This is an invitation to an appointment. Answer it by mail; the calendar follows when your usual mailbox is back.",
	letter.TNEF:        "The sender's Outlook has packed the files of this mail into winmail.dat. Ask for them as ordinary files, or open it on your usual computer.",
}

// thread shows the other mails of the conversation, below the mail.
func (d *Door) thread(w http.ResponseWriter, r *http.Request, k *desk) error {
	number, m, err := k.mailAt(r)
	if err != nil {
		return err
	}
	list, err := k.box.Folders(r.Context())
	if err != nil {
		return err
	}
	byNumber := map[int64]store.Folder{}
	var items []search.ThreadItem
	place := map[doppelboden.ID]int64{}
	for _, f := range list {
		byNumber[f.Place.Folder] = f
		if f.Place.Folder != number && f.Use != store.UseSent && f.Use != store.UseInbox {
			continue
		}
		err := k.box.Shown(r.Context(), f.Place.Folder, store.ShownFilter{Newest: true, Limit: 100}, func(s store.Shown) error {
			if place[s.Message] == 0 {
				items, place[s.Message] = append(items, search.ThreadItem{Shown: s}), f.Place.Folder
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	this, err := shownOf(r.Context(), k.box, number, m.UID)
	if err != nil {
		return err
	}
	if place[this.Message] == 0 {
		items, place[this.Message] = append(items, search.ThreadItem{Shown: this}), number
	}
	rows, err := d.conversation(r, k, items, place, byNumber, this.Message)
	if err != nil {
		return err
	}
	p := web.Page{Title: "Conversation", Data: listing{Rows: rows}}
	if r.Header.Get("HX-Request") != "" {
		d.pages.Part(w, r, "thread", "conversation", p)
		return nil
	}
	if p.Nav, err = d.navigate(r, k, number); err != nil {
		return err
	}
	d.show(w, r, k, http.StatusOK, "thread", p)
	return nil
}

// conversation returns the rows of the conversation in which a mail is, the newest first.
func (d *Door) conversation(r *http.Request, k *desk, items []search.ThreadItem, place map[doppelboden.ID]int64, folders map[int64]store.Folder, of doppelboden.ID) ([]row, error) {
	ids := make([]doppelboden.ID, len(items))
	for i := range items {
		ids[i] = items[i].Shown.Message
	}
	sums, err := d.opts.Search.Summaries(r.Context(), k.Visitor.Tenant, ids)
	if err != nil {
		return nil, err
	}
	for i := range items {
		items[i].Summary = sums[items[i].Shown.Message]
	}
	var rows []row
	for _, t := range search.Threads(items) {
		in := false
		for _, it := range t.Items {
			in = in || it.Shown.Message == of
		}
		if !in {
			continue
		}
		for _, it := range t.Items {
			if it.Shown.Message == of {
				continue
			}
			f := folders[place[it.Shown.Message]]
			ro := d.row(k, f, it.Shown, it.Summary)
			ro.Where = d.label(r, f)
			rows = append(rows, ro)
		}
	}
	return rows, nil
}

// source gives the mail as it is, as a file for other programs.
func (d *Door) source(w http.ResponseWriter, r *http.Request, k *desk) error {
	number, m, err := k.mailAt(r)
	if err != nil {
		return err
	}
	s, err := shownOf(r.Context(), k.box, number, m.UID)
	if err != nil {
		return err
	}
	body, err := k.box.Read(r.Context(), s.Message)
	if err != nil {
		return err
	}
	defer body.Close()
	web.HeadersOfMail(w, "")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", disposition("attachment", fmt.Sprintf("nachricht-%d.eml", m.UID)))
	_, err = io.Copy(w, body)
	if err != nil && r.Context().Err() == nil {
		d.opts.Log.Warn("a mail broke off while it was read", "message", s.Message.String(), "err", err)
	}
	return nil
}
