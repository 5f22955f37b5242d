package sqlite

import (
	"context"
	"path/filepath"
	"testing"

	"doppelboden/store"
	"doppelboden/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB, o storetest.Setup) store.Store {
		s, err := Open(context.Background(), Options{Path: filepath.Join(o.Dir, "store.db"), Sync: o.Sync, Chain: o.Chain, Clock: o.Clock})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
