package queue

import (
	"context"
	"fmt"
	"slices"

	"doppelboden"
	"doppelboden/store"
)

// returned has the ends among a batch of settlements completed, message by message.
// items[i] is what batch[i] is about; how says how it ends, 0 for what nobody needs to
// hear of; why is a person's reason. A success is written even when its notice cannot be
// made; any other end waits for it.
func (q *Queue) returned(ctx context.Context, items []store.Item, batch []doppelboden.Settlement, how func(store.Item) doppelboden.How, why string) ([]doppelboden.Settlement, error) {
	if q.opts.Returner == nil {
		return batch, nil
	}
	ends := map[doppelboden.ID][]doppelboden.Ending{}
	at := map[doppelboden.Ref]int{}
	for i, it := range items {
		if h := how(it); h != 0 {
			e := doppelboden.Ending{Message: it.Message, Delivery: it.Delivery, How: h, Why: why, Settlement: batch[i]}
			if h == doppelboden.Rejected {
				_, e.Server, e.Reply = doppelboden.Said(it.Delivery.Reply)
			}
			ends[it.Delivery.Message] = append(ends[it.Delivery.Message], e)
			at[refOf(it)] = i
		}
	}
	for id, some := range ends {
		list, err := q.opts.Returner.Return(ctx, some)
		if err != nil && some[0].How.Success() {
			q.opts.Log.Error("a sender cannot be told of a success", "message", id, "err", err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("return to the sender: %w", err)
		}
		for _, s := range list {
			batch[at[s.Ref]] = s
		}
	}
	return batch, nil
}

// wantedSuccess returns how for deliveries whose senders want to hear of a success.
func wantedSuccess(h doppelboden.How) func(store.Item) doppelboden.How {
	return func(it store.Item) doppelboden.How {
		if doppelboden.Notify(it.Delivery.Notify, doppelboden.OnSuccess) {
			return h
		}
		return 0
	}
}

// successes has the senders told who want to hear of a success, unless the next server
// does that.
func (l *lane) successes(j *job, outcomes []doppelboden.Outcome, batch []doppelboden.Settlement) []doppelboden.Settlement {
	var items []store.Item
	var some []doppelboden.Settlement
	how := map[doppelboden.Ref]doppelboden.How{}
	for i, o := range outcomes {
		if it := j.items[i]; o.Verdict == doppelboden.Took && o.Unnotified && doppelboden.Notify(it.Delivery.Notify, doppelboden.OnSuccess) {
			how[refOf(it)] = l.success(j, o)
			items = append(items, it)
		}
	}
	if len(items) == 0 {
		return batch
	}
	at := make([]int, len(items))
	for i, it := range items {
		at[i] = slices.IndexFunc(batch, func(s doppelboden.Settlement) bool { return s.Ref == refOf(it) })
		some = append(some, batch[at[i]])
	}
	some, err := l.q.returned(l.life, items, some, func(it store.Item) doppelboden.How { return how[refOf(it)] }, "")
	if err == nil {
		for i := range some {
			batch[at[i]] = some[i]
		}
	}
	return batch
}

// success says how a delivery came about: LMTP is spoken with whoever keeps the mailboxes
// (RFC 2033, section 1), SMTP with one more server on the way.
func (l *lane) success(j *job, o doppelboden.Outcome) doppelboden.How {
	if j.run {
		return doppelboden.Arrived // in the mailbox itself
	}
	for _, h := range l.conf.Route.Hosts {
		if h.LMTP && h.Addr == o.Server {
			return doppelboden.Arrived
		}
	}
	return doppelboden.Relayed
}

// notifyGenerated tells the queue of the notices that came into being with settlements.
func (q *Queue) notifyGenerated(batch []doppelboden.Settlement) {
	told := map[*doppelboden.Message]bool{}
	for _, s := range batch {
		if m := s.Generated; m != nil && !told[m] {
			told[m] = true
			q.Notify(m)
		}
	}
}

// A KeptBack says that deliveries which a person wanted to return are held instead.
type KeptBack struct {
	N   int    // how many
	Why string // of the first
}

// Error returns both.
func (k *KeptBack) Error() string { return fmt.Sprintf("%d are held; the first: %s", k.N, k.Why) }

// note counts what is held in a batch that was to end.
func (k *KeptBack) note(batch []doppelboden.Settlement, to doppelboden.State) (held int) {
	for _, s := range batch {
		if to != doppelboden.Bounced || s.State != doppelboden.Held {
			continue
		}
		if held++; k.Why == "" {
			k.Why = s.Reply
		}
	}
	k.N += held
	return held
}

// err returns k with its code; nil when nothing was kept back.
func (k *KeptBack) err() error {
	if k.N == 0 {
		return nil
	}
	return &doppelboden.Error{Code: doppelboden.Policy, Public: "not everything may be returned", Cause: k}
}
