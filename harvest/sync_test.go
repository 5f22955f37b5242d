package harvest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// filled makes a world whose mailboxes are filled with mails of an inbox in memory.
func filled(t *testing.T, mails int) (*world, *fake) {
	t.Helper()
	w := open(t)
	g := newFake()
	w.route.Backend = g
	for _, box := range w.boxes[:2] {
		for n := range mails {
			at := w.clock().Add(-time.Duration(mails-n) * time.Minute)
			g.put(box.Address, "INBOX", letter("eva", box.Address.Local, fmt.Sprintf("Mail %04d", n), at), at, 0)
		}
		w.fill(box)
	}
	return w, g
}

// hidden counts what a mailbox does not show any more.
func (w *world) hidden(box doppelboden.Mailbox) (n int) {
	w.t.Helper()
	for _, l := range w.shows(box) {
		if l.Flags&doppelboden.Hidden != 0 {
			n++
		}
	}
	return n
}

func TestAMailboxThatIsSuddenlyEmptyHidesNothingBeforeAPersonSaysSo(t *testing.T) {
	w, g := filled(t, 100)
	anna := w.boxes[0]
	g.remove(anna.Address, "INBOX", func(int, *fakeMail) bool { return true })
	for range 4 {
		w.fill(anna)
		w.pass(25 * time.Hour)
	}
	if n := w.hidden(anna); n != 0 {
		t.Errorf("%d mails of an emptied mailbox are hidden, want none", n)
	}
	alarms := w.room.Alarms()
	if len(alarms) != 1 || alarms[0].Kind != AlarmVanished || !strings.Contains(alarms[0].Said.String(), "(mails: 100, ") {
		t.Errorf("the alarms are %+v, want one that 100 mails vanished", alarms)
	}
	w.must(w.room.Confirm(ctx, anna.Tenant, anna.ID))
	w.fill(anna)
	if n := w.hidden(anna); n != 100 || len(w.room.Alarms()) != 0 {
		t.Errorf("%d mails are hidden after a person said so, and the alarms are %+v; want 100 and none", n, w.room.Alarms())
	}
	g.remove(w.boxes[1].Address, "INBOX", func(n int, _ *fakeMail) bool { return n < 5 })
	w.fill(w.boxes[1])
	w.pass(25 * time.Hour)
	w.fill(w.boxes[1])
	if n := w.hidden(w.boxes[1]); n != 5 {
		t.Errorf("%d of 5 deleted mails of another mailbox are hidden, want all", n)
	}
}

func TestWhenMuchVanishesFromManyMailboxesNoneOfItIsHidden(t *testing.T) {
	w, g := filled(t, 100)
	w.room.opts.Pace.RouteBoxes = 2
	for _, box := range w.boxes[:2] {
		g.remove(box.Address, "INBOX", func(n int, _ *fakeMail) bool { return n%8 == 0 }) // 13 of 100: less than one mailbox may
	}
	reading := w.room.begin(w.route)
	for range 4 {
		reading.round(ctx)
		w.pass(25 * time.Hour)
	}
	if a, b := w.hidden(w.boxes[0]), w.hidden(w.boxes[1]); a+b != 0 {
		t.Errorf("%d and %d mails are hidden although much vanished everywhere, want none", a, b)
	}
	if alarms := w.room.Alarms(); len(alarms) != 1 || alarms[0].Kind != AlarmVanished {
		t.Errorf("the alarms are %+v, want one", alarms)
	}
}

// A breaking backend breaks off after some mails were read.
type breaking struct {
	*fake
	left int
}

func (b *breaking) Mirror(ctx context.Context, owner doppelboden.Address) (mailbox.Mirror, error) {
	s, err := b.fake.Mirror(ctx, owner)
	return &breakingSession{s, b}, err
}

type breakingSession struct {
	mailbox.Mirror
	b *breaking
}

