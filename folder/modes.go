package folder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

// ModeStore is what Modes needs from the database.
type ModeStore interface {
	store.Modes
	Note(ctx context.Context, entries ...doppelboden.Entry) error
}

// ModesOptions say what Modes works with. All fields must be set unless a default is named.
type ModesOptions struct {
	Store ModeStore
	// Concerned returns the mailboxes that are in open events, and Outage in which.
	Concerned func() []doppelboden.MailboxID
	Outage    func(doppelboden.MailboxID) (event int64, in bool)
	// Mailbox returns what the directory knows of a mailbox; false when it does not.
	Mailbox func(doppelboden.MailboxID) (doppelboden.Mailbox, bool)
	// Quiet returns after how much time without use a mailbox whose groupware works goes
	// back by itself.
	Quiet func(doppelboden.TenantID) time.Duration
	Log   *slog.Logger
	Timer clock.Timer

	// Clock returns the time; default time.Now.
	Clock func() time.Time
	// Shared says that other nodes change modes as well.
	Shared bool
	// Follow says that this node knows of events; one that does not leaves modes as they are.
	Follow bool
}

func (o *ModesOptions) validate() error {
	if o.Store == nil || o.Concerned == nil || o.Outage == nil || o.Mailbox == nil || o.Quiet == nil || o.Log == nil || o.Timer == nil {
		return errors.New("folder: all of Store, Concerned, Outage, Mailbox, Quiet, Log and Timer must be set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return nil
}

const (
	// followEvery is how long an event may last until its mailboxes are used here.
	followEvery = 2 * time.Second
	// noteEvery is how long it may take until the database knows that a mailbox was used.
	noteEvery = 5 * time.Minute
	// rereadEvery is how long it may take until this node knows what others changed.
	rereadEvery = 20 * time.Second
	// modesAtOnce is how many modes one commit writes.
	modesAtOnce = 2000
)

// Modes says how people use each mailbox: in the groupware (normal), or here (emergency).
//
// An open event makes its mailboxes emergency, and so do people, for single mailboxes. Nobody
// is thrown out when the groupware works again: a mailbox goes back when somebody says so,
// or when nobody has used it here for a quiet time. What a mode means: the doors are open
// for the mailbox, and retention removes nothing of it. Hand-over goes on in both.
type Modes struct {
	opts ModesOptions

	mu    sync.Mutex
	modes map[doppelboden.MailboxID]store.Mode
	here  map[doppelboden.TenantID]int        // how many are emergency
	works map[doppelboden.MailboxID]time.Time // of emergency mailboxes that are in no event: since when, as far as is known
	used  map[doppelboden.MailboxID]time.Time // what the database does not know yet
}

// NewModes returns modes that know nothing yet; see Load.
func NewModes(o ModesOptions) (*Modes, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Modes{opts: o, modes: map[doppelboden.MailboxID]store.Mode{}, here: map[doppelboden.TenantID]int{}, works: map[doppelboden.MailboxID]time.Time{},
		used: map[doppelboden.MailboxID]time.Time{}}, nil
}

// Load reads the modes from the database.
func (m *Modes) Load(ctx context.Context) error {
	all := map[doppelboden.MailboxID]store.Mode{}
	err := m.opts.Store.Modes(ctx, func(one store.Mode) error {
		all[one.Mailbox] = one
		return nil
	})
	if err != nil {
		return fmt.Errorf("read how mailboxes are used: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.modes, m.here = map[doppelboden.MailboxID]store.Mode{}, map[doppelboden.TenantID]int{}
	for _, one := range all {
		m.know(one)
	}
	return nil
}

// Of returns the mode of a mailbox; its zero value, with the mailbox, is normal use.
func (m *Modes) Of(id doppelboden.MailboxID) store.Mode {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.modes[id]
	one.Mailbox = id
	if at := m.used[id]; at.After(one.Used) && one.Emergency {
		one.Used = at
	}
	return one
}

// Emergency reports whether a mailbox is used here.
func (m *Modes) Emergency(id doppelboden.MailboxID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.modes[id].Emergency
}

// All returns the mailboxes that are used here, by number.
func (m *Modes) All() []store.Mode {
	m.mu.Lock()
	var list []store.Mode
	for _, one := range m.modes {
		if one.Emergency {
			list = append(list, one)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(list, func(a, b store.Mode) int { return int(a.Mailbox - b.Mailbox) })
	return list
}

// Any reports whether any mailbox of a tenant is used here.
func (m *Modes) Any(t doppelboden.TenantID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.here[t] > 0
}

// know makes a mode known. The caller holds mu.
func (m *Modes) know(one store.Mode) {
	if m.modes[one.Mailbox].Emergency {
		m.here[m.modes[one.Mailbox].Tenant]--
	}
	if one.Emergency {
		m.here[one.Tenant]++
	}
	if one.Emergency || one.Event != 0 {
		m.modes[one.Mailbox] = one
	} else {
		delete(m.modes, one.Mailbox)
	}
}

// Used notes that a door opened a mailbox for somebody. It costs no disk access.
func (m *Modes) Used(id doppelboden.MailboxID) {
	now := m.opts.Clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.modes[id].Emergency {
		m.used[id] = now
	}
}

// Set says how mailboxes are used from now on, because a person says so: "mine does not
// work", or "it works again". While an event lasts that has a mailbox that was set to
// normal, it stays so. It returns how many changed. NotFound for a mailbox that nobody has.
func (m *Modes) Set(ctx context.Context, ids []doppelboden.MailboxID, emergency bool, by string) (changed int, err error) {
	now := m.opts.Clock()
	var list []store.Mode
	for _, id := range ids {
		box, ok := m.opts.Mailbox(id)
		if !ok || box.Kind == doppelboden.List {
			return 0, &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such mailbox"}
		}
		was := m.Of(id)
		if was.Emergency == emergency {
			continue
		}
		one := store.Mode{Tenant: box.Tenant, Mailbox: id, Emergency: emergency, By: by, At: now}
		one.Event, _ = m.opts.Outage(id)
		list = append(list, one)
	}
	if err := m.put(ctx, list); err != nil {
		return 0, err
	}
	return len(list), m.note(ctx, list)
}

// note writes into the ledger who changed modes.
func (m *Modes) note(ctx context.Context, list []store.Mode) error {
	entries := make([]doppelboden.Entry, len(list))
	for i, one := range list {
		entries[i] = doppelboden.Entry{Kind: doppelboden.EntryConfig, At: one.At, Tenant: one.Tenant, By: one.By,
			Note: fmt.Sprintf("mailbox %d is used in %s mode", one.Mailbox, NameOf(one.Emergency))}
	}
	if err := m.opts.Store.Note(ctx, entries...); err != nil && len(entries) > 0 {
		return fmt.Errorf("note the mode in the ledger: %w", err)
	}
	return nil
}

// NameOf returns the name of a mode, as commands use it.
func NameOf(emergency bool) string {
	if emergency {
		return "emergency"
	}
	return "normal"
}

// put writes modes and has them known.
func (m *Modes) put(ctx context.Context, list []store.Mode) error {
	for part := range slices.Chunk(list, modesAtOnce) {
		if err := m.opts.Store.PutModes(ctx, part); err != nil {
			return fmt.Errorf("write how mailboxes are used: %w", err)
		}
		m.mu.Lock()
		for _, one := range part {
			m.know(one)
			delete(m.used, one.Mailbox)
			delete(m.works, one.Mailbox)
		}
		m.mu.Unlock()
	}
	return nil
}
