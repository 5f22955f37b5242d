package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"doppelboden/test/load"
	"doppelboden/test/peer"
)

// How much is sent in one round. Both systems get the same.
const (
	connections = 20        // kept open, as the target says
	smallSize   = 4096      // octets of a small body
	largeSize   = 75 * 1024 // octets of an average body
	smallCount  = 20_000
	largeCount  = 5_000
	relayCount  = 20_000
	timedCount  = 20_000
	singleCount = 5_000
	bigSize     = 50_000_000 // one mail among the small ones
	patience    = 10 * time.Minute
)

// A bench runs measures one after the other.
type bench struct {
	*config
	t     *table
	boxes []string
}

func runAll(ctx context.Context, c *config, t *table) error {
	boxes, err := peer.Numbered(ctx, "u@"+domain, c.boxes)
	if err != nil {
		return err
	}
	b := &bench{config: c, t: t, boxes: boxes}
	for _, m := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"ceiling", b.ceiling},
		{"accept", b.accept},
		{"accept-logged", b.acceptLogged},
		{"everything", b.everything},
		{"relay", b.relay},
		{"accept75", b.acceptLarge},
		{"latency", b.latency},
		{"big", b.big},
		{"single", b.single},
		{"postgres", b.few().behindPostgres},
		{"append", b.few().appended},
		{"rebuilt", b.rebuilt},
		{"handback", b.handBack},
		{"idle", b.idleNode},
		{"imap", b.few().mailPrograms},
		{"waiting-programs", b.idlers},
		{"webmail", b.atWork},
		{"logins", b.logIns},
	} {
		if !c.only.MatchString(m.name) {
			continue
		}
		progress("%s", m.name)
		if err := m.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// few returns the bench with three rounds at most, for measures whose rounds take minutes.
func (b *bench) few() *bench {
	c := *b.config
	c.rounds = min(c.rounds, 3)
	return &bench{config: &c, t: b.t, boxes: b.boxes}
}

// alternate runs rounds of both systems in turn. run returns the figure of a round.
func (b *bench) alternate(ctx context.Context, name string, r *row, run func(context.Context, starter) (float64, error)) error {
	for i := range b.rounds {
		for _, s := range b.systems() {
			v, err := run(ctx, s)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", i+1, s.name, err)
			}
			progress("  %s %d/%d %s: %s %s", name, i+1, b.rounds, s.name, number(v), r.unit)
			r.note(s, v)
		}
	}
	return nil
}

func (b *bench) systems() []starter {
	if !b.node {
		return []starter{postfixSystem}
	}
	return []starter{ourSystem, postfixSystem}
}

// with starts a system, warms it up, runs f and stops it. Before it starts, everything
// that earlier rounds left in memory is written to the disk.
func (b *bench) with(ctx context.Context, s starter, to setup, f func(system) error) (err error) {
	syscall.Sync()
	sys, err := s.start(ctx, b.config, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.Stop()) }()
	if err := b.flood(ctx, sys.Addr(), warmUp, smallSize); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	return f(sys)
}

// warmUp mails start every process and open every connection that a round needs.
const warmUp = 400

// flood sends count mails by smtp-source to the mailboxes in turn. It starts again with
// the first when the mailboxes are through.
func (b *bench) flood(ctx context.Context, addr string, count, size int) error {
	for count > 0 {
		part := min(count, len(b.boxes))
		src := peer.Source{Addr: addr, Sessions: connections, Messages: part, Size: size, From: sender, To: "u@" + domain, Number: true}
		if _, err := src.Run(ctx); err != nil {
			return err
		}
		count -= part
	}
	return nil
}

// rate is a number of mails per second.
func rate(count int, d time.Duration) float64 { return float64(count) / d.Seconds() }

