package folder

import (
	"context"
	"fmt"
	"time"

	"doppelboden/store"

	"golang.org/x/text/unicode/norm"
)

// place returns a folder of this mailbox as the store names it.
func (b *Box) place(folder int64) store.Place {
	return store.Place{Tenant: b.tenant, Mailbox: b.mailbox, Folder: folder}
}

// Look numbers what came into a folder since the last look and returns the folder as it
// is then. NotFound.
func (b *Box) Look(ctx context.Context, folder int64) (store.Folder, error) {
	return b.room.opts.Store.Look(ctx, b.place(folder))
}

// Shown yields mails of a folder that were numbered; see store.Folders.
func (b *Box) Shown(ctx context.Context, folder int64, f store.ShownFilter, yield func(store.Shown) error) error {
	return b.room.opts.Store.Shown(ctx, b.place(folder), f, yield)
}

// PutFolder makes a folder (Folder 0) or changes one; see store.Folders.
func (b *Box) PutFolder(ctx context.Context, f store.Folder) (store.Folder, error) {
	f.Place, f.Name, f.Deed = b.place(f.Folder), norm.NFC.String(f.Name), b.goesBack()
	f, err := b.room.opts.Store.PutFolder(ctx, f)
	if err == nil {
		b.did()
	}
	return f, err
}

// DropFolder removes a folder with what lies in it. The inbox: Invalid.
func (b *Box) DropFolder(ctx context.Context, folder int64) error {
	err := b.room.opts.Store.DropFolder(ctx, b.place(folder), b.goesBack(), b.now())
	if err == nil {
		b.did()
	}
	return err
}

// Change carries out changes in their order, in one commit. Tenant, Mailbox, Deed and At
// of the changes are filled in. See store.Folders.
func (b *Box) Change(ctx context.Context, list []store.Change) ([][]store.Changed, error) {
	filled := make([]store.Change, len(list))
	for i, c := range list {
		c.Place, c.Deed, c.At = b.place(c.Folder), b.goesBack(), b.now()
		filled[i] = c
	}
	done, err := b.room.opts.Store.Change(ctx, filled)
	if err != nil {
		return nil, fmt.Errorf("change the mailbox: %w", err)
	}
	b.did()
	return done, nil
}

// did tells that somebody did something in the mailbox, and wakes those who watch it.
func (b *Box) did() {
	if b.room.opts.Used != nil {
		b.room.opts.Used(b.mailbox)
	}
	b.room.Changed(b.mailbox)
}

func (b *Box) now() time.Time { return b.room.opts.Clock() }
