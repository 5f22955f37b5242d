// Package store states what the rooms need from a database. Packages below it keep the
// contract with one engine each, and storetest proves it for all of them.
//
// A store holds small rows: envelopes, states, mailboxes, copies, ledger links,
// configuration, alarms. Bodies lie in segments. Every row belongs to a tenant. A
// store decides nothing about mail: it keeps what it is told, in one commit or not at
// all.
//
// Unless a method says otherwise: it may be called by several goroutines; it may be
// repeated after any error with the same arguments and then has the effect of one
// call; errors are Temporary (doppelboden.CodeOf) and the caller repeats or gives up;
// a yield function that returns an error ends the walk and gets that error returned.
// Yield functions must not call the store.
package store

import (
	"context"
	"time"

	"doppelboden"
)

// A Store is everything an engine keeps. Rooms declare the part of it that they use.
type Store interface {
	Acceptor
	Drainer
	Queue
	City
	Lists
	Tenancy
	Ways
	Versions
	Keys
	Ledger
	Alarms
	Retention
	Nodes
	Scans
	Notices
	Destinations
	Readback
	Held
	Events
	Modes
	Sendings
	Slips
	Inside
	Filings
	Folders
	Extracts
	Harvests
	Handbacks
	Accounts

	// Ready returns nil when the store could take a message now; otherwise why not.
	// It costs no disk access and may be asked for every MAIL.
	Ready() error

	// Message returns one message with all its deliveries and copies. NotFound.
	Message(ctx context.Context, id doppelboden.ID) (*doppelboden.Message, error)

	// ByReceipt returns the id of the message with this receipt. NotFound.
	ByReceipt(ctx context.Context, r doppelboden.Receipt) (doppelboden.ID, error)

	// Copies yields the copies in one mailbox: first those at which nobody has looked since
	// they came with their delivery, by its Seq, and then the others. It is no snapshot: what
	// somebody looks at meanwhile may come twice.
	Copies(ctx context.Context, tenant doppelboden.TenantID, mailbox doppelboden.MailboxID, yield func(doppelboden.Copy) error) error

	// Note writes entries that belong to no message's change (EntryRead, EntryConfig)
	// into the ledger.
	Note(ctx context.Context, entries ...doppelboden.Entry) error

	// Close waits for running calls, commits what was promised and closes the database.
	// Calls after Close return a Temporary error.
	Close() error
}

// An Acceptor makes messages durable. It is the only way a message comes into being.
type Acceptor interface {
	// Accept keeps m on disk on as many sites as the configuration says and returns
	// how many hold it. Only then may the door answer 250.
	//
	// m.Body is a reference to bytes that segment has already taken; Accept has them
	// synced before it commits (Options.Sync of the engine). Deliveries get their Seq.
	// Deliveries that already are Delivered (route "here") are recorded as such; those
	// with an attempt were taken by a next server while the message came in. A delivery
	// without a Box gets that of its Mailbox.
	//
	// Accept is idempotent by m.ID: after any error, and above all after one whose
	// outcome is unknown, the caller runs it again with the same m until it is clean
	// or the door gives up with 451. CodeOf(err) is Temporary or StorageFull. One
	// message that cannot be kept does not harm those that share its commit. Its
	// context bounds the wait for a place in a commit, never the commit.
	Accept(ctx context.Context, m *doppelboden.Message) (copies int, err error)
}

// A Box says that a box of the queue has queued deliveries.
type Box struct {
	Tenant doppelboden.TenantID
	Box    doppelboden.BoxID
	Queued int64     // how many
	Oldest int64     // the smallest Seq among them
	Since  time.Time // when the message of Oldest was received
	Next   time.Time // Next of that delivery; zero: at once
}

// An Item is a delivery with what is needed to hand it over. Items of one message may
// share the Message, whose Deliveries and Copies are not filled in.
type Item struct {
	Delivery doppelboden.Delivery
	Message  *doppelboden.Message
}

// A Filter selects deliveries; its zero value selects all.
type Filter struct {
	Tenant   doppelboden.TenantID  // 0: of every tenant
	Mailbox  doppelboden.MailboxID // 0: for every mailbox
	Box      doppelboden.BoxID     // 0: in every box
	States   []doppelboden.State   // empty: in every state
	Message  doppelboden.ID        // zero: of every message
	Group    string                // "": of every one; else a Hold.Group, and States is Held alone
	AfterSeq int64                 // only deliveries with a greater Seq
	Limit    int                   // 0: no limit
}

// A Count is the number of deliveries of a tenant in a state.
type Count struct {
	Tenant     doppelboden.TenantID
	State      doppelboden.State
	Deliveries int64
	Oldest     time.Time // Received of the oldest message among them
}

// Queue is what the scheduler needs.
type Queue interface {
	// Settle writes the new state of deliveries. lease is the node's; when another
	// node has taken over, nothing is written and the code is Fenced.
	//
	// A delivery that has ended is changed only by a settlement to Confirmed, from
	// Bounced or Discarded by a late Delivered (promise 4: a late success ends the
	// delivery, a late failure is dropped), or from Delivered or Confirmed to Queued by a
	// replay (By begins with ReplayBy) that was decided (At) after the delivery was last
	// written; other settlements for it are ignored, and so are unknown refs. See Effective. Settle is durable when it returns.
	//
	// Generated and Copies of a settlement are written with it, in the same commit, or
	// not at all when it is ignored. A message that goes with several settlements is
	// written once, when at least one of them takes effect. Its deliveries get their Seq
	// then; where they keep 0 nobody knows here whether it was written by an earlier try.
	// What holds for Accept's message holds for it.
	Settle(ctx context.Context, lease Lease, s []doppelboden.Settlement) error

	// Boxes yields every box that has queued deliveries, by its number.
	Boxes(ctx context.Context, yield func(Box) error) error

	// Heads returns for each of the boxes its first queued deliveries with a Seq greater
	// than after[i], at most limit for each, in the order of Seq within a box. It may be
	// asked for up to 100 boxes at once.
	Heads(ctx context.Context, boxes []doppelboden.BoxID, after []int64, limit int) ([]Item, error)

	// Deliveries yields what f selects, in the order of Seq.
	Deliveries(ctx context.Context, f Filter, yield func(Item) error) error

	// Counts returns the number of deliveries for every tenant and state that has any,
	// at the cost of reading an index.
	Counts(ctx context.Context) ([]Count, error)
}