func (s *breakingSession) Read(ctx context.Context, uids []uint32, size int64, yield func(uint32, int64, io.Reader) error) error {
	return s.Mirror.Read(ctx, uids, size, func(uid uint32, size int64, r io.Reader) error {
		if s.b.left--; s.b.left < 0 {
			return errors.New("the connection broke")
		}
		return yield(uid, size, r)
	})
}

func TestTheFirstFillingGoesOnWhereItWasAfterACrashAndStoresNothingTwice(t *testing.T) {
	w := open(t)
	g := newFake()
	anna := w.boxes[0]
	const mails = 700
	for n := range mails {
		at := w.clock().Add(-time.Duration(mails-n) * time.Minute)
		g.put(anna.Address, "INBOX", letter("eva", "anna", fmt.Sprintf("Mail %04d", n), at), at, 0)
	}
	for left := 60; ; left += 70 {
		w.route.Backend = &breaking{g, left}
		seen, err := w.look(anna)
		w.restart()
		if err == nil && !seen.filling {
			break
		}
		if left > 10*mails {
			t.Fatalf("the mailbox is not filled: %v", err)
		}
	}
	if all := w.shows(anna); len(all) != mails || all[0].Subject != "Mail 0000" || all[mails-1].Subject != "Mail 0699" {
		t.Errorf("the mailbox shows %d mails, want %d", len(all), mails)
	}
	count := 0
	for after := int64(0); ; {
		list, end, err := w.db.Unmarked(ctx, anna.Tenant, after, 1000)
		w.must(err)
		if count += len(list); end == after {
			break
		}
		after = end
	}
	if count != mails {
		t.Errorf("there are %d messages for %d mails", count, mails)
	}
}

