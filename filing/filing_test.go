package filing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
	"pgregory.net/rapid"
)

// took counts the outcomes that say that the mailbox has the mail.
func took(outcomes []doppelboden.Outcome) (n int) {
	for _, o := range outcomes {
		if o.Verdict == doppelboden.Took {
			n++
		}
	}
	return n
}

func TestMailsLieInTheMailboxInOrderWithTheirDatesAndAReturnPath(t *testing.T) {
	h := newHouse()
	items := h.items(250)
	h.bodies[items[3].Message.Body.Segment] = "Authentication-Results: mx.example; spf=pass\r\nSubject: forged\r\n\r\nx"
	items[3].Message.Body.Size = int64(len(h.bodies[items[3].Message.Body.Segment]))
	out := h.filer(t).File(t.Context(), "stadt/neu", items)
	if len(out) != 250 || took(out) != 250 {
		t.Fatalf("%d outcomes, %d of them good, want 250", len(out), took(out))
	}
	if got, want := out[9].Line(), "append 127.0.0.1:143: OK [APPENDUID 7 10]"; got != want {
		t.Errorf("the tenth reply is %q, want %q", got, want)
	}
	for i, l := range h.lies {
		if m := items[i].Message; l.ID != m.ID || !l.Date.Equal(m.Received) {
			t.Fatalf("mail %d in the folder is %v of %v, want %v of %v", i, l.ID, l.Date, m.ID, m.Received)
		}
	}
	if want := "Return-Path: <a@b.example>\r\nReceived: from us id " + items[3].Message.ID.String() + "\r\nSubject: forged\r\n\r\nx\r\n"; h.lies[3].text != want {
		t.Errorf("a mail with results in our name lies there as %q, want %q", h.lies[3].text, want)
	}
	if h.asked != 0 {
		t.Errorf("the folder was looked through %d times although nothing was in doubt", h.asked)
	}
	if f := h.filings[1]; f.Next != 1 || f.Validity != 7 || f.Through != 250 || f.Route != "stadt/neu" {
		t.Errorf("noted before the run: %+v", f)
	}
}

func TestWhatWasInDoubtAndIsThereIsNotPutThereAgain(t *testing.T) {
	h := newHouse()
	items := h.items(10)
	h.append = func(n int, _ mailbox.Mail) (bool, error) {
		if n == 4 { // it is kept, and the answer never comes
			return true, mailbox.Doubtful(errors.New("connection reset"))
		}
		return true, nil
	}
	f := h.filer(t)
	out := f.File(t.Context(), "stadt/neu", items)
	if len(out) != 5 || took(out) != 4 || !out[4].InDoubt || out[4].Scope != doppelboden.AboutRoute {
		t.Fatalf("outcomes %+v, want four good ones and one in doubt", out)
	}
	h.append = nil
	out = f.File(t.Context(), "stadt/neu", items[4:])
	if len(out) != 6 || took(out) != 6 || out[0].Phase != "found" {
		t.Errorf("the second try: %+v, want the first found and five more", out)
	}
	if len(h.lies) != 10 {
		t.Errorf("%d mails lie there, want each of the ten once", len(h.lies))
	}
	log := strings.Join(h.log, ", ")
	if strings.Count(log, "in doubt") != 1 || strings.Count(log, "took found") != 1 {
		t.Errorf("the tally says: %s", log)
	}
}

func TestWhatWasInDoubtAndIsNotThereIsPutThereAgain(t *testing.T) {
	h := newHouse()
	items := h.items(3)
	h.append = func(int, mailbox.Mail) (bool, error) { return false, mailbox.Doubtful(errors.New("connection reset")) }
	f := h.filer(t)
	f.File(t.Context(), "stadt/neu", items)
	h.append = nil
	if out := f.File(t.Context(), "stadt/neu", items); took(out) != 3 || len(h.lies) != 3 {
		t.Errorf("%d of 3 taken, %d lie there", took(out), len(h.lies))
	}
}

func TestAfterANewUIDVALIDITYTheWholeFolderIsLookedThrough(t *testing.T) {
	h := newHouse()
	items := h.items(3)
	f := h.filer(t)
	f.File(t.Context(), "stadt/neu", items) // and the node dies before it writes that down
	h.validity, h.next = 8, 1
	for i := range h.lies { // the groupware was rebuilt from its files
		h.lies[i].UID = h.next
		h.next++
	}
	if out := f.File(t.Context(), "stadt/neu", items); took(out) != 3 || len(h.lies) != 3 {
		t.Errorf("%d of 3 taken, %d lie there, want 3 found", took(out), len(h.lies))
	}
}

