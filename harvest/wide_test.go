package harvest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
)

// move moves mails from one folder to another, as MOVE does: with their dates.
func (f *fake) move(owner doppelboden.Address, from, to string, fits func(n int, m *fakeMail) bool) {
	var moved []*fakeMail
	f.remove(owner, from, func(n int, m *fakeMail) bool {
		if fits(n, m) {
			moved = append(moved, m)
			return true
		}
		return false
	})
	for _, m := range moved {
		f.put(owner, to, m.text, m.date, m.flags)
	}
}

// first5 fits the first five mails of a folder.
func first5(n int, _ *fakeMail) bool { return n < 5 }

// A wide groupware lists folders that cannot be opened before those that can, and no more than
// it is asked for.
type wide struct {
	*fake
	closed int
}

func (b *wide) Mirror(ctx context.Context, owner doppelboden.Address) (mailbox.Mirror, error) {
	s, err := b.fake.Mirror(ctx, owner)
	return &wideSession{s, b.closed}, err
}

type wideSession struct {
	mailbox.Mirror
	closed int
}

func (s *wideSession) Tree(ctx context.Context, limit int) (tree []mailbox.Branch, err error) {
	for n := range s.closed {
		tree = append(tree, mailbox.Branch{Name: fmt.Sprintf("Amt %d", n), NoSelect: true})
	}
	own, err := s.Mirror.Tree(ctx, limit)
	slices.SortFunc(own, func(a, b mailbox.Branch) int { return strings.Compare(a.Name, b.Name) })
	tree = append(tree, own...)
	return tree[:min(len(tree), limit)], err
}

func TestOfAMailboxWithMoreFoldersThanAreReadNothingIsHiddenOrProved(t *testing.T) {
	w, g := filled(t, 20)
	anna := w.boxes[0]
	b := &wide{g, 0}
	w.route.Backend = b
	g.put(anna.Address, "Projekt", letter("bert", "anna", "Plan", w.clock()), w.clock(), 0)
	w.fill(anna)
	before, err := w.room.Coverage(ctx, anna.Tenant, anna.ID)
	w.must(err)
	g.move(anna.Address, "INBOX", "Zuletzt", first5)
	b.closed = mostFolders - 1 // the inbox is the last that is listed
	for range 3 {
		w.pass(25 * time.Hour)
		if seen, err := w.look(anna); err != nil || seen.filling {
			t.Fatalf("the look said %+v, %v, want that nothing more can be read", seen, err)
		}
	}
	if n := w.hidden(anna); n != 0 {
		t.Errorf("%d mails are hidden that lie in folders which are not read, want none", n)
	}
	c, err := w.room.Coverage(ctx, anna.Tenant, anna.ID)
	w.must(err)
	if c.Trouble != "it has more folders than are read" || c.Internal.Why != WhyTrouble || !c.Internal.Until.Equal(before.Internal.Until) {
		t.Errorf("internal mail is covered as %+v (%q), want up to %v, when there were fewer folders", c.Internal, c.Trouble, before.Internal.Until)
	}
	b.closed = mostFolders - 4 // all of hers are listed
	w.fill(anna)
	if c, err = w.room.Coverage(ctx, anna.Tenant, anna.ID); err != nil || c.Trouble != "" || c.Internal.Why != WhyRounds {
		t.Errorf("with fewer folders it is covered as %+v (%q, %v), want up to now", c.Internal, c.Trouble, err)
	}
	same(t, "the folders with mail that was moved or pushed out", slices.DeleteFunc(w.shows(anna), func(l line) bool { return l.Folder == doppelboden.Inbox }),
		line{"Projekt", "Plan", 0}, line{"Zuletzt", "Mail 0000", 0}, line{"Zuletzt", "Mail 0001", 0}, line{"Zuletzt", "Mail 0002", 0},
		line{"Zuletzt", "Mail 0003", 0}, line{"Zuletzt", "Mail 0004", 0})
}
