package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"doppelboden/test/peer"
)

const (
	queuedCount = 200_000
	storedCount = 1_000_000
	largeRounds = 5      // of the latency, in an empty and in a full store
	sampleCount = 10_000 // mails whose latency one round looks at
	// beyond is more than mail is kept: by so much the clock is ahead while retention works.
	beyond = 32 * 24 * time.Hour
)

// runLarge plays the large round once.
func runLarge(ctx context.Context, c *config, t *table) error {
	boxes, err := peer.Numbered(ctx, "u@"+domain, c.boxes)
	if err != nil {
		return err
	}
	b := &bench{config: c, t: t, boxes: boxes}
	if c.only.MatchString("logins") {
		if err := b.logInsOf(ctx, logInCity/c.scale); err != nil {
			return fmt.Errorf("log-ins: %w", err)
		}
	}
	for _, m := range []struct {
		name string
		run  func(context.Context) error
	}{{"rebuilt", b.rebuilt}, {"handback", b.handBack}} {
		if !c.only.MatchString(m.name) {
			continue
		}
		progress("%s", m.name)
		if err := m.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if !c.only.MatchString("queued") {
		return nil
	}
	drained := t.add(row{name: "200,000 queued, handed over", unit: "mails/s", want: 3, ratio: true})
	memory := t.add(row{name: "200,000 queued, most resident", unit: "MB", want: 300, atMost: true})
	if err := b.largePostfix(ctx, drained); err != nil {
		return fmt.Errorf("Postfix: %w", err)
	}
	if !c.node {
		return nil
	}
	if !c.postgres {
		return b.largeNode(ctx, drained, memory, nil)
	}
	server, err := peer.Postgres{Parent: c.dir}.Start()
	if err != nil {
		return err
	}
	t.note("The node worked with PostgreSQL.")
	return errors.Join(b.largeNode(ctx, drained, memory, server), server.Stop())
}

// largePostfix fills Postfix's queue and lets it go.
func (b *bench) largePostfix(ctx context.Context, drained *row) error {
	hop, err := peer.FreePort()
	if err != nil {
		return err
	}
	count := queuedCount / b.scale
	return b.with(ctx, postfixSystem, setup{boxes: b.boxes, nextHop: hop, down: true}, func(sys system) error {
		if err := b.fill(ctx, sys.Addr(), "Postfix", count-warmUp); err != nil {
			return err
		}
		p := sys.(*peer.Postfix)
		// It has accepted; it still has to move what came last into its deferred queue.
		if err := until(patience, "Postfix to defer", func() (bool, error) { return p.Settled() }); err != nil {
			return err
		}
		v, _, err := b.empty(hop, count, func() error { return p.Release(ctx) })
		drained.postfix = append(drained.postfix, v)
		return err
	})
}

// fill sends count small mails and tells how fast they were taken.
func (b *bench) fill(ctx context.Context, addr, name string, count int) error {
	start := time.Now()
	if err := b.flood(ctx, addr, count, smallSize); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	progress("  %s took %d mails at %s/s", name, count, number(rate(count, time.Since(start))))
	return nil
}

// empty lets a groupware return at hop and waits for count mails. It returns their
// rate from the first to the last, and how long the first took.
func (b *bench) empty(hop string, count int, release func() error) (v float64, wait time.Duration, err error) {
	back := time.Now()
	sink, err := peer.Sink{Addr: hop}.Start()
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, sink.Stop()) }()
	if err := release(); err != nil {
		return 0, 0, err
	}
	if err := sink.Wait(count, 2*patience); err != nil {
		return 0, 0, err
	}
	_, first, last := sink.Taken()
	progress("  handed over %d at %s/s, the first after %v", count, number(rate(count, last.Sub(first))), first.Sub(back))
	return rate(count, last.Sub(first)), first.Sub(back), nil
}

// largeNode measures the latency of an empty store, queues, hands over, fills the store
// and measures again.
func (b *bench) largeNode(ctx context.Context, drained, memory *row, server *peer.PostgresServer) error {
	hop, err := peer.FreePort()
	if err != nil {
		return err
	}
	syscall.Sync()
	sys, err := ourSystem.start(ctx, b.config, setup{boxes: b.boxes, nextHop: hop, down: true, postgres: server})
	if err != nil {
		return err
	}
	n := sys.(*node)
	err = b.largeSteps(ctx, n, hop, drained, memory)
	return errors.Join(err, n.Stop())
}

