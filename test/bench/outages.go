package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"doppelboden/control"
	"doppelboden/test/peer"
)

// How much is sent in one round of the measures of an outage.
const (
	sustainedCount = 80_000 // some 15 s of acceptance: more than the landing's memory holds
	appendCount    = 10_000
	appendBoxes    = 200 // each gets a run of 50
	rebuiltEach    = 3   // mails for each of the mailboxes of a rebuilt groupware
	lmtpSessions   = 8   // into Dovecot, at most as many as we open to its mailboxes
	// ageing is by how much the node's clock is ahead when the groupware returns, so that
	// mail of a moment ago is old enough for its mailbox.
	ageing = 24 * time.Hour
)

// behindPostgres measures acceptance on a node that works with PostgreSQL: in a burst,
// beside the same node with SQLite alone; and sustained, until the database has it all,
// beside Postfix.
func (b *bench) behindPostgres(ctx context.Context) (err error) {
	if !b.node {
		return nil
	}
	server, err := peer.Postgres{Parent: b.dir}.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	burst := b.t.add(row{name: "8 burst, PostgreSQL beside SQLite, 4 KB", unit: "mails/s", want: 0.9})
	sustained := b.t.add(row{name: "8 sustained with PostgreSQL, 4 KB", unit: "mails/s", want: 2.5, ratio: true})
	first, all := smallCount/b.scale, sustainedCount/b.scale
	for i := range b.rounds {
		for _, s := range []struct {
			starter
			postgres *peer.PostgresServer
		}{{ourSystem, server}, {ourSystem, nil}, {postfixSystem, nil}} {
			down, err := peer.FreePort()
			if err != nil {
				return err
			}
			err = b.with(ctx, s.starter, setup{boxes: b.boxes, nextHop: down, down: true, postgres: s.postgres}, func(sys system) error {
				start := time.Now()
				if err := b.flood(ctx, sys.Addr(), first, smallSize); err != nil {
					return err
				}
				quick := rate(first, time.Since(start))
				if n, ours := sys.(*node); ours && s.postgres == nil {
					burst.base = append(burst.base, quick)
					progress("  SQLite alone %d/%d: %s mails/s", i+1, b.rounds, number(quick))
					return n.drained(ctx)
				}
				if err := b.flood(ctx, sys.Addr(), all-first, smallSize); err != nil {
					return err
				}
				if n, ours := sys.(*node); ours {
					burst.ours = append(burst.ours, quick)
					if err := n.drained(ctx); err != nil {
						return err
					}
				}
				v := rate(all, time.Since(start))
				sustained.note(s.starter, v)
				progress("  %s %d/%d: burst %s, sustained %s mails/s", s.name, i+1, b.rounds, number(quick), number(v))
				return nil
			})
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", i+1, s.name, err)
			}
		}
	}
	return nil
}

// desk is where the node takes commands.
func (n *node) desk() *control.Client { return control.NewClient(filepath.Join(n.dir, "data"), nil) }

// status asks the node how it is.
func (n *node) status(ctx context.Context) (control.Status, error) {
	s, err := n.desk().Status(ctx)
	if err != nil {
		return s, fmt.Errorf("ask the node: %w", err)
	}
	return s, nil
}

// drained waits until the database has what the landing took.
func (n *node) drained(ctx context.Context) error {
	return until(patience, "the database to have everything", func() (bool, error) {
		s, err := n.status(ctx)
		return s.Database.Landed == 0, err
	})
}

// intake measures how fast a Dovecot takes mail by LMTP over several connections, each
// mail on the disk before it is answered.
func (b *bench) intake(ctx context.Context, count int) (v float64, err error) {
	dovecot, err := peer.Dovecot{Users: b.boxes, Parent: b.dir, AlwaysSync: true, Quiet: true}.Start()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, dovecot.Stop()) }()
	start := time.Now()
	for left := count; left > 0; left -= len(b.boxes) {
		src := peer.Source{Addr: dovecot.Addr(), LMTP: true, Sessions: lmtpSessions, Messages: min(left, len(b.boxes)), Size: smallSize,
			From: sender, To: "u@" + domain, Number: true}
		if _, err := src.Run(ctx); err != nil {
			return 0, err
		}
	}
	return rate(count, time.Since(start)), nil
}

// appended measures how fast old mail gets into the mailboxes of a Dovecot, beside what the
// same Dovecot takes by LMTP.
func (b *bench) appended(ctx context.Context) error {
	if !b.node {
		return nil
	}
	some := *b
	some.boxes = b.boxes[:appendBoxes]
	r := b.t.add(row{name: "9 APPEND beside Dovecot's LMTP, 4 KB", unit: "mails/s", want: 0.7})
	count := appendCount / b.scale
	for i := range b.rounds {
		lmtp, err := some.intake(ctx, count)
		if err != nil {
			return fmt.Errorf("round %d, LMTP: %w", i+1, err)
		}
		back, err := some.wayBack(ctx, count)
		if err != nil {
			return fmt.Errorf("round %d, APPEND: %w", i+1, err)
		}
		progress("  append %d/%d: %s by LMTP, %s by APPEND", i+1, b.rounds, number(lmtp), number(back.rate))
		r.base, r.ours = append(r.base, lmtp), append(r.ours, back.rate)
	}
	return nil
}