// City is the directory of tenants and mailboxes.
type City interface {
	// PutTenants makes the tenants exist (by Name) and returns them with their IDs.
	PutTenants(ctx context.Context, names []string) ([]doppelboden.Tenant, error)

	// Tenants returns all tenants, by ID.
	Tenants(ctx context.Context) ([]doppelboden.Tenant, error)

	// PutMailboxes adds mailboxes, or changes those that exist (by their ID, else by
	// tenant and Address.Key), in one commit, and gives those without one an ID. With
	// an ID the address may be a new one. Gone is ignored: a retired mailbox is back,
	// unless its source calls the one with its address differently, or it was a person's and
	// a directory lists something else: that begins empty. The code is Invalid when an
	// address or alias belongs to another mailbox already.
	PutMailboxes(ctx context.Context, boxes []doppelboden.Mailbox) ([]doppelboden.Mailbox, error)

	// Mailboxes yields all mailboxes, by ID.
	Mailboxes(ctx context.Context, yield func(doppelboden.Mailbox) error) error
}

// A TenantKey is one version of a tenant's key, wrapped by the master key.
type TenantKey struct {
	Tenant        doppelboden.TenantID
	Version       int // from 1
	MasterVersion int // the version of the master key that wraps it
	Wrapped       []byte
	At            time.Time
}

// Keys holds the tenants' wrapped keys.
type Keys interface {
	// TenantKeys returns all of them, by tenant and version.
	TenantKeys(ctx context.Context) ([]TenantKey, error)
	// PutTenantKey adds a key or replaces its wrapping.
	PutTenantKey(ctx context.Context, k TenantKey) error
	// DeleteTenantKey removes a version that wraps nothing any more. The code is
	// Invalid while a body is wrapped with it.
	DeleteTenantKey(ctx context.Context, t doppelboden.TenantID, version int) error
	// Bodies yields up to limit messages of a tenant whose body key is wrapped with
	// version, so that they can be wrapped again.
	Bodies(ctx context.Context, t doppelboden.TenantID, version, limit int) ([]BodyOf, error)
	// Rewrap replaces where bodies lie and how their keys are wrapped. Messages that
	// no longer exist are passed over.
	Rewrap(ctx context.Context, bodies []BodyOf) error
}

// A BodyOf is the body of a message.
type BodyOf struct {
	Tenant  doppelboden.TenantID
	Message doppelboden.ID
	Body    doppelboden.Body
}

// Ledger holds the links and knots.
type Ledger interface {
	// Links yields the links whose time is not before from, by chain and number.
	Links(ctx context.Context, from time.Time, yield func(doppelboden.Link) error) error
	// Heads of all chains, by chain.
	ChainHeads(ctx context.Context) ([]doppelboden.Head, error)
	// PutKnot stores the knot that follows the last one. The code is Invalid when its
	// number is taken by another.
	PutKnot(ctx context.Context, k doppelboden.Knot) error
	// Knots yields all knots by number.
	Knots(ctx context.Context, yield func(doppelboden.Knot) error) error
	// LastKnot returns the newest knot. NotFound.
	LastKnot(ctx context.Context) (doppelboden.Knot, error)
}

// A Chain makes the links that the store writes, one with each commit. Its calls come
// from one goroutine of the store.
type Chain interface {
	// Next returns the link over entries that follows the head, without moving the
	// head, so that a commit that failed can be tried again.
	Next(at time.Time, entries []doppelboden.Entry) doppelboden.Link
	// Advance makes l the head: its commit is durable.
	Advance(l doppelboden.Link)
}

// Alarms holds what people must know.
type Alarms interface {
	// Raise opens an alarm, or changes the text of the open one of its kind and subject.
	Raise(ctx context.Context, a doppelboden.Alarm) error
	// Clear ends an open alarm; without one it does nothing.
	Clear(ctx context.Context, kind, subject string, at time.Time) error
	// Alarms yields open alarms and those that ended after since, newest first.
	Alarms(ctx context.Context, since time.Time, yield func(doppelboden.Alarm) error) error
}

// Retention removes what has outlived its time.
type Retention interface {
	// Expire removes up to limit messages that were received before cut, whose
	// deliveries have all ended before cut, which no mailbox with route "here" shows
	// (keep tells those) and nothing else protects. It returns how many it removed; 0
	// says that it is done.
	Expire(ctx context.Context, cut time.Time, keep []doppelboden.MailboxID, limit int) (int, error)
	// Staying returns up to limit bodies that still lie in the named segment.
	Staying(ctx context.Context, segment string, limit int) ([]BodyOf, error)
}

// A Lease is a node's right to hand over mail. It is fenced by its epoch.
type Lease struct {
	Node  string
	Epoch int64
}

// Nodes are the machines that share the store.
type Nodes interface {
	// Join registers the node for a new run and returns its lease with an epoch that
	// is greater than all before; leases of earlier runs of this node are fenced.
	Join(ctx context.Context, node string, at time.Time) (Lease, error)
	// Beat says that the node lives. The code is Fenced when it was replaced.
	Beat(ctx context.Context, l Lease, at time.Time) error
}
