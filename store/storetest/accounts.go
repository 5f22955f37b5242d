package storetest

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

func testAccounts(t *testing.T, open Open) {
	t.Run("credentials are kept, found and ended", func(t *testing.T) { credentials(t, open) })
	t.Run("a credential is spent once", func(t *testing.T) { spent(t, open) })
	t.Run("counters only grow", func(t *testing.T) { counters(t, open) })
	t.Run("what is sealed keeps its key", func(t *testing.T) { sealed(t, open) })
	t.Run("sessions end", func(t *testing.T) { sessions(t, open) })
	t.Run("mailboxes belong to people", func(t *testing.T) { belongings(t, open) })
	t.Run("roles and memos", func(t *testing.T) { rolesAndMemos(t, open) })
}

// credentialsOf reads what a filter selects.
func (w *world) credentialsOf(f store.CredentialFilter) []store.Credential {
	w.t.Helper()
	return gather(w.t, func(y func(store.Credential) error) error { return w.s.Credentials(ctx, f, y) })
}

// change carries out a change that must succeed.
func (w *world) change(c store.CredentialChange) int {
	w.t.Helper()
	n, err := w.s.ChangeCredentials(ctx, c)
	w.must(err)
	return n
}

func credentials(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna, other := w.boxes[0], w.boxes[2]
	put := []store.Credential{
		{Tenant: anna.Tenant, Person: anna.ID, Kind: "password", Data: []byte("h1"), Made: cut(day), By: hostile},
		{Tenant: anna.Tenant, Person: anna.ID, Kind: "app", Label: "Ärger\x00\x1b", Lookup: []byte{0, 255}, Made: cut(day), Until: cut(day.Add(time.Hour)), By: "x", Counter: 7},
		{Tenant: other.Tenant, Person: other.ID, Kind: "password", Data: []byte("h2"), KeyVersion: 3, Made: cut(day), By: "x"},
	}
	w.change(store.CredentialChange{Put: put})
	w.change(store.CredentialChange{Put: put[1:2]}) // the same look-up again
	w.restart()
	all := w.credentialsOf(store.CredentialFilter{})
	if len(all) != 3 || all[0].ID == 0 || all[0].ID == all[1].ID {
		t.Fatalf("credentials: %+v, wanted three with numbers of their own", all)
	}
	for i := range put {
		put[i].ID = all[i].ID
	}
	same(t, "all", all, put)
	for name, tc := range map[string]struct {
		f    store.CredentialFilter
		want []store.Credential
	}{
		"by tenant":            {store.CredentialFilter{Tenant: other.Tenant}, put[2:]},
		"by person":            {store.CredentialFilter{Person: anna.ID}, put[:2]},
		"by person and kind":   {store.CredentialFilter{Person: anna.ID, Kinds: []string{"app", "totp"}}, put[1:2]},
		"by look-up":           {store.CredentialFilter{Lookup: []byte{0, 255}}, put[1:2]},
		"by another look-up":   {store.CredentialFilter{Lookup: []byte{0}}, nil},
		"by kind":              {store.CredentialFilter{Kinds: []string{"password"}}, []store.Credential{put[0], put[2]}},
		"by number and tenant": {store.CredentialFilter{ID: put[2].ID, Tenant: anna.Tenant}, nil},
		"by number":            {store.CredentialFilter{ID: put[2].ID}, put[2:]},
		"by key":               {store.CredentialFilter{KeyVersion: 3}, put[2:]},
	} {
		same(t, name, w.credentialsOf(tc.f), tc.want)
	}
	end := store.CredentialEnd{Tenant: anna.Tenant, Person: anna.ID, Kinds: []string{"password", "app"}, Why: "replaced", At: day}
	for i, want := range []int{2, 0} {
		if n := w.change(store.CredentialChange{End: []store.CredentialEnd{end}}); n != want {
			t.Errorf("time %d: %d ended, wanted %d", i, n, want)
		}
	}
	live := w.credentialsOf(store.CredentialFilter{Live: true})
	same(t, "live", live, put[2:])
	put[0].Ended, put[0].Why = cut(day), "replaced"
	same(t, "ended", w.credentialsOf(store.CredentialFilter{Person: anna.ID, Kinds: []string{"password"}}), put[:1])
	if n := w.change(store.CredentialChange{End: []store.CredentialEnd{{Tenant: anna.Tenant, Kinds: []string{"password"}, Why: "void", At: day}}}); n != 0 {
		t.Errorf("%d credentials of another tenant ended", n)
	}
	if n := w.change(store.CredentialChange{End: []store.CredentialEnd{{Tenant: other.Tenant, Kinds: []string{"password"}, Why: "void", At: day}}}); n != 1 {
		t.Errorf("%d credentials of everybody ended, wanted 1", n)
	}
}

