package storetest

import (
	"fmt"
	"testing"

	"doppelboden"
)

func testCity(t *testing.T, open Open) {
	t.Run("tenants keep their numbers", func(t *testing.T) { tenants(t, open) })
	t.Run("mailboxes are added and changed", func(t *testing.T) { mailboxes(t, open) })
	t.Run("an address belongs to one mailbox", func(t *testing.T) { takenAddress(t, open) })
	t.Run("aliases may be exchanged in one commit", func(t *testing.T) { exchangeAliases(t, open) })
	t.Run("many mailboxes come back by number", func(t *testing.T) { manyMailboxes(t, open) })
}

func tenants(t *testing.T, open Open) {
	w := newWorld(t, open)
	// Names that some engine might take for one another.
	names := []string{"kreis", "b", "B", "a-b", "ab", "ä", "a\u0308", "kreis"}
	got, err := w.s.PutTenants(ctx, names)
	w.must(err)
	byName := map[string]doppelboden.TenantID{}
	byID := map[doppelboden.TenantID]string{}
	for i, tn := range got {
		if tn.Name != names[i] {
			t.Errorf("tenant %d is %q, wanted %q", i, tn.Name, names[i])
		}
		byName[tn.Name], byID[tn.ID] = tn.ID, tn.Name
	}
	if byName["kreis"] != w.tenants[1].ID {
		t.Errorf("kreis got number %d, it had %d", byName["kreis"], w.tenants[1].ID)
	}
	if len(byName) != 7 || len(byID) != 7 {
		t.Errorf("7 names got %d numbers: %v", len(byID), got)
	}
	w.restart()
	all, err := w.s.Tenants(ctx)
	w.must(err)
	if len(all) != 8 {
		t.Errorf("%d tenants, wanted 8", len(all))
	}
	for i := 1; i < len(all); i++ {
		if all[i].ID <= all[i-1].ID {
			t.Errorf("tenant %d came after %d", all[i].ID, all[i-1].ID)
		}
	}
}

func mailboxes(t *testing.T, open Open) {
	w := newWorld(t, open)
	read := func() []doppelboden.Mailbox {
		return gather(t, func(y func(doppelboden.Mailbox) error) error { return w.s.Mailboxes(ctx, y) })
	}
	same(t, "mailboxes", read(), w.boxes)
	changed := w.boxes[0]
	changed.ID = 0
	changed.Address = addr("Anna", "stadt.example") // the same mailbox in another spelling
	changed.Name, changed.Department, changed.Building, changed.Phone, changed.Priority = "Anna Äpfel "+hostile, "IT", "Altes Rathaus", "+491711234567", 0
	changed.Kind = doppelboden.Function
	changed.Aliases = []doppelboden.Address{addr("z", "stadt.example"), addr("a", "stadt.example"), addr("\"x@y", "stadt.example")}
	got, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{changed})
	w.must(err)
	if got[0].ID != w.boxes[0].ID {
		t.Fatalf("the mailbox got number %d, it had %d", got[0].ID, w.boxes[0].ID)
	}
	changed.ID = w.boxes[0].ID
	same(t, "changed mailboxes", read(), []doppelboden.Mailbox{changed, w.boxes[1], w.boxes[2]})
	same(t, "what PutMailboxes returned", got, []doppelboden.Mailbox{changed})
	again, err := w.s.PutMailboxes(ctx, got)
	w.must(err)
	same(t, "put again with its number", again, got)
	changed.Aliases = nil
	_, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{changed})
	w.must(err)
	w.restart()
	same(t, "mailboxes without aliases", read(), []doppelboden.Mailbox{changed, w.boxes[1], w.boxes[2]})
}

func takenAddress(t *testing.T, open Open) {
	w := newWorld(t, open)
	before := gather(t, func(y func(doppelboden.Mailbox) error) error { return w.s.Mailboxes(ctx, y) })
	fresh := doppelboden.Mailbox{Tenant: w.tenants[0].ID, Address: addr("neu", "stadt.example")}
	with := func(alias doppelboden.Address) doppelboden.Mailbox {
		b := w.boxes[0]
		b.Aliases = []doppelboden.Address{alias}
		return b
	}
	otherTenant := w.boxes[0]
	otherTenant.Tenant, otherTenant.ID = w.tenants[1].ID, 0
	wrongID := w.boxes[0]
	wrongID.ID = w.boxes[1].ID
	for name, list := range map[string][]doppelboden.Mailbox{
		"an alias that is another's address":           {fresh, with(addr("BuergerBuero", "stadt.example"))},
		"an alias of another tenant's":                 {fresh, with(w.boxes[2].Address)},
		"an address of another tenant's":               {fresh, otherTenant},
		"an alias that is a new mailbox's of the list": {with(fresh.Address), fresh},
		"a number that belongs to another":             {fresh, wrongID},
		"a mailbox without address":                    {fresh, {Tenant: w.tenants[0].ID}},
		"a mailbox without tenant":                     {fresh, {Address: addr("x", "stadt.example")}},
	} {
		_, err := w.s.PutMailboxes(ctx, list)
		isCode(t, name, err, doppelboden.Invalid)
		same(t, "mailboxes after "+name, gather(t, func(y func(doppelboden.Mailbox) error) error { return w.s.Mailboxes(ctx, y) }), before)
	}
}

func exchangeAliases(t *testing.T, open Open) {
	w := newWorld(t, open)
	a, b := w.boxes[0], w.boxes[1]
	a.Aliases, b.Aliases = []doppelboden.Address{addr("eins", "stadt.example")}, []doppelboden.Address{addr("zwei", "stadt.example")}
	_, err := w.s.PutMailboxes(ctx, []doppelboden.Mailbox{a, b})
	w.must(err)
	a.Aliases, b.Aliases = b.Aliases, a.Aliases
	_, err = w.s.PutMailboxes(ctx, []doppelboden.Mailbox{a, b})
	w.must(err)
	same(t, "mailboxes", gather(t, func(y func(doppelboden.Mailbox) error) error { return w.s.Mailboxes(ctx, y) }),
		[]doppelboden.Mailbox{a, b, w.boxes[2]})
}

func manyMailboxes(t *testing.T, open Open) {
	w := newWorld(t, open)
	var list []doppelboden.Mailbox
	for i := range 1000 {
		list = append(list, doppelboden.Mailbox{Tenant: w.tenants[i%2].ID, Address: addr(fmt.Sprintf("n%d", i), "viele.example"),
			Aliases: []doppelboden.Address{addr(fmt.Sprintf("alias%d", i), "viele.example")}})
	}
	put, err := w.s.PutMailboxes(ctx, list)
	w.must(err)
	all := gather(t, func(y func(doppelboden.Mailbox) error) error { return w.s.Mailboxes(ctx, y) })
	same(t, "mailboxes", all[3:], put)
}
