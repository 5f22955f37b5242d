package folder

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"doppelboden"
	"doppelboden/courier"
)

// What Open answers for mail that nobody may read yet. Pages say it in their language.
var (
	ErrUnscanned = &doppelboden.Error{Code: doppelboden.Policy, Public: "this mail has not been checked for malware yet, it can be opened when it was"}
	ErrMalware   = &doppelboden.Error{Code: doppelboden.Policy, Public: "this mail does harm and is kept back, please ask your postmaster"}
)

// inMemory is the greatest body that Open keeps in memory, in bytes; bigger ones are read
// from their segment again with every Reader.
const inMemory = 256 << 10

// Several keeps great mails in memory too, up to greatMemory bytes each, greatOfOne of
// one person and greatAtOnce of all sessions together: how long a mail is, which a mail program is told first, is known at
// its end, and reading it costs as much as sending it. Who holds a mail for long, such as a
// telephone far from its mast, makes the others read twice, and wait for nothing.
const (
	greatMemory = 8 << 20
	greatAtOnce = 64 << 20
	greatOfOne  = greatAtOnce / 5
)

// inPool is the greatest memory of a mail that waits for the next one of any size, in bytes:
// most mails need less, and must not keep that of a great one.
const inPool = 64 << 10

// A Mail is one mail as people see it: what we put before it, and its body without what
// only claims to be ours.
type Mail struct {
	Message *doppelboden.Message // with its copies in this mailbox, without deliveries
	Size    int64                // of what Reader reads, in bytes

	room  *Room  // nil once it was freed
	text  []byte // all of a mail that is in memory; else nil
	by    string // who opened it
	great int64  // what of greatAtOnce it has
}

// Open opens a mail of this mailbox. The code is NotFound, also for a mail of others, or
// Policy for one that nobody may read yet (ErrUnscanned, ErrMalware).
func (b *Box) Open(ctx context.Context, id doppelboden.ID) (*Mail, error) {
	r := b.room
	m, err := r.opts.Store.MessageIn(ctx, b.tenant, b.mailbox, id)
	if err != nil {
		return nil, fmt.Errorf("find the mail: %w", err)
	}
	return b.read(m, r.opts.Mail, false)
}

// read reads a mail whose message was found. freed says that Mail.Free is called at the end.
func (b *Box) read(m *doppelboden.Message, o courier.Options, freed bool) (*Mail, error) {
	r := b.room
	switch m.Scan {
	case doppelboden.Unscanned:
		return nil, ErrUnscanned
	case doppelboden.Malware:
		return nil, ErrMalware
	}
	mail := &Mail{Message: m, room: r, by: b.by}
	text, err := mail.openBy(o)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	if m.Body.Size > inMemory && !(freed && mail.takeGreat()) {
		mail.Size, err = io.Copy(io.Discard, text)
	} else {
		mail.text, err = readInto(r.memory(len(m.Prefix)+int(m.Body.Size)+2), text)
		mail.Size = int64(len(mail.text))
	}
	if err != nil {
		mail.Free()
		return nil, fmt.Errorf("read the mail: %w", err)
	}
	return mail, nil
}

// takeGreat reports whether a great mail may be kept in memory.
func (m *Mail) takeGreat() bool {
	n := m.Message.Body.Size
	if n > greatMemory || !m.room.great.take(m.by, n) {
		return false
	}
	m.great = n
	return true
}

// A lent is how much memory great mails have, of all people and of each: one of them, or who
// has her password and frees nothing, must leave room for the others.
type lent struct {
	mu  sync.Mutex
	all int64
	of  map[string]int64
}

// take reports whether n bytes more may be lent to somebody.
func (l *lent) take(by string, n int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all+n > greatAtOnce || l.of[by]+n > greatOfOne {
		return false
	}
	l.all += n
	l.of[by] += n
	return true
}

// give takes back what was lent.
func (l *lent) give(by string, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all -= n
	if l.of[by] -= n; l.of[by] == 0 {
		delete(l.of, by)
	}
}

// memory returns empty memory for a mail, with room for n bytes and the end of a reader.
func (r *Room) memory(n int) []byte {
	n = (n + bytes.MinRead + 4<<10) &^ (4<<10 - 1)
	if b, ok := r.pool(n).Get().(*[]byte); ok && cap(*b) >= n {
		return (*b)[:0]
	}
	return make([]byte, 0, n)
}

// pool is where memory of a size waits for the next mail.
func (r *Room) pool(size int) *sync.Pool {
	if size > inPool {
		return &r.greats
	}
	return &r.mails
}

// readInto appends everything that r has to b.
func readInto(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF { // not errors.Is: damage may have an io.EOF in its tree
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// Text returns all of a mail that is in memory, which nobody may change, and nil for a big one,
// which Reader reads.
func (m *Mail) Text() []byte { return m.text }

// Free gives the memory of a mail back for the next one. Neither the mail nor what was got of
// it, Text and readers, may be used any more. Who keeps a mail need not call it.
func (m *Mail) Free() {
	r, b, great := m.room, m.text, m.great
	m.room, m.text, m.great = nil, nil, 0
	if r == nil {
		return
	}
	if great > 0 {
		r.great.give(m.by, great)
	}
	if b != nil {
		r.pool(cap(b)).Put(&b)
	}
}

// Reader reads the mail from its beginning; its lines end in CRLF. It may be asked again and
// again, also by several goroutines, each of which closes what it got.
func (m *Mail) Reader() (io.ReadCloser, error) {
	if m.text != nil {
		return io.NopCloser(bytes.NewReader(m.text)), nil
	}
	return m.open()
}

// open reads the mail from its segment.
func (m *Mail) open() (io.ReadCloser, error) {
	if m.room == nil {
		return nil, io.ErrClosedPipe
	}
	return m.openBy(m.room.opts.Mail)
}

// openBy is open with another way to the segment.
func (m *Mail) openBy(o courier.Options) (io.ReadCloser, error) {
	t := m.room.texts.Get().(*courier.Text)
	if err := t.Open(o, m.Message); err != nil {
		t.Close()
		m.room.texts.Put(t)
		return nil, fmt.Errorf("open the body: %w", err)
	}
	return &text{t, &m.room.texts}, nil
}

// A text gives its reader back when it is closed.
type text struct {
	*courier.Text
	pool *sync.Pool
}

// Close implements io.Closer. It may be called more than once.
func (t *text) Close() error {
	if t.Text == nil {
		return nil
	}
	err := t.Text.Close()
	t.pool.Put(t.Text)
	t.Text = nil
	return err
}

// Read implements io.Reader.
func (t *text) Read(p []byte) (int, error) {
	if t.Text == nil {
		return 0, io.ErrClosedPipe
	}
	return t.Text.Read(p)
}
