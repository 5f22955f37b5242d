package store

import (
	"context"
	"time"

	"doppelboden"
)

// A TenantState says whether mail for a tenant's domains is taken.
type TenantState string

const (
	// TenantOpen takes mail. It is the state of a tenant about which nobody has decided.
	TenantOpen TenantState = "open"
	// TenantPaused takes no mail for the time being: senders try again.
	TenantPaused TenantState = "paused"
	// TenantClosed takes no mail any more: senders get it back.
	TenantClosed TenantState = "closed"
)

// A Shut says which ways between a tenant's own systems and us are shut, because somebody
// else may have those systems: attack mode. Receiving from the Internet and the emergency
// mailboxes are never shut by it.
type Shut uint8

// The ways, in the order in which they are best opened again.
const (
	// ShutDirectory: its directory is neither read nor asked, and log-ins that came from
	// it are void.
	ShutDirectory Shut = 1 << iota
	// ShutSenders: its groupware, applications and devices send nothing through us.
	ShutSenders
	// ShutHandover: nothing is handed over to its groupware, neither mail nor what people
	// did here.
	ShutHandover
	// ShutMirror: nothing is read from its mailboxes, and no journal is taken.
	ShutMirror

	// ShutAll is what attack mode begins with.
	ShutAll = ShutDirectory | ShutSenders | ShutHandover | ShutMirror
)

// Parts returns the names of the ways that are shut, as commands have them.
func (s Shut) Parts() []string {
	var parts []string
	for i, name := range [...]string{"directory", "senders", "handover", "mirror"} {
		if s&(1<<i) != 0 {
			parts = append(parts, name)
		}
	}
	return parts
}

// ShutNamed returns the way with a name.
func ShutNamed(name string) (Shut, bool) {
	for part := ShutDirectory; part <= ShutMirror; part <<= 1 {
		if part.Parts()[0] == name {
			return part, true
		}
	}
	return 0, false
}

// A Standing is what a person has decided about a tenant. It is not part of city.toml, so
// that no older text of it and no rollback opens what somebody has closed.
type Standing struct {
	Tenant doppelboden.TenantID
	State  TenantState
	Stops  bool      // of a paused tenant: what waits is not handed over either
	Shut   Shut      // in attack mode; 0: nothing is
	Why    string    // one line; may be empty
	By     string    // who decided
	At     time.Time // when
}

// Tenancy holds what people have decided about tenants.
type Tenancy interface {
	// PutStanding replaces what was decided about a tenant. The code is Invalid for a
	// state that is none.
	PutStanding(ctx context.Context, s Standing) error

	// Standings returns all of them, by tenant.
	Standings(ctx context.Context) ([]Standing, error)
}
