package people

import (
	"fmt"
	"html/template"
	"net/http"
	"strconv"

	"doppelboden/account"
	"doppelboden/web"
)

var codePage = web.Page{Title: "Begin with your code"}

// codeForm asks for a code. A sheet's QR code has it in the fragment of its URL, which a
// script puts into the field and takes out of the address.
func (d *Door) codeForm(w http.ResponseWriter, r *http.Request) error {
	page := codePage
	page.Data = map[string]any{}
	d.pages.Show(w, r, http.StatusOK, "enrol", page)
	return nil
}

func (d *Door) code(w http.ResponseWriter, r *http.Request) error {
	a := attempt(r)
	typed := r.PostFormValue("code")
	if _, ok := account.ParseCode(typed); !ok {
		page := codePage
		page.Data = map[string]any{"Code": typed, "Error": d.pages.T(r, "This code cannot be right. Please look at every character once more.")}
		d.pages.Show(w, r, http.StatusUnprocessableEntity, "enrol", page)
		return nil
	}
	a.Password = typed
	l, err := d.room.LogIn(r.Context(), a)
	if err != nil {
		return d.again(w, r, err, "enrol", codePage, map[string]any{"Code": typed})
	}
	http.Redirect(w, r, d.follow(w, l, ""), http.StatusSeeOther)
	return nil
}

var passwordPage = web.Page{Title: "Choose your password"}

func (d *Door) passwordForm(w http.ResponseWriter, r *http.Request) error {
	v, err := visitor(r)
	if err != nil {
		return err
	}
	page := passwordPage
	if page.Data, err = d.passwordData(r, v, true); err != nil {
		return err
	}
	d.pages.Show(w, r, http.StatusOK, "password", page)
	return nil
}

// passwordData is what the page of a new password shows: what else lets somebody in as her,
// and whether that is to end.
func (d *Door) passwordData(r *http.Request, v *web.Visit, ends bool) (map[string]any, error) {
	rest, err := d.room.RestOf(r.Context(), v.Session)
	return map[string]any{"Rest": rest, "Ends": ends}, err
}

func (d *Door) password(w http.ResponseWriter, r *http.Request) error {
	v, err := visitor(r)
	if err != nil {
		return err
	}
	password, rest := r.PostFormValue("password"), r.PostFormValue("rest") != ""
	data, err := d.passwordData(r, v, rest)
	if err != nil {
		return err
	}
	if r.PostFormValue("again") != password {
		page := passwordPage
		data["Error"] = d.pages.T(r, "The two passwords are not the same.")
		page.Data = data
		d.pages.Show(w, r, http.StatusUnprocessableEntity, "password", page)
		return nil
	}
	enrolling := v.Visitor.Needs == account.NeedsEnrol
	l, ended, err := d.room.ChangePassword(r.Context(), v.Session, password, rest)
	if err != nil {
		return d.again(w, r, err, "password", passwordPage, data)
	}
	to := d.follow(w, l, "/account?"+endedQuery(ended))
	if enrolling && l.Needs == account.NeedsNothing {
		to = "/enrol/second?new=1&" + endedQuery(ended) // a second key is offered, and may be left for later
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// endedQuery tells the next page what ended with a changed password.
func endedQuery(e account.Rest) string {
	query := fmt.Sprintf("changed=1&apps=%d&passkeys=%d&codes=%d", e.Apps, e.Passkeys, e.Codes)
	if e.Directory {
		query += "&directory=1"
	}
	return query
}

// endedOf reads what endedQuery wrote; nil when the page does not come after a change.
func endedOf(r *http.Request) *account.Rest {
	q := r.URL.Query()
	if q.Get("changed") == "" {
		return nil
	}
	number := func(name string) int {
		n, _ := strconv.ParseUint(q.Get(name), 10, 16)
		return int(n)
	}
	return &account.Rest{Apps: number("apps"), Passkeys: number("passkeys"), Codes: number("codes"), Directory: q.Get("directory") != ""}
}

var factorPage = web.Page{Title: "A second key"}

func (d *Door) factorForm(w http.ResponseWriter, r *http.Request) error {
	v, err := visitor(r)
	if err != nil {
		return err
	}
	data, err := d.factorData(r, v)
	if err != nil {
		return d.again(w, r, err, "stale", web.Page{Title: "Please log in again"}, map[string]any{})
	}
	page := factorPage
	page.Data = data
	d.pages.Show(w, r, http.StatusOK, "factor", page)
	return nil
}

// factorData is what the page of second keys shows.
func (d *Door) factorData(r *http.Request, v *web.Visit) (map[string]any, error) {
	seed, err := d.room.SetUpTOTP(r.Context(), v.Session)
	if err != nil {
		return nil, err
	}
	square, err := account.QR(seed.URI)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"Seed": seed.Text, "URI": template.URL(seed.URI), "QR": template.HTML(square), // ours, and none of it came from others
		"Ended": endedOf(r),
		"Must":  v.Visitor.Needs == account.NeedsSecond, "New": r.FormValue("new") != "",
	}, nil
}

func (d *Door) factor(w http.ResponseWriter, r *http.Request) error {
	v, err := visitor(r)
	if err != nil {
		return err
	}
	l, err := d.room.Step(r.Context(), v.Session, account.StepSetUpTOTP, r.PostFormValue("totp"))
	if err != nil {
		data, other := d.factorData(r, v)
		if other != nil {
			return err
		}
		return d.again(w, r, err, "factor", factorPage, data)
	}
	to := "/account"
	if r.PostFormValue("new") != "" {
		to = "/"
	}
	http.Redirect(w, r, d.follow(w, l, to), http.StatusSeeOther)
	return nil
}

func (d *Door) beginPasskey(w http.ResponseWriter, r *http.Request) error {
	v, err := visitor(r)
	if err != nil {
		return d.ends(w, r, account.Login{}, "", err)
	}
	name, options, err := d.room.BeginPasskey(r.Context(), v.Session)
	return d.asks(w, r, name, options, err)
}

func (d *Door) finishPasskey(w http.ResponseWriter, r *http.Request) error {
	v, err := visitor(r)
	if err != nil {
		return d.ends(w, r, account.Login{}, "", err)
	}
	got, err := read(r)
	if err != nil {
		return err
	}
	l, err := d.room.FinishPasskey(r.Context(), v.Session, got.Name, got.Label, got.Response)
	if got.To == "" {
		got.To = "/account"
	}
	return d.ends(w, r, l, got.To, err)
}
