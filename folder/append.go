package folder

import (
	"context"
	"fmt"
	"io"
	"time"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/store"
)

// doorMailbox is the Door of what people put into folders.
const doorMailbox = "mailbox"

// Append puts a mail into a folder. It is numbered when Append returns. date is its
// INTERNALDATE; zero: now. size is that of r in bytes, for limits; -1: unknown. Codes:
// NotFound, TooLarge, Busy, StorageFull.
func (b *Box) Append(ctx context.Context, folder int64, flags uint32, date time.Time, size int64, r io.Reader) (at store.Place, uid uint32, err error) {
	at = b.place(folder)
	f, err := b.folder(ctx, func(f *store.Folder) bool { return f.Folder == folder })
	if err != nil {
		return at, 0, err
	}
	id, err := b.file(ctx, doppelboden.Copy{Folder: f.Name, Flags: flags, Date: date}, size, r)
	if err != nil {
		return at, 0, err
	}
	b.did()
	uid, err = b.number(ctx, folder, id)
	return at, uid, err
}

// SaveDraft puts a draft into the folder of drafts, and then removes the one that it
// replaces (old; 0: none). After an error the old one is still there. Codes: those of
// Append.
func (b *Box) SaveDraft(ctx context.Context, old uint32, r io.Reader, size int64) (uid uint32, err error) {
	f, err := b.used(ctx, store.UseDrafts)
	if err != nil {
		return 0, err
	}
	_, uid, err = b.Append(ctx, f.Folder, doppelboden.Draft|doppelboden.Seen, time.Time{}, size, r)
	if err != nil || old == 0 {
		return uid, err
	}
	// Two are better than none: who can't remove the old one has the new one all the same.
	if _, err := b.Change(ctx, []store.Change{{Place: b.place(f.Folder), Action: store.ActRemove, UIDs: []uint32{old}}}); err != nil {
		b.room.opts.Log.Warn("a draft that was replaced stays beside the new one", "mailbox", int64(b.mailbox), "err", err)
	}
	return uid, nil
}

// file makes a message that goes nowhere and lies in a folder.
func (b *Box) file(ctx context.Context, c doppelboden.Copy, size int64, r io.Reader) (doppelboden.ID, error) {
	if most := b.room.opts.MaxSize; most > 0 && size > most {
		return doppelboden.ID{}, errTooLarge
	}
	c.Mailbox, c.New = b.mailbox, b.goesBack()
	tx, err := b.room.opts.Intake.Begin(intake.Envelope{Door: doorMailbox, Tenant: b.tenant, Copies: []doppelboden.Copy{c}})
	if err != nil {
		return doppelboden.ID{}, err
	}
	defer tx.Abort()
	if err := b.copy(tx, r); err != nil {
		return doppelboden.ID{}, err
	}
	kept, err := tx.Commit(ctx)
	if err != nil {
		return doppelboden.ID{}, fmt.Errorf("keep the mail: %w", err)
	}
	tx.Acked(true)
	return kept.ID, nil
}

// goesBack reports whether the mailbox has a groupware that has to learn of what is made
// here.
func (b *Box) goesBack() bool { return b.room.opts.Here == nil || !b.room.opts.Here(b.mailbox) }

var errTooLarge = &doppelboden.Error{Code: doppelboden.TooLarge, Public: "the mail is too large"}

// copy writes a mail of at most the size that is allowed.
func (b *Box) copy(w io.Writer, r io.Reader) error {
	most := b.room.opts.MaxSize
	if most <= 0 {
		_, err := io.Copy(w, r)
		return err
	}
	n, err := io.Copy(w, io.LimitReader(r, most+1))
	if err == nil && n > most {
		err = errTooLarge
	}
	return err
}

// number waits until a message that was just kept lies in its folder, and returns its UID
// there.
func (b *Box) number(ctx context.Context, folder int64, id doppelboden.ID) (uid uint32, err error) {
	if err := b.room.opts.CatchUp(ctx); err != nil {
		return 0, fmt.Errorf("wait for the mail to come into its folder: %w", err)
	}
	if _, err := b.Look(ctx, folder); err != nil {
		return 0, fmt.Errorf("number the mail: %w", err)
	}
	err = b.Shown(ctx, folder, store.ShownFilter{Message: id, Hidden: true}, func(s store.Shown) error {
		uid = s.UID
		return nil
	})
	if err == nil && uid == 0 {
		err = fmt.Errorf("message %s was kept and is not in its folder", id)
	}
	return uid, err
}
