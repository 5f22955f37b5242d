package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/ledger"
)

const (
	// watchEvery is the time between two looks at everything that an alarm is about.
	watchEvery = 10 * time.Second
	// clockJump is how far the clock may move against the machine's own running time
	// within watchEvery: time servers correct by less than half a second.
	clockJump = 2 * time.Second
	// clockTold is how long a jump stays an open alarm: it is over at once, but somebody
	// must see it.
	clockTold = time.Hour
	// routeDown is how long a route may not answer before that is an alarm: shorter
	// than a restart of most groupware would be noise.
	routeDown = time.Minute
)

// A lastError holds what the knotter reported last. That the database was rolled back
// is reported once and stays until somebody has seen it: no later success makes it undone.
type lastError struct {
	mu    sync.Mutex
	err   error
	older bool // the database was rolled back
}

func (l *lastError) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(err, ledger.ErrRolledBack) {
		l.older, err = true, nil
	}
	l.err = err
}

// get returns what keeps the ledger from being tied.
func (l *lastError) get() error { l.mu.Lock(); defer l.mu.Unlock(); return l.err }

// rolledBack reports whether the database was rolled back, and nobody has seen it yet.
func (l *lastError) rolledBack() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.older }

// seen notes that somebody has seen that the database was rolled back.
func (l *lastError) seen() { l.mu.Lock(); defer l.mu.Unlock(); l.older = false }

// An alarmKey names an alarm.
type alarmKey struct{ kind, subject string }

// alarms are what is wrong: for each, what a person must know. Such a telling says what is
// wrong, what becomes of mail meanwhile, and what to do.
type alarms map[alarmKey]doppelboden.Telling

// A watcher looks at what alarms are about and keeps the stored alarms as it finds it.
type watcher struct {
	n       *Node
	open    map[alarmKey]string  // English text of those that are stored as open
	learned bool                 // open has what an earlier run left open
	running func() time.Duration // how long the machine has been running, whatever the clock says

	// shown counts open alarms by kind; nil: nobody measures.
	shown *prometheus.GaugeVec

	// Of the look before.
	clockWas time.Time
	ranFor   time.Duration

	jumped   time.Time // of the last jump of the clock, by the clock after it
	jumpText doppelboden.Telling

	listsOf    *city.Directory // for which listsWrong holds
	listsWrong alarms          // lists whose members do not all get its mail
}

// watch looks until ctx ends.
func (n *Node) watch(ctx context.Context) {
	start := time.Now() // carries the running time of the machine
	w := newWatcher(n, func() time.Duration { return time.Since(start) })
	w.shown = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "doppelboden_alarms_open", Help: "Alarms that last, by kind; doppelboden status tells them."}, []string{"kind"})
	n.registry.MustRegister(w.shown)
	for {
		w.look(ctx)
		fired, stop := n.opts.Timer(watchEvery)
		select {
		case <-ctx.Done():
			stop()
			return
		case <-fired:
		case <-w.n.look:
		}
		stop()
	}
}

// newWatcher returns a watcher that has not looked yet.
func newWatcher(n *Node, running func() time.Duration) *watcher {
	return &watcher{n: n, open: map[alarmKey]string{}, running: running, clockWas: n.clock(), ranFor: running()}
}

// restore learns which alarms an earlier run left open.
func (w *watcher) restore(ctx context.Context) error {
	return w.n.store.Alarms(ctx, w.n.clock(), func(a doppelboden.Alarm) error {
		if a.Until.IsZero() {
			text := a.Text
			if len(a.Said) == 0 {
				text = "" // of a program that knew no languages: it is to be told anew
			}
			w.open[alarmKey{a.Kind, a.Subject}] = text
		}
		return nil
	})
}

