package app

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/folder"
	"doppelboden/intake"
	"doppelboden/send"
	"doppelboden/store"
	"doppelboden/test/hand"
	"doppelboden/test/peer"
)

// A worker works in a mailbox of a node.
type worker struct {
	t   *testing.T
	box *folder.Box
}

// at opens the mailbox of an address.
func at(t *testing.T, n *Node, address string) *worker {
	t.Helper()
	to, err := n.house.Directory().Lookup(parse(t, address))
	if err != nil {
		t.Fatal(err)
	}
	return &worker{t, n.folders.Open(to.Tenant, to.Mailbox, "test")}
}

// folder returns the number of a folder, by its use or name, which is made when missing.
func (p *worker) folder(use store.Use, name string) int64 {
	p.t.Helper()
	list, err := p.box.Folders(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range list {
		if use != store.UseNone && f.Use == use || use == store.UseNone && f.Name == name {
			return f.Folder
		}
	}
	f, err := p.box.PutFolder(p.t.Context(), store.Folder{Name: name})
	if err != nil {
		p.t.Fatal(err)
	}
	return f.Folder
}

// shown returns what lies in a folder, the oldest first.
func (p *worker) shown(number int64) (list []store.Shown) {
	p.t.Helper()
	if _, err := p.box.Look(p.t.Context(), number); err != nil {
		p.t.Fatal(err)
	}
	err := p.box.Shown(p.t.Context(), number, store.ShownFilter{}, func(s store.Shown) error { list = append(list, s); return nil })
	if err != nil {
		p.t.Fatal(err)
	}
	return list
}

// change carries out one change.
func (p *worker) change(c store.Change) {
	p.t.Helper()
	if _, err := p.box.Change(p.t.Context(), []store.Change{c}); err != nil {
		p.t.Fatal(err)
	}
}

// inbox is the number of every inbox.
const inbox = 1

// flag sets flags of a mail in the inbox.
func (p *worker) flag(uid, set uint32) {
	p.t.Helper()
	p.change(store.Change{Place: store.Place{Folder: inbox}, Action: store.ActFlag, UIDs: []uint32{uid}, Set: set})
}

// move takes a mail out of the inbox.
func (p *worker) move(uid uint32, to int64) {
	p.t.Helper()
	p.change(store.Change{Place: store.Place{Folder: inbox}, Action: store.ActMove, UIDs: []uint32{uid}, To: to})
}

// remove takes a mail out of the mailbox.
func (p *worker) remove(uid uint32) {
	p.t.Helper()
	p.change(store.Change{Place: store.Place{Folder: inbox}, Action: store.ActRemove, UIDs: []uint32{uid}})
}

// send answers somebody.
func (p *worker) send(from, to, subject string) {
	p.t.Helper()
	text := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: <%s@stadt.example>\r\nDate: %s\r\n\r\nSehr geehrte Damen und Herren\r\n",
		from, to, subject, strings.ReplaceAll(subject, " ", "."), time.Now().Format(time.RFC1123Z))
	_, err := p.box.Send(p.t.Context(), folder.Outgoing{From: parse(p.t, from), To: []intake.Recipient{{Address: parse(p.t, to)}},
		Size: int64(len(text)), Body: strings.NewReader(text), Door: "webmail"})
	if err != nil {
		p.t.Fatal(err)
	}
}

// draft saves a draft.
func (p *worker) draft(subject string) {
	p.t.Helper()
	text := "Subject: " + subject + "\r\n\r\nEntwurf\r\n"
	if _, err := p.box.SaveDraft(p.t.Context(), 0, strings.NewReader(text), int64(len(text))); err != nil {
		p.t.Fatal(err)
	}
}

// A line tells of one mail: its folder, flags, subject and date.
type line string

func lineOf(where string, flags uint32, subject string, date time.Time) line {
	return line(fmt.Sprintf("%-12s %-30s %s (%s)", where, strings.Join(imapFlags(flags), " "), subject, date.UTC().Format(time.DateTime)))
}

// imapFlags names the flags that tests set.
func imapFlags(flags uint32) (list []string) {
	for _, f := range []struct {
		flag uint32
		name string
	}{{doppelboden.Answered, `\Answered`}, {doppelboden.Draft, `\Draft`}, {doppelboden.Flagged, `\Flagged`}, {doppelboden.Seen, `\Seen`}} {
		if flags&f.flag != 0 {
			list = append(list, f.name)
		}
	}
	return list
}

