package harvest

import (
	"context"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// followed are the flags that follow the groupware.
const followed = doppelboden.Label5<<1 - 1

// A follow is what the groupware did with a mail that lies here.
type follow struct {
	message    doppelboden.ID
	at         int64 // the folder of ours in which it lies
	to         int64 // where it is to lie; 0: it stays
	remove     bool
	set, clear uint32
}

// name returns the name of a folder.
func (b *shelf) name(number int64) string {
	for i := range b.folders {
		if b.folders[i].Folder == number {
			return b.folders[i].Name
		}
	}
	return ""
}

// number returns the number of a folder, 0 for none.
func (b *shelf) number(name string) int64 {
	at, _ := b.place(name)
	return at.Folder
}

// ours finds the folder of ours that shows the mails of one of the groupware's, or makes it:
// by what it is for, or by its name.
func (v *visit) ours(ctx context.Context, f *store.HarvestFolder) (err error) {
	if v.shelf.folders == nil {
		if err := v.shelves(ctx); err != nil {
			return err
		}
	}
	if f.Ours != 0 && v.shelf.name(f.Ours) != "" {
		return nil
	}
	f.Ours = 0
	for i := range v.shelf.folders {
		o := &v.shelf.folders[i]
		if f.Use != store.UseNone && o.Use == f.Use {
			f.Ours = o.Folder
		}
	}
	if f.Ours == 0 {
		f.Ours = v.shelf.number(f.Name)
	}
	if f.Ours != 0 {
		return nil
	}
	made, err := v.r.opts.Store.PutFolder(ctx, store.Folder{Place: store.Place{Tenant: v.route.Tenant, Mailbox: v.box.ID}, Name: f.Name, Use: f.Use, Subscribed: true})
	if err != nil {
		return fmt.Errorf("make the folder of ours: %w", err)
	}
	f.Ours, v.changed = made.Folder, true
	v.shelf.folders = append(v.shelf.folders, made)
	return nil
}

// shelves reads the folders of ours.
func (v *visit) shelves(ctx context.Context) (err error) {
	if v.shelf.folders, err = v.r.opts.Store.Folders(ctx, v.route.Tenant, v.box.ID); err != nil {
		return fmt.Errorf("read folders: %w", err)
	}
	return nil
}

// settle says what is to be done with the copies of a mail that was found in a folder of the
// groupware for the first time, and that is known here.
func (v *visit) settle(ctx context.Context, f *store.HarvestFolder, one *find) (lay []doppelboden.Copy, todo []follow, err error) {
	if busy, err := v.hasDeed(ctx, one.message); err != nil || busy {
		return nil, nil, err
	}
	there, err := v.r.opts.Store.CopiesOf(ctx, v.route.Tenant, v.box.ID, []doppelboden.ID{one.message})
	if err != nil {
		return nil, nil, fmt.Errorf("read copies: %w", err)
	}
	set, clear := one.head.Flags, (followed|doppelboden.Hidden)&^one.head.Flags
	for _, c := range there {
		if at := v.shelf.number(c.Folder); at == f.Ours {
			if c.Flags&set == set && c.Flags&clear == 0 {
				return nil, nil, nil
			}
			return nil, []follow{{message: one.message, at: at, set: set, clear: clear}}, nil
		}
	}
	for _, c := range there {
		// Where the groupware has it as well, another copy stays.
		held, err := v.has(ctx, one.message, v.shelf.number(c.Folder))
		if err != nil {
			return nil, nil, err
		}
		if !held {
			return nil, []follow{{message: one.message, at: v.shelf.number(c.Folder), to: f.Ours, set: set, clear: clear}}, nil
		}
	}
	return []doppelboden.Copy{{Mailbox: v.box.ID, Folder: v.shelf.name(f.Ours), Message: one.message, Flags: one.head.Flags, Date: one.head.Date}}, nil, nil
}

// has reports whether the groupware has a message in a folder that is shown by one of ours.
func (v *visit) has(ctx context.Context, id doppelboden.ID, ours int64) (found bool, err error) {
	err = v.r.opts.Store.Harvested(ctx, store.HarvestFilter{Tenant: v.route.Tenant, Mailbox: v.box.ID, Message: id}, func(h store.Harvest) error {
		found = found || h.Gone.IsZero() && v.oursOf(h.Folder) == ours
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("read where the groupware has a mail: %w", err)
	}
	return found, nil
}

// oursOf returns the folder of ours that shows one of the groupware's.
func (v *visit) oursOf(name string) int64 {
	for i := range v.known {
		if v.known[i].Name == name {
			return v.known[i].Ours
		}
	}
	return 0
}

// hasDeed reports whether somebody did something with a mail that has not gone back: that
// wins until it has.
func (v *visit) hasDeed(ctx context.Context, id doppelboden.ID) (bool, error) {
	if v.deeds == nil {
		deeds := map[doppelboden.ID]bool{}
		err := v.r.opts.Store.Deeds(ctx, store.DeedFilter{Tenant: v.route.Tenant, Mailbox: v.box.ID}, func(d store.Deed) error {
			deeds[d.Message] = true
			return nil
		})
		if err != nil {
			return false, fmt.Errorf("read what people did: %w", err)
		}
		v.deeds = deeds
	}
	return v.deeds[id], nil
}

// scanFolder is how many mails of a folder are looked for one by one before all of it is read.
const scanFolder = 20

// follow does here what the groupware did. People may have done something since the deeds were
// read: a look takes a while.
func (v *visit) follow(ctx context.Context, todo []follow) error {
	if len(todo) == 0 {
		return nil
	}
	v.deeds = nil
	byFolder := map[int64][]follow{}
	for _, one := range todo {
		busy, err := v.hasDeed(ctx, one.message)
		if err != nil {
			return err
		}
		if !busy {
			byFolder[one.at] = append(byFolder[one.at], one)
		}
	}
	for number, list := range byFolder {
		at := store.Place{Tenant: v.route.Tenant, Mailbox: v.box.ID, Folder: number}
		uids, err := v.uids(ctx, at, list)
		if err != nil {
			return err
		}
		var changes []store.Change
		for _, one := range list {
			uid := uids[one.message]
			if uid == 0 {
				continue
			}
			c := store.Change{Place: at, UIDs: []uint32{uid}, At: v.began}
			if one.remove {
				c.Action = store.ActRemove
				changes = append(changes, c)
				continue
			}
			if one.set|one.clear != 0 {
				c.Action, c.Set, c.Clear = store.ActFlag, one.set, one.clear
				changes = append(changes, c)
			}
			if one.to != 0 {
				c.Action, c.To, c.Set, c.Clear = store.ActMove, one.to, 0, 0
				changes = append(changes, c)
			}
		}
		if len(changes) == 0 {
			continue
		}
		if _, err := v.r.opts.Store.Change(ctx, changes); err != nil {
			return fmt.Errorf("follow the groupware: %w", err)
		}
		v.changed = true
	}
	return nil
}

// uids returns the UIDs of mails in a folder of ours.
func (v *visit) uids(ctx context.Context, at store.Place, list []follow) (map[doppelboden.ID]uint32, error) {
	if _, err := v.r.opts.Store.Look(ctx, at); err != nil {
		return nil, fmt.Errorf("look into a folder: %w", err)
	}
	wanted := map[doppelboden.ID]uint32{}
	for _, one := range list {
		wanted[one.message] = 0
	}
	see := func(s store.Shown) error {
		if _, is := wanted[s.Message]; is {
			wanted[s.Message] = s.UID
		}
		return nil
	}
	if len(wanted) > scanFolder {
		if err := v.r.opts.Store.Shown(ctx, at, store.ShownFilter{Hidden: true}, see); err != nil {
			return nil, fmt.Errorf("read a folder: %w", err)
		}
		return wanted, nil
	}
	for id := range wanted {
		if err := v.r.opts.Store.Shown(ctx, at, store.ShownFilter{Message: id, Hidden: true}, see); err != nil {
			return nil, fmt.Errorf("find a mail: %w", err)
		}
	}
	return wanted, nil
}
