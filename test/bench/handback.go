package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"doppelboden/test/peer"
)

const (
	// handbackEach is how many mails each of the people has and handles; she writes as many.
	handbackEach     = 10
	handbackAsk      = 200 * time.Millisecond
	handbackPatience = 3 * time.Hour
)

// handBack measures how fast what people did gets into the mailboxes of a Dovecot, 20 changes
// in each, and that it goes on after the node was killed in the middle.
func (b *bench) handBack(ctx context.Context) (err error) {
	if !b.node {
		return nil
	}
	some := *b
	some.boxes = b.boxes[:len(b.boxes)/(b.scale*b.part)]
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
	if err := some.flood(ctx, n.Addr(), len(some.boxes)*handbackEach, smallSize); err != nil {
		return err
	}
	if err := n.empty(ctx); err != nil {
		return err
	}
	resting, err := dovecot.Halt()
	if err != nil {
		return err
	}
	progress("  %d people have their mails and begin to work", len(some.boxes))
	if err := some.workIn(ctx, n); err != nil {
		return err
	}
	if err := n.halt(); err != nil {
		return err
	}
	if dovecot, err = resting.Start(); err != nil {
		return err
	}
	if err := some.watchBack(ctx, n, dovecot); err != nil {
		return err
	}
	return some.sameAsHere(dovecot)
}

// A stage is what a run of the node did of the way back.
type stage struct {
	changes int
	took    time.Duration // from the first change on
	waited  time.Duration // before it, since the run began
	node    time.Duration // processor time
	memory  float64       // the most, in MB
}

// watchBack starts the node, kills it when half of all has gone back, and measures.
func (b *bench) watchBack(ctx context.Context, n *node, dovecot *peer.DovecotServer) error {
	r := b.t.add(row{name: "10 the way back of what people did, 20 changes a mailbox", unit: "changes/s", want: 100})
	m := b.t.add(row{name: "10 the same: memory of the node", unit: "MB", want: 300, atMost: true})
	all := 2 * handbackEach * len(b.boxes)
	before, err := worked(dovecot)
	if err != nil {
		return err
	}
	first, err := n.handsBack(ctx, all, all/2)
	if err != nil {
		return err
	}
	second, err := n.handsBack(ctx, 0, 0)
	if err != nil {
		return err
	}
	first.changes = all - second.changes // more than were counted before the kill
	after, err := worked(dovecot)
	if err != nil {
		return err
	}
	took, spent := first.took+second.took, first.node+second.node
	v := rate(all, took)
	r.note(ourSystem, v)
	m.note(ourSystem, max(first.memory, second.memory))
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(all) }
	b.t.note("What %d people did (%d changes) went back in %v, half of them mails that were put into folders (%s mails/s): %s changes/s until a kill -9 of the node in the middle, "+
		"%s after it, %.1f s after its start. Processor time of a change: node %.2f ms, Dovecot %.2f ms.",
		len(b.boxes), all, took.Round(time.Second), number(v/2), number(rate(first.changes, first.took)), number(rate(second.changes, second.took)), second.waited.Seconds(),
		each(spent), each(after-before))
	progress("  doppelboden: %s changes/s, %.0f MB", number(v), max(first.memory, second.memory))
	return nil
}

// handsBack starts the node, waits until everything has gone back, and ends it. With kill above
// 0 it waits for so many changes and kills the node. owed is how many it must have; 0: any.
func (n *node) handsBack(ctx context.Context, owed, kill int) (s stage, err error) {
	if err := n.serve(); err != nil {
		return s, err
	}
	start := time.Now()
	status, err := n.status(ctx)
	if err != nil {
		return s, err
	}
	if s.changes, err = n.owes(ctx); err != nil || owed > 0 && s.changes != owed {
		return s, errors.Join(err, fmt.Errorf("%d changes are to go back, want %d", s.changes, owed))
	}
	goal := s.changes
	if kill > 0 {
		goal = kill
	}
	// No mail waits that would prove that the groupware works again.
	for _, e := range status.Events {
		if _, err := n.run(ctx, "--node", n.config(), "event", "close", strconv.FormatInt(e.Number, 10)); err != nil {
			return s, err
		}
	}
	var began time.Time
	for done, asked := 0, 1; done < goal; asked++ {
		time.Sleep(handbackAsk) // an answer costs the node as much as some changes
		if done, err = metric(status.Listeners["metrics"], wentBackMetric); err != nil {
			return s, fmt.Errorf("%w: %s", err, n.tail())
		}
		if began.IsZero() && done > 0 {
			began = time.Now()
			s.waited = began.Sub(start)
		}
		if ctx.Err() != nil || time.Since(start) > handbackPatience {
			return s, fmt.Errorf("%d of %d changes went back in %v: %s", done, goal, time.Since(start), n.tail())
		}
		if asked%50 == 0 { // some may have gone back before they were counted
			if owed, err := n.owes(ctx); err != nil || owed == 0 {
				goal = min(goal, done)
			}
		}
	}
	s.took = time.Since(began)
	if s.node, err = cpuOf(n.pid()); err != nil {
		return s, err
	}
	if s.memory, err = peakOf(n.pid()); err != nil {
		return s, err
	}
	if kill == 0 {
		err := until(patience, "nothing to be owed", func() (bool, error) {
			owed, err := n.owes(ctx)
			return owed == 0, err
		})
		return s, errors.Join(err, n.halt())
	}
	n.cmd.Process.Signal(syscall.SIGKILL) // an error says that it has ended, which the next start tells
	<-n.done
	n.done = nil
	return s, nil
}

// owes returns how many changes have not gone back; the node counts them every few seconds.
func (n *node) owes(ctx context.Context) (int, error) {
	s, err := n.status(ctx)
	if err != nil || s.Handback == nil {
		return 0, err
	}
	return int(s.Handback.Deeds), nil
}

// wentBackMetric counts what people did that is on its way back no more.
const wentBackMetric = "doppelboden_handback_changes_total"

// metric reads a counter of this run of a node, whose metrics are at addr.
func metric(addr, name string) (int, error) {
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		return 0, fmt.Errorf("ask for metrics: %w", err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(v, 64)
			return int(n), err
		}
	}
	return 0, fmt.Errorf("the node has no metric %s", name)
}

// waits returns how many deliveries wait.
func (n *node) waits(ctx context.Context) (queued int64, err error) {
	s, err := n.status(ctx)
	for _, t := range s.Tenants {
		queued += t.Counts["queued"] + t.Counts["held"]
	}
	return queued, err
}
