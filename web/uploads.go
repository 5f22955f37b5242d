package web

import (
	"sync"

	"doppelboden"
)

// uploads bounds the large bodies that are read at the same moment: of all people, and of
// each.
type uploads struct {
	mu  sync.Mutex
	all int
	of  map[int64]int // by person
}

var (
	errManyUploads = &doppelboden.Error{Code: doppelboden.Busy, Public: "many large files arrive at this moment"}
	errOwnUploads  = &doppelboden.Error{Code: doppelboden.Busy, Public: "large files of yours are still on their way"}
)

// enter counts a body that is about to be read. Busy.
func (u *uploads) enter(person int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of[person] >= largeOfOne {
		return errOwnUploads
	}
	if u.all >= largeAtOnce {
		return errManyUploads
	}
	u.all++
	u.of[person]++
	return nil
}

// leave ends what enter began.
func (u *uploads) leave(person int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all--
	if u.of[person]--; u.of[person] == 0 {
		delete(u.of, person)
	}
}
