package webmail

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/account"
	"doppelboden/folder"
	"doppelboden/letter"
	"doppelboden/search"
	"doppelboden/store"
)

// A town is what the door works with, in memory: mailboxes, people, slips.
type town struct {
	mu     sync.Mutex
	ids    doppelboden.IDs
	now    time.Time
	boxes  map[doppelboden.MailboxID]*memory
	mails  map[doppelboden.ID][]byte
	grants map[account.PersonID][]account.Grant
	slips  map[string]Slip
	sent   []folder.Outgoing
	bodies []string // of sent
	keys   map[string]bool
	refuse error // what Send answers
	opened []string
	stands Standing
	// dead fails the next reading of folders after a draft was saved or mails were changed, as it
	// does for a visitor who has gone.
	dead, died bool
}

// A memory is one mailbox.
type memory struct {
	folders []store.Folder
	lying   map[int64][]store.Shown
}

func newTown() *town {
	return &town{now: time.Date(2026, 7, 14, 9, 30, 0, 0, time.UTC), boxes: map[doppelboden.MailboxID]*memory{},
		mails: map[doppelboden.ID][]byte{}, grants: map[account.PersonID][]account.Grant{}, slips: map[string]Slip{}, keys: map[string]bool{}}
}

// validityOfFakes is the first UIDVALIDITY in a town: that of folder 1, which links write "v1".
const validityOfFakes = 31*36 + 1

// add makes a mailbox with the usual folders.
func (t *town) add(id doppelboden.MailboxID) *memory {
	m := &memory{lying: map[int64][]store.Shown{}}
	for i, f := range []struct {
		name string
		use  store.Use
	}{{"INBOX", store.UseInbox}, {"Entwürfe", store.UseDrafts}, {"Gesendet", store.UseSent}, {"Archiv", store.UseArchive}, {"Spam", store.UseJunk}, {"Papierkorb", store.UseTrash}, {"Vorgänge", ""}} {
		m.folders = append(m.folders, store.Folder{Place: store.Place{Tenant: 1, Mailbox: id, Folder: int64(i + 1)}, Name: f.name, Use: f.use, Next: 1, Validity: validityOfFakes + uint32(i)})
	}
	t.boxes[id] = m
	return m
}

// put lays a mail into a folder and returns its UID.
func (t *town) put(box doppelboden.MailboxID, folder int64, flags uint32, text string) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = t.now.Add(time.Second)
	id := t.ids.New(t.now)
	t.mails[id] = []byte(text)
	return t.boxes[box].put(folder, store.Shown{Message: id, Flags: flags, Date: t.now, Size: int64(len(text))})
}

func (m *memory) put(folder int64, s store.Shown) uint32 {
	f := &m.folders[folder-1]
	s.UID = f.Next
	f.Next++
	m.lying[folder] = append(m.lying[folder], s)
	return s.UID
}

// A fakeBox is one mailbox as one person has opened it.
type fakeBox struct {
	t *town
	m *memory
}

func (t *town) open(_ doppelboden.TenantID, m doppelboden.MailboxID, by string) Box {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened = append(t.opened, fmt.Sprintf("%s:%d", by, m))
	return &fakeBox{t, t.boxes[m]}
}

func (b *fakeBox) count(f store.Folder) store.Folder {
	for _, s := range b.m.lying[f.Place.Folder] {
		f.Total++
		if s.Flags&doppelboden.Seen == 0 {
			f.Unseen++
		}
	}
	return f
}

func (b *fakeBox) Folders(context.Context) ([]store.Folder, error) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	if b.t.died {
		b.t.dead, b.t.died = false, false
		return nil, context.Canceled
	}
	list := slices.Clone(b.m.folders)
	for i := range list {
		list[i] = b.count(list[i])
	}
	return list, nil
}

func (b *fakeBox) Look(_ context.Context, n int64) (store.Folder, error) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	if n < 1 || n > int64(len(b.m.folders)) {
		return store.Folder{}, &doppelboden.Error{Code: doppelboden.NotFound}
	}
	return b.count(b.m.folders[n-1]), nil
}

func (b *fakeBox) Shown(_ context.Context, n int64, f store.ShownFilter, yield func(store.Shown) error) error {
	b.t.mu.Lock()
	list := slices.Clone(b.m.lying[n])
	b.t.mu.Unlock()
	if f.Newest {
		slices.Reverse(list)
	}
	given := 0
	for _, s := range list {
		if f.From > 0 && s.UID < f.From || f.To > 0 && s.UID > f.To || len(f.UIDs) > 0 && !slices.Contains(f.UIDs, s.UID) || f.Limit > 0 && given == f.Limit {
			continue
		}
		given++
		if err := yield(s); err != nil {
			return err
		}
	}
	return nil
}

func (b *fakeBox) PutFolder(_ context.Context, f store.Folder) (store.Folder, error) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	if f.Place.Folder > 0 {
		b.m.folders[f.Place.Folder-1].Name = f.Name
		return f, nil
	}
	f.Place.Folder, f.Next, f.Validity = int64(len(b.m.folders)+1), 1, validityOfFakes+uint32(len(b.m.folders))
	b.m.folders = append(b.m.folders, f)
	return f, nil
}