// ceiling shows that the generator is not what limits the others.
func (b *bench) ceiling(ctx context.Context) error {
	for _, m := range []struct{ size, count int }{{smallSize, smallCount}, {largeSize, largeCount}} {
		sink, err := peer.Sink{}.Start()
		if err != nil {
			return err
		}
		start := time.Now()
		err = errors.Join(b.flood(ctx, sink.Addr(), m.count, m.size), sink.Wait(m.count, patience))
		took := time.Since(start)
		if err = errors.Join(err, sink.Stop()); err != nil {
			return err
		}
		b.t.note("The generator alone, into smtp-sink: %s/s with %d octets.", number(rate(m.count, took)), m.size)
	}
	return nil
}

// acceptance measures durable acceptance while the groupware is down, and the processor
// time that a mail costs, which depends less on what else the machine does.
func (b *bench) acceptance(ctx context.Context, name string, r *row, to setup, count, size int) error {
	return b.acceptanceOf(ctx, name, r, to, count, size, b.flood)
}

// acceptanceOf is acceptance with another way to send.
func (b *bench) acceptanceOf(ctx context.Context, name string, r *row, to setup, count, size int,
	send func(ctx context.Context, addr string, count, size int) error) error {
	cost := b.t.add(row{name: r.name + ", processor", unit: "µs/mail"})
	return b.alternate(ctx, name, r, func(ctx context.Context, s starter) (v float64, err error) {
		down, err := peer.FreePort()
		if err != nil {
			return 0, err
		}
		to.boxes, to.nextHop, to.down = b.boxes, down, true
		err = b.with(ctx, s, to, func(sys system) error {
			before, err := worked(sys)
			if err != nil {
				return err
			}
			start := time.Now()
			if err := send(ctx, sys.Addr(), count, size); err != nil {
				return err
			}
			v = rate(count, time.Since(start))
			after, err := worked(sys)
			cost.note(s, float64((after-before).Microseconds())/float64(count))
			return err
		})
		return v, err
	})
}

func (b *bench) accept(ctx context.Context) error {
	r := b.t.add(row{name: "1 durable acceptance, 4 KB", unit: "mails/s", want: 6, ratio: true})
	return b.acceptance(ctx, "accept", r, setup{}, smallCount/b.scale, smallSize)
}

// acceptLogged is accept with a Postfix that writes its log into a file, as every Postfix
// does in earnest and as our node does in all measures. In the others it writes none,
// which is in its favour.
func (b *bench) acceptLogged(ctx context.Context) error {
	r := b.t.add(row{name: "1 the same, Postfix with its log", unit: "mails/s", ratio: true})
	return b.acceptance(ctx, "accept-logged", r, setup{logged: true}, smallCount/b.scale, smallSize)
}

// everything measures acceptance with every check on: a scanner that answers at once, on
// both sides the same; on ours besides SPF, DKIM (half the mails are signed), DMARC and
// the client's name, from a name server of this machine. The load comes from our own
// generator, because smtp-source cannot send given mails.
func (b *bench) everything(ctx context.Context) (err error) {
	r := b.t.add(row{name: "7 acceptance with all checks, 4 KB", unit: "mails/s", want: 5, ratio: true})
	src, err := load.NewSigned(time.Now().Format("150405.000"), sender, b.boxes, smallSize)
	if err != nil {
		return err
	}
	dns, err := peer.DNS{Zone: src.Zone()}.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dns.Stop()) }()
	scanner, err := peer.StartInstantScanner()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scanner.Stop()) }()
	send := func(ctx context.Context, addr string, count, _ int) error {
		before := scanner.Seen()
		report, err := load.Run(ctx, load.Options{Addr: addr, Source: src, Messages: count, Connections: connections})
		if err == nil && (len(report.Acked()) != count || scanner.Seen() < before+count) {
			err = fmt.Errorf("%d of %d mails were acknowledged, %d scanned", len(report.Acked()), count, scanner.Seen()-before)
		}
		return err
	}
	to := setup{scanner: scanner, dns: dns.Addr()}
	return b.acceptanceOf(ctx, "everything", r, to, smallCount/b.scale, smallSize, send)
}

func (b *bench) acceptLarge(ctx context.Context) error {
	r := b.t.add(row{name: "3 durable acceptance, 75 KB", unit: "mails/s", want: 1.8, ratio: true})
	return b.acceptance(ctx, "accept75", r, setup{}, largeCount/b.scale, largeSize)
}

