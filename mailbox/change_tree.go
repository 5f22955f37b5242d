package mailbox

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// uses are the attributes that say what a folder is for: RFC 6154, section 2.
var uses = []imap.MailboxAttr{imap.MailboxAttrSent, imap.MailboxAttrDrafts, imap.MailboxAttrTrash, imap.MailboxAttrJunk, imap.MailboxAttrArchive}

// Tree lists the folders.
func (s *session) Tree(ctx context.Context, limit int) ([]Branch, error) {
	if err := s.separator(ctx); err != nil {
		return nil, err
	}
	var tree []Branch
	err := s.bounded(ctx, s.backend.opts.Timeout, large, func() error {
		var o *imap.ListOptions
		if s.link.client.Caps().Has(imap.CapSpecialUse) {
			o = &imap.ListOptions{ReturnSpecialUse: true} // RFC 6154, section 3
		}
		cmd := s.link.client.List("", "*", o)
		for d := cmd.Next(); d != nil; d = cmd.Next() {
			if len(tree) >= limit || slices.Contains(d.Attrs, imap.MailboxAttrNonExistent) {
				continue
			}
			b := Branch{Name: s.ours(d.Mailbox), NoSelect: slices.Contains(d.Attrs, imap.MailboxAttrNoSelect)}
			for _, a := range d.Attrs {
				if slices.Contains(uses, a) {
					b.Use = string(a)
				}
			}
			s.raw[b.Name] = d.Mailbox
			tree = append(tree, b)
		}
		return cmd.Close()
	})
	if err != nil {
		return nil, temporary("does not list folders", clean(err))
	}
	return tree, nil
}

// Enter opens a folder with SELECT.
func (s *session) Enter(ctx context.Context, folder string) (Folder, error) {
	if folder == "" {
		folder = s.backend.opts.Inbox
	}
	name, err := s.theirs(ctx, folder)
	if err != nil {
		return Folder{}, err
	}
	var data *imap.SelectData
	err = s.do(ctx, s.backend.opts.Timeout, func() (err error) {
		data, err = s.link.client.Select(name, nil).Wait()
		return err
	})
	if err != nil {
		return Folder{}, s.unselectable(ctx, name, err)
	}
	s.selected, s.keeps = name, nil
	for _, f := range data.PermanentFlags {
		s.keeps = append(s.keeps, strings.ToLower(string(f)))
	}
	s.folder = Folder{Validity: data.UIDValidity, Next: uint32(data.UIDNext), Exists: data.NumMessages}
	return s.folder, nil
}

// Make makes a folder. RFC 9051, sections 6.3.4 and 6.3.7.
func (s *session) Make(ctx context.Context, folder string) error {
	name, err := s.theirs(ctx, folder)
	if err != nil {
		return err
	}
	err = s.do(ctx, s.backend.opts.Timeout, func() error { return s.link.client.Create(name, nil).Wait() })
	var no *imap.Error
	if errors.As(err, &no) && no.Code == imap.ResponseCodeAlreadyExists { // RFC 5530
		err = nil
	}
	if err != nil {
		return temporary("does not make a folder", clean(err))
	}
	err = s.do(ctx, s.backend.opts.Timeout, func() error { return s.link.client.Subscribe(name).Wait() })
	if err != nil && s.broken {
		return temporary("does not make a folder", clean(err))
	}
	return nil // a server without subscriptions shows all folders
}