func TestAMailThatOnlyBearsOurIdIsNotTakenForTheOneInDoubt(t *testing.T) {
	h := newHouse()
	items := h.items(1)
	h.append = func(int, mailbox.Mail) (bool, error) { return false, mailbox.Doubtful(errors.New("connection reset")) }
	f := h.filer(t)
	f.File(t.Context(), "stadt/neu", items)
	h.lies = []lying{{mailbox.Seen{UID: 1, ID: items[0].Message.ID, Size: 4711, Date: day}, "forged"}}
	h.next, h.append = 2, nil
	if out := f.File(t.Context(), "stadt/neu", items); took(out) != 1 || len(h.lies) != 2 {
		t.Errorf("%d taken, %d lie there, want the mail beside what bears its id", took(out), len(h.lies))
	}
}

func TestATryByLMTPWithoutAnAnswerIsLookedForAsWell(t *testing.T) {
	for reply, there := range map[string]bool{
		"dot 127.0.0.1:24: no answer in time":               true,
		"dot 127.0.0.1:24: connection closed by the server": true,
		"dot 127.0.0.1:24: 451 4.3.0 later":                 false,
		"append 127.0.0.1:143: no answer: reset":            true,
		"append 127.0.0.1:143: NO [OVERQUOTA] full":         false,
		"connect 127.0.0.1:24: connection refused":          false,
	} {
		h := newHouse()
		items := h.items(2)
		items[0].Delivery.Attempts, items[0].Delivery.Reply = 1, reply
		h.lies = []lying{{mailbox.Seen{UID: 1, ID: items[0].Message.ID, Size: 4711, Date: day}, "with more lines"}}
		h.next = 2
		if out := h.filer(t).File(t.Context(), "stadt/neu", items); took(out) != 2 || (len(h.lies) == 2) != there {
			t.Errorf("after %q: %d taken, %d lie there, want that it is looked for: %v", reply, took(out), len(h.lies), there)
		}
	}
}

func TestATryInDoubtIsLookedForAlsoWhenOtherWordsCameAfterIt(t *testing.T) {
	for _, c := range []struct {
		reply    string
		attempts int
		there    bool
	}{
		{"connect 127.0.0.1:24: connection refused", 2, true}, // the first may have been in doubt
		{"dot 127.0.0.1:24: 451 4.3.0 later", 3, true},
		{"rcpt 127.0.0.1:24: 451 4.3.0 later", 2, true},
		{"append 127.0.0.1:143: NO [OVERQUOTA] full", 2, true},
		{"retry: the server is back", 1, true}, // a person's words
		{"release", 1, true},
		{"data 127.0.0.1:24: 451 4.3.0 later", 1, false},
		{"login 127.0.0.1:143: the groupware's IMAP server refuses our log-in", 1, false},
		{"", 0, false},
	} {
		h := newHouse()
		items := h.items(2)
		items[0].Delivery.Attempts, items[0].Delivery.Reply = c.attempts, c.reply
		h.lies = []lying{{mailbox.Seen{UID: 1, ID: items[0].Message.ID, Size: 4711, Date: day}, "with more lines"}}
		h.next = 2
		if out := h.filer(t).File(t.Context(), "stadt/neu", items); took(out) != 2 || (len(h.lies) == 2) != c.there {
			t.Errorf("after %q in try %d: %d taken, %d lie there, want that it is looked for: %v", c.reply, c.attempts, took(out), len(h.lies), c.there)
		}
	}
}

