package harvest

import (
	"fmt"
	"testing"
	"time"

	"doppelboden"
)

// back has the groupware put a folder back as it was before its last mails came.
func (f *fake) back(owner doppelboden.Address, folder string, lost int, validity uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.box(owner)
	in := b.folders[folder]
	in.mails = in.mails[:len(in.mails)-lost]
	in.next -= uint32(lost)
	in.validity = validity
	b.modseq++
	in.modseq = b.modseq
}

func TestMailOlderThanWhatIsReadIsNotHiddenWhenItsOwnerFilesIt(t *testing.T) {
	w := open(t)
	g := newFake()
	w.route.Backend = g
	anna := w.boxes[0]
	arrived := w.clock().AddDate(0, 0, -20)
	g.put(anna.Address, "INBOX", letter("eva", "anna", "Vertrag", arrived), arrived, 0)
	g.put(anna.Address, "INBOX", letter("eva", "anna", "Werbung", w.clock()), w.clock(), 0)
	w.fill(anna)
	w.pass(20 * 24 * time.Hour) // 30 days are read
	g.move(anna.Address, "INBOX", "Akten", func(n int, _ *fakeMail) bool { return n == 0 })
	g.remove(anna.Address, "INBOX", func(int, *fakeMail) bool { return true })
	for range 3 {
		w.fill(anna)
		w.pass(25 * time.Hour)
	}
	same(t, "the mailbox", w.shows(anna), line{doppelboden.Inbox, "Vertrag", 0}, line{doppelboden.Inbox, "Werbung", doppelboden.Hidden})
}

func TestAfterAChangeOfUIDValidityOldMailIsNeitherHiddenNorMissing(t *testing.T) {
	w, g := filled(t, 20)
	anna := w.boxes[0]
	w.pass(40 * 24 * time.Hour)
	w.fill(anna)
	g.back(anna.Address, "INBOX", 0, 2)
	for range 3 {
		w.fill(anna)
		w.pass(25 * time.Hour)
	}
	if n, list := w.hidden(anna), w.room.Alarms(); n != 0 || len(list) != 0 {
		t.Errorf("%d mails are hidden and the alarms are %+v, want none: the groupware has all of them", n, list)
	}
}

func TestAFillingThatTakesDaysComesToWhereItBegan(t *testing.T) {
	w := open(t)
	g := newFake()
	w.route.Backend = g
	w.room.opts.Pace.Slice = headsAtOnce
	anna := w.boxes[0]
	at := w.clock().AddDate(0, 0, -29) // 30 days are read
	for n := range headsAtOnce + 20 {
		g.put(anna.Address, "INBOX", letter("eva", "anna", fmt.Sprintf("Mail %04d", n), at), at, 0)
	}
	if seen, err := w.look(anna); err != nil || !seen.filling {
		t.Fatalf("the first look said %+v, %v, want that there is more", seen, err)
	}
	w.pass(4 * 24 * time.Hour)
	w.fill(anna)
	if all := w.shows(anna); len(all) != headsAtOnce+20 {
		t.Errorf("the mailbox shows %d mails, want %d", len(all), headsAtOnce+20)
	}
}
