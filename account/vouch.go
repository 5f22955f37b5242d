package account

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"doppelboden"
	"doppelboden/store"
)

// Roles of people.
const (
	// RoleHead vouches for the people of her department, and sees who of them could not log in.
	RoleHead = "head"
	// RoleAdmin does that for everybody of her city.
	RoleAdmin = "admin"
)

// Appoint gives a person a role, and notes it in the ledger. The code is Invalid for a role
// that is none.
func (r *Room) Appoint(ctx context.Context, p Person, role, department, by string) error {
	if err := checkRole(role, department); err != nil {
		return err
	}
	if err := r.opts.Store.PutRole(ctx, store.Role{Tenant: p.Tenant, Person: p.Mailbox, Name: role, Department: department, By: by, At: r.opts.Clock()}); err != nil {
		return fmt.Errorf("keep the role: %w", err)
	}
	return r.note(ctx, p.Tenant, by, fmt.Sprintf("person %d is %s now (%s)", p.ID, role, department))
}

// Dismiss takes a role from a person.
func (r *Room) Dismiss(ctx context.Context, p Person, role, department, by string) error {
	if err := checkRole(role, department); err != nil {
		return err
	}
	if err := r.opts.Store.DropRole(ctx, store.Role{Tenant: p.Tenant, Person: p.Mailbox, Name: role, Department: department}); err != nil {
		return fmt.Errorf("remove the role: %w", err)
	}
	return r.note(ctx, p.Tenant, by, fmt.Sprintf("person %d is no longer %s (%s)", p.ID, role, department))
}

func checkRole(role, department string) error {
	switch {
	case role == RoleHead && department == "":
		return invalid("say of which department she is the head")
	case role == RoleAdmin && department != "", role != RoleHead && role != RoleAdmin:
		return invalid("a role is head, with a department, or admin, without")
	}
	return nil
}

// Roles returns the roles of a person, or of everybody of a tenant (Person 0).
func (r *Room) Roles(ctx context.Context, t doppelboden.TenantID, p PersonID) ([]store.Role, error) {
	var all []store.Role
	err := r.opts.Store.Roles(ctx, doppelboden.MailboxID(p), func(role store.Role) error {
		if role.Tenant == t {
			all = append(all, role)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	return all, nil
}

// Charges are the people for whom somebody may vouch.
type Charges struct {
	All         bool     // everybody of her city
	Departments []string // those whose head she is
}

// None reports whether there is nobody.
func (c Charges) None() bool { return !c.All && len(c.Departments) == 0 }

// Has reports whether a department is among them.
func (c Charges) Has(department string) bool {
	return c.All || slices.ContainsFunc(c.Departments, func(d string) bool { return strings.EqualFold(d, department) && d != "" })
}

// ChargesOf returns for whom a person may vouch.
func (r *Room) ChargesOf(ctx context.Context, p Person) (Charges, error) {
	roles, err := r.Roles(ctx, p.Tenant, p.ID)
	if err != nil {
		return Charges{}, err
	}
	var c Charges
	for _, role := range roles {
		switch role.Name {
		case RoleAdmin:
			c.All = true
		case RoleHead:
			c.Departments = append(c.Departments, role.Department)
		}
	}
	return c, nil
}

// errNotYours is the answer to who vouches for somebody who is none of her people.
var errNotYours = &doppelboden.Error{Code: doppelboden.Policy, Public: "you can vouch for the people of your own department only"}

// Vouch makes a code that is good for an hour, by which somebody whom the person of a
// session knows can enrol. The head of a department has to have shown a second factor: her
// session makes her people's. It is noted in the ledger and told to both.
func (r *Room) Vouch(ctx context.Context, cookie string, whom doppelboden.Address) (Sheet, error) {
	s, head, _, err := r.session(ctx, cookie)
	if err != nil {
		return Sheet{}, err
	}
	if s.Needs != NeedsNothing || !s.Second {
		return Sheet{}, &doppelboden.Error{Code: doppelboden.Policy, Public: "to vouch for somebody, please log in with a second factor"}
	}
	charges, err := r.ChargesOf(ctx, head)
	if err != nil {
		return Sheet{}, err
	}
	p, ok := r.Find(whom)
	if !ok || p.Tenant != head.Tenant || !charges.Has(p.Department) || p.ID == head.ID {
		return Sheet{}, errNotYours
	}
	// Whom somebody in the hands of the directory's owner vouches for is in them as well.
	sheets, err := r.codes(ctx, []Person{p}, kindVouch, true, madeBy(s, head))
	if err != nil {
		return Sheet{}, err
	}
	if err := r.note(ctx, p.Tenant, byPerson(head), fmt.Sprintf("person %d vouches for person %d", head.ID, p.ID)); err != nil {
		return Sheet{}, err
	}
	r.tell(ctx, p, vouchedFor(p.Language, head, p))
	r.tell(ctx, head, vouchedBy(head.Language, head, p))
	return sheets[0], nil
}

// A text is what a notice says.
type text struct{ subject, body string }

// tell writes a person a notice. That it cannot be sent stops nothing.
func (r *Room) tell(ctx context.Context, p Person, t text) {
	if r.opts.Mail == nil {
		return
	}
	err := r.opts.Mail(ctx, Notice{Tenant: p.Tenant, To: p.Address, Subject: t.subject, Text: t.body})
	if err != nil {
		r.opts.Log.ErrorContext(ctx, "somebody cannot be told", "mailbox", int64(p.Mailbox), "err", err)
	}
}

// called is how a person is called in a text.
func called(p Person) string {
	if name := oneLine(p.Name, 60); name != "" {
		return name
	}
	return p.Address.String()
}

func vouchedFor(language string, head, p Person) text {
	if language == "en" {
		return text{"A code for your emergency mailbox was made", fmt.Sprintf("Hello %s,\n\n%s has vouched for you and made a code with which you can set up your emergency mailbox. It is good for an hour.\n\n"+
			"If you have not asked for that, tell your IT at once.\n", called(p), called(head))}
	}
	return text{"Ein Code für Ihr Notfall-Postfach wurde erstellt", fmt.Sprintf("Guten Tag %s,\n\n%s hat für Sie gebürgt und einen Code erstellt, mit dem Sie Ihr Notfall-Postfach einrichten können. Er gilt eine Stunde.\n\n"+
		"Haben Sie nicht darum gebeten? Dann sagen Sie bitte sofort Ihrer IT Bescheid.\n", called(p), called(head))}
}

func vouchedBy(language string, head, p Person) text {
	if language == "en" {
		return text{"You have vouched for " + called(p), fmt.Sprintf("Hello %s,\n\nyou have vouched for %s (%s) and made a code for the emergency mailbox. This is noted in the ledger.\n\n"+
			"If that was not you, tell your IT at once.\n", called(head), called(p), p.Address)}
	}
	return text{"Sie haben für " + called(p) + " gebürgt", fmt.Sprintf("Guten Tag %s,\n\nSie haben für %s (%s) gebürgt und einen Code für das Notfall-Postfach erstellt. Das ist im Journal vermerkt.\n\n"+
		"Waren Sie das nicht? Dann sagen Sie bitte sofort Ihrer IT Bescheid.\n", called(head), called(p), p.Address)}
}