// look compares what is wrong now with the stored alarms.
func (w *watcher) look(ctx context.Context) {
	if !w.learned {
		if err := w.restore(ctx); err == nil {
			w.learned = true
		} else if !w.n.db.dead() {
			w.n.log.Error("open alarms cannot be read", "err", err)
		}
	}
	wrong := w.findings(ctx)
	w.count(wrong)
	for _, a := range w.n.unsaved.end(wrong, w.n.clock()) {
		w.n.log.Info("the alarm has ended", "kind", a.Kind, "subject", a.Subject)
	}
	if !w.n.db.dead() {
		if err := w.n.unsaved.tell(ctx, w.n.store); err != nil {
			w.n.log.Error("alarms that have ended cannot be stored", "err", err)
		}
	}
	for key, said := range wrong {
		text := said.String()
		if w.open[key] == text {
			continue
		}
		a := doppelboden.Alarm{Kind: key.kind, Subject: key.subject, Text: text, Said: said, Since: w.began(key)}
		if err := w.save(ctx, a); err != nil {
			if w.n.unsaved.put(a) {
				w.n.log.Error("alarm", "kind", key.kind, "subject", key.subject, "text", text, "unsaved", err)
			}
			continue
		}
		w.n.unsaved.saved(key)
		w.n.log.Error("alarm", "kind", key.kind, "subject", key.subject, "text", text)
		w.open[key] = text
	}
	for key := range w.open {
		if _, still := wrong[key]; still || w.n.db.dead() {
			continue
		}
		if err := w.n.store.Clear(ctx, key.kind, key.subject, w.n.clock()); err != nil {
			w.n.log.Error("an alarm cannot be ended", "kind", key.kind, "err", err)
			continue
		}
		w.n.log.Info("the alarm has ended", "kind", key.kind, "subject", key.subject)
		delete(w.open, key)
	}
}

// count measures what is wrong.
func (w *watcher) count(wrong alarms) {
	if w.shown == nil {
		return
	}
	w.shown.Reset()
	for key := range wrong {
		w.shown.WithLabelValues(key.kind).Inc()
	}
}

// save stores an alarm.
func (w *watcher) save(ctx context.Context, a doppelboden.Alarm) error {
	if w.n.db.dead() {
		return errors.New(publicAway)
	}
	return w.n.store.Raise(ctx, a)
}

// began returns since when an alarm lasts.
func (w *watcher) began(key alarmKey) time.Time {
	now := w.n.clock()
	if since := w.n.databaseStatus().Away; key == (alarmKey{"database", ""}) && !since.IsZero() {
		now = since
	}
	return w.n.unsaved.since(key, now)
}

// findings says what is wrong now.
func (w *watcher) findings(ctx context.Context) alarms {
	wrong := alarms{}
	w.disk(wrong)
	w.database(wrong)
	w.clock(wrong)
	w.keys(wrong)
	w.routes(wrong)
	w.filing(wrong)
	w.events(wrong)
	w.readback(wrong)
	w.handback(wrong)
	w.harvest(wrong)
	w.senders(wrong)
	w.limits(wrong)
	w.sms(wrong)
	w.certificate(wrong)
	w.internet(wrong)
	w.lists(wrong)
	w.scanners(ctx, wrong)
	w.nameServers(ctx, wrong)
	w.ledger(wrong)
	for _, d := range w.n.damage {
		wrong[alarmKey{"segment", d.Segment}] = doppelboden.Tell("Bytes %s to %s of segment %s are not what was written: %s. Mail that lies there cannot be handed over; all other mail can. Look at the disk. Is the newest backup whole? doppelboden backup --verify FOLDER",
			strconv.FormatInt(d.Offset, 10), strconv.FormatInt(d.Offset+d.Length, 10), d.Segment, d.What)
	}
	return wrong
}

