package imapd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/store"
)

// A fakeBox is a mailbox in memory that keeps the contract of folder.Box as far as sessions
// can see it.
type fakeBox struct {
	mu      sync.Mutex
	ids     doppelboden.IDs
	folders []*fakeFolder
	bodies  map[doppelboden.ID][]byte
	change  int64
	next    int64
	watches map[chan struct{}]struct{}
	fails   error        // what Look says
	opened  atomic.Int64 // mails of Several that were not freed yet
}

type fakeFolder struct {
	store.Folder
	mails []store.Shown
}

func newFakeBox() *fakeBox {
	b := &fakeBox{bodies: map[doppelboden.ID][]byte{}, watches: map[chan struct{}]struct{}{}}
	for _, f := range []store.Folder{
		{Name: doppelboden.Inbox, Use: store.UseInbox}, {Name: "Gesendet", Use: store.UseSent}, {Name: "Entwürfe", Use: store.UseDrafts},
		{Name: "Papierkorb", Use: store.UseTrash},
	} {
		f.Subscribed = true
		b.put(f)
	}
	return b
}

func (b *fakeBox) put(f store.Folder) *fakeFolder {
	b.next++
	b.change++
	f.Folder, f.Validity, f.Next, f.Change = b.next, uint32(1000+b.next), 1, b.change
	made := &fakeFolder{Folder: f}
	b.folders = append(b.folders, made)
	return made
}

func (b *fakeBox) find(folder int64) *fakeFolder {
	for _, f := range b.folders {
		if f.Folder.Folder == folder {
			return f
		}
	}
	return nil
}

func (b *fakeBox) wake() {
	for w := range b.watches {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

var errNoFolder = &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such folder"}

func (b *fakeBox) counted(f *fakeFolder) store.Folder {
	c := f.Folder
	for _, m := range f.mails {
		c.Total++
		if m.Flags&doppelboden.Seen == 0 {
			c.Unseen++
		}
	}
	return c
}

func (b *fakeBox) Folders(context.Context) ([]store.Folder, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []store.Folder
	for _, f := range b.folders {
		list = append(list, b.counted(f))
	}
	return list, nil
}

func (b *fakeBox) Look(_ context.Context, folder int64) (store.Folder, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails != nil {
		return store.Folder{}, b.fails
	}
	f := b.find(folder)
	if f == nil {
		return store.Folder{}, errNoFolder
	}
	return b.counted(f), nil
}

func (b *fakeBox) Shown(_ context.Context, folder int64, filter store.ShownFilter, yield func(store.Shown) error) error {
	b.mu.Lock()
	f := b.find(folder)
	var list []store.Shown
	if f != nil {
		for _, m := range f.mails {
			switch {
			case len(filter.UIDs) > 0 && !slices.Contains(filter.UIDs, m.UID), m.UID < filter.From,
				filter.To > 0 && m.UID > filter.To, m.Change <= filter.After:
			default:
				list = append(list, m)
			}
		}
	}
	b.mu.Unlock()
	for _, m := range list {
		if err := yield(m); err != nil {
			return err
		}
	}
	return nil
}

func (b *fakeBox) PutFolder(_ context.Context, f store.Folder) (store.Folder, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.Folder == 0 {
		return b.put(f).Folder, nil
	}
	was := b.find(f.Folder)
	for _, below := range b.folders {
		if rest, ok := strings.CutPrefix(below.Name, was.Name+"/"); ok {
			below.Name = f.Name + "/" + rest
		}
	}
	was.Name, was.Subscribed = f.Name, f.Subscribed
	return was.Folder, nil
}

func (b *fakeBox) DropFolder(_ context.Context, folder int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.folders = slices.DeleteFunc(b.folders, func(f *fakeFolder) bool { return f.Folder.Folder == folder })
	b.wake()
	return nil
}

func (b *fakeBox) Change(_ context.Context, list []store.Change) (all [][]store.Changed, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range list {
		from, to := b.find(c.Folder), b.find(c.To)
		if from == nil || to == nil && (c.Action == store.ActMove || c.Action == store.ActCopy) {
			return nil, errNoFolder
		}
		b.change++
		var done []store.Changed
		var rest []store.Shown
		for _, m := range from.mails {
			if !slices.Contains(c.UIDs, m.UID) {
				rest = append(rest, m)
				continue
			}
			one := store.Changed{UID: m.UID, Flags: m.Flags}
			switch c.Action {
			case store.ActFlag:
				if now := m.Flags&^c.Clear | c.Set; now != m.Flags {
					m.Flags, m.Change = now, b.change
				}
				one.Flags = m.Flags
				rest = append(rest, m)
			case store.ActCopy, store.ActMove:
				moved := m
				moved.UID, moved.Change = to.Next, b.change
				one.NewUID = to.Next
				to.Next++
				if c.Action == store.ActCopy {
					rest = append(rest, m)
				}
				if to == from {
					rest = append(rest, moved)
				} else {
					to.mails = append(to.mails, moved)
				}
				to.Folder.Change = b.change
			}
			done = append(done, one)
		}
		from.mails, from.Folder.Change = rest, b.change
		all = append(all, done)
	}
	b.wake()
	return all, nil
}

func (b *fakeBox) Watch() (<-chan struct{}, func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := make(chan struct{}, 1)
	b.watches[w] = struct{}{}
	return w, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watches, w)
	}
}