func spent(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna := w.boxes[0]
	w.change(store.CredentialChange{Put: []store.Credential{{Tenant: anna.Tenant, Person: anna.ID, Kind: "code", Lookup: []byte("c"), Made: day, By: "x"}}})
	code := w.credentialsOf(store.CredentialFilter{})[0]
	c := store.CredentialChange{Spend: code.ID, Token: []byte("t1"), At: day,
		Put: []store.Credential{{Tenant: anna.Tenant, Person: anna.ID, Kind: "password", Made: day, By: "x"}}}
	for range 2 { // repeated, it changes nothing
		w.change(c)
	}
	if got := w.credentialsOf(store.CredentialFilter{Live: true}); len(got) != 1 || got[0].Kind != "password" {
		t.Errorf("live after the code was spent: %+v, wanted one password", got)
	}
	if got := w.credentialsOf(store.CredentialFilter{ID: code.ID})[0]; got.Why != "spent" || !got.Ended.Equal(cut(day)) {
		t.Errorf("the spent code: %+v", got)
	}
	c.Token = []byte("t2")
	_, err := w.s.ChangeCredentials(ctx, c)
	isCode(t, "a code that was spent", err, doppelboden.Policy)
	c.Spend = 9999
	_, err = w.s.ChangeCredentials(ctx, c)
	isCode(t, "a code that nobody made", err, doppelboden.Policy)
	w.change(store.CredentialChange{Put: []store.Credential{{Tenant: anna.Tenant, Person: anna.ID, Kind: "code", Lookup: []byte("d"), Made: day, By: "x"}}})
	revoked := w.credentialsOf(store.CredentialFilter{Lookup: []byte("d")})[0]
	w.change(store.CredentialChange{End: []store.CredentialEnd{{ID: revoked.ID, Why: "revoked", At: day}}})
	_, err = w.s.ChangeCredentials(ctx, store.CredentialChange{Spend: revoked.ID, At: day})
	isCode(t, "a revoked code, by a caller without a token", err, doppelboden.Policy)
	if got := w.credentialsOf(store.CredentialFilter{Live: true}); len(got) != 1 {
		t.Errorf("%d live, wanted 1: what was refused wrote something", len(got))
	}
}

func counters(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna := w.boxes[0]
	w.change(store.CredentialChange{Put: []store.Credential{{Tenant: anna.Tenant, Person: anna.ID, Kind: "totp", Made: day, By: "x", Counter: 5}}})
	id := w.credentialsOf(store.CredentialFilter{})[0].ID
	for _, tc := range []struct {
		to   int64
		want bool
	}{{5, false}, {4, false}, {6, true}, {6, false}, {1 << 60, true}} {
		got, err := w.s.Advance(ctx, id, tc.to)
		w.must(err)
		if got != tc.want {
			t.Errorf("to %d: %v, wanted %v", tc.to, got, tc.want)
		}
	}
	w.change(store.CredentialChange{End: []store.CredentialEnd{{ID: id, Why: "revoked", At: day}}})
	if got, err := w.s.Advance(ctx, id, 1<<61); err != nil || got {
		t.Errorf("of one that has ended: %v, %v", got, err)
	}
}

func sealed(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna := w.boxes[0]
	for v := 1; v <= 2; v++ {
		w.must(w.s.PutTenantKey(ctx, store.TenantKey{Tenant: anna.Tenant, Version: v, MasterVersion: 1, Wrapped: []byte("k"), At: day}))
	}
	w.change(store.CredentialChange{Put: []store.Credential{{Tenant: anna.Tenant, Kind: "key", Data: []byte("s1"), KeyVersion: 1, Made: day, By: "x"}}})
	isCode(t, "a key that seals a credential", w.s.DeleteTenantKey(ctx, anna.Tenant, 1), doppelboden.Invalid)
	c := w.credentialsOf(store.CredentialFilter{KeyVersion: 1})[0]
	c.Data, c.KeyVersion = []byte("s2"), 2
	for range 2 {
		w.must(w.s.Reseal(ctx, 1, []store.Credential{c}))
	}
	late := c
	late.Data = []byte("late")
	w.must(w.s.Reseal(ctx, 1, []store.Credential{late}))
	same(t, "sealed again", w.credentialsOf(store.CredentialFilter{Tenant: anna.Tenant}), []store.Credential{c})
	w.must(w.s.DeleteTenantKey(ctx, anna.Tenant, 1))
}