// ledger tells when no knots are made, and when the database is an older one.
func (w *watcher) ledger(wrong alarms) {
	if err := w.n.cellar.ledger.get(); err != nil {
		wrong[alarmKey{"ledger", ""}] = doppelboden.Tell("The ledger cannot be tied: %s. Mail is taken and handed over all the same. Run: doppelboden ledger verify", err)
	}
	if w.n.cellar.ledger.rolledBack() {
		wrong[alarmKey{"ledger", "older"}] = doppelboden.Tell("The database is older than what had left it, or somebody has rewritten it. Mail goes on. See what is missing: doppelboden ledger verify. That ends this alarm.")
	}
}

// disk warns before mail is refused for want of room.
func (w *watcher) disk(wrong alarms) {
	if err := w.n.landing.Ready(); err != nil {
		wrong[alarmKey{"disk", ""}] = doppelboden.Tell("NO MAIL IS TAKEN: %s. Senders try again for some days. Make room on the disk of %s, or repair it.", doppelboden.PublicOf(err), w.n.opts.Node.Data)
		return
	}
	free, _, err := w.n.house.Space()
	least := w.n.opts.Node.Limits.MinFreeMB << 20
	if err == nil && free < 2*least {
		wrong[alarmKey{"disk", ""}] = doppelboden.Tell("The disk of %s is nearly full: %s MiB are free. Mail is taken; below %s MiB no mail is taken any more. Make room now.", w.n.opts.Node.Data, rounded(free>>20), least>>20)
	}
}

// clock compares the clock with the machine's own running time.
func (w *watcher) clock(wrong alarms) {
	now, ran := w.n.clock(), w.running()
	jump := now.Round(0).Sub(w.clockWas.Round(0)) - (ran - w.ranFor)
	w.clockWas, w.ranFor = now, ran
	if jump > clockJump || jump < -clockJump {
		w.jumped = now
		w.jumpText = doppelboden.Tell("The clock jumped by %s at %s. Mail is taken and handed over, but times in mails and in the ledger before and after do not fit. Check the time service: timedatectl", jump.Round(time.Second), now)
	}
	if !w.jumped.IsZero() && now.Sub(w.jumped) < clockTold {
		wrong[alarmKey{"clock", ""}] = w.jumpText
	}
}

// keys looks whether the keys are there and nobody else can read them.
func (w *watcher) keys(wrong alarms) {
	for _, name := range []string{masterFile, ledgerFile} {
		path := filepath.Join(w.n.opts.Node.Keys, name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			wrong[alarmKey{"key", name}] = doppelboden.Tell("The key %s is gone. The node still has it in memory and works; after a restart nothing could be read. Do NOT restart the node. Bring the file back from the backup before anything else.", path)
		case err != nil:
			wrong[alarmKey{"key", name}] = doppelboden.Tell("The key %s cannot be looked at: %s. The node still has it in memory and works; look at the disk before you restart it.", path, err)
		case info.Mode().Perm()&0o077 != 0:
			wrong[alarmKey{"key", name}] = doppelboden.Tell("The key %s can be read by others (mode %s). Mail goes on. Run: chmod 600 %s", path, fmt.Sprintf("%04o", info.Mode().Perm()), path)
		}
	}
}

// rounded is an amount with two digits that count, so that an alarm is not news with every
// look.
func rounded(n int64) int64 {
	step := int64(1)
	for n/step >= 100 {
		step *= 10
	}
	return n / step * step
}

// routes tells of next servers that have not answered for a while and are in no event,
// because no mailbox has them for its own. One for which nothing waits any more is not asked,
// such as one whose mail has all gone straight into the mailboxes.
func (w *watcher) routes(wrong alarms) {
	now := w.n.clock()
	for _, l := range w.n.house.queue.Status() {
		if !l.Internet && !l.Up && l.Waiting > 0 && now.Sub(l.Since) >= routeDown && !w.n.events.Covers(l.Name) {
			wrong[alarmKey{"route", l.Name}] = doppelboden.Tell("The next server of %s has not taken mail since %s. Mail for it is kept, waits, and is handed over by itself. Look at that server; see what it says: doppelboden status", l.Name, l.Since)
		}
	}
}
