package filing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/mailbox"
	"doppelboden/store"
	"doppelboden/tally"
)

// Store is what filing needs of the database.
type Store interface {
	PutFiling(ctx context.Context, lease store.Lease, f store.Filing) error
	FilingOf(ctx context.Context, box doppelboden.BoxID) (store.Filing, error)
}

// A Groupware is where the mailboxes of a lane lie.
type Groupware struct {
	Backend mailbox.Backend
	Server  string // host:port, for people
	Folder  string // into which new mail goes; "": the inbox
	// Change opens a mailbox for mail that goes into another folder; see mailbox.IMAP.Change.
	// It is needed with Options.People alone.
	Change func(ctx context.Context, owner doppelboden.Address) (mailbox.Changer, error)
}

// A Lying is how a mail that waits lies in its mailbox here, because somebody has done
// something with it.
type Lying struct {
	Is     *store.Spot // nil: it was deleted
	Flags  []string    // as IMAP calls them
	Number int64       // of its deed; 0: there is none
	Change int64       // of the deed
	At     time.Time   // of the deed
}

// People knows what people here did with mail that waits; package handback does.
type People interface {
	// Lying returns how mails lie in a mailbox. A mail that nobody has touched is missing.
	Lying(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, ids []doppelboden.ID) (map[doppelboden.ID]Lying, error)
	// Folder returns what the groupware calls the folder where a mail is to lie, and makes it
	// when it is missing. Errors are those of mailbox.Changer.
	Folder(ctx context.Context, s mailbox.Changer, t doppelboden.TenantID, m doppelboden.MailboxID, l Lying) (string, error)
	// Filed says that mails of a mailbox were put into their folders as Lying said.
	Filed(ctx context.Context, t doppelboden.TenantID, m doppelboden.MailboxID, list []Lying) error
}

// Options say what a Filer works with. All fields must be set.
type Options struct {
	// Courier is what the couriers have in common: bodies, tally, clock, log, our name, and
	// whether the node may hand over.
	Courier courier.Options
	Store   Store
	Lease   func() store.Lease
	// Groupware returns where the mailboxes of a lane lie; ok is false when they cannot be
	// reached in this way.
	Groupware func(lane string) (g Groupware, ok bool)
	// Owner returns the address by which the groupware knows the mailbox of a delivery.
	Owner func(doppelboden.Delivery) (a doppelboden.Address, ok bool)
	// People says what was done here with mail that waits; nil: nobody does anything.
	People People
}

func (o *Options) validate() error {
	c := &o.Courier
	if o.Store == nil || o.Lease == nil || o.Groupware == nil || o.Owner == nil || c.Bodies == nil || c.Tally == nil ||
		c.Clock == nil || c.Log == nil || c.MayDot == nil {
		return errors.New("filing: Store, Lease, Groupware, Owner and, of Courier, Bodies, Tally, Clock, Log and MayDot must be set")
	}
	return nil
}

// A Filer puts mail into mailboxes; see queue.Filer. It may be used by several goroutines.
type Filer struct {
	opts  Options
	texts sync.Pool // of *courier.Text
}

// New returns a Filer.
func New(o Options) (*Filer, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Filer{opts: o, texts: sync.Pool{New: func() any { return new(courier.Text) }}}, nil
}

// Phases as doppelboden.Outcome names them.
const (
	phaseConnect = "connect"        // nobody answers
	phaseLogin   = "login"          // who answers does not let us into the mailbox
	phaseAppend  = "append"         // mail is put into it
	phaseFound   = tally.PhaseFound // mail of an earlier run is there
)

// A run is one call of File.
type run struct {
	*Filer
	lane   string
	groupw Groupware
	items  []store.Item
	out    []doppelboden.Outcome

	session mailbox.Session
	name    string // of the folder into which the items go
	folder  mailbox.Folder
	lying   map[doppelboden.ID]Lying        // of items
	found   map[doppelboden.ID]mailbox.Seen // what is there already of items
	strays  map[string][]doppelboden.ID     // of found: what lies in other folders than name
	tried   int                             // so many of items were begun to be sent
	open    *store.Filing                   // an earlier run into the same folder with items whose end is not known
	before  *store.Filing                   // the same, into whichever folder
}

// File puts the mails of items, which are of one box, into its mailbox.
func (f *Filer) File(ctx context.Context, lane string, items []store.Item) []doppelboden.Outcome {
	r := &run{Filer: f, lane: lane, items: items, found: map[doppelboden.ID]mailbox.Seen{}, strays: map[string][]doppelboden.ID{}}
	var ok bool
	if r.groupw, ok = f.opts.Groupware(lane); !ok {
		r.fail(doppelboden.Later, doppelboden.AboutRoute, phaseConnect, "there is no way into the mailboxes of this route any more")
		return r.out
	}
	if !r.gauge(ctx) || !r.enter(ctx) {
		return r.out
	}
	defer r.session.Close()
	if r.compare(ctx) && r.note(ctx) {
		r.put(ctx)
	}
	return r.out
}