// relay measures how fast mail comes out at the other end while it comes in.
func (b *bench) relay(ctx context.Context) error {
	r := b.t.add(row{name: "2 through to smtp-sink, 4 KB", unit: "mails/s", want: 4, ratio: true})
	count := relayCount / b.scale
	return b.alternate(ctx, "relay", r, func(ctx context.Context, s starter) (v float64, err error) {
		sink, err := peer.Sink{}.Start()
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, sink.Stop()) }()
		err = b.with(ctx, s, setup{boxes: b.boxes, nextHop: sink.Addr()}, func(sys system) error {
			if err := sink.Wait(warmUp, patience); err != nil {
				return err
			}
			start := time.Now()
			if err := b.flood(ctx, sys.Addr(), count, smallSize); err != nil {
				return err
			}
			if err := sink.Wait(warmUp+count, patience); err != nil {
				return err
			}
			_, _, last := sink.Taken()
			v = rate(count, last.Sub(start))
			return nil
		})
		return v, err
	})
}

// timed sends small mails on kept connections and returns the latencies.
func (b *bench) timed(ctx context.Context, addr string, count int) (*load.Report, error) {
	src := load.NewFixed(time.Now().Format("150405.000"), sender, b.boxes, smallSize)
	report, err := load.Run(ctx, load.Options{Addr: addr, Source: src, Messages: count, Connections: connections})
	if err == nil && len(report.Acked()) != count {
		err = fmt.Errorf("%d of %d mails were acknowledged", len(report.Acked()), count)
	}
	return report, err
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// latency measures the time from final dot to 250 while the groupware is down.
func (b *bench) latency(ctx context.Context) error {
	p50 := b.t.add(row{name: "4 final dot to 250, p50", unit: "ms"})
	p99 := b.t.add(row{name: "4 final dot to 250, p99", unit: "ms"})
	return b.alternate(ctx, "latency p50", p50, func(ctx context.Context, s starter) (v float64, err error) {
		down, err := peer.FreePort()
		if err != nil {
			return 0, err
		}
		err = b.with(ctx, s, setup{boxes: b.boxes, nextHop: down, down: true}, func(sys system) error {
			report, err := b.timed(ctx, sys.Addr(), timedCount/b.scale)
			v = ms(report.Latency(0.5))
			p99.note(s, ms(report.Latency(0.99)))
			return err
		})
		return v, err
	})
}

// big measures p99 of small mails without and with one mail of 50 MB among them, on
// the same running system, one after the other. A short round would be over before the
// big mail is, so this one is never scaled.
func (b *bench) big(ctx context.Context) error {
	with := b.t.add(row{name: "5 p99 with 50 MB among them", unit: "ms", want: 2, atMost: true})
	without := b.t.add(row{name: "5 p99 without", unit: "ms"})
	err := b.alternate(ctx, "big: p99 with", with, func(ctx context.Context, s starter) (v float64, err error) {
		down, err := peer.FreePort()
		if err != nil {
			return 0, err
		}
		err = b.with(ctx, s, setup{boxes: b.boxes, nextHop: down, down: true}, func(sys system) error {
			alone, err := b.timed(ctx, sys.Addr(), timedCount)
			if err != nil {
				return err
			}
			without.note(s, ms(alone.Latency(0.99)))
			bigMail := load.NewFixed("big", sender, b.boxes, bigSize).Mail(0)
			bigMail.Prepare() // so that only the server works for it
			bigDone := make(chan error, 1)
			go func() {
				report, err := load.Run(ctx, load.Options{Addr: sys.Addr(), Source: load.Only{M: bigMail}, Messages: 1, Connections: 1})
				if err == nil && len(report.Acked()) != 1 {
					err = fmt.Errorf("the big mail was not taken: %+v", report.Records)
				}
				bigDone <- err
			}()
			small, err := b.timed(ctx, sys.Addr(), timedCount)
			v = ms(small.Latency(0.99))
			return errors.Join(err, <-bigDone)
		})
		return v, err
	})
	with.base = without.ours
	return err
}

// single fills one mailbox while the groupware is down and measures how fast it is
// drained, and that the order was kept.
func (b *bench) single(ctx context.Context) error {
	if !b.node {
		return nil
	}
	r := b.t.add(row{name: "6 one mailbox drained in order", unit: "mails/s", want: 300})
	found := b.t.add(row{name: "6 groupware found again after", unit: "s", want: 30, atMost: true})
	count := singleCount / b.scale
	for i := range b.rounds {
		hop, err := peer.FreePort()
		if err != nil {
			return err
		}
		err = b.with(ctx, ourSystem, setup{boxes: b.boxes, nextHop: hop, down: true}, func(sys system) error {
			src := load.NewFixed("single", sender, b.boxes[:1], smallSize)
			// One connection, so that there is one order.
			report, err := load.Run(ctx, load.Options{Addr: sys.Addr(), Source: src, Messages: count, Connections: 1})
			if err != nil || len(report.Acked()) != count {
				return fmt.Errorf("fill the mailbox, %d of %d: %w", len(report.Acked()), count, err)
			}
			drained, waited, err := drain(ctx, hop, "single", count)
			if err == nil {
				progress("  single %d/%d: %s mails/s after %v", i+1, b.rounds, number(drained), waited)
				r.ours = append(r.ours, drained)
				found.ours = append(found.ours, waited.Seconds())
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// drain lets a groupware return at addr and waits for count mails whose ids begin with
// prefix. They must come once each and in order. It returns their rate and how long
// the first mail of any kind took.
func drain(ctx context.Context, addr, prefix string, count int) (float64, time.Duration, error) {
	r := &load.Receiver{Addr: addr}
	back := time.Now()
	if err := r.Start(); err != nil {
		return 0, 0, err
	}
	defer r.Stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mine []load.Arrival
	err := r.Wait(ctx, func(all []load.Arrival) bool {
		mine = mine[:0]
		for _, a := range all {
			if len(a.ID) > len(prefix) && a.ID[:len(prefix)] == prefix {
				mine = append(mine, a)
			}
		}
		return len(mine) >= count
	})
	if err != nil {
		return 0, 0, err
	}
	for i, a := range mine {
		if want := fmt.Sprintf("%s-%d", prefix, i); a.ID != want {
			return 0, 0, fmt.Errorf("order was not kept: wanted %s, got %s", want, a.ID)
		}
	}
	first, last := mine[0].At, mine[len(mine)-1].At
	return rate(count-1, last.Sub(first)), r.Arrivals()[0].At.Sub(back), nil
}

// idleNode watches a node that has nothing to do: what came before is handed over, and its
// extracts are made.
func (b *bench) idleNode(ctx context.Context) (err error) {
	if !b.node {
		return nil
	}
	sink, err := peer.Sink{}.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Stop()) }()
	return b.with(ctx, ourSystem, setup{boxes: b.boxes, nextHop: sink.Addr()}, func(sys system) error {
		if err := sink.Wait(warmUp, patience); err != nil {
			return err
		}
		node := sys.(*node)
		pid := node.pid()
		status, err := node.status(ctx)
		if err != nil {
			return err
		}
		if err := until(patience, "all extracts to be made", func() (bool, error) {
			made, err := metric(status.Listeners["metrics"], extractsMetric)
			return made >= warmUp, err
		}); err != nil {
			return err
		}
		before, err := cpuOf(pid)
		if err != nil {
			return err
		}
		start := time.Now()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(b.idle):
		}
		after, err := cpuOf(pid)
		if err != nil {
			return err
		}
		resident, err := residentOf(pid)
		if err != nil {
			return err
		}
		b.t.add(row{name: "7 idle, resident", unit: "MB", want: 60, atMost: true, ours: []float64{resident}})
		b.t.add(row{name: "7 idle, of a core", unit: "%", want: 0.2, atMost: true,
			ours: []float64{100 * (after - before).Seconds() / time.Since(start).Seconds()}})
		return nil
	})
}

// extractsMetric counts the extracts that the node's worker has made.
const extractsMetric = `doppelboden_search_extracts_total{how="worker"}`
