package folder

import (
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/store"
)

// goes returns where mail goes, as "recipient state", sorted.
func (w *town) goes() (list []string) {
	w.t.Helper()
	for _, it := range w.deliveries() {
		list = append(list, it.Delivery.Recipient.String()+" "+it.Delivery.State.String())
	}
	slices.Sort(list)
	return list
}

func TestASentMailGoesToAllAndLiesAmongTheSentMail(t *testing.T) {
	w := openTown(t)
	b := w.box()
	question := w.arrive("anna@stadt.example", "Subject: Frage\r\n\r\n")
	inbox := w.list(b, store.UseInbox)
	draft, err := b.SaveDraft(ctx, 0, strings.NewReader(letter), -1)
	w.must(err)
	o := outgoing(letter, "eva@example.org", "bert@stadt.example", "anna@stadt.example")
	o.Key, o.Replaces, o.Answers = b.NewKey(), &Draft{w.folderOf(b, store.UseDrafts).Folder, draft}, &Source{1, inbox[0].UID}
	changed, stop := b.Watch()
	defer stop()
	sent, err := b.Send(ctx, o)
	w.must(err)
	if len(changed) != 1 {
		t.Error("nobody was woken by a sent mail")
	}
	want := []string{"anna@stadt.example queued", "bert@stadt.example queued", "eva@example.org queued"}
	if got := w.goes()[1:]; !slices.Equal(got, want) { // without the question
		t.Errorf("it goes to %q, want %q", got, want)
	}
	list := w.list(b, store.UseSent)
	if len(list) != 1 || list[0].Message != sent.ID || list[0].Flags != doppelboden.Seen || sent.Again {
		t.Fatalf("sent mail %+v, want %v, seen", list, sent.ID)
	}
	text := w.read(b, sent.ID)
	for _, part := range []string{"\r\nDate: Sat, 14 Mar 2026", "\r\nMessage-ID: <" + sent.ID.String() + "@stadt.example>\r\n", "Guten Tag\r\n", "Received: by mx.stadt.example (Doppelboden submission) with HTTPS id " + sent.ID.String()} {
		if strings.Count(text, part) != 1 {
			t.Errorf("%q is %d times in %q", part, strings.Count(text, part), text)
		}
	}
	if strings.Contains(text, "198.51.100.7") {
		t.Errorf("the mail says from where it was written: %q", text)
	}
	if drafts := w.list(b, store.UseDrafts); len(drafts) != 0 {
		t.Errorf("drafts %+v, want none", drafts)
	}
	inbox = w.list(b, store.UseInbox)
	if len(inbox) != 2 || inbox[0].Message != question || inbox[0].Flags != doppelboden.Answered || inbox[1].Message != sent.ID {
		t.Errorf("inbox %+v, want the question, answered, and the copy to herself", inbox)
	}
	m, err := w.db.Message(ctx, sent.ID)
	w.must(err)
	if !m.Confirmed || m.Recipients != 3 || m.Peer != "198.51.100.7" || m.Door != "webmail" {
		t.Errorf("message %+v, want one whose sender gets DSNs", m)
	}
}

