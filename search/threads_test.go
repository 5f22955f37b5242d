package search

import (
	"fmt"
	"strings"
	"testing"

	"doppelboden/letter"
	"doppelboden/store"
)

// item makes a mail of a list; refs are References but for a first "<", which is the last
// one of In-Reply-To.
func item(uid uint32, id, subject, from, to string, refs ...string) ThreadItem {
	return ThreadItem{Shown: store.Shown{UID: uid}, Summary: letter.Summary{MessageID: id, Subject: subject, References: refs,
		From: []letter.Person{{Address: from}}, To: []letter.Person{{Address: to}}}}
}

// uids writes threads by the UIDs of their mails.
func uids(threads []Thread) string {
	var b strings.Builder
	for _, t := range threads {
		b.WriteByte('(')
		for i, it := range t.Items {
			if i > 0 {
				b.WriteByte(' ')
			}
			fmt.Fprint(&b, it.Shown.UID)
		}
		b.WriteByte(')')
	}
	return b.String()
}

func TestMailsComeTogetherInConversations(t *testing.T) {
	for name, c := range map[string]struct {
		list []ThreadItem
		want string
	}{
		"nothing":                          {nil, ""},
		"by references":                    {[]ThreadItem{item(4, "d", "Anderes", "x", "a"), item(3, "c", "AW: Plan", "b", "a", "a", "b"), item(2, "b", "AW: Plan", "a", "b", "a"), item(1, "a", "Plan", "b", "a")}, "(4)(3 2 1)"},
		"by a mail that is missing":        {[]ThreadItem{item(3, "c", "x", "b", "a", "lost"), item(2, "b", "y", "c", "a", "lost")}, "(3 2)"},
		"by subject when nothing is named": {[]ThreadItem{item(3, "c", "Antwort: Re: Plan", "b", "a"), item(2, "b", "Plan", "a", "b")}, "(3 2)"},
		"not by subject of strangers":      {[]ThreadItem{item(3, "c", "AW: Rechnung", "x", "a"), item(2, "b", "Rechnung", "y", "a")}, "(3)(2)"},
		"not by subject without an answer": {[]ThreadItem{item(3, "c", "Wochenbericht", "b", "a"), item(2, "b", "Wochenbericht", "b", "a")}, "(3)(2)"},
		"not by no subject":                {[]ThreadItem{item(3, "", "", "b", "a"), item(2, "", "", "b", "a")}, "(3)(2)"},
		"in a circle":                      {[]ThreadItem{item(3, "c", "x", "b", "a", "b"), item(2, "b", "x", "b", "a", "c")}, "(3 2)"},
		"one id twice":                     {[]ThreadItem{item(3, "a", "x", "b", "a"), item(2, "a", "x", "b", "a")}, "(3 2)"},
	} {
		if got := uids(Threads(c.list)); got != c.want {
			t.Errorf("%s: got %s, wanted %s", name, got, c.want)
		}
	}
}

func TestManyMailsOfOneThreadCostLittle(t *testing.T) {
	var list []ThreadItem
	for i := range uint32(20_000) {
		list = append(list, item(i, fmt.Sprint(i), "AW: x", "a", "b", fmt.Sprint(i+1), fmt.Sprint(i+2)))
	}
	threads := Threads(list)
	if len(threads) != 20_000-maxThreaded+1 || len(threads[0].Items) != maxThreaded {
		t.Errorf("%d threads, the first of %d mails", len(threads), len(threads[0].Items))
	}
}

func TestSubjectsAreComparedWithoutPrefixes(t *testing.T) {
	for s, want := range map[string]string{
		"AW: Re[2]: WG:  Der  Plan": "der plan", "Re: ": "", "Plan: AW: x": "plan: aw: x", "RE:RE:x": "x", "Antrag": "antrag", "": "", ":": ":", "re(3): x": "x",
	} {
		if got := BaseSubject(s); got != want {
			t.Errorf("%q: got %q, wanted %q", s, got, want)
		}
	}
}
