package handback

import (
	"context"
	"fmt"
	"slices"

	"doppelboden"
	"doppelboden/filing"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// May reports whether anything was done in a mailbox that has not gone back; see
// queue.Toucher. It waits for nobody: whom the room asks while it is locked may ask this.
func (r *Room) May(m doppelboden.MailboxID) bool {
	all := r.owing.Load()
	return all != nil && (*all)[m]
}

// Touched returns with which messages something was done in a mailbox; see queue.Toucher.
func (r *Room) Touched(ctx context.Context, m doppelboden.MailboxID, ids []doppelboden.ID) (map[doppelboden.ID]bool, error) {
	place, ok := r.opts.Place(m)
	if !ok {
		return nil, nil
	}
	deeds, err := r.deedsAbout(ctx, place.Tenant, m, ids)
	touched := make(map[doppelboden.ID]bool, len(deeds))
	for id := range deeds {
		touched[id] = true
	}
	return touched, err
}

// deedsAbout returns the deeds of a mailbox with mails that the groupware has or is about to
// get.
func (r *Room) deedsAbout(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, ids []doppelboden.ID) (map[doppelboden.ID]store.Deed, error) {
	wanted := make(map[doppelboden.ID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	deeds := map[doppelboden.ID]store.Deed{}
	err := r.opts.Store.Deeds(ctx, store.DeedFilter{Tenant: t, Mailbox: m}, func(d store.Deed) error {
		if d.Was != nil && d.Was.Use != store.UseSent && wanted[d.Message] { // not the copy of who wrote it
			deeds[d.Message] = d
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what was done: %w", err)
	}
	return deeds, nil
}

// Lying returns how mails that wait lie in their mailbox here; see filing.People. What was
// handed over once and is handed over again after the groupware has lost it lies where it lay,
// also where nothing is owed.
func (r *Room) Lying(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, ids []doppelboden.ID) (map[doppelboden.ID]filing.Lying, error) {
	deeds, err := r.deedsAbout(ctx, t, m, ids)
	if err != nil {
		return nil, err
	}
	lying := make(map[doppelboden.ID]filing.Lying, len(deeds))
	var rest []doppelboden.ID
	for _, id := range ids {
		d, is := deeds[id]
		if !is {
			rest = append(rest, id)
			continue
		}
		l := filing.Lying{Is: d.Is, Number: d.Number, Change: d.Change, At: d.At}
		if d.Is != nil {
			l.Flags = flagNames(d.Is.Flags & shared)
		}
		lying[id] = l
	}
	if len(rest) == 0 {
		return lying, nil
	}
	copies, err := r.copiesThatCame(ctx, t, m, rest)
	if err != nil {
		return nil, err
	}
	for _, c := range copies {
		_, twice := lying[c.Message]
		if twice || c.Folder == doppelboden.Inbox && c.Flags == 0 {
			continue
		}
		lying[c.Message] = filing.Lying{Is: &store.Spot{Folder: c.Folder, Flags: c.Flags}, Flags: flagNames(c.Flags)}
	}
	return lying, nil
}

// copiesThatCame returns the copies of mails that may be what came for a mailbox: while one is
// in the inbox it is that one, and it never is what the owner keeps of what she sent.
func (r *Room) copiesThatCame(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, ids []doppelboden.ID) ([]doppelboden.Copy, error) {
	copies, err := r.opts.Store.CopiesOf(ctx, t, m, ids)
	if err != nil {
		return nil, fmt.Errorf("read where mails lie: %w", err)
	}
	copies = slices.DeleteFunc(copies, func(c doppelboden.Copy) bool { return c.New || c.Flags&doppelboden.Hidden != 0 })
	came := map[doppelboden.ID]bool{}
	for _, c := range copies {
		came[c.Message] = came[c.Message] || c.Folder == doppelboden.Inbox
	}
	copies = slices.DeleteFunc(copies, func(c doppelboden.Copy) bool { return came[c.Message] && c.Folder != doppelboden.Inbox })
	if !slices.ContainsFunc(copies, func(c doppelboden.Copy) bool { return c.Folder != doppelboden.Inbox }) {
		return copies, nil
	}
	folders, err := r.opts.Store.Folders(ctx, t, m)
	if err != nil {
		return nil, fmt.Errorf("read our folders: %w", err)
	}
	return slices.DeleteFunc(copies, func(c doppelboden.Copy) bool {
		return slices.ContainsFunc(folders, func(f store.Folder) bool { return f.Use == store.UseSent && f.Name == c.Folder })
	}), nil
}

// Folder returns what the groupware calls the folder where a mail is to lie, and makes it
// when it is missing; see filing.People.
func (r *Room) Folder(ctx context.Context, s mailbox.Changer, t doppelboden.TenantID, m doppelboden.MailboxID, l filing.Lying) (string, error) {
	h := &hand{Room: r, place: Place{Tenant: t}, box: m, s: s}
	if err := h.learn(ctx); err != nil {
		return "", err
	}
	name := h.tree.bin()
	if l.Is != nil {
		name = h.tree.theirs(h.tree.used(l.Is))
	}
	if name == "" || h.tree.listed(name) == name {
		return name, nil
	}
	return name, s.Make(ctx, name)
}

// Filed says that mails were put into their folders as Lying said; see filing.People.
func (r *Room) Filed(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, list []filing.Lying) error {
	tasks := make([]*task, len(list))
	for i, l := range list {
		was := store.Spot{Folder: doppelboden.Inbox, Use: store.UseInbox}
		tasks[i] = &task{deed: store.Deed{Number: l.Number, Change: l.Change, Was: &was, Is: l.Is, At: l.At}, done: true}
	}
	release, ok := r.claim(t, m)
	if !ok {
		return r.filedBeside(ctx, t, m, tasks)
	}
	defer release()
	state, err := r.state(ctx, t, m)
	if err == nil {
		err = r.begin(ctx, m, &state, tasks)
	}
	if err == nil {
		err = r.settle(ctx, &state, tasks)
	}
	return err
}

// filedBeside writes down what was put into its folder while somebody works on the mailbox, who
// may wait for the connection that we hold: so it is not counted, and what is known of the
// mailbox is not ours to change. What a visit has begun stays owed, for without its deed it would
// look as if it had been taken back here; the next visit finds it where it lies.
func (r *Room) filedBeside(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, tasks []*task) error {
	state, err := r.state(ctx, t, m)
	if err != nil {
		return err
	}
	var list []store.Returned
	for _, t := range tasks {
		if !slices.ContainsFunc(state.Doing, func(d store.HandbackDoing) bool { return d.Number == t.deed.Number }) {
			list = append(list, t.returned())
		}
	}
	if len(list) == 0 {
		return nil
	}
	if err := r.opts.Store.Returned(ctx, r.opts.Lease(), list); err != nil {
		return fmt.Errorf("write what went back: %w", err)
	}
	return nil
}

// claim makes a mailbox one that is worked on, unless it is already.
func (r *Room) claim(t doppelboden.TenantID, m doppelboden.MailboxID) (release func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.box(t, m)
	if b.busy {
		return nil, false
	}
	b.busy = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		b.busy, b.tell = false, true // its owner may have to be told
	}, true
}
