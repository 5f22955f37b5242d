package control

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"testing"

	"github.com/google/go-cmp/cmp"

	"doppelboden"
)

func (w *town) Keys(context.Context) ([]Key, error) {
	return []Key{
		{Kind: MasterKey, Version: 3, Current: true},
		{Kind: TenantKey, Tenant: "a", Version: 1, Current: true, Since: w.now, Master: 3},
	}, nil
}

func (w *town) Rotate(_ context.Context, t doppelboden.Tenant, by string, progress func(int64)) (Rotated, error) {
	w.rotations = append(w.rotations, fmt.Sprintf("%d %s by %s", t.ID, t.Name, by))
	progress(500)
	return Rotated{Kind: TenantKey, Tenant: t.Name, Version: 2, Rewraps: 700}, nil
}

func (w *town) RotateMaster(_ context.Context, by string) (Rotated, error) {
	w.rotations = append(w.rotations, "master by "+by)
	return Rotated{}, &doppelboden.Error{Code: doppelboden.Invalid, Public: "the master key file cannot be used", Cause: errors.New("mode 0644")}
}

func TestKeysAreChangedUnderTheNameOfTheUnixUser(t *testing.T) {
	w := newTown(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := w.Directory().TenantNamed("b")
	got, err := w.client.RotateKey(t.Context(), "b")
	want := Rotated{Kind: TenantKey, Tenant: "b", Version: 2, Rewraps: 700}
	if err != nil || got != want {
		t.Errorf("rotate the key of b: %+v, %v; want %+v", got, err, want)
	}
	if diff := cmp.Diff([]Progress{{Step: "body keys", Done: 500}}, w.progress); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	_, err = w.client.RotateKey(t.Context(), "nobody")
	wantCode(t, err, doppelboden.NotFound, "no tenant has this name")
	_, err = w.client.RotateMaster(t.Context())
	wantCode(t, err, doppelboden.Invalid, "mode 0644") // who runs the node is told the cause
	called := []string{fmt.Sprintf("%d b by %s", id, me.Username), "master by " + me.Username}
	if diff := cmp.Diff(called, w.rotations); diff != "" {
		t.Errorf("rotations (-want +got):\n%s", diff)
	}
}

func TestKeysAreListedInTheirOrder(t *testing.T) {
	w := newTown(t)
	var got []Key
	err := w.client.Keys(t.Context(), func(k Key) error {
		got = append(got, k)
		return nil
	})
	want, _ := w.Keys(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("keys (-want +got), %v:\n%s", err, diff)
	}
}