func TestABlindCopyShowsInTheSendersCopyAlone(t *testing.T) {
	w := openTown(t)
	b := w.box()
	text := "From: anna@stadt.example\r\nBcc: Bert <bert@stadt.example>,\r\n eva@example.org\r\nTo: bruno@example.org\r\nSubject: x\r\nResent-Bcc: z@example.org\r\n\r\nText\r\n"
	sent, err := b.Send(ctx, outgoing(text, "bruno@example.org", "bert@stadt.example", "eva@example.org"))
	w.must(err)
	mine := w.list(b, store.UseSent)
	if len(mine) != 1 {
		t.Fatalf("%d sent mails, want 1", len(mine))
	}
	own := w.read(b, mine[0].Message)
	if !strings.Contains(own, "Bcc: Bert <bert@stadt.example>,\r\n eva@example.org\r\n") {
		t.Errorf("the sender's copy: %q, want it with Bcc", own)
	}
	berts := w.room.Open(w.bert.Tenant, w.bert.ID, "person:2")
	got := w.read(berts, w.list(berts, store.UseInbox)[0].Message)
	if strings.Contains(strings.ToLower(got), "bcc") || strings.Contains(got, "eva@") || !strings.Contains(got, "To: bruno@example.org\r\nSubject: x\r\n") || !strings.HasSuffix(got, "\r\nText\r\n") {
		t.Errorf("what the others get: %q, want it without Bcc and otherwise as it was", got)
	}
	idOf := func(s string) string {
		_, rest, _ := strings.Cut(s, "Message-ID: ")
		id, _, _ := strings.Cut(rest, "\r\n")
		return id
	}
	if idOf(own) != idOf(got) || idOf(own) == "" {
		t.Errorf("Message-ID %q and %q, want the same", idOf(own), idOf(got))
	}
	for _, it := range w.deliveries() {
		if it.Message.ID != sent.ID {
			t.Errorf("%s gets message %s, want %s", it.Delivery.Recipient, it.Message.ID, sent.ID)
		}
	}
}

func TestAMailToAnotherAdministrationOfTheSystemIsAMessageOfThatOne(t *testing.T) {
	w := openTown(t)
	b := w.box()
	for _, c := range []struct {
		to   []string
		want int // messages
	}{{[]string{"bert@stadt.example", "carl@kreis.example"}, 2}, {[]string{"carl@kreis.example"}, 2}} {
		before := len(w.list(b, store.UseSent))
		_, err := b.Send(ctx, outgoing(letter, c.to...))
		w.must(err)
		if got := len(w.list(b, store.UseSent)); got != before+1 {
			t.Errorf("to %v: %d more sent mails, want 1", c.to, got-before)
		}
	}
	carls := w.room.Open(w.carl.Tenant, w.carl.ID, "person:3")
	list := w.list(carls, store.UseInbox)
	if len(list) != 2 || !strings.HasSuffix(w.read(carls, list[0].Message), "Guten Tag\r\n") {
		t.Errorf("the other administration has %+v, want both mails", list)
	}
	for _, it := range w.deliveries() {
		if it.Message.Tenant != it.Delivery.Tenant || it.Delivery.Mailbox == w.carl.ID && it.Message.Tenant != w.carl.Tenant {
			t.Errorf("mail for %s belongs to tenant %d", it.Delivery.Recipient, it.Message.Tenant)
		}
	}
}

