package folder

import (
	"context"
	"fmt"
	"time"

	"doppelboden"
	"doppelboden/clock"
	"doppelboden/store"
)

// Run lets modes follow events and quiet times until ctx ends.
func (m *Modes) Run(ctx context.Context) {
	var noted, read time.Time
	var failing bool
	for {
		err := m.step(ctx, &noted, &read)
		if err != nil && ctx.Err() == nil && !failing {
			m.opts.Log.Error("how mailboxes are used can't follow the events", "err", err)
		}
		failing = err != nil
		if clock.Sleep(ctx, m.opts.Timer, followEvery) {
			continue
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := m.noteUse(last); err != nil {
			m.opts.Log.Error("it can't be noted which mailboxes were used", "err", err)
		}
		return
	}
}

// step does what is due.
func (m *Modes) step(ctx context.Context, noted, read *time.Time) error {
	now := m.opts.Clock()
	if m.opts.Shared && now.Sub(*read) >= rereadEvery {
		if err := m.Load(ctx); err != nil {
			return err
		}
		*read = now
	}
	if m.opts.Follow {
		if err := m.follow(ctx); err != nil {
			return err
		}
	}
	if now.Sub(*noted) < noteEvery {
		return nil
	}
	if err := m.noteUse(ctx); err != nil {
		return err
	}
	*noted = now
	return nil
}

// follow makes mailboxes emergency that came into an event, and lets those go back that
// were quiet for long enough.
func (m *Modes) follow(ctx context.Context) error {
	now := m.opts.Clock()
	in := map[doppelboden.MailboxID]int64{}
	for _, id := range m.opts.Concerned() {
		if event, still := m.opts.Outage(id); still {
			in[id] = event
		}
	}
	list := m.joined(in, now)
	if len(list) > 0 && m.opts.Shared {
		// Another node may have been quicker, or a person.
		if err := m.Load(ctx); err != nil {
			return err
		}
		list = m.joined(in, now)
	}
	if n := len(list); n > 0 {
		m.opts.Log.Info("mailboxes are used here, because their groupware does not work", "mailboxes", n)
	}
	back := m.quiet(in, now)
	if n := len(back); n > 0 {
		m.opts.Log.Info("mailboxes are used in the groupware again, because nobody used them here", "mailboxes", n)
	}
	return m.put(ctx, append(list, back...))
}

// joined returns the modes of mailboxes that are in an event of which they have not heard.
func (m *Modes) joined(in map[doppelboden.MailboxID]int64, now time.Time) (list []store.Mode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, event := range in {
		one, known := m.modes[id]
		if known && one.Event == event {
			continue
		}
		if !one.Emergency {
			one.By, one.At = fmt.Sprintf("event %d", event), now
		}
		box, ok := m.opts.Mailbox(id)
		if !ok {
			continue
		}
		one.Tenant, one.Mailbox, one.Emergency, one.Event = box.Tenant, id, true, event
		list = append(list, one)
	}
	return list
}

// quiet returns the modes that end: nothing is wrong with the mailbox, and nobody uses it
// here.
func (m *Modes) quiet(in map[doppelboden.MailboxID]int64, now time.Time) (list []store.Mode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, one := range m.modes {
		if _, still := in[id]; still {
			delete(m.works, id)
			continue
		}
		if _, known := m.works[id]; !known {
			m.works[id] = now
		}
		last := m.works[id]
		for _, at := range []time.Time{one.At, one.Used, m.used[id]} {
			if at.After(last) {
				last = at
			}
		}
		if one.Emergency && now.Sub(last) < m.opts.Quiet(one.Tenant) {
			continue
		}
		list = append(list, store.Mode{Tenant: one.Tenant, Mailbox: id, By: "quiet", At: now})
	}
	return list
}

// noteUse writes which mailboxes were used.
func (m *Modes) noteUse(ctx context.Context) error {
	m.mu.Lock()
	var ids []doppelboden.MailboxID
	var last time.Time
	for id, at := range m.used {
		ids = append(ids, id)
		if at.After(last) {
			last = at
		}
		if one, known := m.modes[id]; known {
			one.Used = at
			m.modes[id] = one
		}
	}
	clear(m.used)
	m.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	return m.opts.Store.UseModes(ctx, ids, last)
}