// here returns all that lies in a mailbox of ours.
func (p *worker) here() (list []line) {
	p.t.Helper()
	folders, err := p.box.Folders(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range folders {
		for _, s := range p.shown(f.Folder) {
			m, err := p.box.Open(p.t.Context(), s.Message)
			if err != nil {
				p.t.Fatal(err)
			}
			r, err := m.Reader()
			if err != nil {
				p.t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			r.Close()
			if err != nil {
				p.t.Fatal(err)
			}
			list = append(list, lineOf(f.Name, s.Flags, subjectIn(string(text)), s.Date.Truncate(time.Second)))
		}
	}
	slices.Sort(list)
	return list
}

// subjectIn returns the subject of a mail.
func subjectIn(text string) string {
	for _, l := range strings.Split(text, "\r\n") {
		if s, is := strings.CutPrefix(l, "Subject: "); is {
			return s
		}
	}
	return ""
}

// there returns all that lies in a mailbox of a Dovecot, as a client of its own reads it;
// names says what ours call its folders. What we write to owners about an event may have come
// already or not, and is left out.
func there(t *testing.T, imap, owner string, names map[string]string) (list []line) {
	t.Helper()
	for name, mails := range peer.ReadIMAP(t, imap, owner) {
		if ours := names[name]; ours != "" {
			name = ours
		}
		for _, m := range mails {
			if strings.Contains(m.Text, "\nAuto-Submitted: auto-generated") {
				continue
			}
			list = append(list, line(fmt.Sprintf("%-12s %-30s %s (%s)", name, strings.Join(m.Flags, " "), subjectIn(m.Text), m.Date.UTC().Format(time.DateTime))))
		}
	}
	slices.Sort(list)
	return list
}

// differ fails when a mailbox in a Dovecot is not that of ours.
func differ(t *testing.T, what string, here, there []line) {
	t.Helper()
	count := map[line]int{}
	for _, l := range here {
		count[l]++
	}
	for _, l := range there {
		count[l]--
	}
	for _, l := range slices.Sorted(maps.Keys(count)) {
		if n := count[l]; n > 0 {
			t.Errorf("%s: missing in the groupware: %s", what, l)
		} else if n < 0 {
			t.Errorf("%s: only in the groupware: %s", what, l)
		}
	}
}

// TestWhatPeopleDidWhileTheGroupwareWasDownIsInItAfterwards lets somebody read, mark, move,
// delete, answer and draft while a real Dovecot is down whose people are on vacation: mails
// that it had already, and mails that came meanwhile.
func TestWhatPeopleDidWhileTheGroupwareWasDownIsInItAfterwards(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram)
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: []string{anna.Address, "bernd@stadt.example"}})
	node := install(t, "lmtp://"+dovecot.Addr())
	imapOf(t, node, dovecot.IMAP())
	h := hand.At(time.Now().Add(-3 * time.Hour))
	n := startAt(t, node, h)
	for _, m := range []control.Mailbox{anna, {Address: "bernd@stadt.example", Kind: "person", Priority: 5}} {
		if _, err := client(n).AddMailbox(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	passing := func(what string, is func() bool) {
		t.Helper()
		waitFor(t, what, func() bool { h.Forward(100 * time.Millisecond); return is() })
	}
	for i := range 5 {
		subjectAs(t, n, fmt.Sprintf("before%d", i))
	}
	passing("the mails before are delivered", func() bool { return counted(t, n, doppelboden.Delivered) == 5 })
	replies, err := dovecot.Replies()
	if err != nil {
		t.Fatal(err)
	}
	resting, err := dovecot.Halt()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		subjectAs(t, n, fmt.Sprintf("during%d", i))
		h.Forward(time.Minute)
	}
	a := at(t, n, anna.Address)
	caught(t, n)
	mails := a.shown(inbox)
	if len(mails) != 10 {
		t.Fatalf("%d mails in the inbox, want 10", len(mails))
	}
	passing("an event begins", func() bool {
		_, _, in := n.events.InOutage(doppelboden.MailboxID(boxOf(t, n, anna.Address)))
		return in
	})
	bernd, err := n.house.Directory().Lookup(parse(t, "bernd@stadt.example"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // he only looks
		openers{n.accounts, n}.Opened(t.Context(), bernd.Tenant, bernd.Mailbox)
	}
	bau := a.folder(store.UseNone, "Bauamt")
	for i := range 2 { // one that the groupware had, and one that came meanwhile
		u := uint32(5*i + 1)
		a.flag(u, doppelboden.Seen|doppelboden.Answered)
		a.flag(u+1, doppelboden.Flagged)
		a.move(u+1, bau)
		a.move(u+2, a.folder(store.UseTrash, "Papierkorb"))
		a.remove(u + 3)
	}
	a.send(anna.Address, "bernd@stadt.example", "Antwort aus dem Notfall")
	a.draft("Entwurf im Notfall")
	caught(t, n)
	want := a.here()
	passing("it is known what is to go back", func() bool { h.Forward(time.Second); return n.handback.Status().Deeds == 10 })

	back := peer.For[*peer.DovecotServer](t, resting)
	passing("everything is delivered", func() bool { return counted(t, n, doppelboden.Delivered) == 11 })
	h.Forward(time.Minute)
	passing("everything that was done goes back", func() bool {
		h.Forward(5 * time.Second)
		list, err := n.store.DeedCounts(t.Context())
		return err == nil && len(list) == 0
	})
	got := there(t, back.IMAP(), anna.Address, nil)
	// What was removed here lies in the bin there.
	for _, name := range []string{"before3", "during3"} {
		i := slices.IndexFunc(got, func(l line) bool {
			return strings.HasPrefix(string(l), "Papierkorb") && strings.Contains(string(l), name)
		})
		if i < 0 {
			t.Errorf("%s, which was removed here, does not lie in the bin:\n%v", name, got)
			continue
		}
		got = slices.Delete(got, i, i+1)
	}
	differ(t, "anna", dated(want), dated(got))
	for _, to := range replied(t, back, replies) {
		// bernd is on vacation as well, and nobody had touched the last mail.
		if to != anna.Address && to != "during4@strange.example" {
			t.Errorf("%s was answered for a mail that came back", to)
		}
	}
	// Each gets one mail when all is over.
	passing("the last letters are delivered", func() bool { h.Forward(5 * time.Second); return counted(t, n, doppelboden.Delivered) == 13 })
	for _, address := range []string{anna.Address, "bernd@stadt.example"} {
		letters := 0
		for _, m := range peer.ReadIMAP(t, back.IMAP(), address)["INBOX"] {
			if strings.Contains(m.Text, "Auto-Submitted: auto-generated") {
				letters++
			}
		}
		if letters != 1 {
			t.Errorf("%d letters in the inbox of %s, want one", letters, address)
		}
	}
	b, err := proof{n}.Balance(t.Context(), h.Now().Add(-72*time.Hour), h.Now(), nil)
	if err != nil || b.Difference != 0 || b.Duplicates != 0 {
		t.Errorf("the balance is %+v, %v", b, err)
	}
}

// replied returns whom vacation has answered since then.
func replied(t *testing.T, d *peer.DovecotServer, before []string) []string {
	t.Helper()
	all, err := d.Replies()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range before {
		if i := slices.Index(all, one); i >= 0 {
			all = slices.Delete(all, i, i+1)
		}
	}
	return all
}

// dated leaves out the dates of what the groupware got by LMTP: it dates it itself.
func dated(list []line) []line {
	out := make([]line, len(list))
	for i, l := range list {
		out[i] = l
		if strings.Contains(string(l), "before") || strings.Contains(string(l), "during4") {
			out[i], _, _ = cutDate(l)
		}
	}
	return out
}

func cutDate(l line) (line, string, bool) {
	s, rest, ok := strings.Cut(string(l), " (")
	return line(s), rest, ok
}

// caught waits until everything that landed is in the database.
func caught(t *testing.T, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := n.landing.CatchUp(ctx); err != nil {
		t.Fatal(err)
	}
}

func boxOf(t *testing.T, n *Node, address string) doppelboden.MailboxID {
	t.Helper()
	to, err := n.house.Directory().Lookup(parse(t, address))
	if err != nil {
		t.Fatal(err)
	}
	return to.Mailbox
}

// subjectAs sends a mail with a subject to anna.
func subjectAs(t *testing.T, n *Node, subject string) {
	t.Helper()
	c, err := send.Dial(t.Context(), n.Listeners()["mx"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Send(send.Mail{From: parse(t, subject+"@strange.example"), To: parse(t, anna.Address), Subject: subject, Text: "hello"}, n.clock())
	if err != nil || a.Code != 250 {
		t.Fatalf("send: %+v, %v", a, err)
	}
}

// TestInTheTwelfthWeekEverythingThatPeopleDidIsThereAndGoesBack lets 84 days pass after
// somebody marked a mail that the groupware had and wrote a draft. A mail that nobody touched
// and that was handed over goes with its time.
func TestInTheTwelfthWeekEverythingThatPeopleDidIsThereAndGoesBack(t *testing.T) {
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram)
	dovecot := peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: []string{anna.Address}, Quiet: true})
	node := install(t, "lmtp://"+dovecot.Addr())
	imapOf(t, node, dovecot.IMAP())
	h := hand.At(time.Now().Add(-3 * time.Hour)) // Dovecot takes no date for an APPEND that its own clock has not reached
	n := startAt(t, node, h)
	if _, err := client(n).AddMailbox(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	passing := func(what string, is func() bool) {
		t.Helper()
		waitFor(t, what, func() bool { h.Forward(time.Second); return is() })
	}
	for _, subject := range []string{"before0", "before1"} {
		subjectAs(t, n, subject)
	}
	passing("the mails are delivered", func() bool { return counted(t, n, doppelboden.Delivered) == 2 })
	resting, err := dovecot.Halt()
	if err != nil {
		t.Fatal(err)
	}
	a := at(t, n, anna.Address)
	a.shown(inbox)
	a.flag(1, doppelboden.Flagged)
	a.draft("Entwurf im Notfall")
	caught(t, n)
	want := a.here()
	for range 84 {
		h.Forward(24 * time.Hour)
	}
	if err := n.retention().Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = slices.DeleteFunc(want, func(l line) bool { return strings.Contains(string(l), "before1") })
	differ(t, "here after twelve weeks", want, a.here())

	back := peer.For[*peer.DovecotServer](t, resting)
	passing("everything that was done goes back", func() bool {
		list, err := n.store.DeedCounts(t.Context())
		return err == nil && len(list) == 0
	})
	got := slices.DeleteFunc(there(t, back.IMAP(), anna.Address, nil), func(l line) bool { return strings.Contains(string(l), "before1") })
	differ(t, "there", dated(want), dated(got))
}
