package harvest

import (
	"context"

	"doppelboden"
)

// A Room keeps mailboxes filled.
type Room struct{}

// Coverage returns what can be said of a mailbox. NotFound.
func (r *Room) Coverage(context.Context, doppelboden.TenantID, doppelboden.MailboxID) (Coverage, error) {
	return Coverage{}, &doppelboden.Error{Code: doppelboden.Temporary, Public: "not built yet"}
}

// Stop ends the reading of a tenant's mailboxes at once, as attack mode wants it.
func (r *Room) Stop(doppelboden.TenantID) {}
