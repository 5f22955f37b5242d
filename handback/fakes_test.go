package handback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/intake"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// day is when the tests play.
var day = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

// A world is a mailbox here, the same in a groupware, and everything between them, in memory.
type world struct {
	t      testing.TB
	now    time.Time
	ids    doppelboden.IDs
	may    bool
	well   bool
	clear  bool
	number int64 // of the event in which everything is done

	// Here.
	messages map[doppelboden.ID]*doppelboden.Message
	bodies   map[string]string
	copies   map[int64]*lying
	next     int64
	change   int64
	state    map[doppelboden.MailboxID]string
	seen     []store.Harvest // where reading the groupware has seen mails
	putErr   error

	// There.
	folders map[string]*folder
	uses    map[string]string
	opened  func() error
	// fault is asked before and after everything that a groupware does; an error after says
	// that it was done and nobody heard of it.
	fault func(what string, after bool) error
	moves bool // it has MOVE
	multi bool // it takes several mails at once
	torn  bool // when it dies while it moves, the mail is in both folders
	full  bool
	most  int // the largest mail that it takes, in bytes; 0: any

	letters []intake.Letter
	written []string
}

// A lying is a copy here.
type lying struct {
	store.Deed
}

// A folder is one of the groupware.
type folder struct {
	validity, next uint32
	mails          []gmail
}

// A gmail is a mail in the groupware.
type gmail struct {
	uid   uint32
	flags uint32
	date  time.Time
	text  string
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, now: day, may: true, well: true, clear: true, moves: true, messages: map[doppelboden.ID]*doppelboden.Message{}, bodies: map[string]string{},
		copies: map[int64]*lying{}, state: map[doppelboden.MailboxID]string{}, folders: map[string]*folder{}, uses: map[string]string{}}
	w.folders[""] = &folder{validity: 1, next: 1}
	return w
}

const user = doppelboden.MailboxID(1)

var owner = doppelboden.Address{Local: "u", Domain: "stadt.example"}

// room returns a room that works with w, as a node that has just started has it.
func (w *world) room(change ...func(*Options)) *Room {
	w.t.Helper()
	o := Options{Store: w, Lease: func() store.Lease { return store.Lease{Node: "node", Epoch: 1} },
		Mail:  courier.Options{Bodies: w, MayDot: func() bool { return w.may }, AuthservID: "mx.example"},
		Place: w.place, Well: func(doppelboden.MailboxID) bool { return w.well }, Busy: func(string) bool { return false },
		Clear: func(doppelboden.MailboxID) bool { return w.clear },
		Event: func(context.Context, doppelboden.MailboxID, time.Time) (int64, time.Time, error) {
			return w.number, day, nil
		},
		Stopped: func(doppelboden.TenantID) bool { return false }, Language: func(doppelboden.MailboxID) string { return "de" },
		Letters: w, Hostname: "mx.example", Touch: func(doppelboden.MailboxID) {}, Log: slog.New(slog.DiscardHandler),
		Registry: prometheus.NewRegistry(), Clock: func() time.Time { return w.now },
		Pace: Pace{Every: time.Second, Quiet: time.Minute, Patience: 24 * time.Hour, First: time.Second, Most: time.Minute, Late: time.Hour}}
	for _, f := range change {
		f(&o)
	}
	r, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) place(m doppelboden.MailboxID) (Place, bool) {
	return Place{Tenant: 1, Route: "stadt/kolab", Backend: w, Owner: owner, Priority: 5, AtOnce: 2}, m == user
}

// serve lets a room work on the mailbox once.
func (w *world) serve(r *Room) (result, error) {
	p, _ := w.place(user)
	return r.serve(context.Background(), user, p)
}

// back lets a room work until nothing more goes back.
func (w *world) back(r *Room) result {
	w.t.Helper()
	for range 100 {
		res, err := w.serve(r)
		if err != nil {
			w.t.Fatalf("hand back: %v", err)
		}
		if res.done == 0 && res.wait > 0 || len(w.deeds()) == 0 {
			return res
		}
	}
	w.t.Fatal("there is no end to what goes back")
	return result{}
}

