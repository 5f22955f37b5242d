package intake

import (
	"context"

	"doppelboden"
)

// errOutside is the answer for a list all of whose members are where we cannot send.
var errOutside = &doppelboden.Error{Code: doppelboden.Policy, Public: "the members of this list cannot be reached from here"}

// reach adds the members of a list that are on the Internet to its targets, where its
// tenant sends there. Where it doesn't, an alarm names them.
func (in *Intake) reach(ctx context.Context, found Found) (Found, error) {
	outside := found.Outside
	found.Outside = nil
	if len(found.Targets)+len(outside) > in.opts.MostDeliveries {
		return Found{}, errLarge
	}
	for _, a := range outside {
		if in.opts.Internet == nil {
			break
		}
		box, err := in.opts.Internet(ctx, found.Tenant, a.Domain)
		if doppelboden.CodeOf(err).Permanent() && err != nil {
			continue
		}
		if err != nil {
			return Found{}, err
		}
		found.Targets = append(found.Targets, Target{Box: box, Recipient: a})
	}
	if len(found.Targets) == 0 {
		return Found{}, errOutside
	}
	return found, nil
}
