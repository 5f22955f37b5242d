package filing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// day is when the tests play.
var day = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

// A house is a groupware with one mailbox, a database, a tally and bodies, in memory.
type house struct {
	mu       sync.Mutex
	validity uint32
	next     uint32
	lies     []lying
	flags    [][]string // of lies
	// append decides about a mail that is put into the folder: whether it is kept, and what
	// is said. nil: kept, and said so.
	append  func(n int, m mailbox.Mail) (kept bool, err error)
	opened  func() error // nil: the mailbox can be opened
	asked   int          // calls of Seen and Find
	mute    bool         // the server says no UIDs
	batches int          // calls of Append

	filings map[doppelboden.BoxID]store.Filing
	putErr  error

	bodies map[string]string // by segment
	may    bool              // hand over
	log    []string          // of the tally
}

// A lying is a mail in the folder.
type lying struct {
	mailbox.Seen
	text string
}

func newHouse() *house {
	return &house{validity: 7, next: 1, filings: map[doppelboden.BoxID]store.Filing{}, bodies: map[string]string{}, may: true}
}

// filer returns a Filer that works with h.
func (h *house) filer(t testing.TB) *Filer {
	t.Helper()
	f, err := New(Options{
		Courier: courier.Options{Bodies: h, Tally: h, Clock: func() time.Time { return day }, Log: slog.New(slog.DiscardHandler),
			AuthservID: "mx.example", MayDot: func() bool { return h.may }},
		Store: h, Lease: func() store.Lease { return store.Lease{Node: "node", Epoch: 1} },
		Groupware: func(lane string) (Groupware, bool) {
			return Groupware{Backend: h, Server: "127.0.0.1:143"}, lane == "stadt/alt" || lane == "stadt/neu"
		},
		Owner: func(d doppelboden.Delivery) (doppelboden.Address, bool) { return d.Recipient, d.Mailbox != 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// items makes n mails for mailbox 1, an hour apart.
func (h *house) items(n int) []store.Item {
	var ids doppelboden.IDs
	var all []store.Item
	for i := range n {
		at := day.Add(time.Duration(i-n) * time.Hour)
		id := ids.New(at)
		name := id.String()
		h.bodies[name] = fmt.Sprintf("Subject: %d\r\n\r\n.%s\r\n", i, strings.Repeat("x", i))
		m := &doppelboden.Message{ID: id, Received: at, Sender: doppelboden.Address{Local: "a", Domain: "b.example"},
			Prefix: []byte("Received: from us id " + name + "\r\n"), Body: doppelboden.Body{Segment: name, Size: int64(len(h.bodies[name]))}}
		d := doppelboden.Delivery{Seq: int64(i + 1), Message: id, Mailbox: 1, Box: 1, Recipient: doppelboden.Address{Local: "u", Domain: "stadt.example"}}
		all = append(all, store.Item{Delivery: d, Message: m})
	}
	return all
}

// Reader implements courier.Bodies.
func (h *house) Reader(_ doppelboden.TenantID, b doppelboden.Body) (io.ReadCloser, error) {
	text, ok := h.bodies[b.Segment]
	if !ok {
		return nil, errors.New("the body is gone")
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

// Attempt implements courier.Tally.
func (h *house) Attempt(refs []doppelboden.Ref, route string, _ time.Time) {
	h.log = append(h.log, fmt.Sprintf("attempt %d %s", len(refs), route))
}

// Answer implements courier.Tally.
func (h *house) Answer(o doppelboden.Outcome) {
	line := fmt.Sprintf("%s %s", o.Verdict, o.Phase)
	if o.InDoubt {
		line += " in doubt"
	}
	h.log = append(h.log, line)
}

func (h *house) PutFiling(_ context.Context, _ store.Lease, f store.Filing) error {
	if h.putErr == nil {
		h.filings[f.Box] = f
	}
	return h.putErr
}

func (h *house) FilingOf(_ context.Context, box doppelboden.BoxID) (store.Filing, error) {
	f, ok := h.filings[box]
	if !ok {
		return f, &doppelboden.Error{Code: doppelboden.NotFound, Public: "none"}
	}
	return f, nil
}

// Open implements mailbox.Backend.
func (h *house) Open(context.Context, doppelboden.Address) (mailbox.Session, error) {
	if h.opened != nil {
		if err := h.opened(); err != nil {
			return nil, err
		}
	}
	return &session{h: h}, nil
}

// Close implements mailbox.Backend and ends nothing.
func (h *house) Close() error { return nil }

type session struct {
	h      *house
	broken bool
}

func (s *session) Close() error { return nil }

func (s *session) Folders(context.Context, int) ([]string, error) { return []string{"INBOX"}, nil }

func (s *session) Select(context.Context, string) (mailbox.Folder, error) {
	return mailbox.Folder{Validity: s.h.validity, Next: s.h.next, Exists: uint32(len(s.h.lies))}, nil
}

func (s *session) Append(_ context.Context, mails []mailbox.Mail) (uids []uint32, err error) {
	h := s.h
	h.batches++
	for _, m := range mails {
		if s.broken {
			return uids, errors.New("the connection is broken")
		}
		kept := true
		if h.append != nil {
			kept, err = h.append(len(h.lies), m)
		}
		if kept {
			r, oerr := m.Open()
			if oerr != nil {
				return uids, oerr
			}
			text, rerr := io.ReadAll(r)
			r.Close()
			if rerr != nil || int64(len(text)) != m.Size {
				return uids, fmt.Errorf("a mail of %d octets, said to have %d: %w", len(text), m.Size, rerr)
			}
			_, id, _ := strings.Cut(string(text), "Received: from us id ")
			name, perr := doppelboden.ParseID(id[:36])
			if perr != nil {
				return uids, perr
			}
			h.flags = append(h.flags, m.Flags)
			h.lies = append(h.lies, lying{mailbox.Seen{UID: h.next, ID: name, Size: m.Size, Date: m.Date.Truncate(time.Second)}, string(text)})
			h.next++
		}
		if err != nil {
			s.broken = mailbox.InDoubt(err)
			return uids, err
		}
		uid := h.next - 1
		if h.mute {
			uid = 0
		}
		uids = append(uids, uid)
	}
	return uids, nil
}

func (s *session) Seen(_ context.Context, from uint32, yield func(mailbox.Seen) error) error {
	s.h.asked++
	for _, l := range s.h.lies {
		if l.UID >= from {
			if err := yield(l.Seen); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) Find(_ context.Context, ids []doppelboden.ID) (map[doppelboden.ID]mailbox.Seen, error) {
	s.h.asked++
	found := map[doppelboden.ID]mailbox.Seen{}
	for _, l := range s.h.lies {
		for _, id := range ids {
			if l.ID == id {
				found[id] = l.Seen
			}
		}
	}
	return found, nil
}