func TestWhatAServerSaysDecidesAboutTheMailTheMailboxOrTheRoute(t *testing.T) {
	refused := func(code doppelboden.Code) error { return &doppelboden.Error{Code: code, Public: "no"} }
	for _, c := range []struct {
		name  string
		set   func(h *house, items []store.Item)
		lane  string
		n     int // outcomes
		good  int
		v     doppelboden.Verdict // of the last
		s     doppelboden.Scope
		phase string
	}{
		{"no such mailbox", func(h *house, _ []store.Item) { h.opened = func() error { return refused(doppelboden.NotFound) } }, "stadt/neu", 3, 0, doppelboden.Refused, doppelboden.AboutRecipient, "login"},
		{"log-in refused", func(h *house, _ []store.Item) { h.opened = func() error { return refused(doppelboden.Policy) } }, "stadt/neu", 1, 0, doppelboden.Later, doppelboden.AboutRoute, "login"},
		{"nobody answers", func(h *house, _ []store.Item) { h.opened = func() error { return errors.New("refused") } }, "stadt/neu", 1, 0, doppelboden.Later, doppelboden.AboutRoute, "connect"},
		{"a route without mailboxes", func(*house, []store.Item) {}, "stadt/x", 1, 0, doppelboden.Later, doppelboden.AboutRoute, "connect"},
		{"a mailbox that is nobody's", func(_ *house, items []store.Item) { items[0].Delivery.Mailbox = 0 }, "stadt/neu", 1, 0, doppelboden.Later, doppelboden.AboutRecipient, "login"},
		{"full", func(h *house, _ []store.Item) {
			h.append = func(n int, _ mailbox.Mail) (bool, error) {
				return n < 1, map[bool]error{true: &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeOverQuota}}[n >= 1]
			}
		}, "stadt/neu", 2, 1, doppelboden.Later, doppelboden.AboutRecipient, "append"},
		{"not permitted", func(h *house, _ []store.Item) {
			h.append = func(int, mailbox.Mail) (bool, error) {
				return false, &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNoPerm, Text: "no"}
			}
		}, "stadt/neu", 1, 0, doppelboden.Later, doppelboden.AboutRoute, "append"},
		{"full, without a code", func(h *house, _ []store.Item) {
			h.append = func(int, mailbox.Mail) (bool, error) {
				return false, &imap.Error{Type: imap.StatusResponseTypeNo, Text: "Quota exceeded"}
			}
		}, "stadt/neu", 1, 0, doppelboden.Later, doppelboden.AboutRecipient, "append"},
		{"a mail that the server does not like", func(h *house, _ []store.Item) {
			h.append = func(n int, _ mailbox.Mail) (bool, error) {
				return n < 1, map[bool]error{true: &imap.Error{Type: imap.StatusResponseTypeNo, Text: "Message contains invalid header"}}[n >= 1]
			}
		}, "stadt/neu", 2, 1, doppelboden.Later, doppelboden.AboutMessage, "append"},
		{"a mail that the server does not understand", func(h *house, _ []store.Item) {
			h.append = func(n int, _ mailbox.Mail) (bool, error) {
				return n < 1, map[bool]error{true: &imap.Error{Type: imap.StatusResponseTypeBad, Text: "Invalid message"}}[n >= 1]
			}
		}, "stadt/neu", 2, 1, doppelboden.Later, doppelboden.AboutMessage, "append"},
		{"a connection that breaks in the middle of a mail", func(h *house, _ []store.Item) {
			h.append = func(n int, _ mailbox.Mail) (bool, error) {
				return n < 1, map[bool]error{true: errors.New("reset")}[n >= 1]
			}
		}, "stadt/neu", 2, 1, doppelboden.Later, doppelboden.AboutRoute, "append"},
		{"too large", func(h *house, _ []store.Item) {
			h.append = func(n int, _ mailbox.Mail) (bool, error) {
				return n < 2, map[bool]error{true: refused(doppelboden.Policy)}[n >= 2]
			}
		}, "stadt/neu", 3, 2, doppelboden.Refused, doppelboden.AboutMessage, "append"},
		{"a NUL", func(h *house, items []store.Item) {
			h.bodies[items[1].Message.Body.Segment] = strings.Repeat("\x00", int(items[1].Message.Body.Size))
		}, "stadt/neu", 2, 1, doppelboden.Refused, doppelboden.AboutMessage, "append"},
		{"a body that is gone", func(h *house, items []store.Item) { delete(h.bodies, items[1].Message.Body.Segment) }, "stadt/neu", 2, 1, doppelboden.Later, doppelboden.AboutMessage, "append"},
		{"a lease that is short", func(h *house, _ []store.Item) { h.may = false }, "stadt/neu", 1, 0, doppelboden.Later, doppelboden.AboutRoute, "append"},
		{"a database that cannot note", func(h *house, _ []store.Item) { h.putErr = errors.New("full disk") }, "stadt/neu", 1, 0, doppelboden.Later, doppelboden.AboutRecipient, "append"},
	} {
		h := newHouse()
		items := h.items(3)
		c.set(h, items)
		out := h.filer(t).File(t.Context(), c.lane, items)
		if len(out) != c.n || took(out) != c.good {
			t.Errorf("%s: outcomes %+v, want %d of which %d are good", c.name, out, c.n, c.good)
			continue
		}
		if o := out[len(out)-1]; o.Verdict != c.v || o.Scope != c.s || o.Phase != c.phase || o.InDoubt {
			t.Errorf("%s: %s about the %s in %s (%s), want %s about the %s in %s", c.name, o.Verdict, o.Scope, o.Phase, o.Line(), c.v, c.s, c.phase)
		}
		if len(h.lies) != c.good {
			t.Errorf("%s: %d lie there, want %d", c.name, len(h.lies), c.good)
		}
	}
}