func sessions(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna, other := w.boxes[0], w.boxes[2]
	list := []store.LoggedIn{
		{Hash: []byte{0, 1}, Tenant: anna.Tenant, Person: anna.ID, Needs: "enrol", Source: "code", Code: 7, State: []byte{0}, Made: cut(day), Seen: cut(day), Until: cut(day.Add(time.Hour))},
		{Hash: []byte{0, 2}, Tenant: anna.Tenant, Person: anna.ID, Source: "directory", Second: true, Made: cut(day), Seen: cut(day), Until: cut(day.Add(2 * time.Hour))},
		{Hash: []byte{0, 3}, Tenant: other.Tenant, Person: other.ID, Source: "directory", Made: cut(day), Seen: cut(day.Add(-time.Hour)), Until: cut(day.Add(2 * time.Hour))},
	}
	reset := func() {
		t.Helper()
		for i := range list {
			for range 2 {
				w.must(w.s.PutSession(ctx, list[i], nil))
			}
		}
	}
	// which returns the sessions that are there.
	which := func() (there []int) {
		t.Helper()
		for i := range list {
			got, err := w.s.SessionOf(ctx, list[i].Hash)
			if err == nil {
				same(t, "a session", got, list[i])
				there = append(there, i)
				continue
			}
			isCode(t, "a session that has ended", err, doppelboden.NotFound)
		}
		return there
	}
	reset()
	w.restart()
	same(t, "sessions", which(), []int{0, 1, 2})
	for name, tc := range map[string]struct {
		f    store.SessionFilter
		want []int
	}{
		"one":                     {store.SessionFilter{Hash: []byte{0, 1}}, []int{1, 2}},
		"of a person":             {store.SessionFilter{Person: anna.ID}, []int{2}},
		"of a person but one":     {store.SessionFilter{Person: anna.ID, Except: []byte{0, 2}}, []int{1, 2}},
		"of a source in a tenant": {store.SessionFilter{Tenant: anna.Tenant, Source: "directory"}, []int{0, 2}},
		"not used":                {store.SessionFilter{Seen: cut(day)}, []int{0, 1}},
		"over":                    {store.SessionFilter{Before: cut(day.Add(time.Hour))}, []int{1, 2}},
	} {
		reset()
		n, err := w.s.EndSessions(ctx, tc.f)
		w.must(err)
		same(t, name, which(), tc.want)
		if n != 3-len(tc.want) {
			t.Errorf("%s: %d ended, wanted %d", name, n, 3-len(tc.want))
		}
	}
	_, err := w.s.EndSessions(ctx, store.SessionFilter{})
	isCode(t, "a filter that selects all", err, doppelboden.Invalid)
	_, err = w.s.EndSessions(ctx, store.SessionFilter{Source: "code"})
	isCode(t, "a filter of a source alone", err, doppelboden.Invalid)
	reset()
	next := list[0]
	next.Hash, next.Needs = []byte{0, 9}, ""
	w.must(w.s.PutSession(ctx, next, list[0].Hash))
	same(t, "after it got another cookie", which(), []int{1, 2})
	got, err := w.s.SessionOf(ctx, next.Hash)
	w.must(err)
	same(t, "with another cookie", got, next)
	w.must(w.s.PutSession(ctx, next, list[0].Hash)) // repeated, for nobody knew how it ended
	next.Seen = cut(day.Add(time.Minute))
	w.must(w.s.PutSession(ctx, next, next.Hash))
	got, err = w.s.SessionOf(ctx, next.Hash)
	w.must(err)
	same(t, "used once more", got, next)

	// Somebody ended them while a request was under way.
	late := next
	late.Hash = []byte{0, 8}
	_, err = w.s.EndSessions(ctx, store.SessionFilter{Hash: next.Hash})
	w.must(err)
	made := store.CredentialChange{Session: next.Hash, Put: []store.Credential{{Tenant: next.Tenant, Person: next.Person, Kind: "app", Made: day, By: "x"}}}
	_, err = w.s.ChangeCredentials(ctx, made)
	isCode(t, "credentials that a session makes which has ended", err, doppelboden.NotFound)
	if got := w.credentialsOf(store.CredentialFilter{}); len(got) != 0 {
		t.Errorf("it made %+v", got)
	}
	made.Session = list[1].Hash
	if w.change(made); len(w.credentialsOf(store.CredentialFilter{})) != 1 {
		t.Error("a session that lives makes no credential")
	}
	isCode(t, "a session that ended is used", w.s.PutSession(ctx, next, next.Hash), doppelboden.NotFound)
	isCode(t, "a session that ended gets another cookie", w.s.PutSession(ctx, late, next.Hash), doppelboden.NotFound)
	for _, hash := range [][]byte{next.Hash, late.Hash} {
		_, err = w.s.SessionOf(ctx, hash)
		isCode(t, "a session that ended", err, doppelboden.NotFound)
	}
}

