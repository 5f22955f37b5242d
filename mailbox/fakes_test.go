package mailbox

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/store"
	"doppelboden/test/hand"
)

// A town is a store and a groupware in memory: what was handed over, and what lies where.
type town struct {
	t     *testing.T
	clock *hand.Clock
	ids   doppelboden.IDs

	mu      sync.Mutex
	handed  []store.Handed
	lies    map[string]map[string][]Seen // by mailbox and folder
	next    map[string]uint32            // UIDNEXT of each mailbox's folders
	valid   uint32                       // UIDVALIDITY
	gone    map[string]bool              // mailboxes that do not exist
	refuse  error                        // what Open says
	blind   bool                         // there is no way into the mailboxes
	full    bool
	busy    bool
	opens   int
	batches [][]doppelboden.Settlement
	failing error           // what Reopen says
	odd     map[string]bool // mailboxes whose folders cannot be listed
	shut    map[string]bool // mailboxes that cannot be opened
	looking func()          // called when somebody looks into a mailbox
	done    []string
}

func newTown(t *testing.T) *town {
	return &town{t: t, clock: hand.At(time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)), lies: map[string]map[string][]Seen{},
		next: map[string]uint32{}, valid: 7, gone: map[string]bool{}, full: true}
}

// options are those with this town.
func (w *town) options() Options {
	return Options{
		Store: w, Lease: func() store.Lease { return store.Lease{Node: "n", Epoch: 1} }, Clock: w.clock.Now, Timer: w.clock.Timer,
		Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		Place: func(b doppelboden.BoxID) (Place, bool) {
			if b < 0 {
				return Place{}, false
			}
			p := Place{Route: "stadt/groupware", Owner: w.owner(b)}
			if !w.blind {
				p.Backend = w
			}
			return p, true
		},
		Routes: func() map[string]Route {
			w.mu.Lock()
			defer w.mu.Unlock()
			return map[string]Route{"stadt/groupware": {Tenant: 1, Full: w.full}}
		},
		Busy:   func(string) bool { w.mu.Lock(); defer w.mu.Unlock(); return w.busy },
		Reopen: w.reopen,
	}
}

func (w *town) owner(b doppelboden.BoxID) doppelboden.Address {
	return doppelboden.Address{Local: string(rune('a' + b)), Domain: "stadt.example"}
}

// take has the groupware take a mail of a mailbox; folder says where it lies then, "" for
// nowhere. age is how long it had waited.
func (w *town) take(b doppelboden.BoxID, folder string, age time.Duration) store.Handed {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock.Forward(time.Millisecond)
	now := w.clock.Now().UTC().Truncate(time.Microsecond)
	h := store.Handed{Ref: doppelboden.Ref{Message: w.ids.New(now)}, Seq: int64(len(w.handed) + 1), Tenant: 1, Mailbox: doppelboden.MailboxID(b), Box: b,
		State: doppelboden.Delivered, At: now, Received: now.Add(-age)}
	w.handed = append(w.handed, h)
	if folder != "" {
		w.put(b, folder, h.Ref.Message)
	}
	return h
}

// put puts a mail into a folder. The caller holds w.mu.
func (w *town) put(b doppelboden.BoxID, folder string, id doppelboden.ID) {
	box := w.owner(b).String()
	if w.lies[box] == nil {
		w.lies[box] = map[string][]Seen{}
	}
	w.next[box]++
	w.lies[box][folder] = append(w.lies[box][folder], Seen{UID: w.next[box], ID: id, Size: 4711, Date: w.clock.Now().UTC()})
}

// restore makes the inbox of a mailbox what it was when it held n mails.
func (w *town) restore(b doppelboden.BoxID, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	box := w.owner(b).String()
	w.lies[box] = map[string][]Seen{"INBOX": w.lies[box]["INBOX"][:n]}
	w.next[box] = uint32(n)
}

// states returns the states of what was handed over, by Seq.
func (w *town) states() (list []doppelboden.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.handed {
		list = append(list, h.State)
	}
	return list
}

