package harvest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"
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

// lacks returns the alarm that a restored groupware lacks mail, "" for none.
func (w *world) lacks() (said string) {
	for _, a := range w.room.Alarms() {
		if a.Kind == AlarmRestored {
			said += a.Said.String()
		}
	}
	return said
}

func TestWhatARestoreOfTheGroupwareLostStaysToBeSeenHere(t *testing.T) {
	for name, validity := range map[string]uint32{"with another UIDVALIDITY": 2, "with the same UIDVALIDITY": 1} {
		t.Run(name, func(t *testing.T) {
			w, g := filled(t, 100)
			anna := w.boxes[0]
			g.back(anna.Address, "INBOX", 5, validity)
			w.fill(anna)
			if said := w.lacks(); !strings.Contains(said, "(mails: 5, mailboxes: 1, such as anna@stadt.example)") {
				t.Errorf("the alarm after the restore is %q, want one that 5 mails of anna are missing", said)
			}
			w.restart() // nothing of it may hang on what is in memory
			g.remove(anna.Address, "INBOX", first5)
			w.pass(time.Hour)
			w.fill(anna)
			w.pass(25 * time.Hour)
			w.fill(anna)
			if n := w.hidden(anna); n != 5 {
				t.Errorf("%d mails are hidden, want the 5 that the owner deleted afterwards alone", n)
			}
			for _, l := range w.shows(anna) {
				if l.Subject >= "Mail 0095" && l.Flags&doppelboden.Hidden != 0 {
					t.Errorf("%s is hidden, which the restore has lost", l.Subject)
				}
			}
			if said := w.lacks(); !strings.Contains(said, "(mails: 5, ") {
				t.Errorf("a day later the alarm is %q, want one about 5 mails still", said)
			}
			state, err := w.db.HarvestBox(ctx, anna.Tenant, anna.ID)
			if w.must(err); state.Vanished != 5 {
				t.Errorf("%d mails are noted as vanished, want 5", state.Vanished)
			}
			w.must(w.room.Confirm(ctx, anna.Tenant, anna.ID))
			w.fill(anna)
			if n, said := w.hidden(anna), w.lacks(); n != 10 || said != "" {
				t.Errorf("%d mails are hidden after a person said so, and the alarm is %q; want 10 and none", n, said)
			}
			if state, err = w.db.HarvestBox(ctx, anna.Tenant, anna.ID); err != nil || !state.Restored.IsZero() {
				t.Errorf("then the mailbox is known as %+v (%v), want as one that lacks nothing", state, err)
			}
		})
	}
}

func TestAfterWhatARestoreLostIsPutBackTheGroupwareIsFollowedAsBefore(t *testing.T) {
	w, g := filled(t, 20)
	anna := w.boxes[0]
	lost := slices.Clone(g.box(anna.Address).folders["INBOX"].mails[15:])
	g.back(anna.Address, "INBOX", 5, 2)
	w.fill(anna)
	for _, m := range lost {
		g.put(anna.Address, "INBOX", m.text, m.date, m.flags)
	}
	w.pass(time.Hour)
	w.fill(anna)
	if said := w.lacks(); said != "" {
		t.Errorf("the alarm is %q after all was put back, want none", said)
	}
	if state, err := w.db.HarvestBox(ctx, anna.Tenant, anna.ID); err != nil || !state.Restored.IsZero() {
		t.Errorf("the mailbox is known as %+v (%v), want as one that lacks nothing", state, err)
	}
	g.remove(anna.Address, "INBOX", first5)
	w.fill(anna)
	w.pass(25 * time.Hour)
	w.fill(anna)
	if n := w.hidden(anna); n != 5 {
		t.Errorf("%d mails are hidden, want the 5 that the owner deleted", n)
	}
}

