package web

import (
	"errors"
	"net/http"
	"unicode"
	"unicode/utf8"

	"doppelboden"
)

// What handlers return for the usual ends.
var (
	// ErrNotFound is for pages that do not exist, or not for this visitor.
	ErrNotFound = &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such page"}
	// ErrLogIn is for pages that need a session: it leads to the log-in.
	ErrLogIn = errors.New("web: no session")

	errForeign = &doppelboden.Error{Code: doppelboden.Policy, Public: "this form did not come from our own page"}
)

// Handler makes a page of a function that returns what went wrong.
func (s *Server) Handler(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// LogInPath is the page on which people log in. It takes the path to go on with as "to".
const LogInPath = "/login"

// A trouble is what a page of a mistake says.
type trouble struct {
	Heading string
	Next    string // what to do
	Text    string // what the rooms say of it, in the visitor's language, or ""
	Again   string // the address at which to try again, or ""
}

// Said returns what the rooms say of an error to people, in a visitor's language; "" where
// they have only general words for it.
func Said(l Language, err error) string {
	var e *doppelboden.Error
	if !errors.As(err, &e) {
		return ""
	}
	text, ok := said[e.Public]
	if !ok || l != English {
		return text
	}
	first, size := utf8.DecodeRuneInString(e.Public)
	return string(unicode.ToUpper(first)) + e.Public[size:] + "."
}

// fail answers with the page of a mistake.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, ErrLogIn) {
		s.toLogIn(w, r)
		return
	}
	status, page := http.StatusServiceUnavailable, trouble{}
	switch doppelboden.CodeOf(err) {
	case doppelboden.NotFound, doppelboden.NoSuchMailbox:
		status, page.Heading, page.Next = http.StatusNotFound, "This page does not exist (any more)", "Perhaps it was moved or deleted. Go back to your mailbox and look there."
	case doppelboden.Policy, doppelboden.Fenced, doppelboden.OtherTenant, doppelboden.TenantClosed:
		status, page.Heading, page.Next = http.StatusForbidden, "That is not allowed", "If you think that it should be, call your help desk."
		if errors.Is(err, errForeign) {
			page.Heading, page.Next = "This form is too old", "Nothing was changed. Go back, load the page again and repeat it."
		}
	case doppelboden.TooLarge:
		status, page.Heading, page.Next = http.StatusRequestEntityTooLarge, "That is too large", "Send large files in several mails, or make them smaller."
	case doppelboden.Invalid, doppelboden.BadMessage:
		status, page.Heading, page.Next = http.StatusBadRequest, "Something in the form is not right", "Nothing was changed. Go back and correct it."
	case doppelboden.Busy:
		status, page.Heading, page.Next = http.StatusTooManyRequests, "Just now there is too much to do", "Wait a minute and try again. Nothing is lost."
		w.Header().Set("Retry-After", "60")
	default:
		page.Heading, page.Next = "That did not work just now", "Try again in a minute. Mail goes on being received and kept meanwhile."
		w.Header().Set("Retry-After", "30")
		if r.Context().Err() == nil {
			s.opts.Log.Warn("a page could not be shown", "page", r.Pattern, "err", err)
		}
	}
	if status != http.StatusNotFound && status != http.StatusServiceUnavailable {
		page.Text = Said(VisitOf(r).Language, err)
	}
	if r.Method == http.MethodGet && w.Header().Get("Retry-After") != "" {
		page.Again = r.URL.RequestURI()
	}
	s.pages.Show(w, r, status, "trouble", Page{Title: page.Heading, Data: page})
}

// toLogIn leads to the log-in and from there back, where that can be had by going there.
func (s *Server) toLogIn(w http.ResponseWriter, r *http.Request) {
	to := LogInPath
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?to=" + queryEscape(r.URL.RequestURI())
	}
	if r.Header.Get("HX-Request") != "" { // the page stays as it is: somebody may have written on it
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
