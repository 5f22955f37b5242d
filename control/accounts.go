package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/harvest"
	"doppelboden/store"
)

// Accounts is what the commands need of package account; account.Room is one.
type Accounts interface {
	Find(a doppelboden.Address) (account.Person, bool)
	PersonOf(id account.PersonID) (account.Person, bool)
	People(t doppelboden.TenantID, department string) []account.Person
	Sheets(ctx context.Context, people []account.Person, replace bool, by string) ([]account.Sheet, error)
	SendCode(ctx context.Context, p account.Person, number, by string) error
	RevokeCodes(ctx context.Context, people []account.Person, by string) (int, error)
	Ways(ctx context.Context, p account.Person, live bool) ([]account.Way, error)
	RevokeWay(ctx context.Context, p account.Person, id int64, by string) error
	RevokeAll(ctx context.Context, p account.Person, by string) (account.Rest, error)
	SetPassword(ctx context.Context, p account.Person, password, by string) error
	Grants(ctx context.Context, p account.PersonID) ([]account.Grant, error)
	Prepared(ctx context.Context, t doppelboden.TenantID) (account.Prepared, error)
	Belong(ctx context.Context, list []store.Belonging) error
	Unbelong(ctx context.Context, list []store.Belonging) error
	Belongings(ctx context.Context, m doppelboden.MailboxID) ([]store.Belonging, error)
	Appoint(ctx context.Context, p account.Person, role, department, by string) error
	Dismiss(ctx context.Context, p account.Person, role, department, by string) error
	Roles(ctx context.Context, t doppelboden.TenantID, p account.PersonID) ([]store.Role, error)
	OpenDoors(ctx context.Context, t doppelboden.TenantID, until time.Time, by string) error
}

// Whom names people: exactly one of Person, Department and All is set.
type Whom struct {
	Tenant     string   `json:"tenant,omitempty"` // "": the only one; not needed with Person
	Person     []string `json:"person,omitempty"` // addresses
	Department string   `json:"department,omitempty"`
	All        bool     `json:"all,omitempty"`
}

// A CodesAsked says for whom sheets are made.
type CodesAsked struct {
	Whom
	Keep bool `json:"keep,omitempty"` // older sheets stay good
}

// A Sheet is a code for one person, as it is printed.
type Sheet struct {
	Address    string    `json:"address"`
	Name       string    `json:"name,omitempty"`
	Department string    `json:"department,omitempty"`
	Language   string    `json:"language"`
	Code       string    `json:"code"`
	Until      time.Time `json:"until"`
	Page       string    `json:"page"`
}

// A Ready is how many people of a department could log in now without the directory.
type Ready struct {
	account.Department
	Percent int      `json:"percent"`           // of the people, who could log in
	Missing []string `json:"missing,omitempty"` // addresses of those who could not
	// Doubtful are addresses of those who could not in an attack.
	Doubtful []string         `json:"missing_in_attack,omitempty"`
	Partly   []account.Partly `json:"partly,omitempty"` // with names: mailboxes that are complete only in part
	// Nobody are, with names, mailboxes of functions that nobody may open.
	Nobody []string `json:"nobody,omitempty"`
}

// A Member is somebody who may open a mailbox.
type Member struct {
	Mailbox string    `json:"mailbox"`
	Person  string    `json:"person"`
	Kind    string    `json:"kind"` // "function" or "deputy"
	Until   time.Time `json:"until,omitzero"`
	Remove  bool      `json:"remove,omitempty"` // in a change: she may no longer
	Listed  bool      `json:"listed,omitempty"` // the directory says so
}

// An Account is what is known of how a person logs in.
type Account struct {
	Address    string        `json:"address"`
	Name       string        `json:"name,omitempty"`
	Department string        `json:"department,omitempty"`
	Ways       []account.Way `json:"ways"`
	Mailboxes  []Member      `json:"mailboxes"` // that she may open besides her own
	Roles      []Role        `json:"roles"`
}

// A Role is what a person may do for others.
type Role struct {
	Person     string `json:"person"`
	Role       string `json:"role"` // "head" or "admin"
	Department string `json:"department,omitempty"`
	Remove     bool   `json:"remove,omitempty"` // in a change
}

// A Secret is a password that somebody sets for a person.
type Secret struct {
	Person   string `json:"person"`
	Password string `json:"password"`
}

// A Text is an SMS with a code.
type Text struct {
	Person string `json:"person"`
	Number string `json:"number,omitempty"` // "": that of the directory
}

// Doors says until when a tenant's doors are open outside events.
type Doors struct {
	Tenant string    `json:"tenant,omitempty"`
	Until  time.Time `json:"until"`
}

