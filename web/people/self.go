package people

import (
	"net/http"
	"strconv"

	"doppelboden/account"
	"doppelboden/web"
)

var selfPage = web.Page{Title: "How you log in"}

// selfData is what somebody sees of how she logs in.
func (d *Door) selfData(r *http.Request, v *web.Visit) (map[string]any, error) {
	p, ok := d.room.PersonOf(account.PersonID(v.Visitor.Person))
	if !ok {
		return nil, web.ErrLogIn
	}
	ways, err := d.room.Ways(r.Context(), p, true)
	if err != nil {
		return nil, err
	}
	charges, err := d.room.ChargesOf(r.Context(), p)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Ways": ways, "Vouches": !charges.None(), "Open": v.Visitor.Needs == account.NeedsNothing,
		"Programs": d.programs(), "User": p.Address.String()}, nil
}

func (d *Door) self(w http.ResponseWriter, r *http.Request) error {
	v, err := whole(r)
	if err != nil {
		return err
	}
	data, err := d.selfData(r, v)
	if err != nil {
		return err
	}
	page := selfPage
	data["Ended"] = endedOf(r)
	page.Data = data
	d.pages.Show(w, r, http.StatusOK, "self", page)
	return nil
}

// selfAgain shows the page with what was wrong.
func (d *Door) selfAgain(w http.ResponseWriter, r *http.Request, v *web.Visit, wrong error) error {
	data, err := d.selfData(r, v)
	if err != nil {
		return err
	}
	return d.again(w, r, wrong, "self", selfPage, data)
}

func (d *Door) revoke(w http.ResponseWriter, r *http.Request) error {
	v, err := whole(r)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(r.PostFormValue("way"), 10, 64)
	if err != nil {
		return web.ErrNotFound
	}
	if err := d.room.Revoke(r.Context(), v.Session, id); err != nil {
		return d.selfAgain(w, r, v, err)
	}
	http.Redirect(w, r, "/account", http.StatusSeeOther)
	return nil
}

// app makes a password for a program and shows it, once.
func (d *Door) app(w http.ResponseWriter, r *http.Request) error {
	v, err := whole(r)
	if err != nil {
		return err
	}
	password, err := d.room.NewApp(r.Context(), v.Session, r.PostFormValue("label"))
	if err != nil {
		return d.selfAgain(w, r, v, err)
	}
	page := selfPage
	data, err := d.selfData(r, v)
	if err != nil {
		return err
	}
	data["App"] = password
	page.Data = data
	d.pages.Show(w, r, http.StatusOK, "self", page)
	return nil
}

func (d *Door) outEverywhere(w http.ResponseWriter, r *http.Request) error {
	v, err := whole(r)
	if err != nil {
		return err
	}
	if _, err := d.room.LogOutEverywhere(r.Context(), v.Session); err != nil {
		return err
	}
	http.Redirect(w, r, "/account", http.StatusSeeOther)
	return nil
}