// message makes a mail; with an id of ours it came through us.
func (w *world) message(subject, messageID string, ours bool) *doppelboden.Message {
	w.now = w.now.Add(time.Minute)
	id := w.ids.New(w.now)
	text := "Subject: " + subject + "\r\n"
	if messageID != "" {
		text += "Message-ID: " + messageID + "\r\n"
	}
	text += "\r\n" + subject + "\r\n"
	m := &doppelboden.Message{ID: id, Tenant: 1, Received: w.now, Body: doppelboden.Body{Segment: id.String(), Size: int64(len(text))}}
	if ours {
		m.Prefix = []byte("Received: by mx.example (Doppelboden) with local id " + id.String() + ";\r\n\tnow\r\n")
	}
	w.bodies[id.String()] = text
	w.messages[id] = m
	return m
}

func (w *world) text(m *doppelboden.Message) string {
	return string(m.Prefix) + w.bodies[m.Body.Segment]
}

// delivered makes a mail that came through us and lies in both inboxes.
func (w *world) delivered(subject string) int64 {
	m := w.message(subject, "<"+subject+"@fremd.example>", true)
	m.Deliveries = []doppelboden.Delivery{{Message: m.ID, Mailbox: user, Box: doppelboden.BoxID(user), State: doppelboden.Delivered, Changed: w.now}}
	w.there("", w.text(m), 0, w.now)
	return w.here(m, &store.Spot{Folder: "INBOX", Use: store.UseInbox}, &store.Spot{Folder: "INBOX", Use: store.UseInbox})
}

// read makes a mail that was read from the groupware.
func (w *world) read(subject string) int64 {
	return w.readOne(w.message(subject, "<"+subject+"@intern.example>", false))
}

// readOne lays a mail into the inbox of the groupware and reads it from there.
func (w *world) readOne(m *doppelboden.Message) int64 {
	w.there("", w.text(m), 0, w.now)
	f := w.folders[""]
	w.seen = append(w.seen, store.Harvest{Tenant: 1, Mailbox: user, Folder: "INBOX", Validity: f.validity, UID: f.next - 1, Message: m.ID})
	return w.here(m, &store.Spot{Folder: "INBOX", Use: store.UseInbox}, &store.Spot{Folder: "INBOX", Use: store.UseInbox})
}

// made makes a mail that people made here.
func (w *world) made(subject, messageID string, s store.Spot) int64 {
	return w.here(w.message(subject, messageID, false), nil, &s)
}

// here puts a copy into the mailbox here.
func (w *world) here(m *doppelboden.Message, was, is *store.Spot) int64 {
	w.next++
	w.change++
	w.copies[w.next] = &lying{store.Deed{Number: w.next, Tenant: 1, Mailbox: user, Message: m.ID, Was: was, Is: is, Date: m.Received,
		Size: int64(len(w.text(m))), Change: w.change, At: w.now}}
	return w.next
}

// do changes a copy here.
func (w *world) do(number int64, change func(s *store.Spot) *store.Spot) {
	c := w.copies[number]
	if c == nil || c.Is == nil {
		return
	}
	is := *c.Is
	w.change++
	c.Is, c.Change, c.At = change(&is), w.change, w.now
}

func flag(set, clear uint32) func(*store.Spot) *store.Spot {
	return func(s *store.Spot) *store.Spot { s.Flags = s.Flags&^clear | set; return s }
}

func move(name string, use store.Use) func(*store.Spot) *store.Spot {
	return func(s *store.Spot) *store.Spot { s.Folder, s.Use = name, use; return s }
}

func remove(*store.Spot) *store.Spot { return nil }

// there puts a mail into the groupware.
func (w *world) there(name, text string, flags uint32, date time.Time) {
	f := w.folders[name]
	if f == nil {
		f = &folder{validity: uint32(len(w.folders) + 1), next: 1}
		w.folders[name] = f
	}
	f.mails = append(f.mails, gmail{uid: f.next, flags: flags, date: date.Truncate(time.Second), text: text})
	f.next++
}

func (w *world) deeds() []store.Deed {
	var list []store.Deed
	for _, n := range slices.Sorted(maps.Keys(w.copies)) {
		c := w.copies[n]
		if (c.Was == nil) != (c.Is == nil) || c.Was != nil && (c.Was.Folder != c.Is.Folder || c.Was.Flags != c.Is.Flags) {
			list = append(list, c.Deed)
		}
	}
	return list
}

