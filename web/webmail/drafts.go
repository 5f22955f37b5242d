package webmail

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"doppelboden"
	"doppelboden/letter"
	"doppelboden/store"
)

// loadDraft reads a draft as it was saved. NotFound, *renewed.
func (d *Door) loadDraft(ctx context.Context, k *desk, at mark) (draft, error) {
	drafts, err := k.drafts(ctx, at)
	if err != nil {
		return draft{}, err
	}
	_, l, err := d.open(ctx, k, drafts.Place.Folder, at.UID)
	if err != nil {
		return draft{}, err
	}
	sum := l.Summary()
	dr := draft{
		Key: cmp.Or(l.Field(keyField), k.box.NewKey()), At: at, Source: parseSource(l.Field(sourceField)), Subject: sum.Subject,
		To:   cmp.Or(l.Field(fieldsField+"-to"), written(l.People("To"))),
		Cc:   cmp.Or(l.Field(fieldsField+"-cc"), written(l.People("Cc"))),
		Bcc:  cmp.Or(l.Field(fieldsField+"-bcc"), written(l.People("Bcc"))),
		Text: strings.TrimRight(l.Text(), "\r\n"),
	}
	dr.Refs = sum.References
	// What it answers may lie in a folder that was renewed since it was saved.
	if _, err := k.current(ctx, dr.Source.Folder, dr.Source.Mark.Validity); err != nil {
		dr.Source = source{}
	}
	for _, p := range l.Parts() {
		if p.Attachment {
			dr.Files = append(dr.Files, file{Keep: "d:" + p.Path, Name: letter.FileName(cmp.Or(p.Name, "datei")), Size: p.Size})
		}
	}
	return dr, nil
}

// drafts returns the folder of drafts, while it is the one in which a draft was saved.
// *renewed.
func (k *desk) drafts(ctx context.Context, at mark) (store.Folder, error) {
	number, err := folderFor(ctx, k.box, store.UseDrafts)
	if err != nil {
		return store.Folder{}, err
	}
	return k.current(ctx, number, at.Validity)
}

// renewedDraft is told to whom the mailbox was renewed under her pen.
const renewedDraft = "This mailbox was renewed while you wrote. Your text is still here, and kept as a new draft. Look in “Sent” whether it went out already. If there were files or a mail that you answer or forward, they are no longer with it: attach them again."

// refresh takes out of what somebody wrote whatever names a mail of a folder that has another
// UIDVALIDITY by now: it could be any other mail. What she wrote stays. It reports whether
// there was such a thing.
func (k *desk) refresh(ctx context.Context, dr *draft) (lost bool, err error) {
	old := (*renewed)(nil)
	if dr.At.UID != 0 {
		_, err := k.drafts(ctx, dr.At)
		if errors.As(err, &old) {
			dr.At, lost = mark{}, true
			dr.without("d:")
		} else if err != nil {
			return false, err
		}
	}
	if dr.Source.Kind != "" {
		_, err := k.current(ctx, dr.Source.Folder, dr.Source.Mark.Validity)
		if errors.As(err, &old) {
			dr.Source, lost = source{}, true
			dr.without("s:")
		} else if err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound { // its folder may have been removed
			return false, err
		}
	}
	return lost, nil
}

// without leaves out the files that come from one place.
func (d *draft) without(from string) {
	d.Files = slices.DeleteFunc(d.Files, func(f file) bool { return strings.HasPrefix(f.Keep, from) })
}
