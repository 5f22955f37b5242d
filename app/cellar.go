package app

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/control"
	"doppelboden/keyring"
	"doppelboden/landing"
	"doppelboden/ledger"
	"doppelboden/mirror"
	"doppelboden/salvage"
	"doppelboden/segment"
	"doppelboden/setup"
	"doppelboden/store"
	"doppelboden/tally"
)

// Names within the data and keys folders.
const (
	databaseFile = "doppelboden.db"
	segmentsDir  = "segments"
	tallyFolder  = "tally"
	masterFile   = setup.MasterFile
	ledgerFile   = setup.LedgerFile
)

// A cellar is what lies on the disk.
type cellar struct {
	doors    *tally.Doors
	replies  *tally.Replies
	db       *database
	store    store.Store       // the working database; with PostgreSQL its mirror hears of changes
	landing  *landing.Landing  // where doors keep what they accept
	salvager *salvage.Salvager // between the landing and the database
	ring     *keyring.Ring
	bodies   *segment.Store
	lease    store.Lease
	joined   time.Time // when the lease was taken
	signer   ed25519.PrivateKey
	chain    *ledger.Chain // of what this run writes into the database
	landed   *ledger.Chain // of what lands in this run
	knotter  *ledger.Knotter
	damage   []segment.Damage // found at the start, torn tails excepted
	ledger   *lastError       // what the knotter reported last
	runs     atomic.Int64     // the version of the city's configuration
	moving   sync.Mutex       // held while bodies move or their keys are wrapped again
}

// openCellar opens the tallies, the database, the keys and the segments, and reads the
// city's configuration.
func (n *Node) openCellar(ctx context.Context) error {
	c := &cellar{ledger: &lastError{}}
	n.cellar = c
	if err := n.openTallies(); err != nil {
		return err
	}
	n.chain = ledger.NewChain(n.opts.Node.Name, n.clock())
	if err := n.openDatabase(ctx); err != nil {
		return err
	}
	tenants, configured, err := n.readCity(ctx, n.known())
	if err != nil {
		return err
	}
	if err := n.openBodies(ctx, tenants); err != nil {
		return err
	}
	if err := n.openLanding(ctx); err != nil {
		return err
	}
	if err := n.openLedger(); err != nil {
		return err
	}
	if err := n.openHouse(ctx, tenants, configured); err != nil {
		return err
	}
	return n.openInternet(ctx)
}

// openTallies opens what doors and couriers log.
func (n *Node) openTallies() error {
	dir := n.tallyDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the tallies' folder: %w", err)
	}
	var err error
	if n.doors, err = tally.OpenDoors(dir, n.clock); err != nil {
		return fmt.Errorf("open the doors' tally: %w", err)
	}
	n.onStop("the doors' tally", func(context.Context) error { return n.doors.Close() })
	if n.replies, err = tally.OpenReplies(dir, n.clock); err != nil {
		return fmt.Errorf("open the couriers' tally: %w", err)
	}
	n.onStop("the couriers' tally", func(context.Context) error { return n.replies.Close() })
	return nil
}

// tallyDir is the folder of both tallies.
func (n *Node) tallyDir() string { return filepath.Join(n.opts.Node.Data, tallyFolder) }

// flushTallies makes what waits in memory visible to readers of the tallies.
func (n *Node) flushTallies() error { return errors.Join(n.doors.Flush(), n.replies.Flush()) }

// syncBodies syncs the segments before a commit. The store's first commits come before
// there are any.
func (n *Node) syncBodies() error {
	if n.bodies == nil {
		return nil
	}
	return n.bodies.Sync()
}

