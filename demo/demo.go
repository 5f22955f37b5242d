package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"doppelboden"
	"doppelboden/control"
	"doppelboden/say"
	"doppelboden/setup"
)

// Options say how the play is played.
type Options struct {
	Program string        // file of the program to run as a node
	Length  time.Duration // how long mail comes in; the hand-over comes on top
	Say     *say.Printer
	Tell    func(Line) // is told every line as it happens; from one goroutine at a time
}

// A Line is one sentence of the play.
type Line struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// A Result is how the play ended.
type Result struct {
	Acknowledged int                 `json:"acknowledged"` // mails that got a 250
	Failed       int                 `json:"failed"`       // attempts of strangers while the node was dead; they tried again
	Arrived      int                 `json:"arrived"`      // of the acknowledged, in the groupware
	Missing      int                 `json:"missing"`      // of the acknowledged, not in the groupware
	Twice        int                 `json:"twice"`        // mails that the groupware has more than once
	Away         int64               `json:"away_seconds"` // how long the groupware was dead
	Balance      doppelboden.Balance `json:"balance"`
	Good         bool                `json:"good"`
}

// Names of the play.
const (
	domain = "musterstadt.example"
	perSec = 4 // mails a second from strangers; a city of 50,000 has about so many at nine in the morning
)

// recipients are the mailboxes of the play.
var recipients = [...]control.Mailbox{
	{Address: "postmaster@" + domain, Kind: string(doppelboden.Function), Priority: doppelboden.DefaultPriority},
	{Address: "buergerbuero@" + domain, Kind: string(doppelboden.Function), Priority: doppelboden.DefaultPriority},
	{Address: "krisenstab@" + domain, Kind: string(doppelboden.Function), Priority: 9},
	{Address: "anna.mueller@" + domain, Kind: string(doppelboden.Person), Priority: doppelboden.DefaultPriority},
}

// A play is one run.
type play struct {
	opts   Options
	dir    string // temporary; holds everything
	groups *groupware
	node   *node
	crowd  *crowd
}

// Run plays. The error says why it could not be played to its end.
func Run(ctx context.Context, o Options) (result Result, err error) {
	dir, err := os.MkdirTemp("", "doppelboden-demo-")
	if err != nil {
		return Result{}, fmt.Errorf("make a temporary folder: %w", err)
	}
	p := &play{opts: o, dir: dir}
	defer func() { err = errors.Join(err, p.clear()) }()
	for _, act := range []func(context.Context) error{p.open, p.morning, p.outage, p.crash, p.comeback} {
		if err := act(ctx); err != nil {
			return Result{}, err
		}
	}
	return p.balance(ctx)
}

// clear stops what still runs and removes the folder.
func (p *play) clear() error {
	var errs []error
	if p.crowd != nil {
		p.crowd.stop()
	}
	if p.node != nil {
		errs = append(errs, p.node.stop())
	}
	if p.groups != nil {
		errs = append(errs, p.groups.die())
	}
	return errors.Join(append(errs, os.RemoveAll(p.dir))...)
}

// tell tells a line.
func (p *play) tell(text string) { p.opts.Tell(Line{At: time.Now(), Text: text}) }

// open sets the stage.
func (p *play) open(ctx context.Context) error {
	say := p.opts.Say
	p.tell(say.T("The play: a groupware dies, and no mail is lost. It takes place in %s, which is removed afterwards.", p.dir))
	var err error
	if p.groups, err = newGroupware(); err != nil {
		return err
	}
	p.tell(say.T("The groupware (a stand-in) takes mail at %s.", p.groups.addr))
	conf, err := setup.Create(setup.Options{
		Dir: filepath.Join(p.dir, "city"), Domain: domain, Groupware: "smtp://" + p.groups.addr,
		Listen: "127.0.0.1", DNS: "none", Now: time.Now(),
	})
	if err != nil {
		return err
	}
	p.node = &node{program: p.opts.Program, dir: filepath.Join(p.dir, "city"), data: conf.Data}
	if err := p.node.start(ctx); err != nil {
		return err
	}
	for _, m := range recipients {
		if _, err := p.node.client().AddMailbox(ctx, m); err != nil {
			return fmt.Errorf("add a mailbox: %w", err)
		}
	}
	p.tell(say.T("The node stands before it, as the MX of %s, and takes mail at %s for %d mailboxes.", domain, p.node.mx, len(recipients)))
	return nil
}

// share is a part of the play's length.
func (p *play) share(percent int) time.Duration { return p.opts.Length * time.Duration(percent) / 100 }

