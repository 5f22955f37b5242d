package search

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

func TestEveryMailOfTheCollectionIsListedAndFound(t *testing.T) {
	const dir = "../../shared/mails"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the collection of mails is not here")
	}
	w := newTown(t)
	names := map[doppelboden.ID]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".eml" {
			return err
		}
		mail, err := os.ReadFile(path)
		if err == nil {
			names[w.accept(string(mail), w.anna)] = path
		}
		return err
	})
	if err != nil || len(names) < 100 {
		t.Fatalf("read %d mails, %v; wanted the whole collection", len(names), err)
	}
	w.extractAll()
	counting := &countingBodies{Bodies: w.bodies}
	w.room.opts.Bodies = counting
	at := w.inbox(w.anna)
	found := func(q Query) map[doppelboden.ID]bool {
		ids := map[doppelboden.ID]bool{}
		w.must(w.room.Search(ctx, []store.Place{at}, q, func(h Hit) error { ids[h.Shown.Message] = true; return nil }))
		return ids
	}
	sums, err := w.room.Summaries(ctx, at.Tenant, messagesIn(t, w, at))
	if err != nil || len(sums) != len(names) {
		t.Fatalf("%d summaries of %d mails, %v", len(sums), len(names), err)
	}
	for id, s := range sums {
		for _, part := range []struct {
			text string
			ask  func(word string) Query
		}{
			{s.Subject, func(word string) Query { return Query{Subject: []string{word}} }},
			{s.Snippet, func(word string) Query { return Query{Words: []string{word}} }},
			{strings.ToUpper(s.Subject), func(word string) Query { return Query{Words: []string{word}} }},
		} {
			words := strings.Fields(part.text)
			if len(words) > 3 {
				words = words[1:3] // the last one of a snippet may be cut
			}
			for _, word := range words {
				if !found(part.ask(word))[id] {
					t.Errorf("%s is not found by %q", names[id], word)
				}
			}
		}
		if len(s.From) > 0 && !found(Query{From: []string{s.From[0].Address}})[id] {
			t.Errorf("%s is not found by its sender %q", names[id], s.From[0].Address)
		}
	}
	if counting.opened > 0 {
		t.Errorf("%d mails were read again", counting.opened)
	}
}
