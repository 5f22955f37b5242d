package webmail

import (
	"context"
	"embed"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/city"
	"doppelboden/folder"
	"doppelboden/letter"
	"doppelboden/search"
	"doppelboden/store"
	"doppelboden/web"
)

//go:embed all:templates
var templates embed.FS

// A Box is a mailbox as folder.Box has it.
type Box interface {
	Folders(ctx context.Context) ([]store.Folder, error)
	Look(ctx context.Context, folder int64) (store.Folder, error)
	Shown(ctx context.Context, folder int64, f store.ShownFilter, yield func(store.Shown) error) error
	PutFolder(ctx context.Context, f store.Folder) (store.Folder, error)
	DropFolder(ctx context.Context, folder int64) error
	Change(ctx context.Context, list []store.Change) ([][]store.Changed, error)
	// Read reads a mail as people see it; see folder.Box.Open.
	Read(ctx context.Context, id doppelboden.ID) (io.ReadCloser, error)
	SaveDraft(ctx context.Context, old uint32, r io.Reader, size int64) (uid uint32, err error)
	Send(ctx context.Context, o folder.Outgoing) (folder.Sent, error)
	NewKey() string
}

// People says what a person may open, and in whose name she may write; account.Room.
type People interface {
	Grants(ctx context.Context, p account.PersonID) ([]account.Grant, error)
	MaySend(ctx context.Context, p account.PersonID, a doppelboden.Address) bool
	// Opened is told of every mailbox that somebody opens.
	Opened(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID)
}

// Search is search.Room.
type Search interface {
	Summaries(ctx context.Context, t doppelboden.TenantID, ids []doppelboden.ID) (map[doppelboden.ID]letter.Summary, error)
	Search(ctx context.Context, at []store.Place, q search.Query, yield func(search.Hit) error) error
}

