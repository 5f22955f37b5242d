package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"doppelboden/control"
	"doppelboden/test/peer"
)

const (
	// handbackShare is how many mailboxes one of the people works in, so that the measure is
	// not one of log-ins.
	handbackShare = 50
	handbackHands = 8 // people at work at once
	sharedUTF7    = "Funktionspostf&AOQ-cher/"
	mostCompared  = 500 // mailboxes
)

// workIn has people do 20 things in each mailbox: seven mails are read, two go into a folder,
// one into the bin, eight are sent and two drafts are left.
func (b *bench) workIn(ctx context.Context, n *node) error {
	s, err := n.status(ctx)
	if err != nil {
		return err
	}
	desk := n.desk()
	parts := slices.Collect(slices.Chunk(b.boxes, handbackShare))
	next := make(chan []string, len(parts))
	for _, p := range parts {
		next <- p
	}
	close(next)
	errs := make(chan error)
	for range handbackHands {
		go func() {
			var err error
			for part := range next {
				if err == nil {
					err = workOn(ctx, desk, s.Listeners["imap"], part)
				}
			}
			errs <- err
		}()
	}
	for range handbackHands {
		err = errors.Join(err, <-errs)
	}
	return err
}

// workOn has the owner of the first mailbox work in all, as deputy of their owners.
func workOn(ctx context.Context, desk *control.Client, imap string, boxes []string) error {
	if err := desk.SetPassword(ctx, control.Secret{Person: boxes[0], Password: imapPassword}); err != nil {
		return err
	}
	var grants []control.Member
	for _, box := range boxes[1:] {
		grants = append(grants, control.Member{Mailbox: box, Person: boxes[0], Kind: "deputy", Until: time.Now().Add(24 * time.Hour)})
	}
	if err := desk.ChangeMembers(ctx, grants); err != nil {
		return err
	}
	c, err := imapSide{dial: overTLS(imap), user: boxes[0], pass: imapPassword}.connect()
	if err != nil {
		return fmt.Errorf("open the mailbox of %s: %w", boxes[0], err)
	}
	defer c.Close()
	for i, box := range boxes {
		local, _, _ := strings.Cut(box, "@")
		inbox, below := sharedUTF7+local, sharedUTF7+local+"/"
		if i == 0 {
			inbox, below = "INBOX", ""
		}
		if err := workThrough(c, box, inbox, below); err != nil {
			return fmt.Errorf("work in the mailbox of %s: %w", box, err)
		}
	}
	return nil
}

// workThrough does the twenty things.
func workThrough(c *imapClient, box, inbox, below string) error {
	for _, command := range []string{
		`SELECT "` + inbox + `"`, `STORE 1:9 +FLAGS.SILENT (\Seen)`, `CREATE "` + below + `Erledigt"`,
		`MOVE 8:9 "` + below + `Erledigt"`, `MOVE 8 "` + below + `Papierkorb"`,
	} {
		if err := c.do(command); err != nil {
			return err
		}
	}
	for i := range handbackEach {
		folder := below + "Gesendet\" (\\Seen)"
		if i >= 8 {
			folder = below + "Entw&APw-rfe\" (\\Seen \\Draft)"
		}
		mail := fmt.Sprintf("Subject: %d\r\nMessage-ID: <%d.%s>\r\n\r\n%s\r\n", i, i, box, strings.Repeat("x", 900))
		if err := c.appendTo(`"`+folder, mail); err != nil {
			return err
		}
	}
	return nil
}

// sameAsHere looks into some of the mailboxes: what people did is there, once.
func (b *bench) sameAsHere(dovecot *peer.DovecotServer) error {
	step := max(1, len(b.boxes)/mostCompared)
	looked, letters := 0, 0
	for i := 0; i < len(b.boxes); i += step {
		box := b.boxes[i]
		c, err := imapSide{dial: func() (net.Conn, error) { return net.Dial("tcp", dovecot.IMAP()) }, user: box, pass: peer.DovecotPassword}.connect()
		if err != nil {
			return fmt.Errorf("open the mailbox of %s in the groupware: %w", box, err)
		}
		got, err := c.letters()
		if err != nil {
			return errors.Join(fmt.Errorf("look for letters to %s: %w", box, err), c.Close())
		}
		letters += got
		inbox := fmt.Sprintf("INBOX (MESSAGES %d UNSEEN %d)", 7+got, got)
		for _, want := range []string{inbox, "Erledigt (MESSAGES 2 UNSEEN 0)", "Papierkorb (MESSAGES 1 UNSEEN 1)",
			"Gesendet (MESSAGES 8 UNSEEN 0)", "Entw&APw-rfe (MESSAGES 2 UNSEEN 0)"} {
			folder, _, _ := strings.Cut(want, " ")
			got, err := c.line(`STATUS "`+folder+`" (MESSAGES UNSEEN)`, "* STATUS ")
			if err != nil {
				return errors.Join(fmt.Errorf("look into %s of %s: %w", folder, box, err), c.Close())
			}
			if got = strings.ReplaceAll(got, `"`, ""); got != want {
				return errors.Join(fmt.Errorf("the groupware has %s in the mailbox of %s, want %s", got, box, want), c.Close())
			}
		}
		looked++
		if err := c.Close(); err != nil {
			return err
		}
	}
	b.t.note("%d of these mailboxes were compared: what people did is there, once. They had %d letters of the node.", looked, letters)
	return nil
}

// letters returns how many letters of the node lie in the inbox: to whoever was done ten
// minutes ago goes one that says what became of all, and to somebody one that asks whether
// the groupware takes mail again (decision 0044).
func (c *imapClient) letters() (int, error) {
	if err := c.do("EXAMINE INBOX"); err != nil {
		return 0, err
	}
	found, err := c.line(`SEARCH UNSEEN NOT FROM "`+sender+`"`, "* SEARCH")
	return len(strings.Fields(found)), err
}