func (b *fakeBox) DropFolder(context.Context, int64) error { return nil }

func (b *fakeBox) Change(_ context.Context, list []store.Change) ([][]store.Changed, error) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	var all [][]store.Changed
	for _, c := range list {
		var one []store.Changed
		var rest []store.Shown
		for _, s := range b.m.lying[c.Folder] {
			if !slices.Contains(c.UIDs, s.UID) {
				rest = append(rest, s)
				continue
			}
			switch c.Action {
			case store.ActFlag:
				s.Flags = s.Flags&^c.Clear | c.Set
				rest = append(rest, s)
				one = append(one, store.Changed{UID: s.UID, Flags: s.Flags})
			case store.ActMove:
				one = append(one, store.Changed{UID: s.UID, NewUID: b.m.put(c.To, s)})
			case store.ActRemove:
				one = append(one, store.Changed{UID: s.UID})
			}
		}
		b.m.lying[c.Folder] = rest
		all = append(all, one)
	}
	b.t.died = b.t.dead
	return all, nil
}

func (b *fakeBox) Read(_ context.Context, id doppelboden.ID) (io.ReadCloser, error) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	return io.NopCloser(bytes.NewReader(b.t.mails[id])), nil
}

func (b *fakeBox) SaveDraft(_ context.Context, old uint32, r io.Reader, _ int64) (uint32, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	id := b.m.folders[0].Mailbox
	uid := b.t.put(id, 2, doppelboden.Draft|doppelboden.Seen, string(text))
	b.drop(2, old)
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	b.t.died = b.t.dead
	return uid, nil
}

func (b *fakeBox) drop(n int64, uid uint32) {
	b.m.lying[n] = slices.DeleteFunc(b.m.lying[n], func(s store.Shown) bool { return s.UID == uid })
}

func (b *fakeBox) NewKey() string { return strings.Repeat("k", 20) + fmt.Sprint(time.Now().UnixNano()) }

func (b *fakeBox) Send(_ context.Context, o folder.Outgoing) (folder.Sent, error) {
	if b.t.refuse != nil {
		return folder.Sent{}, b.t.refuse
	}
	text, err := io.ReadAll(o.Body)
	if err != nil {
		return folder.Sent{}, err
	}
	b.t.mu.Lock()
	again := b.t.keys[o.Key]
	b.t.keys[o.Key] = true
	if !again {
		b.t.sent, b.t.bodies = append(b.t.sent, o), append(b.t.bodies, string(text))
	}
	b.t.mu.Unlock()
	if o.Replaces != nil {
		b.drop(o.Replaces.Folder, o.Replaces.UID)
	}
	return folder.Sent{Again: again}, nil
}

func (t *town) Grants(_ context.Context, p account.PersonID) ([]account.Grant, error) {
	return t.grants[p], nil
}

func (t *town) MaySend(context.Context, account.PersonID, doppelboden.Address) bool { return false }

func (t *town) Opened(context.Context, doppelboden.TenantID, doppelboden.MailboxID) {}

func (t *town) Summaries(_ context.Context, _ doppelboden.TenantID, ids []doppelboden.ID) (map[doppelboden.ID]letter.Summary, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[doppelboden.ID]letter.Summary{}
	for _, id := range ids {
		l, err := letter.Parse(bytes.NewReader(t.mails[id]), letter.Limits{})
		if err != nil {
			return nil, err
		}
		all[id] = l.Summary()
	}
	return all, nil
}

func (t *town) Search(ctx context.Context, at []store.Place, q search.Query, yield func(search.Hit) error) error {
	for _, p := range at {
		for _, s := range slices.Backward(t.boxes[p.Mailbox].lying[p.Folder]) {
			if s.Flags&q.Clear != 0 || s.Flags&q.Set != q.Set {
				continue
			}
			sums, err := t.Summaries(ctx, 1, []doppelboden.ID{s.Message})
			if err != nil {
				return err
			}
			if err := yield(search.Hit{Place: p, Shown: s, Summary: sums[s.Message]}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *town) PutSlip(_ context.Context, _ doppelboden.TenantID, m doppelboden.MailboxID, s Slip) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slips[fmt.Sprintf("%d/%s/%s", m, s.Kind, s.Key)] = s
	return nil
}

func (t *town) Slips(_ context.Context, _ doppelboden.TenantID, m doppelboden.MailboxID, kind string) (list []Slip, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, s := range t.slips {
		if strings.HasPrefix(name, fmt.Sprintf("%d/%s/", m, kind)) && (s.Until.IsZero() || s.Until.After(t.now)) {
			list = append(list, s)
		}
	}
	return list, nil
}

func (t *town) DropSlip(_ context.Context, _ doppelboden.TenantID, m doppelboden.MailboxID, kind, key string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.slips, fmt.Sprintf("%d/%s/%s", m, kind, key))
	return nil
}