// Codes makes sheets and yields them. Their codes cannot be read again.
func (c *Client) Codes(ctx context.Context, asked CodesAsked, yield func(Sheet) error) error {
	body, err := json.Marshal(asked)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	return c.ask(ctx, "POST", "/accounts/codes", url.Values{}, body, each(yield), new(struct{}))
}

// RevokeCodes ends the codes of people that were not used yet, and returns how many.
func (c *Client) RevokeCodes(ctx context.Context, w Whom) (int, error) {
	var n int
	err := c.post(ctx, "/accounts/revoke", w, &n)
	return n, err
}

// SendCode sends a code to a person's telephone.
func (c *Client) SendCode(ctx context.Context, t Text) error {
	return c.post(ctx, "/accounts/sms", t, new(struct{}))
}

// SetPassword gives a person a password.
func (c *Client) SetPassword(ctx context.Context, s Secret) error {
	return c.post(ctx, "/accounts/password", s, new(struct{}))
}

// Account says how a person logs in.
func (c *Client) Account(ctx context.Context, address string) (Account, error) {
	var got Account
	err := c.ask(ctx, "GET", "/accounts/show", url.Values{"address": {address}}, nil, nil, &got)
	return got, err
}

// RevokeWay ends one way by which a person logs in.
func (c *Client) RevokeWay(ctx context.Context, address string, way int64) error {
	return c.post(ctx, "/accounts/end", struct {
		Person string `json:"person"`
		Way    int64  `json:"way"`
	}{address, way}, new(struct{}))
}

// RevokeAll ends everything by which a person logs in, and returns what ended besides her
// password.
func (c *Client) RevokeAll(ctx context.Context, address string) (account.Rest, error) {
	var ended account.Rest
	err := c.post(ctx, "/accounts/end/all", struct {
		Person string `json:"person"`
	}{address}, &ended)
	return ended, err
}

// Readiness yields for each department how many people could log in now, and how complete
// mailboxes are; with names which are not. It returns the routes at which mail between
// colleagues does not come into emergency mailboxes.
func (c *Client) Readiness(ctx context.Context, tenant string, names bool, yield func(Ready) error) ([]harvest.Gap, error) {
	var gaps []harvest.Gap
	query := url.Values{"tenant": {tenant}}
	if names {
		query.Set("names", "true")
	}
	err := c.ask(ctx, "GET", "/accounts/readiness", query, nil, each(yield), &gaps)
	return gaps, err
}

// Members yields who may open a mailbox besides its owner.
func (c *Client) Members(ctx context.Context, mailbox string, yield func(Member) error) error {
	return c.ask(ctx, "GET", "/accounts/members", url.Values{"address": {mailbox}}, nil, each(yield), new(struct{}))
}

// ChangeMembers adds and removes people who may open mailboxes: all of them or none.
func (c *Client) ChangeMembers(ctx context.Context, list []Member) error {
	return c.post(ctx, "/accounts/members", list, new(struct{}))
}

// Roles yields the roles of a tenant's people.
func (c *Client) Roles(ctx context.Context, tenant string, yield func(Role) error) error {
	return c.ask(ctx, "GET", "/accounts/roles", url.Values{"tenant": {tenant}}, nil, each(yield), new(struct{}))
}

// ChangeRole gives a person a role, or takes it.
func (c *Client) ChangeRole(ctx context.Context, r Role) error {
	return c.post(ctx, "/accounts/roles", r, new(struct{}))
}

// OpenDoors keeps a tenant's doors open until a time.
func (c *Client) OpenDoors(ctx context.Context, asked Doors) error {
	return c.post(ctx, "/accounts/doors", asked, new(struct{}))
}

// decode reads what a command asks for.
func decode(c *call, into any) error {
	if err := json.NewDecoder(c.body).Decode(into); err != nil {
		return invalid("the request is not JSON")
	}
	return nil
}

// person returns somebody by an address that a person wrote.
func (d *Desk) person(address string) (account.Person, error) {
	a, err := doppelboden.ParseAddress(address)
	if err != nil {
		return account.Person{}, err
	}
	p, ok := d.opts.Accounts.Find(a)
	if !ok {
		return p, refuse("%s is not the mailbox of a person", a.String())
	}
	return p, nil
}

// whom returns the people that a command names.
func (d *Desk) whom(w Whom) ([]account.Person, error) {
	if len(w.Person) > 0 {
		var people []account.Person
		for _, address := range w.Person {
			p, err := d.person(address)
			if err != nil {
				return nil, err
			}
			people = append(people, p)
		}
		return people, nil
	}
	if w.Department == "" && !w.All {
		return nil, refuse("say for whom: --person, --department or --all")
	}
	t, err := theTenant(d.opts.House.Directory(), w.Tenant)
	if err != nil {
		return nil, err
	}
	department := w.Department
	if w.All {
		department = "*"
	}
	people := d.opts.Accounts.People(t, department)
	if len(people) == 0 {
		return nil, refuse("nobody is in the department %s", w.Department)
	}
	return people, nil
}

