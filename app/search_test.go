package app

import (
	"testing"
	"time"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/search"
	"doppelboden/store"
)

func TestWhatTheMXTookIsReadForSearchesAndFound(t *testing.T) {
	n := start(t, install(t, "here"))
	if _, err := control.NewClient(n.opts.Node.Data, nil).AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	a := mail(t, n, "anna@stadt.example")
	id, err := view{n.store, n.landing}.ByReceipt(t.Context(), a.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	m, err := n.store.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "an extract that the worker made", func() bool {
		made := false
		err := n.store.Extracts(t.Context(), m.Tenant, []doppelboden.ID{id}, 0, func(e store.Extracted) error {
			made = e.Format > 0
			return nil
		})
		return err == nil && made
	})
	at := store.Place{Tenant: m.Tenant, Mailbox: m.Deliveries[0].Mailbox, Folder: 1}
	if _, err := n.store.Look(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	var hits []search.Hit
	err = n.search.Search(t.Context(), []store.Place{at}, search.ParseQuery("von:strange.example HELL seit:gestern", time.Now()), func(h search.Hit) error {
		hits = append(hits, h)
		return nil
	})
	if err != nil || len(hits) != 1 || hits[0].Summary.Subject != "x" || hits[0].Summary.Snippet != "hello" {
		t.Errorf("found %+v (%v), wanted the mail", hits, err)
	}
}
