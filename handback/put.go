package handback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/mailbox"
	"doppelboden/store"
)

const (
	// batchMails and batchSize, in bytes, bound what is put into a folder under one note.
	batchMails = 100
	batchSize  = 4 << 20
	// keptSize is the greatest mail that is kept in memory between measuring and sending;
	// what is larger is read twice.
	keptSize = 1 << 20
)

// lost finds mails that went back before the database lost that they did: it was restored from
// a backup, or promoted without its last commits. They lie where they were put, or nobody can
// tell.
func (h *hand) lost(ctx context.Context, tasks []*task) error {
	older := h.opts.Older()
	into := map[string][]*task{}
	for _, t := range tasks {
		if t.open() && t.news() && t.deed.At.Before(older) {
			into[h.target(t)] = append(into[h.target(t)], t)
		}
	}
	for folder, group := range into {
		if err := h.look(ctx, folder, group, true); err != nil {
			return err
		}
	}
	return nil
}

// compare finds what an earlier try of which nobody knows the end has put into a folder.
func (h *hand) compare(ctx context.Context, tasks []*task) error {
	n := h.state.Note
	if n == nil {
		return nil
	}
	var doubt []*task
	for _, t := range tasks {
		if t.open() && slices.Contains(n.Numbers, t.deed.Number) {
			doubt = append(doubt, t)
		}
	}
	if len(doubt) == 0 {
		return nil
	}
	if err := h.behind(ctx, n, doubt); err != nil {
		return err
	}
	if err := h.carry(ctx, n.Folder, found(doubt)); err != nil { // it may have changed here since then
		return err
	}
	// It may have been found and moved on by a visit of which nobody knows the end either.
	looked := map[string]bool{n.Folder: true}
	for _, t := range doubt {
		for _, s := range append(t.before(), t.deed.Is) {
			name := h.tree.bin()
			if s != nil {
				name = h.tree.theirs(s)
			}
			if looked[name] || t.mark != nil {
				continue
			}
			looked[name] = true
			if err := h.look(ctx, name, doubt, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// behind looks for mails among what came into a folder since a note.
func (h *hand) behind(ctx context.Context, n *store.HandbackNote, doubt []*task) error {
	there, err := h.enter(ctx, n.Folder)
	if err != nil || !there {
		return err
	}
	var uids []uint32
	if h.at.Validity == n.Validity && n.Next > 0 {
		uids, err = h.s.Behind(ctx, n.Next)
	} else { // UIDs of another UIDVALIDITY say nothing (RFC 9051, section 2.3.1.1)
		from, _ := doubt[0].window()
		for _, t := range doubt {
			if a, _ := t.window(); a.Before(from) {
				from = a
			}
		}
		uids, err = h.s.Between(ctx, from, h.opts.Clock())
	}
	if err != nil || len(uids) == 0 {
		return err
	}
	marks, err := h.s.Marks(ctx, uids)
	if err != nil {
		return err
	}
	taken := map[uint32]bool{}
	for _, t := range doubt {
		for i := range marks {
			same, err := h.same(&marks[i], t)
			if err != nil {
				return err
			}
			if same && !taken[marks[i].UID] {
				taken[marks[i].UID] = true
				t.mark = &marks[i]
				break
			}
		}
	}
	if len(taken) > 0 {
		h.opts.Log.Info("mail of an earlier try is in its folder", "mailbox", int64(h.box), "mails", len(taken))
	}
	return nil
}

// put puts mails into folders that were made here.
func (h *hand) put(ctx context.Context, tasks []*task) error {
	var fresh []*task
	for _, t := range tasks {
		if t.open() && t.news() {
			fresh = append(fresh, t)
		}
	}
	return h.putAll(ctx, fresh)
}

// putAll puts mails into the folders where they are to lie.
func (h *hand) putAll(ctx context.Context, tasks []*task) error {
	into := map[string][]*task{}
	var order []string
	for _, t := range tasks {
		folder := h.target(t)
		if into[folder] == nil {
			order = append(order, folder)
		}
		into[folder] = append(into[folder], t)
	}
	for _, folder := range order {
		rest := into[folder]
		for len(rest) > 0 {
			n, err := h.batch(ctx, folder, rest)
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}

// batch puts the first mails into a folder and returns how many tasks it is over with.
func (h *hand) batch(ctx context.Context, folder string, tasks []*task) (int, error) {
	h.open = false // the folder is to say what it holds now
	there, err := h.enter(ctx, folder)
	if err == nil && !there {
		if err = h.s.Make(ctx, folder); err == nil {
			there, err = h.enter(ctx, folder)
		}
		if err == nil && !there {
			err = errFolder
		}
	}
	if err != nil {
		return len(tasks), h.stays(tasks, err)
	}
	mails, batch, err := h.gather(tasks)
	if err != nil {
		return 0, err
	}
	if len(mails) == 0 {
		return len(batch), nil // none of them can be carried
	}
	if err := h.note(ctx, folder, batch); err != nil {
		return 0, err
	}
	uids, err := h.append(ctx, mails, batch)
	sent := slices.DeleteFunc(slices.Clone(batch), func(t *task) bool { return !t.open() })
	for _, t := range sent[:len(uids)] {
		t.done = true
	}
	if err != nil {
		if why, ok := refusal(err); ok {
			sent[len(uids)].stay = why
			h.opts.Log.Warn("the groupware does not take a mail", "mailbox", int64(h.box), "why", why, "err", err)
			if why == whyFull { // nor does it take those behind it
				for _, t := range tasks {
					if t.open() {
						t.stay = why
					}
				}
			}
			err = h.reopen(ctx)
		}
	}
	h.open = false
	if err := errors.Join(err, h.settle(ctx, h.state, batch)); err != nil {
		return 0, err
	}
	over := 0
	for over < len(batch) && !batch[over].open() {
		over++
	}
	return over, nil
}

// append puts mails into the entered folder, all at once where the server can. What an earlier
// visit has begun goes one by one: whatever ended that visit ends no other's.
func (h *hand) append(ctx context.Context, mails []mailbox.Mail, batch []*task) (uids []uint32, err error) {
	total := int64(0)
	for _, m := range mails {
		total += m.Size
	}
	if total <= batchSize && !slices.ContainsFunc(batch, func(t *task) bool { return len(t.tried) > 0 }) {
		done, err := h.s.AppendAll(ctx, mails)
		if done {
			return make([]uint32, len(mails)), nil
		}
		if err != nil {
			return nil, err
		}
	}
	return h.s.Append(ctx, mails)
}

// reopen opens the mailbox once more: a session in which a mail was refused is over.
func (h *hand) reopen(ctx context.Context) error {
	if err := h.s.Close(); err != nil {
		return err
	}
	s, err := h.place.Backend.Change(ctx, h.place.Owner)
	if err == nil {
		h.s = s
	}
	return err
}

// note writes down what the entered folder said, before anything is put into it.
func (h *hand) note(ctx context.Context, folder string, batch []*task) error {
	next := *h.state
	next.Note = &store.HandbackNote{Folder: folder, Validity: h.at.Validity, Next: h.at.Next}
	for _, t := range batch {
		next.Note.Numbers = append(next.Note.Numbers, t.deed.Number)
	}
	next.At = h.opts.Clock()
	if err := h.opts.Store.PutHandback(ctx, h.opts.Lease(), next, nil); err != nil {
		return fmt.Errorf("note what a folder said: %w", err)
	}
	*h.state = next
	return nil
}

// gather prepares the mails of the first tasks, as many as go together; of those that cannot
// be carried the task says so.
func (h *hand) gather(tasks []*task) (mails []mailbox.Mail, batch []*task, err error) {
	total := int64(0)
	for _, t := range tasks {
		if len(mails) == batchMails || len(mails) > 0 && total+t.deed.Size > batchSize {
			break
		}
		batch = append(batch, t)
		size, kept, err := h.measure(t.msg)
		switch {
		case courier.Unfit(err):
			t.stay = whyUnfit
			continue
		case err != nil:
			return nil, nil, fmt.Errorf("read a mail: %w", err)
		}
		total += size
		mails = append(mails, mailbox.Mail{Date: t.deed.Date, Flags: flagNames(t.deed.Is.Flags), Size: size, Open: func() (io.ReadCloser, error) {
			if err := h.may(); err != nil {
				return nil, err
			}
			if kept != nil {
				return io.NopCloser(bytes.NewReader(kept)), nil
			}
			return h.text(t.msg)
		}})
	}
	return mails, batch, nil
}

// measure returns the size of a mail as it is put into folders, and its text when that is
// small.
func (r *Room) measure(m *doppelboden.Message) (size int64, kept []byte, err error) {
	text, err := r.text(m)
	if err != nil {
		return 0, nil, err
	}
	defer text.Close()
	if m.Body.Size > keptSize {
		size, err = io.Copy(io.Discard, text)
		return size, nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, len(m.Prefix)+int(m.Body.Size)+512))
	size, err = b.ReadFrom(text)
	return size, b.Bytes(), err
}

// size returns the size of a mail as it is put into folders.
func (r *Room) size(m *doppelboden.Message) (int64, error) {
	size, _, err := r.measure(m)
	return size, err
}

// text reads a mail as people see it.
func (r *Room) text(m *doppelboden.Message) (io.ReadCloser, error) {
	t := r.texts.Get().(*courier.Text)
	if err := t.Open(r.opts.Mail, m); err != nil {
		t.Close()
		r.texts.Put(t)
		return nil, err
	}
	return &borrowed{Text: t, room: r}, nil
}

// A borrowed reads a text that goes back to its room.
type borrowed struct {
	*courier.Text
	room *Room
}

// Close gives the text back. It may be called more than once.
func (b *borrowed) Close() error {
	if b.Text != nil {
		b.Text.Close()
		b.room.texts.Put(b.Text)
		b.Text = nil
	}
	return nil
}

// headerOf returns the header of a mail, or what there is of it.
func headerOf(text []byte) []byte {
	head, _, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	return append(head[:len(head):len(head)], "\r\n"...)
}
