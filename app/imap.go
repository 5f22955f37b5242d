package app

import (
	"context"
	"io"

	"doppelboden"
	"doppelboden/folder"
	"doppelboden/imapd"
)

// startIMAP opens the door for mail programs.
func (n *Node) startIMAP(ctx context.Context) error {
	if n.opts.Node.IMAP == "" {
		return nil
	}
	server, err := imapd.NewServer(imapd.Options{
		TLS: n.certificate(), People: openers{n.accounts, n}, Log: n.log, Registry: n.registry, Clock: n.clock,
		Mailbox: func(t doppelboden.TenantID, m doppelboden.MailboxID, by string) imapd.Mailbox {
			return imapBox{n.folders.Open(t, m, by)}
		},
		Holds: n.search.Holds, MaxSize: n.opts.Node.Limits.MessageMB << 20,
	})
	if err != nil {
		return err
	}
	n.onStop("IMAP", server.Shutdown)
	return n.open(ctx, listener{"imap", n.opts.Node.IMAP, server.Serve})
}

// An imapBox is a mailbox as mail programs use it.
type imapBox struct{ *folder.Box }

// Open implements imapd.Mailbox.
func (b imapBox) Open(ctx context.Context, id doppelboden.ID) (imapd.Mail, error) {
	m, err := b.Box.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	return imapMail{m}, nil
}

// Several implements imapd.Mailbox.
func (b imapBox) Several(ctx context.Context, number int64, uids []uint32, yield func(uint32, imapd.Mail, error) error) error {
	return b.Box.Several(ctx, number, uids, func(uid uint32, m *folder.Mail, err error) error {
		if err != nil {
			return yield(uid, nil, err)
		}
		return yield(uid, imapMail{m}, nil)
	})
}

// An imapMail is a mail as mail programs read it.
type imapMail struct{ m *folder.Mail }

// Len implements imapd.Mail.
func (m imapMail) Len() int64 { return m.m.Size }

// Text implements imapd.Mail.
func (m imapMail) Text() []byte { return m.m.Text() }

// Free implements imapd.Mail.
func (m imapMail) Free() { m.m.Free() }

// Reader implements imapd.Mail.
func (m imapMail) Reader() (io.ReadCloser, error) { return m.m.Reader() }
