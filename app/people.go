package app

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"doppelboden"
	"doppelboden/city"
	"doppelboden/directory"
	"doppelboden/intake"
	"doppelboden/mirror"
	"doppelboden/queue"
	"doppelboden/store"
)

// people is what the house knows of who exists, besides the directory's snapshot.
type people struct {
	changing  sync.Mutex                      // held by whoever changes mailboxes or the city
	listings  atomic.Pointer[[]store.Listing] // as they lie in the store
	fresh     atomic.Pointer[freshness]
	kept      atomic.Pointer[keptCounts]
	refresher *directory.Refresher
}

// freshness is how old the lists may be, as of what it was made of.
type freshness struct {
	city     *city.City
	listings *[]store.Listing
	*city.Freshness
}

// keptCounts is how much mail is held for nobody, of each tenant: what the store said
// last, and what has come since.
type keptCounts map[doppelboden.TenantID]*atomic.Int64

// maxKept is how much mail of one tenant is held for nobody. Beyond it, such mail is put
// off: somebody may be trying all names.
const maxKept = 10_000

// Changing implements control.House and directory.House.
func (h *house) Changing() sync.Locker { return &h.people.changing }

// Listed implements directory.House.
func (h *house) Listed(ctx context.Context) error {
	return h.listed(ctx, h.node.store)
}

// listed reads what is known of the lists.
func (h *house) listed(ctx context.Context, from mirror.Directory) error {
	all, err := from.Listings(ctx)
	if err != nil {
		return fmt.Errorf("read what is known of the lists: %w", err)
	}
	h.people.listings.Store(&all)
	return nil
}

// Listings implements control.House.
func (h *house) Listings() []store.Listing { return *h.people.listings.Load() }

// freshnessOf returns how old the lists may be under the directory's configuration.
func (h *house) freshnessOf(d *city.Directory) *city.Freshness {
	f, listings := h.people.fresh.Load(), h.people.listings.Load()
	if f == nil || f.city != d.City() || f.listings != listings {
		f = &freshness{d.City(), listings, city.NewFreshness(d.City(), d.Tenants(), *listings)}
		h.people.fresh.Store(f)
	}
	return f.Freshness
}

// Resolve implements control.House: what becomes of mail for an address now.
func (h *house) Resolve(a doppelboden.Address) (city.Resolution, error) {
	d := h.Directory()
	return d.Resolve(a, h.freshnessOf(d), h.node.clock())
}

// Assign implements control.House.
func (h *house) Assign(ctx context.Context, a store.Assignment) error {
	if err := h.node.store.Assign(ctx, h.node.lease, a); err != nil {
		return err
	}
	if a.State != doppelboden.Queued {
		return nil
	}
	// It is written; the queue has to look.
	_, err := h.queue.Decide(ctx, queue.Decision{Verb: queue.Retry, Ref: a.Ref, By: a.By, Why: "assigned to " + a.To.String()})
	return err
}

// count learns how much mail is held for nobody.
func (h *house) count(ctx context.Context) error {
	held, err := h.node.store.Unassigned(ctx)
	if err != nil {
		return fmt.Errorf("count what is held for nobody: %w", err)
	}
	h.counted(held)
	return nil
}

// counted makes it known how much mail is held for nobody.
func (h *house) counted(held map[doppelboden.TenantID]int64) {
	counts := keptCounts{}
	for _, t := range h.Directory().Tenants() {
		counts[t.ID] = new(atomic.Int64)
		counts[t.ID].Store(held[t.ID])
	}
	h.people.kept.Store(&counts)
}

// keptOne counts what a kept message holds for nobody. RCPT alone counts nothing: it
// costs a stranger no mail.
func (h *house) keptOne(m *doppelboden.Message) {
	counts := h.people.kept.Load()
	if counts == nil || (*counts)[m.Tenant] == nil {
		return
	}
	for i := range m.Deliveries {
		if d := &m.Deliveries[i]; d.Box == 0 && d.State == doppelboden.Held {
			(*counts)[m.Tenant].Add(1)
		}
	}
}

// mayKeep reports whether one more mail may be held for nobody.
func (h *house) mayKeep(t doppelboden.TenantID) bool {
	counts := h.people.kept.Load()
	if counts == nil || (*counts)[t] == nil {
		return false
	}
	return (*counts)[t].Load() < maxKept
}

// What Find answers besides what the city's directory does.
var (
	errInside   = &doppelboden.Error{Code: doppelboden.Policy, Public: "this list takes mail from inside only"}
	errKeptFull = &doppelboden.Error{Code: doppelboden.MailboxListStale, Public: "cannot tell yet whether this mailbox exists, please try again later"}
)

// heldForNobody is the reason that queue list shows.
const heldForNobody = "nobody has this address; say whose it is with: doppelboden mailbox assign"

// found makes of a resolution what intake makes deliveries of.
func (h *house) found(e *intake.Envelope, r city.Resolution) (intake.Found, error) {
	f := intake.Found{Tenant: r.Tenant}
	switch {
	case r.Keep && !h.mayKeep(r.Tenant):
		return intake.Found{}, errKeptFull
	case r.Keep:
		f.Targets = []intake.Target{{Hold: heldForNobody}}
		return f, nil
	case r.Closed && e.Door == "mx" && e.Own == nil:
		return intake.Found{}, errInside
	}
	f.Outside = r.Outside
	f.Targets = make([]intake.Target, 0, len(r.Targets))
	for i := range r.Targets {
		t := &r.Targets[i]
		f.Targets = append(f.Targets, h.target(t))
		for _, also := range t.Also {
			f.Targets = append(f.Targets, intake.Target{Mailbox: t.Mailbox, Box: also.Box, Recipient: t.Address})
		}
	}
	return f, nil
}

