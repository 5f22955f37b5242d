package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"doppelboden/absence"
	"doppelboden/account"
	"doppelboden/appeal"
	"doppelboden/certs"
	"doppelboden/city"
	"doppelboden/clock"
	"doppelboden/control"
	"doppelboden/courier"
	"doppelboden/event"
	"doppelboden/folder"
	"doppelboden/handback"
	"doppelboden/harvest"
	"doppelboden/intake"
	"doppelboden/mailbox"
	"doppelboden/notify"
	"doppelboden/queue"
	"doppelboden/resolver"
	"doppelboden/retention"
	"doppelboden/search"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say what a node is made of.
type Options struct {
	Node    *city.Node       // required
	Version string           // of the program, for status
	Log     *slog.Logger     // required
	Clock   func() time.Time // default time.Now
	Timer   clock.Timer      // waits by Clock; default real time

	// Synchronous is handed to sqlite.Options of the same name; with "OFF" the landing does
	// not sync either. It exists for the
	// power-cut test, which must show that it finds a store that does not sync.
	Synchronous string

	// ExchangerPort and LoopbackExchangers are handed to courier.Options. They exist for
	// tests, whose Internet is on this machine.
	ExchangerPort      int
	LoopbackExchangers bool
}

// A Node is one running node.
type Node struct {
	opts     Options
	log      *slog.Logger
	clock    func() time.Time
	beat     clock.Timer // clock.Beat, unless the clock is moved
	registry *prometheus.Registry
	started  time.Time

	*cellar
	house      *house
	internet   *internet
	dns        *resolver.Client // nil on a node without DNS
	scanning   *scanning        // from Start on
	appeals    *appeal.Appeals  // from Start on
	returner   *intake.Returner // from Start on
	keeper     *queue.Keeper    // the same: of the lease
	delays     *queue.Delays    // the same; nil without RoleQueue
	vault      *vault
	events     *event.Tracker
	look       chan struct{} // has the watcher look at once; holds at most one wish
	groupwares *groupwares
	reader     *mailbox.Reader   // from Start on; nil without RoleQueue
	replayer   *mailbox.Replayer // the same
	handback   *handback.Room    // from Start on
	own        *owns             // from Start on
	passages   *passages         // the same
	intake     *intake.Intake    // the same
	folders    *folder.Room      // the same
	modes      *folder.Modes     // the same
	harvest    *harvest.Room     // the same
	search     *search.Room      // the same
	extracts   *search.Worker    // the same
	absence    *absence.Room     // the same
	retainer   *retention.Job    // nil until it works; see retention
	lasting    lasting           // events, at a node without RoleQueue
	limited    *limited          // the same
	sms        *notify.Room      // the same
	certs      *certs.Keeper     // the same; nil without a certificate
	accounts   *account.Room     // the same
	agents     courier.Options   // what couriers have in common
	unsaved    unsaved           // alarms
	listeners  map[string]string // by name: host:port
	failed     chan error        // what ends the node before it is told to stop
	serving    sync.WaitGroup    // goroutines that end with their context
	stops                        // what Stop does
	working    stops             // what needs the database, and ends after the doors; see work
}

