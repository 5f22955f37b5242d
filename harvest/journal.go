package harvest

import (
	"context"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/intake"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// Reports is the folder of the postmaster's mailbox in which lies what came to a journal
// address and could not be understood.
const Reports = "Journal"

// recognition bounds how long a report waits to learn whether its mail is there already. What
// is not recognised in time is seen as a double later.
const recognition = 2 * time.Second

// blindFor is how long no report waits after one has waited in vain, as while the database
// is away.
const blindFor = 30 * time.Second

// errNotSender is the answer to others.
var errNotSender = &doppelboden.Error{Code: doppelboden.Policy, Public: "this address takes journal reports from its own sender only"}

// IsJournal reports whether an address takes journal reports.
func (r *Room) IsJournal(a doppelboden.Address) bool {
	_, ok := r.opts.Journal(a)
	return ok
}

// Take begins to take a journal report to an address that IsJournal, from the sender with a
// name, "" for a stranger. Codes: Policy (not its sender), Busy, StorageFull.
func (r *Room) Take(to doppelboden.Address, tenant doppelboden.TenantID, sender string, e intake.Envelope) (*Taking, error) {
	j, ok := r.opts.Journal(to)
	if !ok || sender == "" || tenant != j.Tenant || !slices.Contains(j.Senders, sender) {
		r.metrics.reports.WithLabelValues("refused").Inc()
		return nil, errNotSender
	}
	if j.Shut {
		return nil, &doppelboden.Error{Code: doppelboden.TenantPaused, Public: "journal reports are not taken at the moment"}
	}
	t := &Taking{r: r, journal: j, peer: e.Peer}
	t.unwrap.mail = mailWriter{t}
	if j.Postmaster != 0 {
		var err error
		t.whole, err = r.opts.Intake.Begin(intake.Envelope{Door: DoorJournal, Tenant: j.Tenant, Peer: e.Peer, Sender: e.Sender,
			Copies: []doppelboden.Copy{{Mailbox: j.Postmaster, Folder: Reports}}})
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

// A Taking is a journal report on its way in. It is used by one goroutine. The mail in it is
// written as it comes, and so is the whole report, of which one is thrown away in the end.
type Taking struct {
	r       *Room
	journal Journal
	peer    string
	whole   *intake.Transaction // nil: nobody could keep it
	inner   *intake.Transaction // the mail; nil before it begins
	begin   []byte              // how it begins
	unwrap  unwrapper
	failed  error
	kept    []*intake.Transaction
}

// Write takes the next bytes of the report.
func (t *Taking) Write(p []byte) (int, error) {
	if t.failed != nil {
		return 0, t.failed
	}
	if t.whole != nil {
		if _, err := t.whole.Write(p); err != nil {
			return 0, t.fail(err)
		}
	}
	t.unwrap.Write(p)
	if t.unwrap.failed != nil {
		return 0, t.fail(t.unwrap.failed)
	}
	return len(p), nil
}

// A mailWriter takes the mail in a report.
type mailWriter struct{ *Taking }

// Write takes the next bytes of the mail.
func (w mailWriter) Write(p []byte) (int, error) {
	t := w.Taking
	if t.inner == nil {
		var err error
		// Where it lies is known when it has ended; until then nowhere, which keeps nothing.
		t.inner, err = t.r.opts.Intake.Begin(intake.Envelope{Door: DoorJournal, Tenant: t.journal.Tenant, Peer: t.peer, Sender: t.unwrap.Sender,
			Copies: []doppelboden.Copy{{Mailbox: t.journal.Postmaster, Folder: Reports}}})
		if err != nil {
			return 0, err
		}
	}
	if room := mailbox.MaxHeader + mailbox.MaxText - len(t.begin); room > 0 {
		t.begin = append(t.begin, p[:min(len(p), room)]...)
	}
	return t.inner.Write(p)
}

// fail notes an error and gives everything back.
func (t *Taking) fail(err error) error {
	t.failed = err
	t.Abort()
	return err
}

// Abort gives everything back. It is harmless after Commit.
func (t *Taking) Abort() {
	for _, one := range []*intake.Transaction{t.whole, t.inner} {
		if one != nil {
			one.Abort()
		}
	}
}

// Commit ends the report: the mail in it comes to lie in the mailboxes that it does not lie
// in yet, or the whole report with the postmaster. Only after it returned without an error may
// the door answer 250. Codes: those of intake.Transaction.Commit.
func (t *Taking) Commit(ctx context.Context) (intake.Kept, error) {
	defer t.Abort()
	if t.failed != nil {
		return intake.Kept{}, t.failed
	}
	why := t.unwrap.end()
	if why != "" {
		return t.keepWhole(ctx, why, nil)
	}
	targets, nobody := t.targets()
	switch {
	case len(targets) == 0 && nobody:
		return t.keepWhole(ctx, "", nil) // of ours, but nobody's who has a mailbox
	case len(targets) == 0:
		// Only strangers wrote it and got it: there is no mailbox that could show it.
		t.r.metrics.reports.WithLabelValues("nobody").Inc()
		return intake.Kept{}, nil
	}
	known, left := t.known(ctx, targets)
	if known != nil && len(left) == 0 && !t.unwrap.several {
		t.r.metrics.reports.WithLabelValues("known").Inc()
		t.heard()
		return intake.Kept{ID: known.ID, Receipt: known.Receipt}, nil
	}
	if len(left) == 0 {
		return t.keepWhole(ctx, whySeveral, nil)
	}
	t.inner.Lay(left)
	if t.unwrap.several {
		return t.keepWhole(ctx, whySeveral, t.inner)
	}
	kept, err := t.r.opts.Intake.CommitAll(ctx, []*intake.Transaction{t.inner})
	if err != nil {
		return intake.Kept{}, err
	}
	t.kept = []*intake.Transaction{t.inner}
	t.r.metrics.reports.WithLabelValues("unwrapped").Inc()
	return kept[0], nil
}

// keepWhole keeps the report with the postmaster, and the mail in it where that is known.
func (t *Taking) keepWhole(ctx context.Context, why string, inner *intake.Transaction) (intake.Kept, error) {
	if t.whole == nil {
		t.r.report(t.journal.Tenant, doppelboden.Tell("A journal report could not be kept, because no mailbox stands behind the postmaster: %s. Its sender tries it again; all other mail goes on. Add the mailbox: doppelboden mailbox add postmaster@DOMAIN", why))
		return intake.Kept{}, &doppelboden.Error{Code: doppelboden.Temporary, Public: "nobody is there to look at this report"}
	}
	list := []*intake.Transaction{t.whole}
	if inner != nil {
		list = []*intake.Transaction{inner, t.whole}
	}
	kept, err := t.r.opts.Intake.CommitAll(ctx, list)
	if err != nil {
		return intake.Kept{}, err
	}
	t.kept = list
	t.r.metrics.reports.WithLabelValues("whole").Inc()
	if why != "" {
		t.r.report(t.journal.Tenant, doppelboden.Tell("A journal report was not understood: %s. It lies in the folder %s of the postmaster. "+
			"Mail between colleagues may be missing in emergency mailboxes; all other mail goes on. Look at the journal rule of the groupware.", why, Reports))
	}
	return kept[0], nil
}

// report notes what is wrong with the reports of a tenant, for an alarm.
func (r *Room) report(t doppelboden.TenantID, said doppelboden.Telling) {
	r.opts.Log.Warn("a journal report", "tenant", t, "text", said.String())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports[t] = trouble{said, r.opts.Clock()}
}

// heard notes that a report came although nothing had to be kept of it.
func (t *Taking) heard() {
	one := t.r.tenant(t.journal.Tenant)
	one.mu.Lock()
	defer one.mu.Unlock()
	one.journal = t.r.opts.Clock()
}

// Acked tells what became of the 250.
func (t *Taking) Acked(written bool) {
	for _, one := range t.kept {
		one.Acked(written)
	}
}

// targets returns where the mail is to lie: in the inboxes of those who got it, and among
// what its sender sent. nobody says that somebody of ours has no mailbox here.
func (t *Taking) targets() (list []doppelboden.Copy, nobody bool) {
	seen := map[doppelboden.Copy]bool{}
	add := func(a doppelboden.Address, folder string, flags uint32) {
		if a.IsNull() {
			return
		}
		boxes, ours := t.r.opts.Owners(t.journal.Tenant, a)
		nobody = nobody || ours && len(boxes) == 0
		for _, box := range boxes {
			c := doppelboden.Copy{Mailbox: box, Folder: folder, Flags: flags}
			if !seen[c] {
				seen[c] = true
				list = append(list, c)
			}
		}
	}
	add(t.unwrap.Sender, store.FolderFor(store.UseSent), doppelboden.Seen)
	add(t.unwrap.OnBehalfOf, store.FolderFor(store.UseSent), doppelboden.Seen)
	for _, a := range t.unwrap.Recipients {
		add(a, doppelboden.Inbox, 0)
	}
	return list, nobody
}

// known returns the message that the mail is already, and the copies that are still to be
// made; copies of a message whose body is the same are made at once. When nobody can tell
// in time, it is none.
func (t *Taking) known(ctx context.Context, targets []doppelboden.Copy) (*doppelboden.Message, []doppelboden.Copy) {
	if t.r.isBlind() {
		return nil, targets
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recognition)
	defer cancel()
	found, left, err := t.look(ctx, targets)
	if err != nil {
		t.r.goBlind()
		t.r.opts.Log.Info("the mail of a journal report is kept before anybody knows whether it is there already", "err", err)
		return nil, targets
	}
	if len(found.same) == 0 {
		return nil, left
	}
	if len(left) > 0 && !found.body.IsZero() && !t.unwrap.several {
		if err := t.lay(ctx, found.body, left); err == nil {
			left = nil
		}
	}
	id := found.body
	if id.IsZero() {
		id = found.same[0]
	}
	m, err := t.r.opts.Store.Message(ctx, id)
	if err != nil {
		return nil, targets
	}
	return m, left
}

// isBlind reports whether nothing can be recognised at the moment.
func (r *Room) isBlind() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opts.Clock().Before(r.blind)
}

// goBlind notes that something could not be recognised.
func (r *Room) goBlind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blind = r.opts.Clock().Add(blindFor)
}

// look recognises the mail and returns the copies that are missing.
func (t *Taking) look(ctx context.Context, targets []doppelboden.Copy) (match, []doppelboden.Copy, error) {
	one := t.r.tenant(t.journal.Tenant)
	if err := t.r.opts.CatchUp(ctx); err != nil {
		return match{}, nil, err
	}
	if !one.deciding.LockFor(ctx) {
		return match{}, nil, ctx.Err()
	}
	defer one.deciding.Unlock()
	if err := t.r.advance(ctx, one); err != nil {
		return match{}, nil, err
	}
	header, text, size := split(t.begin, t.unwrap.mailed)
	found, err := t.r.recognise(ctx, one, header, one.marker.key.of(header, text, size))
	if err != nil || len(found.same) == 0 {
		return found, targets, err
	}
	var left []doppelboden.Copy
	for _, c := range targets {
		there, err := t.r.opts.Store.CopiesOf(ctx, one.id, c.Mailbox, found.same)
		if err != nil {
			return found, nil, err
		}
		needed, err := t.needed(ctx, c, targets, there)
		if err != nil {
			return found, nil, err
		}
		if needed {
			left = append(left, c)
		}
	}
	return found, left, nil
}

// needed reports whether a copy is missing: a mailbox that is to show the mail once shows it
// anywhere, and one that sent it to itself in both places.
func (t *Taking) needed(ctx context.Context, c doppelboden.Copy, targets, there []doppelboden.Copy) (bool, error) {
	if len(there) == 0 {
		return true, nil
	}
	roles := 0
	for _, o := range targets {
		if o.Mailbox == c.Mailbox {
			roles++
		}
	}
	if roles == 1 {
		return false, nil
	}
	folders, err := t.r.opts.Store.Folders(ctx, t.journal.Tenant, c.Mailbox)
	if err != nil {
		return false, err
	}
	b := shelf{folders: folders}
	for _, o := range there {
		if (b.use(o.Folder) == store.UseSent) == (c.Folder != doppelboden.Inbox) {
			return false, nil
		}
	}
	return true, nil
}

// lay makes copies of a message that is there.
func (t *Taking) lay(ctx context.Context, id doppelboden.ID, copies []doppelboden.Copy) error {
	var list []store.HarvestBatch
	for _, c := range copies {
		c.Message, c.Date = id, t.r.opts.Clock()
		list = append(list, store.HarvestBatch{Tenant: t.journal.Tenant, Mailbox: c.Mailbox, Copies: []doppelboden.Copy{c}})
	}
	if err := t.r.opts.Store.Harvest(ctx, t.r.opts.Lease(), list); err != nil {
		return err
	}
	for _, c := range copies {
		t.r.opts.Changed(c.Mailbox)
	}
	return nil
}
