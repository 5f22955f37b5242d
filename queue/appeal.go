package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/courier"
	"doppelboden/store"
)

// Appeals is told what the city's own groupware said, and decides when what it refused is
// tried again or returned (promise 3); package appeal is one.
type Appeals interface {
	// Judged tells what came of deliveries on a lane, after it is written: what was taken,
	// and what was refused and is held. It never blocks.
	Judged(lane string, list []Judged)
}

// A Judged is a delivery that a next server of the city took or refused.
type Judged struct {
	Item    store.Item
	Took    bool             // else it was refused
	Filed   bool             // by putting it straight into its mailbox
	Hold    doppelboden.Hold // of a refused one
	Reply   string           // of a refused one, as it is stored
	At      time.Time
	Written bool // false: a person decided meanwhile, and the refusal was dropped
}

// appealed tells of what came of a job. list is what was written about it.
func (l *lane) appealed(j *job, outcomes []doppelboden.Outcome, list []doppelboden.Settlement) {
	if l.q.opts.Appeals == nil {
		return
	}
	written := make(map[doppelboden.Ref]*doppelboden.Settlement, len(list))
	for i := range list {
		written[list[i].Ref] = &list[i]
	}
	var told []Judged
	for i, o := range outcomes {
		if o.Verdict != doppelboden.Took && o.Verdict != doppelboden.Refused {
			continue
		}
		one := Judged{Item: j.items[i], Took: o.Verdict == doppelboden.Took, Filed: j.run, Reply: replyLine(o), At: o.At}
		if s := written[refOf(j.items[i])]; s != nil {
			one.Written, one.Hold, one.At = true, s.Hold, s.At
		}
		told = append(told, one)
	}
	if len(told) > 0 {
		l.q.opts.Appeals.Judged(l.conf.Route.Name, told)
	}
}

// holdFor says why a refused delivery is held.
func holdFor(lane string, o doppelboden.Outcome) doppelboden.Hold {
	h := doppelboden.Hold{Reason: doppelboden.HeldMail, Route: lane}
	switch {
	case o.Reply.Code != 0 && (courier.AboutUs(o.Reply) || strings.HasPrefix(o.Reply.Enhanced, "5.7.")):
		h.Reason = doppelboden.HeldUs
	case o.Scope == doppelboden.AboutRecipient && noSuchMailbox(o):
		h.Reason = doppelboden.HeldAddress
	}
	return h
}

// noSuchMailbox reports whether a refusal says clearly that the recipient has no mailbox
// there. Everything else that a recipient can be refused for may pass.
func noSuchMailbox(o doppelboden.Outcome) bool {
	switch o.Reply.Enhanced { // RFC 3463, sections 3.2 and 3.3; X.1.10 is RFC 7505's and Exchange's
	case "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1":
		return true
	case "":
		// RFC 5321, section 4.2.3: 550, 551 and 553 are about the mailbox. After the dot only
		// the enhanced code says so. Without a code it was the log-in to a mailbox.
		c := o.Reply.Code
		return o.Phase == "rcpt" && (c == 550 || c == 551 || c == 553) || o.Phase == "login" && c == 0
	}
	return false
}

// AppealBy is who puts refused mail back into the queue, or returns it, when no person
// does: the ledger has it.
const AppealBy = "appeal"

// stillHeld leaves those of items that are held and tried again by themselves. The caller
// holds q.deciding, so that it stays true until what follows from it is written.
func (q *Queue) stillHeld(ctx context.Context, items []store.Item) ([]store.Item, error) {
	seqs := make([]int64, len(items))
	for i, it := range items {
		seqs[i] = it.Delivery.Seq
	}
	why, err := q.opts.Store.HeldWhy(ctx, seqs)
	if err != nil {
		return nil, fmt.Errorf("read why mail is held: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(items), func(it store.Item) bool {
		return !why[it.Delivery.Seq].Reason.TriedAgain()
	}), nil
}

// TryAgain puts refused deliveries that are still held back into their places in the
// queue, all of them or none, and returns which. Nothing is tried sooner than otherwise for
// it: a mailbox that waits goes on waiting, and so does a route. Errors are those of Settle.
func (q *Queue) TryAgain(ctx context.Context, items []store.Item) ([]store.Item, error) {
	q.deciding.Lock()
	defer q.deciding.Unlock()
	items, err := q.stillHeld(ctx, items)
	if err != nil || len(items) == 0 {
		return nil, err
	}
	now := q.opts.Clock()
	batch := make([]doppelboden.Settlement, len(items))
	for i, it := range items {
		batch[i] = doppelboden.Settlement{Ref: refOf(it), Box: it.Delivery.Box, State: doppelboden.Queued,
			Reply: it.Delivery.Reply, By: AppealBy, At: now}
	}
	// Also after an error: it may be written or not, and the lanes look for themselves.
	err = q.opts.Store.Settle(ctx, q.opts.Lease, batch)
	q.note(batch)
	q.eachLane(batch, (*lane).look)
	if err != nil {
		return nil, fmt.Errorf("put refused mail back into the queue: %w", err)
	}
	return items, nil
}

// Return sends refused deliveries that are still held back to their senders, with the next
// server's words, and returns how many of them ended; those that may not go back are held
// for a person. why goes before the words where the delivery keeps them. Errors are those of
// Settle and of Returner; Policy without a Returner.
func (q *Queue) Return(ctx context.Context, items []store.Item, why string) (int, error) {
	if q.opts.Returner == nil {
		return 0, &doppelboden.Error{Code: doppelboden.Policy, Public: "nobody here tells senders what became of their mail"}
	}
	now := q.opts.Clock()
	batch := make([]doppelboden.Settlement, len(items))
	for i, it := range items {
		batch[i] = doppelboden.Settlement{Ref: refOf(it), Box: it.Delivery.Box, State: doppelboden.Bounced,
			Reply: why + ": " + it.Delivery.Reply, By: AppealBy, At: now}
	}
	batch, err := q.returned(ctx, items, batch, func(store.Item) doppelboden.How { return doppelboden.Rejected }, "")
	if err != nil {
		return 0, err
	}
	ended, err := q.writeReturned(ctx, items, batch)
	if err != nil {
		return 0, fmt.Errorf("write what was returned: %w", err)
	}
	return ended, nil
}

// writeReturned writes the ends of those that are still held; a notice that tells of one
// that is not, is not sent at all, and its mails wait for the next time.
func (q *Queue) writeReturned(ctx context.Context, items []store.Item, batch []doppelboden.Settlement) (ended int, err error) {
	q.deciding.Lock()
	defer q.deciding.Unlock()
	left, err := q.stillHeld(ctx, items)
	if err != nil {
		return 0, err
	}
	held := make(map[doppelboden.Ref]bool, len(left))
	for _, it := range left {
		held[refOf(it)] = true
	}
	stale := map[*doppelboden.Message]bool{}
	for _, s := range batch {
		if s.Generated != nil && !held[s.Ref] {
			stale[s.Generated] = true
		}
	}
	batch = slices.DeleteFunc(batch, func(s doppelboden.Settlement) bool { return !held[s.Ref] || stale[s.Generated] })
	if len(batch) == 0 {
		return 0, nil
	}
	if err := q.opts.Store.Settle(ctx, q.opts.Lease, batch); err != nil {
		return 0, err
	}
	for _, s := range batch {
		if s.State != doppelboden.Held {
			ended++
		}
	}
	q.notifyGenerated(batch)
	return ended, nil
}
