package handback

import (
	"context"
	"errors"
	"slices"
	"time"

	"doppelboden"
	"doppelboden/mailbox"
	"doppelboden/store"
)

// Why something could not be done. Texts for people are made of these words.
const (
	whyGone      = "gone"      // the groupware does not have the mail any more
	whyAmbiguous = "ambiguous" // several mails there could be meant
	whyEnded     = "ended"     // the mail never reached the groupware
	whyUnfit     = "unfit"     // the mail cannot be carried as it is
	whyTooLarge  = "too_large" // the groupware takes no mail of this size
	whyFull      = "full"      // the mailbox there is full
	whyRefused   = "refused"   // the groupware does not allow it
	whyWaiting   = "waiting"   // the mail itself has not been handed over yet
	whyBare      = "bare"      // the groupware has none of the old mail: it is to be replayed first
	whyHeld      = "held"      // the same, and the groupware has refused it
)

// A task is one deed on its way.
type task struct {
	deed store.Deed
	// tried is how the groupware may have the mail because an earlier visit began something
	// and nobody knows its end; nil in it: it may have been removed.
	tried []*store.Spot
	msg   *doppelboden.Message // nil: it is not there any more
	own   *doppelboden.Delivery
	mark  *mailbox.Mark // as it was found in the groupware; nil: it was not
	done  bool          // the groupware has it as it is here
	left  string        // why it ends without
	stay  string        // why it is tried again later
	held  bool          // it waits with its mail, which is held

	two     bool   // its mail may be two; see twofold
	name    string // its Message-ID, once it was read
	named   bool   // it was
	written bool   // its end is in the database
}

// open reports whether anything is still to be tried.
func (t *task) open() bool { return !t.done && t.left == "" && t.stay == "" }

// twin returns a task to look for the same mail in another folder.
func (t *task) twin() *task {
	return &task{deed: t.deed, tried: t.tried, msg: t.msg, own: t.own, two: t.two, name: t.name, named: t.named}
}

// news reports whether the mail was made here and is to be put into a folder.
func (t *task) news() bool { return t.deed.Was == nil && t.deed.Is != nil }

// moved reports whether people here took the mail to another folder, or wrote it: what
// counts more than a mark.
func (t *task) moved() bool {
	d := &t.deed
	return d.Is != nil && (d.Was == nil || d.Is.Folder != d.Was.Folder || d.Is.Flags&doppelboden.Draft != 0)
}

// before returns how the groupware may have the mail.
func (t *task) before() []*store.Spot {
	return append(slices.Clone(t.tried), t.deed.Was)
}

// marks returns the flags that were set and taken away here, and those of what was tried.
func (t *task) marks() (add, remove uint32) {
	is := t.deed.Is
	if is == nil {
		return 0, 0
	}
	every, some := ^uint32(0), uint32(0)
	for _, s := range t.before() {
		if s != nil {
			every, some = every&s.Flags, some|s.Flags
		}
	}
	return is.Flags &^ every & shared, some &^ is.Flags & shared
}

// takes reports whether people here took the mail out of the folder in which the groupware had
// it. One that only got a mark stays where somebody has moved it there.
func (t *task) takes() bool {
	is := t.deed.Is
	if is == nil {
		return true
	}
	for _, s := range t.before() {
		if s == nil || s.Folder != is.Folder {
			return true
		}
	}
	return false
}

// read makes tasks of deeds: it looks what their messages are, how they are on their way, and
// what was begun with them.
func (r *Room) read(ctx context.Context, deeds []store.Deed, begun map[int64]*store.HandbackDoing) ([]*task, error) {
	tasks := make([]*task, len(deeds))
	for i, d := range deeds {
		t := &task{deed: d}
		if b := begun[d.Number]; b != nil {
			t.tried = b.Tried
		}
		tasks[i] = t
		m, err := r.opts.Store.Message(ctx, d.Message)
		if err != nil && doppelboden.CodeOf(err) != doppelboden.NotFound {
			return nil, err
		}
		if err != nil {
			t.left = whyEnded
			continue
		}
		t.msg = m
		for k := range m.Deliveries {
			if one := &m.Deliveries[k]; one.Mailbox == d.Mailbox && one.Box == doppelboden.BoxID(d.Mailbox) {
				t.own = one
			}
		}
		t.sort()
	}
	return tasks, nil
}

// sort says of a task what can be said without the groupware.
func (t *task) sort() {
	switch d := &t.deed; {
	case d.Was == nil && d.Is == nil && len(t.tried) == 0:
		t.done = true // it came and went here
	case d.Was == nil || t.own == nil:
	case !t.own.State.Ended():
		t.stay, t.held = whyWaiting, t.own.State == doppelboden.Held // it goes with its mail; see Lying
	case t.own.State == doppelboden.Bounced || t.own.State == doppelboden.Discarded:
		t.left = whyEnded
	}
}

// window returns between which times a mail came into the groupware, as far as is known.
func (t *task) window() (from, to time.Time) {
	from, to = t.deed.Date, t.deed.Date
	for _, at := range []time.Time{t.msg.Received, changedOf(t.own)} {
		if at.IsZero() {
			continue
		}
		if at.Before(from) || from.IsZero() {
			from = at
		}
		if at.After(to) {
			to = at
		}
	}
	return from, to
}

func changedOf(d *doppelboden.Delivery) time.Time {
	if d == nil {
		return time.Time{}
	}
	return d.Changed
}

// returned says that a task has come to its end.
func (t *task) returned() store.Returned {
	return store.Returned{Number: t.deed.Number, Change: t.deed.Change, Is: t.deed.Is}
}

// refusal says what a server's NO to a task means: why it stays. ok is false when it was no
// NO, so that the session is over.
func refusal(err error) (why string, ok bool) {
	said, answered := mailbox.Said(err)
	switch {
	case doppelboden.CodeOf(err) == doppelboden.Policy:
		return whyTooLarge, true
	case !answered:
		return "", false
	case said.Code == "OVERQUOTA" || aboutSpace(said.Text):
		return whyFull, true
	}
	return whyRefused, true
}

var errNoMail = errors.New("the message is not there any more")
