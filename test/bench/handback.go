package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"doppelboden/test/peer"
)

const (
	handbackBoxes = 1000 // mailboxes in which people worked
	handbackMails = 10   // of each: ten that are read, and ten that are written
)

// handBack measures how fast what people did gets into the mailboxes of a Dovecot, 20 changes
// in each, and that it goes on after the node was killed in the middle.
func (b *bench) handBack(ctx context.Context) (err error) {
	if !b.node {
		return nil
	}
	some := *b
	some.boxes = b.boxes[:handbackBoxes/b.scale]
	dovecot, err := peer.Dovecot{Users: some.boxes, Parent: b.dir, AlwaysSync: true, Quiet: true}.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dovecot.Stop()) }()
	sys, err := startNode(ctx, b.config, setup{boxes: some.boxes, nextHop: dovecot.Addr(), imap: dovecot.IMAP()})
	if err != nil {
		return err
	}
	n := sys.(*node)
	defer func() { err = errors.Join(err, n.Stop()) }()
	if err := some.flood(ctx, n.Addr(), len(some.boxes)*handbackMails, smallSize); err != nil {
		return err
	}
	if err := n.empty(ctx); err != nil {
		return err
	}
	resting, err := dovecot.Halt()
	if err != nil {
		return err
	}
	if err := some.workIn(ctx, n); err != nil {
		return err
	}
	if err := n.halt(); err != nil {
		return err
	}
	if dovecot, err = resting.Start(); err != nil {
		return err
	}
	return some.watchBack(ctx, n)
}

// workIn has everybody read the mails in her inbox and write as many.
func (b *bench) workIn(ctx context.Context, n *node) error {
	s, err := n.status(ctx)
	if err != nil {
		return err
	}
	if err := n.givePasswords(ctx, b.boxes); err != nil {
		return err
	}
	for _, box := range b.boxes {
		c, err := imapSide{dial: overTLS(s.Listeners["imap"]), user: box, pass: imapPassword}.connect()
		if err != nil {
			return fmt.Errorf("open the mailbox of %s: %w", box, err)
		}
		err = errors.Join(c.do("SELECT INBOX"), c.do(`STORE 1:* +FLAGS.SILENT (\Seen)`))
		for i := range handbackMails {
			err = errors.Join(err, c.append(fmt.Sprintf("Subject: %d\r\nMessage-ID: <%d.%s>\r\n\r\n%s\r\n", i, i, box, strings.Repeat("x", 900))))
		}
		if err := errors.Join(err, c.Close()); err != nil {
			return fmt.Errorf("work in the mailbox of %s: %w", box, err)
		}
	}
	return nil
}

// waits returns what is queued, and how many changes have not gone back.
func (n *node) waits(ctx context.Context) (queued, owed int64, err error) {
	s, err := n.status(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, t := range s.Tenants {
		queued += t.Counts["queued"] + t.Counts["held"]
	}
	if s.Handback != nil {
		owed = s.Handback.Deeds
	}
	return queued, owed, nil
}

// watchBack starts the node, kills it when half of all has gone back, and measures.
func (b *bench) watchBack(ctx context.Context, n *node) error {
	r := b.t.add(row{name: "10 the way back of what people did, 20 changes a mailbox", unit: "changes/s"})
	m := b.t.add(row{name: "10 the same: memory of the node", unit: "MB", want: 300, atMost: true})
	if err := n.serve(); err != nil {
		return err
	}
	// No mail waits that would prove that the groupware works again.
	if _, err := n.run(ctx, "--node", n.config(), "event", "close", "1"); err != nil {
		return err
	}
	all := int64(2 * handbackMails * len(b.boxes))
	var began time.Time
	killed, had, spent, memory := false, all, time.Duration(0), 0.0
	err := until(12*patience, "everything to go back", func() (bool, error) {
		_, owed, err := n.waits(ctx)
		if err != nil {
			return false, err
		}
		switch {
		case began.IsZero() && owed < all:
			began, had = time.Now(), owed
		case !killed && owed < had/2:
			killed, spent = true, time.Since(began)
			had -= owed
			n.cmd.Process.Kill()
			<-n.done
			n.done = nil
			if err := n.serve(); err != nil {
				return false, err
			}
		}
		if now, err := residentOf(n.pid()); err == nil {
			memory = max(memory, now)
		}
		return killed && owed == 0, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, n.tail())
	}
	v := rate(int(had), spent)
	r.note(ourSystem, v)
	m.note(ourSystem, memory)
	b.t.note("What %d people did (%d changes) went back, half of it after a kill -9.", len(b.boxes), all)
	progress("  doppelboden: %s changes/s, %.0f MB", number(v), memory)
	return nil
}
