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

// A Standing is what a person has decided about a tenant. It is not part of city.toml, so
// that no older text of it and no rollback opens what somebody has closed.
type Standing struct {
	Tenant doppelboden.TenantID
	State  TenantState
	Stops  bool      // of a paused tenant: what waits is not handed over either
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
