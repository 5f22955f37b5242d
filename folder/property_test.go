package folder

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/disk/diskfault"
	"doppelboden/ledger"
	"doppelboden/store"

	"pgregory.net/rapid"
)

// TestWhatPeopleDoSurvivesAnyCrash has people write, save, send, send again, append, file and
// delete while mail arrives, on a disk that breaks, with power cuts at any moment. In the
// end: every mail whose sending was answered lies among the sent mail and goes out, and no
// key has sent twice; every draft that was answered is there, it or what replaced it, and
// nothing that nobody wrote; what was appended is where it was put.
//
// It was shown to find its fault: it turns red when a draft's predecessor is removed first,
// when sending takes a new message for a key each time or does not ask whether it was sent,
// when the sent copy is kept in a commit of its own behind the mail, and when the landing
// answers before its sync.
func TestWhatPeopleDoSurvivesAnyCrash(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		f.Value.Set("15") // each takes a third of a second, for the landing drains at its own pace
		defer f.Value.Set(f.DefValue)
	}
	root, runs := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		dir := filepath.Join(root, fmt.Sprint(runs))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &people{town: newTown(t, dir), rt: t, keys: map[string]*sending{}}
		defer func() { m.setFault(nil); m.end() }()
		t.Repeat(map[string]func(*rapid.T){
			"write":   m.write,
			"save":    m.save,
			"send":    m.send,
			"append":  m.append,
			"arrives": m.arrives,
			"delete":  m.delete,
			"break": func(t *rapid.T) {
				op := rapid.SampledFrom([]string{diskfault.OpSync, diskfault.OpWrite, diskfault.OpCreate}).Draw(t, "op")
				left := rapid.IntRange(0, 4).Draw(t, "times before it breaks")
				m.setFault(func(o string) error {
					if left--; o == op && left < 0 {
						return errors.New("the disk breaks at " + op)
					}
					return nil
				})
			},
			"mend": func(*rapid.T) { m.setFault(nil) },
			"crash": func(t *rapid.T) {
				m.crash(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "unsynced") })
			},
		})
		m.setFault(nil)
		m.crash(func(int) int { return 0 }) // also what nobody was told of is decided now
		m.check()
	})
}

// people is the state of that test.
type people struct {
	*town
	rt    *rapid.T
	count int

	drafts   []*written // being written
	keys     map[string]*sending
	appended []string // subjects that were answered
	tried    []string // the others
	arrived  []string // subjects of strangers' mail that was answered
	deleted  []string // of these, what was moved into the bin
}

// A written is a mail that somebody writes.
type written struct {
	key     string
	subject string // of its last version
	uid     uint32 // of the draft that was answered last; 0: none
	saved   []string
	maybe   []string // versions whose saving was not answered
	gone    bool     // it was sent, and its draft may be removed
}

// A sending is a mail that somebody tried to send.
type sending struct {
	of       *written
	subjects []string // of each try; the first that is kept counts
	answered int      // how often it was said to be sent
	blind    bool
}

func (m *people) text(subject string, blind bool) string {
	head := "From: anna@stadt.example\r\nMessage-ID: <" + subject + "@test>\r\nSubject: " + subject + "\r\n"
	if blind {
		head += "Bcc: bert@stadt.example\r\n"
	}
	return head + "\r\n" + strings.Repeat("zeile\r\n", 3) // small: a body in memory
}

func (m *people) next() string { m.count++; return fmt.Sprintf("mail-%d", m.count) }

func (m *people) write(*rapid.T) {
	m.drafts = append(m.drafts, &written{key: m.box().NewKey(), subject: m.next()})
}

// pick returns a mail that is being written.
func (m *people) pick(t *rapid.T) *written {
	if len(m.drafts) == 0 {
		t.Skip("nobody writes")
	}
	return rapid.SampledFrom(m.drafts).Draw(t, "mail")
}

func (m *people) save(t *rapid.T) {
	d := m.pick(t)
	if d.gone {
		t.Skip("it was sent")
	}
	d.subject = m.next()
	uid, err := m.box().SaveDraft(ctx, d.uid, strings.NewReader(m.text(d.subject, false)), -1)
	if err != nil {
		d.maybe = append(d.maybe, d.subject)
		return
	}
	d.uid, d.saved = uid, append(d.saved, d.subject)
}

func (m *people) send(t *rapid.T) {
	d := m.pick(t)
	s := m.keys[d.key]
	if s == nil {
		s = &sending{of: d, blind: rapid.Bool().Draw(t, "blind")}
		m.keys[d.key] = s
	}
	o := outgoing(m.text(d.subject, s.blind), "eva@example.org", "bert@stadt.example")
	o.Key = d.key
	if d.uid != 0 {
		f, err := m.box().used(ctx, store.UseDrafts)
		m.must(err)
		o.Replaces = &Draft{f.Folder, d.uid}
	}
	s.subjects = append(s.subjects, d.subject)
	d.gone = true // also when nobody knows: it may be
	if _, err := m.box().Send(ctx, o); err == nil {
		s.answered++
	} else if doppelboden.CodeOf(err).Permanent() {
		t.Fatalf("sending: %v", err)
	}
}

func (m *people) append(*rapid.T) {
	b, subject := m.box(), m.next()
	f, err := b.used(ctx, store.UseArchive)
	m.must(err)
	if _, _, err := b.Append(ctx, f.Folder, doppelboden.Seen, m.clock(), -1, strings.NewReader(m.text(subject, false))); err != nil {
		m.tried = append(m.tried, subject)
		return
	}
	m.appended = append(m.appended, subject)
}

