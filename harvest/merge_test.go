package harvest

import (
	"slices"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// does lets somebody do something with a mail of a folder.
func (w *world) does(box doppelboden.Mailbox, folder string, message doppelboden.ID, c store.Change) {
	w.t.Helper()
	w.must(w.landing.CatchUp(ctx))
	folders, err := w.db.Folders(ctx, box.Tenant, box.ID)
	w.must(err)
	b := shelf{r: w.room, t: box.Tenant, id: box.ID, folders: folders}
	c.Place, _ = b.place(folder)
	uid, _, err := b.find(ctx, c.Place, message)
	w.must(err)
	if uid == 0 {
		w.t.Fatalf("the mail %s does not lie in %s", message, folder)
	}
	c.UIDs, c.Deed, c.At = []uint32{uid}, true, w.clock()
	_, err = w.db.Change(ctx, []store.Change{c})
	w.must(err)
}

// owed returns what is to go back of a mailbox for one message.
func (w *world) owed(box doppelboden.Mailbox, message doppelboden.ID) (list []string) {
	w.t.Helper()
	name := func(s *store.Spot) string {
		if s == nil {
			return "nowhere"
		}
		return s.Folder
	}
	w.must(w.db.Deeds(ctx, store.DeedFilter{Tenant: box.Tenant, Mailbox: box.ID, Message: message}, func(d store.Deed) error {
		list = append(list, name(d.Was)+" to "+name(d.Is))
		return nil
	}))
	slices.Sort(list)
	return list
}

func TestWhatSomebodyDidWithAReportedMailIsDoneWithTheDeliveryThatFollows(t *testing.T) {
	const inbox = doppelboden.Inbox
	for name, c := range map[string]struct {
		first func(w *world, akten int64) []store.Change // with the reported mail, each in the inbox
		then  func(akten int64) *store.Change            // with the delivered one, before anybody sees that they are one
		shows []line
		owes  []string // of the delivered one
	}{
		"moved": {func(_ *world, akten int64) []store.Change {
			return []store.Change{{Action: store.ActFlag, Set: doppelboden.Seen}, {Action: store.ActMove, To: akten}}
		}, nil, []line{{"Akten", "Vermerk", doppelboden.Seen}}, []string{"INBOX to Akten"}},
		"copied": {func(_ *world, akten int64) []store.Change {
			return []store.Change{{Action: store.ActCopy, To: akten}}
		}, nil, []line{{"Akten", "Vermerk", 0}, {inbox, "Vermerk", 0}}, []string{"nowhere to Akten"}},
		"copied and removed": {func(_ *world, akten int64) []store.Change {
			return []store.Change{{Action: store.ActCopy, To: akten}, {Action: store.ActRemove}}
		}, nil, []line{{"Akten", "Vermerk", 0}}, []string{"INBOX to nowhere", "nowhere to Akten"}},
		"removed": {func(*world, int64) []store.Change {
			return []store.Change{{Action: store.ActRemove}}
		}, nil, nil, []string{"INBOX to nowhere"}},
		"removed, and the delivery was read": {func(*world, int64) []store.Change {
			return []store.Change{{Action: store.ActRemove}}
		}, func(int64) *store.Change { return &store.Change{Action: store.ActFlag, Set: doppelboden.Seen} }, []line{{inbox, "Vermerk", doppelboden.Seen}}, []string{"INBOX to INBOX"}},
		"read": {func(*world, int64) []store.Change {
			return []store.Change{{Action: store.ActFlag, Set: doppelboden.Seen}}
		}, nil, []line{{inbox, "Vermerk", doppelboden.Seen}}, []string{"INBOX to INBOX"}},
		"moved, and the delivery elsewhere": {func(_ *world, akten int64) []store.Change {
			return []store.Change{{Action: store.ActMove, To: akten}}
		}, func(akten int64) *store.Change { return &store.Change{Action: store.ActMove, To: akten + 1} }, []line{{"Bauamt", "Vermerk", 0}}, []string{"INBOX to Bauamt"}},
	} {
		w := open(t)
		bert := w.boxes[1]
		var akten int64
		for _, folder := range []string{"Akten", "Bauamt"} {
			made, err := w.db.PutFolder(ctx, store.Folder{Place: store.Place{Tenant: bert.Tenant, Mailbox: bert.ID}, Name: folder})
			w.must(err)
			if akten == 0 {
				akten = made.Folder
			}
		}
		text := letter("anna", "bert", "Vermerk", w.clock())
		reported, err := w.report(wrap("anna@stadt.example", "bert@stadt.example", text), 1000)
		w.must(err)
		w.shows(bert) // it has its marks
		for _, change := range c.first(w, akten) {
			w.does(bert, inbox, reported.ID, change)
		}
		w.pass(time.Minute)
		delivered := w.arrive("submission", "anna@stadt.example", text, "bert@stadt.example")
		if c.then != nil {
			w.does(bert, inbox, delivered, *c.then(akten))
		}
		same(t, name+": the mailbox", w.shows(bert), c.shows...)
		same(t, name+": what is owed of the delivery", w.owed(bert, delivered), c.owes...)
	}
}