// New opens what lies on the disk. The node does nothing yet; Stop closes it again.
func New(ctx context.Context, o Options) (*Node, error) {
	if o.Node == nil || o.Log == nil {
		return nil, errors.New("app: Options.Node and Options.Log must be set")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	beat := o.Timer
	if beat == nil {
		beat = clock.Beat
	}
	o.Timer = clock.Or(o.Timer)
	n := &Node{
		opts: o, log: o.Log, clock: o.Clock, beat: beat, registry: newRegistry(),
		listeners: map[string]string{}, failed: make(chan error, 8), look: make(chan struct{}, 1),
	}
	n.vault = newVault(n)
	n.groupwares = &groupwares{n: n}
	if err := os.MkdirAll(o.Node.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	for _, open := range []func(context.Context) error{n.openDNS, n.openCellar} {
		if err := open(ctx); err != nil {
			return nil, errors.Join(err, n.Stop(context.WithoutCancel(ctx)))
		}
	}
	return n, nil
}

// Start opens the doors and starts all work. After an error the node must be stopped.
func (n *Node) Start(ctx context.Context) error {
	n.started = n.clock()
	n.startOwns(ctx)
	n.startPassages(ctx)
	if err := n.openScanning(); err != nil {
		return fmt.Errorf("prepare the scanners: %w", err)
	}
	if err := n.openQueue(); err != nil {
		return fmt.Errorf("prepare the queue: %w", err)
	}
	if err := n.openPeople(ctx); err != nil {
		return fmt.Errorf("read the lists of mailboxes: %w", err)
	}
	if err := n.openIntake(); err != nil {
		return fmt.Errorf("prepare the intake: %w", err)
	}
	if err := n.openFolders(); err != nil {
		return fmt.Errorf("prepare the mailboxes: %w", err)
	}
	if err := n.openSearch(); err != nil {
		return err
	}
	if err := n.openAbsence(); err != nil {
		return err
	}
	if err := n.openHarvest(); err != nil {
		return fmt.Errorf("prepare the filling of mailboxes: %w", err)
	}
	if err := n.openCertificate(); err != nil {
		return err
	}
	if n.certs != nil {
		n.background(ctx, "the certificate", n.certs.Run)
	}
	if err := n.openNotify(); err != nil {
		return fmt.Errorf("prepare the SMS: %w", err)
	}
	if err := n.openAccounts(); err != nil {
		return fmt.Errorf("prepare the log-ins: %w", err)
	}
	n.background(ctx, "the scanners", n.scanning.station.Run)
	if err := n.startWork(ctx); err != nil {
		return err
	}
	n.startDraining(ctx)
	if err := n.startMetrics(ctx); err != nil {
		return fmt.Errorf("start the metrics: %w", err)
	}
	if n.opts.Node.Has(city.RoleMX) {
		if err := n.startMX(ctx); err != nil {
			return fmt.Errorf("start the MX: %w", err)
		}
	}
	if err := n.startIMAP(ctx); err != nil {
		return fmt.Errorf("start IMAP: %w", err)
	}
	if err := n.startWeb(ctx); err != nil {
		return fmt.Errorf("start the pages: %w", err)
	}
	// After all listeners, whose addresses it tells.
	if err := n.startControl(); err != nil {
		return fmt.Errorf("start the control socket: %w", err)
	}
	n.felt(n.trouble()) // before anybody looks
	n.background(ctx, "the pulse of the database", n.pulse)
	n.background(ctx, "watch", n.watch)
	return nil
}

// tieKnots ties the ledger until ctx ends, and once more then: what the run wrote last
// should be in a knot as well.
func (n *Node) tieKnots(ctx context.Context) {
	n.knotter.Run(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	if _, err := n.knotter.Tie(last); err != nil {
		n.log.Error("the last knot cannot be tied", "err", err)
	}
}

// startControl opens the command line's socket.
func (n *Node) startControl() error {
	desk, err := control.NewDesk(control.Options{
		Node: n.opts.Node, Version: n.opts.Version, Started: n.started,
		Scanners: n.scanning.station.Status,
		Database: n.databaseStatus,
		Store:    view{n.store, n.landing}, Queue: decisions{n.house.queue, view{n.store, n.landing}}, House: n.house, Ledger: proof{n}, Keys: n.vault, Backups: saver{n}, Salvage: rescue{n}, Replays: replays{n}, Directories: n.house.people.refresher, Events: n.events, Modes: n.modes, Harvest: n.harvest, Handback: n.handback, Appeals: n.appeals, Trust: n.accounts, Accounts: n.accounts,
		Tallies: control.Tallies{Doors: n.tallyDir(), Replies: n.tallyDir(), Flush: n.flushTallies},
		Clock:   n.clock, Log: n.log,
	})
	if err != nil {
		return err
	}
	server, err := control.Start(n.opts.Node.Data, desk, n.log)
	if err != nil {
		return err
	}
	n.onStop("control", server.Stop)
	return nil
}

// Stop closes the doors first and the disk last, waits for everything, and returns what
// went wrong on the way.
func (n *Node) Stop(ctx context.Context) error {
	err := n.stops.stop(ctx)
	n.serving.Wait()
	return err
}

// Listeners returns where the node listens, by name.
func (n *Node) Listeners() map[string]string { return n.house.Listeners() }

// Run starts the node, calls ready, and stops it when ctx ends or when something fails
// that the node cannot go on without.
func (n *Node) Run(ctx context.Context, ready func(*Node)) error {
	err := n.Start(ctx)
	if err == nil {
		ready(n)
		select {
		case <-ctx.Done():
		case err = <-n.failed:
			n.log.Error("the node stops", "err", err)
		}
	}
	return errors.Join(err, n.Stop(context.WithoutCancel(ctx)))
}
