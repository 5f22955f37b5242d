package people

import (
	"html/template"
	"net/http"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/harvest"
	"doppelboden/web"
)

var vouchPage = web.Page{Title: "Vouch for your people"}

// A row is one of the people for whom somebody may vouch.
type row struct {
	account.Person
	Ready bool // she could log in now
}

// charges returns who is logged in and for whom she may vouch. For somebody who is nobody's
// head there is no such page.
func (d *Door) charges(r *http.Request) (*web.Visit, account.Person, account.Charges, error) {
	v, err := whole(r)
	if err != nil {
		return nil, account.Person{}, account.Charges{}, err
	}
	p, ok := d.room.PersonOf(account.PersonID(v.Visitor.Person))
	if !ok {
		return nil, p, account.Charges{}, web.ErrLogIn
	}
	charges, err := d.room.ChargesOf(r.Context(), p)
	if err != nil {
		return nil, p, charges, err
	}
	if charges.None() {
		return nil, p, charges, web.ErrNotFound
	}
	return v, p, charges, nil
}

// vouchData is what a head sees: her people, and who of them could log in.
func (d *Door) vouchData(r *http.Request, p account.Person, charges account.Charges) (map[string]any, error) {
	ready, err := d.room.Readiness(r.Context(), p.Tenant)
	if err != nil {
		return nil, err
	}
	missing := map[account.PersonID]bool{}
	for _, dep := range ready {
		for _, m := range dep.Missing {
			missing[m.ID] = true
		}
	}
	var rows []row
	for _, one := range d.room.People(p.Tenant, "*") {
		if charges.Has(one.Department) && one.ID != p.ID {
			rows = append(rows, row{one, !missing[one.ID]})
		}
	}
	return map[string]any{"People": rows}, nil
}

func (d *Door) vouchForm(w http.ResponseWriter, r *http.Request) error {
	_, p, charges, err := d.charges(r)
	if err != nil {
		return err
	}
	page := vouchPage
	if page.Data, err = d.vouchData(r, p, charges); err != nil {
		return err
	}
	d.pages.Show(w, r, http.StatusOK, "vouch", page)
	return nil
}

func (d *Door) vouch(w http.ResponseWriter, r *http.Request) error {
	v, p, charges, err := d.charges(r)
	if err != nil {
		return err
	}
	whom, err := doppelboden.ParseAddress(r.PostFormValue("address"))
	if err != nil {
		return err
	}
	sheet, err := d.room.Vouch(r.Context(), v.Session, whom)
	if err != nil {
		data, other := d.vouchData(r, p, charges)
		if other != nil {
			return err
		}
		data["Second"] = doppelboden.CodeOf(err) == doppelboden.Policy // who has no second key yet must find where to get one
		return d.again(w, r, err, "vouch", vouchPage, data)
	}
	square, err := account.QR(sheet.Link())
	if err != nil {
		return err
	}
	d.pages.Show(w, r, http.StatusOK, "vouched", web.Page{Title: "A code for one person",
		Data: map[string]any{"Sheet": sheet, "QR": template.HTML(square)}}) // ours, and none of it came from others
	return nil
}

// readiness shows how many could log in and how complete mailboxes are, and to whom it
// concerns, who could not and which are not.
func (d *Door) readiness(w http.ResponseWriter, r *http.Request) error {
	_, p, charges, err := d.charges(r)
	if err != nil {
		return err
	}
	prepared, err := d.room.Prepared(r.Context(), p.Tenant)
	if err != nil {
		return err
	}
	total := account.Department{}
	var shown []account.Department
	for _, dep := range prepared.Departments {
		if !charges.Has(dep.Department) {
			continue
		}
		total.People += dep.People
		total.Ready.Ready += dep.Ready.Ready
		total.InAttack += dep.InAttack
		total.Mailboxes += dep.Mailboxes
		total.Complete += dep.Complete
		shown = append(shown, dep)
	}
	d.pages.Show(w, r, http.StatusOK, "readiness", web.Page{Title: "Who is ready", Data: map[string]any{
		"Departments": shown, "Total": &total, "Gaps": prepared.Gaps, "Parts": partTexts, "Whys": whyTexts}})
	return nil
}

// partTexts say what part of a mailbox is not complete.
var partTexts = map[string]string{
	harvest.PartInbox:    "Mail from the Internet",
	harvest.PartInternal: "Mail from colleagues",
	harvest.PartSent:     "Sent mail",
}

// whyTexts say why.
var whyTexts = map[string]string{
	harvest.WhyNothing: "missing: no way is configured",
	harvest.WhyNew:     "no mail has come yet",
	harvest.WhyPart:    "without mail to colleagues",
	harvest.WhyRounds:  "not read lately",
	harvest.WhyFilling: "is being filled",
	harvest.WhyStale:   "not read lately",
	harvest.WhyTrouble: "cannot be read",
	harvest.WhySilent:  "nothing reported lately",
	harvest.WhyStopped: "reading is stopped",
}