func (m *people) arrives(*rapid.T) {
	subject := m.next()
	if _, err := m.stranger("anna@stadt.example", m.text(subject, false)); err == nil {
		m.arrived = append(m.arrived, subject)
	}
	m.list(m.box(), store.UseInbox)
}

// delete moves a mail of the inbox into the bin.
func (m *people) delete(t *rapid.T) {
	list := m.list(m.box(), store.UseInbox)
	if len(list) == 0 {
		t.Skip("nothing to delete")
	}
	one := rapid.SampledFrom(list).Draw(t, "mail")
	subject, bin := subjectOf(m.read(m.box(), one.Message)), m.folderOf(m.box(), store.UseTrash)
	done, err := m.box().Change(ctx, []store.Change{{Place: m.box().place(1), Action: store.ActMove, UIDs: []uint32{one.UID}, To: bin.Folder}})
	m.must(err)
	if len(done) != 1 || len(done[0]) != 1 {
		t.Fatalf("of one mail %d were moved", len(done[0]))
	}
	m.deleted = append(m.deleted, subject)
}

// subjects returns the subjects of what lies in the folder with a use.
func (m *people) subjects(u store.Use) (list []string) {
	m.t.Helper()
	for _, s := range m.list(m.box(), u) {
		list = append(list, subjectOf(m.read(m.box(), s.Message)))
	}
	return list
}

func subjectOf(text string) string {
	_, rest, _ := strings.Cut(text, "\r\nSubject: ")
	subject, _, _ := strings.Cut(rest, "\r\n")
	return subject
}

func (m *people) check() {
	m.checkSent()
	m.checkLedger()
	m.checkDrafts()
	inbox, bin := m.subjects(store.UseInbox), m.subjects(store.UseTrash)
	for _, s := range m.arrived {
		if gone := slices.Contains(m.deleted, s); slices.Contains(inbox, s) == gone || slices.Contains(bin, s) != gone {
			m.rt.Fatalf("%s arrived, was deleted: %v; the inbox has %q, the bin %q", s, gone, inbox, bin)
		}
	}
	there := m.subjects(store.UseArchive)
	for _, s := range m.appended {
		if !slices.Contains(there, s) {
			m.rt.Fatalf("%s was appended and is gone; the folder has %q", s, there)
		}
	}
	for i, s := range there {
		if slices.Contains(there[:i], s) || !slices.Contains(m.appended, s) && !slices.Contains(m.tried, s) {
			m.rt.Fatalf("the folder has %s, which nobody put there, or twice", s)
		}
	}
}

// checkSent holds every sending against what lies among the sent mail and what goes out.
func (m *people) checkSent() {
	sent := m.subjects(store.UseSent)
	goes := map[string]int{} // by subject
	for _, it := range m.deliveries() {
		if it.Message.Door == "webmail" {
			goes[m.subjectOf(it.Message)]++
		}
	}
	for _, s := range m.keys {
		copies, deliveries := 0, 0
		for i, subject := range s.subjects {
			if slices.Contains(s.subjects[:i], subject) {
				continue
			}
			for _, one := range sent {
				if one == subject {
					copies++
				}
			}
			deliveries += goes[subject]
		}
		switch {
		case copies > 1 || deliveries > 2:
			m.rt.Fatalf("%q: %d sent copies and %d deliveries of one key, want 1 and 2", s.subjects, copies, deliveries)
		case copies*2 != deliveries:
			m.rt.Fatalf("%q: %d sent copies, but %d deliveries", s.subjects, copies, deliveries)
		case s.answered > 0 && copies == 0:
			m.rt.Fatalf("%q was sent, said the answer, and is nowhere", s.subjects)
		}
	}
}

// checkLedger wants every message in the ledger once: twice would be a difference of the
// balance.
func (m *people) checkLedger() {
	seen := map[doppelboden.ID]bool{}
	err := m.db.Links(ctx, time.Time{}, func(l doppelboden.Link) error {
		list, err := ledger.Decode(l)
		for _, e := range list {
			if e.Kind == doppelboden.EntryAccepted && seen[e.Message] {
				m.rt.Fatalf("the ledger has message %s twice", e.Message)
			}
			seen[e.Message] = true
		}
		return err
	})
	m.must(err)
}

// subjectOf reads a message, wherever it lies.
func (m *people) subjectOf(one *doppelboden.Message) string {
	mail := &Mail{Message: one, room: m.room}
	r, err := mail.open()
	m.must(err)
	defer r.Close()
	text := make([]byte, 4096)
	n, _ := r.Read(text)
	return subjectOf(string(text[:n]))
}

func (m *people) checkDrafts() {
	there := m.subjects(store.UseDrafts)
	for _, d := range m.drafts {
		if d.gone || len(d.saved) == 0 {
			continue
		}
		last := d.saved[len(d.saved)-1]
		if !slices.Contains(there, last) {
			m.rt.Fatalf("the draft %s was saved and is gone; there are %q", last, there)
		}
	}
	for i, s := range there {
		known := slices.ContainsFunc(m.drafts, func(d *written) bool { return slices.Contains(d.saved, s) || slices.Contains(d.maybe, s) })
		if !known || slices.Contains(there[:i], s) {
			m.rt.Fatalf("the draft %s is there twice, or nobody saved it", s)
		}
	}
}