// countEvery is the time between two countings of what is held for nobody.
const countEvery = 10 * time.Second

// openPeople reads what is known of the lists, and makes the one who refreshes them.
func (n *Node) openPeople(ctx context.Context) error {
	err := n.house.listed(ctx, n.known())
	if err != nil {
		return err
	}
	if n.db.start != nil {
		n.house.counted(nil) // nobody can tell; what comes now is counted
	} else if err := n.house.count(ctx); err != nil {
		return err
	}
	n.house.people.refresher, err = directory.NewRefresher(directory.RefresherOptions{
		Store: n.store, House: n.house, Secret: n.secret, File: n.keyFile, Clock: n.clock, Log: n.log, Registry: n.registry,
	})
	return err
}

// countKept counts what is held for nobody until ctx ends.
func (n *Node) countKept(ctx context.Context) {
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := n.house.count(ctx); err != nil && ctx.Err() == nil {
				n.log.Error("mail that is held for nobody cannot be counted", "err", err)
			}
		}
	}
}

// keyFile returns the path of a file that city.toml names: relative to the folder of the
// keys, for nothing else on this machine is as well kept.
func (n *Node) keyFile(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(n.opts.Node.Keys, name)
}

// maxSecret bounds a password, in bytes.
const maxSecret = 4096

// secret reads a password. Its errors name the file and never what is in it.
func (n *Node) secret(s city.Secret) (string, error) {
	path := n.keyFile(s.File)
	if s.Credential != "" {
		folder := os.Getenv("CREDENTIALS_DIRECTORY") // systemd.exec(5)
		if folder == "" {
			return "", fmt.Errorf("the credential %s is not there: the node was not started by systemd with LoadCredential", s.Credential)
		}
		path = filepath.Join(folder, s.Credential)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if s.File != "" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	if info.Size() > maxSecret {
		return "", fmt.Errorf("%s is no password: it has more than %d bytes", path, maxSecret)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// lists tells of lists of mailboxes that could not be used, or are too old, or name
// people that nobody reaches.
func (w *watcher) lists(wrong alarms) {
	h := w.n.house
	dir, now := h.Directory(), w.n.clock()
	listings := map[[2]string]store.Listing{}
	for _, l := range h.Listings() {
		listings[[2]string{dir.TenantName(l.Tenant), l.Source}] = l
	}
	for _, t := range dir.City().Tenants {
		if l := listings[[2]string{t.Name, ""}]; l.Writing {
			wrong[alarmKey{"list", t.Name}] = doppelboden.Tell("A list of mailboxes of %s was imported in part only. Mail for people who are known is taken; unknown recipients are put off (450) until it is imported again: doppelboden mailbox import FILE.csv", t.Name)
		}
		for i := range t.Directories {
			if said := listText(&t.Directories[i], listings[[2]string{t.Name, t.Directories[i].Name}], now); len(said) > 0 {
				wrong[alarmKey{"list", t.Name + "/" + t.Directories[i].Name}] = said
			}
		}
	}
	maps.Copy(wrong, w.unreached(dir))
	if counts := h.people.kept.Load(); counts != nil {
		for id, n := range *counts {
			if n.Load() >= maxKept {
				wrong[alarmKey{"kept", dir.TenantName(id)}] = doppelboden.Tell("%s mails for people whom nobody knows are held. They are safe; more of them are put off (450). See: doppelboden queue list --state held; then doppelboden mailbox assign ID ADDRESS", maxKept)
			}
		}
	}
}

// listText says what is wrong with a directory's list; nothing when nothing is.
func listText(l *city.LDAP, state store.Listing, now time.Time) (said doppelboden.Telling) {
	switch {
	case state.Read.IsZero() && !state.Tried.IsZero():
		said = doppelboden.Tell("The directory %s was never read as a whole, so unknown recipients are put off (450).", l.Name)
	case !state.Read.IsZero() && now.Sub(state.Read) > l.MaxAge:
		said = doppelboden.Tell("The list of the directory %s is of %s, older than %s, so unknown recipients are put off (450).", l.Name, state.Read, l.MaxAge)
	case state.Writing:
		said = doppelboden.Tell("The list of the directory %s was written in part only, so unknown recipients are put off (450).", l.Name)
	}
	switch {
	case state.Lost > 0:
		said = said.And(doppelboden.Tell("The directory %s was not taken over: too many addresses would be gone at once (%s). The list of before stays in use, and mail for those on it is taken. Look at the directory. "+
			"If that many have really left, run: doppelboden mailbox refresh --accept-removals %s", l.Name, state.Lost, strconv.Itoa(state.Lost)))
	case state.Trouble != "":
		said = said.And(doppelboden.Tell("The directory %s was not taken over: %s. The list of before stays in use, and mail for those on it is taken. Look at the directory; then run: doppelboden mailbox refresh", l.Name, state.Trouble))
	}
	return said
}

// unreached tells of lists whose members do not all get its mail. That costs a look at
// all members, so it is done once with each directory.
func (w *watcher) unreached(dir *city.Directory) alarms {
	if w.listsOf == dir {
		return w.listsWrong
	}
	wrong := alarms{}
	for list, s := range dir.Strays {
		missing := s.Nobody
		if t, _ := dir.City().Tenant(dir.TenantName(list.Tenant)); t.Internet == nil {
			missing = append(missing, s.Outside...)
		}
		if len(missing) == 0 {
			continue
		}
		wrong[alarmKey{"members", list.Address.String()}] = doppelboden.Tell("Mail for the list %s does not reach all of its members: %s are missing, such as %s. All others get it. See: doppelboden mailbox show %s",
			list.Address, len(missing), missing[0], list.Address)
	}
	w.listsOf, w.listsWrong = dir, wrong
	return wrong
}
