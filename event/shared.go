package event

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"doppelboden"
)

// What mailboxes of an event may share.
const (
	ByRoute      = "route"
	ByHost       = "host"
	ByDepartment = "department"
	ByBuilding   = "building"
)

// A Shared says what the mailboxes of an event have in common that others have not.
type Shared struct {
	By        string   `json:"by"`    // ByRoute, ByHost, ByDepartment or ByBuilding
	Names     []string `json:"names"` // of these, at most five
	Concerned int      `json:"concerned"`
	Of        int      `json:"of"`      // mailboxes that have this in common
	Well      int      `json:"well"`    // of these, those that are served
	Unknown   int      `json:"unknown"` // of these, those of whom nothing was heard: perhaps more are concerned
}

const (
	// covered percent of the mailboxes must share something for it to be named.
	covered = 90
	// apart percent of those who share it and were heard of must be concerned.
	apart = 50
	// mostNames is how many departments or buildings are named.
	mostNames = 5
)

// shared finds what mailboxes of a route have in common.
func (m *machine) shared(l *lane, ids map[doppelboden.MailboxID]bool, whole bool, since time.Time) Shared {
	all := m.view.onRoute[l.key]
	best := m.sum(Shared{By: ByRoute, Names: []string{l.name}}, ids, since, all, nil)
	if whole || len(ids) == 0 || best.Concerned == best.Of {
		return best
	}
	if one, ok := m.sharedHost(l, ids, since); ok {
		best.By, best.Names = ByHost, []string{one}
		return best
	}
	found := false
	for _, kind := range []struct {
		name string
		by   func(doppelboden.Mailbox) string
	}{{ByDepartment, departmentOf}, {ByBuilding, buildingOf}} {
		s, ok := m.sharedBy(kind.name, kind.by, ids, since, all)
		// The one that tells more: fewer who are well, then more who are concerned, then
		// fewer of whom nothing is known.
		if ok && (!found || cmp.Or(cmp.Compare(s.Well, best.Well), cmp.Compare(best.Concerned, s.Concerned), cmp.Compare(s.Unknown, best.Unknown), cmp.Compare(len(s.Names), len(best.Names))) < 0) {
			best, found = s, true
		}
	}
	return best
}

// sharedBy looks whether mailboxes are those of a few departments or buildings.
func (m *machine) sharedBy(kind string, by func(doppelboden.Mailbox) string, ids map[doppelboden.MailboxID]bool, since time.Time, all []doppelboden.MailboxID) (Shared, bool) {
	of := map[string]int{}
	for id := range ids {
		if name := m.named(id, by); name != "" {
			of[name]++
		}
	}
	names := sortedKeys(of)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(of[b], of[a]) })
	sum := 0
	chosen := map[string]bool{}
	for _, name := range names[:min(len(names), mostNames)] {
		if 100*sum >= covered*len(ids) {
			break
		}
		sum += of[name]
		chosen[name] = true
	}
	if 100*sum < covered*len(ids) {
		return Shared{}, false
	}
	s := m.sum(Shared{By: kind}, ids, since, all, func(id doppelboden.MailboxID) bool { return chosen[m.named(id, by)] })
	for name := range chosen {
		s.Names = append(s.Names, m.written(name, by, ids))
	}
	slices.Sort(s.Names)
	return s, 100*s.Concerned >= apart*(s.Concerned+s.Well) && s.Of < len(all)
}

// written returns a name as a mailbox has it.
func (m *machine) written(name string, by func(doppelboden.Mailbox) string, ids map[doppelboden.MailboxID]bool) string {
	best := ""
	for id := range ids {
		b, _ := m.view.dir.Mailbox(id)
		if strings.EqualFold(by(b), name) && (best == "" || by(b) < best) {
			best = by(b)
		}
	}
	return best
}

// sum counts those who have something in common; in nil: all.
func (m *machine) sum(s Shared, ids map[doppelboden.MailboxID]bool, since time.Time, all []doppelboden.MailboxID, in func(doppelboden.MailboxID) bool) Shared {
	for _, id := range all {
		if in != nil && !in(id) {
			continue
		}
		s.Of++
		switch r := m.records[id]; {
		case ids[id]:
			s.Concerned++
		case r != nil && !r.failing() && !r.took.Before(since):
			s.Well++
		default:
			s.Unknown++
		}
	}
	return s
}

// sharedHost looks whether it is one host of several that refuses.
func (m *machine) sharedHost(l *lane, ids map[doppelboden.MailboxID]bool, since time.Time) (string, bool) {
	bad, good := map[string]int{}, map[string]int{}
	for id, r := range m.records {
		switch {
		case r.lane != l || r.host == "":
		case ids[id] && r.failing():
			bad[r.host]++
		case !r.failing() && !r.took.Before(since):
			good[r.host]++
		}
	}
	for host, n := range bad {
		others := 0
		for h, g := range good {
			if h != host {
				others += g
			}
		}
		if len(bad) == 1 && good[host] == 0 && others > 0 && n >= m.pace.Crowd {
			return host, true
		}
	}
	return "", false
}
