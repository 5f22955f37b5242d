package harvest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
)

// A fake is a groupware in memory. It has CONDSTORE and LIST-STATUS, unless it is old, or
// plain: then it does not even say UIDNEXT.
type fake struct {
	old    bool
	plain  bool
	mu     sync.Mutex
	boxes  map[string]*fakeBox // by address
	opens  int
	listed int   // so many times all UIDs of a folder were asked for
	fail   error // of every Mirror
}

// A fakeBox is one of its mailboxes.
type fakeBox struct {
	folders map[string]*fakeFolder
	modseq  uint64
}

// A fakeFolder is one of its folders.
type fakeFolder struct {
	use      string
	validity uint32
	next     uint32
	modseq   uint64
	mails    []*fakeMail // by UID
}

// A fakeMail is one of its mails.
type fakeMail struct {
	uid    uint32
	flags  uint32
	date   time.Time
	text   string
	modseq uint64
}

func newFake() *fake { return &fake{boxes: map[string]*fakeBox{}} }

// box returns a mailbox, which it makes.
func (f *fake) box(owner doppelboden.Address) *fakeBox {
	b := f.boxes[owner.String()]
	if b == nil {
		b = &fakeBox{folders: map[string]*fakeFolder{"INBOX": {validity: 1, next: 1}, "Sent": {use: `\Sent`, validity: 1, next: 1}}}
		f.boxes[owner.String()] = b
	}
	return b
}

// put puts a mail into a folder.
func (f *fake) put(owner doppelboden.Address, folder, text string, at time.Time, flags uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.box(owner)
	in := b.folders[folder]
	if in == nil {
		in = &fakeFolder{validity: 1, next: 1}
		b.folders[folder] = in
	}
	b.modseq++
	in.modseq = b.modseq
	in.mails = append(in.mails, &fakeMail{uid: in.next, flags: flags, date: at, text: text, modseq: b.modseq})
	in.next++
}

// remove removes mails from a folder that fit.
func (f *fake) remove(owner doppelboden.Address, folder string, fits func(n int, m *fakeMail) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.box(owner)
	in := b.folders[folder]
	var left []*fakeMail
	for n, m := range in.mails {
		if !fits(n, m) {
			left = append(left, m)
		}
	}
	b.modseq++
	in.mails, in.modseq = left, b.modseq
}

// Mirror implements Backend.
func (f *fake) Mirror(_ context.Context, owner doppelboden.Address) (mailbox.Mirror, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opens++
	if f.fail != nil {
		return nil, f.fail
	}
	return &fakeSession{f: f, b: f.box(owner)}, nil
}

// A fakeSession is one of its sessions.
type fakeSession struct {
	f  *fake
	b  *fakeBox
	in *fakeFolder
}

var errUnused = errors.New("nobody asks for this")

func (s *fakeSession) Folders(context.Context, int) ([]string, error) { return nil, errUnused }
func (s *fakeSession) Select(context.Context, string) (mailbox.Folder, error) {
	return mailbox.Folder{}, errUnused
}
func (s *fakeSession) Append(context.Context, []mailbox.Mail) ([]uint32, error) {
	return nil, errUnused
}
func (s *fakeSession) Seen(context.Context, uint32, func(mailbox.Seen) error) error {
	return errUnused
}
func (s *fakeSession) Find(context.Context, []doppelboden.ID) (map[doppelboden.ID]mailbox.Seen, error) {
	return nil, errUnused
}
func (s *fakeSession) Close() error                              { return nil }
func (s *fakeSession) Foreign(context.Context) ([]string, error) { return nil, nil }

func (s *fakeSession) Tree(context.Context, int) (tree []mailbox.Branch, err error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	for name, in := range s.b.folders {
		tree = append(tree, mailbox.Branch{Name: name, Use: in.use})
	}
	return tree, nil
}

func (in *fakeFolder) state(f *fake) mailbox.State {
	s := mailbox.State{Folder: mailbox.Folder{Validity: in.validity, Next: in.next, Exists: uint32(len(in.mails))}, ModSeq: in.modseq + 1}
	if f.old || f.plain {
		s.ModSeq = 0
	}
	if f.plain {
		s.Next = 0
	}
	return s
}

func (s *fakeSession) States(context.Context) (map[string]mailbox.State, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.f.old || s.f.plain {
		return nil, nil
	}
	all := map[string]mailbox.State{}
	for name, in := range s.b.folders {
		all[name] = in.state(s.f)
	}
	return all, nil
}

func (s *fakeSession) Look(_ context.Context, folder string) (mailbox.State, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.in = s.b.folders[folder]; s.in == nil {
		return mailbox.State{}, &doppelboden.Error{Code: doppelboden.NotFound, Public: "no such folder"}
	}
	return s.in.state(s.f), nil
}

func (s *fakeSession) Behind(_ context.Context, from uint32) ([]uint32, error) {
	s.f.mu.Lock()
	s.f.listed++
	s.f.mu.Unlock()
	return s.uids(func(m *fakeMail) bool { return m.uid >= from }), nil
}

func (s *fakeSession) Since(_ context.Context, from time.Time) ([]uint32, error) {
	return s.uids(func(m *fakeMail) bool { return !m.date.Before(from) }), nil
}

func (s *fakeSession) uids(fits func(*fakeMail) bool) (list []uint32) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	for _, m := range s.in.mails {
		if fits(m) {
			list = append(list, m.uid)
		}
	}
	return list
}

func (s *fakeSession) Flags(_ context.Context, from, to uint32, modseq uint64, yield func(uid, flags uint32) error) error {
	s.f.mu.Lock()
	mails := slices.Clone(s.in.mails)
	s.f.mu.Unlock()
	for _, m := range mails {
		if m.uid >= from && m.uid <= to && m.modseq >= modseq {
			if err := yield(m.uid, m.flags); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *fakeSession) some(uids []uint32) (list []*fakeMail) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	for _, m := range s.in.mails {
		if slices.Contains(uids, m.uid) {
			list = append(list, m)
		}
	}
	return list
}

func (s *fakeSession) Heads(_ context.Context, uids []uint32) (heads []mailbox.Head, err error) {
	for _, m := range s.some(uids) {
		header, text, _ := strings.Cut(m.text, "\r\n\r\n")
		h := mailbox.Head{Flags: m.flags, Header: []byte(header + "\r\n\r\n"), Text: []byte(text[:min(len(text), mailbox.MaxText)])}
		h.UID, h.Size, h.Date = m.uid, int64(len(m.text)), m.date
		heads = append(heads, h)
	}
	return heads, nil
}

func (s *fakeSession) Read(_ context.Context, uids []uint32, _ int64, yield func(uid uint32, size int64, r io.Reader) error) error {
	for _, m := range s.some(uids) {
		if err := yield(m.uid, int64(len(m.text)), strings.NewReader(m.text)); err != nil {
			return err
		}
	}
	return nil
}