// Handed implements Store.
func (w *town) Handed(_ context.Context, f store.HandedFilter, yield func(store.Handed) error) error {
	w.mu.Lock()
	var page []store.Handed
	for _, h := range w.handed {
		switch {
		case h.State != doppelboden.Delivered && h.State != doppelboden.Confirmed:
		case f.Box != 0 && h.Box != f.Box, f.Tenant != 0 && h.Tenant != f.Tenant:
		case h.At.Before(f.From), !f.To.IsZero() && !h.At.Before(f.To):
		case h.Seq <= f.AfterSeq && (f.Box != 0 || !h.At.After(f.From)):
		default:
			page = append(page, h)
		}
	}
	w.mu.Unlock()
	if f.Box == 0 {
		slices.SortStableFunc(page, func(a, b store.Handed) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Seq, b.Seq)) })
	}
	if f.Limit > 0 {
		page = page[:min(len(page), f.Limit)]
	}
	for _, h := range page {
		if err := yield(h); err != nil {
			return err
		}
	}
	return nil
}

// Confirm implements Store.
func (w *town) Confirm(_ context.Context, _ store.Lease, list []store.Confirmation) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range list {
		for i := range w.handed {
			if w.handed[i].Ref == c.Ref {
				w.handed[i].State, w.handed[i].Sighting = doppelboden.Confirmed, c.Sighting
			}
		}
	}
	return nil
}

func (w *town) reopen(_ context.Context, batch []doppelboden.Settlement) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing != nil {
		return w.failing
	}
	w.batches = append(w.batches, batch)
	for _, s := range batch {
		for i := range w.handed {
			if w.handed[i].Ref == s.Ref {
				w.handed[i].State = s.State
			}
		}
	}
	return nil
}

// Open implements Backend.
func (w *town) Open(_ context.Context, owner doppelboden.Address) (Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opens++
	switch {
	case w.refuse != nil:
		return nil, w.refuse
	case w.shut[owner.String()]:
		return nil, &doppelboden.Error{Public: "an internal error"}
	case w.gone[owner.String()]:
		return nil, &doppelboden.Error{Code: doppelboden.NotFound, Public: "no such mailbox"}
	}
	return &fakeSession{w: w, box: owner.String()}, nil
}

// Close implements Backend.
func (w *town) Close() error { return nil }

// A fakeSession is an open mailbox of a town.
type fakeSession struct {
	w           *town
	box, folder string
}

func (s *fakeSession) Folders(context.Context, int) ([]string, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	names := []string{"INBOX"}
	if s.w.odd[s.box] {
		return nil, &doppelboden.Error{Public: "an odd name"}
	}
	for name := range s.w.lies[s.box] {
		if name != "INBOX" {
			names = append(names, name)
		}
	}
	return names, nil
}

func (s *fakeSession) Select(_ context.Context, folder string) (Folder, error) {
	s.w.mu.Lock()
	looking := s.w.looking
	s.w.mu.Unlock()
	if looking != nil {
		looking()
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.folder = cmp.Or(folder, "INBOX")
	return Folder{Validity: s.w.valid, Next: s.w.next[s.box] + 1, Exists: uint32(len(s.w.lies[s.box][s.folder]))}, nil
}

func (s *fakeSession) Find(_ context.Context, ids []doppelboden.ID) (map[doppelboden.ID]Seen, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	found := map[doppelboden.ID]Seen{}
	for _, m := range s.w.lies[s.box][s.folder] {
		if slices.Contains(ids, m.ID) {
			found[m.ID] = m
		}
	}
	return found, nil
}

func (s *fakeSession) Append(context.Context, []Mail) ([]uint32, error) {
	return nil, errors.New("reading back never writes")
}

func (s *fakeSession) Seen(context.Context, uint32, func(Seen) error) error {
	return errors.New("reading back looks for what it knows")
}

func (s *fakeSession) Close() error { return nil }

// count counts how often a state is among some.
func count(list []doppelboden.State, s doppelboden.State) (n int) {
	for _, one := range list {
		if one == s {
			n++
		}
	}
	return n
}

// has reports whether a text holds all of some words.
func has(text string, words ...string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
