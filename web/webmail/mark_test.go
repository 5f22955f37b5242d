package webmail

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/store"
)

// renew gives all folders of a mailbox other UIDVALIDITYs and another mail under each UID, as
// after a database that was restored from a backup.
func (s *site) renew(box doppelboden.MailboxID) {
	s.mu.Lock()
	for i := range s.boxes[box].folders {
		s.boxes[box].folders[i].Validity += 5000
		s.boxes[box].folders[i].Next = 1
	}
	s.boxes[box].lying = map[int64][]store.Shown{}
	s.mu.Unlock()
	for folder := int64(1); folder <= 7; folder++ {
		s.put(box, folder, doppelboden.Seen, strings.ReplaceAll(simple, "Bauantrag", "Etwas anderes"))
		s.put(box, folder, doppelboden.Seen, strings.ReplaceAll(simple, "Bauantrag", "Noch etwas"))
	}
}

// lying writes down what lies in all folders of a mailbox.
func (s *site) lies(box doppelboden.MailboxID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for n := int64(1); n <= 7; n++ {
		list := slices.SortedFunc(slices.Values(s.boxes[box].lying[n]), func(a, b store.Shown) int { return int(a.UID) - int(b.UID) })
		for _, m := range list {
			fmt.Fprintf(&b, "%d:%d=%v/%x ", n, m.UID, m.Message, m.Flags)
		}
	}
	return b.String()
}

const renewedText = "Dieses Postfach wurde erneuert"

func TestAnOpenPageActsOnNoMailOfARenewedMailbox(t *testing.T) {
	for _, tc := range []struct {
		name, target string
		form         url.Values
	}{
		{"delete", "/m/7/f/1", url.Values{"do": {"delete"}, "uid": {"1"}, "v": {"v1"}}},
		{"a star", "/m/7/f/1", url.Values{"star": {"flag:1"}, "v": {"v1"}}},
		{"unread", "/m/7/f/1", url.Values{"do": {"unread"}, "uid": {"1"}, "v": {"v1"}}},
		{"move", "/m/7/f/1", url.Values{"do": {"move"}, "to": {"7"}, "uid": {"1"}, "v": {"v1"}}},
		{"undo", "/m/7/f/6", url.Values{"do": {"undo"}, "to": {"1"}, "uid": {"1"}, "v": {"v6"}}},
		{"delete for good", "/m/7/f/6", url.Values{"do": {"remove"}, "uid": {"1"}, "v": {"v6"}, "sure": {"1"}}},
		{"empty the bin", "/m/7/f/6/empty", url.Values{"v": {"v6"}, "sure": {"1"}}},
		{"rename a folder", "/m/7/folders", url.Values{"do": {"rename"}, "folder": {"7"}, "name": {"Neu"}, "v": {"v7"}}},
		{"discard a draft", "/m/7/compose", form("do", "discard", "draft", "1.v2")},
		{"a form without the validity", "/m/7/f/1", url.Values{"do": {"delete"}, "uid": {"1"}}},
		{"read", "/m/7/f/1/1.v1", nil},
		{"download", "/m/7/f/1/1.v1/part/1", nil},
		{"the frame", "/m/7/f/1/1.v1/html", nil},
		{"the conversation", "/m/7/f/1/1.v1/thread", nil},
		{"the source", "/m/7/f/1/1.v1/source", nil},
		{"reply", "/m/7/compose?reply=1.1.v1", nil},
		{"forward", "/m/7/compose?forward=1.1.v1", nil},
		{"a draft", "/m/7/compose?draft=1.v2", nil},
		{"the next page", "/m/7/f/1?before=2.v1", nil},
		{"an old bookmark", "/m/7/f/1/1", nil},
		{"an old bookmark of a draft", "/m/7/compose?draft=1", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			s.put(7, 1, 0, simple)
			s.renew(7)
			before := s.lies(7)
			w := s.ask(7, tc.target, tc.form)
			at := w.Header().Get("Location")
			if w.Code != http.StatusSeeOther || !strings.HasPrefix(at, "/m/7/f/") {
				t.Fatalf("%s: status %d to %q, wanted 303 to a list: %s", tc.target, w.Code, at, mainOf(w.Body.String()))
			}
			if now := s.lies(7); now != before {
				t.Errorf("%s changed the mailbox: %s, before %s", tc.target, now, before)
			}
			if s.boxes[7].folders[6].Name != "Vorgänge" {
				t.Errorf("a folder is called %q now", s.boxes[7].folders[6].Name)
			}
			s.has("the list", s.page(7, at), renewedText, "Es wurde nichts geändert", "Etwas anderes")
		})
	}
}