func TestAfterAChangeOfUIDValidityEverythingIsFoundAgain(t *testing.T) {
	w := open(t)
	g := withDovecot(t, w)
	anna := w.boxes[0]
	at := w.clock().Add(-time.Hour)
	put := func(c *imapclient.Client, subjects ...string) {
		if err := c.Create("Projekt", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		for _, s := range subjects {
			g.append(c, "Projekt", letter("bert", "anna", s, at), at)
		}
	}
	g.as("anna", func(c *imapclient.Client) { put(c, "A", "B") })
	w.fill(anna)
	g.as("anna", func(c *imapclient.Client) {
		if err := c.Delete("Projekt").Wait(); err != nil {
			t.Fatal(err)
		}
		put(c, "C", "B", "A") // with the UIDs of A and B
	})
	for range 2 {
		w.fill(anna)
		w.pass(25 * time.Hour)
	}
	same(t, "the folder", w.shows(anna), line{"Projekt", "A", 0}, line{"Projekt", "B", 0}, line{"Projekt", "C", 0})
	w.must(w.db.Harvested(ctx, store.HarvestFilter{Tenant: anna.Tenant, Mailbox: anna.ID}, func(h store.Harvest) error {
		if !h.Gone.IsZero() {
			t.Errorf("UID %d of validity %d counts as gone still", h.UID, h.Validity)
		}
		return nil
	}))
}

func TestAServerWithoutCONDSTOREIsFollowedAsWell(t *testing.T) {
	w := open(t)
	g := newFake()
	g.plain = true
	w.route.Backend = g
	anna := w.boxes[0]
	for _, s := range []string{"A", "B", "C"} {
		g.put(anna.Address, "INBOX", letter("eva", "anna", s, w.clock()), w.clock(), 0)
	}
	w.fill(anna)
	g.box(anna.Address).folders["INBOX"].mails[0].flags = doppelboden.Seen
	g.remove(anna.Address, "INBOX", func(n int, _ *fakeMail) bool { return n == 2 })
	g.put(anna.Address, "INBOX", letter("eva", "anna", "D", w.clock()), w.clock(), 0)
	w.pass(16 * time.Minute)
	w.fill(anna)
	w.pass(25 * time.Hour)
	w.fill(anna)
	same(t, "the mailbox", w.shows(anna), line{doppelboden.Inbox, "A", doppelboden.Seen}, line{doppelboden.Inbox, "B", 0},
		line{doppelboden.Inbox, "C", doppelboden.Hidden}, line{doppelboden.Inbox, "D", 0})
}

func TestATraceThatSomebodyWroteIntoAMailOpensNoOtherMail(t *testing.T) {
	w := open(t)
	g := newFake()
	w.route.Backend = g
	anna, bert := w.boxes[0], w.boxes[1]
	secret := w.arrive("mx", "eva@example.org", letter("eva", "anna", "Geheim", w.clock()), "anna@stadt.example")
	forged := fmt.Sprintf("Received: from x by mx.stadt.example (Doppelboden) with ESMTP id %s;\r\n\tnow\r\n", secret)
	g.put(bert.Address, "INBOX", forged+letter("bert", "bert", "Neugier", w.clock()), w.clock(), 0)
	g.put(anna.Address, "INBOX", forged+letter("bert", "anna", "Verdeckt", w.clock()), w.clock(), 0)
	w.fill(bert)
	w.fill(anna)
	same(t, "bert, who named a mail of anna's", w.shows(bert), line{doppelboden.Inbox, "Neugier", 0})
	same(t, "anna, to whom somebody wrote with a trace of another mail of hers", w.shows(anna), line{doppelboden.Inbox, "Geheim", 0}, line{doppelboden.Inbox, "Verdeckt", 0})
}

func TestNothingIsReadInAttackModeOrWhileTheRouteIsHeld(t *testing.T) {
	w, g := filled(t, 1)
	before := g.opens
	w.room.Stop(w.tenant.ID)
	w.room.begin(w.route).round(ctx)
	w.room.Resume(w.tenant.ID)
	w.held = "outage"
	w.room.begin(w.route).round(ctx)
	if g.opens != before {
		t.Errorf("%d mailboxes were opened, want none", g.opens-before)
	}
	if c, err := w.room.Coverage(ctx, w.tenant.ID, w.boxes[0].ID); err != nil || c.Internal.Why != WhyStopped || c.Internal.Until.IsZero() {
		t.Errorf("internal mail is covered as %+v (%v), want up to the last look, and stopped", c.Internal, err)
	}
	w.held = ""
	w.room.begin(w.route).round(ctx)
	if g.opens == before {
		t.Error("no mailbox was opened afterwards")
	}
}

// A hanging backend says who comes, and opens no mailbox before the context ends.
type hanging struct{ opened chan struct{} }

func (h hanging) Mirror(ctx context.Context, _ doppelboden.Address) (mailbox.Mirror, error) {
	h.opened <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAttackModeEndsALookThatIsUnderWay(t *testing.T) {
	for name, stop := range map[string]func(w *world){
		"a tenant is stopped": func(w *world) { w.room.Stop(w.tenant.ID) },
		"its route is held":   func(w *world) { w.setHeld(HeldAttack) },
	} {
		w := open(t)
		w.room.opts.Pace.Mark = time.Millisecond
		h := hanging{make(chan struct{}, 1)}
		w.route.Backend = h
		run, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { w.room.Run(run); close(ended) }()
		<-h.opened
		stop(w)
		for state := w.room.Status()[0]; state.Held == ""; state = w.room.Status()[0] {
			time.Sleep(time.Millisecond) // polls a loop that has no event to wait for
		}
		cancel()
		<-ended
		if c, err := w.room.Coverage(ctx, w.tenant.ID, w.boxes[0].ID); err != nil || c.Trouble != "" {
			t.Errorf("%s: the mailbox has the trouble %q (%v), want none", name, c.Trouble, err)
		}
	}
}

func TestAttackModeThatEndsSeveralLooksAtOnceIsNoTroubleOfTheGroupware(t *testing.T) {
	w := open(t)
	w.town(newFake(), mostFailing+1)
	h := hanging{make(chan struct{}, mostFailing+1)}
	w.route.Backend, w.route.AtOnce = h, mostFailing+1
	w.room.opts.Timer = func(time.Duration) (<-chan time.Time, func() bool) { // nobody rests
		now := make(chan time.Time, 1)
		now <- w.clock()
		return now, func() bool { return false }
	}
	reading := w.room.begin(w.route)
	ended := make(chan struct{})
	go func() { reading.round(ctx); close(ended) }()
	for range mostFailing + 1 {
		<-h.opened
	}
	w.setHeld(HeldAttack)
	reading.interrupt()
	<-ended
	if list := w.room.Alarms(); len(list) != 0 {
		t.Errorf("alarms %+v, want none: nobody says that the groupware cannot be read", list)
	}
}

func TestCoverageClaimsNothingThatIsNotProved(t *testing.T) {
	w := open(t)
	anna := w.boxes[0]
	ask := func() Coverage {
		t.Helper()
		c, err := w.room.Coverage(ctx, anna.Tenant, anna.ID)
		w.must(err)
		return c
	}
	w.route.Journal = false
	if c := ask(); c.Internal.Source != SourceNone || c.Internal.Why != WhyNothing || !c.Inbox.Since.IsZero() {
		t.Errorf("without any way: %+v", c)
	}
	w.arrive("mx", "eva@example.org", letter("eva", "anna", "A", w.clock()), "anna@stadt.example")
	first := w.clock()
	w.pass(time.Hour)
	if c := ask(); !c.Inbox.Since.Equal(first) || !c.Inbox.Now() {
		t.Errorf("the inbox after a first mail: %+v, want complete since then and up to now", c.Inbox)
	}
	w.route.Journal, w.route.Relay = true, true
	if c := ask(); c.Internal.Now() || c.Internal.Why != WhySilent || c.Sent.Now() || c.Sent.Why != WhyNew {
		t.Errorf("with a journal that never reported: %+v", c)
	}
	w.arrive("submission", "anna@stadt.example", letter("anna", "eva", "B", w.clock()), "bert@stadt.example")
	if c := ask(); c.Sent.Now() || c.Sent.Why != WhyPart {
		t.Errorf("with a groupware that sends through us, and a journal that never reported: %+v", c.Sent)
	}
	_, err := w.report(sample(t, "bcc"), 1000)
	w.must(err)
	w.shows(anna) // until the marks are made
	if c := ask(); !c.Internal.Now() || c.Internal.Source != SourceJournal || !c.Sent.Now() {
		t.Errorf("with a journal that reported: %+v", c)
	}
	w.pass(5 * time.Hour)
	if c := ask(); c.Internal.Now() || c.Internal.Why != WhySilent || c.Internal.Until.IsZero() {
		t.Errorf("with a journal that is silent: %+v", c.Internal)
	}
	if until, now := ask().Until(); now || until.IsZero() {
		t.Errorf("all together is complete up to %v (now: %v), want up to the last report", until, now)
	}
	g := newFake()
	w.route.Backend, w.route.Journal, w.route.Relay = g, false, false
	if c := ask(); c.Internal.Source != SourceSync || c.Internal.Why != WhyFilling || !c.Internal.Since.IsZero() {
		t.Errorf("before the first look: %+v", c.Internal)
	}
	g.fail = errors.New("no answer")
	if _, err := w.look(anna); err == nil {
		t.Fatal("a look at a groupware that does not answer had no error")
	}
	if c := ask(); c.Internal.Why != WhyTrouble || !strings.Contains(c.Trouble, "no answer") {
		t.Errorf("with a groupware that does not answer: %+v, %q", c.Internal, c.Trouble)
	}
	g.fail = nil
	w.fill(anna)
	w.pass(time.Minute)
	if c := ask(); c.Internal.Why != WhyRounds || w.clock().Sub(c.Internal.Until) != time.Minute {
		t.Errorf("a minute after a look: %+v", c.Internal)
	}
	w.pass(time.Hour)
	if c := ask(); c.Internal.Why != WhyStale {
		t.Errorf("an hour after a look: %+v", c.Internal)
	}
}
