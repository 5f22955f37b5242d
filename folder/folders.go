package folder

import (
	"context"
	"fmt"

	"doppelboden"
	"doppelboden/store"
)

// Folders returns the folders of the mailbox, all counted. Those for drafts, sent mail,
// the archive, spam and deleted mail are made when they are missing. NotFound.
func (b *Box) Folders(ctx context.Context) ([]store.Folder, error) {
	list, err := b.room.opts.Store.Folders(ctx, b.tenant, b.mailbox)
	if err != nil {
		return nil, fmt.Errorf("read the folders: %w", err)
	}
	if len(list) == 0 {
		return nil, &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such mailbox"}
	}
	missing := lacking(list)
	if len(missing) == 0 {
		return list, nil
	}
	for _, f := range missing {
		f.Place = b.place(f.Folder)
		// Somebody else may be making the same one at this moment: what counts is the list.
		if _, err := b.room.opts.Store.PutFolder(ctx, f); err != nil && doppelboden.CodeOf(err) != doppelboden.Invalid {
			return nil, fmt.Errorf("make the folder %q: %w", f.Name, err)
		}
	}
	return b.room.opts.Store.Folders(ctx, b.tenant, b.mailbox)
}

// lacking returns the standard folders that a mailbox does not have, as they are to be put:
// one that has the name without the use gets it.
func lacking(list []store.Folder) []store.Folder {
	used, named := map[store.Use]bool{}, map[string]store.Folder{}
	for _, f := range list {
		used[f.Use], named[f.Name] = true, f
	}
	var missing []store.Folder
	for _, want := range store.Standard() {
		if used[want.Use] {
			continue
		}
		want.Subscribed = true
		if f, there := named[want.Name]; there {
			if f.Use != store.UseNone {
				continue // it serves for something else, and no second one can have its name
			}
			want.Folder, want.Subscribed = f.Folder, f.Subscribed
		}
		missing = append(missing, want)
	}
	return missing
}

// folder returns the first folder that is wanted. NotFound.
func (b *Box) folder(ctx context.Context, wanted func(*store.Folder) bool) (store.Folder, error) {
	list, err := b.Folders(ctx)
	if err != nil {
		return store.Folder{}, err
	}
	for i := range list {
		if wanted(&list[i]) {
			return list[i], nil
		}
	}
	return store.Folder{}, &doppelboden.Error{Code: doppelboden.NotFound, Public: "there is no such folder"}
}

// used returns the folder with a use.
func (b *Box) used(ctx context.Context, u store.Use) (store.Folder, error) {
	return b.folder(ctx, func(f *store.Folder) bool { return f.Use == u })
}