func TestAServerThatDoesNotSayUIDsIsBelievedAllTheSame(t *testing.T) {
	h := newHouse()
	h.mute = true
	out := h.filer(t).File(t.Context(), "stadt/neu", h.items(2))
	if took(out) != 2 || !strings.Contains(out[0].Line(), "did not say") {
		t.Errorf("outcomes %+v, want both taken", out)
	}
}

// TestWhateverBreaksEveryMailComesOnceAndInOrder breaks runs at random places: answers
// that never come, with and without the mail, nodes that die before they write down what
// happened, mailboxes that are full for a while, runs of other lengths.
func TestWhateverBreaksEveryMailComesOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHouse()
		f := h.filer(t)
		items := h.items(rapid.IntRange(1, 30).Draw(rt, "mails"))
		all := slices.Clone(items)
		for round := 0; len(items) > 0; round++ {
			h.append = nil
			if round < 30 {
				at := len(h.lies) + rapid.IntRange(0, 12).Draw(rt, "breaks after")
				kept := rapid.Bool().Draw(rt, "kept")
				h.append = func(n int, _ mailbox.Mail) (bool, error) {
					if n < at {
						return true, nil
					}
					return kept, mailbox.Doubtful(errors.New("reset"))
				}
			}
			run := items[:rapid.IntRange(1, len(items)).Draw(rt, "run")]
			out := f.File(t.Context(), "stadt/neu", run)
			if round < 30 && rapid.Bool().Draw(rt, "the node dies") {
				continue // nothing of it is written
			}
			for _, o := range out {
				if o.Verdict != doppelboden.Took {
					break
				}
				if o.Ref.Message != items[0].Message.ID {
					rt.Fatalf("an outcome for %v, want one for %v", o.Ref.Message, items[0].Message.ID)
				}
				items = items[1:]
			}
		}
		var got, want []string
		for _, l := range h.lies {
			got = append(got, l.ID.String())
		}
		for _, it := range all {
			want = append(want, it.Message.ID.String())
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("in the folder lie\n%s\nwant each mail once:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestMailsOfAnyTotalSizeGoInBatchesThatFitIntoMemory(t *testing.T) {
	h := newHouse()
	items := h.items(12)
	for _, it := range items {
		h.bodies[it.Message.Body.Segment] = "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("y", 998)+"\r\n", 1600)
		it.Message.Body.Size = int64(len(h.bodies[it.Message.Body.Segment]))
	}
	if out := h.filer(t).File(t.Context(), "stadt/neu", items); took(out) != 12 {
		t.Fatalf("%d of 12 taken: %+v", took(out), out[len(out)-1])
	}
	if h.batches != 6 {
		t.Errorf("twelve mails of 1.6 MB went in %d batches, want six of two", h.batches)
	}
	if h.lies[11].Size != items[11].Message.Body.Size+int64(len(items[11].Message.Prefix))+int64(len("Return-Path: <a@b.example>\r\n")) {
		t.Errorf("the last lies there with %d octets", h.lies[11].Size)
	}
}

func TestAFilingNotesTheTimeAndALaneOfItsOwn(t *testing.T) {
	h := newHouse()
	items := h.items(2)
	f := h.filer(t)
	h.append = func(int, mailbox.Mail) (bool, error) { return true, mailbox.Doubtful(errors.New("reset")) }
	f.File(t.Context(), "stadt/alt", items)
	if got := h.filings[1]; !got.At.Equal(day) || got.Route != "stadt/alt" {
		t.Errorf("noted %+v", got)
	}
	// The mailbox moves to another groupware, where UIDs of the old one say nothing.
	h.append, h.lies, h.next = nil, nil, 1
	if out := f.File(t.Context(), "stadt/neu", items); took(out) != 2 || len(h.lies) != 2 {
		t.Errorf("%d taken by the new groupware, %d lie there; want both mails", took(out), len(h.lies))
	}
}
