package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"doppelboden"
	"doppelboden/test/powercut/nbd"
	"doppelboden/test/powercut/wire"
)

// lettersPerBoot bounds the load between two cuts.
const lettersPerBoot = 4000

// connections is how many senders there are side by side.
const connections = 12

// fuseMax bounds how many requests the disk still takes after the moment of the cut was
// drawn; a commit of the node needs about ten.
const fuseMax = 60

// A Cut is one line of the report.
type Cut struct {
	Number     int       `json:"number"`    // from 1
	Seed       uint64    `json:"seed"`      // of everything random in it
	During     string    `json:"during"`    // what the node was doing
	Groupware  bool      `json:"groupware"` // it was answering during the load
	Start      string    `json:"start"`     // how long the node took to start on this disk
	Count                // of the letters of this boot
	Doubles    int       `json:"doubles"`    // deliveries in flight that came again after this cut
	Difference int64     `json:"difference"` // of the balance sheet after this cut
	Loss       nbd.Loss  `json:"loss"`       // what the cut did to the disk
	Disk       nbd.Stats `json:"disk"`       // what the disk was asked for in this boot
}

// A Report is what a run of cuts has shown.
type Report struct {
	Weakness wire.Weakness `json:"weakness,omitempty"` // what was broken on purpose
	Seed     uint64        `json:"seed"`
	Kernel   string        `json:"kernel"`  // name of its package
	Accel    string        `json:"accel"`   // of qemu
	Seconds  float64       `json:"seconds"` // all boots together
	Cuts     []Cut         `json:"cuts"`
	Total    Count         `json:"total"`   // over all cuts
	Doubles  int           `json:"doubles"` // over all cuts
	Faults   []string      `json:"faults"`  // empty: every promise was kept
}

// A run cuts the power of one disk's machine again and again.
type run struct {
	rig      rig
	weakness wire.Weakness // what is broken on purpose
	seed     uint64        // boot i has seed + i
	book     *account
	report   Report
	checked  int // cuts whose letters were looked for
	out      io.Writer
}

// play makes a disk, cuts the power n times, or until a fault is found, and verifies.
func (r *run) play(ctx context.Context, n int) (Report, error) {
	began := time.Now()
	r.book = newAccount()
	r.report = Report{Weakness: r.weakness, Seed: r.seed, Kernel: r.rig.kernel.name, Accel: r.rig.accel, Faults: []string{}}
	if err := makeDisk(ctx, r.rig.image); err != nil {
		return r.report, err
	}
	for i := 0; i <= n+1 && len(r.report.Faults) == 0; i++ {
		if err := r.boot(ctx, i, i == 0 || i > n); err != nil {
			return r.report, err
		}
	}
	if len(r.report.Faults) == 0 {
		if err := checkDisk(ctx, r.rig.image); err != nil {
			r.fault("the file system is damaged after a shutdown in good order: %v", err)
		}
	}
	for _, c := range r.report.Cuts {
		r.report.Total.add(c.Count)
		r.report.Doubles += c.Doubles
	}
	r.report.Seconds = time.Since(began).Round(100 * time.Millisecond).Seconds()
	return r.report, nil
}

// add sums up.
func (c *Count) add(d Count) {
	c.Acknowledged += d.Acknowledged
	c.Refused += d.Refused
	c.InFlight += d.InFlight
	c.Found += d.Found
	c.Missing += d.Missing
	c.Kept += d.Kept
}

// fault notes why this run is red.
func (r *run) fault(format string, args ...any) {
	r.report.Faults = append(r.report.Faults, fmt.Sprintf(format, args...))
}