func TestOnAServerWithoutUIDNEXTADeletedMailIsNoRestore(t *testing.T) {
	w, g := filled(t, 20)
	g.plain = true
	anna := w.boxes[0]
	w.fill(anna)
	g.remove(anna.Address, "INBOX", func(n int, _ *fakeMail) bool { return n >= 18 }) // so that the greatest UID falls
	w.pass(time.Hour)
	w.fill(anna)
	w.pass(25 * time.Hour)
	w.fill(anna)
	if n, said := w.hidden(anna), w.lacks(); n != 2 || said != "" {
		t.Errorf("%d mails are hidden and the alarm is %q, want the 2 deleted ones and none", n, said)
	}
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

// An ending backend has the look end, as with the node, when a folder has begun anew.
type ending struct {
	*fake
	end context.CancelFunc
}

func (b *ending) Mirror(ctx context.Context, owner doppelboden.Address) (mailbox.Mirror, error) {
	s, err := b.fake.Mirror(ctx, owner)
	return &endingSession{s, b.end}, err
}

type endingSession struct {
	mailbox.Mirror
	end context.CancelFunc
}

func (s *endingSession) Since(ctx context.Context, _ time.Time) ([]uint32, error) {
	s.end()
	return nil, ctx.Err()
}

func TestThatTheGroupwareWasRestoredIsKnownAfterALookThatEndedInTheMiddle(t *testing.T) {
	w, g := filled(t, 20)
	anna := w.boxes[0]
	g.back(anna.Address, "INBOX", 5, 2)
	run, end := context.WithCancel(ctx)
	w.route.Backend = &ending{g, end}
	_, err := w.room.begin(w.route).look(run, w.route, anna)
	w.must(err)
	w.restart()
	w.route.Backend = g
	for range 2 {
		w.fill(anna)
		w.pass(25 * time.Hour)
	}
	if n, said := w.hidden(anna), w.lacks(); n != 0 || !strings.Contains(said, "(mails: 5, ") {
		t.Errorf("%d mails are hidden and the alarm is %q, want none, and that 5 are missing", n, said)
	}
}

// A brittle store cannot say once what is known of a mailbox.
type brittle struct {
	Store
	fails bool
}

func (s *brittle) HarvestBox(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID) (store.HarvestBox, error) {
	if s.fails {
		s.fails = false
		return store.HarvestBox{Tenant: t, Mailbox: m}, errors.New("the database does not answer")
	}
	return s.Store.HarvestBox(ctx, t, m)
}

func TestThatTheGroupwareWasRestoredIsKnownAfterTheDatabaseDidNotAnswerOnce(t *testing.T) {
	w, g := filled(t, 100)
	anna := w.boxes[0]
	g.back(anna.Address, "INBOX", 5, 2)
	w.fill(anna)
	w.room.opts.Store = &brittle{w.db, true}
	if _, err := w.look(anna); err == nil {
		t.Error("a look without the database said nothing of it")
	}
	w.pass(25 * time.Hour)
	w.fill(anna)
	if n, said := w.hidden(anna), w.lacks(); n != 0 || !strings.Contains(said, "(mails: 5, ") {
		t.Errorf("%d mails are hidden and the alarm is %q, want none, and that 5 are missing", n, said)
	}
}

// A busy backend does something during a look.
type busy struct {
	*fake
	do func()
}

func (b *busy) Mirror(ctx context.Context, owner doppelboden.Address) (mailbox.Mirror, error) {
	b.do()
	return b.fake.Mirror(ctx, owner)
}

func TestAConfirmationDuringALookIsKept(t *testing.T) {
	w, g := filled(t, 100)
	anna := w.boxes[0]
	g.back(anna.Address, "INBOX", 5, 2)
	confirm := func() { w.must(w.room.Confirm(ctx, anna.Tenant, anna.ID)) }
	w.route.Backend = &busy{g, confirm}
	w.fill(anna) // which finds out only now that it was restored
	w.route.Backend = g
	state, err := w.db.HarvestBox(ctx, anna.Tenant, anna.ID)
	if w.must(err); !state.Confirm || state.Restored.IsZero() || state.Vanished != 5 || state.At.IsZero() {
		t.Errorf("after the look the mailbox is known as %+v, want the confirmation and what the look found", state)
	}
	w.fill(anna)
	if n, said := w.hidden(anna), w.lacks(); n != 5 || said != "" {
		t.Errorf("%d mails are hidden and the alarm is %q, want the 5 that were confirmed and none", n, said)
	}
	if state, err = w.db.HarvestBox(ctx, anna.Tenant, anna.ID); err != nil || state.Confirm {
		t.Errorf("then the mailbox is known as %+v (%v), want a confirmation that is used up", state, err)
	}
}

func TestNoAlarmIsAboutAMailboxThatNobodyReadsAnyMore(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world)
		told   bool
	}{
		"it left the directory":          {func(w *world) { w.boxes[0].Gone = w.clock() }, false},
		"the directory forgot it":        {func(w *world) { w.boxes = w.boxes[1:] }, false},
		"its route has no IMAP any more": {func(w *world) { w.route.Backend = nil }, false},
		"its route is only held":         {func(w *world) { w.setHeld("event") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, g := filled(t, 100)
			anna := w.boxes[0]
			g.back(anna.Address, "INBOX", 5, 2)
			w.fill(anna)
			w.pass(time.Hour)
			g.remove(anna.Address, "INBOX", func(int, *fakeMail) bool { return true })
			w.fill(anna)
			kinds := func() (list []string) {
				for _, a := range w.room.Alarms() {
					list = append(list, a.Kind)
				}
				return list
			}
			same(t, "the alarms before", kinds(), AlarmVanished, AlarmRestored)
			c.change(w)
			if c.told {
				same(t, "the alarms afterwards", kinds(), AlarmVanished, AlarmRestored)
			} else {
				same(t, "the alarms afterwards", kinds())
			}
		})
	}
}
