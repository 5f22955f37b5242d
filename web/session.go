package web

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"

	"doppelboden"
)

// Names of our cookies. The prefix has browsers take them only from this host, over TLS
// and for all paths: a neighbour in the domain can't plant one.
const (
	sessionCookie  = "__Host-session"
	visitCookie    = "__Host-visit" // what the token is made from
	languageCookie = "__Host-language"
)

// tokenField and tokenHeader carry a visitor's token with what changes something.
const (
	tokenField  = "token"
	tokenHeader = "X-Token"
)

// A Visitor is a person with a session.
type Visitor struct {
	Person   int64 // account.PersonID
	Tenant   doppelboden.TenantID
	Mailbox  doppelboden.MailboxID // her own; 0: none
	Address  doppelboden.Address
	Name     string
	Language string // "de", "en" or "": what the browser says
	Needs    string // the step that is left before she is in ("totp", "passkey", …), or ""
}

// Sessions knows the sessions that the rooms have given out.
type Sessions interface {
	// Visitor returns whose session a cookie's value is; NotFound or Policy for one that is
	// unknown or has ended, another code when it can't be told now.
	Visitor(ctx context.Context, cookie string) (Visitor, error)
}

// A Visit is what is known of one request.
type Visit struct {
	Visitor  *Visitor // nil: nobody has logged in
	Language Language
	Session  string // the cookie's value, for the rooms; empty without a session
	Token    string // goes into every form
}

type visitKey struct{}

// VisitOf returns what is known of a request that came through the server.
func VisitOf(r *http.Request) *Visit {
	v, _ := r.Context().Value(visitKey{}).(*Visit)
	if v == nil {
		return &Visit{}
	}
	return v
}

// visited finds out who asks.
func (s *Server) visited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isStatic(r) {
			next.ServeHTTP(w, r)
			return
		}
		v := &Visit{}
		if c, err := r.Cookie(sessionCookie); err == nil && c.Value != "" {
			who, err := s.opts.Sessions.Visitor(r.Context(), c.Value)
			switch {
			case err == nil:
				v.Visitor, v.Session = &who, c.Value
			case doppelboden.CodeOf(err) == doppelboden.NotFound, doppelboden.CodeOf(err) == doppelboden.Policy:
				DropSession(w)
			default:
				v.Language = languageOf(r, nil)
				s.fail(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)), err)
				return
			}
		}
		v.Language = languageOf(r, v.Visitor)
		v.Token = tokenOf(s.visit(w, r))
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
	})
}

// visit returns the secret of a visitor's browser, and gives it one. It is not that of her
// session: a page on which somebody has written for long must be good for sending when her
// session has ended meanwhile and she has logged in again.
func (s *Server) visit(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie(visitCookie); err == nil && len(c.Value) >= 22 {
		return c.Value
	}
	value := rand.Text()
	setCookie(w, visitCookie, value, 0)
	return value
}

// tokenOf makes the token of a browser. Who does not know its cookie can't know it, and no
// neighbour in the domain can plant one; that it needs no key of ours lets forms outlive a
// restart of the node.
func tokenOf(cookie string) string {
	mac := hmac.New(sha256.New, []byte(cookie))
	mac.Write([]byte("doppelboden form token"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// guarded lets what changes something pass only from our own pages, and bounds bodies.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead || s.isOpen(r) {
			next.ServeHTTP(w, r)
			return
		}
		if err := s.origins.Check(r); err != nil {
			s.fail(w, r, errForeign)
			return
		}
		release, cut, err := s.readForm(w, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		defer release()
		if cut {
			r = asCut(r)
		}
		given := r.Header.Get(tokenHeader)
		if given == "" {
			given = r.PostFormValue(tokenField)
		}
		if subtle.ConstantTimeCompare([]byte(given), []byte(VisitOf(r).Token)) != 1 {
			s.fail(w, r, errForeign)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readForm reads the body, and holds a place for a large one until release is called; cut: see
// MountForm. A body never lies in a file: it would be text in clear.
func (s *Server) readForm(w http.ResponseWriter, r *http.Request) (release func(), cut bool, err error) {
	_, pattern := s.mux.Handler(r)
	limit, free := int64(smallBody), func() {}
	if size := s.bodies[pattern]; size > limit && VisitOf(r).Visitor != nil && (r.ContentLength < 0 || r.ContentLength > limit) {
		person := VisitOf(r).Visitor.Person
		if err := s.large.enter(person); err != nil {
			return nil, false, err
		}
		limit, free = size, func() { s.large.leave(person) }
	}
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body, begin := r.Body, &beginning{}
	if s.forms[pattern] {
		r.Body = io.NopCloser(io.TeeReader(body, begin))
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if kind == "multipart/form-data" {
		err = r.ParseMultipartForm(limit + 1)
	} else if kind == "application/x-www-form-urlencoded" {
		err = r.ParseForm()
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) && kind == "multipart/form-data" && s.forms[pattern] && cutForm(r, begin, params["boundary"], body, drained*limit):
		cut, err = true, nil
	case errors.As(err, &tooLarge):
		err = &doppelboden.Error{Code: doppelboden.TooLarge, Public: "what was sent is too large", Cause: err}
	case err != nil:
		err = &doppelboden.Error{Code: doppelboden.Invalid, Public: "the form did not arrive whole", Cause: err}
	}
	if err != nil {
		free()
		return nil, false, err
	}
	return func() {
		if r.MultipartForm != nil {
			_ = r.MultipartForm.RemoveAll()
		}
		free()
	}, cut, nil
}

// SetSession gives the visitor the session that the rooms have made. There is no other way
// to one, so nobody can be talked into a session that somebody else knows.
func SetSession(w http.ResponseWriter, value string) { setCookie(w, sessionCookie, value, 0) }

// DropSession takes the visitor's session from her browser.
func DropSession(w http.ResponseWriter) { setCookie(w, sessionCookie, "", -1) }

// setCookie sets a cookie that no script reads and no other site sends with a form. It
// lasts as long as the browser when age is 0.
func setCookie(w http.ResponseWriter, name, value string, age int) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
