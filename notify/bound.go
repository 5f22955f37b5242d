package notify

import (
	"context"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// memoSpent is what the memos of sent SMS are called. A tenant has as many of them as it may
// send in 24 hours, numbered from 1 where others have a mailbox: slots, each with the time of
// the SMS that took it. So a restart, or another node, goes on counting, and nothing grows.
const memoSpent = "sms spent"

// day is the time for which an SMS counts.
const day = 24 * time.Hour

// spend takes a slot for one more SMS of a tenant, also for one that will fail: nobody knows
// whether a gateway that did not answer, or not as it should, has sent it. It is noted before
// the SMS goes out. ok is false when all are taken. While the database cannot be asked, this
// node counts alone: people must hear of an outage.
func (r *Room) spend(ctx context.Context, t doppelboden.TenantID, perDay int) (slot doppelboden.MailboxID, ok bool) {
	noted := map[doppelboden.MailboxID]time.Time{}
	err := r.opts.Store.Memos(ctx, t, memoSpent, func(m store.Memo) error {
		noted[m.Mailbox] = m.At
		return nil
	})
	if err != nil {
		r.opts.Log.Warn("it cannot be read how many SMS were sent", "err", err)
	}
	now := r.opts.Clock()
	r.mu.Lock()
	if r.spent[t] == nil {
		r.spent[t] = map[doppelboden.MailboxID]time.Time{}
	}
	for i, at := range noted { // what could not be noted is known here alone
		if at.After(r.spent[t][i]) {
			r.spent[t][i] = at
		}
	}
	for i := doppelboden.MailboxID(1); i <= doppelboden.MailboxID(perDay); i++ {
		if at, taken := r.spent[t][i]; !taken || now.Sub(at) >= day {
			slot, ok = i, true
			r.spent[t][i] = now
			break
		}
	}
	r.mu.Unlock()
	if ok {
		r.noteSpent(ctx, t, slot, now)
	}
	return slot, ok
}

// giveBack frees a slot: this SMS was surely not sent.
func (r *Room) giveBack(ctx context.Context, t doppelboden.TenantID, slot doppelboden.MailboxID) {
	long := r.opts.Clock().Add(-day)
	r.mu.Lock()
	r.spent[t][slot] = long
	r.mu.Unlock()
	r.noteSpent(ctx, t, slot, long)
}

func (r *Room) noteSpent(ctx context.Context, t doppelboden.TenantID, slot doppelboden.MailboxID, at time.Time) {
	err := r.opts.Store.PutMemos(ctx, []store.Memo{{Tenant: t, Mailbox: slot, What: memoSpent, At: at}})
	if err != nil {
		r.opts.Log.Warn("it cannot be noted how many SMS were sent", "err", err)
	}
}
