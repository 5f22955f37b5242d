package people

import (
	"encoding/json"
	"errors"
	"net/http"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/web"
)

var logInPage = web.Page{Title: "Log in"}

func (d *Door) logInForm(w http.ResponseWriter, r *http.Request) error {
	to := local(r.URL.Query().Get("to"))
	data := map[string]any{"To": to}
	if v := web.VisitOf(r); v.Visitor != nil {
		if v.Visitor.Needs != needsOpen {
			http.Redirect(w, r, after(v.Visitor.Needs, to), http.StatusSeeOther)
			return nil
		}
		d.pages.Show(w, r, http.StatusOK, "closed", web.Page{Title: "You are ready"})
		return nil
	}
	page := logInPage
	page.Data = data
	d.pages.Show(w, r, http.StatusOK, "login", page)
	return nil
}

func (d *Door) logIn(w http.ResponseWriter, r *http.Request) error {
	a := attempt(r)
	a.User, a.Password = r.PostFormValue("user"), r.PostFormValue("password")
	to := local(r.PostFormValue("to"))
	l, err := d.room.LogIn(r.Context(), a)
	if err != nil {
		return d.again(w, r, err, "login", logInPage, map[string]any{"To": to, "User": a.User})
	}
	http.Redirect(w, r, d.follow(w, l, to), http.StatusSeeOther)
	return nil
}

func (d *Door) logOut(w http.ResponseWriter, r *http.Request) error {
	if v := web.VisitOf(r); v.Session != "" {
		if err := d.room.LogOut(r.Context(), v.Session); err != nil {
			return err
		}
	}
	web.DropSession(w)
	http.Redirect(w, r, web.LogInPath, http.StatusSeeOther)
	return nil
}

var secondPage = web.Page{Title: "One more step"}

func (d *Door) secondForm(w http.ResponseWriter, r *http.Request) error {
	v, err := visitor(r)
	if err != nil {
		return err
	}
	to := local(r.URL.Query().Get("to"))
	if v.Visitor.Needs != account.NeedsTOTP && v.Visitor.Needs != account.NeedsPasskey {
		http.Redirect(w, r, after(v.Visitor.Needs, to), http.StatusSeeOther)
		return nil
	}
	page := secondPage
	page.Data = map[string]any{"To": to, "TOTP": v.Visitor.Needs == account.NeedsTOTP}
	d.pages.Show(w, r, http.StatusOK, "second", page)
	return nil
}

func (d *Door) second(w http.ResponseWriter, r *http.Request) error {
	v, err := visitor(r)
	if err != nil {
		return err
	}
	to := local(r.PostFormValue("to"))
	l, err := d.room.Step(r.Context(), v.Session, account.NeedsTOTP, r.PostFormValue("totp"))
	if err != nil {
		return d.again(w, r, err, "second", secondPage, map[string]any{"To": to, "TOTP": true})
	}
	http.Redirect(w, r, d.follow(w, l, to), http.StatusSeeOther)
	return nil
}

// A ceremony is what a script asks the browser's keys.
type ceremony struct {
	Name    string          `json:"name"`
	Options json.RawMessage `json:"options"`
}

// An answer is what a script brings back.
type answer struct {
	Name     string          `json:"name"`
	Label    string          `json:"label"`
	To       string          `json:"to"`
	Response json.RawMessage `json:"response"`
}

// outcome is what a script is told: where to go, or what was wrong.
type outcome struct {
	To    string `json:"to,omitempty"`
	Error string `json:"error,omitempty"`
}

// page is the address under which the visitor sees us. Passkeys belong to it.
func page(r *http.Request) string { return "https://" + r.Host }

func (d *Door) beginLogIn(w http.ResponseWriter, r *http.Request) error {
	name, options, err := d.room.BeginPasskeyLogin(r.Context(), page(r))
	return d.asks(w, r, name, options, err)
}

func (d *Door) finishLogIn(w http.ResponseWriter, r *http.Request) error {
	got, err := read(r)
	if err != nil {
		return err
	}
	l, err := d.room.LogInPasskey(r.Context(), attempt(r), page(r), got.Name, got.Response)
	return d.ends(w, r, l, got.To, err)
}

// asks writes what the browser's keys are asked.
func (d *Door) asks(w http.ResponseWriter, r *http.Request, name string, options []byte, err error) error {
	if err != nil {
		return d.ends(w, r, account.Login{}, "", err)
	}
	return write(w, http.StatusOK, ceremony{name, options})
}

// ends tells a script how it ended.
func (d *Door) ends(w http.ResponseWriter, r *http.Request, l account.Login, to string, err error) error {
	switch text := web.Said(web.VisitOf(r).Language, err); {
	case err == nil:
		return write(w, http.StatusOK, outcome{To: d.follow(w, l, local(to))})
	case errors.Is(err, web.ErrLogIn) || doppelboden.CodeOf(err) == doppelboden.NotFound:
		return write(w, http.StatusOK, outcome{To: web.LogInPath})
	case text != "":
		return write(w, http.StatusForbidden, outcome{Error: text})
	}
	return err
}

func read(r *http.Request) (got answer, err error) {
	if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
		return got, &doppelboden.Error{Code: doppelboden.Invalid, Public: "the request is not JSON", Cause: err}
	}
	return got, nil
}

func write(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who has gone away needs no answer
	return nil
}
