package app

import (
	"testing"

	"doppelboden"
	"doppelboden/store"
)

func TestOnlyMailboxesThatAnOutageOfManyBroughtHereMakeRetentionRest(t *testing.T) {
	mode := func(m, event int) store.Mode {
		return store.Mode{Tenant: 1, Mailbox: doppelboden.MailboxID(m), Event: int64(event), Emergency: true}
	}
	single := func(_ doppelboden.TenantID, event int64) bool { return event == 2 }
	for _, c := range []struct {
		what string
		now  []doppelboden.MailboxID
		here []store.Mode
		want int
	}{
		{"nothing is wrong", nil, nil, 0},
		{"an outage, and an attack upon it", []doppelboden.MailboxID{1, 2, 3, 2, 3}, nil, 3},
		{"the same, and they are used here", []doppelboden.MailboxID{1, 2}, []store.Mode{mode(1, 1), mode(2, 1)}, 2},
		{"the way back from an outage", nil, []store.Mode{mode(1, 1), mode(2, 1), mode(3, 1)}, 3},
		{"two that are full, or that nobody knows any more", nil, []store.Mode{mode(1, 2), mode(2, 2)}, 0},
		{"two that somebody has opened here", nil, []store.Mode{mode(1, 0), mode(2, 0)}, 0},
	} {
		if got := inOutages(c.now, c.here, single); got != c.want {
			t.Errorf("%s: %d mailboxes in a crisis, want %d", c.what, got, c.want)
		}
	}
}