func (d *Desk) codes(ctx context.Context, c *call) (any, error) {
	var asked CodesAsked
	if err := decode(c, &asked); err != nil {
		return nil, err
	}
	people, err := d.whom(asked.Whom)
	if err != nil {
		return nil, err
	}
	// Who hangs up now must not leave old sheets dead and new ones unprinted without a word
	// in the ledger.
	sheets, err := d.opts.Accounts.Sheets(context.WithoutCancel(ctx), people, !asked.Keep, c.by)
	if err != nil {
		return nil, err
	}
	d.opts.Log.InfoContext(ctx, "codes were made", "people", len(sheets), "by", c.by)
	for _, s := range sheets {
		p := s.Person
		err := c.item(Sheet{Address: p.Address.String(), Name: p.Name, Department: p.Department, Language: p.Language, Code: s.Code, Until: s.Until, Page: s.Page})
		if err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

func (d *Desk) revokeCodes(ctx context.Context, c *call) (any, error) {
	var asked Whom
	if err := decode(c, &asked); err != nil {
		return nil, err
	}
	people, err := d.whom(asked)
	if err != nil {
		return nil, err
	}
	return d.opts.Accounts.RevokeCodes(context.WithoutCancel(ctx), people, c.by)
}

func (d *Desk) sendCode(ctx context.Context, c *call) (any, error) {
	var asked Text
	if err := decode(c, &asked); err != nil {
		return nil, err
	}
	p, err := d.person(asked.Person)
	if err != nil {
		return nil, err
	}
	return struct{}{}, d.opts.Accounts.SendCode(ctx, p, asked.Number, c.by)
}

func (d *Desk) setPassword(ctx context.Context, c *call) (any, error) {
	var asked Secret
	if err := decode(c, &asked); err != nil {
		return nil, err
	}
	p, err := d.person(asked.Person)
	if err != nil {
		return nil, err
	}
	return struct{}{}, d.opts.Accounts.SetPassword(ctx, p, asked.Password, c.by)
}

func (d *Desk) showAccount(ctx context.Context, c *call) (any, error) {
	p, err := d.person(c.query.Get("address"))
	if err != nil {
		return nil, err
	}
	got := Account{Address: p.Address.String(), Name: p.Name, Department: p.Department, Mailboxes: []Member{}, Roles: []Role{}}
	if got.Ways, err = d.opts.Accounts.Ways(ctx, p, false); err != nil {
		return nil, err
	}
	grants, err := d.opts.Accounts.Grants(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	for _, g := range grants {
		if g.Kind != account.GrantOwn {
			got.Mailboxes = append(got.Mailboxes, Member{Mailbox: g.Address.String(), Person: got.Address, Kind: g.Kind, Until: g.Until})
		}
	}
	roles, err := d.opts.Accounts.Roles(ctx, p.Tenant, p.ID)
	for _, r := range roles {
		got.Roles = append(got.Roles, Role{Person: got.Address, Role: r.Name, Department: r.Department})
	}
	return got, err
}

func (d *Desk) revokeWay(ctx context.Context, c *call) (any, error) {
	var asked struct {
		Person string `json:"person"`
		Way    int64  `json:"way"`
	}
	if err := decode(c, &asked); err != nil {
		return nil, err
	}
	p, err := d.person(asked.Person)
	if err != nil {
		return nil, err
	}
	return struct{}{}, d.opts.Accounts.RevokeWay(ctx, p, asked.Way, c.by)
}

func (d *Desk) revokeAll(ctx context.Context, c *call) (any, error) {
	var asked struct {
		Person string `json:"person"`
	}
	if err := decode(c, &asked); err != nil {
		return nil, err
	}
	p, err := d.person(asked.Person)
	if err != nil {
		return nil, err
	}
	return d.opts.Accounts.RevokeAll(context.WithoutCancel(ctx), p, c.by)
}

func (d *Desk) readiness(ctx context.Context, c *call) (any, error) {
	t, err := theTenant(d.opts.House.Directory(), c.query.Get("tenant"))
	if err != nil {
		return nil, err
	}
	prepared, err := d.opts.Accounts.Prepared(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, one := range prepared.Departments {
		r := Ready{Department: one, Percent: one.Percent()}
		for _, p := range one.Missing {
			r.Missing = append(r.Missing, p.Address.String())
		}
		for _, p := range one.Doubtful {
			r.Doubtful = append(r.Doubtful, p.Address.String())
		}
		if c.query.Get("names") != "" {
			r.Partly = one.Partly
			for _, m := range one.Nobody {
				r.Nobody = append(r.Nobody, m.Address.String())
			}
		}
		if err := c.item(r); err != nil {
			return nil, err
		}
	}
	return append([]harvest.Gap{}, prepared.Gaps...), nil // never null, which would be no answer
}

func (d *Desk) listMembers(ctx context.Context, c *call) (any, error) {
	m, err := d.mailboxNamed(c.query.Get("address"))
	if err != nil {
		return nil, err
	}
	list, err := d.opts.Accounts.Belongings(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	for _, b := range list {
		one := Member{Mailbox: m.Address.String(), Kind: b.Kind, Until: b.Until}
		if p, ok := d.opts.Accounts.PersonOf(account.PersonID(b.Person)); ok {
			one.Person = p.Address.String()
		} else {
			one.Person = fmt.Sprintf("#%d", b.Person) // she has left
		}
		if err := c.item(one); err != nil {
			return nil, err
		}
	}
	if m.Kind != doppelboden.Function {
		return struct{}{}, nil
	}
	for _, a := range m.Members {
		if err := c.item(Member{Mailbox: m.Address.String(), Person: a.String(), Kind: account.GrantFunction, Listed: true}); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

// mailboxNamed returns a mailbox by an address that a person wrote.
func (d *Desk) mailboxNamed(address string) (doppelboden.Mailbox, error) {
	a, err := doppelboden.ParseAddress(address)
	if err != nil {
		return doppelboden.Mailbox{}, err
	}
	dir := d.opts.House.Directory()
	id, ok := dir.Holder(a)
	if !ok {
		return doppelboden.Mailbox{}, notFound("no mailbox has this address")
	}
	m, _ := dir.Mailbox(id)
	return m, nil
}

func (d *Desk) changeMembers(ctx context.Context, c *call) (any, error) {
	var asked []Member
	if err := decode(c, &asked); err != nil {
		return nil, err
	}
	var add, remove []store.Belonging
	for _, one := range asked {
		m, err := d.mailboxNamed(one.Mailbox)
		if err != nil {
			return nil, err
		}
		p, err := d.person(one.Person)
		if err != nil {
			return nil, err
		}
		b := store.Belonging{Tenant: m.Tenant, Mailbox: m.ID, Person: p.Mailbox, Kind: one.Kind, Until: one.Until, By: c.by, At: d.opts.Clock()}
		if one.Remove {
			remove = append(remove, b)
		} else {
			add = append(add, b)
		}
	}
	if len(remove) > 0 {
		if err := d.opts.Accounts.Unbelong(ctx, remove); err != nil {
			return nil, err
		}
	}
	if len(add) > 0 {
		return struct{}{}, d.opts.Accounts.Belong(ctx, add)
	}
	return struct{}{}, nil
}

func (d *Desk) listRoles(ctx context.Context, c *call) (any, error) {
	t, err := theTenant(d.opts.House.Directory(), c.query.Get("tenant"))
	if err != nil {
		return nil, err
	}
	roles, err := d.opts.Accounts.Roles(ctx, t, 0)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		p, ok := d.opts.Accounts.PersonOf(account.PersonID(r.Person))
		if !ok {
			continue // she has left
		}
		if err := c.item(Role{Person: p.Address.String(), Role: r.Name, Department: r.Department}); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

func (d *Desk) changeRole(ctx context.Context, c *call) (any, error) {
	var asked Role
	if err := decode(c, &asked); err != nil {
		return nil, err
	}
	p, err := d.person(asked.Person)
	if err != nil {
		return nil, err
	}
	department := strings.TrimSpace(asked.Department)
	if asked.Remove {
		return struct{}{}, d.opts.Accounts.Dismiss(ctx, p, asked.Role, department, c.by)
	}
	if department != "" && len(d.opts.Accounts.People(p.Tenant, department)) == 0 {
		return nil, refuse("nobody is in the department %s", department)
	}
	return struct{}{}, d.opts.Accounts.Appoint(ctx, p, asked.Role, department, c.by)
}

func (d *Desk) openDoors(ctx context.Context, c *call) (any, error) {
	var asked Doors
	if err := decode(c, &asked); err != nil {
		return nil, err
	}
	t, err := theTenant(d.opts.House.Directory(), asked.Tenant)
	if err != nil {
		return nil, err
	}
	return struct{}{}, d.opts.Accounts.OpenDoors(ctx, t, asked.Until, c.by)
}