func TestATakenMailOfARenewedMailboxIsNotTaken(t *testing.T) {
	s := newSite(t)
	s.put(9, 1, 0, simple)
	s.renew(9)
	if w := s.ask(7, "/m/9/f/1/1.v1/take", url.Values{"do": {"take"}}); w.Code != http.StatusSeeOther || len(s.slips) != 0 {
		t.Errorf("status %d, slips %v; wanted 303 and none", w.Code, s.slips)
	}
}

func TestAPartOfAPageLeadsToTheListOfARenewedMailbox(t *testing.T) {
	s := newSite(t)
	s.put(7, 1, 0, simple)
	s.renew(7)
	w := s.part(7, "/m/7/fresh?f=1&top=1.v1")
	if to := w.Header().Get("HX-Redirect"); !strings.HasPrefix(to, "/m/7/f/1?done=renewed") {
		t.Errorf("asking for new mail: status %d, leads to %q", w.Code, to)
	}
}

func TestWhatSomebodyWritesWhileHerMailboxIsRenewedIsKept(t *testing.T) {
	s := newSite(t)
	s.put(7, 1, 0, simple)
	w := s.ask(7, "/m/7/compose", form("do", "save", "to", "eva@example.org", "text", "mein langer Text", "source", "reply.1.1.v1"))
	if at := w.Header().Get("Location"); !strings.Contains(at, "draft=1.v2") {
		t.Fatalf("saving leads to %q", at)
	}
	s.renew(7)
	before := s.lies(7)
	f := form("to", "eva@example.org", "text", "mein langer Text, fertig", "draft", "1.v2", "source", "reply.1.1.v1")
	w = s.ask(7, "/m/7/compose", f)
	s.has("sending", w.Body.String(), "Dieses Postfach wurde erneuert, während Sie schrieben", "mein langer Text, fertig", `name="source" value=""`)
	if w.Code != http.StatusUnprocessableEntity || len(s.sent) != 0 {
		t.Errorf("sending: status %d, %d sent; wanted 422 and none", w.Code, len(s.sent))
	}
	if now := s.lies(7); !strings.Contains(now, strings.Fields(before)[2]) || strings.Count(now, " 2:") != strings.Count(before, " 2:")+1 {
		t.Errorf("the drafts are %s, before %s: wanted one more and all others as they were", now, before)
	}
	// What is written meanwhile goes on being saved, and the second click sends.
	draft := strings.Split(strings.Split(w.Body.String(), `name="draft" value="`)[1], `"`)[0]
	s.ask(7, "/m/7/compose/auto", form("to", "eva@example.org", "text", "mein langer Text, fertig", "draft", draft))
	s.ask(7, "/m/7/compose", form("to", "eva@example.org", "text", "mein langer Text, fertig", "draft", draft))
	if len(s.sent) != 1 || s.sent[0].Answers != nil {
		t.Errorf("%d sent: %+v", len(s.sent), s.sent)
	}
	if now := s.lies(7); now != before {
		t.Errorf("afterwards %s lies there, wanted %s", now, before)
	}
}

func TestADraftThatIsSavedByItselfLeavesOthersOfARenewedMailboxAlone(t *testing.T) {
	s := newSite(t)
	s.ask(7, "/m/7/compose", form("do", "save", "to", "eva@example.org", "text", "Anfang"))
	s.renew(7)
	before := s.lies(7)
	w := s.part(7, "/m/7/compose/auto", form("to", "eva@example.org", "text", "Anfang und Ende", "draft", "1.v2"))
	to := w.Header().Get("HX-Redirect")
	s.has("the page that it leads to", s.page(7, to), "während Sie schrieben", "Anfang und Ende")
	for _, one := range strings.Fields(before) {
		if !strings.Contains(s.lies(7), one) {
			t.Errorf("%s is gone: %s", one, s.lies(7))
		}
	}
}
