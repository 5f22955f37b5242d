package webmail

import (
	"cmp"
	"context"
	"strings"

	"doppelboden/letter"
	"doppelboden/store"
)

// loadDraft reads a draft as it was saved.
func (d *Door) loadDraft(ctx context.Context, k *desk, uid uint32) (draft, error) {
	drafts, err := folderFor(ctx, k.box, store.UseDrafts)
	if err != nil {
		return draft{}, err
	}
	_, l, err := d.open(ctx, k, drafts, uid)
	if err != nil {
		return draft{}, err
	}
	sum := l.Summary()
	dr := draft{
		Key: cmp.Or(l.Field(keyField), k.box.NewKey()), UID: uid, Source: parseSource(l.Field(sourceField)), Subject: sum.Subject,
		To:   cmp.Or(l.Field(fieldsField+"-to"), written(l.People("To"))),
		Cc:   cmp.Or(l.Field(fieldsField+"-cc"), written(l.People("Cc"))),
		Bcc:  cmp.Or(l.Field(fieldsField+"-bcc"), written(l.People("Bcc"))),
		Text: strings.TrimRight(l.Text(), "\r\n"),
	}
	dr.Refs = sum.References
	for _, p := range l.Parts() {
		if p.Attachment {
			dr.Files = append(dr.Files, file{Keep: "d:" + p.Path, Name: letter.FileName(cmp.Or(p.Name, "datei")), Size: p.Size})
		}
	}
	return dr, nil
}