// readCity returns the version of the city's configuration that the node runs: the one
// that it ran before, or the newest, or, when there is none yet, the file that node.toml
// names.
func (n *Node) readCity(ctx context.Context, from mirror.Directory) ([]doppelboden.Tenant, *city.City, error) {
	pinned, err := from.Pinned(ctx, n.opts.Node.Name)
	if err != nil {
		return nil, nil, fmt.Errorf("read which configuration this node ran: %w", err)
	}
	version, err := from.Config(ctx, pinned)
	name := fmt.Sprintf("version %d of city.toml", version.Version)
	if doppelboden.CodeOf(err) == doppelboden.NotFound {
		name = n.opts.Node.City
		if version.Text, err = os.ReadFile(name); err != nil {
			return nil, nil, fmt.Errorf("read the first configuration of the city: %w", err)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the city's configuration: %w", err)
	}
	c, err := city.Parse(name, version.Text)
	if err != nil {
		return nil, nil, err
	}
	if _, nobodyWrites := from.(*mirror.Snapshot); nobodyWrites {
		n.runs.Store(version.Version)
		tenants, err := from.Tenants(ctx)
		return tenants, c, err
	}
	tenants, err := n.pinCity(ctx, c, version, pinned)
	return tenants, c, err
}

// pinCity writes what a configuration makes exist, and that the node runs it.
func (n *Node) pinCity(ctx context.Context, c *city.City, version store.ConfigVersion, pinned int64) ([]doppelboden.Tenant, error) {
	tenants, err := n.store.PutTenants(ctx, c.Names())
	if err != nil {
		return nil, fmt.Errorf("write the tenants: %w", err)
	}
	if version.Version == 0 {
		if version.Version, err = n.store.PutConfig(ctx, store.ConfigVersion{Text: version.Text, By: "init", At: n.clock()}); err != nil {
			return nil, fmt.Errorf("write the first configuration: %w", err)
		}
	}
	if version.Version != pinned {
		if err := n.store.Pin(ctx, n.lease, version.Version); err != nil {
			return nil, fmt.Errorf("note which configuration this node runs: %w", err)
		}
	}
	n.runs.Store(version.Version)
	return tenants, nil
}

// openBodies opens the keys and the segments.
func (n *Node) openBodies(ctx context.Context, tenants []doppelboden.Tenant) error {
	master, err := keyring.LoadMaster(n.masterPath())
	if err != nil {
		return fmt.Errorf("load the master key: %w", err)
	}
	keys, err := n.known().TenantKeys(ctx)
	if err != nil {
		return fmt.Errorf("read the tenants' keys: %w", err)
	}
	if n.ring, err = keyring.OpenWith(master, n.store, keys, n.clock); err != nil {
		return fmt.Errorf("open the tenants' keys: %w", err)
	}
	if n.db.start == nil {
		if err := n.ring.Ensure(ctx, idsOf(tenants)); err != nil {
			return fmt.Errorf("make keys for tenants: %w", err)
		}
	}
	bodies, damage, err := segment.Open(segment.Options{
		Dir: filepath.Join(n.opts.Node.Data, segmentsDir), Keys: n.ring, Clock: n.clock, Log: n.log,
	})
	if err != nil {
		return fmt.Errorf("open the segments: %w", err)
	}
	n.bodies = bodies
	n.onStop("the segments", func(context.Context) error { return bodies.Close() })
	for _, d := range damage {
		n.log.Warn("damage in a segment", "segment", d.Segment, "offset", d.Offset, "length", d.Length, "what", d.What, "torn", d.Torn)
		if !d.Torn {
			n.damage = append(n.damage, d)
		}
	}
	return nil
}

// masterPath is the file of the master key.
func (n *Node) masterPath() string { return filepath.Join(n.opts.Node.Keys, masterFile) }

// openLedger loads the key that signs knots.
func (n *Node) openLedger() error {
	var err error
	if n.signer, err = ledger.LoadKey(filepath.Join(n.opts.Node.Keys, ledgerFile)); err != nil {
		return fmt.Errorf("load the ledger's key: %w", err)
	}
	n.knotter, err = ledger.NewKnotter(ledger.KnotterOptions{
		Store: n.store, Key: n.signer, Dir: ledger.Folder(n.opts.Node.Data), Clock: n.clock, Timer: n.opts.Timer, Log: n.log,
		Own: []*ledger.Chain{n.chain, n.landed}, Report: n.cellar.ledger.set, Registry: n.registry,
	})
	if err != nil {
		return fmt.Errorf("prepare the knots: %w", err)
	}
	n.cellar.ledger.set(n.knotter.Unseen())
	return nil
}

// openHouse reads the mailboxes.
func (n *Node) openHouse(ctx context.Context, tenants []doppelboden.Tenant, c *city.City) error {
	n.house = &house{node: n}
	d, err := readDirectory(ctx, n.known(), tenants, c)
	if err != nil {
		return err
	}
	n.house.directory.Store(d)
	return nil
}

// readDirectory joins a configuration with the mailboxes and what people have decided.
func readDirectory(ctx context.Context, from mirror.Directory, tenants []doppelboden.Tenant, c *city.City) (*city.Directory, error) {
	var boxes []doppelboden.Mailbox
	err := from.Mailboxes(ctx, func(m doppelboden.Mailbox) error {
		boxes = append(boxes, m)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the mailboxes: %w", err)
	}
	decided, err := control.ReadDecided(ctx, from)
	if err != nil {
		return nil, err
	}
	return city.NewDirectory(c, tenants, boxes).Under(decided), nil
}

func idsOf(tenants []doppelboden.Tenant) []doppelboden.TenantID {
	ids := make([]doppelboden.TenantID, len(tenants))
	for i, t := range tenants {
		ids[i] = t.ID
	}
	return ids
}

// errFenced ends a node whose place another has taken.
var errFenced = errors.New("another node has taken over with this name")