func TestAMailThatMayNotBeSentLeavesNothingBehind(t *testing.T) {
	w := openTown(t)
	b := w.box()
	foreign := outgoing(letter, "eva@example.org")
	foreign.From = addr("bert@stadt.example")
	for name, c := range map[string]struct {
		o    Outgoing
		want doppelboden.Code
	}{
		"a foreign reverse-path": {foreign, doppelboden.Policy},
		"a foreign From":         {outgoing("From: mayor@stadt.example\r\n\r\n", "eva@example.org"), doppelboden.Policy},
		"a second, foreign From": {outgoing(strings.Replace(letter, "To:", "From : b@stadt.example\r\nTo:", 1), "eva@example.org"), doppelboden.Policy},
		"no From":                {outgoing("Subject: x\r\n\r\n", "eva@example.org"), doppelboden.BadMessage},
		"no header":              {outgoing("Hallo\r\n", "eva@example.org"), doppelboden.BadMessage},
		"an empty mail":          {outgoing("", "eva@example.org"), doppelboden.BadMessage},
		"an endless header":      {outgoing("From: anna@stadt.example\r\nX: "+strings.Repeat("x", maxHead)+"\r\n\r\n", "eva@example.org"), doppelboden.BadMessage},
		"no recipient":           {outgoing(letter), doppelboden.Invalid},
		"no sender":              {Outgoing{To: to("eva@example.org"), Body: strings.NewReader(letter)}, doppelboden.Invalid},
		"too large":              {outgoing(letter+strings.Repeat("zeile\r\n", 1<<20), "eva@example.org"), doppelboden.TooLarge},
		"larger than it said":    {Outgoing{From: addr("anna@stadt.example"), To: to("eva@example.org"), Size: 5, Body: strings.NewReader(letter + strings.Repeat("zeile\r\n", 1<<20))}, doppelboden.TooLarge},
		"a broken upload":        {Outgoing{From: addr("anna@stadt.example"), To: to("eva@example.org"), Body: io.MultiReader(strings.NewReader(letter), brokenReader{})}, doppelboden.Temporary},
		"a host of the house":    {outgoing(letter, "root@localhost"), doppelboden.Policy},
	} {
		if _, err := b.Send(ctx, c.o); doppelboden.CodeOf(err) != c.want || err == nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	var refused *Refused
	_, err := b.Send(ctx, outgoing(letter, "eva@example.org", "nobody@stadt.example", "niemand@stadt.example"))
	if !errors.As(err, &refused) || len(refused.List) != 2 || refused.List[1].Address != addr("niemand@stadt.example") || doppelboden.CodeOf(err) != doppelboden.NoSuchMailbox {
		t.Errorf("two unknown recipients: %v, want both named", err)
	}
	if got := w.goes(); len(got) != 0 || len(w.list(b, store.UseSent)) != 0 {
		t.Errorf("after refusals mail goes to %q", got)
	}
	allowed := outgoing(strings.Replace(letter, "anna@", "buergerbuero@", 1), "eva@example.org")
	allowed.From = addr("buergerbuero@stadt.example")
	allowed.MaySend = func(a doppelboden.Address) bool { return a == allowed.From }
	if _, err := b.Send(ctx, allowed); err != nil {
		t.Errorf("in the name of a function mailbox that she may use: %v", err)
	}
}

// brokenReader breaks.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("the client is gone") }

func TestTheSameKeySendsOnce(t *testing.T) {
	w := openTown(t)
	b := w.box()
	key := b.NewKey()
	send := func(text string) (Sent, error) {
		o := outgoing(text, "eva@example.org")
		o.Key = key
		return b.Send(ctx, o)
	}
	var clicks sync.WaitGroup
	got := make([]Sent, 4)
	for i := range got {
		clicks.Go(func() {
			var err error
			if got[i], err = send(letter); err != nil {
				t.Error(err)
			}
		})
	}
	clicks.Wait()
	fresh := 0
	for _, s := range got {
		if s.ID != got[0].ID {
			t.Errorf("clicks have sent %v and %v", got[0].ID, s.ID)
		}
		if !s.Again {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d clicks say that they sent it, want 1", fresh)
	}
	w.end()
	w.start()
	b = w.box()
	w.pass(26 * time.Hour)
	if s, err := send(letter); err != nil || s.ID != got[0].ID || !s.Again {
		t.Errorf("the next day, after a restart: %+v, %v; want that it was sent", s, err)
	}
	if goes := w.goes(); len(goes) != 1 {
		t.Errorf("it goes to %q, want one", goes)
	}
	key = b.NewKey()
	if s, err := send(letter); err != nil || s.Again {
		t.Errorf("with another key: %+v, %v", s, err)
	}
	w.pass(keepKeys + time.Hour)
	w.must(w.room.Forget(ctx))
	if n, err := w.db.DropSendings(ctx, w.clock(), 10); err != nil || n != 0 {
		t.Errorf("%d keys are left after a week, %v", n, err)
	}
}

func TestAMailThatAnotherNodeWasAboutToSendIsNotSentAtOnce(t *testing.T) {
	w := openTown(t)
	b := w.box()
	o := outgoing(letter, "eva@example.org")
	o.Key = b.NewKey()
	_, err := w.db.PutSending(ctx, store.Sending{Tenant: b.tenant, Mailbox: b.mailbox, Key: b.keyOf(o.Key), Message: w.intake.NewID(), Node: "other", At: w.clock()}, doppelboden.ID{})
	w.must(err)
	if _, err := b.Send(ctx, o); doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
		t.Errorf("while another node may have sent it: %v, want temporary", err)
	}
	w.pass(elsewhere)
	if s, err := b.Send(ctx, o); err != nil || s.Again || len(w.goes()) != 1 {
		t.Errorf("when the other one can't have sent it any more: %+v, %v, %q", s, err, w.goes())
	}
}

func TestASendingThatFailedGoesOnAsTheSameMessage(t *testing.T) {
	w := openTown(t)
	b := w.box()
	o := outgoing(letter, "eva@example.org")
	o.Key = b.NewKey()
	w.setFault(func(op string) error { return errors.New("the disk breaks at " + op) })
	if _, err := b.Send(ctx, o); doppelboden.CodeOf(err) != doppelboden.Temporary || err == nil {
		t.Fatalf("on a broken disk: %v, want temporary", err)
	}
	w.setFault(nil)
	o.Body = strings.NewReader(letter)
	first, err := b.Send(ctx, o)
	w.must(err)
	if got := w.goes(); len(got) != 1 || len(w.list(b, store.UseSent)) != 1 {
		t.Errorf("sent again after a failure: it goes to %q", got)
	}
	o.Body = strings.NewReader(letter)
	if again, err := b.Send(ctx, o); err != nil || !again.Again || again.ID != first.ID {
		t.Errorf("a third time: %+v, %v", again, err)
	}
	late := outgoing(letter, "eva@example.org")
	late.Key = b.NewKey()
	w.setFault(func(op string) error { return errors.New("the disk breaks at " + op) })
	_, err = b.Send(ctx, late)
	w.setFault(nil)
	w.pass(25 * time.Hour)
	late.Body = strings.NewReader(letter)
	s, sendErr := b.Send(ctx, late)
	if err == nil || sendErr != nil || s.ID.Time().Before(w.clock().Add(-time.Minute)) {
		t.Errorf("a day after a failure: %v, %v; want a message of today, for what is counted by time goes by ids", s.ID.Time(), sendErr)
	}
}

func TestWhoWritesToTooManyIsStoppedAndTold(t *testing.T) {
	w := openTown(t)
	b := w.box()
	w.most = 3
	var three []intake.Recipient
	for _, name := range []string{"a", "b", "c"} {
		three = append(three, intake.Recipient{Address: addr(name + "@example.org")})
	}
	send := func(n int) error {
		o := outgoing(letter)
		o.To = append(three[:n:n], o.To...)
		_, err := b.Send(ctx, o)
		return err
	}
	bad := outgoing(letter, "nobody@stadt.example", "x@example.org")
	if _, err := b.Send(ctx, bad); err == nil {
		t.Fatal("an unknown recipient is taken")
	}
	if err := send(3); err != nil {
		t.Errorf("what was refused counts: %v", err)
	}
	if err := send(1); doppelboden.CodeOf(err) != doppelboden.Busy || !errors.Is(err, ErrTooMany) || !strings.Contains(err.Error(), "21 minutes") {
		t.Errorf("the fourth within an hour: %v, want busy for 20 minutes", err)
	}
	if len(w.told) != 1 || w.told[0] != "person:1" {
		t.Errorf("told of %q, want of person:1", w.told)
	}
	other := w.room.Open(w.anna.Tenant, w.anna.ID, "person:9")
	if _, err := other.Send(ctx, outgoing(letter, "a@example.org")); err != nil {
		t.Errorf("another person of the same mailbox: %v", err)
	}
	w.pass(21 * time.Minute)
	if err := send(1); err != nil {
		t.Errorf("after 21 minutes: %v", err)
	}
	w.most = 2
	w.pass(3 * time.Hour)
	if err := send(3); doppelboden.CodeOf(err) != doppelboden.Policy || !errors.Is(err, ErrTooMany) {
		t.Errorf("more than any hour allows: %v, want policy", err)
	}
	if got := len(w.goes()); got != 5 {
		t.Errorf("%d mails go out, want 5", got)
	}
}