func (b *fakeBox) Append(_ context.Context, folder int64, flags uint32, date time.Time, _ int64, r io.Reader) (store.Place, uint32, error) {
	body, err := io.ReadAll(r)
	if err != nil {
		return store.Place{}, 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.find(folder)
	if f == nil {
		return store.Place{}, 0, errNoFolder
	}
	if date.IsZero() {
		date = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	}
	b.change++
	id := b.ids.New(date)
	b.bodies[id] = body
	m := store.Shown{UID: f.Next, Message: id, Flags: flags, Date: date, Size: int64(len(body)), Change: b.change}
	f.Next++
	f.mails = append(f.mails, m)
	f.Folder.Change = b.change
	b.wake()
	return f.Place, m.UID, nil
}

func (b *fakeBox) Open(_ context.Context, id doppelboden.ID) (Mail, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, ok := b.bodies[id]
	if !ok {
		return nil, errNoFolder
	}
	return fakeMail(bytes.Clone(body)), nil
}

func (b *fakeBox) Several(ctx context.Context, folder int64, uids []uint32, yield func(uint32, Mail, error) error) error {
	return b.Shown(ctx, folder, store.ShownFilter{UIDs: uids}, func(m store.Shown) error {
		if m.Scan == doppelboden.Malware {
			return yield(m.UID, nil, &doppelboden.Error{Code: doppelboden.Policy, Public: "kept back"})
		}
		mail, err := b.Open(ctx, m.Message)
		if err != nil {
			return yield(m.UID, nil, err)
		}
		b.opened.Add(1)
		return yield(m.UID, countedMail{mail.(fakeMail), &b.opened}, nil)
	})
}

// renumber is what store.Folders.Renumber does.
func (b *fakeBox) renumber() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change++
	for _, f := range b.folders {
		f.Validity += 1000
		f.Folder.Change = b.change
	}
	b.wake()
}

type fakeMail []byte

func (m fakeMail) Len() int64                     { return int64(len(m)) }
func (m fakeMail) Reader() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m)), nil }

// Text gives short mails alone, so that sessions read others.
func (m fakeMail) Text() []byte {
	if len(m) > 700 {
		return nil
	}
	return m
}

// Free writes over the mail, so that who reads it afterwards is found out.
func (m fakeMail) Free() {
	for i := range m {
		m[i] = '#'
	}
}

// A countedMail is one that has to be freed, once.
type countedMail struct {
	fakeMail
	opened *atomic.Int64
}

func (m countedMail) Free() {
	m.fakeMail.Free()
	m.opened.Add(-1)
}

// fakePeople are Anna and Bert, who share a function mailbox.
type fakePeople struct {
	mu     sync.Mutex
	open   bool
	needs  string
	grants map[account.PersonID][]account.Grant
	agents []string
	opened map[doppelboden.MailboxID]int
	ended  map[int64]bool // ways that let nobody in any more
}

func (p *fakePeople) Still(_ context.Context, id account.PersonID, way int64) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return way == 100+int64(id) && !p.ended[way], nil
}

func (p *fakePeople) Opened(_ context.Context, _ doppelboden.TenantID, m doppelboden.MailboxID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opened == nil {
		p.opened = map[doppelboden.MailboxID]int{}
	}
	p.opened[m]++
}

func newFakePeople() *fakePeople {
	office := account.Grant{Mailbox: 9, Address: doppelboden.Address{Local: "buergerbuero", Domain: "stadt.example"}, Kind: account.GrantFunction}
	own := func(m doppelboden.MailboxID, name string) account.Grant {
		return account.Grant{Mailbox: m, Address: doppelboden.Address{Local: name, Domain: "stadt.example"}, Kind: account.GrantOwn}
	}
	return &fakePeople{open: true, grants: map[account.PersonID][]account.Grant{
		1: {own(1, "anna"), office}, 2: {own(2, "bert"), office},
	}}
}

func (p *fakePeople) LogIn(_ context.Context, a account.Attempt) (account.Login, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.agents = append(p.agents, a.Agent)
	if a.User == "later" {
		return account.Login{}, errors.New("the database is away")
	}
	if !p.open {
		return account.Login{}, account.ErrClosed
	}
	for id, name := range map[account.PersonID]string{1: "anna@stadt.example", 2: "bert@stadt.example"} {
		if a.User == name && a.Password == "geheim" && a.Door == account.DoorIMAP && a.Peer.IsValid() {
			return account.Login{Person: account.Person{ID: id, Tenant: 1, Mailbox: doppelboden.MailboxID(id)}, Needs: p.needs, Way: 100 + int64(id)}, nil
		}
	}
	return account.Login{}, &doppelboden.Error{Code: doppelboden.Policy, Public: "wrong"}
}

func (p *fakePeople) Grants(_ context.Context, id account.PersonID) ([]account.Grant, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.grants[id], nil
}

func (p *fakePeople) Open(doppelboden.TenantID, string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}
