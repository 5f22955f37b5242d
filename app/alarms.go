package app

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"doppelboden"
)

// unsaved are alarms that the store could not be told of, because it does not work: they
// are shown all the same, and written when it does.
type unsaved struct {
	mu    sync.Mutex
	last  map[alarmKey]doppelboden.Alarm // that last
	ended []doppelboden.Alarm
}

// mostEnded bounds the alarms that ended while the store was dead: of a flood the first
// tell what it began with.
const mostEnded = 1000

// open returns those that last, the newest first.
func (u *unsaved) open() []doppelboden.Alarm {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := slices.Collect(maps.Values(u.last))
	slices.SortFunc(all, func(a, b doppelboden.Alarm) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject))
	})
	return all
}

// put notes an alarm and reports whether its text is news. It lasts since its first text.
func (u *unsaved) put(a doppelboden.Alarm) (news bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := alarmKey{a.Kind, a.Subject}
	was, known := u.last[key]
	if known {
		a.Since = was.Since
	}
	if u.last == nil {
		u.last = map[alarmKey]doppelboden.Alarm{}
	}
	u.last[key] = a
	return !known || was.Text != a.Text
}

// since returns when an alarm that nobody could store began, or t.
func (u *unsaved) since(key alarmKey, t time.Time) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if a, ok := u.last[key]; ok {
		return a.Since
	}
	return t
}

// saved forgets an alarm: the store has it.
func (u *unsaved) saved(key alarmKey) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.last, key)
}

// end ends those that do not last any more, and returns them.
func (u *unsaved) end(lasts alarms, now time.Time) (over []doppelboden.Alarm) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, a := range u.last {
		if _, still := lasts[key]; still {
			continue
		}
		delete(u.last, key)
		a.Until = now
		over = append(over, a)
	}
	u.ended = append(u.ended, over...)
	u.ended = u.ended[:min(len(u.ended), mostEnded)]
	return over
}

// tell writes those that have ended.
func (u *unsaved) tell(ctx context.Context, s interface {
	Raise(ctx context.Context, a doppelboden.Alarm) error
	Clear(ctx context.Context, kind, subject string, at time.Time) error
}) error {
	for {
		u.mu.Lock()
		if len(u.ended) == 0 {
			u.mu.Unlock()
			return nil
		}
		a := u.ended[0]
		u.mu.Unlock()
		err := s.Raise(ctx, doppelboden.Alarm{Kind: a.Kind, Subject: a.Subject, Text: a.Text, Said: a.Said, Since: a.Since})
		if err == nil {
			err = s.Clear(ctx, a.Kind, a.Subject, a.Until)
		}
		if err != nil {
			return err
		}
		u.mu.Lock()
		u.ended = u.ended[1:]
		u.mu.Unlock()
	}
}
