package event

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"doppelboden/store"
)

// AlarmKind is the kind of all alarms about events.
const AlarmKind = "outage"

// alarmEvery is after how long the numbers in an alarm are written anew.
const alarmEvery = 5 * time.Minute

// Alarms returns the texts of the alarms that are open, by their subject: tenant/number.
func (t *Tracker) Alarms() map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[string]string{}
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

// alarm returns the text of an event's alarm. Its numbers are those of some minutes ago, so
// that nobody is told anew of each mail.
func (t *Tracker) alarm(e *episode) string {
	now := t.opts.Clock()
	if e.alarm != "" && e.alarmedAt == e.steps && now.Sub(e.alarmed) < alarmEvery {
		return e.alarm
	}
	if e.alarm != "" && now.Sub(e.alarmed) < alarmEvery/10 {
		return e.alarm
	}
	s := t.summary(e)
	var b strings.Builder
	switch {
	case e.Kind == store.Attack:
		return t.attacked(e)
	case e.Kind == store.Maintenance:
		fmt.Fprintf(&b, "Maintenance %d of %s was to end at %s and has not: %d mailboxes are not served.", s.Number, s.Tenant, written(s.Ends), s.Concerned)
	default:
		fmt.Fprintf(&b, "Outage %d of %s since %s: the groupware does not take mail for %s.", s.Number, s.Tenant, written(s.Since), whom(&s))
	}
	if s.Reply != "" {
		fmt.Fprintf(&b, " It says most often: %q.", s.Reply)
	}
	fmt.Fprintf(&b, " %d of their mails wait and %d are held; nothing is lost, and what waits is handed over by itself.", s.Waiting, s.Held)
	switch {
	case !s.Turned.IsZero():
		fmt.Fprintf(&b, " Mail is taken again since %s.", written(s.Turned))
	case s.Answering:
		b.WriteString(" It answers again, but no mail has proved yet that it works.")
	}
	fmt.Fprintf(&b, " Look at the groupware; see: doppelboden event show %d --tenant %s", s.Number, s.Tenant)
	e.alarm, e.alarmed, e.alarmedAt = b.String(), now, e.steps
	return e.alarm
}

// attacked is the alarm of attack mode. It lasts until somebody ends that.
func (t *Tracker) attacked(e *episode) string {
	name := t.machine.view.dir.TenantName(e.Tenant)
	shut := strings.Join(t.opts.Directory().Standing(e.Tenant).Shut.Parts(), ", ")
	if shut == "" {
		return fmt.Sprintf("Attack mode of %s lasts since %s, and all ways are open again. End it: doppelboden event close %d --tenant %s", name, written(e.Since), e.Number, name)
	}
	return fmt.Sprintf("Attack mode of %s since %s. Mail is taken and the emergency mailboxes work. Shut: %s. "+
		"It ends by hand only, way by way: doppelboden event release %d WAY --tenant %s", name, written(e.Since), shut, e.Number, name)
}

func written(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// whom says in words for whom an outage is.
func whom(s *Summary) string {
	sh := s.Shared
	if sh == nil {
		return fmt.Sprintf("%d mailboxes", s.Concerned)
	}
	of := map[string]string{ByRoute: "the route", ByHost: "the host", ByDepartment: "the department", ByBuilding: "the building"}[sh.By] + " " + strings.Join(sh.Names, ", ")
	switch {
	case sh.Concerned == sh.Of:
		return fmt.Sprintf("all %d mailboxes of %s", sh.Of, of)
	case sh.Unknown > 0:
		return fmt.Sprintf("%d of %d mailboxes of %s, perhaps more: of %d nothing is known", sh.Concerned, sh.Of, of, sh.Unknown)
	}
	return fmt.Sprintf("%d of %d mailboxes of %s", sh.Concerned, sh.Of, of)
}
