package people

import (
	"context"
	"embed"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/web"
)

//go:embed all:templates
var templates embed.FS

// deviceCookie says that people have logged in from this browser before; see account.
const deviceCookie = "__Host-device"

// deviceAge is how long a browser keeps it, in seconds; account decides what it is worth.
const deviceAge = 180 * 24 * 3600

// Programs say where mail programs connect to.
type Programs struct {
	Host    string // which the certificate has
	IMAP    int    // the port, with TLS from the start; 0: programs are not let in
	SMTP    int    // the port; 0: they can't send
	SMTPTLS bool   // from the start, else STARTTLS
}

// A Door lets people in.
type Door struct {
	room     *account.Room
	pages    *web.Pages
	programs func() Programs
}

// New mounts the pages on the server. programs is asked for each page, for ports may be known
// late.
func New(s *web.Server, room *account.Room, programs func() Programs) (*Door, error) {
	d := &Door{room: room, programs: programs}
	var err error
	if d.pages, err = s.NewPages(templates, german); err != nil {
		return nil, err
	}
	for pattern, f := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /login":                 d.logInForm,
		"POST /login":                d.logIn,
		"GET /login/second":          d.secondForm,
		"POST /login/second":         d.second,
		"POST /login/passkey/begin":  d.beginLogIn,
		"POST /login/passkey/finish": d.finishLogIn,
		"POST /logout":               d.logOut,
		"GET /enrol":                 d.codeForm,
		"POST /enrol":                d.code,
		"GET /enrol/password":        d.passwordForm,
		"POST /enrol/password":       d.password,
		"GET /enrol/second":          d.factorForm,
		"POST /enrol/second":         d.factor,
		"POST /enrol/passkey/begin":  d.beginPasskey,
		"POST /enrol/passkey/finish": d.finishPasskey,
		"GET /account":               d.self,
		"POST /account/revoke":       d.revoke,
		"POST /account/app":          d.app,
		"POST /account/out":          d.outEverywhere,
		"GET /vouch":                 d.vouchForm,
		"POST /vouch":                d.vouch,
		"GET /readiness":             d.readiness,
	} {
		s.Mount(pattern, s.Handler(f))
	}
	return d, nil
}

// Sessions are the sessions of a room, as the server asks for them.
type Sessions struct{ Room *account.Room }

// needsOpen is what a session needs whose door is closed now: an event.
const needsOpen = "closed"

// Visitor implements web.Sessions.
func (s Sessions) Visitor(ctx context.Context, cookie string) (web.Visitor, error) {
	got, err := s.Room.Session(ctx, cookie)
	if err != nil {
		return web.Visitor{}, err
	}
	p := got.Person
	v := web.Visitor{Person: int64(p.ID), Tenant: p.Tenant, Mailbox: p.Mailbox, Address: p.Address, Name: p.Name, Language: p.Language, Needs: got.Needs}
	if v.Needs == account.NeedsNothing && !s.Room.Open(p.Tenant, account.DoorWeb) {
		v.Needs = needsOpen
	}
	return v, nil
}

// attempt is what a request says of who wants to be let in.
func attempt(r *http.Request) account.Attempt {
	a := account.Attempt{Door: account.DoorWeb, Agent: r.UserAgent()}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		a.Peer = at.Addr()
	}
	if c, err := r.Cookie(deviceCookie); err == nil {
		a.Device = c.Value
	}
	return a
}

// follow gives the visitor her session and leads her to what it needs next.
func (d *Door) follow(w http.ResponseWriter, l account.Login, to string) string {
	web.SetSession(w, l.Session)
	if l.Device != "" {
		http.SetCookie(w, &http.Cookie{Name: deviceCookie, Value: l.Device, Path: "/", MaxAge: deviceAge,
			Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	return after(l.Needs, to)
}

// after returns the path of the next step.
func after(needs, to string) string {
	path := to
	switch needs {
	case account.NeedsTOTP, account.NeedsPasskey:
		path = "/login/second"
	case account.NeedsEnrol, account.NeedsPassword:
		return "/enrol/password"
	case account.NeedsSecond:
		return "/enrol/second"
	case account.NeedsNothing:
		if path == "" {
			path = "/"
		}
		return path
	default:
		return "/login"
	}
	if to != "" {
		path += "?to=" + url.QueryEscape(to)
	}
	return path
}

// local returns a path of ours that somebody is to be led to, or "" when it could lead to
// another site.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || len(to) > 500 || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") ||
		u.Host != "" || u.Scheme != "" || strings.HasPrefix(u.Path, "//") || strings.HasPrefix(u.Path, "/log") {
		return ""
	}
	return to
}

// again shows a form once more with what was wrong, or hands the error on.
func (d *Door) again(w http.ResponseWriter, r *http.Request, err error, name string, page web.Page, data map[string]any) error {
	text := web.Said(web.VisitOf(r).Language, err)
	if text == "" {
		return err
	}
	status := http.StatusUnprocessableEntity
	switch doppelboden.CodeOf(err) {
	case doppelboden.Busy:
		status = http.StatusTooManyRequests
	case doppelboden.Policy:
		status = http.StatusForbidden
	}
	data["Error"] = text
	page.Data = data
	d.pages.Show(w, r, status, name, page)
	return nil
}

// visitor returns who is logged in, whatever her session needs.
func visitor(r *http.Request) (*web.Visit, error) {
	v := web.VisitOf(r)
	if v.Visitor == nil {
		return nil, web.ErrLogIn
	}
	return v, nil
}

// whole returns who is logged in with nothing left to show; the doors may be closed.
func whole(r *http.Request) (*web.Visit, error) {
	v, err := visitor(r)
	if err != nil {
		return nil, err
	}
	if v.Visitor.Needs != account.NeedsNothing && v.Visitor.Needs != needsOpen {
		return nil, web.ErrLogIn
	}
	return v, nil
}
