package filing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// people says how mails lie here.
type people struct {
	lying map[doppelboden.ID]Lying
	filed []int64
	err   error
}

func (p *people) Lying(context.Context, doppelboden.TenantID, doppelboden.MailboxID, []doppelboden.ID) (map[doppelboden.ID]Lying, error) {
	return p.lying, p.err
}

func (p *people) Folder(_ context.Context, _ mailbox.Changer, _ doppelboden.TenantID, _ doppelboden.MailboxID, l Lying) (string, error) {
	if l.Is == nil {
		return "Trash", nil
	}
	return l.Is.Folder, nil
}

func (p *people) Filed(_ context.Context, _ doppelboden.TenantID, _ doppelboden.MailboxID, list []Lying) error {
	for _, l := range list {
		p.filed = append(p.filed, l.Number)
	}
	return nil
}

// rooms are the folders of a house, each a house of its own.
type rooms struct {
	*house
	all  map[string]*house
	torn bool // the groupware dies while it moves
}

// A wanderer is a session that goes from folder to folder.
type wanderer struct {
	mailbox.Changer // what filing does not ask of it
	rooms           rooms
	in              *session
}

func (w *wanderer) Close() error { return nil }

func (w *wanderer) Select(ctx context.Context, name string) (mailbox.Folder, error) {
	h := w.rooms.house
	if name != "" {
		h = w.rooms.all[name]
	}
	w.in = &session{h: h}
	return w.in.Select(ctx, name)
}

func (w *wanderer) Append(ctx context.Context, mails []mailbox.Mail) ([]uint32, error) {
	return w.in.Append(ctx, mails)
}

func (w *wanderer) Seen(ctx context.Context, from uint32, yield func(mailbox.Seen) error) error {
	return w.in.Seen(ctx, from, yield)
}

func (w *wanderer) Find(ctx context.Context, ids []doppelboden.ID) (map[doppelboden.ID]mailbox.Seen, error) {
	return w.in.Find(ctx, ids)
}

func (w *wanderer) Enter(ctx context.Context, name string) (mailbox.Folder, error) {
	return w.Select(ctx, name)
}

func (w *wanderer) Move(_ context.Context, uids []uint32, to string) error {
	h := w.rooms.house
	if to != "" {
		h = w.rooms.all[to]
	}
	for i, l := range w.in.h.lies {
		if slices.Contains(uids, l.UID) {
			l.UID = h.next
			h.lies, h.flags, h.next = append(h.lies, l), append(h.flags, w.in.h.flags[i]), h.next+1
		}
	}
	if w.rooms.torn { // it dies between copying and removing
		return errors.New("reset")
	}
	return w.Drop(context.Background(), uids)
}

func (w *wanderer) Drop(_ context.Context, uids []uint32) error {
	h := w.in.h
	for i := len(h.lies) - 1; i >= 0; i-- {
		if slices.Contains(uids, h.lies[i].UID) {
			h.lies, h.flags = slices.Delete(h.lies, i, i+1), slices.Delete(h.flags, i, i+1)
		}
	}
	return nil
}

// Open implements mailbox.Backend.
func (r rooms) Open(context.Context, doppelboden.Address) (mailbox.Session, error) {
	return &wanderer{rooms: r}, nil
}

// touched returns a house with folders, a filer, its mails and who has touched them.
func touched(t *testing.T, mails int) (rooms, *Filer, []store.Item, *people) {
	t.Helper()
	h := newHouse()
	r := rooms{house: h, all: map[string]*house{"Bauamt": newHouse(), "Trash": newHouse()}}
	for _, one := range r.all {
		one.bodies = h.bodies
	}
	p := &people{lying: map[doppelboden.ID]Lying{}}
	f := h.filer(t)
	f.opts.People = p
	f.opts.Groupware = func(string) (Groupware, bool) {
		return Groupware{Backend: r, Change: func(context.Context, doppelboden.Address) (mailbox.Changer, error) { return &wanderer{rooms: r}, nil }}, true
	}
	return r, f, h.items(mails), p
}

// file files until nothing is left or nothing goes on, and returns the outcomes.
func file(t *testing.T, f *Filer, items []store.Item) int {
	t.Helper()
	done := 0
	for done < len(items) {
		n := took(f.File(t.Context(), "stadt/neu", items[done:]))
		if n == 0 {
			break
		}
		done += n
	}
	return done
}

