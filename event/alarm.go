package event

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"doppelboden"
	"doppelboden/store"
)

// AlarmKind is the kind of all alarms about events.
const AlarmKind = "outage"

// alarmEvery is after how long the numbers in an alarm are written anew.
const alarmEvery = 5 * time.Minute

// Alarms returns what the alarms that are open say, by their subject: tenant/number.
func (t *Tracker) Alarms() map[string]doppelboden.Telling {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[string]doppelboden.Telling{}
	for _, e := range t.machine.episodes {
		if t.machine.alarming(e) {
			all[Subject(t.machine.view.dir.TenantName(e.Tenant), e.Number)] = t.alarm(e)
		}
	}
	return all
}

// Subject is the subject of the alarm about an event.
func Subject(tenant string, number int64) string { return tenant + "/" + strconv.FormatInt(number, 10) }

// alarming reports whether somebody must know of an event: of each outage that is more than
// a single mailbox, of one of the crisis team alone, and of a maintenance that does not end.
func (m *machine) alarming(e *episode) bool {
	switch {
	case !e.active():
		return false
	case e.Kind == store.Maintenance:
		return e.overrun
	case !e.Minor:
		return true
	}
	for id := range e.members {
		if r := m.records[id]; m.view.dir.PriorityOf(id) == crisis && r.failing() && r.sort != own {
			return true
		}
	}
	return false
}

// crisis is the priority of the crisis team.
const crisis = 9

// tell has alarms looked at when there are others than before.
func (t *Tracker) tell() {
	var b strings.Builder
	t.mu.Lock()
	for _, e := range t.machine.episodes {
		if t.machine.alarming(e) {
			fmt.Fprintf(&b, "%d/%d ", e.Tenant, e.Number)
		}
	}
	changed := b.String() != t.texts
	t.texts = b.String()
	t.mu.Unlock()
	if changed {
		t.opts.Changed()
	}
}

// alarm returns what an event's alarm says. Its numbers are those of some minutes ago, so
// that nobody is told anew of each mail.
func (t *Tracker) alarm(e *episode) doppelboden.Telling {
	now := t.opts.Clock()
	if len(e.alarm) > 0 && e.alarmedAt == e.steps && now.Sub(e.alarmed) < alarmEvery {
		return e.alarm
	}
	if len(e.alarm) > 0 && now.Sub(e.alarmed) < alarmEvery/10 {
		return e.alarm
	}
	s := t.summary(e)
	var said doppelboden.Telling
	switch {
	case e.Kind == store.Attack:
		return t.attacked(e)
	case e.Kind == store.Maintenance:
		said = doppelboden.Tell("Maintenance %s of %s was to end at %s and has not. Mailboxes that are not served: %s.", strconv.FormatInt(s.Number, 10), s.Tenant, s.Ends, s.Concerned)
	default:
		said = doppelboden.Tell("Outage %s of %s since %s: the groupware does not take mail for %s.", strconv.FormatInt(s.Number, 10), s.Tenant, s.Since, whom(&s))
	}
	if s.Reply != "" {
		said = said.And(doppelboden.Tell("It says most often: %s", strconv.Quote(s.Reply)))
	}
	said = said.And(doppelboden.Tell("Mails for them that wait: %s, that are held: %s. Nothing is lost, and what waits is handed over by itself.", s.Waiting, s.Held))
	switch {
	case !s.Turned.IsZero():
		said = said.And(doppelboden.Tell("Mail is taken again since %s.", s.Turned))
	case s.Answering:
		said = said.And(doppelboden.Tell("It answers again, but no mail has proved yet that it works."))
	}
	said = said.And(doppelboden.Tell("Look at the groupware; see: doppelboden event show %s --tenant %s", strconv.FormatInt(s.Number, 10), s.Tenant))
	e.alarm, e.alarmed, e.alarmedAt = said, now, e.steps
	return e.alarm
}

// attacked is the alarm of attack mode. It lasts until somebody ends that.
func (t *Tracker) attacked(e *episode) doppelboden.Telling {
	name, number := t.machine.view.dir.TenantName(e.Tenant), strconv.FormatInt(e.Number, 10)
	shut := strings.Join(t.opts.Directory().Standing(e.Tenant).Shut.Parts(), ", ")
	if shut == "" {
		return doppelboden.Tell("Attack mode of %s lasts since %s, and all ways are open again. End it: doppelboden event close %s --tenant %s", name, e.Since, number, name)
	}
	return doppelboden.Tell("Attack mode of %s since %s. Mail is taken and the emergency mailboxes work. Shut: %s. "+
		"It ends by hand only, way by way: doppelboden event release %s WAY --tenant %s", name, e.Since, shut, number, name)
}

// whom says in words for whom an outage is.
func whom(s *Summary) doppelboden.Telling {
	sh := s.Shared
	if sh == nil {
		return doppelboden.Tell("%s mailboxes", s.Concerned)
	}
	of := part(sh.By, strings.Join(sh.Names, ", "))
	switch {
	case sh.Concerned == sh.Of:
		return doppelboden.Tell("all %s mailboxes of %s", sh.Of, of)
	case sh.Unknown > 0:
		return doppelboden.Tell("%s of %s mailboxes of %s, perhaps more: of %s nothing is known", sh.Concerned, sh.Of, of, sh.Unknown)
	}
	return doppelboden.Tell("%s of %s mailboxes of %s", sh.Concerned, sh.Of, of)
}

// part says what the mailboxes of an outage share.
func part(by, names string) doppelboden.Telling {
	switch by {
	case ByHost:
		return doppelboden.Tell("the host %s", names)
	case ByDepartment:
		return doppelboden.Tell("the department %s", names)
	case ByBuilding:
		return doppelboden.Tell("the building %s", names)
	}
	return doppelboden.Tell("the route %s", names)
}