// Options say what the door works with. All must be set unless a default is named.
type Options struct {
	Server    *web.Server
	Open      func(t doppelboden.TenantID, m doppelboden.MailboxID, by string) Box
	People    People
	Search    Search
	Slips     Slips
	Directory func() *city.Directory
	// Standing says what is known of a mailbox now.
	Standing func(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (Standing, error)
	// SetMode notes that a mailbox is used here from now on, or in the groupware; nil: people
	// can't say so here.
	SetMode   func(ctx context.Context, m doppelboden.MailboxID, emergency bool, by string) error
	MostBytes int64 // of a mail with all its attachments
	Log       *slog.Logger
	Clock     func() time.Time // default time.Now
}

// A Door shows mailboxes.
type Door struct {
	opts  Options
	pages *web.Pages
	saves saves
	large *ration
}

// New mounts the pages on the server.
func New(o Options) (*Door, error) {
	if o.Server == nil || o.Open == nil || o.People == nil || o.Search == nil || o.Slips == nil || o.Directory == nil || o.Standing == nil || o.MostBytes <= 0 || o.Log == nil {
		return nil, errors.New("webmail: an option is not set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	d := &Door{opts: o, saves: newSaves(), large: newRation(memoryForMails, memoryOfOne, memoryTime)}
	var err error
	if d.pages, err = o.Server.NewPages(templates, german); err != nil {
		return nil, err
	}
	o.Server.Mount("GET /{$}", o.Server.Handler(d.home))
	for pattern, page := range map[string]page{
		"GET /m/{box}/{$}":                           d.inbox,
		"GET /m/{box}/f/{folder}":                    d.list,
		"POST /m/{box}/f/{folder}":                   d.change,
		"GET /m/{box}/f/{folder}/{uid}":              d.read,
		"GET /m/{box}/f/{folder}/{uid}/html":         d.frame,
		"GET /m/{box}/f/{folder}/{uid}/thread":       d.thread,
		"GET /m/{box}/f/{folder}/{uid}/source":       d.source,
		"GET /m/{box}/f/{folder}/{uid}/part/{path}":  d.download,
		"GET /m/{box}/f/{folder}/{uid}/view/{path}":  d.view,
		"GET /m/{box}/f/{folder}/{uid}/bytes/{path}": d.preview,
		"POST /m/{box}/f/{folder}/{uid}/take":        d.take,
		"POST /m/{box}/f/{folder}/empty":             d.empty,
		"GET /m/{box}/fresh":                         d.fresh,
		"GET /m/{box}/search":                        d.search,
		"GET /m/{box}/compose":                       d.compose,
		"GET /m/{box}/complete":                      d.complete,
		"GET /m/{box}/book":                          d.book,
		"GET /m/{box}/folders":                       d.folders,
		"POST /m/{box}/folders":                      d.putFolder,
		"GET /m/{box}/settings":                      d.settings,
		"POST /m/{box}/settings":                     d.saveSettings,
		"POST /m/{box}/mode":                         d.setMode,
		"GET /m/{box}/absence":                       d.away,
		"POST /m/{box}/absence":                      d.saveAway,
	} {
		o.Server.Mount(pattern, d.with(page))
	}
	// Base64 makes a third more of it.
	o.Server.MountForm("POST /m/{box}/compose", o.MostBytes*3/4, d.keepingText(d.with(d.write)))
	o.Server.MountLarge("POST /m/{box}/compose/auto", o.MostBytes*3/4, d.with(d.autosave))
	return d, nil
}

// A desk is what one request works with: a person at a mailbox that she may open.
type desk struct {
	*web.Visit
	grant  account.Grant
	grants []account.Grant
	box    Box
	base   string // path of the mailbox, such as "/m/12"
}

// A page answers a request for a mailbox.
type page func(w http.ResponseWriter, r *http.Request, k *desk) error

// with finds out whether the visitor may open the mailbox, and has the page answer.
func (d *Door) with(p page) http.Handler {
	return d.opts.Server.Handler(func(w http.ResponseWriter, r *http.Request) error {
		k, err := d.desk(r, r.PathValue("box"))
		if err != nil {
			return err
		}
		err = p(w, r, k)
		if old := (*renewed)(nil); errors.As(err, &old) {
			k.toList(w, r, old.folder)
			return nil
		}
		return err
	})
}

// desk returns what a request works with. Who may not open the mailbox hears the same as
// for one that does not exist.
func (d *Door) desk(r *http.Request, box string) (*desk, error) {
	v := web.VisitOf(r)
	if v.Visitor == nil || v.Visitor.Needs != "" {
		return nil, web.ErrLogIn
	}
	grants, err := d.opts.People.Grants(r.Context(), account.PersonID(v.Visitor.Person))
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseInt(box, 10, 64)
	if err != nil {
		return nil, web.ErrNotFound
	}
	now := d.opts.Clock()
	for _, g := range grants {
		if int64(g.Mailbox) != number || !g.Until.IsZero() && now.After(g.Until) {
			continue
		}
		d.opts.People.Opened(r.Context(), v.Visitor.Tenant, g.Mailbox)
		by := "person:" + strconv.FormatInt(v.Visitor.Person, 10)
		return &desk{Visit: v, grant: g, grants: grants, base: "/m/" + box,
			box: d.opts.Open(v.Visitor.Tenant, g.Mailbox, by)}, nil
	}
	return nil, web.ErrNotFound
}

// home leads to the visitor's own mailbox.
func (d *Door) home(w http.ResponseWriter, r *http.Request) error {
	v := web.VisitOf(r)
	if v.Visitor == nil || v.Visitor.Needs != "" {
		return web.ErrLogIn
	}
	grants, err := d.opts.People.Grants(r.Context(), account.PersonID(v.Visitor.Person))
	if err != nil {
		return err
	}
	if len(grants) == 0 {
		return web.ErrNotFound
	}
	http.Redirect(w, r, "/m/"+strconv.FormatInt(int64(grants[0].Mailbox), 10)+"/f/1", http.StatusSeeOther)
	return nil
}

// inbox leads to the inbox of a mailbox.
func (d *Door) inbox(w http.ResponseWriter, r *http.Request, k *desk) error {
	http.Redirect(w, r, k.base+"/f/1", http.StatusSeeOther)
	return nil
}

// at reads the folder and the mail of a path. Whether the folder is still the same is for
// desk.mailAt.
func at(r *http.Request) (folder int64, m mark, err error) {
	folder, err = strconv.ParseInt(r.PathValue("folder"), 10, 64)
	if err != nil || folder < 1 {
		return 0, mark{}, web.ErrNotFound
	}
	if text := r.PathValue("uid"); text != "" {
		if m = parseMark(text); m.UID == 0 {
			return 0, mark{}, web.ErrNotFound
		}
	}
	return folder, m, nil
}
