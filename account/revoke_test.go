package account

import (
	"context"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

// A meddler is a store in which something else happens right before a call, once.
type meddler struct {
	Store
	change, end func()
}

func once(f *func()) {
	if do := *f; do != nil {
		*f = nil
		do()
	}
}

func (m *meddler) ChangeCredentials(ctx context.Context, c store.CredentialChange) (int, error) {
	once(&m.change)
	return m.Store.ChangeCredentials(ctx, c)
}

func (m *meddler) EndSessions(ctx context.Context, f store.SessionFilter) (int, error) {
	once(&m.end)
	return m.Store.EndSessions(ctx, f)
}

func TestNothingThatAThiefSetsInTheMomentOfTheRevocationStays(t *testing.T) {
	const hers, anna = "Worte eines Diebs heute", "anna@stadt.example"
	for name, meddle := range map[string]func(w *world, m *meddler, thief, revoke func()){
		"before her sessions end":              func(w *world, m *meddler, thief, revoke func()) { m.end = thief; revoke() },
		"before her credentials end":           func(w *world, m *meddler, thief, revoke func()) { m.change = thief; revoke() },
		"after the thief's session was looked": func(w *world, m *meddler, thief, revoke func()) { m.change = revoke; thief() },
	} {
		for what, set := range map[string]func(w *world, cookie string) (app string, err error){
			"a password": func(w *world, cookie string) (string, error) {
				_, _, err := w.room.ChangePassword(ctx, cookie, hers, false)
				return "", err
			},
			"a program": func(w *world, cookie string) (string, error) { return w.room.NewApp(ctx, cookie, "Telefon") },
		} {
			t.Run(what+" "+name, func(t *testing.T) {
				w := newWorld(t, "")
				cookie := w.enrolled(anna).Session
				m := &meddler{Store: w.store}
				w.room.opts.Store = m
				var app string
				thief := func() {
					var err error
					if app, err = set(w, cookie); err != nil {
						code(t, "the thief", err, doppelboden.NotFound)
					}
				}
				revoke := func() {
					if _, err := w.room.RevokeAll(ctx, w.person(anna), "help desk"); err != nil {
						t.Errorf("revoke: %v", err)
					}
				}
				meddle(w, m, thief, revoke)
				_, err := w.room.LogIn(ctx, web(anna, hers))
				code(t, "the thief's password", err, doppelboden.Policy)
				if app != "" {
					_, err := w.room.LogIn(ctx, Attempt{Door: DoorIMAP, User: anna, Password: app})
					code(t, "the thief's program", err, doppelboden.Policy)
				}
				ways, err := w.room.Ways(ctx, w.person(anna), true)
				if err != nil || len(ways) != 0 {
					t.Errorf("left are %+v, %v; wanted nothing", ways, err)
				}
			})
		}
	}
}

func TestWhoLogsInInTheMomentOfTheRevocationIsLoggedOut(t *testing.T) {
	w := newWorld(t, "")
	w.enrolled("anna@stadt.example")
	m := &meddler{Store: w.store}
	w.room.opts.Store = m
	var thief Login
	m.change = func() {
		var err error
		thief, err = w.room.LogIn(ctx, web("anna@stadt.example", good))
		w.must(err)
	}
	_, err := w.room.RevokeAll(ctx, w.person("anna@stadt.example"), "help desk")
	w.must(err)
	_, err = w.room.Session(ctx, thief.Session)
	code(t, "a session that began between", err, doppelboden.NotFound)
}