// enter opens the mailbox and its folder, and reports whether that worked.
func (r *run) enter(ctx context.Context) bool {
	owner, ok := r.opts.Owner(r.items[0].Delivery)
	if !ok {
		r.fail(doppelboden.Later, doppelboden.AboutRecipient, phaseLogin, "the mailbox is not in the directory")
		return false
	}
	session, err := r.begin(ctx, owner)
	switch {
	case err == nil:
	case doppelboden.CodeOf(err) == doppelboden.NotFound:
		// All of the run has the same end, so it is told of all: held first (promise 3).
		for len(r.out) < len(r.items) {
			r.fail(doppelboden.Refused, doppelboden.AboutRecipient, phaseLogin, "the groupware has no such mailbox: "+err.Error())
		}
		return false
	case doppelboden.CodeOf(err) == doppelboden.Policy:
		r.fail(doppelboden.Later, doppelboden.AboutRoute, phaseLogin, err.Error())
		return false
	default:
		r.fail(doppelboden.Later, doppelboden.AboutRoute, phaseConnect, err.Error())
		return false
	}
	r.session = session
	if r.name, err = r.target(ctx); err == nil {
		r.folder, err = session.Select(ctx, r.name)
	}
	if err == nil {
		return true
	}
	session.Close()
	_, said := mailbox.Said(err)
	if doppelboden.CodeOf(err) == doppelboden.NotFound || said && r.touched(0) {
		r.fail(doppelboden.Later, doppelboden.AboutRecipient, phaseAppend, err.Error())
	} else {
		r.fail(doppelboden.Later, doppelboden.AboutRoute, phaseConnect, err.Error())
	}
	return false
}

// note writes down what the folder said, before anything is put into it.
func (r *run) note(ctx context.Context) bool {
	last := r.items[len(r.items)-1].Delivery
	f := store.Filing{Tenant: last.Tenant, Box: last.Box, Route: r.lane, Folder: r.name, Validity: r.folder.Validity, Next: r.folder.Next,
		Through: last.Seq, At: r.opts.Courier.Clock()}
	switch {
	case !slices.ContainsFunc(r.items, func(it store.Item) bool { _, there := r.found[it.Delivery.Message]; return !there }):
		return true // nothing is put anywhere
	case r.open != nil:
		// What of that run is not among these items is still to be found.
		f.Next, f.Through = min(f.Next, r.open.Next), max(f.Through, r.open.Through)
	case r.before != nil && r.before.Through > f.Through:
		// The same, and it may lie in another folder: no UID says where to begin.
		f.Validity, f.Next, f.Through = 0, 0, r.before.Through
	}
	if err := r.opts.Store.PutFiling(ctx, r.opts.Lease(), f); err != nil {
		r.fail(doppelboden.Later, doppelboden.AboutRecipient, phaseAppend, "what the folder said cannot be noted: "+err.Error())
		return false
	}
	return true
}

// outcome returns what became of the i-th item.
func (r *run) outcome(i int, v doppelboden.Verdict, s doppelboden.Scope, phase, text string) doppelboden.Outcome {
	d := &r.items[i].Delivery
	return doppelboden.Outcome{
		Ref: doppelboden.Ref{Message: d.Message, N: d.N}, Verdict: v, Scope: s, Phase: phase,
		Reply: doppelboden.Reply{Text: courier.Harmless(text)}, Server: r.groupw.Server, At: r.opts.Courier.Clock(),
		// There are no DSNs on this way: RFC 3461, section 6.2.2, has who delivers finally
		// tell senders who want to hear of it.
		Unnotified: v == doppelboden.Took,
	}
}

// fail makes the next item fail.
func (r *run) fail(v doppelboden.Verdict, s doppelboden.Scope, phase, text string) {
	r.out = append(r.out, r.outcome(len(r.out), v, s, phase, text))
}

// took makes the next item one that the mailbox has.
func (r *run) took(phase string, uid uint32) doppelboden.Outcome {
	text := "the server did not say its UID"
	if uid != 0 {
		// RFC 4315, section 3.
		text = fmt.Sprintf("OK [APPENDUID %d %d]", r.folder.Validity, uid)
	}
	o := r.outcome(len(r.out), doppelboden.Took, doppelboden.AboutRecipient, phase, text)
	r.out = append(r.out, o)
	return o
}
