package handback

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// known finds mails that came from the groupware where reading it has seen them: a UID tells
// one of several that are alike. In a groupware that was restored it may be another mail's.
func (h *hand) known(ctx context.Context, tasks []*task) error {
	at := map[string][]*task{}
	where := map[*task]store.Harvest{}
	for _, t := range tasks {
		if t.own != nil {
			continue // it has our id
		}
		var all []store.Harvest
		err := h.opts.Store.Harvested(ctx, store.HarvestFilter{Tenant: h.place.Tenant, Mailbox: h.box, Message: t.deed.Message}, func(s store.Harvest) error {
			if s.Gone.IsZero() {
				all = append(all, s)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read where a mail was seen: %w", err)
		}
		if len(all) != 1 {
			continue
		}
		if folder := folderName(all[0].Folder); h.mayLie(t, folder) {
			where[t], at[folder] = all[0], append(at[folder], t)
		}
	}
	for folder, group := range at {
		there, err := h.enter(ctx, folder)
		if err != nil {
			return err
		}
		group = slices.DeleteFunc(group, func(t *task) bool { return !there || where[t].Validity != h.at.Validity })
		if len(group) == 0 {
			continue
		}
		uids := make([]uint32, len(group))
		for i, t := range group {
			uids[i] = where[t].UID
		}
		marks, err := h.s.Marks(ctx, uids)
		if err != nil {
			return err
		}
		for _, t := range group {
			for i := range marks {
				if marks[i].UID == where[t].UID && !struck(&marks[i], t) && h.fits(&marks[i], t) {
					t.mark = &marks[i]
				}
			}
		}
		if err := h.carry(ctx, folder, found(group)); err != nil {
			return err
		}
	}
	return nil
}

// found returns the tasks whose mails were found and that are still to be done.
func found(tasks []*task) []*task {
	var list []*task
	for _, t := range tasks {
		if t.mark != nil && t.open() {
			list = append(list, t)
		}
	}
	return list
}

// missing returns the tasks whose mails were not found yet.
func missing(tasks []*task) []*task {
	var list []*task
	for _, t := range tasks {
		if t.mark == nil && t.open() {
			list = append(list, t)
		}
	}
	return list
}

// find looks for mails in a folder. Late says that they may have come there at any time since
// we know them.
func (h *hand) find(ctx context.Context, folder string, tasks []*task, late bool) error {
	if len(tasks) == 0 {
		return nil
	}
	there, err := h.enter(ctx, folder)
	if err != nil || !there || h.at.Exists == 0 {
		return err
	}
	var from, to time.Time
	for i, t := range tasks {
		a, b := t.window()
		if i == 0 || a.Before(from) {
			from = a
		}
		if b.After(to) {
			to = b
		}
	}
	if now := h.opts.Clock(); late && now.After(to) {
		to = now
	}
	uids, err := h.s.Between(ctx, from, to)
	if err != nil || len(uids) == 0 {
		return err
	}
	marks, err := h.s.Marks(ctx, uids)
	if err != nil {
		return err
	}
	return h.match(folder, tasks, marks)
}

// match tells which mails of a folder are those of tasks. Several that could be meant are
// none.
func (h *hand) match(folder string, tasks []*task, marks []mailbox.Mark) error {
	ids := map[doppelboden.ID][]*mailbox.Mark{}
	for i := range marks {
		if !marks[i].ID.IsZero() {
			ids[marks[i].ID] = append(ids[marks[i].ID], &marks[i])
		}
	}
	for _, t := range tasks {
		fit := ids[t.deed.Message]
		if len(fit) == 0 && t.own == nil { // it did not come through us
			for i := range marks {
				same, err := h.same(&marks[i], t)
				if err != nil {
					return err
				}
				if same {
					fit = append(fit, &marks[i])
				}
			}
		}
		if len(fit) == 0 && h.sentThere(t, folder) {
			var err error
			if fit, err = h.named(t, marks); err != nil {
				return err
			}
		}
		fit = slices.DeleteFunc(slices.Clone(fit), func(m *mailbox.Mark) bool { return struck(m, t) })
		switch len(fit) {
		case 0:
		case 1:
			t.mark = fit[0]
		default:
			t.left = whyAmbiguous
		}
	}
	return nil
}

// sentThere reports whether a mail was sent by the groupware and a folder is where that keeps
// what it sent. Its copy there has the date of another moment and lacks what we added on the
// way, and nobody but the owner puts mail there: so the Message-ID alone says which it is.
func (h *hand) sentThere(t *task, folder string) bool {
	was := t.deed.Was
	return was != nil && was.Use == store.UseSent && h.tree.theirs(was) == folder
}

// named returns the mails with the Message-ID of a task's.
func (h *hand) named(t *task, marks []mailbox.Mark) (fit []*mailbox.Mark, err error) {
	name, err := h.messageID(t)
	if err != nil || name == "" {
		return nil, err
	}
	for i := range marks {
		if marks[i].MessageID == name {
			fit = append(fit, &marks[i])
		}
	}
	return fit, nil
}

// struck reports whether a mail is marked for removal there, although it was not here: it is
// as good as gone, or it is what stays of one that was moved.
func struck(m *mailbox.Mark, t *task) bool {
	return flagsOf(m.Flags)&doppelboden.Deleted != 0 && (t.deed.Was == nil || t.deed.Was.Flags&doppelboden.Deleted == 0)
}

// dateSlack is by how much the date of one and the same mail may differ: dates in IMAP have
// whole seconds.
const dateSlack = time.Second

// dated reports whether a mail there has the date of a task's.
func dated(m *mailbox.Mark, t *task) bool {
	d := m.Date.Sub(t.deed.Date)
	return d >= -dateSlack && d <= dateSlack
}

// fits reports whether a mail there may be that of a task, where the UID says so: they have
// one Message-ID or, when one of them has none, one date or size. A mail that cannot be read
// here has no Message-ID.
func (h *hand) fits(m *mailbox.Mark, t *task) bool {
	if m.ID == t.deed.Message {
		return true
	}
	name, err := h.messageID(t)
	if err == nil && name != "" && m.MessageID != "" {
		return name == m.MessageID
	}
	if dated(m, t) {
		return true
	}
	size, err := h.size(t.msg)
	return err == nil && size == m.Size
}

// same reports whether a mail there is that of a task. Servers keep date or size, so one of
// them must fit besides the Message-ID; without an id of ours and a Message-ID both must.
func (h *hand) same(m *mailbox.Mark, t *task) (bool, error) {
	if m.ID == t.deed.Message {
		return true, nil
	}
	name, err := h.messageID(t)
	if err != nil || name != m.MessageID {
		return false, err
	}
	when := dated(m, t)
	if when && name != "" || !when && name == "" {
		return when, nil
	}
	size, err := h.size(t.msg)
	if courier.Unfit(err) { // it has no size as a mail that we send
		return false, nil
	}
	return err == nil && m.Size == size, err
}

// maxHeader bounds what is read of a mail for its Message-ID, in bytes.
const maxHeader = 64 << 10

// messageID reads the Message-ID of a task's mail.
func (r *Room) messageID(t *task) (string, error) {
	if t.named {
		return t.name, nil
	}
	if t.msg == nil {
		return "", errNoMail
	}
	// As it lies here: what cannot be sent can be known all the same.
	body, err := r.opts.Mail.Bodies.Reader(t.msg.Tenant, t.msg.Body)
	if err != nil {
		return "", fmt.Errorf("read a mail: %w", err)
	}
	defer body.Close()
	head, err := io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(t.msg.Prefix), body), maxHeader))
	if err != nil {
		return "", fmt.Errorf("read a mail: %w", err)
	}
	t.name, t.named = mailbox.MessageID(headerOf(head)), true
	return t.name, nil
}

// folderName is what this package calls a folder of the groupware.
func folderName(name string) string {
	if strings.EqualFold(name, doppelboden.Inbox) {
		return ""
	}
	return name
}