// morning is how it is on a good day.
func (p *play) morning(ctx context.Context) error {
	p.crowd = startCrowd(p.node.mx)
	if err := wait(ctx, p.share(15)); err != nil {
		return err
	}
	say := p.opts.Say
	p.tell(say.T("A good morning: %d mails came in and were acknowledged, the groupware has %d.", p.crowd.count(), p.groups.count()))
	return nil
}

// outage is when the groupware has died.
func (p *play) outage(ctx context.Context) error {
	say := p.opts.Say
	if err := p.groups.die(); err != nil {
		return err
	}
	p.tell(say.T("The groupware dies. Mail goes on coming in."))
	for range 3 {
		if err := wait(ctx, p.share(13)); err != nil {
			return err
		}
		s, err := p.node.client().Status(ctx)
		if err != nil {
			return fmt.Errorf("ask the node: %w", err)
		}
		waiting, oldest := waits(s)
		p.tell(say.T("%d mails acknowledged so far; waiting: %d, the oldest for %d s. No sender notices anything.", p.crowd.count(), waiting, oldest))
	}
	return nil
}

// waits returns how many deliveries wait, and the age of the oldest in seconds.
func waits(s control.Status) (n, oldest int64) {
	for _, t := range s.Tenants {
		n += t.Counts[doppelboden.Queued.String()] + t.Counts[doppelboden.Held.String()]
		if !t.Oldest.IsZero() {
			oldest = max(oldest, int64(s.Now.Sub(t.Oldest).Seconds()))
		}
	}
	return n, oldest
}

// crash is when, of all times, the node dies too.
func (p *play) crash(ctx context.Context) error {
	say := p.opts.Say
	acked := p.crowd.count()
	if err := p.node.kill(); err != nil {
		return err
	}
	p.tell(say.T("And now the node is killed with kill -9, in the middle of it, after %d acknowledged mails.", acked))
	if err := wait(ctx, p.share(6)); err != nil {
		return err
	}
	if err := p.node.start(ctx); err != nil {
		return err
	}
	p.crowd.move(p.node.mx)
	s, err := p.node.client().Status(ctx)
	if err != nil {
		return fmt.Errorf("ask the node: %w", err)
	}
	waiting, _ := waits(s)
	p.tell(say.T("It is back; waiting: %d. What strangers could not send meanwhile (%d), they send again now, as mail servers do.", waiting, p.crowd.failures()))
	return wait(ctx, p.share(15))
}

// comeback is when the groupware returns.
func (p *play) comeback(ctx context.Context) error {
	say := p.opts.Say
	p.tell(say.T("The groupware returns."))
	if err := p.groups.rise(); err != nil {
		return err
	}
	if err := wait(ctx, p.share(15)); err != nil {
		return err
	}
	p.crowd.stop()
	last := int64(-1)
	for {
		s, err := p.node.client().Status(ctx)
		if err != nil {
			return fmt.Errorf("ask the node: %w", err)
		}
		waiting, _ := waits(s)
		if waiting != last {
			p.tell(say.T("Waiting: %d; the groupware has %d.", waiting, p.groups.count()))
		}
		if waiting == 0 {
			return nil
		}
		last = waiting
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
	}
}

// balance closes the books.
func (p *play) balance(ctx context.Context) (Result, error) {
	b, err := p.node.client().Balance(ctx, time.Time{}, time.Time{})
	if err != nil {
		return Result{}, fmt.Errorf("ask for the balance: %w", err)
	}
	r := judge(p.crowd.acknowledged(), p.groups.all(), b)
	r.Failed, r.Away = p.crowd.failures(), int64(p.groups.outage().Seconds())
	say := p.opts.Say
	p.tell(say.T("Acknowledged: %d. Of these in the groupware: %d, missing: %d, twice: %d.", r.Acknowledged, r.Arrived, r.Missing, r.Twice))
	p.tell(say.T("The balance: accepted %d, delivered %d, waiting %d, difference %d.", b.Accepted, b.Delivered+b.Confirmed, b.Queued+b.Held, b.Difference))
	if r.Good {
		p.tell(say.T("Nothing is missing. The groupware was away for %d s.", r.Away))
	} else {
		p.tell(say.T("THIS WENT WRONG: please report it with the lines above."))
	}
	return r, nil
}

// judge compares what was acknowledged with what the groupware has, by Message-ID.
func judge(acked []string, has map[string]int, b doppelboden.Balance) Result {
	r := Result{Acknowledged: len(acked), Balance: b}
	for _, id := range acked {
		if has[id] > 0 {
			r.Arrived++
		} else {
			r.Missing++
		}
	}
	for _, n := range has {
		if n > 1 {
			r.Twice++
		}
	}
	r.Good = b.Difference == 0 && r.Missing == 0 && r.Acknowledged > 0
	return r
}

// wait waits, or not when the play is broken off.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the play was broken off: %w", ctx.Err())
	}
}