func TestWhatPeopleTouchedLiesWhereItLiesHereAndTheRestInTheInbox(t *testing.T) {
	r, f, items, p := touched(t, 6)
	bauamt := &store.Spot{Folder: "Bauamt"}
	p.lying[items[1].Message.ID] = Lying{Is: bauamt, Flags: []string{`\Seen`}, Number: 11}
	p.lying[items[2].Message.ID] = Lying{Is: bauamt, Number: 12}
	p.lying[items[3].Message.ID] = Lying{Number: 13} // deleted
	p.lying[items[4].Message.ID] = Lying{Is: &store.Spot{Folder: "INBOX"}, Flags: []string{`\Flagged`}, Number: 14}
	if n := file(t, f, items); n != 6 {
		t.Fatalf("%d of 6 filed", n)
	}
	got := fmt.Sprint(len(r.lies), len(r.all["Bauamt"].lies), len(r.all["Trash"].lies), p.filed)
	if want := "3 2 1 [11 12 13 14]"; got != want {
		t.Errorf("in inbox, folder and bin, and told: %s, want %s", got, want)
	}
	if flags := fmt.Sprint(r.all["Bauamt"].flags, r.flags); flags != `[[\Seen] []] [[] [\Flagged] []]` {
		t.Errorf("flags %s", flags)
	}
}

// TestAMailThatIsMovedHereAfterARunOfWhichNobodyKnowsTheEndComesOnce lets a node die after a
// run into the inbox, and people move one of its mails before it starts again.
func TestAMailThatIsMovedHereAfterARunOfWhichNobodyKnowsTheEndComesOnce(t *testing.T) {
	for moved := range 5 {
		r, f, items, p := touched(t, 4)
		r.append = func(n int, _ mailbox.Mail) (bool, error) {
			if n < 2 {
				return true, nil
			}
			return true, mailbox.Doubtful(errors.New("reset"))
		}
		f.File(t.Context(), "stadt/neu", items) // three are there; nothing of it is written
		r.append = nil
		if moved == 4 { // the first, which somebody has deleted there since then
			moved = 0
			r.lies, r.flags = r.lies[1:], r.flags[1:]
		}
		p.lying[items[moved].Message.ID] = Lying{Is: &store.Spot{Folder: "Bauamt"}, Number: 9}
		if n := file(t, f, items); n != 4 {
			t.Fatalf("%d of 4 filed", n)
		}
		if n := len(r.lies) + len(r.all["Bauamt"].lies); n != 4 {
			t.Errorf("after mail %d was moved here %d lie there, want four", moved, n)
		}
	}
}

// TestWhatIsTakenBackAfterARunOfWhichNobodyKnowsTheEndLiesWhereItLiesHere lets a node die after
// it put two mails into a folder, and people take one back into the inbox, which leaves no
// deed, before it starts again. The groupware may die while it brings the mail back.
func TestWhatIsTakenBackAfterARunOfWhichNobodyKnowsTheEndLiesWhereItLiesHere(t *testing.T) {
	for _, torn := range []bool{false, true} {
		r, f, items, p := touched(t, 3)
		r.torn = torn
		f.opts.Groupware = func(string) (Groupware, bool) {
			return Groupware{Backend: r, Change: func(context.Context, doppelboden.Address) (mailbox.Changer, error) { return &wanderer{rooms: r}, nil }}, true
		}
		bauamt := Lying{Is: &store.Spot{Folder: "Bauamt"}, Number: 11}
		p.lying[items[0].Message.ID], p.lying[items[1].Message.ID] = bauamt, bauamt
		if n := took(f.File(t.Context(), "stadt/neu", items)); n != 2 { // nothing of it is written
			t.Fatalf("%d filed, want the two in the folder", n)
		}
		delete(p.lying, items[0].Message.ID)
		if torn {
			if n := took(f.File(t.Context(), "stadt/neu", items)); n != 0 {
				t.Fatalf("%d filed although the groupware died", n)
			}
			r.torn = false
		}
		if n := file(t, f, items); n != 3 {
			t.Fatalf("%d of 3 filed", n)
		}
		if got, want := fmt.Sprint(len(r.lies), len(r.all["Bauamt"].lies)), "2 1"; got != want {
			t.Errorf("torn %v: in inbox and folder lie %s, want %s", torn, got, want)
		}
		if r.lies[0].ID != items[0].Message.ID {
			t.Errorf("torn %v: the mail that was taken back does not lie in the inbox", torn)
		}
	}
}