// differences compares the mailbox here with that in the groupware, but for what is named in
// bins, which lies in its bin.
func (w *world) differences() []string {
	names := map[store.Use]string{}
	for n, use := range w.uses {
		names[store.Use(use)] = n
	}
	want, got := map[string]int{}, map[string]int{}
	for _, c := range w.copies {
		if c.Is == nil {
			continue
		}
		name := c.Is.Folder
		if c.Is.Use == store.UseInbox {
			name = ""
		} else if n := names[c.Is.Use]; n != "" && c.Is.Use != store.UseNone {
			name = n
		}
		want[fmt.Sprintf("%q flags %x of %s:\n%s", name, c.Is.Flags, c.Date.Format(time.DateTime), w.text(w.messages[c.Message]))]++
	}
	for name, f := range w.folders {
		for _, m := range f.mails {
			got[fmt.Sprintf("%q flags %x of %s:\n%s", name, m.flags, m.date.Format(time.DateTime), m.text)]++
		}
	}
	var list []string
	for k, n := range want {
		if got[k] != n {
			list = append(list, fmt.Sprintf("wanted %d times, lies there %d times: %s", n, got[k], k))
		}
	}
	for k, n := range got {
		if want[k] == 0 {
			list = append(list, fmt.Sprintf("nobody wants, lies there %d times: %s", n, k))
		}
	}
	slices.Sort(list)
	return list
}

// The store.

