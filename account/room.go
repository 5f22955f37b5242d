package account

import (
	"context"

	"doppelboden"
)

// A Room answers for the people of one node.
type Room struct{}

var errNotBuilt = &doppelboden.Error{Code: doppelboden.Temporary, Public: "log-ins are not built yet"}

// LogIn lets somebody in, or not. The code is Policy for every reason that is hers, with
// one text for all of them, and Busy when it would not be looked at now.
func (r *Room) LogIn(ctx context.Context, a Attempt) (Login, error) { return Login{}, errNotBuilt }

// Session returns who a cookie stands for. The code is Policy when it stands for nobody.
func (r *Room) Session(ctx context.Context, cookie string) (Session, error) {
	return Session{}, errNotBuilt
}

// LogOut ends a session. One that has ended already is no error.
func (r *Room) LogOut(ctx context.Context, cookie string) error { return errNotBuilt }

// Step takes the next step of a session: kind is what it needs, answer what she wrote. The
// session gets another cookie.
func (r *Room) Step(ctx context.Context, cookie, kind, answer string) (Login, error) {
	return Login{}, errNotBuilt
}

// Grants returns the mailboxes that a person may open, her own first.
func (r *Room) Grants(ctx context.Context, p PersonID) ([]Grant, error) { return nil, errNotBuilt }

// MaySend reports whether a person may write in the name of an address.
func (r *Room) MaySend(ctx context.Context, p PersonID, a doppelboden.Address) bool { return false }

// Open reports whether a door is open to a tenant's people now.
func (r *Room) Open(t doppelboden.TenantID, door string) bool { return false }