func (b *bench) largeSteps(ctx context.Context, n *node, hop string, drained, memory *row) error {
	var busy []float64
	err := b.handing(ctx, n, hop, func() (err error) {
		busy, err = b.p99s(ctx, n, "empty, handing over")
		return err
	})
	if err != nil {
		return err
	}
	fresh, err := b.p99s(ctx, n, "empty")
	if err != nil {
		return err
	}
	// What came above is queued already.
	queued := max(queuedCount/b.scale, len(fresh)*b.sample()+1)
	if err := b.fill(ctx, n.Addr(), "doppelboden", queued-len(fresh)*b.sample()); err != nil {
		return err
	}
	v, wait, err := b.empty(hop, queued, func() error { return nil })
	if err != nil {
		return err
	}
	drained.ours = append(drained.ours, v)
	b.t.note("The groupware's return was found after %v.", wait.Round(time.Millisecond))
	peak, err := peakOf(n.pid())
	if err != nil {
		return err
	}
	memory.ours = append(memory.ours, peak)
	if err := b.stored(ctx, n, hop, fresh); err != nil {
		return err
	}
	return b.removed(ctx, n, hop, busy)
}

// handing does something while a groupware takes everything, and waits until it has it.
func (b *bench) handing(ctx context.Context, n *node, hop string, do func() error) error {
	sink, err := peer.Sink{Addr: hop}.Start()
	if err != nil {
		return err
	}
	err = do()
	if err == nil {
		err = n.empty(ctx)
	}
	return errors.Join(err, sink.Stop())
}

// empty waits until nothing waits any more.
func (n *node) empty(ctx context.Context) error {
	return until(2*patience, "everything to be delivered", func() (bool, error) {
		queued, err := n.waits(ctx)
		return queued == 0, err
	})
}

// stored fills the store up, with a groupware that takes everything. When all is
// delivered and the groupware is gone again, as it was for the empty store, it measures
// the latency.
func (b *bench) stored(ctx context.Context, n *node, hop string, fresh []float64) error {
	more := (storedCount - queuedCount) / b.scale
	err := b.handing(ctx, n, hop, func() error { return b.fill(ctx, n.Addr(), "doppelboden", more) })
	if err != nil {
		return err
	}
	full, err := b.p99s(ctx, n, "full")
	if err != nil {
		return err
	}
	b.t.add(row{name: "p99 of acceptance, 1,000,000 stored", unit: "ms", want: 1.5, atMost: true, ours: full, base: fresh})
	return nil
}

// removed measures the latency on a node whose clock is ahead, while it removes what is
// stored. The groupware takes everything, as it did for the empty store: in an outage of
// the whole city nothing is removed.
func (b *bench) removed(ctx context.Context, n *node, hop string, busy []float64) error {
	return b.handing(ctx, n, hop, func() error {
		if err := n.calm(ctx); err != nil {
			return err
		}
		if err := n.halt(); err != nil {
			return err
		}
		if err := n.serveAhead(ctx, beyond); err != nil {
			return err
		}
		status, err := n.status(ctx)
		if err != nil {
			return err
		}
		before := 0
		err = until(patience, "retention to begin", func() (bool, error) {
			before, err = metric(status.Listeners["metrics"], removedMetric)
			return before > 0, err
		})
		if err != nil {
			return err
		}
		began := time.Now()
		during, err := b.p99s(ctx, n, "full, retention at work")
		if err != nil {
			return err
		}
		after, err := metric(status.Listeners["metrics"], removedMetric)
		if err != nil {
			return err
		}
		// It must have had something to do all the while.
		if line, err := n.logged(retentionDone); err != nil || line != "" || after == before {
			return fmt.Errorf("retention did not work while the latency was measured (%d messages, then %d), so nothing was shown (%v): %s", before, after, err, line)
		}
		b.t.add(row{name: "p99 while a day's retention runs", unit: "ms", want: 1.5, atMost: true, ours: during, base: busy})
		b.t.note("Retention removed %d messages meanwhile, %s/s.", after-before, number(rate(after-before, time.Since(began))))
		return nil
	})
}

// calm waits until all is delivered, closes the events, and has everybody back in the
// groupware: a person is sure earlier than the node, which protects for half a day more what
// was used here.
func (n *node) calm(ctx context.Context) error {
	if err := n.empty(ctx); err != nil {
		return err
	}
	s, err := n.status(ctx)
	if err != nil {
		return err
	}
	for _, e := range s.Events {
		if _, err := n.run(ctx, "--node", n.config(), "event", "close", strconv.FormatInt(int64(e.Number), 10)); err != nil {
			return err
		}
	}
	_, err = n.run(ctx, "--node", n.config(), "mailbox", "mode", "--all", "normal")
	return err
}

// removedMetric counts what retention has removed in this run of a node.
const removedMetric = "doppelboden_retention_messages_total"

// retentionDone stands in the line that the node logs when a round has removed something.
const retentionDone = "msg=retention "

// sample is how many mails one round of p99s looks at.
func (b *bench) sample() int { return max(sampleCount/b.scale, 2000) }

// p99s returns the p99 from final dot to 250 of some rounds.
func (b *bench) p99s(ctx context.Context, n *node, name string) ([]float64, error) {
	var all []float64
	for i := range largeRounds {
		report, err := b.timed(ctx, n.Addr(), b.sample())
		if err != nil {
			return nil, err
		}
		all = append(all, ms(report.Latency(0.99)))
		progress("  p99 %s store %d/%d: %s ms", name, i+1, largeRounds, number(all[i]))
	}
	return all, nil
}