func (w *world) Deeds(_ context.Context, f store.DeedFilter, yield func(store.Deed) error) error {
	n := 0
	for _, d := range w.deeds() {
		if d.Number <= f.After || f.Limit > 0 && n == f.Limit {
			continue
		}
		n++
		if err := yield(d); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) DeedCounts(context.Context) ([]store.DeedCount, error) {
	c := store.DeedCount{Tenant: 1, Mailbox: user}
	for _, d := range w.deeds() {
		c.Deeds++
		if c.Oldest.IsZero() || d.At.Before(c.Oldest) {
			c.Oldest = d.At
		}
	}
	if c.Deeds == 0 {
		return nil, nil
	}
	return []store.DeedCount{c}, nil
}

func (w *world) Returned(_ context.Context, _ store.Lease, list []store.Returned) error {
	if w.putErr != nil {
		return w.putErr
	}
	for _, r := range list {
		c := w.copies[r.Number]
		if c == nil {
			continue
		}
		if c.Was = r.Is; c.Was == nil && c.Is == nil {
			delete(w.copies, r.Number)
		}
	}
	return nil
}

func (w *world) PutHandback(ctx context.Context, l store.Lease, h store.Handback, list []store.Returned) error {
	if w.putErr != nil {
		return w.putErr
	}
	text, err := h.Pack()
	if err != nil {
		return err
	}
	w.state[h.Mailbox] = h.At.Format(time.RFC3339Nano) + " " + text
	return w.Returned(ctx, l, list)
}

func (w *world) HandbackOf(_ context.Context, m doppelboden.MailboxID) (h store.Handback, err error) {
	at, text, ok := strings.Cut(w.state[m], " ")
	if !ok {
		return h, &doppelboden.Error{Code: doppelboden.NotFound, Public: "nothing"}
	}
	h = store.Handback{Tenant: 1, Mailbox: m}
	if h.At, err = time.Parse(time.RFC3339Nano, at); err != nil {
		return h, err
	}
	h.HandbackState, err = store.UnpackHandback(text)
	return h, err
}

func (w *world) Handbacks(ctx context.Context, _ doppelboden.TenantID, yield func(store.Handback) error) error {
	for m := range w.state {
		h, err := w.HandbackOf(ctx, m)
		if err == nil {
			err = yield(h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) Came(context.Context, doppelboden.TenantID, doppelboden.MailboxID, time.Time, time.Time) (int64, error) {
	return 17, nil
}

func (w *world) Folders(context.Context, doppelboden.TenantID, doppelboden.MailboxID) ([]store.Folder, error) {
	at := func(n int64) store.Place { return store.Place{Tenant: 1, Mailbox: user, Folder: n} }
	return []store.Folder{{Place: at(1), Name: "INBOX", Use: store.UseInbox}, {Place: at(2), Name: "Gesendet", Use: store.UseSent},
		{Place: at(3), Name: "Entwürfe", Use: store.UseDrafts}, {Place: at(4), Name: "Papierkorb", Use: store.UseTrash}}, nil
}

func (w *world) CopiesOf(_ context.Context, _ doppelboden.TenantID, _ doppelboden.MailboxID, ids []doppelboden.ID) (list []doppelboden.Copy, err error) {
	for _, c := range w.copies {
		if slices.Contains(ids, c.Message) && c.Is != nil {
			list = append(list, doppelboden.Copy{Mailbox: user, Folder: c.Is.Folder, Message: c.Message, Flags: c.Is.Flags, New: c.Was == nil})
		}
	}
	return list, nil
}

func (w *world) Harvested(_ context.Context, f store.HarvestFilter, yield func(store.Harvest) error) error {
	for _, s := range w.seen {
		if s.Message != f.Message {
			continue
		}
		if err := yield(s); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) HarvestFolders(context.Context, doppelboden.TenantID, doppelboden.MailboxID) ([]store.HarvestFolder, error) {
	return nil, nil
}

func (w *world) Message(_ context.Context, id doppelboden.ID) (*doppelboden.Message, error) {
	if m := w.messages[id]; m != nil {
		return m, nil
	}
	return nil, &doppelboden.Error{Code: doppelboden.NotFound, Public: "no such message"}
}

// Reader implements courier.Bodies.
func (w *world) Reader(_ doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(w.bodies[b.Segment])), nil
}

// From implements Letters.
func (w *world) From(doppelboden.TenantID) doppelboden.Address {
	return doppelboden.Address{Local: "postmaster", Domain: "stadt.example"}
}

// Letter implements Letters.
func (w *world) Letter(_ context.Context, l intake.Letter) error {
	var b strings.Builder
	if err := l.Write(&b); err != nil {
		return err
	}
	if w.messages[l.ID] == nil {
		w.letters, w.written = append(w.letters, l), append(w.written, b.String())
		w.messages[l.ID] = &doppelboden.Message{ID: l.ID}
	}
	return w.broken("letter", true)
}

// The groupware.

// broken asks for a fault.
func (w *world) broken(what string, after bool) error {
	if w.fault == nil {
		return nil
	}
	return w.fault(what, after)
}

// Change implements Backend.
func (w *world) Change(context.Context, doppelboden.Address) (mailbox.Changer, error) {
	if w.opened != nil {
		if err := w.opened(); err != nil {
			return nil, err
		}
	}
	return &session{w: w}, nil
}

type session struct {
	w    *world
	name string
	dead error
}

// do runs what a groupware does, with the faults of the world.
func (s *session) do(what string, run func() error) error {
	if s.dead != nil {
		return s.dead
	}
	if err := s.w.broken(what, false); err != nil {
		s.dead = err
		return err
	}
	if err := run(); err != nil {
		return err
	}
	if err := s.w.broken(what, true); err != nil {
		s.dead = err
		return err
	}
	return nil
}

var errNo = &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such folder"}

func (s *session) Close() error { return nil }

func (s *session) Folders(context.Context, int) ([]string, error) { return nil, nil }

func (s *session) Tree(context.Context, int) (list []mailbox.Branch, err error) {
	return list, s.do("tree", func() error {
		for _, name := range slices.Sorted(maps.Keys(s.w.folders)) {
			list = append(list, mailbox.Branch{Name: shown(name), Use: attributes[store.Use(s.w.uses[name])]})
		}
		return nil
	})
}

func shown(name string) string {
	if name == "" {
		return "INBOX"
	}
	return name
}

func (s *session) Select(ctx context.Context, name string) (mailbox.Folder, error) {
	return s.Enter(ctx, name)
}

func (s *session) Enter(_ context.Context, name string) (f mailbox.Folder, err error) {
	return f, s.do("enter", func() error {
		g := s.w.folders[name]
		if g == nil {
			return errNo
		}
		s.name = name
		f = mailbox.Folder{Validity: g.validity, Next: g.next, Exists: uint32(len(g.mails))}
		return nil
	})
}

func (s *session) Make(_ context.Context, name string) error {
	return s.do("make", func() error {
		if s.w.folders[name] == nil {
			s.w.folders[name] = &folder{validity: uint32(len(s.w.folders) + 1), next: 1}
		}
		return nil
	})
}

func (s *session) Append(ctx context.Context, mails []mailbox.Mail) (uids []uint32, err error) {
	for _, m := range mails {
		sent := false
		err := s.do("append", func() error {
			if s.w.full {
				s.dead = errors.New("the session is over")
				return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeOverQuota}
			}
			if err := s.take(&m); err != nil {
				return err
			}
			sent = true
			return nil
		})
		if err != nil {
			if sent {
				err = mailbox.Doubtful(err)
			}
			return uids, err
		}
		uids = append(uids, s.w.folders[s.name].next-1)
	}
	return uids, nil
}

// AppendAll takes all mails. A server that dies meanwhile may have some of them.
func (s *session) AppendAll(_ context.Context, mails []mailbox.Mail) (done bool, err error) {
	if !s.w.multi || s.w.full || s.w.most > 0 {
		return false, nil
	}
	taken := 0
	err = s.do("append all", func() error {
		for _, m := range mails {
			if err := s.take(&m); err != nil {
				return err
			}
			taken++
			if err := s.w.broken("half of all", true); err != nil {
				s.dead = err
				return err
			}
		}
		return nil
	})
	if err != nil && taken > 0 {
		err = mailbox.Doubtful(err)
	}
	return err == nil, err
}

// take puts a mail into the entered folder.
func (s *session) take(m *mailbox.Mail) error {
	r, err := m.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if s.w.most > 0 && len(text) > s.w.most {
		return &doppelboden.Error{Code: doppelboden.Policy, Public: "too large"}
	}
	if err != nil || int64(len(text)) != m.Size {
		return fmt.Errorf("a mail of %d octets, said to have %d: %w", len(text), m.Size, err)
	}
	s.w.there(s.name, string(text), flagsOf(m.Flags), m.Date)
	return nil
}

func (s *session) Seen(context.Context, uint32, func(mailbox.Seen) error) error {
	return errors.New("not asked for")
}

func (s *session) Find(context.Context, []doppelboden.ID) (map[doppelboden.ID]mailbox.Seen, error) {
	return nil, errors.New("not asked for")
}

var trace = regexp.MustCompile(`\(Doppelboden\) with local id ([0-9a-f-]{36});`)

func (s *session) Marks(_ context.Context, uids []uint32) (list []mailbox.Mark, err error) {
	return list, s.do("marks", func() error {
		for _, m := range s.w.folders[s.name].mails {
			if !slices.Contains(uids, m.uid) {
				continue
			}
			mark := mailbox.Mark{Seen: mailbox.Seen{UID: m.uid, Size: int64(len(m.text)), Date: m.date}, Flags: flagNames(m.flags)}
			if found := trace.FindStringSubmatch(m.text); found != nil {
				mark.ID, _ = doppelboden.ParseID(found[1])
			}
			head, _, _ := strings.Cut(m.text, "\r\n\r\n")
			mark.MessageID = mailbox.MessageID([]byte(head + "\r\n"))
			list = append(list, mark)
		}
		return nil
	})
}

func (s *session) Between(_ context.Context, from, to time.Time) ([]uint32, error) {
	return s.search("between", func(m *gmail) bool {
		return m.date.After(from.Add(-24*time.Hour)) && m.date.Before(to.Add(48*time.Hour))
	})
}

func (s *session) Behind(_ context.Context, from uint32) ([]uint32, error) {
	return s.search("behind", func(m *gmail) bool { return m.uid >= from })
}

func (s *session) search(what string, fits func(*gmail) bool) (uids []uint32, err error) {
	return uids, s.do(what, func() error {
		for i := range s.w.folders[s.name].mails {
			if m := &s.w.folders[s.name].mails[i]; fits(m) {
				uids = append(uids, m.uid)
			}
		}
		return nil
	})
}

func (s *session) Flag(_ context.Context, uids []uint32, add, remove []string) error {
	return s.do("flag", func() error {
		for i := range s.w.folders[s.name].mails {
			if m := &s.w.folders[s.name].mails[i]; slices.Contains(uids, m.uid) {
				m.flags = m.flags&^flagsOf(remove) | flagsOf(add)
			}
		}
		return nil
	})
}

func (s *session) Moves(context.Context) (bool, error) { return s.w.moves, nil }

func (s *session) Move(ctx context.Context, uids []uint32, to string) error {
	if s.w.folders[to] == nil {
		return errNo
	}
	if s.w.moves {
		if err := s.w.broken("half a move", false); err != nil && s.w.torn && s.dead == nil {
			s.copy(uids, to)
			s.dead = err
			return err
		}
		return s.do("move", func() error { s.copy(uids, to); s.expunge(uids); return nil })
	}
	if err := s.do("copy", func() error { s.copy(uids, to); return nil }); err != nil {
		return err
	}
	return s.Drop(ctx, uids)
}

func (s *session) Drop(_ context.Context, uids []uint32) error {
	return s.do("drop", func() error { s.expunge(uids); return nil })
}

func (s *session) copy(uids []uint32, to string) {
	for _, m := range slices.Clone(s.w.folders[s.name].mails) {
		if slices.Contains(uids, m.uid) {
			s.w.there(to, m.text, m.flags, m.date)
		}
	}
}

func (s *session) expunge(uids []uint32) {
	f := s.w.folders[s.name]
	f.mails = slices.DeleteFunc(f.mails, func(m gmail) bool { return slices.Contains(uids, m.uid) })
}