// rebuilt measures how fast an empty Dovecot is filled for mailboxes of the city, and
// how right the node was about when that would be done.
func (b *bench) rebuilt(ctx context.Context) error {
	if !b.node {
		return nil
	}
	some := *b
	some.boxes = b.boxes[:max(len(b.boxes)/(b.scale*b.part), appendBoxes)]
	count := rebuiltEach * len(some.boxes)
	r := b.t.add(row{name: fmt.Sprintf("9 a rebuilt groupware, %d mailboxes", len(some.boxes)), unit: "mails/s"})
	e := b.t.add(row{name: "9 error of the estimate at half time", unit: "%"})
	back, err := some.wayBack(ctx, count)
	if err != nil {
		return err
	}
	r.ours = append(r.ours, back.rate)
	if wrong, told := back.wrong(0.5); told {
		e.ours = append(e.ours, 100*wrong)
	}
	for _, part := range []float64{0.1, 0.25, 0.75} {
		if wrong, told := back.wrong(part); told {
			b.t.note("After %.0f %% of the time the estimate was wrong by %s %% of what was left.", 100*part, number(100*wrong))
		}
	}
	if len(back.told) == 0 {
		b.t.note("It was over before the node told an estimate (after 30 s).")
	}
	return nil
}

// A wayBack is how mail got back into a groupware that returned empty.
type wayBack struct {
	rate       float64
	begun, end time.Time
	told       []estimate
}

// An estimate is what the node said about when all would be done.
type estimate struct{ asked, done time.Time }

// wrong returns by which part of what was left the first estimate was wrong that was told
// after a part of the time.
func (w *wayBack) wrong(part float64) (float64, bool) {
	after := w.begun.Add(time.Duration(part * float64(w.end.Sub(w.begun))))
	i := slices.IndexFunc(w.told, func(e estimate) bool { return !e.asked.Before(after) })
	if i < 0 {
		return 0, false
	}
	e := w.told[i]
	return math.Abs(e.done.Sub(w.end).Seconds()) / w.end.Sub(e.asked).Seconds(), true
}

// wayBack lets mail wait on a node whose groupware is gone, and the groupware return empty
// a day later by the node's clock.
func (b *bench) wayBack(ctx context.Context, count int) (back *wayBack, err error) {
	var at [2]string
	for i := range at {
		if at[i], err = peer.FreePort(); err != nil {
			return nil, err
		}
	}
	sys, err := ourSystem.start(ctx, b.config, setup{boxes: b.boxes, nextHop: at[0], down: true, imap: at[1]})
	if err != nil {
		return nil, err
	}
	n := sys.(*node)
	defer func() { err = errors.Join(err, n.Stop()) }()
	if err := b.flood(ctx, n.Addr(), count, smallSize); err != nil {
		return nil, err
	}
	if err := errors.Join(n.drained(ctx), n.halt()); err != nil {
		return nil, err
	}
	dovecot, err := peer.Dovecot{Users: b.boxes, Parent: b.dir, AlwaysSync: true, Quiet: true, LMTPAddr: at[0], IMAPAddr: at[1]}.Start()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dovecot.Stop()) }()
	if err := n.serveAhead(ctx, ageing); err != nil {
		return nil, err
	}
	return b.watch(ctx, n, int64(count))
}

// watch looks at a node until nothing waits any more.
func (b *bench) watch(ctx context.Context, n *node, count int64) (*wayBack, error) {
	w := &wayBack{}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(6 * patience)
	for had := count; ; {
		s, err := n.status(ctx)
		if err != nil {
			return nil, err
		}
		var queued, held int64
		for _, t := range s.Tenants {
			queued, held = queued+t.Counts["queued"], held+t.Counts["held"]
		}
		now := time.Now()
		if w.begun.IsZero() && queued < count {
			w.begun, had = now, queued // what came before the first look does not count
		}
		for _, r := range s.Routes {
			if r.Flow != nil && len(r.Flow.Done) > 0 && !r.Flow.Done[len(r.Flow.Done)-1].At.IsZero() {
				w.told = append(w.told, estimate{asked: now, done: r.Flow.Done[len(r.Flow.Done)-1].At.Add(-ageing)})
			}
		}
		switch {
		case held > 0:
			return nil, fmt.Errorf("%d mails are held", held)
		case queued == 0:
			w.end = now
			w.rate = rate(int(had), w.end.Sub(w.begun))
			return w, nil
		case now.After(deadline):
			return nil, fmt.Errorf("%d of %d mails still wait: %s", queued, count, n.tail())
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// onPostgres adds a fresh database to the node's configuration.
func (n *node) onPostgres(ctx context.Context, server *peer.PostgresServer) error {
	name, err := server.NewDatabase(ctx, "")
	if err != nil {
		return err
	}
	err = os.WriteFile(filepath.Join(n.dir, "keys", "database.password"), []byte(peer.PostgresPassword+"\n"), 0o600)
	if err != nil {
		return fmt.Errorf("configure the node: %w", err)
	}
	return appendTo(n.config(), fmt.Sprintf("\n[database]\nurl = \"postgres://%s@%s/%s?sslmode=disable\"\npassword_file = \"database.password\"\n",
		peer.PostgresRole, server.Addr(), name))
}

// intoMailboxes adds the groupware's IMAP to the city's configuration.
func (n *node) intoMailboxes(addr string) error {
	err := os.WriteFile(filepath.Join(n.dir, "keys", "imap.password"), []byte(peer.DovecotPassword+"\n"), 0o600)
	if err != nil {
		return fmt.Errorf("configure the node: %w", err)
	}
	return appendTo(filepath.Join(n.dir, "city.toml"), fmt.Sprintf(
		"\n[tenant.route.imap]\nserver = \"imap://%s\"\ntls = \"off\"\nuser = %q\nseparator = \"*\"\npassword_file = \"imap.password\"\nreadback = \"off\"\nconnections = %d\n",
		addr, peer.DovecotMaster, lmtpSessions))
}