// boot is one life of the machine: it verifies what the last cut has left, and then works
// until its own cut. A calm boot shuts down in good order instead: the first, which sets
// the node up, and the last.
func (r *run) boot(ctx context.Context, number int, calm bool) error {
	seed := r.seed + uint64(number)
	random := rand.New(rand.NewPCG(seed, 0x706f776572637574))
	order := wire.Order{
		Weakness:    r.weakness,
		First:       int64(number)*1_000_000 + 1,
		Letters:     lettersPerBoot,
		Connections: connections,
		Groupware:   random.IntN(2) == 0,
	}
	if calm {
		order.Letters = 0
	}
	row := Cut{Number: number, Seed: seed, Groupware: order.Groupware, During: "start"}
	if bootable := r.repair(ctx, number); !bootable {
		return ctx.Err()
	}
	events := r.book.begin(number)
	m, err := r.rig.powerOn(ctx, order, random, r.book.hear)
	if err != nil {
		return err
	}
	// One boot in five is cut while it still hands over what the last one has left.
	w := &watch{run: r, row: &row, random: random, early: !calm && number > 1 && random.IntN(5) == 0}
	w.follow(ctx, m, events)
	if calm {
		// A disk that is left alone writes its cache by itself. So a weakness shows in
		// the letters, and not in a set-up that was never there.
		err = m.disk.FlushTo(m.disk.Mark())
	}
	loss, cutErr := m.cut(1+random.IntN(fuseMax), r.book.powerGone)
	if err = errors.Join(err, cutErr, ctx.Err()); err != nil {
		return fmt.Errorf("cut the power: %w", err)
	}
	row.Loss, row.Disk, row.Count = loss, m.disk.Stats(), r.book.sent(number)
	switch {
	case len(r.report.Faults) > 0 && r.weakness == wire.None:
		fmt.Fprintf(r.out, "  the console's last lines:\n%s\n", m.console())
	case len(r.report.Faults) == 0 && !calm:
		r.report.Cuts = append(r.report.Cuts, row)
		r.tell(row)
	}
	return nil
}

// repair has the file system repaired and reports whether the machine can boot. What
// needs a person is a fault; with a weakness the run goes on to see what else is lost.
func (r *run) repair(ctx context.Context, boot int) (bootable bool) {
	said, err := repairDisk(ctx, r.rig.image)
	if err == nil {
		if said != "" {
			fmt.Fprintf(r.out, "  e2fsck: %s\n", said)
		}
		return true
	}
	r.fault("boot %d: %v", boot, err)
	if r.weakness == wire.None {
		return false
	}
	if err := forceRepair(ctx, r.rig.image); err != nil {
		r.fault("boot %d: %v", boot, err)
		return false
	}
	return true
}

// verify is called when a node says that nothing is left to be handed over: every letter
// that was acknowledged before the last cut must have come.
func (r *run) verify(balance string) {
	var b doppelboden.Balance
	if err := json.Unmarshal([]byte(balance), &b); err != nil {
		r.fault("the balance sheet %q: %v", balance, err)
		return
	}
	doubles := r.book.takeDoubles()
	for ; r.checked < len(r.report.Cuts); r.checked++ {
		row := &r.report.Cuts[r.checked]
		row.Count = r.book.arrived(row.Number, row.Count)
		row.Difference = b.Difference
		row.Doubles, doubles = doubles, 0
		if row.Missing > 0 {
			r.fault("cut %d: %d of %d acknowledged letters are missing", row.Number, row.Missing, row.Acknowledged)
		}
		fmt.Fprintf(r.out, "  cut %d: found %d of %d acknowledged, missing %d, doubles %d, %d of %d in flight kept, difference %d\n", row.Number,
			row.Found, row.Acknowledged, row.Missing, row.Doubles, row.Kept, row.InFlight, b.Difference)
	}
	if b.Difference != 0 {
		r.fault("the balance sheet has a difference of %d: %s", b.Difference, findings(b))
	}
	if got := b.Delivered + b.Confirmed; got != r.book.deliveries() {
		r.fault("the balance sheet knows %d deliveries, the groupware has %d", got, r.book.deliveries())
	}
	for _, f := range r.book.fouls() {
		r.fault("%s", f)
	}
}

// findings names the first of a balance sheet's findings.
func findings(b doppelboden.Balance) string {
	if len(b.Findings) == 0 {
		return "without a finding"
	}
	return fmt.Sprintf("%s and %d more", b.Findings[0].What, len(b.Findings)-1)
}

// tell prints one cut as it happens.
func (r *run) tell(c Cut) {
	fmt.Fprintf(r.out, "cut %d during %s (seed %d): node up in %s, acknowledged %d, in flight %d; %d flushes; of %d sectors pending %d dropped, %d writes torn (%s)\n",
		c.Number, c.During, c.Seed, c.Start, c.Acknowledged, c.InFlight, c.Disk.Flushes, c.Loss.Pending, c.Loss.Dropped, c.Loss.Torn, c.Loss.Manner)
}