func belongings(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna, buero := w.boxes[0], w.boxes[1]
	list := []store.Belonging{
		{Tenant: anna.Tenant, Mailbox: anna.ID, Person: buero.ID, Kind: "deputy", Until: cut(day), By: hostile, At: cut(day)},
		{Tenant: anna.Tenant, Mailbox: buero.ID, Person: anna.ID, Kind: "deputy", By: "x", At: cut(day)},
		{Tenant: anna.Tenant, Mailbox: buero.ID, Person: anna.ID, Kind: "function", By: "x", At: cut(day)},
	}
	read := func(person, mailbox doppelboden.MailboxID) []store.Belonging {
		t.Helper()
		return gather(t, func(y func(store.Belonging) error) error { return w.s.Belongings(ctx, person, mailbox, y) })
	}
	for range 2 {
		w.must(w.s.PutBelongings(ctx, list))
	}
	w.restart()
	same(t, "all", read(0, 0), list)
	same(t, "of a person", read(anna.ID, 0), list[1:])
	same(t, "of a mailbox", read(0, anna.ID), list[:1])
	same(t, "of a person in a mailbox", read(anna.ID, anna.ID), []store.Belonging(nil))
	list[1].Until = cut(day.Add(time.Hour))
	w.must(w.s.PutBelongings(ctx, list[1:2]))
	same(t, "with another end", read(anna.ID, buero.ID), list[1:])
	stranger := list[2]
	stranger.Tenant = w.tenants[1].ID
	w.must(w.s.DropBelongings(ctx, []store.Belonging{stranger, list[0], list[0]}))
	same(t, "after one was dropped", read(0, 0), list[1:])
}

func rolesAndMemos(t *testing.T, open Open) {
	w := newWorld(t, open)
	anna, other := w.boxes[0], w.boxes[2]
	roles := []store.Role{
		{Tenant: anna.Tenant, Person: anna.ID, Name: "admin", By: "x", At: cut(day)},
		{Tenant: anna.Tenant, Person: anna.ID, Name: "head", Department: "Straßenbau", By: "x", At: cut(day)},
		{Tenant: other.Tenant, Person: other.ID, Name: "head", Department: "", By: "x", At: cut(day)},
	}
	for range 2 {
		for _, r := range roles {
			w.must(w.s.PutRole(ctx, r))
		}
	}
	read := func(p doppelboden.MailboxID) []store.Role {
		t.Helper()
		return gather(t, func(y func(store.Role) error) error { return w.s.Roles(ctx, p, y) })
	}
	same(t, "all roles", read(0), roles)
	same(t, "roles of a person", read(anna.ID), roles[:2])
	w.must(w.s.DropRole(ctx, roles[1]))
	w.must(w.s.DropRole(ctx, roles[1]))
	same(t, "after one was dropped", read(0), []store.Role{roles[0], roles[2]})

	memos := []store.Memo{
		{Tenant: anna.Tenant, Mailbox: 0, What: "a", At: cut(day)},
		{Tenant: anna.Tenant, Mailbox: anna.ID, What: "a", At: cut(day)},
		{Tenant: other.Tenant, Mailbox: other.ID, What: "a", At: cut(day)},
	}
	marks := func(tenant doppelboden.TenantID, what string) []store.Memo {
		t.Helper()
		return gather(t, func(y func(store.Memo) error) error { return w.s.Memos(ctx, tenant, what, y) })
	}
	w.must(w.s.PutMemos(ctx, memos))
	memos[1].At = cut(day.Add(time.Minute))
	w.must(w.s.PutMemos(ctx, append([]store.Memo{{Tenant: anna.Tenant, What: "b", At: cut(day)}}, memos...)))
	w.restart()
	same(t, "memos", marks(0, "a"), memos)
	same(t, "memos of a tenant", marks(anna.Tenant, "a"), memos[:2])
	w.must(w.s.DropMemos(ctx, anna.Tenant, "a"))
	same(t, "after a tenant's were dropped", marks(0, "a"), memos[2:])
	if n := len(marks(0, "b")); n != 1 {
		t.Errorf("%d memos of another meaning, wanted 1", n)
	}
}
