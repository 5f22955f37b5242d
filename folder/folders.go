package folder

import (
	"context"
	"fmt"

	"doppelboden/store"
)

// standard are the folders that every mailbox has besides its inbox, as people in German
// offices know them.
var standard = [...]struct {
	use  store.Use
	name string
}{
	{store.UseDrafts, "Entwürfe"},
	{store.UseSent, "Gesendet"},
	{store.UseArchive, "Archiv"},
	{store.UseJunk, "Spam"},
	{store.UseTrash, "Papierkorb"},
}

// Folders returns the folders of the mailbox, all counted. Those for sent mail, drafts,
// deleted mail, spam and the archive are made when they are missing.
func (b *Box) Folders(ctx context.Context) ([]store.Folder, error) {
	list, err := b.room.opts.Store.Folders(ctx, b.tenant, b.mailbox)
	if err != nil {
		return nil, fmt.Errorf("read the folders: %w", err)
	}
	return list, nil
}
