package harvest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/test/peer"
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

func TestAFolderOfWhichNothingIsKnownIsNotListedOnlyBecauseTheServerDoesNotSayWhatChanged(t *testing.T) {
	w := open(t)
	g := newFake()
	g.old = true
	w.route.Backend = g
	anna := w.boxes[0]
	at := w.clock().AddDate(0, 0, -40) // 30 days are read
	g.put(anna.Address, "Archiv", letter("eva", "anna", "Alt", at), at, 0)
	w.fill(anna)
	g.listed = 0
	w.pass(16 * time.Minute) // after which flags are compared
	w.fill(anna)
	if g.listed != 0 {
		t.Errorf("folders with nothing that is known were listed %d times, want never", g.listed)
	}
}

func TestADovecotThatWasRestoredGivesUIDsOnceMoreAndItsMailIsRead(t *testing.T) {
	w := open(t)
	g := withDovecot(t, w)
	anna := w.boxes[0]
	at := w.clock().Add(-time.Hour)
	lay := func(flag imap.Flag, subjects ...string) {
		g.as("anna", func(c *imapclient.Client) {
			for _, s := range subjects {
				g.append(c, "INBOX", letter("eva", "anna", s, at), at, flag)
			}
		})
	}
	restart := func(change func(o peer.Dovecot) error) {
		o, err := g.Halt()
		w.must(err)
		w.must(change(o))
		g.DovecotServer = peer.For[*peer.DovecotServer](t, o)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	lay(imap.FlagAnswered, "Kept 1", "Kept 2", "Kept 3")
	restart(func(o peer.Dovecot) error { return o.Backup(backup) })
	lay(imap.FlagAnswered, "Lost 1", "Lost 2")
	w.fill(anna)
	restart(func(o peer.Dovecot) error { return o.Restore(backup) })
	lay(imap.FlagSeen, "New 1", "New 2", "New 3")
	w.fill(anna)
	line := func(subject string, flags uint32) line { return line{doppelboden.Inbox, subject, flags} }
	same(t, "the mailbox", w.shows(anna), line("Kept 1", doppelboden.Answered), line("Kept 2", doppelboden.Answered), line("Kept 3", doppelboden.Answered),
		line("Lost 1", doppelboden.Answered), line("Lost 2", doppelboden.Answered), line("New 1", doppelboden.Seen), line("New 2", doppelboden.Seen), line("New 3", doppelboden.Seen))
	uids := map[uint32]string{}
	w.must(w.db.Harvested(ctx, store.HarvestFilter{Tenant: anna.Tenant, Mailbox: anna.ID}, func(h store.Harvest) error {
		if h.Gone.IsZero() {
			uids[h.UID] = w.subject(h.Message)
		}
		return nil
	}))
	if len(uids) != 6 || uids[4] != "New 1" || uids[5] != "New 2" {
		t.Errorf("known by UID are %v, want the new ones where the lost ones were", uids)
	}
}
