package harvest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"doppelboden"
)

// restore takes the inbox of a mailbox back to its first mails, so that the next ones get UIDs
// that others had.
func (f *fake) restore(owner doppelboden.Address, mails int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in := f.box(owner).folders["INBOX"]
	in.mails = in.mails[:mails]
	in.next = in.mails[mails-1].uid + 1
}

func TestMailsThatGotTheUIDsOfOthersWhenTheGroupwareWasRestoredAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		plain bool
		fresh int // so many mails came since then, where four are lost
		moved int // so many of them, the last, were moved away again
		told  int // so many are told to be missing; of others nothing shows that nobody deleted them
	}{
		"as many as before":                   {false, 4, 0, 4},
		"more than before":                    {false, 9, 0, 4},
		"more, and no CONDSTORE":              {true, 9, 0, 4},
		"more, the last of which were moved":  {false, 4, 2, 4},
		"more than before, and all is moved":  {false, 4, 4, 0},
		"fewer than before":                   {false, 2, 0, 4},
		"nothing was lost, and some came":     {false, 0, 0, 0},
		"no CONDSTORE, as many, one is moved": {true, 4, 1, 4},
	} {
		w := open(t)
		g := newFake()
		g.plain = c.plain
		w.route.Backend = g
		anna := w.boxes[0]
		put := func(subject string, flags uint32) {
			at := w.clock().Add(-time.Hour)
			g.put(anna.Address, "INBOX", letter("eva", "anna", subject, at), at, flags)
		}
		want := []line{}
		for n := range 3 {
			put(fmt.Sprintf("Kept %d", n), 0)
			want = append(want, line{doppelboden.Inbox, fmt.Sprintf("Kept %d", n), 0})
		}
		for n := range 4 {
			put(fmt.Sprintf("Lost %d", n), 0)
			want = append(want, line{doppelboden.Inbox, fmt.Sprintf("Lost %d", n), 0})
		}
		w.fill(anna)
		if c.fresh > 0 {
			g.restore(anna.Address, 3)
		}
		for n := range c.fresh {
			put(fmt.Sprintf("New %d", n), doppelboden.Seen)
			if n < c.fresh-c.moved {
				want = append(want, line{doppelboden.Inbox, fmt.Sprintf("New %d", n), doppelboden.Seen})
			}
		}
		g.remove(anna.Address, "INBOX", func(n int, _ *fakeMail) bool { return n >= 3+c.fresh-c.moved && c.fresh > 0 })
		w.pass(16 * time.Minute) // after which flags are compared without CONDSTORE
		w.fill(anna)
		same(t, name+": the mailbox right afterwards", w.shows(anna), want...)
		for range 2 {
			w.pass(25 * time.Hour)
			w.fill(anna)
		}
		lost := min(c.fresh, 1) * 4
		if n := w.hidden(anna); n != lost-c.told {
			t.Errorf("%s: %d mails are hidden a day later, want %d of %d that are lost", name, n, lost-c.told, lost)
		}
		if said := w.lacks(); c.told > 0 && !strings.Contains(said, fmt.Sprintf("(mails: %d, ", c.told)) || c.told == 0 && said != "" {
			t.Errorf("%s: the alarm a day later is %q, want that %d mails are missing", name, said, c.told)
		}
	}
}
