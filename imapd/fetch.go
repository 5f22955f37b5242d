package imapd

import (
	"errors"
	"fmt"
	"io"

	"doppelboden"
	"doppelboden/store"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

const (
	// fetchBatch is how many mails' rows are read at once.
	fetchBatch = 500
	// aheadMails and aheadBytes are how much is handed over at once by who opens mails before
	// their turn. One batch is filled, one waits, and one is written: with the last mail of
	// each, of at most 256 KB, less than 1.5 MB for a session.
	aheadMails, aheadBytes = 16, 128 << 10
	// headRead is how much of a mail is read at first when only its header is asked for.
	headRead = 16 << 10
)

// A fetch is one FETCH command.
type fetch struct {
	s    *session
	w    *imapserver.FetchWriter
	o    *imap.FetchOptions
	body bool // mails have to be opened
	seen bool // and are read by that
	gone bool // some were not there any more
	held bool // some may not be opened
}

// Fetch implements imapserver.Session: RFC 9051, section 6.4.5.
func (s *session) Fetch(w *imapserver.FetchWriter, set imap.NumSet, o *imap.FetchOptions) error {
	err := s.begin()
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	f := &fetch{s: s, w: w, o: o}
	f.look()
	for places := s.pick(set); len(places) > 0; {
		n := min(len(places), fetchBatch)
		if err := f.batch(places[:n]); err != nil {
			return err
		}
		places = places[n:]
	}
	switch {
	case f.held:
		return no(imap.ResponseCodeUnavailable, sayHeld)
	case f.gone:
		return no("EXPUNGEISSUED", sayGone)
	}
	return nil
}

// look finds out what the command needs.
func (f *fetch) look() {
	f.body = f.o.Envelope || f.o.BodyStructure != nil || len(f.o.BodySection)+len(f.o.BinarySection)+len(f.o.BinarySectionSize) > 0
	for _, b := range f.o.BodySection {
		f.seen = f.seen || !b.Peek
	}
	for _, b := range f.o.BinarySection {
		f.seen = f.seen || !b.Peek
	}
	f.seen = f.seen && !f.s.view.readOnly
}

// batch answers for some mails.
func (f *fetch) batch(places []int) error {
	if f.body && !f.seen && !f.o.InternalDate {
		return f.texts(places)
	}
	var rows []store.Shown
	if f.body || f.o.InternalDate || f.o.RFC822Size {
		var err error
		if rows, err = f.rows(places); err != nil {
			return refused(err)
		}
	}
	read := map[uint32]bool{}
	if f.seen {
		var err error
		if read, err = f.markSeen(places, rows); err != nil {
			return err
		}
	}
	if !f.body {
		return f.plain(places, rows)
	}
	uids := make([]uint32, len(rows))
	for i, row := range rows {
		uids[i] = row.UID
	}
	mails := f.s.openAll(uids)
	defer mails.close()
	for _, at := range places {
		if len(rows) == 0 || rows[0].UID != f.s.view.mails[at].uid {
			f.gone = true
			continue
		}
		row := rows[0]
		rows = rows[1:]
		if err := f.one(at, row, mails.next(row.UID), read[row.UID]); err != nil {
			return err
		}
	}
	return nil
}

// texts answers where mails have to be opened and nothing else is to be known of them.
func (f *fetch) texts(places []int) error {
	mails := f.s.openAll(f.s.view.uidsOf(places))
	defer mails.close()
	for _, at := range places {
		if err := f.one(at, store.Shown{}, mails.next(f.s.view.mails[at].uid), false); err != nil {
			return err
		}
	}
	return nil
}

// rows reads what is shown of mails; those that are gone are missing.
func (f *fetch) rows(places []int) (rows []store.Shown, err error) {
	v := f.s.view
	filter := store.ShownFilter{Hidden: true}
	uids := v.uidsOf(places)
	if places[len(places)-1]-places[0] == len(places)-1 {
		filter.From, filter.To = uids[0], uids[len(uids)-1]
	} else {
		filter.UIDs = uids
	}
	rows = make([]store.Shown, 0, len(places))
	wanted := 0
	err = v.box.Shown(f.s.ctx, v.folder, filter, func(m store.Shown) error {
		for wanted < len(uids) && uids[wanted] < m.UID {
			wanted++
		}
		if wanted < len(uids) && uids[wanted] == m.UID {
			rows = append(rows, m)
		}
		return nil
	})
	return rows, err
}

// markSeen sets \Seen on mails that are about to be read, and returns those that had it not.
func (f *fetch) markSeen(places []int, rows []store.Shown) (map[uint32]bool, error) {
	read := map[uint32]bool{}
	var uids []uint32
	for _, row := range rows {
		if row.Flags&doppelboden.Seen == 0 && readable(row) {
			uids = append(uids, row.UID)
			read[row.UID] = true
		}
	}
	if len(uids) == 0 {
		return read, nil
	}
	return read, f.s.flag(store.Change{Action: store.ActFlag, UIDs: uids, Set: doppelboden.Seen})
}

// readable reports whether a mail may be opened.
func readable(m store.Shown) bool {
	return m.Scan != doppelboden.Unscanned && m.Scan != doppelboden.Malware
}

// plain answers where no mail has to be opened.
func (f *fetch) plain(places []int, rows []store.Shown) error {
	needRow := f.o.InternalDate || f.o.RFC822Size
	for _, at := range places {
		m := f.s.view.mails[at]
		var row store.Shown
		if needRow {
			if len(rows) == 0 || rows[0].UID != m.uid {
				f.gone = true
				continue
			}
			row, rows = rows[0], rows[1:]
		}
		r := f.w.CreateMessage(uint32(at) + 1)
		f.small(r, at, row, row.Size, f.o.Flags)
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// small writes what needs no mail to be opened.
func (f *fetch) small(r *imapserver.FetchResponseWriter, at int, row store.Shown, size int64, flags bool) {
	m := f.s.view.mails[at]
	if f.o.UID {
		r.WriteUID(imap.UID(m.uid))
	}
	if flags {
		r.WriteFlags(flagsOf(m.flags))
	}
	if f.o.InternalDate {
		r.WriteInternalDate(row.Date)
	}
	if f.o.RFC822Size {
		r.WriteRFC822Size(size)
	}
}

// one answers for a mail that was opened.
func (f *fetch) one(at int, row store.Shown, o opened, read bool) error {
	if o.err != nil {
		switch doppelboden.CodeOf(o.err) {
		case doppelboden.NotFound:
			f.gone = true
			return nil
		case doppelboden.Policy:
			f.held = true
			return nil
		}
		return refused(o.err)
	}
	t := &text{mail: o.mail}
	defer t.close(f.s)
	if err := f.prepare(t); err != nil {
		return refused(err)
	}
	r := f.w.CreateMessage(uint32(at) + 1)
	f.small(r, at, row, o.mail.Len(), f.o.Flags || read)
	if f.o.Envelope {
		r.WriteEnvelope(envelope(t.head))
	}
	if f.o.BodyStructure != nil {
		r.WriteBodyStructure(t.tree.structure())
	}
	for _, item := range f.o.BodySection {
		if err := f.section(r, t, item); err != nil {
			f.s.gate.end(sayTrouble) // half a literal is out: nothing can follow it
			return errors.Join(err, r.Close())
		}
	}
	if err := f.binaries(r, t); err != nil {
		return err
	}
	return r.Close()
}

// binaries writes the BINARY items, which prepare has made sure can be decoded.
func (f *fetch) binaries(r *imapserver.FetchResponseWriter, t *text) error {
	for _, item := range f.o.BinarySection {
		b, _ := t.tree.binary(item.Part)
		if err := put(r.WriteBinarySection(item, int64(len(partial(b, item.Partial)))), partial(b, item.Partial)); err != nil {
			return err
		}
	}
	for _, item := range f.o.BinarySectionSize {
		b, _ := t.tree.binary(item.Part)
		r.WriteBinarySectionSize(item, uint32(len(b)))
	}
	return nil
}

// put writes a literal.
func put(w io.WriteCloser, b []byte) error {
	_, err := w.Write(b)
	return errors.Join(err, w.Close())
}

// A text is what was read of a mail.
type text struct {
	mail  Mail
	all   []byte // the whole mail, where it is needed
	head  []byte // its header section
	tree  *part  // what all consists of
	taken int64  // of the budget
}

func (t *text) close(s *session) {
	t.mail.Free()
	if t.taken > 0 {
		s.server.memory.give(s.person.ID, t.taken)
	}
}

// prepare reads what the command needs of a mail, before anything is written.
func (f *fetch) prepare(t *text) error {
	head, all := f.o.Envelope, f.o.BodyStructure != nil || len(f.o.BinarySection)+len(f.o.BinarySectionSize) > 0
	for _, item := range f.o.BodySection {
		switch {
		case len(item.Part) > 0 || item.Specifier == imap.PartSpecifierText:
			all = true
		case item.Specifier == imap.PartSpecifierHeader || item.Specifier == imap.PartSpecifierMIME:
			head = true
		}
	}
	if all {
		return f.readAll(t)
	}
	if head {
		return t.readHead()
	}
	return nil
}

// readAll reads a whole mail and takes it apart.
func (f *fetch) readAll(t *text) error {
	if t.all = t.mail.Text(); t.all == nil {
		size := t.mail.Len()
		if err := f.s.server.memory.take(f.s.ctx, f.s.person.ID, size); err != nil {
			return err
		}
		t.taken = size
		var err error
		if t.all, err = whole(t.mail); err != nil {
			return err
		}
	}
	t.tree = parse(t.all)
	t.head = t.tree.header
	for _, item := range f.o.BinarySection {
		if _, ok := t.tree.binary(item.Part); !ok {
			return no("UNKNOWN-CTE", "The encoding of this part is not known.")
		}
	}
	return nil
}

// whole reads a mail into memory.
func whole(m Mail) ([]byte, error) {
	r, err := m.Reader()
	if err != nil {
		return nil, fmt.Errorf("open the mail: %w", err)
	}
	defer r.Close()
	all := make([]byte, m.Len())
	if _, err := io.ReadFull(r, all); err != nil {
		return nil, fmt.Errorf("read the mail: %w", err)
	}
	return all, nil
}

// readHead reads the header section of a mail.
func (t *text) readHead() error {
	if all := t.mail.Text(); all != nil {
		t.head, _ = cutHeader(all)
		return nil
	}
	r, err := t.mail.Reader()
	if err != nil {
		return fmt.Errorf("open the mail: %w", err)
	}
	defer r.Close()
	size := t.mail.Len()
	buf := make([]byte, min(headRead, size))
	have := 0
	for {
		n, err := io.ReadFull(r, buf[have:])
		have += n
		if end := headerEnd(buf[:have]); end >= 0 {
			t.head = buf[:end]
			return nil
		}
		if err != nil || int64(have) >= size {
			t.head = buf[:have] // it has no body
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil
			}
			return err
		}
		bigger := make([]byte, min(size, int64(len(buf))*4))
		copy(bigger, buf[:have])
		buf = bigger
	}
}

// section writes one BODY[…].
func (f *fetch) section(r *imapserver.FetchResponseWriter, t *text, item *imap.FetchItemBodySection) error {
	if len(item.Part) > 0 || item.Specifier == imap.PartSpecifierText {
		b := partial(t.tree.section(item), item.Partial)
		return put(r.WriteBodySection(item, int64(len(b))), b)
	}
	if item.Specifier != imap.PartSpecifierNone {
		b := partial(pickFields(t.head, item), item.Partial)
		return put(r.WriteBodySection(item, int64(len(b))), b)
	}
	from, to := window(t.mail.Len(), item.Partial)
	w := r.WriteBodySection(item, to-from)
	all := t.all
	if all == nil {
		all = t.mail.Text()
	}
	if all != nil {
		return put(w, all[from:to])
	}
	body, err := t.mail.Reader()
	if err != nil {
		return errors.Join(err, w.Close())
	}
	defer body.Close()
	if from > 0 {
		_, err = io.CopyN(io.Discard, body, from)
	}
	if err == nil {
		_, err = io.CopyN(w, body, to-from)
	}
	return errors.Join(err, w.Close())
}
