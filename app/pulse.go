package app

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/clock"
	"doppelboden/control"
	"doppelboden/disk"
)

const (
	// pulseEvery is the time between two looks at how the database is.
	pulseEvery = time.Second
	// awayFile lies in the mirror's folder while the database does not do its work, and
	// holds since when: a restart of the node must not make an outage younger.
	awayFile = "away"
)

// errResting says that the database answers, and that the node has not come to it yet.
var errResting = errors.New("the node does not work with the database yet")

// errNoHeartbeat says that the database takes no heartbeat, so that nothing is handed over.
var errNoHeartbeat = errors.New("the database takes no heartbeat")

// trouble says why the database does not do its work; nil: it does.
func (n *Node) trouble() error {
	if err := n.db.engine.Ready(); err != nil {
		return err
	}
	if !n.db.working.Load() {
		return errResting
	}
	if t := n.landing.Status().Trouble; t.Err != nil {
		return t.Err
	}
	if n.db.late != nil && n.opts.Node.Has(city.RoleQueue) && !n.keeper.MayDot() {
		return errNoHeartbeat
	}
	return nil
}

// pulse looks how the database is until ctx ends.
func (n *Node) pulse(ctx context.Context) {
	up := promauto.With(n.registry).NewGauge(prometheus.GaugeOpts{Name: "doppelboden_database_up",
		Help: "1 while the working database does its work, 0 while it does not: mail is taken and waits."})
	var was error
	var rescues sync.WaitGroup
	var rescuing atomic.Bool
	defer rescues.Wait()
	for {
		err := n.trouble()
		n.felt(err)
		returned := n.db.late != nil && was != nil && err == nil
		if (returned || n.landing.Status().Lost) && rescuing.CompareAndSwap(false, true) {
			rescues.Go(func() { defer rescuing.Store(false); n.makeWhole(ctx) })
		}
		was = err
		if up.Set(1); err != nil {
			up.Set(0)
		}
		if !clock.Sleep(ctx, clock.Beat, pulseEvery) {
			return
		}
	}
}

// felt notes how the database is.
func (n *Node) felt(err error) {
	db := n.db
	db.mu.Lock()
	was, since := db.reason, db.away
	db.reason = err
	switch {
	case err == nil:
		db.away = time.Time{}
	case since.IsZero():
		db.away = n.awaySince()
	}
	since = db.away
	db.mu.Unlock()
	switch {
	case err != nil && was == nil:
		n.log.Error("the database does not do its work; mail is taken and kept here", "since", since, "err", err)
		n.rememberAway(since)
	case err == nil && was != nil:
		n.log.Info("the database does its work again")
		n.forgetAway()
	}
	if (err == nil) != (was == nil) {
		select { // an alarm begins or ends
		case n.look <- struct{}{}:
		default:
		}
	}
}

// awaySince returns since when the database has been away: what an earlier run found, or now.
func (n *Node) awaySince() time.Time {
	if n.db.late != nil {
		text, err := os.ReadFile(filepath.Join(n.mirrorDir(), awayFile))
		if since, wrong := time.Parse(time.RFC3339, string(text)); err == nil && wrong == nil {
			return since
		}
	}
	return n.clock()
}

// rememberAway keeps since when the database is away over a restart.
func (n *Node) rememberAway(since time.Time) {
	if n.db.late == nil {
		return
	}
	if err := disk.Replace(disk.OS{}, filepath.Join(n.mirrorDir(), awayFile), []byte(since.UTC().Format(time.RFC3339))); err != nil {
		n.log.Error("since when the database is away cannot be noted", "err", err)
	}
}

// forgetAway says that the database is there.
func (n *Node) forgetAway() {
	if n.db.late == nil {
		return
	}
	if err := os.Remove(filepath.Join(n.mirrorDir(), awayFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		n.log.Error("that the database is there again cannot be noted", "err", err)
	}
}

// dead reports whether nobody answers for the database, or nobody here asks yet.
func (db *database) dead() bool { return !db.working.Load() || unreachable(db.engine.Ready()) }

// databaseStatus says how the database is, for people.
func (n *Node) databaseStatus() control.Database {
	db := n.db
	landed := n.landing.Status()
	s := control.Database{Engine: "SQLite", Landed: landed.Messages, Aside: landed.Aside, Unsaved: n.unsaved.open()}
	if db.late != nil {
		s.Engine, s.Dead = "PostgreSQL", db.dead()
	}
	db.mu.Lock()
	s.Away = db.away
	if db.reason != nil {
		s.Why = causeOf(db.reason)
	}
	db.mu.Unlock()
	if s.Dead && s.Away.IsZero() {
		s.Away = n.clock() // the pulse comes in a second
	}
	if db.start != nil && !db.working.Load() {
		s.Mirror, s.Behind = db.start.At(), db.start.Behind()
	}
	return s
}

// causeOf returns what lies behind the words for strangers: what the server said, or what
// kept us from asking it.
func causeOf(err error) string {
	var known *doppelboden.Error
	if errors.As(err, &known) && known.Cause != nil {
		err = known.Cause
	}
	var said *pgconn.PgError
	var line *net.OpError
	switch {
	case errors.As(err, &said):
		return said.Error()
	case errors.As(err, &line):
		return line.Error()
	}
	return strings.Join(strings.Fields(err.Error()), " ") // in one line
}

// database tells when the database does not do its work.
func (w *watcher) database(wrong alarms) {
	s := w.n.databaseStatus()
	switch {
	case s.Away.IsZero():
	case s.Dead:
		wrong[alarmKey{"database", ""}] = doppelboden.Tell("The database does not answer: %s. Mail is taken and kept on this machine. Nothing is handed over and nothing can be changed until it returns; then the node goes on by itself. Look at the database; do not stop the node.", s.Why)
	default:
		wrong[alarmKey{"database", ""}] = doppelboden.Tell("The database answers, but does not do its work: %s. Mail is taken and kept on this machine until it does; then the node goes on by itself. Look at the database and its disk; do not stop the node.", s.Why)
	}
	if s.Aside > 0 {
		wrong[alarmKey{"database", "refused"}] = doppelboden.Tell("The database refuses some mails for their own sake: %s. They are kept on this machine and tried again every hour; all others go on. The log of the node says why (\"kept aside\").", s.Aside)
	}
	if keeper := w.n.db.keeper; keeper != nil && s.Away.IsZero() {
		if err := keeper.Err(); err != nil {
			wrong[alarmKey{"mirror", ""}] = doppelboden.Tell("The mirror of the database on this machine cannot be written: %s. Mail goes on. If the database dies and this node starts anew, its doors know only what was true before. Look at the disk.", err)
		}
	}
}
