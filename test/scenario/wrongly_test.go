package scenario

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/app"
	conf "doppelboden/city"
	"doppelboden/control"
	"doppelboden/mailbox"
	"doppelboden/send"
	"doppelboden/setup"
	"doppelboden/test/hand"
	"doppelboden/test/peer"
)

// TestAGroupwareThatIsRestoredWronglyIsNoticedAndOneCommandBringsBackWhatItLost has a real
// Dovecot say 250 and forget, lose a third of its mailboxes, and come back with yesterday's
// backup. Reading back notices both; a replay hands over what is missing, and nothing else.
//
// It was shown to find its faults: with a reader that believes the 250 there is no alarm and
// all is confirmed; with a replay that does not look, everything that was there lies there
// twice; with one that believes every UID, what an owner deleted is back; when what is
// opened again goes by LMTP whatever its age, citizens get replies from people on vacation.
func TestAGroupwareThatIsRestoredWronglyIsNoticedAndOneCommandBringsBackWhatItLost(t *testing.T) {
	t.Parallel()
	peer.Need(t, peer.DovecotProgram, peer.IMAPProgram, peer.SieveProgram)
	onBothEngines(t, restoredWrongly)
}

func restoredWrongly(t *testing.T, db conf.Database) {
	t.Parallel()
	const boxes, early, today, forgotten = 9, 6, 4, 3
	w := newWrongly(t, db, boxes)

	// Yesterday: all is well, and somebody deletes two mails that lie there.
	w.send("early", early)
	w.await("all of yesterday is confirmed", func() bool { return w.count(doppelboden.Confirmed) == boxes*early })
	deleted := w.delete(w.boxes[0], 2, 3)
	backup := filepath.Join(t.TempDir(), "backup")
	w.restart(func(o *peer.Dovecot) error { return o.Backup(backup) })

	// Today: all is well until noon.
	w.clock.Forward(14 * time.Hour)
	w.send("today", today)
	w.await("all of today is confirmed", func() bool { return w.count(doppelboden.Confirmed) == boxes*(early+today) })

	// The groupware says 250 and forgets.
	w.restart(func(o *peer.Dovecot) error { o.Forgets = true; return nil })
	began := w.clock.Now()
	w.send("forgotten", forgotten)
	w.await("all was taken", func() bool { return w.count(doppelboden.Delivered) == boxes*forgotten })
	w.await("the alarm", func() bool { return w.alarm() != "" })
	noticed := w.clock.Now().Sub(began)
	if noticed > 5*time.Minute {
		t.Errorf("that it forgets was noticed after %v", noticed)
	}
	first := w.alarm()
	for _, want := range []string{"route musterstadt/groupware", "replay --from ", "--route groupware --preview"} {
		if !strings.Contains(first, want) {
			t.Errorf("the alarm does not say %q: %s", want, first)
		}
	}

	// It comes back with yesterday's backup, and without a third of its mailboxes.
	lost := w.boxes[boxes-boxes/3:]
	w.restart(func(o *peer.Dovecot) error {
		o.Forgets = false
		if err := o.Restore(backup); err != nil {
			return err
		}
		return o.Lose(lost...)
	})
	w.clock.Forward(6 * time.Hour)
	w.send("after", 1)
	w.await("all of it was taken", func() bool { return w.count(doppelboden.Queued) == 0 })
	w.await("mailboxes have gone back", func() bool { return w.reading().Back == boxes })
	t.Logf("noticed after %v: %s\nafter the restart: %+v", noticed.Round(time.Second), first, w.reading())

	// One command.
	until := w.clock.Now()
	replied, before := len(w.replies()), w.newest()
	want := mailbox.Report{Deliveries: boxes * (early + today + forgotten + 1), Mailboxes: boxes, Looked: boxes,
		Removed: int64(len(deleted)), Replayed: boxes*(today+forgotten) + int64(len(lost))*early}
	want.There = want.Deliveries - want.Removed - want.Replayed
	preview := w.replay(control.ReplayWish{From: w.began, To: until, Preview: true})
	w.same("the preview", preview, want)
	if n := w.count(doppelboden.Queued); n != 0 {
		t.Errorf("the preview has %d deliveries queued", n)
	}
	w.same("the replay", w.replay(control.ReplayWish{From: w.began, To: until}), want)
	w.await("all is confirmed again", func() bool {
		return w.count(doppelboden.Confirmed) == boxes*(early+today+forgotten+1)
	})
	w.lies(deleted, before)
	if got := w.replies(); len(got) != replied {
		t.Errorf("%d citizens got a reply for what was handed over again, such as %s", len(got)-replied, got[0])
	}
	if text := w.alarm(); text != "" {
		t.Errorf("there is still an alarm: %s", text)
	}

	// The same command again finds everything there.
	again := w.replay(control.ReplayWish{From: w.began, To: until})
	if again.Replayed != 0 || again.Done() == false {
		t.Errorf("the same replay again: %+v, want nothing to do", again)
	}
	b, err := w.client.Balance(t.Context(), w.began.Add(-time.Hour), w.clock.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if b.Difference != 0 || b.Replayed != want.Replayed || b.Duplicates != 0 || b.Confirmed != want.Deliveries || b.Accepted != want.Deliveries {
		t.Errorf("balance %+v, want %d confirmed, %d replayed, no duplicates, difference 0", b, want.Deliveries, want.Replayed)
	}
	t.Logf("balance: %+v", b)
}

// A wrongly is a city with a clock that can be moved, whose groupware will be restored
// wrongly.
type wrongly struct {
	t       *testing.T
	clock   *hand.Clock
	began   time.Time
	node    *app.Node
	client  *control.Client
	dovecot *peer.DovecotServer
	boxes   []string
	sent    map[string][]string // by mailbox: what its mails say, in order
}

// newWrongly founds it.
func newWrongly(t *testing.T, db conf.Database, boxes int) *wrongly {
	t.Helper()
	w := &wrongly{t: t, clock: hand.At(time.Now().Add(-72 * time.Hour)), boxes: users(boxes), sent: map[string][]string{}}
	w.began = w.clock.Now()
	w.dovecot = peer.For[*peer.DovecotServer](t, peer.Dovecot{Users: w.boxes})
	dir := filepath.Join(t.TempDir(), "city")
	node, err := setup.Create(setup.Options{Dir: dir, Domain: "stadt.example", Groupware: "lmtp://" + w.dovecot.Addr(), Listen: "127.0.0.1", DNS: "none", Now: w.began})
	if err != nil {
		t.Fatal(err)
	}
	node.Limits.MinFreeMB = 1
	if node.Database = db; db.Postgres() {
		node.Database.Password.File = "database.password"
	}
	text := fmt.Sprintf(`format = 1
[[tenant]]
name = "musterstadt"
domains = ["stadt.example"]
[[tenant.route]]
name = "groupware"
hosts = ["lmtp://%s"]
[tenant.route.imap]
server = "imap://%s"
tls = "off"
user = %q
password_file = "imap.password"
readback = "full"
append_after_hours = 4
`, w.dovecot.Addr(), w.dovecot.IMAP(), peer.DovecotMaster)
	for path, content := range map[string]string{node.City: text, filepath.Join(node.Keys, "imap.password"): peer.DovecotPassword + "\n",
		filepath.Join(node.Keys, "database.password"): peer.PostgresPassword + "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(&lines{}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if w.node, err = app.New(t.Context(), app.Options{Node: node, Version: "test", Log: log, Clock: w.clock.Now, Timer: w.clock.Timer}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.node.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the node: %v", err)
		}
	})
	if err := w.node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.client = control.NewClient(node.Data, nil)
	for _, a := range w.boxes {
		if _, err := w.client.AddMailbox(t.Context(), control.Mailbox{Address: a, Kind: "person", Priority: 5}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// send sends n mails to every mailbox, each from a citizen of its own.
func (w *wrongly) send(name string, n int) {
	w.t.Helper()
	c, err := send.Dial(w.t.Context(), w.node.Listeners()["mx"])
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	for i := range n {
		for k, box := range w.boxes {
			text := fmt.Sprintf("mail %s-%d-%d;", name, i, k)
			a, err := c.Send(send.Mail{From: address(w.t, fmt.Sprintf("%s-%d-%d@citizen.example", name, i, k)), To: address(w.t, box), Subject: "x", Text: text}, w.clock.Now())
			if err != nil || !a.Kept() {
				w.t.Fatalf("send to %s: %+v, %v", box, a, err)
			}
			w.sent[box] = append(w.sent[box], text)
		}
	}
}

// await waits until something is so, and lets the clock go on meanwhile.
func (w *wrongly) await(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) { // polls a real server
		if time.Now().After(deadline) {
			s, _ := w.client.Status(w.t.Context())
			w.t.Fatalf("still not: %s\n%+v\n%+v\n%s", what, s, w.reading(), w.dovecot.LogTail(20))
		}
		move(w.clock, time.Second)
	}
}

// count counts the deliveries in a state.
func (w *wrongly) count(s doppelboden.State) int64 {
	w.t.Helper()
	status, err := w.client.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if len(status.Tenants) == 0 {
		return -1 // the database was too busy to say
	}
	return status.Tenants[0].Counts[s.String()]
}

// alarm returns the text of the open alarm that reading back has raised, or "".
func (w *wrongly) alarm() string {
	w.t.Helper()
	status, err := w.client.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range status.Alarms {
		if a.Kind == mailbox.AlarmKind && a.Until.IsZero() {
			return a.Text
		}
	}
	return ""
}

// reading returns what reading back says of the route.
func (w *wrongly) reading() (s mailbox.RouteStatus) {
	w.t.Helper()
	if err := w.client.Reading(w.t.Context(), func(one mailbox.RouteStatus) error { s = one; return nil }); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// restart halts the groupware, does something to it, and starts it where it was.
func (w *wrongly) restart(change func(o *peer.Dovecot) error) {
	w.t.Helper()
	o, err := w.dovecot.Halt()
	if err == nil {
		err = change(&o)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.dovecot = peer.For[*peer.DovecotServer](w.t, o)
}

// replay replays and waits for the end.
func (w *wrongly) replay(wish control.ReplayWish) mailbox.Report {
	w.t.Helper()
	r, err := w.client.Replay(w.t.Context(), wish)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// same compares the numbers of a report.
func (w *wrongly) same(what string, got, want mailbox.Report) {
	w.t.Helper()
	w.t.Logf("%s: %+v", what, got)
	if got.Deliveries != want.Deliveries || got.Mailboxes != want.Mailboxes || got.Looked != want.Looked || got.There != want.There ||
		got.Replayed != want.Replayed || got.Removed != want.Removed || !got.Done() {
		w.t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

// replies returns who was answered by somebody on vacation.
func (w *wrongly) replies() []string {
	w.t.Helper()
	all, err := w.dovecot.Replies()
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// delete has the owner of a mailbox delete mails by UID, and returns what they say.
func (w *wrongly) delete(box string, uids ...int) map[string]bool {
	w.t.Helper()
	c, err := net.Dial("tcp", w.dovecot.IMAP())
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	words := fmt.Sprintf("a LOGIN %s %s\r\nb SELECT INBOX\r\n", box, peer.DovecotPassword)
	gone := map[string]bool{}
	for _, u := range uids {
		words += fmt.Sprintf("c UID STORE %d +FLAGS (\\Deleted)\r\n", u)
		gone[w.sent[box][u-1]] = true
	}
	fmt.Fprint(c, words+"d EXPUNGE\r\ne LOGOUT\r\n")
	var got []byte
	for buf := make([]byte, 4096); !strings.Contains(string(got), "e OK"); {
		n, err := c.Read(buf)
		if got = append(got, buf[:n]...); err != nil {
			w.t.Fatalf("delete mails: %v after %s", err, got)
		}
	}
	return gone
}

// lies checks that every mail lies in its mailbox once, but for those that their owners
// have deleted, and that what came behind the UIDs of before is in order.
func (w *wrongly) lies(deleted map[string]bool, before map[string]uint32) {
	w.t.Helper()
	for _, box := range w.boxes {
		mails, err := w.dovecot.Mails(box)
		if err != nil {
			w.t.Fatal(err)
		}
		times := map[string]int{}
		for _, m := range mails {
			for _, text := range w.sent[box] {
				times[text] += strings.Count(string(m), text)
			}
		}
		for _, text := range w.sent[box] {
			want := 1
			if deleted[text] {
				want = 0
			}
			if times[text] != want {
				w.t.Errorf("%q lies %d times in %s, want %d", text, times[text], box, want)
			}
		}
		w.inOrder(box, before[box])
	}
}

// newest returns the greatest UID in every mailbox.
func (w *wrongly) newest() map[string]uint32 {
	w.t.Helper()
	uids := map[string]uint32{}
	for _, box := range w.boxes {
		for _, m := range inInbox(w.t, w.dovecot.IMAP(), box) {
			uids[box] = m.UID
		}
	}
	return uids
}

// inOrder checks that what came into a mailbox behind a UID lies there in its order, with
// the time at which it came.
func (w *wrongly) inOrder(box string, after uint32) {
	w.t.Helper()
	last := doppelboden.ID{}
	for _, m := range inInbox(w.t, w.dovecot.IMAP(), box) {
		if m.UID <= after {
			continue
		}
		if m.ID.String() < last.String() {
			w.t.Errorf("in %s a mail lies behind one that came later", box)
		}
		if d := m.Date.Sub(m.ID.Time()); d < -2*time.Second || d > 2*time.Second {
			w.t.Errorf("a mail of %s has the date %v, want %v, when it came", box, m.Date, m.ID.Time())
		}
		last = m.ID
	}
}
